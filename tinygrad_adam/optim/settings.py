"""Settings: the table of what an optimiser may be told, with defaults and checks.

A class lists its settings once, ``{"lr": Rate(1e-3), "momentum": Number(0.0), ...}``.  The table
gives its constructor, the defaults of its groups, the checks, and what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from ..errors import ArgumentError

__all__ = [
    "Flag", "LearningRate", "Number", "Pair", "Rate", "Setting", "bound", "checked", "number",
    "signature",
]  # fmt: skip

LearningRate = float | Callable[[int], float]


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


class Setting:
    """A setting's default; a subclass says what it may be.

    Parameters
    ----------
    default : object
        Its value if none is given.
    kw_only : bool
        Whether the constructor takes it by name only.
    **bounds : float
        As for `number`.
    """

    def __init__(self, default: Any, *, kw_only: bool = False, **bounds: float) -> None:
        self.default, self.kw_only, self.bounds = default, kw_only, bounds

    def read(self, name: str, value: Any) -> Any:
        """Return `value` as a plain Python value, or raise an ArgumentError that says `name`."""
        raise NotImplementedError


class Number(Setting):
    """A finite number from 0 up, within the bounds."""

    def read(self, name: str, value: Any) -> float:
        """Return `value` as a float."""
        return number(name, value, **self.bounds)


class Rate(Setting):
    """A learning rate: a number, or a function of the number of completed updates."""

    def read(self, name: str, value: Any) -> LearningRate:
        """Return `value` as a float, or as it is if it can be called."""
        return value if callable(value) else number(name, value)


class Pair(Setting):
    """Two numbers from 0 up, within the bounds."""

    def read(self, name: str, value: Any) -> tuple[float, float]:
        """Return `value` as two floats."""
        try:
            first, second = value
        except (TypeError, ValueError):
            raise ArgumentError(f"{name} must be two numbers, got {value!r}") from None
        bounds = self.bounds
        return number(f"{name}[0]", first, **bounds), number(f"{name}[1]", second, **bounds)


class Flag(Setting):
    """True or False."""

    def read(self, name: str, value: Any) -> bool:
        """Return `value` as a bool."""
        return bool(value)


def checked(settings: Mapping[str, Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values`, each read by its setting."""
    return {name: setting.read(name, values[name]) for name, setting in settings.items()}


def signature(settings: Mapping[str, Setting], *before: str) -> Signature:
    """Return the signature of a constructor that takes `before`, and then `settings`."""
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in before]
    for kw_only in (False, True):
        kind = Parameter.KEYWORD_ONLY if kw_only else Parameter.POSITIONAL_OR_KEYWORD
        parameters += [
            Parameter(name, kind, default=setting.default)
            for name, setting in settings.items()
            if setting.kw_only is kw_only
        ]
    return Signature(parameters)


def bound(
    settings: Mapping[str, Setting], args: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all settings, given those that a constructor was called with."""
    arguments = signature(settings).bind(*args, **named)
    arguments.apply_defaults()
    return arguments.arguments
