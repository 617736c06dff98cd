"""Changing tensors in place: ``+=`` and its kin, `copy_`, `fill_` and `zero_`.

All of them end in `ops.index.setitem`, which checks, writes and records.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .autograd.graph import Variable, variable
from .device import array_module, device_guard
from .dtypes import kind
from .errors import DTypeError, ShapeError
from .ops import elementwise as ew
from .ops.arguments import reaches, recorded
from .ops.index import setitem
from .ops.move import cast

if TYPE_CHECKING:
    from .tensor import Tensor
    from .types import Data, Operand

__all__ = [
    "add_", "copy_", "div_", "fill_", "mul_", "pow_", "sub_", "update", "zero_",
]  # fmt: skip


def update(t: Tensor, name: str, function: Callable[[Any, Any], Any], other: Any) -> Tensor:
    """Write ``function(t, other)`` over all elements."""
    old: Any = t
    if recorded(t, other):
        # Derivatives may keep what they saw, and this memory is about to change.
        with device_guard(t._data):
            old = variable(array_module(t._data).array(t._data), t._node)
    new = function(old, old if other is t else other)
    if kind(new._data.dtype) > kind(t._data.dtype):
        raise DTypeError(
            f"{name}: the result is {new.dtype}, which does not go into a {t.dtype} tensor; "
            "convert the tensor first, or write x = x + y to get a new one"
        )
    if new._data.shape != t._data.shape:
        raise ShapeError(
            f"{name}: the result has shape {new.shape}, which does not go into {t.shape}; "
            "write x = x + y to get a new tensor"
        )
    new = cast(new, t._data.dtype)
    setitem(t, ..., new, name, new._node)
    return t


def add_(t: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Add `alpha` times `other` in place.

    This and its kin are what ``+=`` and its kin call.  They write into the memory of this
    tensor, so that every view of it sees the change; gradients follow.

    Parameters
    ----------
    other : Tensor or number
        Broadcast to the shape of this tensor.
    alpha : number
        What to multiply `other` by.

    Returns
    -------
    Tensor
        This one.

    Raises
    ------
    InPlaceError
        While gradients are recorded: if this is a leaf that requires one or a view of such a
        leaf, or a view made while they were not.  At any time: if it is a read-only view.
    DTypeError
        If the result is floating and this tensor is not.
    ShapeError
        If the result would be larger than this tensor.  In all cases nothing has changed.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> m = tg.zeros(2, 2)
    >>> row = m[1]
    >>> row += 5
    >>> m
    tensor([[0., 0.],
            [5., 5.]])
    """
    return update(t, "add_", partial(ew.add, alpha=alpha), other)


def sub_(t: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Subtract `alpha` times `other` in place; see `add_`."""
    return update(t, "sub_", partial(ew.sub, alpha=alpha), other)


def mul_(t: Tensor, other: Operand) -> Tensor:
    """Multiply by `other` in place; see `add_`."""
    return update(t, "mul_", ew.mul, other)


def div_(t: Tensor, other: Operand) -> Tensor:
    """Divide by `other` in place; see `add_`."""
    return update(t, "div_", ew.div, other)


def pow_(t: Tensor, exponent: Operand) -> Tensor:
    """Raise to a power in place; see `add_`."""
    return update(t, "pow_", ew.pow, exponent)


def copy_(t: Tensor, source: Data) -> Tensor:
    """Copy the values of `source` into this tensor, cast to its type; gradients follow.

    Parameters
    ----------
    source : Tensor, array or nested list
        Broadcast to the shape of this tensor; may be on another device.

    Raises
    ------
    ShapeError
        If `source` does not broadcast to this shape; nothing is written then.
    DTypeError
        If `source` holds anything but numbers.
    InPlaceError
        While gradients are recorded: if this is a leaf that requires one or a view of such a
        leaf, or a view made while they were not.  At any time: if it is a read-only view.
    """
    if not isinstance(source, Variable):
        try:
            source = variable(source if hasattr(source, "dtype") else np.asarray(source))
        except ValueError as error:
            raise ShapeError(f"copy_: {error}") from error
    kind(source._data.dtype)
    if not reaches(source._data.shape, t.shape):
        raise ShapeError(f"copy_: source {source._data.shape} does not fit into {t.shape}")
    return _take(t, "copy_", source)


def fill_(t: Tensor, value: Operand) -> Tensor:
    """Set every element to `value`, a number or a 0-d Tensor; gradients follow."""
    return _fill(t, "fill_", value)


def zero_(t: Tensor) -> Tensor:
    """Set every element to 0."""
    return _fill(t, "zero_", 0)


def _fill(t: Tensor, name: str, value: Any) -> Tensor:
    if getattr(value, "ndim", 0) or isinstance(value, (list, tuple)):
        raise ShapeError(f"{name}: the value must be one number, got {value!r:.80}")
    return _take(t, name, value)


def _take(t: Tensor, name: str, value: Any) -> Tensor:
    """Write `value` over all elements, cast to their type if it is a Tensor."""
    if isinstance(value, Variable):
        value = cast(value.to(t.device), t._data.dtype)  # type: ignore[attr-defined]
    setitem(t, ..., value, name)
    return t
