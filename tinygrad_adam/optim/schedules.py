"""Learning rates as functions of the number of completed updates.

A schedule is any callable ``k -> lr``; pass it as an optimiser's ``lr``.  The first update asks for
``k = 0``.  The optimiser keeps `k` and saves it, so a resumed run goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import ArgumentError

__all__ = ["Schedule", "constant", "exponential"]

Schedule = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """Return the schedule that is `lr` always.

    Raises
    ------
    ArgumentError
        If `lr` is negative or not finite.

    Examples
    --------
    >>> constant(0.1)(1000)
    0.1
    """
    _check("constant", "lr", lr, lr >= 0)

    def schedule(k: int) -> float:
        return lr

    return schedule


def exponential(lr: float, rate: float, steps: float, staircase: bool = False) -> Schedule:
    r"""Return :math:`k \mapsto \eta \cdot \text{rate}^{k / \text{steps}}`.

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
    >>> lr = exponential(0.001, rate=0.95, steps=1000)
    >>> lr(0), lr(1000)
    (0.001, 0.00095)
    >>> exponential(1.0, rate=0.5, steps=10, staircase=True)(19)
    0.5
    """
    _check("exponential", "lr", lr, lr >= 0)
    _check("exponential", "rate", rate, rate > 0)
    _check("exponential", "steps", steps, steps > 0)

    def schedule(k: int) -> float:
        return float(lr * rate ** (k // steps if staircase else k / steps))

    return schedule


def _check(schedule: str, name: str, value: float, good: bool) -> None:
    if not (good and math.isfinite(value)):
        bound = "non-negative" if name == "lr" else "positive"
        raise ArgumentError(f"{schedule}: {name} must be finite and {bound}, got {value}")
