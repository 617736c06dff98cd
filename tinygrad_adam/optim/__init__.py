"""Optimisers: PyTorch's names, defaults and numbers.

To see how Adam works, read `adam_numbers` and `adam_rule` in :mod:`~tinygrad_adam.optim.adam`: the
whole arithmetic, 60 lines.  The class below them is a table of settings and three lines that hand
them over.  A new optimiser is just that: a rule over plain arrays, the named tuple of its numbers,
and such a class; :class:`Optimizer` adds groups, state, hooks and saving, and
:mod:`~tinygrad_adam.optim.update` runs the rule fast.
"""

from . import arrays, schedules
from .adam import Adam, AdamW, AdamWithDecay
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "AdamWithDecay", "Optimizer", "RMSprop", "arrays", "schedules"]
