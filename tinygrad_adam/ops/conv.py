"""Two-dimensional convolution (cross-correlation), and its two gradients.

Three operations, each the derivative of the others, so that convolution is differentiable to any
order without further maths:

====================  ===========================  =====================================
operation             in its first operand         in its second operand
====================  ===========================  =====================================
``conv2d(x, w)``      ``conv2d_input(g, w)``       ``conv2d_weight(x, g)``
``conv2d_input(v, w)`` ``conv2d(g, w)``            ``conv2d_weight(g, v)``
``conv2d_weight(x, v)`` ``conv2d_input(v, g)``     ``conv2d(x, g)``
====================  ===========================  =====================================

Axes: N images, C input channels, H and W input size, O output channels, P and Q output size,
K and L kernel size.

The functions here are the plain version, for any array module: gather the patches under each
kernel position with slices (im2col), then one matrix product per image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ..autograd.graph import apply
from ..autograd.registry import op
from ..device import Array
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import integer, pair, same_type
from .pad import pad
from .reduce import total
from .window import Window, one_image

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Pair

__all__ = ["conv2d"]


class Geometry(NamedTuple):
    """How the kernel moves over the image; each pair is (vertical, horizontal)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def window(self, kernel: tuple[int, ...]) -> Window:
        """Return the window that a kernel of (K, L) looks through."""
        k, l = kernel  # noqa: E741  the axis letter
        return Window((k, l), self.stride, self.padding, self.dilation)

    def out_size(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int]:
        """Return (P, Q) for an image of (H, W)."""
        return self.window(kernel).out_size(size)


# --- the plain version --------------------------------------------------------------------------


def _patches(xp: Any, x: Array, kernel: tuple[int, ...], geo: Geometry) -> Array:
    """Return (N, groups, C/groups*K*L, P*Q): the patch under each output position."""
    (n, c), window = x.shape[:2], geo.window(kernel)
    p, q = window.out_size(x.shape[2:])
    cols = xp.empty((n, c, math.prod(kernel), p, q), x.dtype)
    padded = window.bordered(xp, x)
    for t, index in enumerate(window.slices(x.shape[2:])):
        cols[:, :, t] = padded[index]
    return cols.reshape(n, geo.groups, c // geo.groups * math.prod(kernel), p * q)


def _conv2d(
    xp: Any, x: Array, w: Array, b: Array | None, *, geo: Geometry, memo: Any = None
) -> Array:
    n, o, kernel = x.shape[0], w.shape[0], w.shape[2:]
    cols = _patches(xp, x, kernel, geo)
    y = xp.matmul(w.reshape(geo.groups, o // geo.groups, -1), cols)
    y = y.reshape(n, o, *geo.out_size(x.shape[2:], kernel))
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def _conv2d_input(xp: Any, v: Array, w: Array, *, x_size: tuple[int, ...], geo: Geometry) -> Array:
    (n, c), out, window = x_size[:2], v.shape[2:], geo.window(w.shape[2:])
    each = w.shape[0] // geo.groups
    wt = xp.swapaxes(w.reshape(geo.groups, each, -1), 1, 2)
    cols = xp.matmul(wt, v.reshape(n, geo.groups, each, math.prod(out)))
    cols = cols.reshape(n, c, math.prod(window.kernel), *out)
    x = xp.zeros(window.outer(x_size), v.dtype)
    for t, index in enumerate(window.slices(x_size[2:])):
        x[index] += cols[:, :, t]
    return x[window.inner(x_size)]


def _conv2d_weight(
    xp: Any, x: Array, v: Array, *, w_size: tuple[int, int, int, int], geo: Geometry
) -> Array:
    n, o = v.shape[:2]
    cols = _patches(xp, x, w_size[2:], geo)
    per_image = xp.matmul(
        v.reshape(n, geo.groups, o // geo.groups, cols.shape[3]), xp.swapaxes(cols, 2, 3)
    )
    return total(xp, per_image, (0,), False).reshape(w_size)


CONV2D = op(
    "conv2d",
    _conv2d,
    x=lambda F, g, w, x_shape, geo: F.conv2d_input(g, w, x_size=x_shape, geo=geo),
    w=lambda F, g, x, w_shape, geo: F.conv2d_weight(x, g, w_size=w_shape, geo=geo),
    b=lambda F, g: F.sum(g, axis=(0, 2, 3), keepdims=False),
)
CONV2D_INPUT = op(
    "conv2d_input",
    _conv2d_input,
    v=lambda F, g, w, geo: F.conv2d(g, w, None, geo=geo, memo=[]),
    w=lambda F, g, v, w_shape, geo: F.conv2d_weight(g, v, w_size=w_shape, geo=geo),
)
CONV2D_WEIGHT = op(
    "conv2d_weight",
    _conv2d_weight,
    x=lambda F, g, v, x_shape, geo: F.conv2d_input(v, g, x_size=x_shape, geo=geo),
    v=lambda F, g, x, geo: F.conv2d(x, g, None, geo=geo, memo=[]),
)


# --- the public function ------------------------------------------------------------------------


def read_groups(name: str, groups: Any, inputs: int, outputs: int) -> int:
    """Return into how many groups the channels are split."""
    n = integer(name, "groups", groups, 1)
    if inputs % n or outputs % n:
        raise ArgumentError(
            f"{name}: groups={n} must divide the {inputs} input and {outputs} output channels"
        )
    return n


def read_padding(
    name: str,
    padding: Any,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the widths that `padding`, a size, ``"valid"`` or ``"same"``, means.

    And how much wider the border is below and on the right.
    """
    if not isinstance(padding, str):
        return pair(name, "padding", padding, 0), (0, 0)
    if padding not in ("valid", "same"):
        raise ArgumentError(f"{name}: padding is a size, 'valid' or 'same', got {padding!r}")
    if padding == "valid":
        return (0, 0), (0, 0)
    if stride != (1, 1):
        raise ArgumentError(
            f"{name}: padding='same' needs stride 1, got {stride}; pad() the input yourself"
        )
    y, x = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return (y // 2, x // 2), (y % 2, x % 2)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    r"""Return the cross-correlation of images with a set of kernels.

    .. math:: y_{n,o,p,q} = b_o + \sum_{c,k,l} w_{o,c,k,l} \,
              x_{n,\,c,\;p s + k d - \pi,\;q s + l d - \pi}

    with stride :math:`s`, dilation :math:`d` and zero padding :math:`\pi`.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one image.
    weight : Tensor
        (O, C / groups, K, L).
    bias : Tensor, optional
        (O,).
    stride, dilation : int or pair of int
        Steps between output positions, and between kernel positions.
    padding : int, pair of int, ``"valid"`` or ``"same"``
        Zeros around the image; ``"same"`` keeps its size (stride 1 only), with one row or column
        more behind it than before it where their number is odd.
    groups : int
        Split the channels into independent groups.

    Returns
    -------
    Tensor
        (N, O, P, Q) with :math:`P = \lfloor (H + 2\pi - d(K-1) - 1)/s \rfloor + 1`.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If the operands or settings do not fit together.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x, w = tg.ones(1, 1, 4, 4), tg.ones(2, 1, 3, 3)
    >>> tg.nn.functional.conv2d(x, w, padding=1).shape
    (1, 2, 4, 4)
    """
    same_type("conv2d", input=input, weight=weight, bias=bias)
    x, w = input._data.shape, weight._data.shape
    if len(x) == 3:
        one: Tensor = one_image(conv2d, input, weight, bias, stride, padding, dilation, groups)
        return one
    sides = f"(x {x}, weight {w})"
    if len(x) != 4 or len(w) != 4:
        raise ShapeError(f"conv2d: x must be (N, C, H, W) and weight (O, C, K, L) {sides}")
    if input._data.dtype.kind != "f":
        raise DTypeError(f"conv2d: needs floats, got {input._data.dtype}; convert with .float()")
    if min(w[2:]) < 1:
        raise ShapeError(f"conv2d: the kernel has no elements; each side must be >= 1 {sides}")
    groups = read_groups("conv2d", groups, x[1], w[0])
    if w[1] * groups != x[1]:
        raise ShapeError(
            f"conv2d: weight expects {w[1] * groups} input channels but x has {x[1]} {sides}"
        )
    if bias is not None and bias._data.shape != (w[0],):
        raise ShapeError(f"conv2d: bias must be ({w[0]},), got {bias._data.shape} {sides}")
    steps = pair("conv2d", "stride", stride, 1)
    dilate = pair("conv2d", "dilation", dilation, 1)
    border, (below, right) = read_padding("conv2d", padding, w[2:], steps, dilate)
    if below or right:
        input = pad(input, (0, right, 0, below))
        x = input._data.shape
    geo = Geometry(steps, border, dilate, groups)
    if min(geo.out_size(x[2:], w[2:])) < 1:
        window = geo.window(w[2:])
        raise ShapeError(
            f"conv2d: the kernel spans {window.reach()} pixels but the padded image has "
            f"{window.outer(x[2:])} {sides}"
        )
    return apply(CONV2D, (input, weight, bias), {"geo": geo, "memo": []})
