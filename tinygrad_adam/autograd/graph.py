"""Recording: operations, the nodes they leave behind, and what each node must remember.

An :class:`Op` is a value and its derivatives, written once.  :func:`apply` runs one on tensors and,
if any operand needs a gradient, records a :class:`Node`::

    op("mul", lambda xp, a, b: a * b,
       a=lambda F, g, b: g * b,
       b=lambda F, g, a: g * a)

The value is array code; `xp` is ``numpy`` or ``cupy``.  Each derivative takes the gradient `g` of
the output and returns the gradient of one input.  The other parameters it names are what it wants
to have kept from the forward pass:

============  ==================================================================================
``y``         the output
an input      that input, by the name it has in the value (``a``, ``x``, ...)
``x_shape``   only the shape of input ``x``
a setting     a keyword of the value (``axis``, ``stride``, ...)
============  ==================================================================================

What no needed derivative names is not kept.  `F` is the vocabulary derivatives are written in:
every registered operation under its own name, on arrays when gradients are plain arrays and
recorded on tensors under ``create_graph=True``.  So one line serves for every order.

The derivative need not undo broadcasting, cast, or care who else holds `g`: the engine does
(:mod:`~tinygrad_adam.autograd.engine`).
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
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

__all__ = [
    "OPS",
    "Node",
    "Op",
    "Variable",
    "apply",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "op",
    "set_grad_enabled",
]

Rule = Callable[..., Any]
_CO_VARARGS = 0x04  # inspect.CO_VARARGS, without importing inspect
NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


# --- whether operations are recorded ------------------------------------------------------------


class _Mode(threading.local):
    recording = True


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are being recorded."""
    return _mode.recording


class set_grad_enabled:
    """Turn recording on or off inside a ``with`` block, or in a function it decorates.

    Parameters
    ----------
    enabled : bool
        Whether operations are recorded.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_mode.recording)
        _mode.recording = self._enabled

    def __exit__(self, *exc: object) -> None:
        _mode.recording = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its whole body inside the block."""

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with set_grad_enabled(self._enabled):
                return function(*args, **kwargs)

        return inside


class no_grad(set_grad_enabled):
    """Do not record operations: inside, results never require a gradient.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Record operations again inside a `no_grad` block.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     (w * 2).requires_grad
    True
    """

    def __init__(self) -> None:
        super().__init__(True)


# --- the graph ----------------------------------------------------------------------------------


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
    _hooks: list[Callable[[Any], Any]] | None


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
    hooks: list[Callable[[Any], Any]] | None
    keeper: weakref.ref[Variable] | None

    def __repr__(self) -> str:
        return f"<Node {self.seq} {self.op.name} {self.shape} {self.dtype}>"


class Plan:
    """For one choice of inputs that need a gradient: what to save, and which rules to run.

    An operation on any number of operands (``cat``) has one rule, told the operand's position `i`;
    it may ask for settings only.

    Attributes
    ----------
    arrays, shapes : tuple of int
        Positions, among ``(*inputs, y, aux)``, whose value or whose shape is saved.
    params : tuple of str
        Settings that are saved after them.
    steps : tuple of (input position, rule, positions in `saved`)
        The derivatives to run.
    """

    __slots__ = ("arrays", "params", "shapes", "steps")

    def __init__(self, operation: Op, needs: int) -> None:
        names = () if operation.variadic else (*operation.inputs, "y", "aux")
        wanted = [
            (i, operation.rule(i), operation.wants[0 if operation.variadic else i])
            for i in range(needs.bit_length())
            if needs >> i & 1
        ]
        asked = {name for _, _, wants in wanted for name in wants}
        self.arrays = tuple(i for i, name in enumerate(names) if name in asked)
        self.shapes = tuple(i for i, name in enumerate(names) if f"{name}_shape" in asked)
        self.params = tuple(name for name in operation.params if name in asked)
        layout = (
            *(names[i] for i in self.arrays),
            *(f"{names[i]}_shape" for i in self.shapes),
            *self.params,
        )
        self.steps = tuple(
            (i, rule, tuple(layout.index(name) for name in wants)) for i, rule, wants in wanted
        )


class Op:
    """A differentiable operation: its value, and one derivative per input.

    Attributes
    ----------
    name : str
        Its name in error messages and in the derivatives' vocabulary `F`.
    forward : callable
        ``forward(xp, *inputs, **params)`` on arrays.
    inputs, params : tuple of str
        Names of the operands and of the keyword-only settings.
    rules : tuple of (callable or None)
        The derivative of each input; None where the output does not depend on it smoothly.
    view : bool
        Whether the output may share the memory of the first input.
    aux : bool
        Whether the value returns ``(y, aux)``, where only the derivatives use `aux`.
    """

    __slots__ = (
        "aux",
        "forward",
        "inputs",
        "name",
        "params",
        "plans",
        "rules",
        "variadic",
        "view",
        "wants",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        rules: Mapping[str, Rule],
        view: bool,
        aux: bool,
    ) -> None:
        code = forward.__code__
        positional = code.co_varnames[1 : code.co_argcount]
        keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        self.variadic = bool(code.co_flags & _CO_VARARGS)
        if self.variadic:
            positional = (code.co_varnames[code.co_argcount + code.co_kwonlyargcount],)
        unknown = set(rules) - set(positional)
        if unknown:
            raise TypeError(f"op {name}: derivatives of {sorted(unknown)}, inputs are {positional}")
        known = {*positional, *keywords, "y", *(f"{p}_shape" for p in (*positional, "y"))}
        if aux:
            known.add("aux")
        self.name, self.forward, self.view, self.aux = name, forward, view, aux
        self.inputs, self.params = positional, keywords
        self.rules = tuple(rules.get(p) for p in positional)
        first = 3 if self.variadic else 2  # after F, g and, of many operands, the position
        self.wants = tuple(
            () if rule is None else rule.__code__.co_varnames[first : rule.__code__.co_argcount]
            for rule in self.rules
        )
        for wants in self.wants:
            if not known.issuperset(wants):
                raise TypeError(f"op {name}: a derivative asks for {set(wants) - known}")
        self.plans: dict[int, Plan] = {}

    def rule(self, i: int) -> Rule:
        """Return the derivative of input `i`, which is smooth."""
        rule = self.rules[0 if self.variadic else i]
        assert rule is not None, f"op {self.name} is not smooth in input {i}"
        if not self.variadic:
            return rule
        return lambda F, g, *asked: rule(F, g, i, *asked)

    def smooth(self, i: int) -> bool:
        """Whether the output depends smoothly on input `i`."""
        return self.rules[0 if self.variadic else i] is not None

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.inputs)})>"


OPS: dict[str, Op] = {}


def op(
    name: str, forward: Callable[..., Any], *, view: bool = False, aux: bool = False, **rules: Rule
) -> Op:
    """Register an operation: its value and the derivative of each input it is smooth in.

    Parameters
    ----------
    name : str
        Unique; also its name in `F`.
    forward : callable
        ``lambda xp, x, *, axis: ...``: operands positional, settings keyword-only.
    view, aux : bool
        See :class:`Op`.
    **rules : callable
        ``lambda F, g, ...``, by input name; see the module's text for what they may ask for.

    Returns
    -------
    Op

    Raises
    ------
    TypeError
        If a rule belongs to no input or asks for something unknown: a misspelling fails at import.

    Examples
    --------
    >>> cube = op("doctest_cube", lambda xp, x: x**3, x=lambda F, g, x: g * 3 * x**2)
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> apply(cube, (x,)).backward()
    >>> x.grad.item()
    12.0
    >>> del OPS["doctest_cube"]
    """
    if name in OPS:
        raise TypeError(f"op {name} is registered already")
    OPS[name] = operation = Op(name, forward, rules, view, aux)
    return operation


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
    recording = _mode.recording
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
    aux = None
    if operation.aux:
        y, aux = y
    out = variable(y)
    if operation.view:
        _share(inputs[0], out)
    if needs:
        out._node = _record(operation, inputs, values, params, parents, needs, out, aux)
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
    aux: Any,
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
        elif i == n:
            saved.append(data)
            cells.append(out._version)
            stamp += out._version[0]
        else:
            saved.append(aux)
    saved += [values[i].shape if i < n else data.shape for i in plan.shapes]
    saved += [params[name] for name in plan.params]
    node.saved = tuple(saved)
    node.cells = tuple(cells)
    node.stamp = stamp
    return node


# --- memory that several tensors share ----------------------------------------------------------


def _share(base: Variable, view: Variable) -> None:
    """Note that `view` lies in the memory of `base`, if it does (a reshape may have copied)."""
    if array_module(base._data).may_share_memory(base._data, view._data):
        link(base, view)


def link(base: Variable, view: Variable) -> None:
    """Let two tensors on the same memory share their version counter and know of each other."""
    aliases = base._aliases
    if aliases is None:
        aliases = base._aliases = {id(base): weakref.ref(base)}
    aliases[id(view)] = weakref.ref(view)
    view._aliases = aliases
    view._version = base._version


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
        operation = _operation(name)
        function: Callable[..., Array] = partial(operation.forward, self.xp)
        if operation.aux:
            both = function

            def function(*args: Any, **kwargs: Any) -> Array:
                return both(*args, **kwargs)[0]

        setattr(self, name, function)
        return function


class TensorVocabulary:
    """Every operation under its name, recorded on tensors: derivatives that have derivatives."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = _operation(name)

        def function(*inputs: Any, **params: Any) -> Any:
            return apply(operation, inputs, params)

        setattr(self, name, function)
        return function


def _operation(name: str) -> Op:
    try:
        return OPS[name]
    except KeyError:
        raise AttributeError(f"no operation named {name!r} is registered") from None


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
