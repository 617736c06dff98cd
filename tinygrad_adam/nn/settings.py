"""Checks of the settings that several layers take."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from ..device import Generator, default_generator
from ..errors import ArgumentError, DTypeError

__all__ = ["check_probability", "draws", "float_type", "integer"]


def integer(layer: str, name: str, value: Any, least: int | None = None) -> int:
    """Return `value` as an int, checked to be one and not below `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ArgumentError(f"{layer}: {name} is an integer, got {value!r}")
    if least is not None and value < least:
        raise ArgumentError(f"{layer}: {name} must be at least {least}, got {value}")
    return int(value)


def check_probability(owner: str, p: float) -> None:
    """Raise unless `p` is a probability."""
    if not isinstance(p, numbers.Real) or not 0 <= p <= 1:
        raise ArgumentError(f"{owner}: p is a probability between 0 and 1, got {p!r}")


def draws(owner: str, generator: Generator | None) -> np.random.Generator:
    """Return where the next random numbers come from; the default stream for None."""
    if generator is None:
        return default_generator().numpy()
    if not isinstance(generator, Generator):
        raise ArgumentError(
            f"{owner}: generator must be a tinygrad_adam Generator, got {type(generator).__name__}"
        )
    return generator.numpy()


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
