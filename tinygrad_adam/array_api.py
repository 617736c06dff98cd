"""The Python array API standard on tensors: what ``x.__array_namespace__()`` returns.

Code that is written for the standard runs on tensors, and gradients flow through it.

>>> import tinygrad_adam as tg
>>> def softplus(x):
...     xp = x.__array_namespace__()
...     return xp.logaddexp(x, xp.zeros_like(x))
>>> x = tg.tensor([0.0], requires_grad=True)
>>> softplus(x).backward(); x.grad
tensor([0.5000])

The names and arguments are the standard's, https://data-apis.org/array-api/2024.12; what they run
are the operations of this package.  What this package does not have is not here either: complex
numbers, and the extensions ``linalg`` and ``fft``.  Where the two disagree the package goes by
PyTorch: ``sign`` of NaN is 0, ``x.size`` is a method, and where tensors with axes meet those
without, operators (not the functions here) take the type of the former.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import creation, cuda
from . import dtypes as types
from .autograd.graph import variable
from .device import Array, Device, array_module, device_guard, get_default_device, to_device
from .errors import ArgumentError, ExchangeError, ShapeError
from .ops import elementary as el
from .ops import elementwise as ew
from .ops import index, join, linear
from .ops import reduce as red
from .ops import shape as shp
from .ops.arguments import one_axis, some_axes
from .ops.move import cast
from .tensor import Tensor
from .types import DeviceLike, Shape

__array_api_version__ = "2024.12"
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

Axes = int | tuple[int, ...] | None
DType = np.dtype[Any]

# --- element by element: the standard's names for functions of this package -----------------------

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(ew, name) for name in (
        "abs", "cos", "exp", "isfinite", "isnan", "log", "log1p", "logical_not", "sign", "sin",
        "sqrt", "tanh",
    )},
    **{name: getattr(el, name) for name in (
        "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cosh", "expm1", "floor",
        "isinf", "log10", "log2", "reciprocal", "round", "signbit", "sinh", "square", "tan",
        "trunc",
    )},
    "bitwise_invert": el.bitwise_not,
    "negative": ew.neg,
    "positive": ew.clone,
}  # fmt: skip
_BINARY: dict[str, Callable[[Any, Any], Tensor]] = {
    **{name: getattr(el, name) for name in (
        "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
        "bitwise_xor", "copysign", "floor_divide", "hypot", "logaddexp", "logical_xor",
        "nextafter", "remainder",
    )},
    "add": ew.add, "divide": ew.div, "equal": ew.eq, "greater": ew.gt, "greater_equal": ew.ge,
    "less": ew.lt, "less_equal": ew.le, "logical_and": ew.logical_and,
    "logical_or": ew.logical_or, "maximum": ew.maximum, "minimum": ew.minimum,
    "multiply": ew.mul, "not_equal": ew.ne, "pow": ew.pow, "subtract": ew.sub,
}  # fmt: skip


def _one(name: str, function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def standard(x: Tensor, /) -> Tensor:
        return function(x)

    return _renamed(standard, name, function)


def _two(name: str, function: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    def standard(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
        return function(*_alike(x1, x2))

    return _renamed(standard, name, function)


def _renamed(
    standard: Callable[..., Tensor], name: str, function: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    standard.__name__ = standard.__qualname__ = name
    standard.__doc__ = function.__doc__
    return standard


if TYPE_CHECKING:  # of what the tables put here

    def __getattr__(name: str) -> Callable[..., Tensor]: ...


globals().update({name: _one(name, f) for name, f in _UNARY.items()})
globals().update({name: _two(name, f) for name, f in _BINARY.items()})


def _alike(*values: Any) -> list[Any]:
    """Return tensors in their common type, whatever their shapes, and numbers as they are."""
    found = {v.dtype for v in values if isinstance(v, Tensor)}
    if len(found) < 2:
        return list(values)
    dtype = result_type(*found)
    return [cast(v, dtype) if isinstance(v, Tensor) else v for v in values]


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Return `x` with what is below `min` raised to it and what is above `max` lowered to it."""
    bounds = [cast(b, x.dtype) if isinstance(b, Tensor) else b for b in (min, max)]
    return ew.clone(x) if bounds == [None, None] else cast(ew.clamp(x, *bounds), x.dtype)


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """Return `x1` where `condition` holds and `x2` elsewhere."""
    return ew.where(condition, *_alike(x1, x2))


# --- making arrays ------------------------------------------------------------------------------


def asarray(
    obj: Any,
    /,
    *,
    dtype: Any = None,
    device: DeviceLike | None = None,
    copy: builtins.bool | None = None,
) -> Tensor:
    """Return `obj` as an array; a tensor, of that type and there already, as it is."""
    if not isinstance(obj, Tensor) and not hasattr(obj, "dtype"):
        if copy is False:
            raise ExchangeError("asarray: lists and numbers are copied, and copy is False")
        return creation.tensor(obj, dtype=dtype, device=device)
    x: Tensor = obj if isinstance(obj, Tensor) else creation.as_tensor(obj)
    y = x.to(dtype=dtype, device=device)
    if copy is False and y is not x:
        raise ExchangeError(f"asarray: from {x.dtype} on {x.device} it copies, and copy is False")
    return ew.clone(y) if copy and y is x else y


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None,
    device: DeviceLike | None = None,
) -> Tensor:  # fmt: skip
    """Return ``start, start + step, ...`` up to but without `stop`; from 0 if there is one."""
    first, last = (0, start) if stop is None else (start, stop)
    return creation.arange(first, last, step, dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return an array whose elements have no defined value."""
    return creation.empty(shape, dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return an array of zeros."""
    return creation.zeros(shape, dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return an array of ones."""
    return creation.ones(shape, dtype=dtype, device=device)


def full(
    shape: Any, fill_value: float, *, dtype: Any = None, device: DeviceLike | None = None
) -> Tensor:
    """Return an array of one value."""
    return creation.full(shape, fill_value, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return an array like `x`, whose elements have no defined value."""
    return creation.empty_like(x, dtype=dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return zeros like `x`."""
    return creation.zeros_like(x, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: DeviceLike | None = None) -> Tensor:
    """Return ones like `x`."""
    return creation.ones_like(x, dtype=dtype, device=device)


def full_like(
    x: Tensor, /, fill_value: float, *, dtype: Any = None, device: DeviceLike | None = None
) -> Tensor:
    """Return one value like `x`."""
    return creation.full_like(x, fill_value, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None,
    device: DeviceLike | None = None,
) -> Tensor:  # fmt: skip
    """Return a matrix with ones on its diagonal number `k`."""
    dtype = types.get_default_dtype() if dtype is None else types.element_type(dtype)
    return creation.as_tensor(np.eye(n_rows, n_cols, k, dtype), device=Device.parse(device))


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None,
    device: DeviceLike | None = None, endpoint: builtins.bool = True,
) -> Tensor:  # fmt: skip
    """Return `num` evenly spaced numbers from `start` to `stop`."""
    if not endpoint:
        stop = stop - (stop - start) / builtins.max(num, 1)
    return creation.linspace(start, stop, num, dtype=dtype, device=device)


def from_dlpack(
    x: Any, /, *, device: DeviceLike | None = None, copy: builtins.bool | None = None
) -> Tensor:
    """Return an array on the memory of another library's; see `tinygrad_adam.from_dlpack`."""
    return creation.from_dlpack(x, device=device, copy=copy)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of all points of a grid, from those along each axis."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}")
    n = len(arrays)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = 1, 0
    spread = []
    for x, axis in zip(arrays, order, strict=True):
        spread.append(shp.reshape(x, tuple(-1 if i == axis else 1 for i in range(n))))
    return broadcast_arrays(*spread)


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return matrices with 0 above their diagonal number `k`."""
    return ew.where(_triangle(x, k), x, 0)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """Return matrices with 0 below their diagonal number `k`."""
    return ew.where(_triangle(x, k - 1), 0, x)


def _triangle(x: Tensor, k: int) -> Tensor:
    if x.ndim < 2:
        raise ShapeError(f"tril, triu: need matrices, got shape {x.shape}")
    return creation.as_tensor(np.tri(x.shape[-2], x.shape[-1], k, bool), device=x.device)


# --- element types ------------------------------------------------------------------------------

bool = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)

_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float32, float64),
    "complex floating": (),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"]


class FInfo(NamedTuple):
    """What a floating type can hold."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


def finfo(type: Any, /) -> FInfo:
    """Return what a floating type, or that of an array, can hold."""
    dtype = _dtype_of(type)
    found: Any = np.finfo(dtype)
    eps, most, least, normal = found.eps, found.max, found.min, found.smallest_normal
    return FInfo(found.bits, float(eps), float(most), float(least), float(normal), dtype)


def iinfo(type: Any, /) -> Any:
    """Return what an integer type, or that of an array, can hold."""
    return np.iinfo(_dtype_of(type))


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether `dtype` is of that kind, or of one of those kinds."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ArgumentError(f"isdtype: {kind!r} is no kind; one of {', '.join(_KINDS)}")
        return dtype in _KINDS[kind]
    return builtins.bool(dtype == kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """Return the type in which an operation on these gives its result."""
    numbers = [v for v in arrays_and_dtypes if isinstance(v, (builtins.bool, int, float))]
    found: DType | None = types._highest(
        [_dtype_of(v) for v in arrays_and_dtypes if not isinstance(v, (builtins.bool, int, float))]
    )
    if found is None:
        return types.result_type(*numbers)
    kinds = [types.kind(types._of_number(v)) for v in numbers]
    if kinds and builtins.max(kinds) > types.kind(found):
        return types.result_type(*numbers)
    return found


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Whether a type, or that of an array, goes into another by the rules of promotion."""
    dtype = _dtype_of(from_)
    same = types.kind(dtype) == types.kind(to)
    return builtins.bool(same and np.promote_types(dtype, to) == to)


def _dtype_of(value: Any) -> DType:
    return value.dtype if isinstance(value, Tensor) else types.element_type(value)


def astype(
    x: Tensor, dtype: Any, /, *, copy: builtins.bool = True, device: DeviceLike | None = None
) -> Tensor:
    """Return an array with another element type."""
    return x.to(dtype=dtype, device=device, copy=copy)


# --- shapes -------------------------------------------------------------------------------------


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Return arrays in their common shape."""
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return [shp.broadcast_to(x, shape) for x in arrays]


def broadcast_to(x: Tensor, /, shape: Shape) -> Tensor:
    """Return an array repeated to a shape."""
    return shp.broadcast_to(x, shape)


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Return arrays joined along an axis; flattened first, where that is None."""
    parts = _alike(*arrays)
    return join.cat([shp.reshape(x, -1) for x in parts] if axis is None else parts, axis or 0)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Return arrays joined along a new axis."""
    return join.stack(_alike(*arrays), axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the parts of an array along an axis."""
    return tuple(shp.movedim(x, axis, 0))


def expand_dims(x: Tensor, /, axis: int | tuple[int, ...] = 0) -> Tensor:
    """Return an array with new axes of length 1."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    n = x.ndim + len(axes)
    places = {one_axis("expand_dims", (1,) * n, a) for a in axes}
    if len(places) < len(axes):
        raise ArgumentError(f"expand_dims: axis {axis} names one twice")
    rest = iter(x.shape)
    return shp.reshape(x, tuple(1 if i in places else next(rest) for i in range(n)))


def squeeze(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """Return an array without axes of length 1."""
    for i in some_axes("squeeze", x.shape, axis):
        if x.shape[i] != 1:
            raise ShapeError(f"squeeze: axis {i} of shape {x.shape} is not of length 1")
    return shp.squeeze(x, axis)


def flip(x: Tensor, /, *, axis: Axes = None) -> Tensor:
    """Return an array in reverse order along axes, all of them for None."""
    return shp.flip(x, tuple(range(x.ndim)) if axis is None else axis)


def moveaxis(x: Tensor, source: Any, destination: Any, /) -> Tensor:
    """Return an array with axes moved to other places."""
    return shp.movedim(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Return an array with its axes in another order."""
    return shp.permute(x, axes)


def reshape(x: Tensor, /, shape: Shape, *, copy: builtins.bool | None = None) -> Tensor:
    """Return an array in another shape."""
    y = shp.reshape(x, shape)
    shared = array_module(x.data).may_share_memory(y.data, x.data)
    if copy is False and not shared and x.numel():
        raise ExchangeError(f"reshape: from {x.shape} to {shape} it copies, and copy is False")
    return ew.clone(y) if copy and shared else y


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Return an array with each element repeated, as often as `repeats` says."""
    if axis is None:
        x, axis = shp.reshape(x, -1), 0
    times = repeats.numpy() if isinstance(repeats, Tensor) else repeats
    return _at(x, np.repeat(np.arange(x.size(axis)), times), axis)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """Return an array repeated as a whole along each axis."""
    n = builtins.max(x.ndim, len(repetitions))
    shape = (1,) * (n - x.ndim) + x.shape
    times = (1,) * (n - len(repetitions)) + tuple(repetitions)
    apart = shp.reshape(x, tuple(k for length in shape for k in (1, length)))
    spread = shp.broadcast_to(
        apart, tuple(k for pair in zip(times, shape, strict=True) for k in pair)
    )
    return shp.reshape(spread, tuple(a * b for a, b in zip(times, shape, strict=True)))


def roll(x: Tensor, /, shift: Any, *, axis: Axes = None) -> Tensor:
    """Return an array whose elements moved along axes, coming in again at the other end."""
    if axis is None:
        return shp.reshape(roll(shp.reshape(x, -1), shift, axis=0), x.shape)
    shifts = shift if isinstance(shift, tuple) else (shift,)
    axes = axis if isinstance(axis, tuple) else (axis,)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    for by, i in zip(shifts, axes, strict=True):
        n = x.size(i)
        x = _at(x, (np.arange(n) - by) % n, i) if n else x
    return x


def _at(x: Tensor, places: Any, axis: int) -> Tensor:
    """Return the elements at `places` along an axis."""
    axis = one_axis("take", x.shape, axis)
    if not isinstance(places, Tensor):
        places = creation.as_tensor(places, device=x.device)
    return x[(slice(None),) * axis + (places,)]


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return the elements at places along an axis."""
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"take: shape {x.shape} has several axes; name one with axis=")
    return _at(x, indices, axis or 0)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return the elements at places along an axis, places of their own for each row."""
    axis = one_axis("take_along_axis", x.shape, axis)
    rest = np.broadcast_shapes(*((*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (x, indices)))
    whole, where = (
        shp.broadcast_to(t, (*rest[:axis], t.shape[axis], *rest[axis + 1 :])) for t in (x, indices)
    )
    return index.gather(whole, axis, cast(where, np.int64))


# --- sums, products, extremes -------------------------------------------------------------------


def _along(x: Tensor, axis: Axes, keepdims: builtins.bool) -> tuple[Tensor, Axes, builtins.bool]:
    """Return what a reduction takes; no axes are none here, and all of them in PyTorch."""
    return (shp.unsqueeze(x, -1), -1, False) if axis == () else (x, axis, keepdims)


def sum(
    x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: builtins.bool = False
) -> Tensor:
    """Return the sum along axes; of small integers in 64 bits."""
    return red.sum(*_along(x, axis, keepdims), dtype=_wide(x, dtype))


def _wide(x: Tensor, dtype: Any) -> Any:
    return uint64 if dtype is None and x.dtype.kind == "u" else dtype


def prod(
    x: Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: builtins.bool = False
) -> Tensor:
    """Return the product along axes; of small integers in 64 bits."""
    axes = tuple(range(x.ndim)) if axis is None else some_axes("prod", x.shape, axis)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in rest)
    y = cast(x, _product_type(x, dtype))
    y = shp.reshape(shp.permute(y, (*rest, *axes)), (*shape, math.prod(x.shape[i] for i in axes)))
    if not y.shape[-1]:
        y = creation.ones((*shape, 1), dtype=y.dtype, device=y.device)
    # by halves, whose derivative divides by nothing
    while (n := y.shape[-1]) > 1:
        half = y[..., : n // 2] * y[..., n // 2 : n // 2 * 2]
        y = join.cat([half, y[..., n - 1 :]], -1) if n % 2 else half
    kept = tuple(1 if i in axes else k for i, k in enumerate(x.shape))
    return shp.reshape(y, kept if keepdims else shape)


def _product_type(x: Tensor, dtype: Any) -> Any:
    if dtype is None and x.dtype.kind in "bi":
        return int64
    wide = _wide(x, dtype)
    return x.dtype if wide is None else wide


def max(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return the largest element along axes."""
    return red.amax(*_along(x, axis, keepdims))


def min(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return the smallest element along axes."""
    return red.amin(*_along(x, axis, keepdims))


def mean(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return the mean along axes."""
    return red.mean(*_along(x, axis, keepdims))


def var(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: builtins.bool = False
) -> Tensor:
    """Return the variance along axes."""
    x, axis, keepdims = _along(x, axis, keepdims)
    return red.var(x, axis, keepdim=keepdims, correction=correction)


def std(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: builtins.bool = False
) -> Tensor:
    """Return the standard deviation along axes."""
    x, axis, keepdims = _along(x, axis, keepdims)
    return red.std(x, axis, keepdim=keepdims, correction=correction)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None,
    include_initial: builtins.bool = False,
) -> Tensor:  # fmt: skip
    """Return the running sums along an axis, after a 0 where it is asked for."""
    axis = _running("cumulative_sum", x, axis)
    y = red.cumsum(x, axis, dtype=_wide(x, dtype))
    return _after(0, y, axis) if include_initial else y


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None,
    include_initial: builtins.bool = False,
) -> Tensor:  # fmt: skip
    """Return the running products along an axis, after a 1 where it is asked for."""
    axis = _running("cumulative_prod", x, axis)
    y = shp.movedim(cast(x, _product_type(x, dtype)), axis, -1)
    step = 1
    while step < y.shape[-1]:  # twice as many factors each time, and nothing divided by
        y = join.cat([y[..., :step], y[..., step:] * y[..., :-step]], -1)
        step *= 2
    y = shp.movedim(y, -1, axis)
    return _after(1, y, axis) if include_initial else y


def _running(name: str, x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"{name}: shape {x.shape} has not one axis; name one with axis=")
    return one_axis(name, x.shape, axis or 0)


def _after(value: int, y: Tensor, axis: int) -> Tensor:
    shape = tuple(1 if i == axis else n for i, n in enumerate(y.shape))
    return join.cat([creation.full(shape, value, dtype=y.dtype, device=y.device), y], axis)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the differences of neighbours along an axis, `n` times over."""
    parts = [t for t in (prepend, x, append) if t is not None]
    x = shp.movedim(concat(parts, axis=axis), axis, -1)
    for _ in range(n):
        later, earlier = x[..., 1:], x[..., :-1]
        x = later ^ earlier if x.dtype.kind == "b" else later - earlier
    return shp.movedim(x, -1, axis)


def all(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return whether every element along axes is non-zero."""
    return cast(red.all(*_along(x, axis, keepdims)), bool)


def any(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return whether any element along axes is non-zero."""
    return cast(red.any(*_along(x, axis, keepdims)), bool)


def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: builtins.bool = False) -> Tensor:
    """Return how many elements along axes are non-zero."""
    return red.sum(*_along(ew.ne(x, 0), axis, keepdims))


# --- looking for elements, and sorting them -------------------------------------------------------


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: builtins.bool = False) -> Tensor:
    """Return where the largest element is, along an axis or in the flattened array."""
    return red.argmax(x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: builtins.bool = False) -> Tensor:
    """Return where the smallest element is, along an axis or in the flattened array."""
    return red.argmin(x, axis, keepdims)


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: builtins.bool = False,
    stable: builtins.bool = True,
) -> Tensor:  # fmt: skip
    """Return the places of the elements along an axis, from the smallest to the largest."""
    axis = one_axis("argsort", x.shape, axis)
    data = x.data
    with device_guard(data):
        xp = array_module(data)
        if not descending:
            return variable(xp.argsort(data, axis, "stable").astype(np.int64, copy=False))
        # equal ones keep their order, which sorting backwards would turn round
        backwards = xp.argsort(xp.flip(data, axis), axis, "stable").astype(np.int64, copy=False)
        return variable(x.size(axis) - 1 - xp.flip(backwards, axis))


def sort(
    x: Tensor, /, *, axis: int = -1, descending: builtins.bool = False,
    stable: builtins.bool = True,
) -> Tensor:  # fmt: skip
    """Return the elements along an axis from the smallest to the largest."""
    return index.gather(x, axis, argsort(x, axis=axis, descending=descending))


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Return the places of the elements that are non-zero, axis by axis."""
    with device_guard(x.data):
        return tuple(variable(i) for i in array_module(x.data).nonzero(x.data))


def searchsorted(
    x1: Tensor, x2: Tensor, /, *, side: Any = "left", sorter: Tensor | None = None
) -> Tensor:
    """Return where in `x1`, which ascends, the elements of `x2` belong."""
    values = x1 if sorter is None else take(x1, sorter)
    return _by_numpy(lambda a, b: np.searchsorted(a, b, side), values, x2)[0]


class UniqueAll(NamedTuple):
    """The different elements, where each is first, which one each is, and how many there are."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The different elements, and how many there are of each."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The different elements, and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """Return the different elements, without a gradient, and all that is known of them."""
    return UniqueAll(*_by_numpy(np.unique_all, x))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Return the different elements, without a gradient, and how many there are of each."""
    return UniqueCounts(*_by_numpy(np.unique_counts, x))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Return the different elements, without a gradient, and which one each element is."""
    return UniqueInverse(*_by_numpy(np.unique_inverse, x))


def unique_values(x: Tensor, /) -> Tensor:
    """Return the different elements, without a gradient."""
    return _by_numpy(lambda a: np.unique(a, equal_nan=False), x)[0]


def _by_numpy(function: Callable[..., Any], *tensors: Tensor) -> list[Tensor]:
    """Return what NumPy answers, on the device of the first operand; it is asked on the host."""
    found = function(*(to_device(t.data, "cpu") for t in tensors))
    arrays: Sequence[Array] = found if isinstance(found, tuple) else (found,)
    return [variable(to_device(np.asarray(a), tensors[0].device)) for a in arrays]


# --- matrices -----------------------------------------------------------------------------------


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Return the product of matrices."""
    return linear.matmul(*_alike(x1, x2))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Return each matrix transposed."""
    return shp.mT(x)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Return the products of vectors that lie along an axis."""
    a, b = _alike(x1, x2)
    n = builtins.min(a.ndim, b.ndim)
    if not -n <= axis < 0:
        raise ArgumentError(f"vecdot: axis {axis} is counted from the end, within -{n} to -1")
    if a.shape[axis] != b.shape[axis]:
        raise ShapeError(f"vecdot: vectors of different length in {a.shape} and {b.shape}")
    return red.sum(ew.mul(a, b), axis, dtype=a.dtype)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    """Return the sums of products over pairs of axes."""
    a, b = _alike(x1, x2)
    if isinstance(axes, int):
        left, right = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        left, right = (
            some_axes("tensordot", t.shape, *d) for t, d in zip((a, b), axes, strict=True)
        )
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(f"tensordot: axes {axes} do not fit {a.shape} and {b.shape}")
    rows = tuple(i for i in range(a.ndim) if i not in left)
    columns = tuple(i for i in range(b.ndim) if i not in right)
    n = math.prod(a.shape[i] for i in left)
    out = (*(a.shape[i] for i in rows), *(b.shape[i] for i in columns))
    first = shp.reshape(shp.permute(a, (*rows, *left)), (math.prod(a.shape[i] for i in rows), n))
    second = shp.permute(b, (*right, *columns))
    second = shp.reshape(second, (n, math.prod(b.shape[i] for i in columns)))
    return shp.reshape(linear.matmul(first, second), out)


# --- what there is ------------------------------------------------------------------------------


class Info:
    """What the namespace can do: the standard's inspection."""

    def capabilities(self) -> dict[str, Any]:
        """Return what is optional in the standard."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Return where arrays are made when nothing is said."""
        return get_default_device()

    def devices(self) -> list[Device]:
        """Return all devices of this machine."""
        return [Device("cpu"), *(Device("cuda", i) for i in range(cuda.device_count()))]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """Return the types that arrays get when nothing is said."""
        floating = types.get_default_dtype()
        return {"real floating": floating, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """Return the element types by name, all or those of a kind."""
        found = (bool, *_KINDS["numeric"])
        return {str(d): d for d in found if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> Info:
    """Return what the namespace can do."""
    return Info()
