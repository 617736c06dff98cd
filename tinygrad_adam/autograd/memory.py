"""Memory that several tensors share: when it was changed, and which tensor is a view of which.

Nodes and changes in place count the time.  Memory is known by the array that owns it, so every view
of it is seen to change with it; a node that saved an array which changed later was recorded before
the change.

Tensors whose gradients follow each other are a family (`Variable._family`): a base knows its views,
weakly, and a view its base and the path of operations that leads from there.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from ..device import Array, array_module
from ..errors import InPlaceError

if TYPE_CHECKING:
    from .graph import Node, Variable

__all__ = [
    "CLOCK", "LAST_CHANGE", "Path", "change_time", "changed", "follow", "leave", "origin", "rebase",
    "share", "take_over", "written",
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


# The steps from a tensor to a view of it: names of operations, and their settings.
Path = tuple[tuple[str, Any], ...]


def share(source: Variable, view: Variable, name: str, settings: Any, recording: bool) -> None:
    """Note which tensor `view` is a view of, if the operation has not copied `source`.

    A view of a view is one of the same base.  One made while nothing is recorded has no path:
    gradients are not to follow it.
    """
    if not array_module(source._data).may_share_memory(source._data, view._data):
        return
    base, path = origin(source)
    if path is None or not recording:
        view._family = base, None
        return
    view._family = base, (*path, (name, settings))
    views: Any = base._family
    if views is None:
        views = base._family = []
    n = len(views)
    if n >= 16 and n & (n - 1) == 0:  # at each doubling, so that it costs little per view
        views[:] = [ref for ref in views if ref() is not None]
    views.append(weakref.ref(view))


def origin(t: Variable) -> tuple[Variable, Path | None]:
    """Return the tensor that `t` is a view of, maybe itself, and the path that leads from there."""
    return t._family if isinstance(t._family, tuple) else (t, ())


def written(t: Variable, name: str) -> tuple[Variable, Path]:
    """Return of what `t` is a view, and its path, if gradients can follow what is written to it."""
    base, path = origin(t)
    if any(x._requires_grad and x._node is None for x in (t, base)):
        raise InPlaceError(
            f"{name}: a leaf tensor that requires a gradient, or a view of it, cannot be changed "
            "in place while gradients are recorded; do it under no_grad(), or to a clone()"
        )
    if path is None:
        raise InPlaceError(
            f"{name}: this {t._data.shape} tensor is a view that was made under no_grad(), which "
            "gradients do not follow; make it while they are recorded, or use a clone()"
        )
    return base, path


def follow(F: Any, x: Any, path: Path) -> Any:
    """Return what `path` leads to from `x`."""
    for name, settings in path:
        x = getattr(F, name)(x, **settings)
    return x


def views_of(base: Variable) -> list[tuple[Variable, Path]]:
    """Return the live views of `base`, and the paths that lead there."""
    refs = base._family if isinstance(base._family, list) else ()
    found = [(view, origin(view)) for ref in refs if (view := ref()) is not None]
    # a view whose data was replaced is none any more
    return [(view, path) for view, (whose, path) in found if whose is base and path is not None]


def leave(t: Variable, stand_in: Variable) -> None:
    """Note that `t` gets another memory; `stand_in` takes its place as the base of its views."""
    for view, path in views_of(t):
        view._family = stand_in, path
        stand_in._family = t._family
    t._family = None


def take_over(t: Variable, node: Node | None) -> None:
    """Make `node` the one that made `t`; retain_grad goes with the tensor, hooks stay behind."""
    before = t._node
    if before is not None and before.keeper is not None and before.keeper() is t:
        keeper, before.keeper = before.keeper, None
        if node is not None:
            node.keeper = keeper
    t._node = node


def rebase(F: Any, base: Variable, node: Node | None) -> None:
    """Make `node` the one that made `base`, and give its views the nodes of their paths."""
    take_over(base, node)
    for view, path in views_of(base):
        take_over(view, follow(F, base, path)._node)
