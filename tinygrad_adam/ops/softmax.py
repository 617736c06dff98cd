"""Exponentials summed along an axis: logsumexp, softmax, its logarithm; none overflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.graph import apply
from ..autograd.registry import op
from ..errors import DTypeError
from .arguments import one_axis, operands, takes_tensor
from .move import cast
from .reduce import axes_of, count, in_single, kept, total, unreduce
from .shape import reshape

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Dim, DTypeLike

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _logsumexp(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    if count(x.shape, axis):
        m = xp.max(x, axis=axis, keepdims=True)
    else:
        m = xp.full(kept(x.shape, axis), -float("inf"), x.dtype)
    finite = xp.where(xp.isfinite(m), m, xp.zeros_like(m))
    s = total(xp, xp.exp(x - finite), axis, True)
    # of nothing but -inf it is 0, and the answer -inf is in m already
    y = xp.log(xp.where(s == 0, 1, s)) + m
    return y if keepdims else y.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axis))


def _softmax(xp: Any, x: Any, *, axis: int) -> Any:
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True)) if x.size else x
    return e / total(xp, e, (axis,), True)


def _log_softmax(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.size:
        return x.copy()
    d = x - xp.max(x, axis=axis, keepdims=True)
    return d - xp.log(total(xp, xp.exp(d), (axis,), True))


LOGSUMEXP = op(
    "logsumexp",
    _logsumexp,
    x=lambda F, g, x, y, x_shape, axis: (
        unreduce(F, g, x_shape, axis) * F.exp(x - unreduce(F, y, x_shape, axis))
    ),
)
SOFTMAX = op(
    "softmax", _softmax, x=lambda F, g, y, axis: y * (g - F.sum(g * y, axis=(axis,), keepdims=True))
)
LOG_SOFTMAX = op(
    "log_softmax",
    _log_softmax,
    x=lambda F, g, y, axis: g - F.exp(y) * F.sum(g, axis=(axis,), keepdims=True),
)


@takes_tensor
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    r"""Return :math:`\ln \sum_i e^{x_i}` along the axes `dim`, without overflow.

    Parameters
    ----------
    input : Tensor
        Integers are turned into floats.
    dim : int or sequence of int
        Axes to sum over.
    keepdim : bool
        Keep them with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.logsumexp(tg.tensor([1000.0, 1000.0]), dim=0).item()
    1000.693...
    """
    (x,) = operands("logsumexp", input, floating=True)
    return in_single(LOGSUMEXP, (x,), {"axis": axes_of("logsumexp", x, dim), "keepdims": keepdim})


@takes_tensor
def softmax(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    r"""Return :math:`e^{x_i} / \sum_j e^{x_j}` along the axis `dim`, without overflow.

    Parameters
    ----------
    input : Tensor
        Integers are turned into floats.
    dim : int
        The axis that will sum to 1.
    dtype : dtype, optional
        Cast to this floating type first.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.softmax(tg.tensor([0.0, 0.0, -1e4]), dim=0)
    tensor([0.5000, 0.5000, 0.0000])
    """
    return _rowwise(SOFTMAX, input, dim, dtype)


@takes_tensor
def log_softmax(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    r"""Return :math:`x_i - \ln \sum_j e^{x_j}` along the axis `dim`: the log of `softmax`.

    Parameters
    ----------
    input, dim, dtype
        As for `softmax`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.log_softmax(tg.tensor([0.0, -1000.0]), dim=0)
    tensor([    0., -1000.])
    """
    return _rowwise(LOG_SOFTMAX, input, dim, dtype)


def _rowwise(operation: Any, input: Tensor, dim: int, dtype: Any) -> Tensor:
    name = operation.name
    if dtype is None:
        (x,) = operands(name, input, floating=True)
    else:
        x = cast(input, dtype)
        if x._data.dtype.kind != "f":
            raise DTypeError(f"{name}: dtype must be floating, got {x._data.dtype}")
    axis = one_axis(name, x._data.shape, dim)
    if not x._data.ndim:
        return reshape(apply(operation, (reshape(x, (1,)),), {"axis": 0}), ())
    return in_single(operation, (x,), {"axis": axis})
