"""Derivatives with a mistake planted in each: what a gradient check is for.

One line is a name, how to make the function (most often an operation: its value and its rules), the
inputs, and which of them is at fault.  `SECOND` has those that only a check of the second order can
see, `BY_HAND` functions of arrays with their gradients.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam.autograd import apply, op

NUMBERS = itertools.count()
RNG = np.random.RandomState(11)


def made(value, *, detached=(), **rules):
    """Return an operation of one use as a function of tensors; the tests forget it afterwards."""
    operation = op(f"planted_{next(NUMBERS)}", value, **rules)
    return lambda *tensors: apply(operation, tensors)


def away(*shape):
    """Return numbers from 0.3 to 1.7 of either sign."""
    return RNG.uniform(0.3, 1.7, shape) * RNG.choice([-1.0, 1.0], shape)


def positive(*shape):
    return RNG.uniform(0.3, 1.7, shape)


@dataclass(frozen=True)
class Planted:
    name: str
    make: Any
    inputs: tuple[Any, ...]
    fault: tuple[str, ...]

    def __str__(self):
        return self.name

    def tensors(self):
        return tuple(tg.tensor(a, requires_grad=True) for a in self.inputs)


FIRST: list[Planted] = []
SECOND: list[Planted] = []
BY_HAND: list[tuple[Any, ...]] = []


def plant(name, make, *inputs, fault=0, table=FIRST):
    faults = fault if isinstance(fault, tuple) else (fault,)
    table.append(Planted(name, make, inputs, tuple(f"input {i}" for i in faults)))


def unary(name, value, rule, x=None):
    plant(name, lambda: made(value, x=rule), away(2, 3) if x is None else x)


def binary(name, value, a, b, fault, *inputs):
    plant(name, lambda: made(value, a=a, b=b), *(inputs or (away(2, 3), away(2, 3))), fault=fault)


# --- one input ----------------------------------------------------------------------------------

unary("sign", lambda xp, x: xp.sin(x), lambda F, g, x: -g * F.cos(x))
unary("factor left out", lambda xp, x: x * x, lambda F, g, x: g * x)
unary("factor too many", lambda xp, x: 3 * x, lambda F, g: 9 * g)
unary("factor nearly right", lambda xp, x: x * x, lambda F, g, x: g * 2.0001 * x)
unary("constant added", lambda xp, x: x * x, lambda F, g, x: g * (2 * x + 1))
unary("gradient of the output left out", lambda xp, x: x * x, lambda F, g, x: 2 * x)
unary("gradient of the output twice", lambda xp, x: x * x, lambda F, g, x: g * g * 2 * x)
unary("absolute gradient of the output", lambda xp, x: x * x, lambda F, g, x: F.abs(g) * 2 * x)
unary("zero", lambda xp, x: x * x, lambda F, g, x: g * 0 * x)
unary("tanh without the square", lambda xp, x: xp.tanh(x), lambda F, g, y: g * (1 - y))
unary("sigmoid with a plus", lambda xp, x: 1 / (1 + xp.exp(-x)), lambda F, g, y: g * y * (1 + y))
unary("exp by its input", lambda xp, x: xp.exp(x), lambda F, g, x: g * x)
unary("log by its output", lambda xp, x: xp.log(x), lambda F, g, y: g / y, positive(4))
unary("sqrt without the half", lambda xp, x: xp.sqrt(x), lambda F, g, y: g / y, positive(4))
unary("power without lowering it", lambda xp, x: x**3, lambda F, g, x: g * 3 * x**3)
unary("abs without the sign", lambda xp, x: xp.abs(x), lambda F, g: g)
unary("mask dropped", lambda xp, x: xp.maximum(x, 0), lambda F, g: g)
unary("mask inverted", lambda xp, x: xp.maximum(x, 0), lambda F, g, x: g * (x < 0))
unary("mask of clip one-sided", lambda xp, x: xp.clip(x, -1, 1), lambda F, g, x: g * (x < 1))
unary("mask at another bound", lambda xp, x: xp.maximum(x, 0.5), lambda F, g, x: g * (x > 0))
unary("mean without 1/n", lambda xp, x: x.mean(), lambda F, g, x: g + 0 * x)
unary("mean by the wrong axis", lambda xp, x: x.mean(axis=0), lambda F, g, x: g / 3 + 0 * x)
unary("variance by n - 1", lambda xp, x: x.var(), lambda F, g, x: g * 2 * (x - F_mean(x)) / 5)
unary("softmax without its sum", lambda xp, x: softmax(xp, x), lambda F, g, y: g * y * (1 - y))
unary(
    "sum spread along the wrong axis",
    lambda xp, x: x.sum(axis=1),
    lambda F, g, x: 0 * x + g,
    away(3, 3),
)
unary("transposed once too few", lambda xp, x: x.T * 1, lambda F, g: g * 1, away(3, 3))
unary("reversed once too few", lambda xp, x: x[::-1] * 1, lambda F, g: g * 1, away(4))
unary(
    "rolled the wrong way", lambda xp, x: xp.roll(x, 1), lambda F, g: array(np.roll, g, 1), away(5)
)
unary(
    "window one off",
    lambda xp, x: x[2:] + x[1:-1],
    lambda F, g: array(lambda g: np.pad(g, (0, 2)) + np.pad(g, (1, 1)), g),
    away(6),
)
unary("padding one off", lambda xp, x: xp.pad(x, 1), lambda F, g: g[:-2] * 1, away(4))
unary(
    "cumulative sum not backwards",
    lambda xp, x: xp.cumsum(x),
    lambda F, g: array(np.cumsum, g),
    away(4),
)
unary(
    "kernel not flipped",
    lambda xp, x: xp.convolve(x, [1.0, 2.0, 4.0], "valid"),
    lambda F, g: array(np.convolve, g, [1.0, 2.0, 4.0]),
    away(6),
)
unary(
    "index one off",
    lambda xp, x: x[np.array([1, 2, 3])],
    lambda F, g: array(lambda g: np.pad(g, (0, 2)), g),
    away(5),
)
unary(
    "repeated index written, not added",
    lambda xp, x: x[np.array([1, 1, 2])],
    lambda F, g: array(written, g),
    away(4),
)
unary("maximum gives everybody", lambda xp, x: x.max(), lambda F, g, x: g + 0 * x)
unary("logsumexp gives everybody", lambda xp, x: xp.log(xp.exp(x).sum()), lambda F, g, x: g + 0 * x)
unary("norm not divided by itself", lambda xp, x: xp.sqrt((x * x).sum()), lambda F, g, x: g * x)
unary(
    "computed in float32",
    lambda xp, x: xp.sin(x),
    lambda F, g, x: array(lambda g, x: g.astype("f4") * np.cos(x.astype("f4")), g, x),
)
unary(
    "rounded to float32 at the end",
    lambda xp, x: xp.sin(x),
    lambda F, g, x: array(lambda g, x: (g * np.cos(x)).astype("f4"), g, x),
)
unary(
    "one entry of many",
    lambda xp, x: x * x,
    lambda F, g, x: array(last_doubled, g * 2 * x),
    away(50),
)
unary("not a number", lambda xp, x: x * x, lambda F, g, x: g * (x - x) / (x - x))
unary("changes its input", lambda xp, x: xp.exp(x), lambda F, g, x: array(spoiling, g, x))
unary("changes the gradient it is given", lambda xp, x: 2 * x, lambda F, g: array(doubling, g))
unary("wrong shape", lambda xp, x: x.sum(axis=0), lambda F, g: g[:2] * 1)
unary("another each time", lambda xp, x: 2 * x, lambda F, g: g * (2 + 1e-9 * next(NUMBERS)))

# --- two inputs ---------------------------------------------------------------------------------

binary(
    "operands swapped", lambda xp, a, b: a * b, lambda F, g, a: g * a, lambda F, g, b: g * b, (0, 1)
)
binary("sign of the second", lambda xp, a, b: a - b, lambda F, g: g, lambda F, g: g * 1, 1)
binary(
    "divisor without its square",
    lambda xp, a, b: a / b,
    lambda F, g, b: g / b,
    lambda F, g, a, b: -g * a / b,
    1,
)
binary(
    "product rule for one only",
    lambda xp, a, b: a * b,
    lambda F, g, b: g * b,
    lambda F, g, a: 0 * a,
    1,
)
binary(
    "exponent without the logarithm",
    lambda xp, a, b: a**b,
    lambda F, g, a, b: g * b * a ** (b - 1),
    lambda F, g, y: g * y,
    1,
    positive(3),
    away(3),
)
binary(
    "wrong axis in unbroadcast",
    lambda xp, a, b: a * b,
    lambda F, g, b: g * b,
    lambda F, g, a: array(lambda g, a: (g * a).sum(axis=1), g, a),
    1,
    away(3, 3),
    away(3),
)
binary(
    "mean in unbroadcast",
    lambda xp, a, b: a + b,
    lambda F, g: g * 1,
    lambda F, g: array(lambda g: g.mean(axis=0), g),
    1,
    away(4, 3),
    away(3),
)
binary(
    "matrix not transposed",
    lambda xp, a, b: a @ b,
    lambda F, g, b: F.matmul(g, b),
    lambda F, g, a: array(lambda g, a: a.T @ g, g, a),
    0,
    away(3, 3),
    away(3, 3),
)
binary(
    "matrices in the wrong order",
    lambda xp, a, b: a @ b,
    lambda F, g, b: array(lambda g, b: g @ b.T, g, b),
    lambda F, g, a: array(lambda g, a: g @ a.T, g, a),
    1,
    away(3, 3),
    away(3, 3),
)
binary(
    "ties and losers of maximum",
    lambda xp, a, b: xp.maximum(a, b),
    lambda F, g, a, b: g * (a > b),
    lambda F, g, a, b: g * (a > b),
    1,
)
binary(
    "labels one off",
    lambda xp, a, b: (a[np.arange(3), [0, 1, 0]] * b).sum(),
    lambda F, g, a, b: array(shifted_labels, g, a, b),
    lambda F, g, a: g * a[np.arange(3), [0, 1, 0]],
    0,
    away(3, 3),
    away(3),
)
plant("detached operand", lambda: lambda a, b: a * b.detach(), away(3), away(3), fault=1)
plant(
    "detached on the way",
    lambda: lambda a, b: a * tg.tensor(b.data.copy()).exp(),
    away(3),
    away(3),
    fault=1,
)
plant(
    "no rule",
    lambda: made(lambda xp, a, b: a * b, a=lambda F, g, b: g * b),
    away(3),
    away(3),
    fault=1,
)


def F_mean(x):
    return x.data.mean() if hasattr(x, "data") and hasattr(x, "grad_fn") else x.mean()


def softmax(xp, x):
    e = xp.exp(x - x.max())
    return e / e.sum()


def array(function, *values):
    """Run NumPy code inside a rule; of the first order only, for it is not recorded."""
    return function(*values)


def written(g):
    found = np.zeros(4)
    found[np.array([1, 1, 2])] = g
    return found


def last_doubled(g):
    g[-1] *= 2
    return g


def spoiling(g, x):
    found = g * np.exp(x)
    x *= 1.5
    return found


def doubling(g):
    g *= 2
    return g


def shifted_labels(g, a, b):
    found = np.zeros_like(a)
    found[np.arange(3), [1, 2, 1]] = g * b
    return found


# --- of the second order only -------------------------------------------------------------------


def second(name, value, rule, x=None):
    plant(name, lambda: made(value, x=rule), away(4) if x is None else x, table=SECOND)


def constant(v):
    """Return `v` without its history."""
    return v.detach() if hasattr(v, "detach") else v


def on_tensors(v, recorded, plain):
    return recorded if hasattr(v, "detach") else plain


second("input detached in the rule", lambda xp, x: x**3, lambda F, g, x: g * 3 * constant(x) ** 2)
second("output detached in the rule", lambda xp, x: xp.exp(x), lambda F, g, y: g * constant(y))
second("gradient detached in the rule", lambda xp, x: x**3, lambda F, g, x: constant(g) * 3 * x**2)
second(
    "half of a product detached",
    lambda xp, x: xp.tanh(x),
    lambda F, g, y: g * (1 - y * constant(y)),
)
second(
    "mask instead of a slope",
    lambda xp, x: xp.maximum(x, 0) ** 2,
    lambda F, g, y: g * 2 * constant(y) ** 0.5,
)
second(
    "another rule when recorded",
    lambda xp, x: xp.sin(x),
    lambda F, g, x: g * F.cos(x) * on_tensors(x, 1.001, 1.0),
)

# --- by hand, on arrays -------------------------------------------------------------------------


def by_hand(name, f, grad_f, x, fault, upstream="dout"):
    BY_HAND.append((name, f, grad_f, x, fault, upstream))


def dense(x, w, b):
    return x @ w + b


def network(x, w1, b1, w2, b2, y):
    """Return the cross-entropy of slide 6's network with one hidden layer."""
    a1 = 1 / (1 + np.exp(-(x @ w1 + b1)))
    a2 = 1 / (1 + np.exp(-(a1 @ w2 + b2)))
    return -np.mean(y * np.log(a2) + (1 - y) * np.log(1 - a2))


def backward(x, w1, b1, w2, b2, y, *, slope=True, mean=True, updated=False, axis=0):
    """Return its gradients as slide 6 has them; each setting plants a mistake."""
    a1 = 1 / (1 + np.exp(-(x @ w1 + b1)))
    a2 = 1 / (1 + np.exp(-(a1 @ w2 + b2)))
    m = len(x) if mean else 1
    delta2 = a2 - y
    w2_used = w2 - 0.1 * a1.T @ delta2 if updated else w2
    delta1 = delta2 @ w2_used.T * (a1 * (1 - a1) if slope else 1)
    db1 = delta1.sum(axis=axis, keepdims=axis == 0) / m
    return {
        "x": delta1 @ w1.T / m, "w1": x.T @ delta1 / m, "b1": db1.reshape(b1.shape),
        "w2": a1.T @ delta2 / m, "b2": delta2.sum(axis=0, keepdims=True) / m,
    }  # fmt: skip


LAYER = {"x": away(4, 3), "w": away(3, 2), "b": away(1, 2)}
NETWORK = {
    "x": away(4, 3),
    "w1": away(3, 4),
    "b1": away(1, 4),
    "w2": away(4, 1),
    "b2": away(1, 1),
    "y": np.array([[0], [1], [1], [0]]),
}

by_hand(
    "slide 6 without the slope of the hidden layer",
    network,
    lambda **p: backward(**p, slope=False),
    NETWORK,
    ("x", "w1", "b1"),
    None,
)
by_hand(
    "slide 6 without 1/m",
    network,
    lambda **p: backward(**p, mean=False),
    NETWORK,
    ("x", "w1", "b1", "w2", "b2"),
    None,
)
by_hand(
    "slide 6 through weights already updated",
    network,
    lambda **p: backward(**p, updated=True),
    NETWORK,
    ("x", "w1", "b1"),
    None,
)
by_hand(
    "slide 6 with the bias summed along the wrong axis",
    network,
    lambda **p: backward(**p, axis=1),
    NETWORK,
    ("b1",),
    None,
)
by_hand(
    "gradient missing",
    dense,
    lambda x, w, b, dout: {"x": dout @ w.T, "w": x.T @ dout},
    LAYER,
    ("b",),
)
by_hand("gradient None", lambda x: x * 2, lambda x, dout: None, away(3), ("input 0 (x)",))
by_hand(
    "one gradient too few",
    lambda a, b: a + b,
    lambda a, b, dout: (dout * 1,),
    (away(3), away(3)),
    ("input 1 (b)",),
)
by_hand(
    "shape kept by keepdims",
    dense,
    lambda x, w, b, dout: {"x": dout @ w.T, "w": x.T @ dout, "b": dout.sum(axis=0)},
    LAYER,
    ("b",),
)
by_hand(
    "float32",
    lambda x: x * 2,
    lambda x, dout: (2 * dout).astype(np.float32),
    away(3),
    ("input 0 (x)",),
)
by_hand(
    "two gradients in one array",
    lambda a, b: a + b,
    lambda a, b, dout: (dout, dout),
    (away(3), away(3)),
    ("input 1 (b)",),
)
by_hand(
    "a gradient that is the input",
    lambda x: (x**2).sum() / 2,
    lambda x: x,
    away(3),
    ("input 0 (x)",),
    None,
)
by_hand(
    "order of the gradients",
    lambda a, b: a * b,
    lambda a, b, dout: (dout * a, dout * b),
    (away(3), away(3)),
    ("input 0 (a)", "input 1 (b)"),
)
