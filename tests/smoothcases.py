"""Random smooth functions, with inputs of every scale: no gradient check may object."""

from __future__ import annotations

import numpy as np

import tinygrad_adam as tg

UNARY = {
    "sin": tg.sin,
    "cos": tg.cos,
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "exp": lambda x: (x / (1 + x * x)).exp(),
    "log": lambda x: (x * x + 0.3).log(),
    "sqrt": lambda x: (x * x + 0.2).sqrt(),
    "square": lambda x: x**2,
    "cube": lambda x: x**3 * 0.1,
    "softmax": lambda x: x.reshape(-1).softmax(0).reshape(x.shape),
    "standardised": lambda x: (x - x.mean()) / (x.var(correction=0) + 0.1).sqrt(),
    "cumsum": lambda x: x.reshape(-1).cumsum(0).reshape(x.shape),
    "logsumexp": lambda x: x.reshape(-1).logsumexp(0) + x * 0,
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (1 + b * b),
    "pow": lambda a, b: (1 + a * a) ** b.tanh(),
    "bilinear": lambda a, b: a.reshape(-1, 1) @ b.reshape(1, -1),
}
SHAPES = ((), (3,), (2, 3), (1, 3), (2, 1))


def smooth_case(number):
    """Return a function and its inputs, both drawn from the stream of this number."""
    rng = np.random.default_rng([7, number])
    scales = 10.0 ** rng.uniform(-4, 4, 2)
    inputs = [
        tg.tensor(rng.normal(size=SHAPES[rng.integers(len(SHAPES))]) * s, requires_grad=True)
        for s in scales
    ]
    steps = [
        (rng.choice(list(BINARY if rng.random() < 0.4 else UNARY)), rng.integers(100))
        for _ in range(rng.integers(1, 7))
    ]
    # A saturated function varies by its rounding errors alone, and so does its gradient.
    tame = [float(10.0 ** rng.uniform(-1, 0.5) / s) for s in scales]

    def function(a, b):
        values = [a * tame[0], b * tame[1]]
        for name, pick in steps:
            x = values[pick % len(values)]
            y = values[(pick // 7) % len(values)]
            if name in UNARY:
                values.append(UNARY[name](x))
            else:
                values.append(BINARY[name](x, y))
        return values[-1], values[len(values) // 2]

    try:
        y, _ = function(*inputs)
        usable = np.isfinite(y.data).all() and np.abs(y.data).max() < 1e12
    except tg.errors.ShapeError:
        usable = False
    return (function, inputs) if usable else smooth_case(number + 1_000_000)
