"""Gradients by finite differences, to hold the derivative rules against.

Everything is reduced to a number by fixed random weights: first order compares the gradient of
``sum(w * f(x))``, second order that of ``sum(u * gradient)``, which also reaches `w`.
"""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam.autograd import Node

EPS = 1e-5
RTOL, ATOL = 2e-6, 2e-8


def weights(shape, dtype=np.float64, seed=0):
    """Return fixed random weights between -1 and 1, none close to 0."""
    rng = np.random.RandomState([seed, *shape])  # a stream that NumPy keeps frozen
    drawn = rng.uniform(0.25, 1.0, shape) * rng.choice([-1.0, 1.0], shape)
    return np.asarray(drawn, dtype)


def value_and_gradients(function, arrays, wanted, w=None):
    """Return the value of `function`, and the gradients of the inputs `wanted`, weighted by `w`."""
    tensors = [tg.from_numpy(a) for a in arrays]
    for i in wanted:
        tensors[i].requires_grad_()
    y = function(*tensors)
    w = weights(y.shape, y.dtype) if w is None else w
    y.backward(tg.from_numpy(w))
    return y.data, [tensors[i].grad.data for i in wanted]


def nodes(y):
    """Return the nodes of the graph of `y`, each once."""
    found, stack = {}, [y.grad_fn]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and id(node) not in found:
            found[id(node)] = node
            stack.extend(node.parents)
    return list(found.values())


def numeric(scalar, arrays, eps=EPS):
    """Return d scalar() / d element for every element of `arrays`, which `scalar` reads."""
    gradients = []
    for a in arrays:
        g = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            middle = a[i]
            a[i] = middle + eps
            above = scalar()
            a[i] = middle - eps
            g[i] = (above - scalar()) / (2 * eps)
            a[i] = middle
        gradients.append(g)
    return gradients


def close(found, expected, what, rtol=RTOL, atol=ATOL):
    """Raise unless `found` equals `expected`, with `atol` relative to the largest element."""
    largest = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol * largest, err_msg=what)


def check_first(function, arrays, wanted, eps=EPS, rtol=RTOL, atol=ATOL):
    """Compare the gradient in the inputs `wanted` with central differences."""
    arrays = [a.copy() for a in arrays]
    y, gradients = value_and_gradients(function, arrays, wanted)
    w = weights(y.shape)

    def scalar():
        with tg.no_grad():
            return float((function(*map(tg.from_numpy, arrays)).data * w).sum())

    expected = numeric(scalar, [arrays[i] for i in wanted], eps)
    for i, g, e in zip(wanted, gradients, expected, strict=True):
        close(g, e, f"first order, input {i}", rtol, atol)


def check_second(function, arrays, wanted, eps=EPS, rtol=RTOL, atol=ATOL):
    """Compare the gradient of the gradient, recorded under create_graph, with differences of it.

    Also that recording the first backward pass does not change its result.
    """
    arrays = [a.copy() for a in arrays]
    tensors = [tg.from_numpy(a) for a in arrays]
    inputs = [tensors[i].requires_grad_() for i in wanted]
    y = function(*tensors)
    w = tg.from_numpy(weights(y.shape, y.dtype)).requires_grad_()
    recorded = tg.autograd.grad(y, inputs, w, create_graph=True)
    _, plain = value_and_gradients(function, arrays, wanted)
    for g, p in zip(recorded, plain, strict=True):
        close(g.data, p, "first order with create_graph=True", rtol=1e-13, atol=1e-13)
    us = [weights(t.shape, seed=1 + i) for i, t in enumerate(inputs)]
    total = sum((g * tg.from_numpy(u)).sum() for g, u in zip(recorded, us, strict=True))
    second = tg.autograd.grad(total, [*inputs, w], allow_unused=True)

    def scalar():
        _, gradients = value_and_gradients(function, arrays, wanted, w.data)
        return float(sum((g * u).sum() for g, u in zip(gradients, us, strict=True)))

    expected = numeric(scalar, [*(arrays[i] for i in wanted), w.data], eps)
    for i, g, e in zip([*wanted, "weights"], second, expected, strict=True):
        close(np.zeros_like(e) if g is None else g.data, e, f"second order, {i}", rtol, atol)
