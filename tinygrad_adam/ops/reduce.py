"""Operations that combine the elements along axes: sums, extremes, truths, running sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from ..autograd.graph import Variable, apply
from ..autograd.registry import Op, op
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import one_axis, some_axes, takes_tensor
from .elementwise import clone, maximum, minimum
from .index import gather
from .move import cast
from .shape import squeeze

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Dim, DTypeLike

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "cumsum", "max", "mean", "min", "std", "sum",
    "var",
]  # fmt: skip


class ValuesAndIndices(NamedTuple):
    """What an extreme along one axis returns: the values, and where they are."""

    values: Tensor
    indices: Tensor


# --- shapes -------------------------------------------------------------------------------------


def kept(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` with length 1 along `axis`."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    """Return how many elements of `shape` one result along `axis` combines."""
    n = 1
    for i in axis:
        n *= shape[i]
    return n


def unreduce(F: Any, v: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """Give a reduction's result back its axes, of length 1, so that it broadcasts."""
    return F.reshape(v, shape=kept(shape, axis))


def _spread(F: Any, g: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """Undo a reduction's shape: repeat `g` along `axis` up to `shape`."""
    return F.broadcast_to(F.reshape(g, shape=kept(shape, axis)), shape=shape)


# --- values, and what derivatives share ---------------------------------------------------------

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)


def _sum(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    if x.dtype == HALF:  # added in float32
        return x.sum(axis=axis, dtype=SINGLE, keepdims=keepdims).astype(HALF)
    return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)


def total(xp: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Return the sum in the type of `x`, as the array module does it best."""
    return SUM.on(xp.__name__).value(xp, x, axis=axis, keepdims=keepdims)


def _mean(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    n = count(x.shape, axis)
    y = total(xp, x, axis, keepdims)
    return y / n if n else y * float("nan")


def _var(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    n = count(x.shape, axis)
    if n - correction <= 0:
        return total(xp, x, axis, keepdims) * float("nan")
    d = x - total(xp, x, axis, True) / n
    return total(xp, d * d, axis, keepdims) / (n - correction)


def _centred(F: Any, x: Any, axis: tuple[int, ...], scale: float) -> Any:
    """(x - mean) * scale / degrees of freedom, which is half the derivative of the variance."""
    return (x - F.mean(x, axis=axis, keepdims=True)) * scale


def _per_degree(shape: tuple[int, ...], axis: tuple[int, ...], correction: float) -> float:
    free = count(shape, axis) - correction
    return 1 / free if free > 0 else float("nan")


def _shared_by_winners(
    F: Any, g: Any, x: Any, y: Any, x_shape: tuple[int, ...], axis: tuple[int, ...]
) -> Any:
    """Gradient of an extreme: split evenly among the elements that reach it."""
    wins = F.cast(x == unreduce(F, y, x_shape, axis), dtype=g.dtype)
    return wins * (unreduce(F, g, x_shape, axis) / F.sum(wins, axis=axis, keepdims=True))


def _shared_by_nan(F: Any, g: Any, x: Any, y: Any, axis: tuple[int, ...]) -> Any:
    """Gradient of an extreme of all elements: as above, but if there are NaN they have won."""
    wins = (x == y) | (x != x)
    return F.where(wins, g / F.sum(F.cast(wins, dtype=g.dtype), axis=axis, keepdims=False), 0.0)


def _place(xp: Any, of: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    if not x.ndim:
        return xp.zeros((), np.int64)
    if axis is not None and not x.size:  # NumPy refuses, though there is nothing to choose for
        empty = xp.zeros(kept(x.shape, (axis,)), np.int64)
        return empty if keepdims else empty.squeeze(axis)
    return xp.asarray(of(x, axis=axis, keepdims=keepdims), dtype=np.int64)


# --- the operations -----------------------------------------------------------------------------

SUM = op("sum", _sum, x=lambda F, g, x_shape, axis: _spread(F, g, x_shape, axis))
MEAN = op(
    "mean",
    _mean,
    x=lambda F, g, x_shape, axis: _spread(F, g * (1 / (count(x_shape, axis) or 1)), x_shape, axis),
)
VAR = op(
    "var",
    _var,
    x=lambda F, g, x, x_shape, axis, correction: (
        unreduce(F, g, x_shape, axis)
        * _centred(F, x, axis, 2 * _per_degree(x_shape, axis, correction))
    ),
)
STD = op(
    "std",
    lambda xp, x, *, axis, keepdims, correction: xp.sqrt(
        _var(xp, x, axis=axis, keepdims=keepdims, correction=correction)
    ),
    # all elements equal: the slope is taken as 0, not 0 / 0
    x=lambda F, g, x, y, x_shape, axis, correction: (
        unreduce(F, F.where(y == 0, 0.0, g / F.where(y == 0, 1.0, y)), x_shape, axis)
        * _centred(F, x, axis, _per_degree(x_shape, axis, correction))
    ),
)


def _largest(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return xp.max(x, axis=axis, keepdims=keepdims)


def _smallest(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return xp.min(x, axis=axis, keepdims=keepdims)


AMAX = op("amax", _largest, x=_shared_by_winners)
AMIN = op("amin", _smallest, x=_shared_by_winners)
MAX = op("max", _largest, x=_shared_by_nan)
MIN = op("min", _smallest, x=_shared_by_nan)
ARGMAX = op("argmax", lambda xp, x, *, axis, keepdims: _place(xp, xp.argmax, x, axis, keepdims))
ARGMIN = op("argmin", lambda xp, x, *, axis, keepdims: _place(xp, xp.argmin, x, axis, keepdims))
ANY = op("any", lambda xp, x, *, axis, keepdims: xp.any(x, axis=axis, keepdims=keepdims))
ALL = op("all", lambda xp, x, *, axis, keepdims: xp.all(x, axis=axis, keepdims=keepdims))
CUMSUM = op(
    "cumsum",
    lambda xp, x, *, axis: xp.cumsum(x, axis=axis, dtype=x.dtype),
    x=lambda F, g, axis: F.flip(F.cumsum(F.flip(g, axis=(axis,)), axis=axis), axis=(axis,)),
)


# --- what is asked ------------------------------------------------------------------------------


def axes_of(name: str, x: Any, dim: Dim) -> tuple[int, ...]:
    """Return the axes `dim` means, each counted from the front; None (or ``()``) means all."""
    shape = x._data.shape
    if type(dim) is int and shape:
        return (one_axis(name, shape, dim),)
    axes = () if dim is None else some_axes(name, shape, dim)
    if not axes:
        return tuple(range(len(shape)))
    return axes if shape else ()


def in_single(operation: Op, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Tensor:
    """Apply an operation that adds up; half precision is computed in float32, then rounded."""
    dtype = inputs[0]._data.dtype
    if dtype != HALF:
        return apply(operation, inputs, settings)
    wide = tuple(x if x is None else cast(x, SINGLE) for x in inputs)
    return cast(apply(operation, wide, settings), dtype)


def _floating(name: str, x: Tensor) -> Tensor:
    if x._data.dtype.kind != "f":
        raise DTypeError(
            f"{name}: needs floating-point elements, got {x._data.dtype}; convert with .float()"
        )
    return x


# --- sums and moments ---------------------------------------------------------------------------


@takes_tensor
def sum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DTypeLike | None = None
) -> Tensor:
    r"""Return the sum :math:`\sum_i x_i` over all elements, or along the axes `dim`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int or sequence of int, optional
        Axes to sum over; all when left out.  NumPy's words `axis` and `keepdims` do as well.
    keepdim : bool
        Keep the summed axes with length 1.
    dtype : dtype, optional
        Cast to this first.  Left out, booleans and integers are summed as int64.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.sum(tg.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    if dtype is None and input._data.dtype.kind in "biu":
        dtype = np.int64
    x = input if dtype is None else cast(input, dtype)
    return apply(SUM, (x,), {"axis": axes_of("sum", x, dim), "keepdims": keepdim})


@takes_tensor
def mean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DTypeLike | None = None
) -> Tensor:
    r"""Return the mean :math:`\frac1n \sum_i x_i` over all elements, or along the axes `dim`.

    Parameters
    ----------
    input : Tensor
        Floating.
    dim, keepdim
        As for `sum`.
    dtype : dtype, optional
        Cast to this floating type first.

    Returns
    -------
    Tensor
        NaN where there are no elements.

    Raises
    ------
    DTypeError
        For integers, whose mean is not an integer.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.mean(tg.tensor([1.0, 2.0, 6.0])).item()
    3.0
    """
    x = _floating("mean", input if dtype is None else cast(input, dtype))
    return in_single(MEAN, (x,), {"axis": axes_of("mean", x, dim), "keepdims": keepdim})


def _moment(
    of: Op, x: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None
) -> Tensor:
    """Run `var` or `std`, whose arguments PyTorch overloads: a bool where `dim` goes."""
    name = of.name
    if isinstance(dim, bool):
        if unbiased is not None:
            raise ArgumentError(f"{name}: dim must be an integer, got {dim}")
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise ArgumentError(
                f"{name}: give correction={correction} or unbiased={unbiased}, not both"
            )
        correction = int(unbiased)
    settings = {
        "axis": axes_of(name, _floating(name, x), dim),
        "keepdims": keepdim,
        "correction": 1 if correction is None else correction,
    }
    return in_single(of, (x,), settings)


@takes_tensor
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    r"""Return the variance :math:`\frac{1}{n - c} \sum_i (x_i - \bar x)^2`.

    Parameters
    ----------
    input : Tensor
        Floating.
    dim : int or sequence of int, optional
        Axes to take it over; all when left out.  A bool here is `unbiased`, as in PyTorch.
    unbiased : bool, optional
        True means a `correction` of 1, False one of 0.
    keepdim : bool
        Keep those axes with length 1.
    correction : float, optional
        :math:`c`: 1, the default, for the unbiased estimate (Bessel), 0 for the mean square
        deviation.

    Returns
    -------
    Tensor
        NaN where :math:`n \le c`.

    Raises
    ------
    ArgumentError
        If both `unbiased` and `correction` are given.
    DTypeError
        For integers.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.var(tg.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    return _moment(VAR, input, dim, unbiased, keepdim, correction)


@takes_tensor
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the standard deviation, the square root of `var`.

    Where all elements are equal the gradient is taken as 0.

    Parameters
    ----------
    input, dim, unbiased, keepdim, correction
        As for `var`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.std(tg.tensor([1.0, 2.0, 3.0])).item()
    1.0
    """
    return _moment(STD, input, dim, unbiased, keepdim, correction)


# --- extremes -----------------------------------------------------------------------------------


def _extreme(name: str, operation: Op, x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    axis = axes_of(name, x, dim)
    if x._data.ndim and not count(x._data.shape, axis):
        raise ShapeError(f"{name}: no elements to choose from in shape {x._data.shape}, dim {dim}")
    return apply(operation, (x,), {"axis": axis, "keepdims": keepdim})


@takes_tensor
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return the largest element, or the largest along the axes `dim`.

    Elements that tie for it share the gradient evenly.

    Parameters
    ----------
    input, dim, keepdim
        As for `sum`.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If there are no elements.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([1.0, 3.0, 3.0], requires_grad=True)
    >>> tg.amax(x).backward()
    >>> x.grad
    tensor([0.0000, 0.5000, 0.5000])
    """
    return _extreme("amax", AMAX, input, dim, keepdim)


@takes_tensor
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return the smallest element, or the smallest along the axes `dim`; see `amax`."""
    return _extreme("amin", AMIN, input, dim, keepdim)


def _indices(name: str, operation: Op, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    shape = x._data.shape
    axis = None if dim is None else one_axis(name, shape, dim)
    if not (x._data.size if axis is None or not shape else shape[axis]):
        raise ShapeError(f"{name}: no elements to choose from in shape {shape}, dim {dim}")
    return apply(operation, (x,), {"axis": axis, "keepdims": keepdim})


@takes_tensor
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return where the largest element is, as int64; the first of several.

    Parameters
    ----------
    input : Tensor
        At least one element.
    dim : int, optional
        Along one axis; into the flattened tensor when left out.
    keepdim : bool
        Keep that axis with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.argmax(tg.tensor([[1, 5, 5], [7, 0, 1]]), dim=1)
    tensor([1, 0])
    """
    return _indices("argmax", ARGMAX, input, dim, keepdim)


@takes_tensor
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return where the smallest element is, as int64; the first of several.  See `argmax`."""
    return _indices("argmin", ARGMIN, input, dim, keepdim)


def _along(name: str, arg: Op, whole: Op, other_op: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Variable) or (dim is not None and not isinstance(dim, (int, np.integer))):
        return other_op(x, dim)
    if dim is None:
        return _extreme(name, whole, x, None, False)
    axis, where = one_axis(name, x._data.shape, dim), _indices(name, arg, x, dim, True)
    if not x._data.ndim:
        return ValuesAndIndices(clone(x), where)
    values = gather(x, axis, where)
    if keepdim:
        return ValuesAndIndices(values, where)
    return ValuesAndIndices(squeeze(values, axis), squeeze(where, axis))


@overload
def max(input: Tensor, dim: Tensor | None = None, keepdim: bool = False) -> Tensor: ...
@overload
def max(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
@takes_tensor
def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest element; with `dim`, a pair (values, indices) along that axis.

    Over all elements, ties share the gradient; along an axis, the first of them gets it all.

    Parameters
    ----------
    input : Tensor
        At least one element.
    dim : int or Tensor, optional
        One axis; a second Tensor means `maximum`.
    keepdim : bool
        Keep that axis with length 1.

    Returns
    -------
    Tensor, or named tuple (values, indices)

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> values, indices = tg.max(tg.tensor([[1.0, 5.0], [7.0, 0.0]]), dim=1)
    >>> values, indices
    (tensor([5., 7.]), tensor([1, 0]))
    """
    return _along("max", ARGMAX, MAX, maximum, input, dim, keepdim)


@overload
def min(input: Tensor, dim: Tensor | None = None, keepdim: bool = False) -> Tensor: ...
@overload
def min(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
@takes_tensor
def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest element; with `dim`, a pair (values, indices).  See `max`."""
    return _along("min", ARGMIN, MIN, minimum, input, dim, keepdim)


# --- truths, running sums -----------------------------------------------------------------------


@takes_tensor
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return whether any element is non-zero, or any along the axes `dim`.

    Parameters
    ----------
    input, dim, keepdim
        As for `sum`.

    Returns
    -------
    Tensor
        Of bool; False where there are no elements.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.any(tg.tensor([[0, 2], [0, 0]]), dim=1)
    tensor([ True, False])
    """
    return apply(ANY, (input,), {"axis": axes_of("any", input, dim), "keepdims": keepdim})


@takes_tensor
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return whether every element is non-zero, or every one along the axes `dim`; see `any`."""
    return apply(ALL, (input,), {"axis": axes_of("all", input, dim), "keepdims": keepdim})


@takes_tensor
def cumsum(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    r"""Return the running sums :math:`y_k = \sum_{i \le k} x_i` along the axis `dim`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        The axis to run along.
    dtype : dtype, optional
        Cast to this first.  Left out, booleans and integers are summed as int64.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.cumsum(tg.arange(4), dim=0)
    tensor([0, 1, 3, 6])
    """
    if dtype is None and input._data.dtype.kind in "biu":
        dtype = np.int64
    x = input if dtype is None else cast(input, dtype)
    axis = one_axis("cumsum", x._data.shape, dim)
    if not x._data.ndim:
        return clone(x)
    return in_single(CUMSUM, (x,), {"axis": axis})
