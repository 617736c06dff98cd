"""Matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..autograd.graph import apply
from ..autograd.registry import op
from ..errors import ShapeError
from .arguments import same_type
from .shape import reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["matmul"]


MATMUL = op(
    "matmul",
    lambda xp, a, b: xp.matmul(a, b),
    a=lambda F, g, b: F.matmul(g, F.mT(b)),
    b=lambda F, g, a: F.matmul(F.mT(a), g),
)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    r"""Return the matrix product :math:`C_{ij} = \sum_k A_{ik} B_{kj}`.

    Two vectors give their dot product; a vector on the left is a row, on the right a column; axes
    before the last two are batch axes and broadcast.

    Parameters
    ----------
    input, other : Tensor
        At least one axis each, of one element type.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the inner lengths differ.
    DTypeError
        If the element types differ.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.matmul(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    same_type("matmul", input=input, other=other)
    a, b = input._data.shape, other._data.shape
    if not a or not b:
        raise ShapeError(f"matmul: needs at least one axis on both sides, got {a} @ {b}; use *")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ShapeError(f"matmul: inner lengths differ: {a} @ {b} ({a[-1]} against {inner})")
    x = reshape(input, (1, *a)) if len(a) == 1 else input
    y = reshape(other, (*b, 1)) if len(b) == 1 else other
    out = apply(MATMUL, (x, y))
    if len(a) > 1 and len(b) > 1:
        return out
    shape = out._data.shape
    if len(a) == 1:
        shape = (*shape[:-2], shape[-1])
    if len(b) == 1:
        shape = shape[:-1]
    return reshape(out, shape)


def _linear(xp: Any, x: Any, w: Any, b: Any, *, memo: Any = None) -> Any:
    y = xp.matmul(x, w.T)
    if b is not None:
        y += b
    return y


LINEAR = op(
    "linear",
    _linear,
    x=lambda F, g, w: F.matmul(g, w),
    w=lambda F, g, x: F.matmul(F.mT(g), x),
    b=lambda F, g: F.sum(g, axis=(0,), keepdims=False),
)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return :math:`y = x W^\top + b`.

    Parameters
    ----------
    input : Tensor
        (..., in).
    weight : Tensor
        (out, in).
    bias : Tensor, optional
        (out,).

    Returns
    -------
    Tensor
        (..., out).

    Raises
    ------
    ShapeError
        If the lengths do not fit.
    DTypeError
        If the element types differ.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.functional.linear(tg.ones(4, 3), tg.ones(2, 3), tg.ones(2)).shape
    (4, 2)
    """
    same_type("linear", input=input, weight=weight, bias=bias)
    x, w = input._data.shape, weight._data.shape
    if len(w) != 2:
        raise ShapeError(f"linear: weight must be (out, in), got {w}")
    if not x or x[-1] != w[1]:
        raise ShapeError(
            f"linear: weight expects {w[1]} input features but x has "
            f"{x[-1] if x else 'none'} (x {x}, weight {w})"
        )
    if bias is not None and bias._data.shape != (w[0],):
        raise ShapeError(f"linear: bias must be ({w[0]},) for weight {w}, got {bias._data.shape}")
    flat = input if len(x) == 2 else reshape(input, (math.prod(x[:-1]), x[-1]))
    y = apply(LINEAR, (flat, weight, bias), {"memo": []})
    return y if len(x) == 2 else reshape(y, (*x[:-1], w[0]))
