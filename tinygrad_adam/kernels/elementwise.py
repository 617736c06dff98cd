"""ReLU on NumPy, by the passes that NumPy is fast at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.faster import faster
from ..buffers import empty_like
from ..device import Array

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
