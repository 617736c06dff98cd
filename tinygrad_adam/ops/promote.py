"""Which element type an operation works in: PyTorch's promotion rules.

Only the kind (bool < integer < floating) of a Python number counts, never its size, so a scalar
does not upcast a float32 tensor; a 0-d tensor is outranked by one with axes in the same way.  An
integer meeting a float takes the float's type, where NumPy would widen to float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ..autograd.graph import Variable, apply, mixed_devices, variable
from ..autograd.registry import op
from ..device import array_module
from ..errors import DTypeError

__all__ = [
    "CAST",
    "cast",
    "element_type",
    "get_default_dtype",
    "operands",
    "result_type",
    "set_default_dtype",
    "takes_tensor",
]

Scalar = bool | int | float
_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2}
_default_dtype = np.dtype(np.float32)

CAST = op(
    "cast",
    lambda xp, x, *, dtype: x.astype(dtype),
    x=lambda F, g: g,  # the engine casts a gradient to its input's type
)


def get_default_dtype() -> np.dtype[Any]:
    """Return the type that Python floats, and float results of integers, get; float32 at first."""
    return _default_dtype


def set_default_dtype(dtype: Any) -> None:
    """Make `dtype` the type of new floating tensors made from Python numbers.

    Parameters
    ----------
    dtype : dtype
        float16, float32 or float64.

    Raises
    ------
    DTypeError
        If `dtype` is not floating.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.set_default_dtype(tg.float64); print(tg.tensor(1.0).dtype)
    float64
    >>> tg.set_default_dtype(tg.float32)
    """
    global _default_dtype
    new = np.dtype(dtype)
    if new.kind != "f":
        raise DTypeError(f"set_default_dtype: the default must be a floating type, got {new}")
    _default_dtype = new


def kind(dtype: Any) -> int:
    """Rank a type: 0 bool, 1 integer, 2 floating."""
    try:
        return _KINDS[dtype.kind]
    except KeyError:
        raise DTypeError(
            f"elements of type {dtype} are not supported; use bool, integers or floats"
        ) from None


def element_type(spec: Any) -> np.dtype[Any]:
    """Return the dtype that `spec` names, in this machine's byte order, or raise DTypeError."""
    try:
        found: np.dtype[Any] = np.dtype(spec).newbyteorder("=")
    except TypeError:
        raise DTypeError(f"{spec!r} is neither an element type nor a device") from None
    kind(found)
    if found.itemsize > 8:
        raise DTypeError(f"elements of type {found} are not supported; use float64")
    return found


def _highest(dtypes: Sequence[Any]) -> Any:
    """Return the common type of equals, or None of none."""
    best = None
    for dtype in dtypes:
        if best is None or kind(dtype) > kind(best):
            best = dtype if best is None or dtype.kind == "f" else np.promote_types(best, dtype)
        elif kind(dtype) == kind(best):
            best = np.promote_types(best, dtype)
    return best


def _scalar_dtype(value: Scalar) -> Any:
    if isinstance(value, bool):
        return np.dtype(bool)
    return np.dtype(np.int64) if isinstance(value, int) else _default_dtype


def result_type(*values: Any) -> np.dtype[Any]:
    """Return the type in which an operation on tensors and Python numbers gives its result.

    Parameters
    ----------
    *values : Tensor or bool, int, float
        The operands.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.result_type(tg.ones(2), 2.5), tg.result_type(tg.arange(3), tg.ones(3))
    (dtype('float32'), dtype('float32'))
    """
    tensors = [v._data for v in values if isinstance(v, Variable)]
    groups = (
        _highest([t.dtype for t in tensors if t.ndim]),
        _highest([t.dtype for t in tensors if not t.ndim]),
        _highest([_scalar_dtype(v) for v in values if not isinstance(v, Variable)]),
    )
    best: Any = None
    for lower in groups:
        if best is None or (lower is not None and kind(lower) > kind(best)):
            best = lower
    assert best is not None, "result_type needs at least one operand"
    result: np.dtype[Any] = np.dtype(best)
    return result


def cast(x: Any, dtype: Any) -> Any:
    """Return `x` with elements of type `dtype`; `x` itself if it has them already."""
    wanted = np.dtype(dtype)
    if x._data.dtype == wanted:
        return x
    kind(wanted)
    return apply(CAST, (x,), {"dtype": wanted})


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


def operands(name: str, *values: Any, floating: bool = False) -> list[Any]:
    """Return `values` ready for one element-wise operation: tensors of one type, and numbers.

    NumPy numbers count as Python's; arrays become tensors.  With `floating`, integers are turned
    into the default floating type.
    """
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
    if name == "sub" and any(t._data.dtype.kind == "b" for t in tensors):
        raise DTypeError(
            "sub: booleans are not subtracted; use logical_not for 1 - mask, or convert with .int()"
        )
    dtype = result_type(*ready)
    if floating and dtype.kind != "f":
        dtype = _default_dtype
    return [cast(v, dtype) if isinstance(v, Variable) else v for v in ready]
