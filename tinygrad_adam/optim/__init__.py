"""Optimisers: PyTorch's names, defaults and numbers.

Every update rule is one function over plain arrays; :class:`Optimizer` adds groups, state, hooks
and saving, and :mod:`~tinygrad_adam.optim.executor` runs the rule fast.
"""

from . import schedules
from .adam import Adam, AdamW, AdamWithDecay
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AdamWithDecay",
    "Optimizer",
    "RMSprop",
    "schedules",
]
