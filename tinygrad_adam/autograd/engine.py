"""The walk: from the newest node to the oldest, hand each gradient on by the chain rule.

1. `collect` the nodes that can be reached from the outputs, with a plain stack, newest first
   (inputs always exist before outputs);
2. keep those on the way to where gradients are wanted (`plan`);
3. for each node, call the derivative rules with its gradient and add up what they return per
   parent (`walk`).

Nothing here recurses.  The engine, not the rules, undoes broadcasting, keeps each input's element
type, and sees to it that no two gradients share memory: it adds in place only to what it made.
What may be asked for, and what is wrong with it, is in `differentiate.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..buffers import is_sole
from ..device import added
from .graph import Node, Variable, variable
from .hooks import called
from .mode import recording
from .vocabulary import ON_NUMPY, ON_TENSORS, on_arrays

__all__ = ["Key", "Way", "plan", "walk"]

# What a gradient flows to: the node that made a tensor, or the leaf tensor itself.
Key = Node | Variable


class Way(NamedTuple):
    """What a walk will pass: the nodes, newest first; those whose rules run; and the leaves.

    `useful` is everything that gradients flow through on the way to `targets`.  None means all.
    """

    order: list[Node]
    runs: set[Node] | None
    leaves: list[Variable]
    targets: set[Key] | None
    useful: set[Key] | None


def plan(roots: Collection[Key], targets: set[Key] | None) -> Way:
    """Return the way from the outputs' nodes to `targets`; to every leaf if they are None."""
    order, leaves = collect(roots)
    if targets is None:
        return Way(order, None, leaves, None, None)
    useful: set[Key] = set(targets)
    runs: set[Node] = set()
    for node in reversed(order):  # parents before children
        if any(p in useful for p in node.parents if p is not None):
            useful.add(node)
            runs.add(node)
    passed = useful.union(roots if len(roots) == 1 else ())  # for its hooks, as in PyTorch
    return Way([n for n in order if n in passed], runs, leaves, targets, useful)


def collect(roots: Iterable[Key]) -> tuple[list[Node], list[Variable]]:
    """Return every node reachable from `roots`, newest first, and every leaf."""
    nodes: dict[int, Node] = {}
    leaves: dict[Variable, None] = {}
    stack: list[Any] = []
    parents: Iterable[Any] = roots
    while True:
        for key in parents:
            if type(key) is Node:
                if key.seq not in nodes:
                    nodes[key.seq] = key
                    stack.append(key)
            elif key is not None:
                leaves[key] = None
        if not stack:
            return [nodes[seq] for seq in sorted(nodes, reverse=True)], list(leaves)
        parents = stack.pop().parents


def walk(
    seeds: list[tuple[Key, Any]], way: Way, keep: bool, create_graph: bool
) -> tuple[dict[Key, tuple[Any, bool]], list[tuple[Variable, Any]]]:
    """Return the gradients of the targets, each with whether nobody else holds it.

    And those of tensors in between that asked to retain theirs.  Writes nothing but `node.saved`.
    """
    order, runs, _, targets, useful = way
    grads: dict[Key, Any] = {}  # the gradients on their way
    owned: set[Key] = set()  # which of them nobody else holds
    for key, g in seeds:
        grads[key] = g if key not in grads else added(grads[key], g)
    found: dict[Key, tuple[Any, bool]] = {}
    retained: list[tuple[Variable, Any]] = []
    F: Any = ON_TENSORS
    saved: Any
    with recording(create_graph), np.errstate(all="ignore"):
        for node in order:
            g = grads.pop(node)
            if node.hooks is not None or node.keeper is not None:
                g, _ = called(node.hooks, g, False, create_graph)
                kept = None if node.keeper is None else node.keeper()
                if kept is not None:
                    retained.append((kept, g))
            if targets is not None:
                if node in targets:
                    found[node] = (g, False)
                if runs is not None and node not in runs:
                    continue
            # the chain rule: to the gradient of each parent add its share of g
            parents = node.parents
            if create_graph:
                saved, steps = as_tensors(node), node.plan.plain
            else:
                saved, steps = node.saved, node.plan.steps
                F = ON_NUMPY if type(g) is ndarray else on_arrays(g)
            for i, rule, picks, only in steps:
                parent = parents[i]
                if useful is not None and parent not in useful:
                    continue
                if only >= 0:
                    out = rule(F, g, saved[only])
                else:
                    out = rule(F, g, *[saved[j] for j in picks]) if picks else rule(F, g)
                like = parent if type(parent) is Node else parent._data
                if out.shape != like.shape:
                    out = unbroadcast(F, out, like.shape)
                if out.dtype is not like.dtype:
                    out = F.cast(out, dtype=like.dtype)
                before = grads.get(parent)
                if before is None:
                    grads[parent] = out
                    if like is not parent and is_fresh(out, g, saved):  # only a leaf's is given out
                        owned.add(parent)
                elif create_graph:
                    grads[parent] = before + out
                elif type(out) is not ndarray:
                    grads[parent] = added(before, out)
                elif parent in owned:
                    before += out  # a NumPy scalar makes a new one
                    grads[parent] = before
                else:
                    grads[parent] = before + out
                    owned.add(parent)
            if not keep and node.plan.arrays:
                node.saved = None
            saved = out = before = None  # freed now, not when the next node has run
        for key, g in grads.items():
            if isinstance(key, Variable) and (targets is None or key in targets):
                found[key] = called(key._hooks, g, key in owned, create_graph)
    return found, retained


def is_fresh(out: Any, g: Any, saved: Any) -> bool:
    """Whether an array is new: not the gradient passed in, nor something saved, nor a view."""
    if out is g or isinstance(out, Variable) or (out.base is not None and not is_sole(out)):
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
