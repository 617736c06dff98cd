"""Changing tensors in place: assignment to parts, ``+=`` and its kin, `copy_` and `fill_`.

All of them end in `ops.index.setitem`, which checks, records and writes.  What is added here is who
else follows.  A part of a tensor, made by indexing it, lies in the same memory, so when either is
written to while gradients are recorded, both get new nodes: the whole that of the assignment, the
part that of reading it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .autograd.graph import Node, Variable, variable
from .autograd.memory import part_of, parts_of, take_over
from .device import array_module, device_guard
from .dtypes import kind
from .errors import DTypeError, ShapeError
from .ops import elementwise as ew
from .ops.arguments import reaches, recorded
from .ops.index import getitem, setitem
from .ops.move import cast
from .ops.shape import expand

if TYPE_CHECKING:
    from .tensor import Tensor
    from .types import Data, IndexLike, Operand

__all__ = [
    "add_", "assign_item", "copy_", "div_", "fill_", "mul_", "pow_", "sub_", "update", "zero_",
]  # fmt: skip


def assign_item(t: Tensor, index: IndexLike, value: Operand) -> None:
    """Write `value` into the part of `t` at `index`; see `ops.index.setitem`."""
    if isinstance(value, Variable) and value._aliases is not None:
        # ``x[index] += v`` is ``part = x[index]; part += v; x[index] = part``: done already.
        origin = part_of(value)
        if origin is not None and origin[0] is t and _same_index(origin[1], index):
            return
    _assign(t, index, value, "setitem")


def _assign(t: Tensor, index: Any, value: Any, name: str, node: Node | None = None) -> None:
    """Assign to a part of this tensor, whose live parts then are parts of the result.

    With a `node`, which made `value`, all of the tensor is assigned to.
    """
    parts = parts_of(t) if recorded(t, value) else None
    if not parts:
        setitem(t, index, value, name)
    else:
        # They follow below, so they are no obstacle.
        aliases, t._aliases = t._aliases, None
        try:
            setitem(t, index, value, name)
        finally:
            t._aliases = aliases
    if node is not None:
        take_over(t, node)
    for part, where in parts or ():
        take_over(part, getitem(t, where)._node)


def _replace(t: Tensor, name: str, value: Any) -> Tensor:
    """Write `value` over all elements.

    A recorded `value` fits and is known to nobody else; gradients then go to its node alone,
    since nothing of the old value remains.
    """
    recording = recorded(t, value)
    node = value._node if recording and isinstance(value, Variable) else None
    origin = part_of(t) if recording else None
    if origin is not None:
        base, index = origin
        _assign(base, index, value, name)
    else:
        _assign(t, ..., value, name, node)
    return t


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
    return _replace(t, name, cast(new, t._data.dtype))


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
        While gradients are recorded: if this is a leaf that requires one, or shares its
        memory with a tensor that is neither a slice of it nor what it is a slice of.
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
    return update(t, "add_", ew.add, _scaled("add_", other, alpha))


def sub_(t: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Subtract `alpha` times `other` in place; see `add_`."""
    return update(t, "sub_", ew.sub, _scaled("sub_", other, alpha))


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
        While gradients are recorded: if this is a leaf that requires one, or shares its
        memory with a tensor that is neither a slice of it nor what it is a slice of.
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


def _take(t: Tensor, name: str, source: Any) -> Tensor:
    source = cast(source.to(t.device), t._data.dtype)
    if recorded(source):
        source = ew.clone(expand(source, t.shape))
    return _replace(t, name, source)


def fill_(t: Tensor, value: Operand) -> Tensor:
    """Set every element to `value`, a number or a 0-d Tensor; gradients follow."""
    return _fill(t, "fill_", value)


def zero_(t: Tensor) -> Tensor:
    """Set every element to 0."""
    return _fill(t, "zero_", 0)


def _fill(t: Tensor, name: str, value: Any) -> Tensor:
    if getattr(value, "ndim", 0) or isinstance(value, (list, tuple)):
        raise ShapeError(f"{name}: the value must be one number, got {value!r:.80}")
    return _take(t, name, value) if isinstance(value, Variable) else _replace(t, name, value)


def _same_index(part: tuple[Any, ...], index: Any) -> bool:
    """Whether `index` says what the index of a view does, in the same words."""
    items = index if isinstance(index, tuple) else (index,)
    plain = all(i is None or isinstance(i, _PLAIN) for i in items)
    return plain and part in (items, (*items, ...))


_PLAIN = (int, slice, type(...))


def _scaled(name: str, other: Any, alpha: Any) -> Any:
    """Return `alpha` times `other`."""
    if not isinstance(alpha, (int, float, np.number)):
        raise DTypeError(f"{name}: alpha must be a number, got {type(alpha).__name__}")
    if alpha == 1:
        return other
    return ew.mul(other, alpha) if hasattr(other, "dtype") else other * alpha
