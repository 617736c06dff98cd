"""Optimisers: PyTorch's names, defaults and numbers.

To see how Adam works, read `adam_numbers` and `adam_rule` in :mod:`~tinygrad_adam.optim.adam`: the
whole arithmetic, 60 lines.  The class below them is a table of settings and three lines that hand
them over.  A new optimiser is just that: a rule over plain arrays, the named tuple of its numbers,
and such a class; :class:`Optimizer` adds groups, state, hooks and saving, and
:mod:`~tinygrad_adam.optim.update` runs the rule fast.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import schedules
from .adam import Adam, AdamW, AdamWithDecay
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

if TYPE_CHECKING:
    from . import arrays

__all__ = ["SGD", "Adam", "AdamW", "AdamWithDecay", "Optimizer", "RMSprop", "arrays", "schedules"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Read `arrays` at its first use: who trains tensors needs none of it."""
        if name == "arrays":
            return _import_module(f"{__name__}.arrays")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
