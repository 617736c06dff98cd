"""ReLU and powers on NumPy, by the passes that NumPy is fast and right at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.faster import faster
from ..buffers import empty_like
from ..device import Array
from ..ops.elementwise import POW

__all__: list[str] = []

# Smaller arrays gain nothing.
MANY = 1 << 12


def relu(xp: Any, x: Array) -> Any:
    """Return ``max(x, 0)``: NumPy clips three times as fast as it takes a maximum."""
    if x.size < MANY or x.dtype.kind != "f":
        return NotImplemented
    number = x.dtype.type
    return np.clip(x, number(0), number(np.inf), out=empty_like(x))


def relu_slope(F: Any, g: Array, y: Array) -> Any:
    """Return `g` where `y` is not 0: masked by all ones or none, which keeps infinities right."""
    if g.size < MANY or g.strides != y.strides or g.itemsize > 8:
        return NotImplemented
    bits, out = f"i{g.itemsize}", empty_like(g)
    if out.strides != g.strides:
        return NotImplemented
    np.bitwise_and(g.view(bits), -(y != 0).view(np.int8), out=out.view(bits))
    return out


faster("relu", value=relu, x=relu_slope)


def power(xp: Any, a: Any, b: Any) -> Any:
    """Return ``a ** b``, after looks at `b` that on a GPU would have to wait."""
    if hasattr(b, "dtype"):
        if b.dtype.kind == "f":
            # NumPy may take a square root, which has none of -inf
            return np.float_power(a, b).astype(b.dtype) if (b == 0.5).any() else a**b
        if not (b < 0).any():
            return a**b
    return POW.forward(xp, a, b)


faster("pow", always=True, value=power)
