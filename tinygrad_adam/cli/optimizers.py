"""Optimisers by name, for the command line."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ArgumentError
from ..optim import SGD, Adam, AdamW, Optimizer, RMSprop, schedules
from ..optim.groups import Params
from ..optim.settings import LearningRate

__all__ = ["OPTIMIZERS", "learning_rate", "make_optimizer"]


def _momentum(params: Params, lr: LearningRate) -> SGD:
    return SGD(params, lr, momentum=0.9)


OPTIMIZERS: dict[str, Callable[[Params, LearningRate], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "momentum": _momentum,
    "rmsprop": RMSprop,
}


def learning_rate(lr: float, decay_rate: float | None) -> LearningRate:
    """Return `lr`, or the schedule that multiplies it by `decay_rate` every 1000 updates."""
    return lr if decay_rate is None else schedules.Exponential(lr, decay_rate, 1000)


def make_optimizer(
    name: str, params: Params, lr: float, decay_rate: float | None = None
) -> Optimizer:
    r"""Return a fresh optimiser.

    Parameters
    ----------
    name : str
        ``"adam"``, ``"adamw"``, ``"sgd"``, ``"momentum"`` (SGD with momentum 0.9) or
        ``"rmsprop"``; everything but the learning rate is at its default.
    params : iterable
        As for any optimiser.
    lr : float
        The learning rate :math:`\eta`, positive.
    decay_rate : float, optional
        Makes it :math:`\eta \cdot \text{rate}^{k / 1000}` after `k` updates.

    Raises
    ------
    ArgumentError
        If there is no such optimiser or a number is out of range.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(1, requires_grad=True)
    >>> make_optimizer("momentum", [w], lr=0.1).param_groups[0]["momentum"]
    0.9
    """
    if name not in OPTIMIZERS:
        raise ArgumentError(f"no optimizer is called {name!r}; choose from {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](params, learning_rate(lr, decay_rate))
