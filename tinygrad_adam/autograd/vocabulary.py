"""`F`, the vocabulary of derivatives: every operation under its own name.

On arrays a name is the operation's value, on tensors the operation itself, recorded.  So a
derivative is written once: called with `ON_NUMPY` it gives arrays, with `ON_TENSORS` something that
can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..device import Array, array_module
from .graph import apply
from .registry import LOOKED_UP, find

__all__ = ["ON_MODULES", "ON_NUMPY", "ON_TENSORS", "on_arrays"]


class ArrayVocabulary:
    """Every operation under its name, on plain arrays of one array module."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        LOOKED_UP.append(vars(self))

    def __getattr__(self, name: str) -> Callable[..., Array]:
        operation = find(name)
        value = operation.on(self.xp.__name__).value
        function: Callable[..., Array] = partial(value, self.xp)
        setattr(self, name, function)
        return function


class TensorVocabulary:
    """Every operation under its name, recorded on tensors: derivatives that have derivatives."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = find(name)

        def function(*inputs: Any, **params: Any) -> Any:
            return apply(operation, inputs, params)

        setattr(self, name, function)
        return function


ON_TENSORS = TensorVocabulary()
LOOKED_UP.append(vars(ON_TENSORS))
ON_NUMPY = ArrayVocabulary(np)
ON_MODULES: dict[str, ArrayVocabulary] = {"numpy": ON_NUMPY}


def on_arrays(array: Array) -> ArrayVocabulary:
    """Return the vocabulary for arrays like `array`."""
    if isinstance(array, (np.ndarray, np.generic)):
        return ON_NUMPY
    xp = array_module(array)
    found = ON_MODULES.get(xp.__name__)
    if found is None or found.xp is not xp:
        found = ON_MODULES[xp.__name__] = ArrayVocabulary(xp)
    return found
