"""Elementary functions of one and two tensors: trigonometry, rounding, bits.

Written as `elementwise.py` says.  Rounding is constant piece by piece, and so its derivative is 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..autograd.graph import Variable
from ..autograd.registry import op
from ..errors import DTypeError
from .arguments import integer
from .elementwise import FLOOR_DIVIDE, binary, mul, quotient, unary

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "ceil", "copysign", "cosh", "expm1", "floor", "floor_divide", "hypot", "isinf", "log10",
    "log2", "logaddexp", "logical_xor", "nextafter", "reciprocal", "remainder", "round",
    "signbit", "sinh", "square", "tan", "trunc",
]  # fmt: skip

# --- waves, and what goes with them -------------------------------------------------------------

tan = unary(
    "tan", lambda xp, x: xp.tan(x), lambda F, g, y: g * (1 + y * y),
    doc=r"Return :math:`\tan x`, with :math:`x` in radians.",
)  # fmt: skip
asin = unary(
    "asin", lambda xp, x: xp.arcsin(x), lambda F, g, x: g * F.rsqrt(1 - x * x),
    doc=r"Return :math:`\arcsin x`, from :math:`-\pi/2` to :math:`\pi/2`.",
)  # fmt: skip
acos = unary(
    "acos", lambda xp, x: xp.arccos(x), lambda F, g, x: -g * F.rsqrt(1 - x * x),
    doc=r"Return :math:`\arccos x`, from 0 to :math:`\pi`.",
)  # fmt: skip
atan = unary(
    "atan", lambda xp, x: xp.arctan(x), lambda F, g, x: g / (1 + x * x),
    doc=r"Return :math:`\arctan x`, from :math:`-\pi/2` to :math:`\pi/2`.",
)  # fmt: skip
sinh = unary(
    "sinh", lambda xp, x: xp.sinh(x), lambda F, g, x: g * F.cosh(x),
    doc=r"Return :math:`\sinh x = (e^x - e^{-x}) / 2`.",
)  # fmt: skip
cosh = unary(
    "cosh", lambda xp, x: xp.cosh(x), lambda F, g, x: g * F.sinh(x),
    doc=r"Return :math:`\cosh x = (e^x + e^{-x}) / 2`.",
)  # fmt: skip
asinh = unary(
    "asinh", lambda xp, x: xp.arcsinh(x), lambda F, g, x: g * F.rsqrt(x * x + 1),
    doc=r"Return the inverse of :math:`\sinh`.",
)  # fmt: skip
acosh = unary(
    "acosh", lambda xp, x: xp.arccosh(x), lambda F, g, x: g * F.rsqrt(x * x - 1),
    doc=r"Return the inverse of :math:`\cosh`, at least 0.",
)  # fmt: skip
atanh = unary(
    "atanh", lambda xp, x: xp.arctanh(x), lambda F, g, x: g / (1 - x * x),
    doc=r"Return the inverse of :math:`\tanh`.",
)  # fmt: skip


def _per_square(F: Any, a: Any, b: Any) -> Any:
    """Return one over the squared distance of the point (b, a) from 0; 0 where it is there."""
    square = a * a + b * b
    return F.where(square == 0, 0.0, 1 / F.where(square == 0, 1.0, square))


atan2 = binary(
    op(
        "atan2",
        lambda xp, a, b: xp.arctan2(a, b),
        a=lambda F, g, a, b: g * (b * _per_square(F, a, b)),
        b=lambda F, g, a, b: -g * (a * _per_square(F, a, b)),
    ),
    floating=True,
    doc=r"Return the angle of the point (`other`, `input`), from :math:`-\pi` to :math:`\pi`.",
)
hypot = binary(
    op(
        "hypot",
        lambda xp, a, b: xp.hypot(a, b),
        a=lambda F, g, a, y: g * (a / y),
        b=lambda F, g, b, y: g * (b / y),
    ),
    floating=True,
    doc=r"Return :math:`\sqrt{a^2 + b^2}`, without overflow, with broadcasting.",
)

# --- powers and logarithms ----------------------------------------------------------------------

expm1 = unary(
    "expm1", lambda xp, x: xp.expm1(x), lambda F, g, y: g * (y + 1),
    doc=r"Return :math:`e^x - 1`, exact for small :math:`x`.",
)  # fmt: skip
log2 = unary(
    "log2", lambda xp, x: xp.log2(x), lambda F, g, x: g / (x * math.log(2)),
    doc=r"Return the logarithm to base 2.",
)  # fmt: skip
log10 = unary(
    "log10", lambda xp, x: xp.log10(x), lambda F, g, x: g / (x * math.log(10)),
    doc=r"Return the logarithm to base 10.",
)  # fmt: skip
logaddexp = binary(
    op(
        "logaddexp",
        lambda xp, a, b: xp.logaddexp(a, b),
        a=lambda F, g, a, b: g * F.sigmoid(a - b),
        b=lambda F, g, a, b: g * F.sigmoid(b - a),
    ),
    floating=True,
    doc=r"Return :math:`\ln(e^a + e^b)`, without overflow, with broadcasting.",
)
reciprocal = unary(
    "reciprocal", lambda xp, x: 1 / x, lambda F, g, y: -g * y * y,
    doc=r"Return :math:`1 / x`.",
)  # fmt: skip
square = unary(
    "square", lambda xp, x: x * x, lambda F, g, x: g * (2 * x), floating=False,
    doc=r"Return :math:`x^2`.",
)  # fmt: skip

# --- rounding, and remainders -------------------------------------------------------------------


def _whole(function: str) -> Any:
    """Return what rounds floats by NumPy's `function`; integers are whole already."""
    return lambda xp, x: getattr(xp, function)(x) if x.dtype.kind == "f" else x.copy()


def _flat(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


floor = unary(
    "floor", _whole("floor"), _flat, floating=False, truths="convert with .long() first",
    doc="Return the largest integer that is not above `input`; its derivative is zero.",
)  # fmt: skip
ceil = unary(
    "ceil", _whole("ceil"), _flat, floating=False, truths="convert with .long() first",
    doc="Return the smallest integer that is not below `input`; its derivative is zero.",
)  # fmt: skip
trunc = unary(
    "trunc", _whole("trunc"), _flat, floating=False, truths="convert with .long() first",
    doc="Return `input` without its decimals; its derivative is zero.",
)  # fmt: skip
nearest = unary(
    "round", _whole("rint"), _flat, floating=False, truths="convert with .long() first",
    doc="Return `round` without its `decimals`.",
)  # fmt: skip


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return the nearest integer, of two the even one; its derivative is zero.

    Parameters
    ----------
    input : Tensor
        Any shape.
    decimals : int
        Keep so many decimals instead; below 0, round that many digits before the point.

    Returns
    -------
    Tensor

    Raises
    ------
    DTypeError
        For booleans; for integers if `decimals` is not 0.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.round(tg.tensor([0.5, 2.6])), tg.round(tg.tensor([12.375]), decimals=2)
    (tensor([0., 3.]), tensor([12.3800]))
    """
    if integer("round", "decimals", decimals) == 0:
        return nearest(input)
    if isinstance(input, Variable) and input._data.dtype.kind != "f":
        raise DTypeError(f"round: decimals={decimals} needs floats, got {input._data.dtype}")
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return quotient(nearest(mul(input, scale)), scale)
    return mul(nearest(quotient(input, scale)), scale)


floor_divide = binary(
    FLOOR_DIVIDE,
    doc="Return ``input / other``, rounded down, with broadcasting; its derivative is zero.",
)
remainder = binary(
    op(
        "remainder",
        lambda xp, a, b: xp.remainder(a, b),
        a=lambda F, g: g,
        b=lambda F, g, a, b: -g * F.floor_divide(a, b),
    ),
    doc="Return what ``floor_divide`` leaves of `input`; it has the sign of `other`.",
)
copysign = binary(
    op(
        "copysign",
        lambda xp, a, b: xp.copysign(a, b),
        a=lambda F, g, a, y: g * F.where(a == 0, 0.0, y / F.where(a == 0, 1.0, a)),
        b=_flat,
    ),
    floating=True,
    doc="Return `input` with the sign of `other`, with broadcasting.",
)
nextafter = binary(
    op("nextafter", lambda xp, a, b: xp.nextafter(a, b)), floating=True,
    doc="Return the number next to `input` in the direction of `other`.",
)  # fmt: skip

# --- questions, and bits, which have no derivative ----------------------------------------------

isinf = unary(
    "isinf", lambda xp, x: xp.isinf(x), None, floating=False,
    doc="Return where `input` is infinite.",
)  # fmt: skip
signbit = unary(
    "signbit", lambda xp, x: xp.signbit(x) if x.dtype.kind == "f" else x < 0, None, floating=False,
    doc="Return where `input` has a minus sign, -0 included.",
)  # fmt: skip


def _no_floats(*operands: Any) -> None:
    for v in operands:
        floating = isinstance(v, float) if not hasattr(v, "dtype") else v.dtype.kind == "f"
        if floating:
            raise DTypeError(
                "bits: &, |, ^, ~, << and >> take booleans and integers, got "
                f"{getattr(v, 'dtype', v)}; compare first, as in x > 0, or convert with .long()"
            )


logical_xor = binary(
    op("logical_xor", lambda xp, a, b: xp.logical_xor(a, b)),
    doc="Return where exactly one operand is non-zero.",
)
bitwise_and = binary(
    op("bitwise_and", lambda xp, a, b: xp.bitwise_and(a, b)),
    check=_no_floats,
    doc="Return the bits that both integers have; of booleans, where both hold.",
)
bitwise_or = binary(
    op("bitwise_or", lambda xp, a, b: xp.bitwise_or(a, b)),
    check=_no_floats,
    doc="Return the bits that either integer has; of booleans, where either holds.",
)
bitwise_xor = binary(
    op("bitwise_xor", lambda xp, a, b: xp.bitwise_xor(a, b)),
    check=_no_floats,
    doc="Return the bits that exactly one integer has; of booleans, where exactly one holds.",
)


def _inverted(xp: Any, x: Any) -> Any:
    _no_floats(x)
    return xp.invert(x)


bitwise_not = unary(
    "bitwise_not", _inverted, None, floating=False,
    doc="Return the bits that an integer does not have; of booleans, where it does not hold.",
)  # fmt: skip
bitwise_left_shift = binary(
    op("bitwise_left_shift", lambda xp, a, b: xp.left_shift(a, b)),
    check=_no_floats,
    doc="Return the bits of `input` moved up by `other` places.",
)
bitwise_right_shift = binary(
    op("bitwise_right_shift", lambda xp, a, b: xp.right_shift(a, b)),
    check=_no_floats,
    doc="Return the bits of `input` moved down by `other` places; the sign stays.",
)
