"""The walk: from the newest node to the oldest, hand each gradient on by the chain rule.

1. `collect` the nodes that can be reached from the outputs, with a plain stack, and sort them by
   creation number, newest first (inputs always exist before outputs);
2. keep those on the way to where gradients are wanted (`plan`);
3. for each node, call the derivative rules with its gradient and add up what they return per
   parent (`walk`).

Nothing here recurses.  The engine, not the rules, undoes broadcasting, keeps each input's element
type, and sees to it that no two gradients share memory: it adds in place only to what it made.
What may be asked for, and what is wrong with it, is in `differentiate.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..device import added, device_guard
from .graph import Node, Variable, variable
from .hooks import called
from .mode import recording
from .vocabulary import ON_TENSORS, on_arrays

__all__ = ["Key", "Way", "plan", "walk"]

# What a gradient flows to: the node that made a tensor, or the leaf tensor itself.
Key = Node | Variable
_newest_first = attrgetter("seq")


class Way(NamedTuple):
    """What a walk will pass: the nodes, newest first; those whose rules run; and the leaves.

    `useful` is everything that gradients flow through on the way to `targets`; None stands for all.
    """

    order: list[Node]
    runs: set[Node]
    leaves: list[Variable]
    targets: set[Key] | None
    useful: set[Key] | None


def plan(roots: Iterable[Key], targets: set[Key] | None) -> Way:
    """Return the way from the outputs' nodes to `targets`; to every leaf if they are None."""
    order, leaves = collect(roots)
    if targets is None:
        return Way(order, set(order), leaves, None, None)
    useful: set[Key] = set(targets)
    runs: set[Node] = set()
    for node in reversed(order):  # parents before children
        if any(p in useful for p in node.parents if p is not None):
            useful.add(node)
            runs.add(node)
    return Way([n for n in order if n in useful], runs, leaves, targets, useful)


def collect(roots: Iterable[Key]) -> tuple[list[Node], list[Variable]]:
    """Return every node reachable from `roots`, newest first, and every leaf."""
    seen: set[Any] = set(roots)
    stack = [r for r in seen if type(r) is Node]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                if type(parent) is Node:
                    stack.append(parent)
    nodes = [k for k in seen if type(k) is Node]
    nodes.sort(key=_newest_first, reverse=True)
    return nodes, [k for k in seen if type(k) is not Node]


class Gradients:
    """The gradients on their way, and which of them nobody else holds."""

    __slots__ = ("by_key", "owned")

    def __init__(self) -> None:
        self.by_key: dict[Key, Any] = {}
        self.owned: set[Key] = set()

    def add(self, key: Key, g: Any, fresh: bool) -> None:
        """Add `g` to the gradient of `key`: in place if the sum so far is ours alone."""
        before = self.by_key.get(key)
        if before is None:
            self.by_key[key] = g
            if fresh:
                self.owned.add(key)
        elif isinstance(g, Variable):
            self.by_key[key] = before + g
        else:
            self.by_key[key] = added(before, g, in_place=key in self.owned)
            self.owned.add(key)


def walk(
    seeds: list[tuple[Key, Any]], way: Way, keep: bool, create_graph: bool
) -> tuple[dict[Key, tuple[Any, bool]], list[tuple[Variable, Any]]]:
    """Return the gradients of the targets, each with whether nobody else holds it.

    And those of tensors in between that asked to retain theirs.  Writes nothing but `node.saved`.
    """
    gradients = Gradients()
    for key, g in seeds:
        gradients.add(key, g, fresh=False)
    found: dict[Key, tuple[Any, bool]] = {}
    retained: list[tuple[Variable, Any]] = []
    by_key, targets, useful, runs = gradients.by_key, way.targets, way.useful, way.runs
    with recording(create_graph):
        for node in way.order:
            g = by_key.pop(node, None)
            if g is None:
                continue
            if node.hooks is not None or node.keeper is not None:
                g, _ = called(node.hooks, g, False, create_graph)
                kept = None if node.keeper is None else node.keeper()
                if kept is not None:
                    retained.append((kept, g))
            if targets is not None and node in targets:
                found[node] = (g, False)
            if node in runs:
                if create_graph or isinstance(g, (np.ndarray, np.generic)):
                    step(node, g, useful, gradients, create_graph)
                else:
                    with device_guard(g):
                        step(node, g, useful, gradients, create_graph)
                if not keep:
                    node.saved = None
        for key, g in by_key.items():
            if isinstance(key, Variable) and (targets is None or key in targets):
                found[key] = called(key._hooks, g, key in gradients.owned, create_graph)
    return found, retained


def step(
    node: Node, g: Any, useful: set[Key] | None, gradients: Gradients, create_graph: bool
) -> None:
    """Give each parent of `node` its share of the gradient `g`: the chain rule."""
    F: Any = ON_TENSORS if create_graph else on_arrays(g)
    saved: Any = as_tensors(node) if create_graph else node.saved
    parents, add = node.parents, gradients.add
    for i, rule, picks in node.plan.plain if create_graph else node.plan.steps:
        parent = parents[i]
        if useful is not None and parent not in useful:
            continue
        out = rule(F, g, *[saved[j] for j in picks])
        if out is None:
            continue
        if type(parent) is Node:
            shape, dtype = parent.shape, parent.dtype
        else:
            shape, dtype = parent._data.shape, parent._data.dtype
        if out.shape != shape:
            out = unbroadcast(F, out, shape)
        if out.dtype != dtype:
            out = F.cast(out, dtype=dtype)
        add(parent, out, is_fresh(out, g, saved))


def is_fresh(out: Any, g: Any, saved: Any) -> bool:
    """Whether an array is new: not the gradient passed in, nor something saved, nor a view."""
    if out is g or isinstance(out, Variable) or out.base is not None:
        return False
    return all(out is not s for s in saved)


def unbroadcast(F: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an input of `shape` was repeated."""
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1
    )
    return F.reshape(F.sum(g, axis=axes, keepdims=False), shape=shape)


def as_tensors(node: Node) -> list[Any]:
    """Return the saved arrays as the tensors they were, so that rules on them are recorded."""
    saved = list(node.saved or ())
    n = len(node.op.inputs)
    for k, i in enumerate(node.plan.arrays):
        if i < n and hasattr(saved[k], "dtype"):
            parent = node.parents[i]
            saved[k] = parent if isinstance(parent, Variable) else variable(saved[k], parent)
        elif i == n:
            saved[k] = variable(saved[k], node)
    return saved
