"""Operations that act on each element by itself, with broadcasting.

To add one, write its value and its derivative:

    exp = unary("exp", lambda xp, x: xp.exp(x), lambda F, g, y: g * y, doc="...")

and a line of domain in ``tests/opcases.py``; the registry test asks for it.  CONTRIBUTING.md says
where else a public name goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import quick
from ..autograd.graph import Variable, apply
from ..autograd.registry import Op, op
from ..dtypes import kind, result_type
from ..errors import ArgumentError, DTypeError
from .arguments import number, operands
from .move import cast

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Binary, Operand, Unary

__all__ = [
    "abs", "add", "clamp", "clone", "cos", "div", "eq", "exp", "ge", "gt",
    "isfinite", "isnan", "le", "log", "log1p", "logical_and", "logical_not",
    "logical_or", "lt", "maximum", "minimum", "mul", "ne", "neg", "pow",
    "relu", "rsqrt", "sigmoid", "sign", "sin", "sqrt", "sub", "tanh", "where",
]  # fmt: skip


def unary(
    name: str,
    value: Callable[..., Any],
    rule: Callable[..., Any] | None,
    *,
    doc: str,
    floating: bool = True,
    truths: str = "",
) -> Unary:
    """Register an operation of one tensor and return the function that runs it.

    Parameters
    ----------
    name : str
        Its public name.
    value : callable
        ``lambda xp, x``.
    rule : callable or None
        ``lambda F, g, ...``, the derivative (see `tinygrad_adam.autograd.registry`).
    doc : str
        The function's docstring.
    floating : bool
        Turn integers into floats first.
    truths : str
        Where booleans are refused: what to do instead.
    """
    operation = op(name, value) if rule is None else op(name, value, x=rule)

    def function(input: Any) -> Any:
        x = input
        if not isinstance(x, Variable):
            raise DTypeError(f"{name}: expected a Tensor, got {type(x).__name__}")
        if floating and x._data.dtype.kind != "f":
            (x,) = operands(name, x, floating=True)
        if truths and x._data.dtype.kind == "b":
            raise DTypeError(f"{name}: not defined for booleans; {truths}")
        return apply(operation, (x,))

    run = function if rule is None else quick.unary(operation, function)
    named: Unary = _named(run, name, doc)
    return named


def binary(
    operation: Op, *, doc: str, floating: bool = False, check: Callable[..., None] | None = None
) -> Binary:
    """Return the function that runs `operation` on two operands, promoted as PyTorch does."""
    name = operation.name

    def function(input: Any, other: Any) -> Any:
        if check is not None:
            check(input, other)
        return apply(operation, operands(name, input, other, floating=floating, wrap=wrap))

    wrap = bool(operation.smooth_inputs)  # a question has an answer for any number
    run: Callable[[Any, Any], Any] = function
    if operation.smooth_inputs == 0b11:
        # NumPy has ways of its own for a power that is a Python number
        run = quick.binary(operation, function, constants=name != "pow")
    named: Binary = _named(run, name, doc)
    return named


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


# --- arithmetic ---------------------------------------------------------------------------------

plus = binary(
    op("add", lambda xp, a, b: a + b, a=lambda F, g: g, b=lambda F, g: g),
    doc="Return ``input + other``: `add` without its `alpha`, as ``+`` is.",
)


def _no_truths(*operands: Any) -> None:
    arrays = [v for v in operands if hasattr(v, "dtype") and not isinstance(v, np.generic)]
    if any(v.dtype.kind == "b" for v in arrays):
        raise DTypeError(
            "sub: booleans are not subtracted; use logical_not for 1 - mask, or convert with .int()"
        )


minus = binary(
    op("sub", lambda xp, a, b: a - b, a=lambda F, g: g, b=lambda F, g: -g),
    check=_no_truths,
    doc="Return ``input - other``: `sub` without its `alpha`, as ``-`` is.",
)


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``input + alpha * other`` with broadcasting.

    Parameters
    ----------
    input, other : Tensor or number
        At least one a Tensor.
    alpha : number
        What to multiply `other` by.

    Returns
    -------
    Tensor

    Raises
    ------
    DTypeError
        If `alpha` is floating and neither operand is.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.add(tg.tensor([1.0, 2.0]), tg.tensor([10.0, 20.0]), alpha=0.5)
    tensor([ 6., 12.])
    """
    if type(alpha) is int and alpha == 1:
        return plus(input, other)
    return plus(*_scaled("add", input, other, alpha))


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Return ``input - alpha * other`` with broadcasting; see `add`."""
    if type(alpha) is int and alpha == 1:
        return minus(input, other)
    _no_truths(input, other)
    return minus(*_scaled("sub", input, other, alpha))


def _scaled(name: str, input: Any, other: Any, alpha: Any) -> tuple[Any, Any]:
    """Return `input`, and `other` times `alpha` in the type of the result."""
    factor = number(name, "alpha", alpha)
    a, b = operands(name, input, other)
    dtype = result_type(a, b)
    if kind(dtype) < kind(np.asarray(factor).dtype):
        raise DTypeError(
            f"{name}: alpha {factor} does not fit {dtype} operands; convert one with .float()"
        )
    return a, b * factor


mul = binary(
    op("mul", lambda xp, a, b: a * b, a=lambda F, g, b: g * b, b=lambda F, g, a: g * a),
    doc="Return ``input * other``, element by element, with broadcasting.",
)
quotient = binary(
    op("div", lambda xp, a, b: a / b, a=lambda F, g, b: g / b, b=lambda F, g, b, y: -g * y / b),
    floating=True,
    doc="Return ``input / other``: `div` without its `rounding_mode`, as ``/`` is.",
)


def _truncated(xp: Any, a: Any, b: Any) -> Any:
    q = xp.floor_divide(a, b)
    if q.dtype.kind == "f":
        return xp.trunc(a / b)
    return xp.where((q < 0) & (q * b != a), q + 1, q)


def _no_zeros(*operands: Any) -> None:
    divisor = getattr(operands[1], "_data", operands[1])
    arrays = [v for v in operands if isinstance(v, Variable)]
    if any(v._data.dtype.kind == "f" for v in arrays) or not _is_whole(divisor):
        return
    # a GPU is not asked: that would wait for it
    if isinstance(divisor, (int, np.ndarray, np.generic)) and not np.all(divisor):
        raise ArgumentError(
            f"div: integers ({_described(operands[0])}) are divided by 0 "
            f"({_described(operands[1])}); convert with .float() first"
        )


def _flat(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


FLOOR_DIVIDE = op("floor_divide", lambda xp, a, b: xp.floor_divide(a, b), a=_flat, b=_flat)
_ROUNDED = {
    None: quotient,
    "floor": binary(FLOOR_DIVIDE, check=_no_zeros, doc=""),
    "trunc": binary(op("div_trunc", _truncated, a=_flat, b=_flat), check=_no_zeros, doc=""),
}


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """Return ``input / other`` with broadcasting; integers give floats.

    Parameters
    ----------
    input, other : Tensor or number
        At least one a Tensor.
    rounding_mode : {None, "trunc", "floor"}
        Round towards 0, or down; integers then stay integers, and the derivative is 0.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        For another mode, or if integers are rounded that are divided by 0 (checked on the CPU
        only).

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.div(tg.tensor([-7, 7]), 2, rounding_mode="floor")
    tensor([-4,  3])
    """
    if rounding_mode not in _ROUNDED:
        raise ArgumentError(
            f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}"
        )
    return _ROUNDED[rounding_mode](input, other)


def _power_in_base(F: Any, g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        # b * a**(b - 1) would be 0 * inf where a is 0 and b is 0
        return F.zeros_like(g) if b == 0 else g * (b * F.pow(a, b - 1))
    flat = b == 0
    return F.where(flat, 0.0, g * (b * F.pow(F.where(flat, 1.0, a), b - 1)))


def _power_in_exponent(F: Any, g: Any, a: Any, b: Any, y: Any) -> Any:
    if isinstance(a, (int, float)):
        if a == 0:
            return F.where(b >= 0, 0.0, g * -math.inf)
        return g * y * (math.log(a) if a > 0 else math.nan)
    # 0**b stays 0 as b > 0 changes; log would make it 0 * -inf
    flat = (a == 0) & (b >= 0)
    return F.where(flat, 0.0, g * y * F.log(F.where(flat, 1.0, a)))


def _power(xp: Any, a: Any, b: Any) -> Any:
    if not hasattr(b, "dtype"):
        if b == 0.5:
            return xp.sqrt(a)
        return 1 / xp.sqrt(a) if b == -0.5 else a**b
    if b.dtype.kind == "f" or (hasattr(a, "dtype") and a.dtype.kind == "f"):
        return a**b
    # of whole numbers, negative powers are whole for 1 and -1 alone; the others are rounded to 0
    base = xp.zeros_like(b) + a
    odd = xp.where(b % 2 == 0, base * base, base)
    return xp.where(b < 0, xp.where(base * base == 1, odd, 0), base ** xp.maximum(b, 0))


POW = op("pow", _power, a=_power_in_base, b=_power_in_exponent)
_pow = binary(POW, doc="")


def pow(input: Operand, exponent: Operand) -> Tensor:
    r"""Return ``input ** exponent`` with broadcasting.

    The derivatives are :math:`b\,a^{b-1}` and :math:`a^b \ln a`, taken as 0 where the value does
    not change (exponent 0; base 0 under a non-negative exponent).

    Parameters
    ----------
    input, exponent : Tensor or number
        At least one a Tensor.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        For integers to the power of a negative integer number, which no integer can hold.
        Integers to negative powers in a Tensor are rounded towards 0.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.pow(tg.tensor([1.0, 2.0]), 3)
    tensor([1., 8.])
    """
    if isinstance(exponent, (int, np.integer)) and exponent < 0 and _is_whole(input):
        raise ArgumentError(
            f"pow: integers ({_described(input)}) to a negative power ({_described(exponent)}) "
            "are not integers; convert with .float() first"
        )
    if _is_truth(input) and _is_truth(exponent):
        if not (isinstance(input, Variable) and isinstance(exponent, bool)):
            raise DTypeError(
                f"pow: truths ({_described(input)}) to the power of truths "
                f"({_described(exponent)}) are not defined; convert with .long() first"
            )
        return clone(input) if exponent else logical_or(input, True)
    return _pow(input, exponent)


def _is_truth(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return isinstance(value, bool) if dtype is None else dtype.kind == "b"


def _is_whole(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return isinstance(value, int) if dtype is None else dtype.kind in "biu"


def _described(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if hasattr(value, "dtype") else repr(value)


op("zeros_like", lambda xp, x: xp.zeros_like(x))  # what a derivative is that is nowhere else


def _sign(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "b":
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


neg = unary(
    "neg", lambda xp, x: -x, lambda F, g: -g, floating=False,
    truths="use logical_not, or convert with .int()",
    doc="Return ``-input``.",
)  # fmt: skip
sign = unary(
    "sign", _sign, lambda F, g: F.zeros_like(g), floating=False,
    doc="Return -1, 0 or 1 per element by its sign, 0 for NaN; its derivative is zero.",
)  # fmt: skip
abs = unary(
    "abs", lambda xp, x: xp.abs(x), lambda F, g, x: g * F.sign(x), floating=False,
    doc=r"Return :math:`|x|`; the derivative at 0 is taken as 0.",
)  # fmt: skip
clone = unary(
    "clone", lambda xp, x: x.copy(), lambda F, g: g, floating=False,
    doc="Return a copy that gradients flow through.",
)  # fmt: skip

# --- exponentials, roots, waves -----------------------------------------------------------------

exp = unary(
    "exp", lambda xp, x: xp.exp(x), lambda F, g, y: g * y,
    doc=r"Return :math:`e^x`.",
)  # fmt: skip
log = unary(
    "log", lambda xp, x: xp.log(x), lambda F, g, x: g / x,
    doc=r"Return the natural logarithm :math:`\ln x`.",
)  # fmt: skip
log1p = unary(
    "log1p", lambda xp, x: xp.log1p(x), lambda F, g, x: g / (1 + x),
    doc=r"Return :math:`\ln(1 + x)`, exact for small :math:`x`.",
)  # fmt: skip
sqrt = unary(
    "sqrt", lambda xp, x: xp.sqrt(x), lambda F, g, y: g / (2 * y),
    doc=r"Return :math:`\sqrt{x}`.",
)  # fmt: skip
rsqrt = unary(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x), lambda F, g, y: -0.5 * g * (y * y * y),
    doc=r"Return :math:`1 / \sqrt{x}`.",
)  # fmt: skip
sin = unary(
    "sin", lambda xp, x: xp.sin(x), lambda F, g, x: g * F.cos(x),
    doc=r"Return :math:`\sin x`, with :math:`x` in radians.",
)  # fmt: skip
cos = unary(
    "cos", lambda xp, x: xp.cos(x), lambda F, g, x: -g * F.sin(x),
    doc=r"Return :math:`\cos x`, with :math:`x` in radians.",
)  # fmt: skip

# --- activations --------------------------------------------------------------------------------


def _sigmoid(xp: Any, x: Any) -> Any:
    with np.errstate(over="ignore"):  # where e^-x is too large, its inverse is 0
        e = xp.exp(-x)
    e += 1
    return 1 / e


tanh = unary(
    "tanh", lambda xp, x: xp.tanh(x), lambda F, g, y: g * (1 - y * y),
    doc=r"Return :math:`\tanh x`.",
)  # fmt: skip
sigmoid = unary(
    "sigmoid", _sigmoid, lambda F, g, y: g * (y * (1 - y)),
    doc=r"Return :math:`1 / (1 + e^{-x})`, without overflow for any :math:`x`.",
)  # fmt: skip
relu = unary(
    "relu", lambda xp, x: xp.maximum(x, 0), lambda F, g, y: F.relu_slope(g, y), floating=False,
    truths="convert them with .float()",
    doc=r"Return :math:`\max(x, 0)`; the derivative at 0 is 0.",
)  # fmt: skip
# y == 0 rather than y > 0: a NaN passes the gradient on; and an infinity times 0 would be one
op(
    "relu_slope",
    lambda xp, g, y: xp.where(y == 0, xp.zeros_like(g), g),
    g=lambda F, v, y: F.relu_slope(v, y),
    y=lambda F, v: F.zeros_like(v),
)

# --- choosing -----------------------------------------------------------------------------------


def _if_larger(F: Any, g: Any, a: Any, b: Any) -> Any:
    """Gradient of max(a, b) in a, and of min(a, b) in b: half of it where they tie."""
    return F.where(a == b, g * 0.5, F.where(a < b, 0.0, g))


def _if_smaller(F: Any, g: Any, a: Any, b: Any) -> Any:
    return _if_larger(F, g, b, a)


maximum = binary(
    op("maximum", lambda xp, a, b: xp.maximum(a, b), a=_if_larger, b=_if_smaller),
    doc="Return the larger of two tensors per element; a tie halves the gradient.",
)
minimum = binary(
    op("minimum", lambda xp, a, b: xp.minimum(a, b), a=_if_smaller, b=_if_larger),
    doc="Return the smaller of two tensors per element; a tie halves the gradient.",
)

WHERE = op(
    "where",
    lambda xp, condition, input, other: xp.where(condition, input, other),
    input=lambda F, g, condition: F.where(condition, g, 0.0),
    other=lambda F, g, condition: F.where(condition, 0.0, g),
)


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """Return `input` where `condition` holds and `other` elsewhere, with broadcasting.

    Parameters
    ----------
    condition : Tensor of bool
        What to choose by.
    input, other : Tensor or number
        What to choose from.

    Returns
    -------
    Tensor

    Raises
    ------
    DTypeError
        If `condition` is not boolean.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> tg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if not isinstance(condition, Variable) or condition._data.dtype.kind != "b":
        got = getattr(condition, "dtype", type(condition).__name__)
        raise DTypeError(f"where: condition must be a Tensor of bool, got {got}; use x != 0")
    if not isinstance(input, Variable) and not isinstance(other, Variable):
        dtype = result_type(input, other)
        input = cast(add(mul(cast(condition, dtype), 0), input), dtype)
    a, b = operands("where", input, other)
    return apply(WHERE, (condition, a, b))


def _inside(F: Any, g: Any, x: Any, lo: Any, hi: Any) -> Any:
    # chosen, not multiplied by 0: an infinite gradient outside is no concern of x
    if lo is not None:
        g = F.where(x >= lo, g, 0.0)
    return g if hi is None else F.where(x <= hi, g, 0.0)


CLAMP = op(
    "clamp",
    lambda xp, x, lo, hi: xp.clip(x, lo, hi),
    x=_inside,
    lo=lambda F, g, x, lo, hi: F.where((x < lo) if hi is None else (x < lo) & (lo < hi), g, 0.0),
    hi=lambda F, g, x, lo, hi: F.where((x > hi) if lo is None else (x > hi) | (lo > hi), g, 0.0),
)


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """Return `input` with elements below `min` raised to it and above `max` lowered to it.

    The gradient passes where ``min <= input <= max``, both ends included.

    Parameters
    ----------
    input : Tensor
        Any shape.
    min, max : Tensor or number, optional
        At least one of them.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If neither bound is given.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.clamp(tg.tensor([-3.0, 0.5, 3.0]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both")
    bounds = [b for b in (min, max) if b is not None]
    x, *ready = operands("clamp", input, *bounds)
    lo = None if min is None else ready[0]
    hi = None if max is None else ready[-1]
    return apply(CLAMP, (x, lo, hi))


# --- questions, whose answers have no derivative ------------------------------------------------

eq = binary(op("eq", lambda xp, a, b: a == b), doc="Return where ``input == other``.")
ne = binary(op("ne", lambda xp, a, b: a != b), doc="Return where ``input != other``.")
lt = binary(op("lt", lambda xp, a, b: a < b), doc="Return where ``input < other``.")
le = binary(op("le", lambda xp, a, b: a <= b), doc="Return where ``input <= other``.")
gt = binary(op("gt", lambda xp, a, b: a > b), doc="Return where ``input > other``.")
ge = binary(op("ge", lambda xp, a, b: a >= b), doc="Return where ``input >= other``.")
logical_and = binary(
    op("logical_and", lambda xp, a, b: xp.logical_and(a, b)),
    doc="Return where both operands are non-zero.",
)
logical_or = binary(
    op("logical_or", lambda xp, a, b: xp.logical_or(a, b)),
    doc="Return where either operand is non-zero.",
)
logical_not = unary(
    "logical_not", lambda xp, x: xp.logical_not(x), None, floating=False,
    doc="Return where `input` is zero.",
)  # fmt: skip
isnan = unary(
    "isnan", lambda xp, x: xp.isnan(x), None, floating=False,
    doc="Return where `input` is not a number.",
)  # fmt: skip
isfinite = unary(
    "isfinite", lambda xp, x: xp.isfinite(x), None, floating=False,
    doc="Return where `input` is neither infinite nor NaN.",
)  # fmt: skip
