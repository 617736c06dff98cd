"""`Function`: an operation whose value and derivative a user writes, with PyTorch's names.

A node of the graph has one output, and one rule per input; a user's `backward` takes the gradients
of all outputs and returns those of all inputs.  So a call of ``C.apply`` leaves a row of nodes::

    inputs -> C.inputs -> C.saved -> C.backward -> C -> an output
                                                -> C -> another

In between they hold no values, only a length: what flows back from the outputs is the gradients
one behind the other, each in its place, and from `C.backward` on those of the inputs.  That one's
rule calls the user's, once.  There is a `C.saved` for each saved tensor; it does nothing but keep
its array, so that the engine notices if it is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import accumulate, pairwise
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..device import Array, array_module, copied, device_guard, same_device
from ..errors import DTypeError, GraphError, ShapeError
from .engine import unbroadcast
from .explain import mixed_devices
from .graph import Variable, apply, variable
from .mode import mode, recording
from .registry import Op

__all__ = ["Context", "Function", "once_differentiable"]


class Context:
    """What `forward` hands on to `backward`: tensors by `save_for_backward`, others as attributes.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For each argument of `apply`, whether it needs a gradient.
    """

    needs_input_grad: tuple[bool, ...]

    def __init__(self, name: str, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._name = name
        self._to_save: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] | None = None
        self._constant: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for `backward`, inputs and outputs above all; None keeps its place.

        Raises
        ------
        DTypeError
            If one is neither a Tensor nor None.
        """
        for t in tensors:
            if t is not None and not isinstance(t, Variable):
                raise DTypeError(
                    f"{self._name}: save_for_backward takes Tensors and None, not "
                    f"{type(t).__name__}; make it an attribute, ctx.name = value"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved; to be read in `backward`."""
        if self._saved is None:
            raise GraphError(f"{self._name}: saved_tensors is there while backward runs")
        return self._saved

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Let these outputs need no gradient; integers and booleans never do."""
        self._constant = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Choose what `backward` gets for an output that no gradient reaches: zeros, or None."""
        self._materialize = value


class Function:
    r"""An operation with a value and a derivative of your own: make a subclass, call its `apply`.

    `forward` computes the outputs from the arguments, in Tensor operations or in NumPy's; nothing
    is recorded meanwhile.  `backward` is given :math:`\bar y_k`, the gradient by each output, and
    returns one for each argument, or None for zeros:

    .. math:: \bar x_i = \sum_k \bar y_k^\top \, \partial y_k / \partial x_i

    Where it is written in Tensor operations on its arguments and on ``ctx.saved_tensors``, it can
    be differentiated again.

    Raises
    ------
    GraphError
        From `backward`, if yours returns another number of gradients than there are arguments, or
        one for an argument that is no Tensor.
    ShapeError, DTypeError, DeviceError
        From `backward`, if a gradient does not fit its argument.
    InPlaceError
        From `backward`, if a saved tensor was changed in place since.

    See Also
    --------
    op : an operation with a rule per input, which may be faster than this.
    once_differentiable : for a `backward` in NumPy.

    Notes
    -----
    An output that lies in the memory of an argument, or of an output before it, is copied.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> class Power(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, n):
    ...         ctx.save_for_backward(x)
    ...         ctx.n = n
    ...         return x**n
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * ctx.n * x ** (ctx.n - 1), None
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> (first,) = tg.autograd.grad(Power.apply(x, 3), x, create_graph=True)
    >>> (second,) = tg.autograd.grad(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """

    _ops: ClassVar[_Ops]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._ops = _ops(cls.__name__)

    def __init__(self) -> None:
        raise GraphError(
            f"{type(self).__name__}: a Function is not made but applied: call "
            f"{type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Return the output, or a tuple of outputs; a subclass has its own."""
        raise NotImplementedError("define forward(ctx, ...) as a staticmethod of the Function")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient by each argument; a subclass has its own."""
        raise NotImplementedError("define backward(ctx, ...) as a staticmethod of the Function")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` on `args`, and record it where one of them needs a gradient."""
        name = cls.__name__
        ctx = Context(name, tuple(map(_needs_gradient, args)))
        with recording(False):
            result = cls.forward(ctx, *args)
        found = result if isinstance(result, tuple) else (result,)
        for y in found:
            if not isinstance(y, Variable) and (hasattr(y, "dtype") or isinstance(y, (list, dict))):
                raise DTypeError(
                    f"{name}: forward returns Tensors, alone or in a tuple, not "
                    f"{type(y).__name__}; an array becomes one by tg.from_numpy"
                )
        outputs = _apart(args, found)
        smooth = [
            k
            for k, y in enumerate(outputs)
            if isinstance(y, Variable)
            and y._data.dtype.kind == "f"
            and all(found[k] is not t for t in ctx._constant)
        ]
        if mode.recording and smooth and any(ctx.needs_input_grad):
            call = _Call(cls, ctx, args, outputs, smooth)
            spine = call.recorded(args, found, outputs)
            for k in smooth:
                outputs[k] = call.output(spine, k, outputs[k]._data)
        return tuple(outputs) if isinstance(result, tuple) else outputs[0]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `Function.backward` as one that cannot be differentiated, say as it uses NumPy.

    Decorates it under ``@staticmethod``.  Nothing is recorded while it runs, and differentiating
    what it returns is a `GraphError` rather than silently wrong.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> class Sine(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return tg.from_numpy(np.sin(x.data))
    ...     @staticmethod
    ...     @tg.autograd.once_differentiable
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return tg.from_numpy(g.data * np.cos(x.data))
    >>> x = tg.zeros(2, requires_grad=True)
    >>> Sine.apply(x).sum().backward()
    >>> x.grad
    tensor([1., 1.])
    """

    @wraps(backward)
    def once(ctx: Any, *grad_outputs: Any) -> Any:
        with recording(False):
            return backward(ctx, *grad_outputs)

    once.__dict__["is_once"] = True
    return once


# --- the nodes ----------------------------------------------------------------------------------


class _Row(NamedTuple):
    """Tensors one behind the other: their shapes and types, where each is, and an array like that.

    The array has their length and common type, and takes no memory.
    """

    shapes: list[tuple[int, ...]]
    dtypes: list[Any]
    bounds: tuple[tuple[int, int], ...]
    hollow: Array


def _row(arrays: Sequence[Array]) -> _Row:
    ends = [0, *accumulate(prod(a.shape) for a in arrays)]
    dtype = np.result_type(*(a.dtype for a in arrays))
    hollow = _hollow(arrays[0], (ends[-1],), dtype)
    bounds = tuple(pairwise(ends))
    return _Row([a.shape for a in arrays], [a.dtype for a in arrays], bounds, hollow)


def _hollow(like: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    with device_guard(like):
        xp = array_module(like)
        return xp.broadcast_to(xp.zeros((), dtype), shape)


def _part(F: Any, g: Any, row: _Row, i: int) -> Any:
    """Return the `i`-th of the tensors that `g` holds one behind the other."""
    part = F.getitem(g, part=(slice(*row.bounds[i]), ...), places=())
    part = F.reshape(part, shape=row.shapes[i])
    return part if part.dtype == row.dtypes[i] else F.cast(part, dtype=row.dtypes[i])


class _Place(NamedTuple):
    """Where an output is among those that can be differentiated, and among all."""

    row: _Row
    i: int
    k: int
    reached: set[int]  # the outputs that have a gradient in this walk


def _spread(F: Any, g: Any, place: _Place) -> Any:
    """Return the gradients of all outputs, one behind the other, if that of one is `g`."""
    place.reached.add(place.k)
    start, end = place.row.bounds[place.i]
    shape = place.row.hollow.shape
    line = F.reshape(g, shape=(end - start,))
    if line.shape == shape:
        return line
    return F.put(line, part=(slice(start, end), ...), places=(), shape=shape)


class _Call:
    """What the nodes of one call have in common, and their derivatives."""

    def __init__(
        self,
        function: type[Function],
        ctx: Context,
        args: tuple[Any, ...],
        outputs: list[Any],
        smooth: list[int],
    ) -> None:
        self.function, self.ctx, self.smooth = function, ctx, smooth
        self.wanted = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
        self.are_tensors = [isinstance(a, Variable) for a in args]
        self.inputs = _row([args[i]._data for i in self.wanted])
        self.outputs = _row([outputs[k]._data for k in smooth])
        # of the size and type of each output that is a tensor
        self.zeros = [
            _hollow(y._data, y._data.shape, y._data.dtype) if isinstance(y, Variable) else None
            for y in outputs
        ]
        self.saved: list[tuple[Any, int | None]] = []
        self.reached: set[int] = set()

    def __repr__(self) -> str:
        return f"<call of {self.function.__name__}>"

    def recorded(
        self, args: tuple[Any, ...], found: tuple[Any, ...], outputs: list[Any]
    ) -> Variable:
        """Record the nodes that all outputs share, and return the last one's tensor."""
        ops = self.function._ops
        spine = apply(ops.inputs, [args[i] for i in self.wanted], {"row": self.inputs})
        for t in self.ctx._to_save:
            number = None
            if t is not None and not any(t is a for a in args):
                number = next((k for k, y in enumerate(found) if y is t), None)
                t = t if number is None else outputs[number]
            if t is not None:
                spine = apply(ops.saved, (spine, variable(t._data)))
                if t._node is not None or not t._requires_grad:  # else the leaf itself
                    t = variable(t._data, t._node)
            self.saved.append((t, number if number in self.smooth else None))
        self.ctx._to_save = self.ctx._constant = ()
        return apply(ops.backward if self.saved else ops.linear, (spine,), {"call": self})

    def output(self, spine: Any, k: int, value: Array) -> Any:
        """Return output `k`, which is `value`, as a tensor made from the others' `spine`."""
        place = _Place(self.outputs, self.smooth.index(k), k, self.reached)
        return apply(self.function._ops.output, (spine,), {"place": place, "value": value})

    def backward(self, F: Any, g: Any, start: Any = None, spine: Any = None) -> Any:
        """Return the user's gradients of the inputs, one behind the other.

        If something was saved, `start` is the tensor that stands for the inputs, and `spine` the
        one that stands for the outputs.
        """
        as_tensor: Callable[[Any], Any] = (lambda t: t) if isinstance(g, Variable) else variable
        given = [self._gradient(F, g, k, as_tensor) for k in range(len(self.zeros))]
        self.reached.clear()
        ctx = self.ctx
        ctx._saved = tuple(
            t if k is None or not isinstance(g, Variable) else self.output(spine, k, t._data)
            for t, k in self.saved
        )
        try:
            found = self.function.backward(ctx, *given)
        finally:
            ctx._saved = None
        lines = []
        for j, t in enumerate(self._checked(found)):
            shape = self.inputs.shapes[j]
            if t is None:
                t = variable(copied(_hollow(self.inputs.hollow, shape, self.inputs.dtypes[j])))
            t = t if isinstance(g, Variable) else t._data
            if t.shape != shape:
                t = unbroadcast(F, t, shape)
            lines.append(F.reshape(t, shape=(prod(shape),)))
        out = lines[0] if len(lines) == 1 else F.cat(*lines, axis=0, bounds=self.inputs.bounds)
        if isinstance(g, Variable) and hasattr(self.function.backward, "is_once"):
            known = (out, g) if start is None else (out, g, start)
            out = apply(_ONCE, known, {"name": self.function.__name__})
        return out

    def _gradient(self, F: Any, g: Any, k: int, as_tensor: Callable[[Any], Any]) -> Any:
        zeros = self.zeros[k]
        if zeros is None or not (self.ctx._materialize or k in self.reached):
            return None
        if k not in self.smooth:
            return variable(copied(zeros))
        return as_tensor(_part(F, g, self.outputs, self.smooth.index(k)))

    def _checked(self, found: Any) -> list[Any]:
        """Return the gradients of the inputs that need one."""
        name, n = self.function.__name__, len(self.are_tensors)
        gradients = list(found) if isinstance(found, tuple) else [found]
        while len(gradients) > n and gradients[-1] is None:
            gradients.pop()
        if len(gradients) != n:
            raise GraphError(
                f"{name}: backward returned {len(gradients)} gradients for the {n} arguments of "
                "forward; return one for each, None for those that have none"
            )
        for i, (t, is_tensor) in enumerate(zip(gradients, self.are_tensors, strict=True)):
            if t is None:
                continue
            if not isinstance(t, Variable):
                raise DTypeError(
                    f"{name}: backward returns Tensors and None; gradient {i} is a "
                    f"{type(t).__name__}"
                )
            if not is_tensor:
                raise GraphError(
                    f"{name}: backward returned a gradient for argument {i}, which is no Tensor; "
                    "return None for it"
                )
        for j, i in enumerate(self.wanted):
            if gradients[i] is not None:
                self._check_fit(i, gradients[i]._data, self.inputs.shapes[j])
        return [gradients[i] for i in self.wanted]

    def _check_fit(self, i: int, data: Array, shape: tuple[int, ...]) -> None:
        what = f"{self.function.__name__}: backward's gradient {i}"
        if data.dtype.kind not in "biuf":
            raise DTypeError(f"{what} is {data.dtype}; a gradient holds numbers")
        extra = len(data.shape) - len(shape)
        if extra < 0 or any(
            n not in (m, 1) for n, m in zip(shape, data.shape[extra:], strict=True)
        ):
            raise ShapeError(f"{what} has shape {data.shape}, but argument {i} has {shape}")
        if not same_device(data, self.inputs.hollow):
            raise mixed_devices(f"{what} and its argument", [data, self.inputs.hollow])


class _Ops(NamedTuple):
    """The operations of the nodes that a call of one Function leaves."""

    inputs: Op
    saved: Op
    backward: Op
    linear: Op  # the same where nothing was saved, and so nothing is to be freed
    output: Op


def _ops(name: str) -> _Ops:
    return _Ops(
        Op(
            f"{name}.inputs",
            lambda xp, *tensors, row: row.hollow,
            {"tensors": lambda F, g, i, row: _part(F, g, row, i)},
            view=False,
        ),
        Op(
            f"{name}.saved",
            lambda xp, spine, saved: spine,
            {"spine": lambda F, g, saved: g},
            view=False,
        ),
        Op(
            f"{name}.backward",
            lambda xp, spine, *, call: call.outputs.hollow,
            {"spine": lambda F, g, spine, y, call: call.backward(F, g, spine, y)},
            view=False,
        ),
        Op(
            f"{name}.backward",
            lambda xp, spine, *, call: call.outputs.hollow,
            {"spine": lambda F, g, call: call.backward(F, g)},
            view=False,
        ),
        Op(
            f"{name}.apply",
            lambda xp, spine, *, place, value: value,
            {"spine": lambda F, g, place: _spread(F, g, place)},
            view=False,
        ),
    )


def _refused(F: Any, g: Any, i: int, name: str) -> Any:
    raise GraphError(
        f"{name}: its backward is marked once_differentiable, and this would differentiate it; "
        "write it in Tensor operations and take the mark away"
    )


_ONCE = Op(
    "once_differentiable",
    lambda xp, *tensors, name: tensors[0],
    {"tensors": _refused},
    view=False,
)


def _needs_gradient(a: Any) -> bool:
    return isinstance(a, Variable) and (a._node is not None or a._requires_grad)


def _apart(args: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """Return the outputs, those copied whose memory is an argument's or that of one before."""
    taken = [a._data for a in args if isinstance(a, Variable)]
    apart = []
    for y in outputs:
        if isinstance(y, Variable):
            data = y._data
            xp = array_module(data)
            if any(same_device(data, t) and xp.may_share_memory(data, t) for t in taken):
                data = copied(data)
            taken.append(data)
            y = variable(data)
        apart.append(y)
    return apart
