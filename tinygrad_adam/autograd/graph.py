"""Recording: running an operation on tensors, and the node it leaves behind.

:func:`apply` runs an operation of the registry on the arrays of its operands and, if any of them
needs a gradient, records a :class:`Node` with what the derivatives asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from ..device import Array, array_module, device_of
from ..errors import TinygradError
from .explain import explained, mixed_devices
from .memory import CLOCK, Path, share
from .mode import mode
from .registry import Bound, Op, Plan

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["Node", "Variable", "apply", "record", "variable"]

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Variable:
    """The part of a tensor that the graph knows: an array, its gradient, and its node.

    `Tensor` adds the operators and methods.  `_family` finds the tensors on the same memory.
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_family",
        "_grad",
        "_hooks",
        "_node",
        "_requires_grad",
    )

    tensor_class: ClassVar[type[Tensor]]

    _data: Array
    _grad: Any
    _node: Node | None
    _requires_grad: bool
    _family: list[weakref.ref[Variable]] | tuple[Variable, Path | None] | None
    _hooks: dict[object, Callable[[Any], Any]] | None


_new = object.__new__


def variable(data: Array, node: Node | None = None) -> Tensor:
    """Make a Tensor around `data` without copying; `data` may be a NumPy scalar (0-d result)."""
    if type(data) is not ndarray and isinstance(data, np.generic):
        data = np.asarray(data)
    t = _new(Variable.tensor_class)
    t._data = data
    t._grad = None
    t._node = node
    t._requires_grad = False
    t._family = None
    t._hooks = None
    return t


class Node:
    """One recorded operation: where its gradient goes, and what computing that takes.

    A node never refers to its output tensor, so a graph has no reference cycles and dies with the
    last tensor that holds it.
    """

    __slots__ = (
        "__weakref__",
        "dtype",  # of the output
        "hooks",  # functions that see the output's gradient, by handle
        "keeper",  # a weak reference to the output, if it retains its gradient
        "op",
        "parents",  # per input: the node that made it, the leaf itself, or None without gradient
        "plan",  # which derivatives to run, and what they take from `saved`
        "saved",  # what the derivatives asked for; None once a backward pass has used it
        "seq",  # creation number: inputs exist before outputs, so descending is a backward order
        "shape",  # of the output
    )

    hooks: dict[object, Callable[[Any], Any]] | None
    keeper: weakref.ref[Variable] | None
    saved: tuple[Any, ...] | None

    def __init__(
        self,
        op: Op,
        parents: tuple[Node | Variable | None, ...],
        plan: Plan,
        saved: tuple[Any, ...],
        data: Array,
    ) -> None:
        self.op = op
        self.parents = parents
        self.plan = plan
        self.saved = saved
        self.shape = data.shape
        self.dtype = data.dtype
        self.seq = next(CLOCK)
        self.hooks = None
        self.keeper = None

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
    values = [t._data if isinstance(t, Variable) else t for t in inputs]
    xp: Any = np
    for v in values:
        if type(v) is not ndarray and hasattr(v, "dtype"):
            xp = _module(operation, values)
    bound = operation.on_numpy if xp is np else operation.on(xp.__name__)
    try:
        y = bound.value(xp, *values, **params)
    except TinygradError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise explained(operation, values, error) from error
    out = variable(y)
    if operation.view:
        share(inputs[0], out, operation.name, params, mode.recording)
    if mode.recording and y.dtype.kind == "f":  # integers and booleans do not vary smoothly
        record(bound, inputs, values, params, out)
    return out


def _module(operation: Op, values: list[Any]) -> Any:
    """Return the array module of the operands, which must be on one device."""
    arrays = [v for v in values if hasattr(v, "dtype")]
    if len({device_of(v) for v in arrays}) > 1:
        raise mixed_devices(operation.name, values)
    return array_module(arrays[0])


def record(
    bound: Bound, inputs: Sequence[Any], values: Sequence[Any], params: Mapping[str, Any], out: Any
) -> None:
    """Make the node of `out`, if one of `inputs` needs a gradient."""
    operation = bound.operation
    parents: list[Node | Variable | None] = []
    needs, bit = 0, 1
    for t in inputs:
        parent: Node | Variable | None = None
        if isinstance(t, Variable) and (bit & operation.smooth_inputs):
            parent = t._node
            if parent is None and t._requires_grad:
                parent = t
            if parent is not None:
                needs |= bit
        parents.append(parent)
        bit <<= 1
    if not needs:
        return
    plan = bound.plan(needs)
    data = out._data
    saved = plan.pick((*values, data))
    if plan.shapes or plan.params:
        shapes = [(*values, data)[i].shape for i in plan.shapes]
        saved = (*saved, *shapes, *[params[name] for name in plan.params])
    out._node = Node(operation, tuple(parents), plan, saved, data)
