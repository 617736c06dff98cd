"""Recording: running an operation on tensors, and the node it leaves behind.

:func:`apply` runs an operation of the registry on the arrays of its operands and, if any of them
needs a gradient, records a :class:`Node` with what the derivatives asked for.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

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
from .memory import share
from .mode import mode
from .registry import Op, Plan

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["Node", "Variable", "apply", "mixed_devices", "variable"]

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
        "_grad",
        "_hooks",
        "_node",
        "_requires_grad",
        "_version",
    )

    tensor_class: ClassVar[type[Tensor]]

    _data: Array
    _grad: Any
    _node: Node | None
    _requires_grad: bool
    _version: list[int]
    _aliases: dict[int, weakref.ref[Variable]] | None
    _hooks: dict[object, Callable[[Any], Any]] | None


_new_variable = object.__new__


def variable(data: Array, node: Node | None = None) -> Tensor:
    """Make a Tensor around `data` without copying; `data` may be a NumPy scalar (0-d result)."""
    t = _new_variable(Variable.tensor_class)
    t._data = np.asarray(data) if isinstance(data, np.generic) else data
    t._grad = None
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


def apply(operation: Op, inputs: Sequence[Any], params: Mapping[str, Any] = NO_PARAMS) -> Tensor:
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
        share(inputs[0], out, params.get("part") if recording else None)
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
            return operation.on_numpy.value(xp, *values, **params)
    arrays = [v for v in values if hasattr(v, "dtype")]
    if len({device_of(v) for v in arrays}) > 1:
        raise mixed_devices(operation.name, values)
    with device_guard(arrays[0]):
        xp = array_module(arrays[0])
        return operation.on(xp.__name__).value(xp, *values, **params)


def _record(
    operation: Op,
    inputs: Sequence[Any],
    values: list[Any],
    params: Mapping[str, Any],
    parents: list[Any],
    needs: int,
    out: Variable,
) -> Node:
    data = out._data
    on_numpy = isinstance(data, np.ndarray)
    bound = operation.on_numpy if on_numpy else operation.on(array_module(data).__name__)
    plan = bound.plan(needs)
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
