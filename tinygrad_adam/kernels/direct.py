"""Convolution without patches: sums kept in vector registers while the kernel walks.

Images are copied once, between borders of zeros, as (H, C, W, N): then the pixels of an output row,
for all images, are one run of memory, and so are those that meet any one kernel position, only
shifted.  A table of these shifts, one per channel and position, is all that the loops know of a
kernel's shape.  A row of the output is the sum over that table of a weight times a shifted run; the
gradient in the images is a convolution of the output's with the kernel turned round, or with the
part of it that every stride-th pixel meets; the gradient in the kernel is, for each shift, the
product of two runs.

The loops are in `tinygrad_adam.kernels.vectors`, compiled by Numba: float32, one group, and
for the gradient in the images not both stride and dilation.  All else is left to the next version.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..autograd.faster import faster
from ..device import Array
from ..process import threads_for
from .split import share
from .switch import ENOUGH, compiled

__all__ = ["conv2d", "conv2d_input", "conv2d_weight"]

# Multiplications from which compiled loops pay.
LEAST = 1 << 19
# With fewer channels to write, or shorter rows in vectors, most of a block would be idle.
FEW, SHORT = 5, 0.6
# Elements of a row of the output's gradient, and kernel positions, that stay in the caches.
PIECE, POSITIONS = 1024, 288
# Multiplications handed to a thread at a time: some 50 microseconds, which starting it is worth.
SHARED = 1 << 22


def _loops() -> Any:
    return compiled("vectors", ENOUGH)


def _threads(work: int) -> int:
    return threads_for(2.0 * work)


class Images(NamedTuple):
    """Images between zeros, (H, C, W, N) in one run of memory, with the steps along H, C and W.

    Where the kernel moves by `stride` columns, a row is (stride, W / stride, N), so that what it
    meets from one step to the next still lies side by side; `phase` is the step along the first.
    """

    flat: Array
    row: int
    channel: int
    phase: int
    pixel: int

    def inside(self, row: int, column: int) -> Images:
        """Return the images without so many rows and columns at the start."""
        return self._replace(flat=self.flat[row * self.row + column * self.pixel :])


@lru_cache(64)
def _shifts(steps: tuple[int, ...], channels: int, kernel: tuple[int, int], geo: Any) -> Array:
    """Return how far away the pixels under each (channel, kernel position) of `Images` are."""
    row, channel, phase, pixel = steps
    c, k, l = np.ogrid[:channels, : kernel[0], : kernel[1]]  # noqa: E741  the axis letter
    columns, phases = np.divmod(l * geo.dilation[1], geo.stride[1])
    shifts: Array = c * channel + k * (geo.dilation[0] * row) + phases * phase + columns * pixel
    return shifts.ravel()


def _aligned(size: int) -> Array:
    """Return uninitialized float32 elements that start where a line of the cache does."""
    raw = np.empty(size + 16, np.float32)
    skip = -raw.ctypes.data % 64 // 4
    return raw[skip : skip + size]


def _padded(x: Array, border: tuple[int, int], threads: int, stride: int = 1) -> Images:
    """Return (N, C, H, W) between zeros: a copy, unless they lie in memory as the loops want them.

    The loops read, but do not use, the rest of two vectors behind a row; and where channels are a
    power of two apart, they share a few lines of the cache.
    """
    n, c, h, w = x.shape
    (py, px), behind = border, 2 * _loops().LANES
    inner = x.transpose(1, 2, 3, 0)
    as_it_is = not (py or px or n % behind) and h * w * n % 512 and stride == 1
    if as_it_is and inner.flags.c_contiguous:
        return Images(inner.reshape(-1), w * n, h * w * n, w * n, n)
    height, width = h + 2 * py, -(-(w + 2 * px) // stride)
    phase = width * n + -width * n % 16
    if stride * phase % 512 == 0:
        phase += 32
    flat = _aligned(height * c * stride * phase + behind)
    rows = flat[: height * c * stride * phase].reshape(height, c, stride, phase)
    pixels = rows[..., : width * n].reshape(height, c, stride, width, n)
    pixels[:py] = pixels[py + h :] = 0
    xt = x.transpose(2, 1, 3, 0)

    def copy(start: int, stop: int) -> None:
        for i in range(stride):
            some, before = pixels[py + start : py + stop, :, i], max(0, -(-(px - i) // stride))
            columns = xt[start:stop, :, i + before * stride - px :: stride]
            after = before + columns.shape[2]
            some[:, :, :before] = some[:, :, after:] = 0
            some[:, :, before:after] = columns

    share(copy, h, 1 + h // 8, threads)
    return Images(flat, c * stride * phase, stride * phase, phase, n)


def _packed(w: Array, b: Array | None) -> tuple[Array, Array, tuple[int, int]]:
    """Return kernels (O, ...) and biases by blocks of channels, and how many of each size.

    Where the blocks hold more channels than there are, the last one is repeated.
    """
    loops, channels = _loops(), len(w)
    pieces = max(2, -(-channels // (loops.BIG - loops.SMALL)))  # a big block has 3, a small one 2
    small = -pieces % 3
    big = (pieces - 2 * small) // 3
    order = np.minimum(np.arange(big * loops.BIG + small * loops.SMALL), channels - 1)
    rows = w.reshape(channels, -1)
    if len(order) > channels:
        rows = rows[order]
    split = big * loops.BIG
    packed = [
        part.reshape(-1, size, w[0].size).transpose(0, 2, 1).ravel()
        for part, size in ((rows[:split], loops.BIG), (rows[split:], loops.SMALL))
    ]
    start = np.zeros(len(order), np.float32) if b is None else b[order]
    return np.concatenate(packed), start, (big, small)


def _convolved(images: Images, w: Array, b: Array | None, out: Any, geo: Any) -> Array:
    """Return the convolution as (N, O, P, Q), given (P, Q, N)."""
    (p, q, n), step = out, geo.stride[0]
    shifts = _shifts(images[1:], w.shape[1], w.shape[2:], geo)
    loops, o, row = _loops(), len(w), q * n
    weights, start, blocks = _packed(w, b)
    y = _aligned(o * p * row)

    def write(start_row: int, stop_row: int) -> None:
        loops.convolve_rows(
            images.flat, shifts, weights, start, y, step * images.row, (o, p, row), blocks,
            (start_row, stop_row),
        )  # fmt: skip

    share(write, p, 1 + SHARED // (w.size * row), _threads(w.size * p * row))
    return y.reshape(o, p, q, n).transpose(3, 0, 1, 2)


def _serves(a: Array, b: Array, y_size: tuple[int, ...], depth: int, geo: Any) -> bool:
    """Tell whether the compiled loops serve a case: (N, O, P, Q) sums of `depth` products."""
    n, channels, _, q = y_size
    work = math.prod(y_size) * depth
    if (
        work < LEAST
        or channels < FEW
        or a.dtype != np.float32
        or b.dtype != np.float32
        or geo.groups != 1
    ):
        return False
    # A product counts as the 64th of an element, which it takes as long as.
    loops = compiled("vectors", work >> 6)
    return loops is not None and n * q >= SHORT * loops.LANES


def conv2d(
    xp: Any, x: Array, w: Array, b: Array | None, *, geo: Any, memo: list[Any] | None = None
) -> Array:
    """Return the convolution of (N, C, H, W) with (O, C, K, L), plus `b` per channel.

    To `memo` go the padded images.
    """
    n = len(x)
    p, q = geo.out_size(x.shape[2:], w.shape[2:])
    if not _serves(x, w, (n, len(w), p, q), math.prod(w.shape[1:]), geo):
        return NotImplemented
    images = _padded(x, geo.padding, _threads(n * p * q * w.size), geo.stride[1])
    if memo is not None:
        memo[:] = [images]
    return _convolved(images, w, b, (p, q, n), geo)


def conv2d_input(
    xp: Any,
    v: Array,
    w: Array,
    *,
    x_size: tuple[int, ...],
    geo: Any,
    memo: list[Any] | None = None,
) -> Array:
    """Return the gradient of `conv2d` in its images, given that of its output, `v`.

    To `memo` goes the padded `v`, without its border.
    """
    (n, _, *size), (o, _, *kernel) = x_size, w.shape
    dense = geo.stride == (1, 1)
    depth = -(-o * math.prod(kernel) // math.prod(geo.stride))
    # An infinite weight times the border would be a NaN at pixels that this weight never saw.
    if (
        not (dense or geo.dilation == (1, 1))
        or not _serves(v, w, tuple(x_size), depth, geo)
        or not np.isfinite(w).all()
    ):
        return NotImplemented
    axes = [
        _phases(*axis)
        for axis in zip(size, kernel, geo.stride, geo.padding, geo.dilation, strict=True)
    ]
    py, px = (
        max([0, *(max(f.reach - f.start, f.start + f.pixels - many) for f in axis)])
        for axis, many in zip(axes, v.shape[2:], strict=True)
    )
    images = _padded(v, (py, px), _threads(math.prod(x_size) * depth))
    if memo is not None:
        memo[1:] = [v, images.inside(py, px)]
    x = np.zeros((*x_size[1:], n), np.float32).transpose(3, 0, 1, 2) if not dense else None
    for row, column in itertools.product(*axes):
        part = _convolved(
            images.inside(py + row.start - row.reach, px + column.start - column.reach),
            w[:, :, row.taps, column.taps][:, :, ::-1, ::-1].swapaxes(0, 1),
            None,
            (row.pixels, column.pixels, n),
            geo._replace(stride=(1, 1)),
        )
        if x is None:
            return part
        x[:, :, row.first :: geo.stride[0], column.first :: geo.stride[1]] = part
    return x


class Phase(NamedTuple):
    """The pixels of an axis that meet the same part of a kernel: every stride-th from `first`.

    They are so many `pixels`; the first meets output `start`, and `reach` outputs before it.
    """

    first: int
    pixels: int
    taps: slice
    start: int
    reach: int


def _phases(size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Phase]:
    """Return the phases of an axis of `size` pixels, without those that meet nothing."""
    found = []
    for first in range(min(stride, size)):
        start, tap = divmod(first + padding, stride)
        pixels, taps = len(range(first, size, stride)), len(range(tap, kernel, stride))
        if taps:
            taken = slice(tap, None, stride)
            found.append(Phase(first, pixels, taken, start, dilation * (taps - 1)))
    return found


def conv2d_weight(
    xp: Any, x: Array, v: Array, *, w_size: tuple[int, int, int, int], geo: Any
) -> Array:
    """Return the gradient of `conv2d` in its kernels, given that of its output, `v`."""
    depth = math.prod(w_size[1:])
    if not _serves(x, v, v.shape, depth, geo):
        return NotImplemented
    threads = _threads(v.size * depth)
    images = _padded(x, geo.padding, threads, geo.stride[1])
    gradient = _padded(v, (0, 0), threads)
    return _correlated(images, gradient, v.shape, w_size, geo)


def _correlated(images: Images, gradient: Images, v_size: Any, w_size: Any, geo: Any) -> Array:
    (o, c, k, l), (n, _, p, q), loops = w_size, v_size, _loops()  # noqa: E741
    depth, row = c * k * l, q * n
    taps, rows = loops.TAPS, loops.ROWS
    # whole blocks of positions and of channels: the last of each is repeated
    places = np.minimum(np.arange(depth + -depth % taps), depth - 1)
    shifts = _shifts(images[1:], c, (k, l), geo)[places]
    channels = np.minimum(np.arange(o + -o % rows), o - 1) * gradient.channel
    parts = -(-row // PIECE)
    piece = PIECE if parts == 1 else -(-row // (parts * loops.LANES)) * loops.LANES
    steps = geo.stride[0] * images.row, gradient.row
    threads = _threads(p * row * o * depth)
    band = POSITIONS if threads == 1 else POSITIONS // 3  # more pieces than threads
    bands = -(-len(shifts) // band)
    w = np.empty((len(channels), len(shifts)), np.float32)

    def write(start: int, stop: int) -> None:
        sums = np.empty(band * rows * loops.LANES, np.float32)
        for i in range(start, stop):
            first, left = i // bands * rows, i % bands * band
            at = shifts[left : left + band]
            out = np.empty((rows, len(at)), np.float32)
            loops.correlate_rows(
                images.flat, at, gradient.flat, channels, steps,
                (p, row, piece), sums, out.reshape(-1), first,
            )  # fmt: skip
            w[first : first + rows, left : left + band] = out

    share(write, len(channels) // rows * bands, 1, threads)
    return w[:o, :depth].reshape(w_size)


def _in_images(F: Any, g: Array, w: Array, x_shape: Any, geo: Any, memo: Any) -> Array:
    return conv2d_input(np, g, w, x_size=x_shape, geo=geo, memo=memo) if memo else NotImplemented


def _in_kernel(F: Any, g: Array, w_shape: Any, geo: Any, memo: Any) -> Array:
    if not memo or _loops() is None:
        return NotImplemented
    images, *gradient = memo
    if not gradient or gradient[0] is not g:
        gradient = g, _padded(g, (0, 0), _threads(g[:, 0].size * math.prod(w_shape)))
    return _correlated(images, gradient[1], g.shape, w_shape, geo)


faster("conv2d", value=conv2d, x=_in_images, w=_in_kernel)
faster("conv2d_input", value=conv2d_input)
faster("conv2d_weight", value=conv2d_weight)
