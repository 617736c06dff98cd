"""Running a function and its backward pass, with weights that make all of its outputs count."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam.autograd import Node

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


def close(found, expected, what, rtol=RTOL, atol=ATOL):
    """Raise unless `found` equals `expected`, with `atol` relative to the largest element."""
    largest = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol * largest, err_msg=what)
