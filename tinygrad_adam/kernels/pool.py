"""Max pooling on NumPy that remembers its choice, one byte per window, for the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.faster import faster
from ..buffers import empty_like
from ..device import Array
from ..ops.pool import only
from ..process import threads_for
from .split import share

__all__ = ["CODES"]

# So many positions of a window can be told apart by a byte.
CODES = 256
# Bytes of images from which on they are read from memory, not from a cache, pass by pass; and of
# the blocks of them that a cache holds.
LARGE, BLOCK = 1 << 23, 1 << 20


def _in_blocks(work: Callable[..., None], images: Array, *others: Array) -> None:
    """Call `work` on blocks of (N, C, H, W) arrays, along the axis that is outermost in memory."""
    if images.nbytes < LARGE:
        work(images, *others)
        return
    axis = int(abs(images.strides[1]) > abs(images.strides[0]))
    arrays = [a.swapaxes(0, axis) for a in (images, *others)]
    size = images.shape[axis]

    def some(start: int, stop: int) -> None:
        for i in range(start, stop, each):
            work(*(a[i : min(i + each, stop)].swapaxes(0, axis) for a in arrays))

    each = max(1, BLOCK * size // images.nbytes)
    share(some, size, each, threads_for(8 * images.size))


def max_pool2d(xp: Any, x: Array, *, win: Any, memo: list[Array] | None = None) -> Any:
    """Return the largest of each window; to `memo` goes which position it has, row by row."""
    if memo is None or not win.bare or win.kernel[0] * win.kernel[1] > CODES:
        return NotImplemented
    first, *others = win.slices(x.shape[2:])
    y = empty_like(x[first])
    code = empty_like(y, np.uint8)

    def choose(x: Array, y: Array, code: Array) -> None:
        y[...] = x[first]
        code[...] = 0
        for i, index in enumerate(others, start=1):
            v = x[index]
            later = (v > y).view(np.uint8)
            later *= np.uint8(i)
            np.maximum(code, later, out=code)
            np.maximum(y, v, out=y)
        nan = np.isnan(y)
        if nan.any():  # the last of them is chosen
            for i, index in enumerate(win.slices(x.shape[2:])):
                code[nan & np.isnan(x[index])] = i

    _in_blocks(choose, x, y, code)
    memo[:] = [code]
    return y


def max_pool2d_slope(
    F: Any, g: Array, x_shape: tuple[int, ...], win: Any, memo: list[Array] | None
) -> Any:
    """Return zeros with each element of `g` at its window's chosen place."""
    if not memo or not win.bare:
        return NotImplemented
    code = memo[0]
    out = empty_like(code, g.dtype, x_shape)

    def fill(out: Array, g: Array, code: Array) -> None:
        out[...] = 0
        for i, index in enumerate(win.slices(x_shape[2:])):
            if win.overlap():
                out[index] += only(np, g, code == i)
            else:
                only(np, g, code == i, out=out[index])

    _in_blocks(fill, out, g, code)
    return out


faster("max_pool2d", value=max_pool2d, x=max_pool2d_slope)
