"""The short way for what is run most: operations on one or two NumPy tensors of one type.

What these functions return does exactly what :func:`~tinygrad_adam.autograd.graph.apply` does, from
the same `Op`, with the loops over operands written out.  Whatever is unusual - another type, device
or operand, an error - goes to `slow`, the readable way, which also explains what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from .graph import Node, Variable, variable
from .mode import mode
from .registry import Op

__all__ = ["binary", "unary"]

_FLOAT32 = np.dtype(np.float32)
_ERRORS = (ValueError, TypeError, IndexError, OverflowError)


class _Number:
    """Stands for a Python number among the operands: it never gets a gradient."""

    _node = None
    _requires_grad = False


_NUMBER: Any = _Number()


def unary(operation: Op, slow: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function that runs `operation`, which is smooth, on a floating tensor."""

    def function(input: Any) -> Any:
        if not isinstance(input, Variable):
            return slow(input)
        x = input._data
        if type(x) is not ndarray or (x.dtype is not _FLOAT32 and x.dtype.kind != "f"):
            return slow(input)
        bound = operation.on_numpy
        try:
            y = bound.value(np, x)
        except _ERRORS:
            return slow(input)
        out = variable(y)
        if mode.recording:
            parent: Any = input._node
            if parent is None and input._requires_grad:
                parent = input
            if parent is not None:
                plan = bound.plans.get(1) or bound.plan(1)
                y = out._data
                saved = plan.pick((x, y))
                out._node = Node(operation, (parent,), plan, saved, y)
        return out

    return function


def binary(
    operation: Op, slow: Callable[[Any, Any], Any], constants: bool = True
) -> Callable[[Any, Any], Any]:
    """Return the function that runs `operation`, smooth in both operands, on tensors or numbers.

    With `constants`, numbers become arrays without axes, which NumPy takes three times as fast.
    """

    def function(input: Any, other: Any) -> Any:
        first, second = input, other
        if isinstance(input, Variable):
            a = array = input._data
            dtype = a.dtype
            if isinstance(other, Variable):
                b = other._data
                if b.dtype is not dtype or type(b) is not ndarray:
                    return slow(input, other)
            elif type(other) is float or type(other) is int:
                b = constant(other, dtype) if constants else other
                second = _NUMBER
            else:
                return slow(input, other)
        elif isinstance(other, Variable) and (type(input) is float or type(input) is int):
            b = array = other._data
            dtype = b.dtype
            a = constant(input, dtype) if constants else input
            first = _NUMBER
        else:
            return slow(input, other)
        if type(array) is not ndarray or (dtype is not _FLOAT32 and dtype.kind != "f"):
            return slow(input, other)
        bound = operation.on_numpy
        try:
            y = bound.value(np, a, b)
        except _ERRORS:
            return slow(input, other)
        out = variable(y)
        if mode.recording:
            left, right = first._node, second._node
            if left is None and first._requires_grad:
                left = first
            if right is None and second._requires_grad:
                right = second
            needs = (left is not None) + 2 * (right is not None)
            if needs:
                plan = bound.plans.get(needs) or bound.plan(needs)
                y = out._data
                saved = plan.pick((a, b, y))
                out._node = Node(operation, (left, right), plan, saved, y)
        return out

    return function


_CONSTANTS: dict[str, dict[float, Any]] = {"e": {}, "f": {}, "d": {}, "g": {}}


def constant(value: float, dtype: Any) -> Any:
    """Return a number as an array without axes, and a number in frequent use as the same one."""
    known = _CONSTANTS.get(dtype.char)
    if known is None:
        return value
    found = known.get(value)
    if found is None:
        try:
            found = np.array(value, dtype)
        except OverflowError:
            return value  # an integer beyond the floats: NumPy says so
        found.setflags(write=False)
        if value and len(known) < 1024:  # 0.0 and -0.0 are equal, and not the same
            known[value] = found
    return found
