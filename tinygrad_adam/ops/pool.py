"""Two-dimensional pooling: the largest, or the mean, of each window.

Written over the K*L window positions: each is one strided slice of the whole batch, so the work is
a few element-wise passes instead of a loop over windows.  The slices keep whatever memory order the
images have.

A window's gradient goes to its first largest element, or its last NaN.  Spreading
(`max_pool2d_grad`) and picking (`max_pool2d_pick`) by the same choice are each other's derivative.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from ..autograd.graph import Variable, apply, variable
from ..autograd.registry import op
from ..device import Array
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import integer, pair, recorded
from .reduce import in_single
from .window import Window, one_image

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Pair

__all__ = ["avg_pool2d", "max_pool2d"]


# --- the largest of each window -----------------------------------------------------------------


def _max_pool2d(xp: Any, x: Array, *, win: Window, memo: list[Array] | None = None) -> Array:
    padded = win.bordered(xp, x, -float("inf"))
    y = None
    for index in win.slices(x.shape[2:]):
        y = padded[index].copy(order="K") if y is None else xp.maximum(y, padded[index], out=y)
    return y


def _max_pool2d_code(xp: Any, x: Array, *, win: Window) -> Array:
    """Return which position of each window is chosen, row by row: its largest element.

    The first of several; but the last NaN, if there are any.
    """
    padded = win.bordered(xp, x, -float("inf"))
    number = np.dtype(np.uint8 if math.prod(win.kernel) <= 256 else np.int32).type
    first, *others = win.slices(x.shape[2:])
    top = padded[first].copy(order="K")
    code = xp.zeros_like(top, dtype=number)
    for i, index in enumerate(others, start=1):
        v = padded[index]
        later = (v > top) | (v != v)  # than a NaN nothing is larger
        xp.maximum(code, later * number(i), out=code)
        xp.maximum(top, v, out=top)
    if not win.bare:  # the border is not chosen, even if all pixels are -inf
        xp.maximum(code, _first_inside(xp, win, top.shape[2:]).astype(number), out=code)
    return code


def _first_inside(xp: Any, win: Window, out: tuple[int, ...]) -> Array:
    """Return (P, Q): the first position of each window that lies inside the image."""
    k, l = (  # noqa: E741  the axis letters
        xp.maximum(0, -((xp.arange(n) * step - border) // apart))
        for n, step, border, apart in zip(out, win.stride, win.padding, win.dilation, strict=True)
    )
    return k[:, None] * win.kernel[1] + l


def _max_pool2d_indices(xp: Any, code: Array, *, width: int, win: Window) -> Array:
    """Return where in its flattened plane, `width` wide, the chosen element of each window is."""
    code = code.astype(np.int64)
    (sy, sx), (py, px), (dy, dx) = win.stride, win.padding, win.dilation
    rows = xp.arange(code.shape[2])[:, None] * sy - py + code // win.kernel[1] * dy
    return rows * width + xp.arange(code.shape[3]) * sx - px + code % win.kernel[1] * dx


def only(xp: Any, v: Array, chosen: Array, out: Array | None = None) -> Array:
    """Return `v` where `chosen` and 0 elsewhere, whatever `v` is: infinity times 0 would be NaN.

    On the bits, masked by an integer that is all ones or all zeros: as fast as the product, and
    twice as fast as `where`.
    """
    bits = f"i{v.itemsize}"
    bare = xp.bitwise_and(
        v.view(bits), -chosen.view(np.int8), out=None if out is None else out.view(bits)
    )
    return bare.view(v.dtype)


def _max_pool2d_grad(
    xp: Any, v: Array, code: Array, *, x_size: tuple[int, ...], win: Window
) -> Array:
    """Return zeros of `x_size` with each element of `v` at its window's chosen place."""
    out = xp.zeros_like(code, dtype=v.dtype, shape=win.outer(x_size))
    for i, index in enumerate(win.slices(x_size[2:])):
        if win.overlap():
            out[index] += only(xp, v, code == i)
        else:
            only(xp, v, code == i, out=out[index])
    return out if win.bare else out[win.inner(x_size)]


def _max_pool2d_pick(xp: Any, v: Array, code: Array, *, win: Window) -> Array:
    """Return, per window, the element of `v` (shaped like the images) at its chosen place."""
    padded = win.bordered(xp, v)
    out = xp.zeros_like(code, dtype=v.dtype)
    for i, index in enumerate(win.slices(v.shape[2:])):
        out += only(xp, padded[index], code == i)
    return out


MAX_POOL2D = op(
    "max_pool2d",
    _max_pool2d,
    x=lambda F, g, x, x_shape, win: F.max_pool2d_grad(
        g, F.max_pool2d_code(x, win=win), x_size=x_shape, win=win
    ),
)
MAX_POOL2D_CODE = op("max_pool2d_code", _max_pool2d_code)
op(
    "max_pool2d_grad",
    _max_pool2d_grad,
    v=lambda F, g, code, win: F.max_pool2d_pick(g, code, win=win),
)
op(
    "max_pool2d_pick",
    _max_pool2d_pick,
    v=lambda F, g, v_shape, code, win: F.max_pool2d_grad(g, code, x_size=v_shape, win=win),
)
MAX_POOL2D_INDICES = op("max_pool2d_indices", _max_pool2d_indices)


# --- the mean of each window --------------------------------------------------------------------


class Share(NamedTuple):
    """What a window's sum is divided by: its size, its pixels inside the image, or a number."""

    include_pad: bool = True
    divisor: float | None = None

    def weights(self, xp: Any, shape: tuple[int, ...], dtype: Any, win: Window) -> Any:
        """Return a pixel's weight in each window: a number, or (P, Q) where windows differ."""
        if self.divisor is not None:
            return 1 / self.divisor
        if win.bare or (self.include_pad and win.beyond == (0, 0)):
            return 1 / math.prod(win.kernel)
        # what lies beyond the border is never counted
        (height, width), (below, right) = win.outer(shape[2:]), win.beyond
        counted = xp.zeros((height, width), dtype)
        border = slice(0, height - below), slice(0, width - right)
        counted[border if self.include_pad else win.inner(shape[2:])] = 1
        return 1 / sum(counted[index] for index in win.slices(shape[2:]))


def _avg_pool2d(xp: Any, x: Array, *, win: Window, share: Share) -> Array:
    padded = win.bordered(xp, x)
    y = None
    for index in win.slices(x.shape[2:]):
        if y is None:
            y = padded[index].copy(order="K")
        else:
            y += padded[index]
    return y * share.weights(xp, x.shape, x.dtype, win)


def _avg_pool2d_grad(
    xp: Any, v: Array, *, x_size: tuple[int, ...], win: Window, share: Share
) -> Array:
    part = v * share.weights(xp, x_size, v.dtype, win)
    out = xp.zeros_like(v, shape=win.outer(x_size))
    for index in win.slices(x_size[2:]):
        out[index] += part
    return out if win.bare else out[win.inner(x_size)]


AVG_POOL2D = op(
    "avg_pool2d",
    _avg_pool2d,
    x=lambda F, g, x_shape, win, share: F.avg_pool2d_grad(g, x_size=x_shape, win=win, share=share),
)
op(
    "avg_pool2d_grad",
    _avg_pool2d_grad,
    v=lambda F, g, win, share: F.avg_pool2d(g, win=win, share=share),
)


# --- the public functions -----------------------------------------------------------------------


def read_window(
    name: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Window:
    """Return the window that the settings of a pooling mean."""
    kernel = pair(name, "kernel_size", kernel_size, 1)
    left_out = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    steps = kernel if left_out else pair(name, "stride", stride, 1)
    borders, apart = pair(name, "padding", padding, 0), pair(name, "dilation", dilation, 1)
    win = Window(kernel, steps, borders, apart)
    if any(2 * p > n for p, n in zip(win.padding, win.reach(), strict=True)):
        raise ArgumentError(
            f"{name}: padding {win.padding} may be at most half of kernel_size {kernel}, "
            "or a window would see nothing but border"
        )
    return win


def read_divisor(name: str, divisor: Any) -> int | None:
    """Return what the sum of a window is divided by instead of its size, None for that."""
    if divisor is None:
        return None
    found = integer(name, "divisor_override", divisor)
    if not found:
        raise ArgumentError(f"{name}: divisor_override must not be 0")
    return found


def _window(name: str, x: Any, win: Window, ceil_mode: bool) -> Window:
    """Return `win` as it meets the images `x`, which are checked."""
    if not isinstance(x, Variable) or x._data.dtype.kind != "f":
        got = getattr(x, "dtype", type(x).__name__)
        raise DTypeError(f"{name}: needs a Tensor of floats, got {got}; convert with .float()")
    shape = x._data.shape
    if len(shape) != 4:
        raise ShapeError(f"{name}: x must be (N, C, H, W) or (C, H, W), got {shape}")
    if min(shape[1:]) < 1:
        raise ShapeError(f"{name}: only N may be 0, got {shape}")
    if ceil_mode:
        win = win.to_the_end(shape[2:])
    if min(win.out_size(shape[2:])) < 1:
        raise ShapeError(
            f"{name}: a {win.kernel} window does not fit into {shape[2:]} with padding "
            f"{win.padding}"
        )
    return win


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""Return the largest element of each window.

    .. math:: y_{n,c,p,q} = \max_{k,l} x_{n,\,c,\;p s + k d - \pi,\;q s + l d - \pi}

    The border counts as :math:`-\infty`.  Of several largest elements the first, row by row, gets
    the gradient; of several NaN the last, as in PyTorch.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one image.
    kernel_size : int or pair of int
        Size of the window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` when left out.
    padding : int or pair of int
        Border, at most half a window.
    dilation : int or pair of int
        Steps between the pixels of a window.
    ceil_mode : bool
        Let a last window reach beyond the border, so that every pixel is seen.
    return_indices : bool
        Return also where the largest elements are: int64, into each flattened (H, W).

    Returns
    -------
    Tensor, or pair of Tensor
        (N, C, P, Q) with :math:`P = \lfloor (H + 2\pi - d(K-1) - 1)/s \rfloor + 1`, rounded up
        with `ceil_mode`.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If input and window do not fit together.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.arange(16.0).reshape(1, 1, 4, 4)
    >>> tg.nn.functional.max_pool2d(x, 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    settings = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    if isinstance(input, Variable) and input._data.ndim == 3:
        return one_image(max_pool2d, input, *settings)
    win = read_window("max_pool2d", kernel_size, stride, padding, dilation)
    win = _window("max_pool2d", input, win, ceil_mode)
    memo: list[Array] | None = [] if return_indices or recorded(input) else None
    y = apply(MAX_POOL2D, (input,), {"win": win, "memo": memo})
    if not return_indices:
        return y
    code = variable(memo[0]) if memo else apply(MAX_POOL2D_CODE, (input,), {"win": win})
    at = {"width": input._data.shape[3], "win": win}
    return y, apply(MAX_POOL2D_INDICES, (code,), at)


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    r"""Return the mean of each window.

    .. math:: y_{n,c,p,q} = \frac{1}{KL} \sum_{k,l} x_{n,\,c,\;p s + k - \pi,\;q s + l - \pi}

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; the border counts as 0, and what `ceil_mode` adds to it not at all.
    count_include_pad : bool
        Divide by the whole window; otherwise by the pixels of it that lie inside the image.
    divisor_override : int, optional
        Divide by this instead.

    Returns
    -------
    Tensor
        (N, C, P, Q).

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If input and window do not fit together.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.arange(16.0).reshape(1, 1, 4, 4)
    >>> tg.nn.functional.avg_pool2d(x, 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if isinstance(input, Variable) and input._data.ndim == 3:
        one: Tensor = one_image(avg_pool2d, input, *settings)
        return one
    win = read_window("avg_pool2d", kernel_size, stride, padding)
    share = Share(bool(count_include_pad), read_divisor("avg_pool2d", divisor_override))
    win = _window("avg_pool2d", input, win, ceil_mode)
    return in_single(AVG_POOL2D, (input,), {"win": win, "share": share})
