"""The backward pass: walk the recorded graph from newest to oldest and apply the chain rule.

Five steps, none of them recursive:

1. collect the nodes that can be reached from the outputs, with a plain stack;
2. sort them by creation number, newest first (inputs always exist before outputs);
3. check them all, and every ``.grad`` to be added to, so that a stale or freed graph or a gradient
   that does not fit raises before anything has changed;
4. for each node, hand its gradient to the derivative rules and add up what they return per parent;
5. write the gradients, after the last hook, so that a hook that raises leaves them alone.

The engine, not the rules, undoes broadcasting, keeps each input's element type, and sees to it that
no two gradients share memory: a gradient is added to in place only while the engine owns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..device import (
    Array,
    array_module,
    device_guard,
    device_of,
    is_writable,
    same_device,
    to_device,
)
from ..errors import DTypeError, GraphError, GraphFreedError, InPlaceError, ShapeError
from .graph import ON_TENSORS, Node, Variable, mixed_devices, on_arrays, variable
from .mode import set_grad_enabled

__all__ = ["backward", "grad"]

_newest_first = attrgetter("seq")

# What a gradient flows to: the node that made a tensor, or the leaf tensor itself.
Key = Node | Variable


def backward(
    outputs: Sequence[Variable],
    gradients: Sequence[Any],
    inputs: Variable | Iterable[Variable] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add d(outputs)/d(leaf) to ``leaf.grad`` of every leaf, or of `inputs` only."""
    chosen: dict[Key, Variable] | None = None
    if inputs is not None:
        chosen = {_key(t, "backward"): t for t in _listed(inputs, "backward: inputs")}
    seeds = _seeds(outputs, gradients, create_graph, "backward")
    route = _routed(seeds, None if chosen is None else set(chosen))
    if chosen is None:
        chosen = {leaf: leaf for leaf in route.leaves}
    for t in chosen.values():
        _check_grad(t, written=not create_graph)
    found = _run(seeds, route, retain_graph, create_graph)
    for key, (g, owned) in found.items():
        t = chosen[key]
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
    outs = _listed(outputs, "grad: outputs")
    ins = _listed(inputs, "grad: inputs")
    weights = (
        [None] * len(outs) if grad_outputs is None else _listed(grad_outputs, "grad: grad_outputs")
    )
    if len(weights) != len(outs):
        raise GraphError(f"grad: {len(outs)} outputs but {len(weights)} grad_outputs")
    keys = [_key(t, "grad") for t in ins]
    keep = create_graph if retain_graph is None else retain_graph
    seeds = _seeds(outs, weights, create_graph, "grad")
    route = _routed(seeds, set(keys))
    if not allow_unused:
        reached: set[Key] = {*route.order, *route.leaves}
        for i, key in enumerate(keys):
            if key not in reached:
                raise _unused(i, ins[i])
    found = _run(seeds, route, keep, create_graph)
    results: list[Any] = []
    handed_out: set[int] = set()
    for i, key in enumerate(keys):
        if key not in found:
            if not allow_unused:
                raise _unused(i, ins[i])
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


def _listed(tensors: Any, what: str) -> list[Any]:
    if isinstance(tensors, Variable):
        return [tensors]
    try:
        found = list(tensors)
    except TypeError:
        raise GraphError(
            f"{what}: expected a Tensor or several, got {type(tensors).__name__}"
        ) from None
    if not found:
        raise GraphError(f"{what}: the list is empty; name at least one Tensor")
    return found


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


def _unused(i: int, t: Variable) -> GraphError:
    return GraphError(
        f"grad: the outputs do not depend on input {i} ({t._data.shape}); "
        "pass allow_unused=True to get None for it"
    )


def _seeds(
    outputs: Iterable[Variable], gradients: Iterable[Any], create_graph: bool, name: str
) -> list[tuple[Key, Any]]:
    """Pair each output with the gradient to start from, in the form the walk uses."""
    seeds: list[tuple[Key, Any]] = []
    for t, g in zip(outputs, gradients, strict=True):
        key = _key(t, name)
        data = t._data
        xp = array_module(data)
        if g is None:
            if data.size != 1:
                raise GraphError(
                    f"{name}: the output has shape {data.shape}; only a scalar has a gradient "
                    "by itself, so reduce it (.sum(), .mean()) or pass gradient= of that shape"
                )
            with device_guard(data):
                start = xp.ones(data.shape, data.dtype)
        else:
            start = g._data if isinstance(g, Variable) else g
            if not hasattr(start, "dtype"):
                start = to_device(_numbers(start, data.dtype, name), device_of(data))
            if start.dtype.kind not in "biuf":
                raise DTypeError(f"{name}: a gradient holds numbers, not {start.dtype}")
            if start.shape != data.shape:
                raise ShapeError(
                    f"{name}: gradient has shape {start.shape} but the output {data.shape}"
                )
            if not same_device(start, data):
                raise mixed_devices(f"{name}: output and gradient", [data, start])
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


def _numbers(value: Any, dtype: Any, name: str) -> Array:
    try:
        return np.asarray(value, dtype=dtype)
    except (TypeError, ValueError):
        raise DTypeError(
            f"{name}: a gradient must be a Tensor, an array or numbers, got {value!r:.80}"
        ) from None


class _Route(NamedTuple):
    """What a walk will pass.

    Attributes
    ----------
    order : list of Node
        The nodes to visit, newest first.
    runs : set of Node
        Those of them whose derivatives are asked.
    targets, useful : set or None
        Where gradients are wanted, and everything they flow through; None stands for all leaves.
    leaves : list of Variable
        The leaves that can be reached.
    """

    order: list[Node]
    runs: set[Node]
    targets: set[Key] | None
    useful: set[Key] | None
    leaves: list[Variable]


def _routed(seeds: Iterable[tuple[Key, Any]], targets: set[Key] | None) -> _Route:
    """Return the way from the seeds to the targets, checked: nothing has been touched yet."""
    order, leaves = _collect(key for key, _ in seeds)
    useful: set[Key] | None = None
    active = order
    if targets is not None:
        useful = _on_path(order, targets)
        active = [n for n in order if any(p in useful for p in n.parents if p is not None)]
        order = [n for n in order if n in useful]
    _check(active)
    for keeper in [n.keeper for n in order if n.keeper is not None]:
        kept = keeper()
        if kept is not None:
            _check_grad(kept, written=False)
    return _Route(order, set(active), targets, useful, leaves)


def _collect(roots: Iterable[Key]) -> tuple[list[Node], list[Variable]]:
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


def _check_grad(t: Variable, written: bool) -> None:
    """Raise if a gradient could not be added to what ``t.grad`` holds, or not in place."""
    held = t.grad
    if held is None:
        return
    if not isinstance(held, Variable):
        raise DTypeError(
            f"backward: .grad of a {t._data.shape} tensor must be a Tensor or None, "
            f"got {type(held).__name__}; set it to None first"
        )
    old, data = held._data, t._data
    if old.shape != data.shape:
        raise ShapeError(
            f"backward: .grad of a {data.shape} tensor was set to shape {old.shape}; "
            "set it to None first"
        )
    if not same_device(old, data):
        raise mixed_devices("backward: a tensor and its .grad", [data, old])
    if old.dtype != data.dtype:
        raise DTypeError(
            f"backward: .grad of a {data.dtype} tensor was set to {old.dtype}; set it to None first"
        )
    if written and not is_writable(old):
        raise InPlaceError(
            f"backward: .grad of a {data.shape} tensor is a read-only view (expand, "
            "broadcast_to), so nothing can be added to it; set it to None or to a clone() first"
        )


def _stale(node: Node) -> str:
    names = (*node.op.inputs, "its output")
    saved = [names[i] for i in node.plan.arrays if i < len(names)]
    return " or ".join(repr(n) if n != "its output" else n for n in saved)


# --- the walk -----------------------------------------------------------------------------------


def _run(
    seeds: list[tuple[Key, Any]], route: _Route, keep: bool, create_graph: bool
) -> dict[Key, tuple[Any, bool]]:
    """Return the gradient of each leaf (or target) reached, and whether nobody else holds it."""
    order, runs, targets, useful, _ = route
    grads: dict[Key, Any] = {}
    owned: set[Key] = set()
    for key, g in seeds:
        _add(grads, owned, key, g, False)
    found: dict[Key, tuple[Any, bool]] = {}
    retained: list[tuple[Variable, Any]] = []
    with set_grad_enabled(create_graph):
        for node in order:
            g = grads.pop(node, None)
            if g is None:
                continue
            if node.hooks is not None or node.keeper is not None:
                g, _ = _call_hooks(node.hooks, g, False, create_graph)
                kept = None if node.keeper is None else node.keeper()
                if kept is not None:
                    retained.append((kept, g))
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
    for t, g in retained:
        _keep(t, g, create_graph)
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
    hooks: Mapping[Any, Any] | None, g: Any, mine: bool, create_graph: bool
) -> tuple[Any, bool]:
    for hook in () if hooks is None else tuple(hooks.values()):
        t: Any = g if create_graph else variable(g)
        result = hook(t)
        mine = False  # a hook may have kept what it saw
        if result is not None:
            if not isinstance(result, Variable) or result._data.shape != t.shape:
                raise ShapeError(
                    f"a hook must return None or a Tensor of shape {t.shape}, "
                    f"got {getattr(result, 'shape', type(result).__name__)}"
                )
            if result._data.dtype != t._data.dtype:
                raise DTypeError(
                    f"a hook got a gradient of {t._data.dtype} and returned one of "
                    f"{result._data.dtype}; a gradient has the element type of its tensor"
                )
            if not same_device(result._data, t._data):
                raise mixed_devices("a hook: gradient and result", [t._data, result._data])
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
