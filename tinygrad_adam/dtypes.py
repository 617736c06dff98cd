"""Element types: their names, the default one, and which one an operation works in.

Types are promoted by PyTorch's rules.  Only the kind (bool < integer < floating) of a Python number
counts, never its size, so a scalar does not upcast a float32 tensor; a 0-d tensor is outranked by
one with axes in the same way.  An integer meeting a float takes the float's type, where NumPy would
widen to float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .autograd.graph import Variable
from .device import devices_here
from .errors import DTypeError

__all__ = [
    "bool", "double", "float", "float16", "float32", "float64", "get_default_dtype", "half",
    "int16", "int32", "int64", "int8", "long", "result_type", "set_default_dtype", "uint8",
]  # fmt: skip

DType = np.dtype[Any]

_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2}
_NUMBERS = ((bool, np.dtype(np.bool_)), (int, np.dtype(np.int64)))
_default_dtype: DType = np.dtype(np.float32)


def kind(dtype: Any) -> int:
    """Rank a type: 0 bool, 1 integer, 2 floating."""
    try:
        return _KINDS[dtype.kind]
    except KeyError:
        raise DTypeError(
            f"elements of type {dtype} are not supported; use bool, integers or floats"
        ) from None


def element_type(spec: Any) -> DType:
    """Return the dtype that `spec` names, in this machine's byte order, or raise DTypeError."""
    try:
        found: DType = np.dtype(spec)
        if not found.isnative:  # else it would be another object, and no longer `is` its like
            found = found.newbyteorder("=")
    except TypeError:
        raise DTypeError(
            f"{spec!r} is neither an element type nor a device; {devices_here()}"
        ) from None
    kind(found)
    if found.itemsize > 8:
        raise DTypeError(f"elements of type {found} are not supported; use float64")
    return found


def float_type(name: str, spec: Any = None) -> DType:
    """Return the floating type that `spec` names, the default one for None."""
    found = _default_dtype if spec is None else element_type(spec)
    if found.kind != "f":
        raise DTypeError(
            f"{name}: dtype must be a floating type, got {found}; use float32 or float64"
        )
    return found


def get_default_dtype() -> DType:
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
    _default_dtype = float_type("set_default_dtype", dtype)


def _highest(dtypes: Sequence[Any]) -> Any:
    """Return the common type of equals, or None of none."""
    best = None
    for dtype in dtypes:
        if best is None or kind(dtype) > kind(best):
            best = dtype if best is None or dtype.kind == "f" else np.promote_types(best, dtype)
        elif kind(dtype) == kind(best):
            best = np.promote_types(best, dtype)
    return best


def _of_number(value: Any) -> DType:
    return next((dtype for kind, dtype in _NUMBERS if isinstance(value, kind)), _default_dtype)


def result_type(*values: Any) -> DType:
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
        _highest([_of_number(v) for v in values if not isinstance(v, Variable)]),
    )
    best: Any = None
    for lower in groups:
        if best is None or (lower is not None and kind(lower) > kind(best)):
            best = lower
    assert best is not None, "result_type needs at least one operand"
    result: DType = np.dtype(best)
    return result


# --- names: the last lines, because some of them are names of Python's --------------------------

float16 = half = np.dtype(np.float16)
float32 = float = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool = np.dtype(np.bool_)
