"""What public functions are given, read: one reader for each kind of argument.

Each takes the name of the function, or layer, for its error, and returns the value in the form that
operations take.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ..autograd.explain import mixed_devices
from ..autograd.graph import Variable, variable
from ..autograd.mode import is_grad_enabled
from ..device import Device, array_module, device_of, same_device
from ..dtypes import get_default_dtype, result_type
from ..errors import ArgumentError, DTypeError, OutOfRangeError
from .move import cast

if TYPE_CHECKING:
    from ..types import Shape

# --- tensors ------------------------------------------------------------------------------------

P = ParamSpec("P")
R = TypeVar("R")


_NUMPY_WORDS = (("axis", "dim"), ("keepdims", "keepdim"))


def takes_tensor(function: Callable[P, R]) -> Callable[P, R]:
    """Make `function` refuse a first operand that is no Tensor, saying what to do instead.

    NumPy's words for `dim` and `keepdim` are understood too, as in PyTorch.
    """

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and not isinstance(args[0], Variable):
            raise DTypeError(
                f"{function.__name__}: expected a Tensor, got {type(args[0]).__name__}; "
                "wrap it with tg.tensor(...)"
            )
        if kwargs:
            for theirs, ours in _NUMPY_WORDS:
                if theirs in kwargs and ours not in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    return checked


_NUMBERS = frozenset((bool, int, float))
_PLAIN = frozenset((int, float))  # of no higher kind than a floating tensor


def operands(name: str, *values: Any, floating: bool = False, wrap: bool = False) -> list[Any]:
    """Return `values` ready for one element-wise operation: tensors of one type, and numbers.

    NumPy numbers count as Python's; arrays become tensors.  With `floating`, integers are turned
    into the default floating type; with `wrap`, integers that the type of the result cannot hold
    are taken modulo its range, as PyTorch does: -1 is 255 in uint8.
    """
    dtype = values[0]._data.dtype if isinstance(values[0], Variable) else None
    if dtype is not None and dtype.kind == "f":
        for v in values:
            if type(v) not in _PLAIN and not (isinstance(v, Variable) and v._data.dtype is dtype):
                break
        else:
            return list(values)
    ready: list[Any] = []
    for v in values:
        if isinstance(v, (Variable, bool, int)) or type(v) is float:
            ready.append(v)
        elif isinstance(v, (np.generic, float)):
            ready.append(v.item() if isinstance(v, np.generic) else float(v))
        elif hasattr(v, "dtype") and hasattr(v, "shape"):
            ready.append(variable(v))
        else:
            raise DTypeError(
                f"{name}: operands must be tensors, arrays or numbers, got {type(v).__name__}; "
                "wrap it with tg.tensor(...)"
            )
    tensors = [v for v in ready if isinstance(v, Variable)]
    if not tensors:
        raise DTypeError(f"{name}: at least one operand must be a Tensor, got only numbers")
    first = array_module(tensors[0]._data)
    if any(array_module(t._data) is not first for t in tensors):
        raise mixed_devices(name, [t._data for t in tensors])
    dtype = result_type(*ready)
    if floating and dtype.kind != "f":
        dtype = get_default_dtype()
    if wrap and dtype.kind in "iu":
        ready = [_wrapped(v, dtype) if type(v) is int else v for v in ready]
    return [v if type(v) in _NUMBERS else cast(v, dtype) for v in ready]


def _wrapped(value: int, dtype: Any) -> int:
    bits = 8 * dtype.itemsize
    low = 0 if dtype.kind == "u" else -(1 << bits - 1)
    return (value - low) % (1 << bits) + low if value.bit_length() < 64 else value


def same_type(name: str, *, bias: Any = None, **tensors: Any) -> None:
    """Raise unless all are Tensors of one element type and device; only a `bias` may be None."""
    if bias is not None:
        tensors["bias"] = bias
    first = None
    for k, t in tensors.items():
        if not isinstance(t, Variable):
            raise DTypeError(f"{name}: {k} must be a Tensor, got {_instead(k, t)}")
        data = t._data
        if first is None:
            first = data
        elif data.dtype is first.dtype and type(data) is type(first) is np.ndarray:
            continue
        elif not same_device(first, data):
            raise mixed_devices(name, [t._data for t in tensors.values() if t is not None])
        elif data.dtype != first.dtype:
            sides = ", ".join(f"{k} {getattr(t, 'dtype', t)}" for k, t in tensors.items())
            raise DTypeError(
                f"{name}: operands have different element types: {sides}; "
                "convert one with .to(dtype)"
            )


def _instead(key: str, value: Any) -> str:
    """Return what came instead of a Tensor, and what to do about it."""
    if value is not None:
        return f"{type(value).__name__}; wrap it with tg.tensor(...)"
    return "None" + ("; did a forward() forget to return its result?" if key == "input" else "")


def recorded(*values: Any) -> bool:
    """Whether an operation on `values` would be recorded: one needs a gradient, and may get it."""
    for v in values:
        if isinstance(v, Variable) and (v._node is not None or v._requires_grad):
            return is_grad_enabled()
    return False


# --- numbers ------------------------------------------------------------------------------------


def integer(name: str, what: str, value: Any, least: int | None = None) -> int:
    """Return an integer of any type as Python's."""
    if type(value) is int and (least is None or value >= least):
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise DTypeError(
            f"{name}: {what} must be an integer, got {type(value).__name__} {value!r}"
        ) from None
    if least is not None and found < least:
        raise ArgumentError(f"{name}: {what} must be at least {least}, got {found}")
    return found


def pair(name: str, what: str, value: Any, least: int) -> tuple[int, int]:
    """Return a setting given as one integer or as (vertical, horizontal)."""
    both = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(both, (tuple, list)):
        both = (both,)
    if len(both) == 1:
        n = integer(name, what, both[0], least)
        return n, n
    if len(both) != 2:
        raise ArgumentError(f"{name}: {what} must be an integer or a pair of them, got {value!r}")
    return integer(name, what, both[0], least), integer(name, what, both[1], least)


def number(name: str, what: str, value: Any) -> Any:
    """Return one number, given as such or as a tensor or array without axes."""
    if getattr(value, "shape", None) == ():
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        got = f"{type(value).__name__} {getattr(value, 'shape', '')}".rstrip()
        raise DTypeError(f"{name}: {what} must be a number, got {got}")
    return value


def finite(name: str, what: str, value: Any) -> float:
    """Return a number that is neither infinite nor NaN."""
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: {what} is a number, got {value!r}") from error
    if not math.isfinite(found):
        raise ArgumentError(f"{name}: {what} must be finite, got {found}")
    return found


def fraction(name: str, what: str, value: Any) -> float:
    """Return a number from 0 to 1."""
    if not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name}: {what} must be between 0 and 1, got {value!r}")
    return float(value)


# --- shapes and axes ----------------------------------------------------------------------------


def sizes(name: str, given: tuple[Any, ...], named: Any = None, what: str = "a size") -> Shape:
    """Read integers given as ``f(2, 3)``, as ``f((2, 3))`` or under a name, ``f(shape=(2, 3))``."""
    if named is not None:
        if given:
            raise ArgumentError(
                f"{name}: {what} is given both by position and by name: {given} and {named}"
            )
        given = (named,)
    listed = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    return tuple([integer(name, what, n) for n in listed])


def one_axis(name: str, shape: Shape, dim: Any, extra: int = 0) -> int:
    """Return `dim` counted from the front, in `shape` with `extra` axes more."""
    axis = integer(name, "dim", dim)
    ndim = max(len(shape) + extra, 1)  # a 0-d tensor has axes 0 and -1
    if not -ndim <= axis < ndim:
        raise OutOfRangeError(
            f"{name}: dim {axis} is out of range for shape {shape}; use {-ndim} to {ndim - 1}"
        )
    return axis % ndim


def some_axes(name: str, shape: Shape, *given: Any, dims: Any = None) -> Shape:
    """Return different axes, given as `sizes` reads them, each counted from the front."""
    listed = sizes(name, given, dims, "dim")
    axes = tuple([one_axis(name, shape, d) for d in listed])
    if len(set(axes)) < len(axes):
        raise ArgumentError(f"{name}: dims {listed} names an axis of shape {shape} twice")
    return axes


def reaches(small: Shape, big: Shape) -> bool:
    """Whether `small` broadcasts to exactly `big`."""
    try:
        return small in ((), big) or np.broadcast_shapes(small, big) == big
    except ValueError:
        return False


# --- places -------------------------------------------------------------------------------------


def destination(args: Sequence[Any], dtype: Any, device: Any) -> tuple[Any, Device | None]:
    """Return the element type and device that the arguments of ``.to`` name, None for as it is."""
    for arg in args:
        if isinstance(arg, Variable):
            dtype, device = arg._data.dtype, device_of(arg._data)
        elif isinstance(arg, Device) or (
            isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda")
        ):
            device = arg
        elif arg is not None:
            dtype = arg
    return dtype, None if device is None else Device.parse(device)
