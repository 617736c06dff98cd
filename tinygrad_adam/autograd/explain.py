"""What went wrong with an operation's operands, in the package's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import errors
from ..device import device_of
from .registry import Op

__all__ = ["explained", "mixed_devices", "recorded_at"]


def _describe(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"{value.dtype} {value.shape}"
    return f"{type(value).__name__} {value!r}"


def mixed_devices(name: str, values: Sequence[Any]) -> errors.DeviceError:
    """Return the error for operands that live on different devices."""
    arrays = [v for v in values if hasattr(v, "dtype")]
    sides = ", ".join(f"{device_of(v)} {v.shape}" for v in arrays)
    return errors.DeviceError(
        f"{name}: operands are on different devices: {sides}; "
        f'move them to one device first, for example with .to("{device_of(arrays[0])}")'
    )


_KINDS: tuple[tuple[type[Exception], type[errors.TinygradError]], ...] = (
    (IndexError, errors.OutOfRangeError),
    (TypeError, errors.DTypeError),
    (OverflowError, errors.ArgumentError),
    (Exception, errors.ShapeError),
)


def recorded_at(plan: Any) -> str:
    """Return which line recorded the node of `plan`, if `detect_anomaly` was on then."""
    where = getattr(plan, "where", None)
    return "" if where is None else f"\n  recorded at {where}"


def explained(operation: Op, values: Sequence[Any], error: Exception) -> errors.TinygradError:
    """Return the typed error for one that NumPy or CuPy raised on these operands."""
    sides = ", ".join(
        f"{name} {_describe(v)}" for name, v in zip(operation.inputs, values, strict=False)
    )
    kind = next(k for e, k in _KINDS if isinstance(error, e))
    return kind(f"{operation.name}: {error} ({sides})")
