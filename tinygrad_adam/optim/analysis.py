"""Reading optimisation histories."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import ArgumentError

__all__ = ["steps_to_target"]


def steps_to_target(history: Iterable[float], tol: float) -> int | None:
    """Return how many updates it took until the objective was at most `tol`.

    The position of the smallest value is no measure of convergence speed: for a history that
    still falls it is the last one, and ``np.argmin`` of a history with a NaN is the first NaN.

    Parameters
    ----------
    history : iterable of float
        The objective after the first, second, ... update.
    tol : float
        The value to reach.

    Returns
    -------
    int or None
        The number of updates, counted from 1, or None if `tol` was never reached.  NaN reaches
        nothing.

    Raises
    ------
    ArgumentError
        If `tol` is NaN.

    Examples
    --------
    >>> steps_to_target([4.0, 0.5, 0.01], tol=0.5)
    2
    >>> steps_to_target([4.0, float("nan")], tol=0.5) is None
    True
    """
    if math.isnan(tol):
        raise ArgumentError("steps_to_target: tol is NaN, which no value can reach")
    return next((k for k, value in enumerate(history, start=1) if value <= tol), None)
