"""What went wrong with an operation's operands, in the package's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..device import device_of
from ..errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)
from .registry import Op

__all__ = ["explained", "mixed_devices"]


def _describe(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"{value.dtype} {value.shape}"
    return f"{type(value).__name__} {value!r}"


def mixed_devices(name: str, values: Sequence[Any]) -> DeviceError:
    """Return the error for operands that live on different devices."""
    arrays = [v for v in values if hasattr(v, "dtype")]
    sides = ", ".join(f"{device_of(v)} {v.shape}" for v in arrays)
    return DeviceError(
        f"{name}: operands are on different devices: {sides}; "
        f'move them to one device first, for example with .to("{device_of(arrays[0])}")'
    )


_KINDS: tuple[tuple[type[Exception], type[TinygradError]], ...] = (
    (IndexError, OutOfRangeError),
    (TypeError, DTypeError),
    (OverflowError, ArgumentError),
    (Exception, ShapeError),
)


def explained(operation: Op, values: Sequence[Any], error: Exception) -> TinygradError:
    """Return the typed error for one that NumPy or CuPy raised on these operands."""
    sides = ", ".join(
        f"{name} {_describe(v)}" for name, v in zip(operation.inputs, values, strict=False)
    )
    kind = next(k for e, k in _KINDS if isinstance(error, e))
    return kind(f"{operation.name}: {error} ({sides})")
