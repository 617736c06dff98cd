"""A function run once on arguments of its own, and walked: what every functional transform does.

`tg.func` and `tg.autograd.functional` are thin on top of :class:`Traced`.  It copies the arguments,
so that a function may write into them; asks for gradients of the copies, so that no ``.grad`` is
touched; and hands out what it made as any operation would: connected to the graph around it if
something there needs a gradient and operations are being recorded, otherwise with no graph at all.
The first is what makes transforms nest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..device import array_module, device_guard
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from .differentiate import grad
from .engine import plan
from .graph import Variable, variable
from .mode import mode, recording
from .vocabulary import ON_TENSORS

__all__ = ["Traced", "aligned", "filled", "hessian_product", "leaves", "rebuilt"]


# --- nested dicts, lists and tuples -------------------------------------------------------------


def leaves(tree: Any) -> list[Any]:
    """Return what nested dicts, lists and tuples hold, in order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for branch in tree for leaf in leaves(branch)]


def rebuilt(tree: Any, values: Iterator[Any]) -> Any:
    """Return the containers of `tree` with the next of `values` in place of each leaf."""
    if isinstance(tree, dict):
        return {key: rebuilt(branch, values) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        branches = [rebuilt(branch, values) for branch in tree]
        if hasattr(tree, "_fields"):
            return type(tree)(*branches)
        return branches if isinstance(tree, list) else tuple(branches)
    return next(values)


def aligned(what: str, like: Any, tree: Any) -> list[Any]:
    """Return the leaves of `tree`, which has the containers of `like`, in the order of `like`."""
    branches: Iterable[tuple[Any, Any]]
    if isinstance(like, dict):
        fits = isinstance(tree, dict) and tree.keys() == like.keys()
        branches = ((like[key], tree[key]) for key in like)
    elif isinstance(like, (list, tuple)):
        fits = isinstance(tree, (list, tuple)) and len(tree) == len(like)
        branches = zip(like, tree, strict=True) if fits else ()
    else:
        fits = not isinstance(tree, (dict, list, tuple))
        if fits:
            return [tree]
        branches = ()
    if not fits:
        raise ArgumentError(f"{what}: expected {_outline(like)}, got {_outline(tree)}")
    return [leaf for pair in branches for leaf in aligned(what, *pair)]


def _outline(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict with the keys {list(tree)}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}"


# --- the walk -----------------------------------------------------------------------------------


class Traced:
    """A function that has been run, with the ways back from its outputs to its inputs.

    Attributes
    ----------
    value : nested Tensor
        What the function returned.
    aux : object
        What it returned beside that.
    """

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: int | tuple[int, ...],
        kwargs: Mapping[str, Any] | None = None,
        has_aux: bool = False,
        strict: bool = False,
    ) -> None:
        self.name = name
        self._linked = mode.recording
        chosen = _chosen(name, args, argnums)
        own: list[Variable] = []  # leaves that nobody else knows
        with recording(True):
            copies = [_entrance(t, own, self._linked) for t in leaves(chosen)]
            # Gradients are asked for by tensors that `func` cannot change.
            self._entrances = [variable(t._data, t._node) for t in copies]
            self._inputs = rebuilt(chosen, iter(self._entrances))
            result = func(*_replaced(args, argnums, chosen, iter(copies)), **(kwargs or {}))
        _retire(own)
        aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError(
                    f"{name}: with has_aux=True the function returns (output, aux), "
                    f"got {_outline(result)}"
                )
            result, aux = result
        for t in leaves(result):
            if not isinstance(t, Variable):
                raise DTypeError(
                    f"{name}: the function must return Tensors, or dicts, lists and tuples of "
                    f"them, got {type(t).__name__}; what is not to be differentiated can be "
                    "returned beside them with has_aux=True"
                )
        self._outputs = [
            variable(t._data, t._node) if t._node is not None else t for t in leaves(result)
        ]
        self._structure = rebuilt(result, iter(self._outputs))
        self._linked &= _is_linked(*leaves(result), *leaves(aux))
        self.value = rebuilt(result, map(_handed_out, leaves(result)))
        self.aux = rebuilt(aux, map(_handed_out, leaves(aux)))
        if strict:
            self._check_dependence()

    def gradient(self) -> Any:
        """Return the gradient of the output, one number, in the containers of the inputs."""
        y = self._structure
        if not isinstance(y, Variable) or y._data.size != 1:
            got = f"shape {y._data.shape}" if isinstance(y, Variable) else _outline(y)
            raise ShapeError(
                f"{self.name}: the function must return a Tensor of one element, got {got}; reduce "
                "it (.sum(), .mean()), or use jacobian"
            )
        if y._data.dtype.kind != "f":
            raise DTypeError(f"{self.name}: the output is {y._data.dtype}, which has no gradient")
        return self.pull(None, keep=False)

    def pull(self, cotangents: Any, keep: bool = True) -> Any:
        r"""Return :math:`\bar y^\top J` in the containers of the inputs; `keep` to ask again."""
        if cotangents is None:
            weights = [None] * len(self._outputs)
        else:
            what = f"{self.name}: cotangents"
            weights = aligned(what, self._structure, cotangents)
            _check_like(what, "the output", weights, self._outputs)
        linked = self._linked or (mode.recording and any(map(_needs, weights)))
        found = _gradients(self._outputs, weights, self._entrances, keep, linked)
        return rebuilt(self._inputs, map(_handed_out, found))

    def push(self, tangents: Any) -> Any:
        r"""Return :math:`J v` in the containers of the outputs.

        :math:`u \mapsto u^\top J` is linear, and its derivative is applied by walking its graph.
        """
        what = f"{self.name}: tangents"
        vectors = aligned(what, self._inputs, tangents)
        _check_like(what, "the input", vectors, self._entrances)
        linked = self._linked or (mode.recording and any(map(_needs, vectors)))
        weights = [filled(y, 1) for y in self._outputs]
        for u in weights:
            u._requires_grad = True
        back = _gradients(self._outputs, weights, self._entrances, True, True)
        found = _gradients(back, vectors, weights, False, linked)
        return rebuilt(self._structure, map(_handed_out, found))

    def jacobian(self) -> Any:
        """Return, for each output, the containers of the inputs with a block for each input.

        Row by row: one walk for each element of the outputs.
        """
        blocks: list[Any] = []
        for y in self._outputs:
            rows = [
                _gradients([y], [_unit(y, k)], self._entrances, True, self._linked)
                for k in range(y._data.size)
            ]
            columns = [
                _stacked([row[j] for row in rows], y, x) for j, x in enumerate(self._entrances)
            ]
            blocks.append(rebuilt(self._inputs, map(_handed_out, columns)))
        return rebuilt(self._structure, iter(blocks))

    def _check_dependence(self) -> None:
        for i, y in enumerate(self._outputs):
            nodes = set(_way(y).order)
            if nodes.isdisjoint(x._node for x in self._entrances):
                raise GraphError(f"{self.name}: output {i} depends on no input (strict=True)")
        nodes = set(_way(*self._outputs).order)
        for i, x in enumerate(self._entrances):
            if x._node not in nodes:
                raise GraphError(f"{self.name}: no output depends on input {i} (strict=True)")


def hessian_product(
    name: str,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    vectors: Any,
    strict: bool = False,
) -> tuple[Any, Any]:
    r"""Return the value of `func` and :math:`v^\top H`, the derivative of its gradient pulled back.

    Where second derivatives are continuous, :math:`H` is symmetric, and that is :math:`H v` too.
    """

    def gradient(*inner: Any) -> tuple[Any, Any]:
        traced = Traced(name, func, inner, argnums, strict=strict)
        return traced.gradient(), traced.value

    outer = Traced(name, gradient, args, argnums, has_aux=True, strict=strict)
    return outer.aux, outer.pull(vectors, keep=False)


def _chosen(name: str, args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> Any:
    """Return the arguments to differentiate by: one, or a tuple of several."""
    for i in argnums if isinstance(argnums, tuple) else (argnums,):
        if not isinstance(i, int) or not -len(args) <= i < len(args):
            raise ArgumentError(
                f"{name}: argnums names argument {i!r}, but there are {len(args)} positional ones"
            )
    if isinstance(argnums, tuple) and len({i % len(args) for i in argnums}) < len(argnums):
        raise ArgumentError(f"{name}: argnums {argnums} names an argument twice")
    chosen = tuple(args[i] for i in argnums) if isinstance(argnums, tuple) else args[argnums]
    for t in leaves(chosen):
        if not isinstance(t, Variable):
            raise DTypeError(
                f"{name}: can differentiate by Tensors, and dicts, lists and tuples of them, not "
                f"by {type(t).__name__}; make it a tg.tensor, or leave it out of argnums"
            )
        if t._data.dtype.kind != "f":
            raise DTypeError(
                f"{name}: only floating tensors have gradients, not {t._data.dtype} "
                f"{t._data.shape}; convert it with .float(), or leave it out of argnums"
            )
    return chosen


def _replaced(
    args: tuple[Any, ...], argnums: int | tuple[int, ...], chosen: Any, values: Iterator[Any]
) -> list[Any]:
    """Return the arguments with `values` in place of the chosen ones' tensors."""
    new = rebuilt(chosen, values)
    result = list(args)
    if isinstance(argnums, tuple):
        for i, value in zip(argnums, new, strict=True):
            result[i] = value
    else:
        result[argnums] = new
    return result


def _entrance(t: Variable, own: list[Variable], linked: bool) -> Any:
    """Return a recorded copy of `t`, connected to the graph of `t` if `linked`."""
    source = t
    if not (linked and _needs(t)):
        source = variable(t._data)
        source._requires_grad = True
        own.append(source)
    return ON_TENSORS.clone(source)


def _retire(own: Iterable[Variable]) -> None:
    """Let leaves of a finished transform no longer count as something that needs a gradient."""
    for leaf in own:
        leaf._requires_grad = False


def _needs(t: Any) -> bool:
    return isinstance(t, Variable) and (t._node is not None or t._requires_grad)


def _way(*tensors: Any) -> Any:
    return plan([t if t._node is None else t._node for t in tensors if _needs(t)], None)


def _is_linked(*tensors: Any) -> bool:
    """Whether something outside, which needs a gradient, is what one of `tensors` was made from."""
    return any(leaf._requires_grad for leaf in _way(*tensors).leaves)


def _check_like(what: str, whose: str, tensors: list[Any], likes: list[Any]) -> None:
    for t, like in zip(tensors, likes, strict=True):
        if not isinstance(t, Variable):
            raise DTypeError(f"{what}: expected Tensors, got {type(t).__name__}")
        if t._data.shape != like._data.shape:
            raise ShapeError(f"{what}: shape {t._data.shape} where {whose} has {like._data.shape}")


def filled(like: Variable, value: int, shape: tuple[int, ...] | None = None) -> Any:
    """Return a tensor full of `value`, beside `like` and of its type."""
    data = like._data
    with device_guard(data):
        xp = array_module(data)
        return variable(xp.full(data.shape if shape is None else shape, value, data.dtype))


def _unit(like: Variable, k: int) -> Any:
    """Return zeros like a tensor, but for a 1 at its element `k`."""
    t = filled(like, 0)
    with device_guard(t._data):
        t._data.reshape(-1)[k] = 1
    return t


def _handed_out(t: Any) -> Any:
    """Return `t` without a graph, unless something that needs a gradient is behind it."""
    return t.detach() if _needs(t) and not (mode.recording and _is_linked(t)) else t


def _gradients(
    outputs: list[Any], weights: list[Any], inputs: list[Any], keep: bool, create_graph: bool
) -> list[Any]:
    """Return the gradients of `outputs`, of which some may need none; zeros where none arrive."""
    pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if _needs(y)]
    found: Any = [None] * len(inputs)
    if pairs and inputs:
        some, their = zip(*pairs, strict=True)
        found = grad(some, inputs, their, keep or create_graph, create_graph, allow_unused=True)
    return [filled(x, 0) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _stacked(rows: list[Any], y: Variable, x: Variable) -> Any:
    """Return rows shaped like `x`, one for each element of `y`, as one tensor."""
    shape = (*y._data.shape, *x._data.shape)
    if not rows:
        return filled(x, 0, shape)
    F = ON_TENSORS
    lines = [F.reshape(row, shape=(1, *x._data.shape)) for row in rows]
    bounds = tuple((k, k + 1) for k in range(len(rows)))
    return F.reshape(F.cat(*lines, axis=0, bounds=bounds), shape=shape)
