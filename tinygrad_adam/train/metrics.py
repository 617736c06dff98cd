"""How often a classifier is right, and how fast an objective fell."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor

__all__ = ["accuracy", "binary_accuracy", "steps_to_target"]


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows whose largest output is at the target.

    Parameters
    ----------
    outputs : Tensor
        (N, C): scores, logits or probabilities of C classes.
    targets : Tensor
        (N,) integers.

    Returns
    -------
    Tensor
        0-d float64.

    Raises
    ------
    ShapeError
        If the shapes are not these; broadcasting would hide the mistake.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> accuracy(tg.tensor([[0.1, 0.9], [0.8, 0.2]]), tg.tensor([1, 1])).item()
    0.5
    """
    if outputs.ndim != 2 or targets.shape != outputs.shape[:1]:
        raise ShapeError(
            f"accuracy: expected outputs (N, C) and targets (N,), got {outputs.shape} and "
            f"{targets.shape}"
        )
    return _share(outputs.argmax(1) == targets)


def binary_accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of logits on the side of zero that their target, 0 or 1, asks for.

    Parameters
    ----------
    logits, targets : Tensor
        Of one shape.

    Returns
    -------
    Tensor
        0-d float64.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> binary_accuracy(tg.tensor([-2.0, 3.0]), tg.tensor([0.0, 0.0])).item()
    0.5
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"binary_accuracy: logits {logits.shape} and targets {targets.shape} differ in shape"
        )
    return _share((logits > 0) == (targets > 0.5))


def _share(right: Tensor) -> Tensor:
    return right.double().mean()


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
