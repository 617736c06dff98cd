"""Learning rates as functions of the number of completed updates.

A schedule is any callable ``k -> lr``; pass it as an optimiser's ``lr``.  The first update asks for
``k = 0``.  The optimiser keeps `k` and saves it, so a resumed run goes on where it was.

The schedules of this file, and classes derived from :class:`Schedule`, are saved with it.  Any
other function belongs to the program, which has to pass it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import ArgumentError
from .settings import number

__all__ = ["Constant", "Exponential", "Schedule", "loaded"]


class Schedule:
    """Base of the schedules that are saved.

    Their attributes are plain values, and the constructor takes all of them by these names.
    """

    kinds: ClassVar[dict[str, type[Schedule]]] = {}

    def __init_subclass__(cls) -> None:
        Schedule.kinds[cls.__name__] = cls

    def __call__(self, k: int) -> float:
        """Return the learning rate after `k` updates."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"

    def saved(self) -> dict[str, Any]:
        """Return the name of the schedule and its attributes; `loaded` reads them."""
        return {"schedule": type(self).__name__} | vars(self)


def loaded(saved: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `Schedule.saved` described.

    Raises
    ------
    ArgumentError
        If there is none of that name, or its fields do not fit.

    Examples
    --------
    >>> loaded(Exponential(0.1, rate=0.5, steps=10).saved())
    Exponential(lr=0.1, rate=0.5, steps=10.0, staircase=False)
    """
    fields = dict(saved)
    name = fields.pop("schedule", None)
    if name not in Schedule.kinds:
        raise ArgumentError(f"no schedule is called {name!r}; there are {sorted(Schedule.kinds)}")
    try:
        return Schedule.kinds[name](**fields)
    except TypeError as error:
        raise ArgumentError(f"schedule {name}: {error}") from None


class Constant(Schedule):
    """The same rate always.

    Parameters
    ----------
    lr : float
        The rate.

    Raises
    ------
    ArgumentError
        If `lr` is negative or not finite.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    def __init__(self, lr: float) -> None:
        self.lr = number("Constant: lr", lr)

    def __call__(self, k: int) -> float:
        """Return `lr`."""
        return self.lr


class Exponential(Schedule):
    r"""The rate :math:`\eta \cdot \text{rate}^{k / \text{steps}}` after `k` updates.

    Parameters
    ----------
    lr : float
        The rate :math:`\eta` of the first update.
    rate : float
        The factor by which it falls in `steps` updates; positive.
    steps : float
        Positive.
    staircase : bool, default False
        Round :math:`k / \text{steps}` down: constant for `steps` updates at a time.

    Raises
    ------
    ArgumentError
        If a number is out of range.

    Examples
    --------
    >>> lr = Exponential(0.001, rate=0.95, steps=1000)
    >>> lr(0), lr(1000)
    (0.001, 0.00095)
    >>> Exponential(1.0, rate=0.5, steps=10, staircase=True)(19)
    0.5
    """

    def __init__(self, lr: float, rate: float, steps: float, staircase: bool = False) -> None:
        self.lr = number("Exponential: lr", lr)
        self.rate = number("Exponential: rate", rate, above=0.0)
        self.steps = number("Exponential: steps", steps, above=0.0)
        self.staircase = staircase

    def __call__(self, k: int) -> float:
        """Return the rate after `k` updates."""
        exponent = k // self.steps if self.staircase else k / self.steps
        return float(self.lr * self.rate**exponent)
