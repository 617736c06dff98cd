"""Convolution on NumPy with the batch innermost in memory.

Logical shapes stay (N, C, H, W); physically the arrays made here are (C, H, W, N).  Then the
patches under one kernel position are long contiguous runs, the convolution is one matrix product
``(O, C*K*L) @ (C*K*L, P*Q*N)`` whose result needs no transposing, element-wise work on it is
contiguous, and flattening (C, H, W) for a linear layer is a free view.  NumPy keeps that order
through element-wise operations.

The patches are gathered for a few output rows at a time, so that they are still in the cache when
the product reads them, and the full patch matrix (K*L times the image) never exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..device import Array

__all__ = ["conv2d", "conv2d_input", "conv2d_weight"]

# Bytes of patches per block: with the operands of the product they stay in a second-level cache.
BLOCK_BYTES = 1 << 18


def _batch_innermost(x: Array, padding: tuple[int, int]) -> Array:
    """Return (N, C, H, W) as a contiguous (C, H + 2p, W + 2p, N)."""
    n, c, h, w = x.shape
    py, px = padding
    xt = x.transpose(1, 2, 3, 0)
    if not (py or px):
        return np.ascontiguousarray(xt)
    padded = np.empty((c, h + 2 * py, w + 2 * px, n), x.dtype)
    # only the border, so that memory just freed is not cleared for nothing
    padded[:, :py] = padded[:, py + h :] = 0
    padded[:, :, :px] = padded[:, :, px + w :] = 0
    padded[:, py : py + h, px : px + w] = xt
    return padded


class _Blocks:
    """The patch matrix of one group of channels, a few output rows at a time."""

    def __init__(
        self,
        channels: int,
        kernel: tuple[int, int],
        out: tuple[int, int],
        n: int,
        dtype: Any,
        geo: Any,
    ) -> None:
        self.kernel, self.out, self.n, self.geo = kernel, out, n, geo
        self.channels = channels
        self.depth = channels * kernel[0] * kernel[1]
        row_bytes = max(1, self.depth * out[1] * n * dtype.itemsize)
        self.rows = max(1, min(out[0], BLOCK_BYTES // row_bytes))
        self.buffer = np.empty(self.depth * self.rows * out[1] * n, dtype)

    def __iter__(self) -> Iterator[tuple[int, int, Array, Array]]:
        """Yield output rows [start, stop), the buffer as a matrix and as (C, K, L, rows, Q, N)."""
        p, q = self.out
        for start in range(0, p, self.rows):
            stop = min(start + self.rows, p)
            flat = self.buffer[: self.depth * (stop - start) * q * self.n]
            matrix = flat.reshape(self.depth, (stop - start) * q * self.n)
            yield (
                start,
                stop,
                matrix,
                flat.reshape(self.channels, *self.kernel, stop - start, q, self.n),
            )

    def windows(self, x: Array, start: int, stop: int) -> Iterator[tuple[int, int, Array]]:
        """Yield per kernel position the part of padded `x` (C, H, W, N) that output rows see."""
        step = self.geo.stride[0]
        shifted = x[:, start * step :]
        for k, l, rows, columns in self.geo.taps(self.kernel, (stop - start, self.out[1])):  # noqa: E741
            yield k, l, shifted[:, rows, columns]

    def overlapping(self, x: Array) -> Array:
        """Return padded `x` (C, H, W, N) as a read-only view (C, K, L, P, Q, N) of its patches."""
        (sy, sx), (dy, dx) = self.geo.stride, self.geo.dilation
        c, h, w, n = x.strides
        return np.lib.stride_tricks.as_strided(
            x,
            (self.channels, *self.kernel, *self.out, self.n),
            (c, h * dy, w * dx, h * sy, w * sx, n),
            writeable=False,
        )


def conv2d(x: Array, w: Array, b: Array | None, geo: Any) -> Array:
    """Return the convolution of (N, C, H, W) with (O, C / groups, K, L), plus `b` per channel."""
    n = x.shape[0]
    o, c, kernel = w.shape[0], w.shape[1], w.shape[2:]
    p, q = out = geo.out_size(x.shape[2:], kernel)
    xt = _batch_innermost(x, geo.padding)
    y = np.empty((o, p, q, n), x.dtype)
    per_group = o // geo.groups
    for group in range(geo.groups):
        mine = slice(group * per_group, (group + 1) * per_group)
        xg = xt[group * c : (group + 1) * c]
        wg = w[mine].reshape(per_group, -1)
        yg = y[mine].reshape(per_group, p * q * n)
        if kernel == (1, 1) and geo.stride == (1, 1):
            np.matmul(wg, xg.reshape(c, p * q * n), out=yg)
            if b is not None:
                yg += b[mine, None]
            continue
        blocks = _Blocks(c, kernel, out, n, x.dtype, geo)
        seen = blocks.overlapping(xg)
        for start, stop, matrix, patches in blocks:
            patches[...] = seen[:, :, :, start:stop]
            part = yg[:, start * q * n : stop * q * n]
            np.matmul(wg, matrix, out=part)
            if b is not None:
                part += b[mine, None]
    return y.transpose(3, 0, 1, 2)


def conv2d_input(v: Array, w: Array, x_size: tuple[int, ...], geo: Any) -> Array:
    """Return the gradient of `conv2d` in its images, given that of its output, `v`."""
    n, _, h, wide = x_size
    o, c, kernel = w.shape[0], w.shape[1], w.shape[2:]
    p, q = out = v.shape[2:]
    py, px = geo.padding
    per_group = o // geo.groups
    reach = tuple(d * (k - 1) for d, k in zip(geo.dilation, kernel, strict=True))
    if geo.stride == (1, 1) and py <= reach[0] and px <= reach[1] and per_group <= 2 * c:
        # A pixel meets the kernel turned round: a convolution again, and gathering the patches
        # of `v` is cheaper than adding up overlapping ones of `x` unless `v` has many channels.
        turned = w.reshape(geo.groups, per_group, c, *kernel)[..., ::-1, ::-1].swapaxes(1, 2)
        border = (reach[0] - py, reach[1] - px)
        turned = turned.reshape(geo.groups * c, per_group, *kernel)
        return conv2d(v, turned, None, geo._replace(padding=border))
    vt = _batch_innermost(v, (0, 0))
    x = np.zeros((x_size[1], h + 2 * py, wide + 2 * px, n), v.dtype)
    for group in range(geo.groups):
        mine = slice(group * per_group, (group + 1) * per_group)
        xg = x[group * c : (group + 1) * c]
        wt = w[mine].reshape(per_group, -1).T
        vg = vt[mine].reshape(per_group, p * q * n)
        blocks = _Blocks(c, kernel, out, n, v.dtype, geo)
        for start, stop, matrix, patches in blocks:
            np.matmul(wt, vg[:, start * q * n : stop * q * n], out=matrix)
            for k, l, window in blocks.windows(xg, start, stop):  # noqa: E741
                window += patches[:, k, l]
    return x[:, py : py + h, px : px + wide].transpose(3, 0, 1, 2)


def conv2d_weight(x: Array, v: Array, w_size: tuple[int, int, int, int], geo: Any) -> Array:
    """Return the gradient of `conv2d` in its kernels, given that of its output, `v`."""
    n = x.shape[0]
    o, c, kernel = w_size[0], w_size[1], w_size[2:]
    p, q = out = v.shape[2:]
    xt = _batch_innermost(x, geo.padding)
    vt = _batch_innermost(v, (0, 0))
    # transposed, (C*K*L, O) per group: the product with the larger operand first runs faster
    w = np.zeros((geo.groups, c * kernel[0] * kernel[1], o // geo.groups), v.dtype)
    per_group = o // geo.groups
    for group in range(geo.groups):
        mine = slice(group * per_group, (group + 1) * per_group)
        xg = xt[group * c : (group + 1) * c]
        vg = vt[mine].reshape(per_group, p * q * n)
        blocks = _Blocks(c, kernel, out, n, v.dtype, geo)
        seen = blocks.overlapping(xg)
        for start, stop, matrix, patches in blocks:
            patches[...] = seen[:, :, :, start:stop]
            w[group] += matrix @ vg[:, start * q * n : stop * q * n].T
    return np.ascontiguousarray(w.swapaxes(1, 2)).reshape(w_size)
