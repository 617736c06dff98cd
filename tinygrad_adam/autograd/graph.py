"""Recording: running an operation on tensors, and the node it leaves behind.

:func:`apply` runs an operation of the registry on the arrays of its operands and, if any of them
needs a gradient, records a :class:`Node` with what the derivatives asked for.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from ..device import Array, array_module, device_guard, device_of
from ..errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)
from .mode import mode
from .registry import Op, Plan, find

__all__ = [
    "Node",
    "Variable",
    "apply",
    "link",
    "mixed_devices",
    "other_aliases",
    "part_of",
    "parts_of",
    "take_over",
    "variable",
]

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Variable:
    """The part of a tensor that the graph knows: an array, its gradient, and its node.

    `Tensor` adds the operators and methods.  `_version` is a one-element list counting in-place
    changes, shared by all tensors on the same memory; `_aliases` finds those tensors.
    """

    __slots__ = (
        "__weakref__",
        "_aliases",
        "_data",
        "_hooks",
        "_node",
        "_requires_grad",
        "_version",
        "grad",
    )

    tensor_class: ClassVar[type[Variable]]

    _data: Array
    grad: Any
    _node: Node | None
    _requires_grad: bool
    _version: list[int]
    _aliases: dict[int, weakref.ref[Variable]] | None
    _hooks: dict[object, Callable[[Any], Any]] | None


_new_variable = object.__new__


def variable(data: Array, node: Node | None = None) -> Any:
    """Make a Tensor around `data` without copying; `data` may be a NumPy scalar (0-d result)."""
    t = _new_variable(Variable.tensor_class)
    t._data = np.asarray(data) if isinstance(data, np.generic) else data
    t.grad = None
    t._node = node
    t._requires_grad = False
    t._version = [0]
    t._aliases = None
    t._hooks = None
    return t


_sequence = itertools.count()


class Node:
    """One recorded operation: where its gradient goes, and what computing that takes.

    A node never refers to its output tensor, so a graph has no reference cycles and dies with the
    last tensor that holds it.

    Attributes
    ----------
    op : Op
        The operation.
    parents : tuple of (Node or Variable or None)
        Per input: the node that made it, the leaf tensor itself, or None if it needs no gradient.
    plan : Plan
        Which derivatives to run and what they take from `saved`.
    saved : tuple or None
        What the derivatives asked for; None once a backward pass has used it.
    cells, stamp
        Version counters of the saved arrays, and their sum at the time of recording.
    shape, dtype
        Of the output.
    seq : int
        Creation number: inputs exist before outputs, so descending order is a backward order.
    """

    __slots__ = (
        "__weakref__",
        "cells",
        "dtype",
        "hooks",
        "keeper",
        "op",
        "parents",
        "plan",
        "saved",
        "seq",
        "shape",
        "stamp",
    )

    op: Op
    parents: tuple[Any, ...]
    plan: Plan
    saved: tuple[Any, ...] | None
    cells: tuple[list[int], ...]
    stamp: int
    shape: tuple[int, ...]
    dtype: Any
    seq: int
    hooks: dict[object, Callable[[Any], Any]] | None
    keeper: weakref.ref[Variable] | None

    def __repr__(self) -> str:
        return f"<Node {self.seq} {self.op.name} {self.shape} {self.dtype}>"


def apply(operation: Op, inputs: Sequence[Any], params: Mapping[str, Any] = NO_PARAMS) -> Any:
    """Run `operation` on tensors and Python scalars; record a node if a gradient is needed.

    Parameters
    ----------
    operation : Op
        What to run.
    inputs : sequence of (Tensor, Python scalar or None)
        Its operands, in order.
    params : mapping
        All of its settings.

    Returns
    -------
    Tensor

    Raises
    ------
    DeviceError, ShapeError, DTypeError
        If the operands do not go together; the message names the operation and both sides.
    """
    values: list[Any] = []
    parents: list[Any] = []
    needs = 0
    recording = mode.recording
    for i, t in enumerate(inputs):
        if isinstance(t, Variable):
            values.append(t._data)
            if recording:
                parent = t._node or (t if t._requires_grad else None)
                if parent is not None:
                    if not operation.smooth(i):
                        parent = None
                    else:
                        needs |= 1 << i
                parents.append(parent)
        else:
            values.append(t)
            parents.append(None)
    try:
        y = _forward(operation, values, params)
    except TinygradError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise _explained(operation, values, error) from error
    out = variable(y)
    if operation.view:
        _share(inputs[0], out, params.get("part") if recording else None)
    if needs and y.dtype.kind == "f":  # integers and booleans do not vary smoothly
        out._node = _record(operation, inputs, values, params, parents, needs, out)
    return out


def _forward(operation: Op, values: list[Any], params: Mapping[str, Any]) -> Any:
    for v in values:
        if type(v) is np.ndarray:
            xp: Any = np
            for other in values:
                if type(other) is not np.ndarray and hasattr(other, "__cuda_array_interface__"):
                    raise mixed_devices(operation.name, values)
            return operation.forward(xp, *values, **params)
    arrays = [v for v in values if hasattr(v, "dtype")]
    if len({device_of(v) for v in arrays}) > 1:
        raise mixed_devices(operation.name, values)
    with device_guard(arrays[0]):
        return operation.forward(array_module(arrays[0]), *values, **params)


def _record(
    operation: Op,
    inputs: Sequence[Any],
    values: list[Any],
    params: Mapping[str, Any],
    parents: list[Any],
    needs: int,
    out: Variable,
) -> Node:
    plan = operation.plans.get(needs)
    if plan is None:
        plan = operation.plans[needs] = Plan(operation, needs)
    data = out._data
    node = Node()
    node.op = operation
    node.parents = tuple(parents)
    node.plan = plan
    node.shape = data.shape
    node.dtype = data.dtype
    node.hooks = None
    node.keeper = None
    node.seq = next(_sequence)
    saved: list[Any] = []
    cells: list[list[int]] = []
    stamp = 0
    n = len(values)
    for i in plan.arrays:
        if i < n:
            saved.append(values[i])
            source = inputs[i]
            if isinstance(source, Variable):
                cells.append(source._version)
                stamp += source._version[0]
        else:
            saved.append(data)
            cells.append(out._version)
            stamp += out._version[0]
    saved += [values[i].shape if i < n else data.shape for i in plan.shapes]
    saved += [params[name] for name in plan.params]
    node.saved = tuple(saved)
    node.cells = tuple(cells)
    node.stamp = stamp
    return node


# --- memory that several tensors share ----------------------------------------------------------


class Part(weakref.ref["Variable"]):
    """A weak reference to a view that knows of which tensor it is which part.

    Views made while nothing is recorded are no parts: gradients are not to follow them.
    """

    __slots__ = ("base", "index")

    base: weakref.ref[Variable]
    index: Any


def _share(base: Variable, view: Variable, index: Any) -> None:
    """Note that `view` lies in the memory of `base`, if it does (a reshape may have copied)."""
    if array_module(base._data).may_share_memory(base._data, view._data):
        link(base, view, index)


def link(base: Variable, view: Variable, index: Any = None) -> None:
    """Let two tensors on the same memory share their version counter and know of each other.

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
    view._version = base._version


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


# --- errors -------------------------------------------------------------------------------------


def _describe(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"{value.dtype} {value.shape}"
    return f"{type(value).__name__} {value!r}"


def mixed_devices(name: str, values: Sequence[Any]) -> DeviceError:
    """Return the error for operands that live on different devices."""
    arrays = [v for v in values if hasattr(v, "dtype")]
    sides = ", ".join(f"{device_of(v)} {v.shape}" for v in arrays)
    return DeviceError(
        f"{name}: operands are on different devices: {sides}; "
        f'move them to one device first, for example with .to("{device_of(arrays[0])}")'
    )


_KINDS: tuple[tuple[type[Exception], type[TinygradError]], ...] = (
    (IndexError, OutOfRangeError),
    (TypeError, DTypeError),
    (OverflowError, ArgumentError),
    (Exception, ShapeError),
)


def _explained(operation: Op, values: list[Any], error: Exception) -> TinygradError:
    sides = ", ".join(
        f"{name} {_describe(v)}" for name, v in zip(operation.inputs, values, strict=False)
    )
    kind = next(k for e, k in _KINDS if isinstance(error, e))
    return kind(f"{operation.name}: {error} ({sides})")


# --- the vocabulary of derivatives --------------------------------------------------------------


class ArrayVocabulary:
    """Every operation under its name, on plain arrays of one array module."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def __getattr__(self, name: str) -> Callable[..., Array]:
        operation = find(name)
        function: Callable[..., Array] = partial(operation.forward, self.xp)
        setattr(self, name, function)
        return function


class TensorVocabulary:
    """Every operation under its name, recorded on tensors: derivatives that have derivatives."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = find(name)

        def function(*inputs: Any, **params: Any) -> Any:
            return apply(operation, inputs, params)

        setattr(self, name, function)
        return function


ON_TENSORS = TensorVocabulary()
ON_NUMPY = ArrayVocabulary(np)
_on_modules: dict[str, ArrayVocabulary] = {"numpy": ON_NUMPY}


def on_arrays(array: Array) -> ArrayVocabulary:
    """Return the vocabulary for arrays like `array`."""
    if isinstance(array, (np.ndarray, np.generic)):
        return ON_NUMPY
    xp = array_module(array)
    found = _on_modules.get(xp.__name__)
    if found is None or found.xp is not xp:
        found = _on_modules[xp.__name__] = ArrayVocabulary(xp)
    return found
