"""The backward pass: walk the recorded graph from newest to oldest and apply the chain rule.

Five steps, none of them recursive:

1. collect the nodes that can be reached from the outputs, with a plain stack;
2. sort them by creation number, newest first (inputs always exist before outputs);
3. check them all, so that a stale or freed graph raises before anything has changed;
4. for each node, hand its gradient to the derivative rules and add up what they return per parent;
5. write the leaves' gradients.

The engine, not the rules, undoes broadcasting, keeps each input's element type, and sees to it that
no two gradients share memory: a gradient is added to in place only while the engine owns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from ..device import Array, array_module, device_guard, device_of, same_device, to_device
from ..errors import GraphError, GraphFreedError, InPlaceError, ShapeError
from .graph import ON_TENSORS, Node, Variable, mixed_devices, on_arrays, variable
from .mode import set_grad_enabled

__all__ = ["backward", "grad"]

_newest_first = attrgetter("seq")

# What a gradient flows to: the node that made a tensor, or the leaf tensor itself.
Key = Node | Variable


def backward(
    outputs: Sequence[Variable],
    gradients: Sequence[Any],
    inputs: Sequence[Variable] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add d(outputs)/d(leaf) to ``leaf.grad`` of every leaf, or of `inputs` only."""
    targets = None if inputs is None else {_key(t, "backward") for t in inputs}
    found = _run(_seeds(outputs, gradients, create_graph), targets, retain_graph, create_graph)
    tensors: dict[Key, Variable] = (
        {k: k for k in found if isinstance(k, Variable)}
        if inputs is None
        else {_key(t, "backward"): t for t in inputs}
    )
    updates = [(t, found[k]) for k, t in tensors.items() if k in found]
    for t, (g, _) in updates:
        if t.grad is not None and t.grad.shape != g.shape:
            raise ShapeError(
                f"backward: .grad of a {t._data.shape} tensor was set to shape {t.grad.shape}; "
                "set it to None first"
            )
        if t.grad is not None and not same_device(t.grad._data, t._data):
            raise mixed_devices("backward: a tensor and its .grad", [t._data, t.grad._data])
    for t, (g, owned) in updates:
        if create_graph:
            _keep(t, g, True)
        elif t.grad is None:
            t.grad = variable(g if owned else _copy(g))
        else:
            with device_guard(g):
                t.grad._data += g
            t.grad._version[0] += 1


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    r"""Return the gradients of `outputs` with respect to `inputs`, leaving every ``.grad`` alone.

    Computes :math:`\sum_j \bar y_j^\top \, \partial y_j / \partial x_i` for each input
    :math:`x_i`.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        With respect to what; leaves or intermediate results.
    grad_outputs : Tensor or sequence of (Tensor or None), optional
        The weights :math:`\bar y_j`, shaped like the outputs; may be left out for scalars.
    retain_graph : bool, optional
        Keep what the graph saved for another pass.  Default: as `create_graph`.
    create_graph : bool
        Record the backward pass, so that the result can be differentiated again.
    allow_unused : bool
        Return None for an input that the outputs do not depend on, rather than raise.

    Returns
    -------
    tuple of (Tensor or None)
        One per input.

    Raises
    ------
    GraphError
        If an output needs no gradient, an input is unused, or an output is not a scalar and has
        no weight.
    GraphFreedError
        If a part of the graph was used before without ``retain_graph=True``.
    InPlaceError
        If a saved array was changed in place since.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (dy,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> (d2y,) = tg.autograd.grad(dy, x)
    >>> dy.item(), d2y.item()
    (27.0, 18.0)
    """
    outs = _listed(outputs)
    ins = _listed(inputs)
    weights = [None] * len(outs) if grad_outputs is None else _listed(grad_outputs)
    if len(weights) != len(outs):
        raise GraphError(f"grad: {len(outs)} outputs but {len(weights)} grad_outputs")
    keys = [_key(t, "grad") for t in ins]
    keep = create_graph if retain_graph is None else retain_graph
    found = _run(_seeds(outs, weights, create_graph), set(keys), keep, create_graph)
    results: list[Any] = []
    handed_out: set[int] = set()
    for i, key in enumerate(keys):
        if key not in found:
            if not allow_unused:
                raise GraphError(
                    f"grad: the outputs do not depend on input {i} ({ins[i]._data.shape}); "
                    "pass allow_unused=True to get None for it"
                )
            results.append(None)
            continue
        g, owned = found[key]
        if not create_graph:
            # The same input asked for twice gets two arrays, as two inputs would.
            fresh = owned and id(g) not in handed_out
            handed_out.add(id(g))
            g = variable(g if fresh else _copy(g))
        results.append(g)
    return tuple(results)


# --- before the walk ----------------------------------------------------------------------------


def _listed(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, Variable) else list(tensors)


def _key(t: Variable, name: str) -> Key:
    if not isinstance(t, Variable):
        raise GraphError(f"{name}: expected a Tensor, got {type(t).__name__}")
    if t._node is not None:
        return t._node
    if not t._requires_grad:
        raise GraphError(
            f"{name}: a tensor of shape {t._data.shape} does not require a gradient and was not "
            "made from one that does; set requires_grad=True on what you differentiate by, and "
            "check that no detach() or no_grad() lies between"
        )
    return t


def _seeds(
    outputs: Iterable[Variable], gradients: Iterable[Any], create_graph: bool
) -> list[tuple[Key, Any]]:
    """Pair each output with the gradient to start from, in the form the walk uses."""
    seeds: list[tuple[Key, Any]] = []
    for t, g in zip(outputs, gradients, strict=True):
        key = _key(t, "backward")
        data = t._data
        xp = array_module(data)
        if g is None:
            if data.size != 1:
                raise GraphError(
                    f"backward: the output has shape {data.shape}; only a scalar has a gradient "
                    "by itself, so reduce it (.sum(), .mean()) or pass gradient= of that shape"
                )
            with device_guard(data):
                start = xp.ones(data.shape, data.dtype)
        else:
            start = g._data if isinstance(g, Variable) else g
            if not hasattr(start, "dtype"):
                start = to_device(np.asarray(start, dtype=data.dtype), device_of(data))
            if start.shape != data.shape:
                raise ShapeError(
                    f"backward: gradient has shape {start.shape} but the output {data.shape}"
                )
            if not same_device(start, data):
                raise mixed_devices("backward: output and gradient", [data, start])
            with device_guard(start):
                start = start.astype(data.dtype, copy=False)
        if create_graph:
            if not isinstance(g, Variable):
                g = variable(start)
            elif g._data is not start:
                with set_grad_enabled(True):
                    g = ON_TENSORS.cast(g, dtype=data.dtype)
            seeds.append((key, g))
        else:
            seeds.append((key, start))
    return seeds


def _collect(roots: Iterable[Key]) -> list[Node]:
    """Return every node reachable from `roots`, newest first."""
    stack = [r for r in roots if type(r) is Node]
    seen = set(stack)
    while stack:
        for parent in stack.pop().parents:
            if type(parent) is Node and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=_newest_first, reverse=True)


def _on_path(order: list[Node], targets: set[Key]) -> set[Key]:
    """Return the targets and all nodes from which one of them can be reached."""
    useful = set(targets)
    for node in reversed(order):
        if node not in useful and any(p in useful for p in node.parents if p is not None):
            useful.add(node)
    return useful


def _check(order: list[Node]) -> None:
    """Raise if a node's saved arrays are gone or were changed; nothing has been touched yet."""
    for node in order:
        if node.saved is None:
            raise GraphFreedError(
                f"backward through {node.op.name} {node.shape} a second time: the arrays it saved "
                "were freed by the first pass; pass retain_graph=True to the first one, or run "
                "the forward pass again"
            )
        stamp = 0
        for cell in node.cells:
            stamp += cell[0]
        if stamp != node.stamp:
            raise InPlaceError(
                f"backward through {node.op.name} {node.shape}: "
                f"{_stale(node)} was changed in place after the forward pass used it; "
                "change a clone() instead, or run the forward pass again before backward"
            )


def _stale(node: Node) -> str:
    names = (*node.op.inputs, "its output")
    saved = [names[i] for i in node.plan.arrays if i < len(names)]
    return " or ".join(repr(n) if n != "its output" else n for n in saved)


# --- the walk -----------------------------------------------------------------------------------


def _run(
    seeds: list[tuple[Key, Any]], targets: set[Key] | None, keep: bool, create_graph: bool
) -> dict[Key, tuple[Any, bool]]:
    """Return the gradient of each leaf (or target) reached, and whether nobody else holds it."""
    order = _collect(key for key, _ in seeds)
    useful: set[Key] | None = None
    active = order
    if targets is not None:
        useful = _on_path(order, targets)
        active = [n for n in order if any(p in useful for p in n.parents if p is not None)]
        order = [n for n in order if n in useful]
    _check(active)
    runs = set(active)
    grads: dict[Key, Any] = {}
    owned: set[Key] = set()
    for key, g in seeds:
        _add(grads, owned, key, g, False)
    found: dict[Key, tuple[Any, bool]] = {}
    with set_grad_enabled(create_graph):
        for node in order:
            g = grads.pop(node, None)
            if g is None:
                continue
            if node.hooks is not None or node.keeper is not None:
                g, _ = _call_hooks(node.hooks, g, False, create_graph)
                kept = None if node.keeper is None else node.keeper()
                if kept is not None:
                    _keep(kept, g, create_graph)
            if targets is not None and node in targets:
                found[node] = (g, False)
            if node not in runs:
                continue
            if create_graph:
                _step(node, g, ON_TENSORS, _as_tensors(node), useful, grads, owned)
            elif type(g) is np.ndarray or isinstance(g, np.generic):
                _step(node, g, on_arrays(g), node.saved, useful, grads, owned)
            else:
                with device_guard(g):
                    _step(node, g, on_arrays(g), node.saved, useful, grads, owned)
            if not keep:
                node.saved = None
        for key, g in grads.items():
            if isinstance(key, Variable) and (targets is None or key in targets):
                g, mine = _call_hooks(key._hooks, g, key in owned, create_graph)
                found[key] = (g if create_graph else _as_array(g), mine)
    return found


def _step(
    node: Node,
    g: Any,
    F: Any,
    saved: Any,
    useful: set[Key] | None,
    grads: dict[Key, Any],
    owned: set[Key],
) -> None:
    """Give each parent of `node` its share of the gradient `g`."""
    for i, rule, picks in node.plan.steps:
        parent = node.parents[i]
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
            out = _unbroadcast(F, out, shape)
        if out.dtype != dtype:
            out = F.cast(out, dtype=dtype)
        _add(grads, owned, parent, out, _is_fresh(out, g, saved))


def _is_fresh(out: Any, g: Any, saved: Any) -> bool:
    """Whether an array is new: not the gradient passed in, nor something saved, nor a view."""
    if out is g or isinstance(out, Variable) or out.base is not None:
        return False
    return all(out is not s for s in saved)


def _add(grads: dict[Key, Any], owned: set[Key], key: Key, g: Any, fresh: bool) -> None:
    before = grads.get(key)
    if before is None:
        grads[key] = g
        if fresh:
            owned.add(key)
    elif isinstance(g, Variable):
        grads[key] = before + g
    elif key in owned:
        with device_guard(g):  # not that of the node: a copy between devices gives to another
            before += g  # ours alone, so in place; a NumPy scalar makes a new one
        grads[key] = before
    else:
        with device_guard(g):
            grads[key] = before + g
        owned.add(key)


def _unbroadcast(F: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an input of `shape` was repeated."""
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1
    )
    return F.reshape(F.sum(g, axis=axes, keepdims=False), shape=shape)


def _as_tensors(node: Node) -> list[Any]:
    """Return the saved arrays as the tensors they were, so that rules on them are recorded."""
    saved = list(node.saved or ())
    n = len(node.op.inputs)
    for k, i in enumerate(node.plan.arrays):
        if i < n and hasattr(saved[k], "dtype"):
            parent = node.parents[i]
            if isinstance(parent, Variable):
                saved[k] = parent
            else:
                saved[k] = variable(saved[k], parent)
        elif i == n:
            saved[k] = variable(saved[k], node)
    return saved


def _call_hooks(
    hooks: list[Any] | None, g: Any, mine: bool, create_graph: bool
) -> tuple[Any, bool]:
    for hook in list(hooks or ()):
        t = g if create_graph else variable(g)
        result = hook(t)
        mine = False  # a hook may have kept what it saw
        if result is not None:
            if not isinstance(result, Variable) or result.shape != t.shape:  # type: ignore[attr-defined]
                raise ShapeError(
                    f"a hook must return None or a Tensor of shape {t.shape}, "
                    f"got {getattr(result, 'shape', type(result).__name__)}"
                )
            g = result if create_graph else result._data
    return g, mine


def _keep(t: Variable, g: Any, create_graph: bool) -> None:
    """Add `g` to the gradient of a tensor; a copy, for `g` flows to other tensors too."""
    if create_graph:
        with set_grad_enabled(True):
            t.grad = ON_TENSORS.clone(g) if t.grad is None else t.grad + g
    elif t.grad is None:
        t.grad = variable(_copy(g))
    else:
        with device_guard(g):
            t.grad = variable(t.grad._data + g)


def _as_array(g: Any) -> Array:
    return np.asarray(g) if isinstance(g, np.generic) else g


def _copy(g: Any) -> Array:
    with device_guard(g):
        return array_module(g).array(g, order="C")
