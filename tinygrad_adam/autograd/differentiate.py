"""`backward` and `grad`: what may be asked for, what is wrong with it, and handing out the answer.

The graph, and every ``.grad`` to be added to, is checked before the walk (`engine.py`): a stale or
freed graph, or a gradient that does not fit, raises before anything has changed.  Gradients are
written after the last hook, so a hook that raises leaves them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import device
from ..errors import DTypeError, GraphError, GraphFreedError, InPlaceError, ShapeError
from .engine import Key, Way, plan, walk
from .explain import mixed_devices, recorded_at
from .graph import Node, Variable, variable
from .memory import LAST_CHANGE, change_time, changed
from .mode import recording
from .vocabulary import ON_TENSORS

__all__ = ["backward", "check_gradient", "grad"]


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
    way = _checked(plan([key for key, _ in seeds], None if chosen is None else set(chosen)))
    if chosen is None:
        chosen = {leaf: leaf for leaf in way.leaves}
    for t in chosen.values():
        if t._grad is not None:
            check_gradient("backward", t, t._grad)
    found, retained = walk(seeds, way, retain_graph, create_graph)
    for t, g in retained:
        _keep(t, g, create_graph)
    for key, (g, owned) in found.items():
        t = chosen[key]
        if create_graph:
            _keep(t, g, True)
        elif t._grad is None:
            t._grad = variable(g if owned else device.copied(g))
        else:
            t._grad._data = device.added(t._grad._data, g, in_place=True)
            changed(t._grad)


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
        If what the graph saved was freed, by a pass without ``retain_graph=True``.
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
    way = _checked(plan([key for key, _ in seeds], set(keys)))
    if not allow_unused:
        reached: set[Key] = {*way.order, *way.leaves}
        for i, key in enumerate(keys):
            if key not in reached:
                raise _unused(i, ins[i])
    found, retained = walk(seeds, way, keep, create_graph)
    for t, r in retained:
        _keep(t, r, create_graph)
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
            g = variable(g if fresh else device.copied(g))
        results.append(g)
    return tuple(results)


# --- what was asked for -------------------------------------------------------------------------


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
        xp = device.array_module(data)
        if g is None:
            if data.size != 1:
                raise GraphError(
                    f"{name}: the output has shape {data.shape}; only a scalar has a gradient "
                    "by itself, so reduce it (.sum(), .mean()) or pass gradient= of that shape"
                )
            with device.device_guard(data):
                start = xp.ones(data.shape, data.dtype)
        else:
            start = g._data if isinstance(g, Variable) else g
            if not hasattr(start, "dtype"):
                start = device.to_device(_numbers(start, data.dtype, name), device.device_of(data))
            if start.dtype.kind not in "biuf":
                raise DTypeError(f"{name}: a gradient holds numbers, not {start.dtype}")
            if start.shape != data.shape:
                raise ShapeError(
                    f"{name}: gradient has shape {start.shape} but the output {data.shape}"
                )
            if not device.same_device(start, data):
                raise mixed_devices(f"{name}: output and gradient", [data, start])
            with device.device_guard(start):
                start = start.astype(data.dtype, copy=False)
        if create_graph:
            if not isinstance(g, Variable):
                g = variable(start)
            elif g._data is not start:
                with recording(True):
                    g = ON_TENSORS.cast(g, dtype=data.dtype)
            seeds.append((key, g))
        else:
            seeds.append((key, start))
    return seeds


def _numbers(value: Any, dtype: Any, name: str) -> device.Array:
    try:
        return np.asarray(value, dtype=dtype)
    except (TypeError, ValueError):
        raise DTypeError(
            f"{name}: a gradient must be a Tensor, an array or numbers, got {value!r:.80}"
        ) from None


# --- whether it can be given --------------------------------------------------------------------


def _checked(way: Way) -> Way:
    """Return `way` if it can be walked and its gradients kept; nothing has been touched yet."""
    order, runs = way.order, way.runs
    for node in [n for n in order if n.saved is None or n.keeper is not None]:
        if node.saved is None and (runs is None or node in runs):
            raise _spent(node)
        kept = None if node.keeper is None else node.keeper()
        if kept is not None and kept._grad is not None:
            check_gradient("backward", kept, kept._grad)
    if order and LAST_CHANGE[0] > order[-1].seq:  # else nothing has changed since any of them
        for node in order if runs is None else runs:
            if _stale(node):
                raise _spent(node)
    return way


def _spent(node: Node) -> GraphError:
    """Return the error for a node whose saved arrays are gone, or were changed since."""
    if node.saved is None:
        return GraphFreedError(
            f"backward through {node.op.name} {node.shape} a second time: the arrays it saved "
            "were freed by the first pass; pass retain_graph=True to the first one, or run "
            "the forward pass again" + recorded_at(node.plan)
        )
    return InPlaceError(
        f"backward through {node.op.name} {node.shape}: "
        f"changed in place since the forward pass used it: {', '.join(_stale(node))}; "
        "change a clone() instead, or run the forward pass again before backward"
        + recorded_at(node.plan)
    )


def _stale(node: Node) -> list[str]:
    """Return what was changed in place, of the arrays that a node saved."""
    operands = (*map(repr, node.op.inputs), "its output")
    plan = node.plan
    names = [*(operands[i] for i in (*plan.arrays, *plan.shapes)), *map(repr, plan.params)]
    return [
        name
        for name, kept in zip(names, node.saved or (), strict=False)
        if hasattr(kept, "base") and change_time(kept) > node.seq
    ]


def check_gradient(name: str, t: Variable, held: Any) -> None:
    """Raise if `held` cannot be the gradient of `t`, or nothing could be added to it.

    Asked where ``t.grad`` is set, and again before a walk: the data of either may be replaced.
    """
    data = t._data
    if not isinstance(held, Variable):
        raise DTypeError(
            f"{name}: .grad of a {data.shape} tensor must be a Tensor or None, "
            f"got {type(held).__name__}"
        )
    old = held._data
    if old.shape != data.shape:
        raise ShapeError(
            f"{name}: .grad of a {data.shape} tensor has shape {old.shape}; set it to None first"
        )
    if not device.same_device(old, data):
        raise mixed_devices(f"{name}: a tensor and its .grad", [data, old])
    if old.dtype != data.dtype:
        raise DTypeError(
            f"{name}: .grad of a {data.dtype} tensor is {old.dtype}; set it to None first"
        )
    if not device.is_writable(old):
        raise InPlaceError(
            f"{name}: .grad of a {data.shape} tensor is a read-only view (expand, "
            "broadcast_to), so nothing can be added to it; use a clone()"
        )


def _keep(t: Variable, g: Any, create_graph: bool) -> None:
    """Add `g` to the gradient of a tensor; a copy, for `g` flows to other tensors too."""
    if create_graph:
        with recording(True):
            t._grad = ON_TENSORS.clone(g) if t._grad is None else t._grad + g
    else:
        t._grad = variable(device.copied(g) if t._grad is None else device.added(t._grad._data, g))
