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

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..autograd.graph import apply
from ..autograd.registry import op
from ..device import Array
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import integer, pair, same_type
from .reduce import total

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["conv2d"]


class Geometry(NamedTuple):
    """How the kernel moves over the image; each pair is (vertical, horizontal)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def out_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Return (P, Q) for an image of (H, W)."""
        p, q = (
            (n + 2 * pad - d * (k - 1) - 1) // s + 1
            for n, k, s, pad, d in zip(
                size, kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return p, q

    def taps(
        self, kernel: tuple[int, int], out: tuple[int, int]
    ) -> Iterator[tuple[int, int, slice, slice]]:
        """Yield each kernel position with the rows and columns of the padded image it meets."""
        (sy, sx), (dy, dx) = self.stride, self.dilation
        for k in range(kernel[0]):
            rows = slice(k * dy, k * dy + sy * (out[0] - 1) + 1, sy)
            for l in range(kernel[1]):  # noqa: E741  the axis letter
                yield k, l, rows, slice(l * dx, l * dx + sx * (out[1] - 1) + 1, sx)


# --- the plain version --------------------------------------------------------------------------


def _patches(
    xp: Any, x: Array, kernel: tuple[int, int], out: tuple[int, int], geo: Geometry
) -> Array:
    """Return (N, groups, C/groups*K*L, P*Q): the patch under each output position."""
    n, c, h, w = x.shape
    (py, px), (k, l) = geo.padding, kernel  # noqa: E741
    if py or px:
        padded = xp.zeros((n, c, h + 2 * py, w + 2 * px), x.dtype)
        padded[:, :, py : py + h, px : px + w] = x
        x = padded
    cols = xp.empty((n, c, k, l, *out), x.dtype)
    for i, j, rows, columns in geo.taps(kernel, out):
        cols[:, :, i, j] = x[:, :, rows, columns]
    return cols.reshape(n, geo.groups, c // geo.groups * k * l, out[0] * out[1])


def _conv2d(
    xp: Any, x: Array, w: Array, b: Array | None, *, geo: Geometry, memo: Any = None
) -> Array:
    n, o, kernel = x.shape[0], w.shape[0], w.shape[2:]
    out = geo.out_size(x.shape[2:], kernel)
    cols = _patches(xp, x, kernel, out, geo)
    y = xp.matmul(w.reshape(geo.groups, o // geo.groups, -1), cols)
    y = y.reshape(n, o, *out)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def _conv2d_input(xp: Any, v: Array, w: Array, *, x_size: tuple[int, ...], geo: Geometry) -> Array:
    n, c, h, wide = x_size
    o, kernel = w.shape[0], w.shape[2:]
    (py, px), out = geo.padding, v.shape[2:]
    wt = xp.swapaxes(w.reshape(geo.groups, o // geo.groups, -1), 1, 2)
    cols = xp.matmul(wt, v.reshape(n, geo.groups, o // geo.groups, out[0] * out[1]))
    cols = cols.reshape(n, c, *kernel, *out)
    x = xp.zeros((n, c, h + 2 * py, wide + 2 * px), v.dtype)
    for i, j, rows, columns in geo.taps(kernel, out):
        x[:, :, rows, columns] += cols[:, :, i, j]
    return x[:, :, py : py + h, px : px + wide]


def _conv2d_weight(
    xp: Any, x: Array, v: Array, *, w_size: tuple[int, int, int, int], geo: Geometry
) -> Array:
    n, o = v.shape[:2]
    cols = _patches(xp, x, w_size[2:], v.shape[2:], geo)
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


def read_padding(
    name: str,
    padding: Any,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """Return the widths that `padding` means: a size, ``"valid"`` or ``"same"``."""
    if not isinstance(padding, str):
        return pair(name, "padding", padding, 0)
    if padding not in ("valid", "same"):
        raise ArgumentError(f"{name}: padding is a size, 'valid' or 'same', got {padding!r}")
    if padding == "valid":
        return (0, 0)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if stride != (1, 1) or reach[0] % 2 or reach[1] % 2:
        raise ArgumentError(
            f"{name}: padding='same' needs stride 1 and an odd reach, got stride {stride}, "
            f"kernel {kernel}, dilation {dilation}; pad() the input yourself"
        )
    return reach[0] // 2, reach[1] // 2


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
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
        Zeros around the image; ``"same"`` keeps its size (stride 1, odd reach only).
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
        single = input.reshape(1, *x)
        y = conv2d(single, weight, bias, stride, padding, dilation, groups)
        return y.reshape(y._data.shape[1:])
    sides = f"(x {x}, weight {w})"
    if len(x) != 4 or len(w) != 4:
        raise ShapeError(f"conv2d: x must be (N, C, H, W) and weight (O, C, K, L) {sides}")
    if input._data.dtype.kind != "f":
        raise DTypeError(f"conv2d: needs floats, got {input._data.dtype}; convert with .float()")
    if min(w[2:]) < 1:
        raise ShapeError(f"conv2d: the kernel has no elements; each side must be >= 1 {sides}")
    groups = integer("conv2d", "groups", groups, 1)
    if x[1] % groups or w[0] % groups:
        raise ArgumentError(
            f"conv2d: groups={groups} must divide the {x[1]} input and {w[0]} output channels "
            f"{sides}"
        )
    if w[1] * groups != x[1]:
        raise ShapeError(
            f"conv2d: weight expects {w[1] * groups} input channels but x has {x[1]} {sides}"
        )
    if bias is not None and bias._data.shape != (w[0],):
        raise ShapeError(f"conv2d: bias must be ({w[0]},), got {bias._data.shape} {sides}")
    steps = pair("conv2d", "stride", stride, 1)
    dilate = pair("conv2d", "dilation", dilation, 1)
    geo = Geometry(steps, read_padding("conv2d", padding, w[2:], steps, dilate), dilate, groups)
    if min(geo.out_size(x[2:], w[2:])) < 1:
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilate, w[2:], strict=True))
        size = tuple(n + 2 * p for n, p in zip(x[2:], geo.padding, strict=True))
        raise ShapeError(
            f"conv2d: the kernel spans {reach} pixels but the padded image has {size} {sides}"
        )
    return apply(CONV2D, (input, weight, bias), {"geo": geo, "memo": []})
