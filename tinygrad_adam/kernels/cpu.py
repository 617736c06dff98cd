"""Convolution on NumPy with the batch innermost in memory.

Logical shapes stay (N, C, H, W); physically the images made here are (C, H, W, N).  Then
element-wise work on them is contiguous, flattening (C, H, W) for a linear layer is a free view, and
NumPy keeps that order through element-wise operations.

Inside, images are (H, C, W, N).  There the K*C image rows that one output row depends on lie side
by side: a matrix (K*C, W*N) without any copying, which L shifts by N elements turn into the columns
under the L horizontal kernel positions.  So for each output row

* the convolution is one product (L*O, K*C) @ (K*C, W*N) and the sum of its L parts, shifted;
* its gradient in the kernel is L products (K*C, Q*N) @ (Q*N, O).

Where that would make thin products (few channels) or wasted ones (horizontal stride) the L shifts
are copied one below the other first, (L*K*C, Q*N), which is im2col for one output row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from ..autograd.faster import faster
from ..buffers import empty
from ..device import Array
from ..process import product, threads_for
from .products import matmul
from .split import share

__all__ = ["conv2d", "conv2d_input", "conv2d_weight"]

P = ParamSpec("P")

# With at least so many rows a product runs at full speed.
THIN = 32
# Bytes of copied patches, and of a second operand that is read once with them: what is packed for
# the product then stays in a second-level cache.
BLOCK_BYTES = 1 << 17
# A kernel's gradient is summed in so many parts, whatever the number of threads: it is then the
# same every time.  Their sums hold no more numbers than this.
PARTS, PARTS_SIZE = 8, 1 << 22


def _share(work: Callable[[int, int], object], size: int, flops: int) -> None:
    """Call `work` on pieces of ``range(size)``, from as many threads as pay for so much."""
    threads = threads_for(flops)
    if size < 2 * threads:  # the threads of each product are more use
        work(0, size)
    else:
        product(0, share, work, size, -(-size // (4 * threads)), threads)


def _rows_outermost(x: Array, padding: tuple[int, int], groups: int) -> Array:
    """Return (N, C, H, W) as a contiguous (H + 2p, groups, C / groups, W + 2p, N)."""
    n, c, h, w = x.shape
    py, px = padding
    xt = x.transpose(2, 1, 3, 0)
    if py or px:
        padded = empty((h + 2 * py, c, w + 2 * px, n), x.dtype)
        # only the border, so that memory just freed is not cleared for nothing
        padded[:py] = padded[py + h :] = 0
        padded[:, :, :px] = padded[:, :, px + w :] = 0
        padded[py : py + h, :, px : px + w] = xt
        xt = padded
    return np.ascontiguousarray(xt).reshape(len(xt), groups, c // groups, *xt.shape[2:])


def _patches(x: Array, kernel: tuple[int, int], out: tuple[int, int], geo: Any) -> Array:
    """Return what `_rows_outermost` made as a read-only view (groups, L, K, C, P, Q, N)."""
    (sy, sx), (dy, dx) = geo.stride, geo.dilation
    _, groups, channels, _, n = x.shape
    row, group, channel, column, image = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (groups, kernel[1], kernel[0], channels, *out, n),
        (group, column * dx, row * dy, channel, row * sy, column * sx, image),
        writeable=False,
    )


def _blocks(
    patches: Array, span: tuple[int, int], thin: bool, beside: int = 0
) -> Iterator[tuple[slice, Array]]:
    """Yield the columns of some output rows of a span, and the patches that meet there as a matrix.

    The matrices are (groups, L*K*C, columns) if `thin`, copied for as many rows at once, or as much
    of one, as the cache holds with `beside` more numbers per column; else (groups, L, K*C, columns)
    for one row, a view of the images where that can be.
    """
    groups, l, k, c, _, q, n = patches.shape  # noqa: E741  the axis letter
    depth = l * k * c
    row_bytes = max(1, (groups * depth + beside) * q * n * patches.itemsize)
    rows = max(1, BLOCK_BYTES // row_bytes) if thin else 1
    wide = max(1, q * BLOCK_BYTES // row_bytes) if thin and row_bytes > BLOCK_BYTES else q
    split = (depth,) if thin else (l, k * c)
    for start, left in itertools.product(range(*span, rows), range(0, q, wide)):
        some = patches[:, :, :, :, start : min(start + rows, span[1]), left : left + wide]
        first, count = (start * q + left) * n, math.prod(some.shape[4:])
        yield slice(first, first + count), some.reshape(groups, *split, count)


def _by_group(v: Array, groups: int) -> Array:
    """Return (N, O, P, Q) as (groups, O / groups, P*Q*N), a view where memory allows."""
    n, o, p, q = v.shape
    return v.transpose(1, 2, 3, 0).reshape(groups, o // groups, p * q * n)


def _in_single(function: Callable[P, Array]) -> Callable[P, Array]:
    """Compute half precision in float32: BLAS knows no half, and sums would lose their digits."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Array:
        half = any(isinstance(a, np.ndarray) and a.dtype == np.float16 for a in args)
        if not half:
            return function(*args, **kwargs)
        wide: Any = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args]
        return function(*wide, **kwargs).astype(np.float16)

    return run


@_in_single
def conv2d(x: Array, w: Array, b: Array | None, geo: Any) -> Array:
    """Return the convolution of (N, C, H, W) with (O, C / groups, K, L), plus `b` per channel."""
    n, (o, c, k, l), groups = x.shape[0], w.shape, geo.groups  # noqa: E741  the axis letter
    p, q = out = geo.out_size(x.shape[2:], (k, l))
    xt = _rows_outermost(x, geo.padding, groups)
    each = o // groups
    y = empty((groups, each, p * q * n), x.dtype)
    wg = w.reshape(groups, each, c, k, l)
    if b is not None:
        b = b.reshape(groups, each, 1)
    if geo.stride[1] > 1 or k * c < THIN:
        wg = wg.transpose(0, 1, 4, 3, 2).reshape(groups, each, l * k * c)
        # calls too short to run beside each other
        for columns, patches in _blocks(_patches(xt, (k, l), out, geo), (0, p), thin=True):
            part = y[:, :, columns]
            matmul(wg, patches, out=part)
            if b is not None:
                part += b
        return y.reshape(o, p, q, n).transpose(3, 0, 1, 2)
    wg = wg.transpose(0, 4, 1, 3, 2).reshape(groups, l * each, k * c)
    (sy, _), (dy, dx), wide = geo.stride, geo.dilation, xt.shape[3]

    def write(start: int, stop: int) -> None:
        products = empty((groups, l * each, wide * n), x.dtype)
        shifted = products.reshape(groups, l, each, wide, n)
        terms = [shifted[:, i, :, i * dx : i * dx + q] for i in range(l)]
        if b is not None or l == 1:
            terms.append(np.zeros((), x.dtype) if b is None else b[..., None])
        for row in range(start, stop):
            seen = xt[row * sy : row * sy + dy * (k - 1) + 1 : dy].swapaxes(0, 1)
            matmul(wg, seen.reshape(groups, k * c, wide * n), out=products)
            part = y[:, :, row * q * n : (row + 1) * q * n].reshape(groups, each, q, n)
            np.add(terms[0], terms[1], out=part)
            for term in terms[2:]:
                part += term

    _share(write, p, 2 * y.size * c * k * l)
    return y.reshape(o, p, q, n).transpose(3, 0, 1, 2)


@_in_single
def conv2d_input(v: Array, w: Array, x_size: tuple[int, ...], geo: Any) -> Array:
    """Return the gradient of `conv2d` in its images, given that of its output, `v`."""
    n, channels, h, wide = x_size
    (o, c, k, l), groups = w.shape, geo.groups  # noqa: E741
    p, q = v.shape[2:]
    each = o // groups
    (sy, sx), (dy, dx), (py, px) = geo.stride, geo.dilation, geo.padding
    reach = dy * (k - 1), dx * (l - 1)
    inside = geo.stride == (1, 1) and py <= reach[0] and px <= reach[1]
    if inside and each <= 2 * c and np.isfinite(w).all():
        # A pixel meets the kernel turned round: a convolution again, and cheaper than adding up
        # overlapping patches unless `v` has many channels.  Its border of zeros would make a NaN
        # of an infinite weight at pixels that this weight never saw.
        turned = w.reshape(groups, each, c, k, l)[..., ::-1, ::-1].swapaxes(1, 2)
        border = (reach[0] - py, reach[1] - px)
        return conv2d(v, turned.reshape(channels, each, k, l), None, geo._replace(padding=border))
    vt = _by_group(v, groups)
    wt = w.reshape(groups, each, c, k, l).transpose(0, 4, 3, 2, 1).reshape(groups, -1, each)
    x = empty((h + 2 * py, groups, c, wide + 2 * px, n), v.dtype)
    x[...] = 0
    products = empty((groups, l * k * c, q * n), v.dtype)
    patches = products.reshape(groups, l, k, c, q, n)
    for row in range(p):
        matmul(wt, vt[:, :, row * q * n : (row + 1) * q * n], out=products)
        seen = x[row * sy : row * sy + reach[0] + 1 : dy].swapaxes(0, 1)
        for i in range(l):
            seen[..., i * dx : i * dx + sx * (q - 1) + 1 : sx, :] += patches[:, i]
    x = x.reshape(h + 2 * py, channels, wide + 2 * px, n)
    return x[py : py + h, :, px : px + wide].transpose(3, 1, 0, 2)


@_in_single
def conv2d_weight(x: Array, v: Array, w_size: tuple[int, int, int, int], geo: Any) -> Array:
    """Return the gradient of `conv2d` in its kernels, given that of its output, `v`."""
    (o, c, k, l), groups = w_size, geo.groups  # noqa: E741
    each = o // groups
    patches = _patches(_rows_outermost(x, geo.padding, groups), (k, l), v.shape[2:], geo)
    vt = _by_group(v, groups).swapaxes(1, 2)
    thin = k * c < THIN
    # transposed, (..., O): the product with the larger operand first runs faster
    size = (groups, l * k * c, each) if thin else (groups, l, k * c, each)
    rows = v.shape[2]
    parts = 1 if thin else max(1, min(PARTS, rows, PARTS_SIZE // max(1, math.prod(size))))
    w = np.zeros((parts, *size), v.dtype)

    def add(start: int, stop: int) -> None:
        one = np.empty(size, v.dtype)
        for i in range(start, stop):
            span = i * rows // parts, (i + 1) * rows // parts
            for columns, seen in _blocks(patches, span, thin, o):
                vb = vt[:, columns] if thin else vt[:, None, columns]
                w[i] += matmul(seen, vb, out=one)

    _share(add, parts, 2 * v.size * c * k * l)
    w = w.sum(axis=0)
    return w.reshape(groups, l, k, c, each).transpose(0, 4, 3, 2, 1).reshape(w_size)


faster("conv2d", value=lambda xp, x, w, b, *, geo, memo=None: conv2d(x, w, b, geo))
faster("conv2d_input", value=lambda xp, v, w, *, x_size, geo: conv2d_input(v, w, x_size, geo))
faster("conv2d_weight", value=lambda xp, x, v, *, w_size, geo: conv2d_weight(x, v, w_size, geo))
