"""Checks of the settings that several layers take."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError

__all__ = ["float_type", "integer"]


def integer(layer: str, name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int, checked to be one and not below `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ArgumentError(f"{layer}: {name} is an integer, got {value!r}")
    if least is not None and value < least:
        raise ArgumentError(f"{layer}: {name} must be at least {least}, got {value}")
    return int(value)


def float_type(owner: str, dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as NumPy's object, checked to be floating point."""
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(f"{owner}: {dtype!r} is no dtype ({error})") from error
    if kind.kind != "f":
        raise DTypeError(
            f"{owner}: a model's dtype is floating point, got {kind}; use float32 or float64"
        )
    return kind
