"""Memory that several tensors share: its changes, views, and which tensor is which part of another.

Nodes and changes in place count the time.  Memory is known by the array that owns it, so every view
of it is seen to change with it; a node that saved an array which changed later was recorded before
the change.  In a register (`Variable._aliases`) tensors on the same memory find each other.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from ..device import Array, array_module

if TYPE_CHECKING:
    from .graph import Node, Variable

__all__ = [
    "CLOCK", "LAST_CHANGE", "change_time", "changed", "link", "other_aliases", "part_of",
    "parts_of", "share", "take_over",
]  # fmt: skip


CLOCK = itertools.count(1)
LAST_CHANGE = [0]  # of any memory


class _Change(weakref.ref[Any]):
    """A weak reference to an array, and when its memory was changed last."""

    __slots__ = ("key", "time")

    key: int
    time: int


_changes: dict[int, _Change] = {}  # by identity of the array that owns the memory


def _forget(change: _Change) -> None:
    _changes.pop(change.key, None)


def _owner(array: Array) -> Array:
    """Return the array whose memory `array` lies in."""
    while (base := array.base) is not None and hasattr(base, "base"):
        array = base
    return array


def changed(t: Variable) -> None:
    """Note that the memory of `t` was written to, so that a graph that saved it will say so."""
    owner = _owner(t._data)
    change = _changes.get(id(owner))
    if change is None:
        change = _changes[id(owner)] = _Change(owner, _forget)
        change.key = id(owner)
    change.time = LAST_CHANGE[0] = next(CLOCK)


def change_time(array: Array) -> int:
    """Return when the memory of `array` was changed last; 0 if it never was."""
    change = _changes.get(id(_owner(array)))
    return 0 if change is None else change.time


class Part(weakref.ref["Variable"]):
    """A weak reference to a view that knows of which tensor it is which part.

    Views made while nothing is recorded are no parts: gradients are not to follow them.
    """

    __slots__ = ("base", "index")

    base: weakref.ref[Variable]
    index: Any


def share(base: Variable, view: Variable, index: Any) -> None:
    """Note that `view` lies in the memory of `base`, if it does (a reshape may have copied)."""
    if array_module(base._data).may_share_memory(base._data, view._data):
        link(base, view, index)


def link(base: Variable, view: Variable, index: Any = None) -> None:
    """Let two tensors on the same memory know of each other.

    With an `index`, `view` is that part of `base`.
    """
    aliases = base._aliases
    if aliases is None:
        aliases = base._aliases = {id(base): weakref.ref(base)}
    n = len(aliases)
    if n >= 16 and n & (n - 1) == 0:  # at each doubling, so that it costs little per view
        for key in [key for key, ref in aliases.items() if ref() is None]:
            del aliases[key]
    if index is None:
        aliases[id(view)] = weakref.ref(view)
    else:
        part = aliases[id(view)] = Part(view)
        part.base, part.index = weakref.ref(base), index
    view._aliases = aliases


def take_over(t: Variable, node: Node | None) -> None:
    """Make `node` the one that made `t`; retain_grad goes with the tensor, hooks stay behind."""
    before = t._node
    if before is not None and before.keeper is not None and before.keeper() is t:
        keeper, before.keeper = before.keeper, None
        if node is not None:
            node.keeper = keeper
    t._node = node


def part_of(t: Variable) -> tuple[Any, Any] | None:
    """Return the tensor that `t` is a view of and the index of the part, if it is one."""
    ref = (t._aliases or {}).get(id(t))
    if not isinstance(ref, Part):
        return None
    base = ref.base()
    # a tensor whose data was replaced has left its aliases
    return None if base is None or base._aliases is not t._aliases else (base, ref.index)


def parts_of(t: Variable) -> list[tuple[Any, Any]] | None:
    """Return the live parts of `t` and their indices; None if more than they shares its memory."""
    parts: list[tuple[Any, Any]] = []
    for ref in list((t._aliases or {}).values()):
        other = ref()
        if other is not None and other is not t:
            if not isinstance(ref, Part) or ref.base() is not t:
                return None
            parts.append((other, ref.index))
    return parts


def other_aliases(t: Variable) -> list[Variable]:
    """Live tensors, other than `t` itself, on the memory of `t`."""
    refs = list((t._aliases or {}).values())
    return [other for r in refs if (other := r()) is not None and other is not t]
