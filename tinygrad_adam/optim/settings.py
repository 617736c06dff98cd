"""Reading hyper-parameters: numbers within bounds, or an error that says which bound."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError

__all__ = ["number", "pair"]


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return `value` as a float, if it is finite, not negative, and within the bounds.

    Raises
    ------
    ArgumentError
        If it is not; the message has `name`, the bounds and `value`.
    """
    try:
        result = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    good = 0.0 <= result < math.inf
    bounds = " >= 0"
    if above is not None:
        good, bounds = good and result > above, f" > {above:g}"
    if below is not None:
        good, bounds = good and result < below, f"{bounds} and < {below:g}"
    if most is not None:
        good, bounds = good and result <= most, f"{bounds} and <= {most:g}"
    if not good:
        raise ArgumentError(f"{name} must be a finite number{bounds}, got {value!r}")
    return result


def pair(name: str, value: Any, *, below: float) -> tuple[float, float]:
    """Return `value` as two floats from 0 up to, but not including, `below`."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be two numbers, got {value!r}") from None
    return number(f"{name}[0]", first, below=below), number(f"{name}[1]", second, below=below)
