"""Operations: a value and its derivatives, written once.

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
(:mod:`~tinygrad_adam.autograd.engine`).  Where an array module has a faster way to a value or a
derivative, the table in :mod:`~tinygrad_adam.autograd.faster` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any

from ..device import device_guard
from .faster import first_answer, versions

__all__ = ["LOOKED_UP", "OPS", "Bound", "Op", "Plan", "Rule", "find", "op"]

Rule = Callable[..., Any]
_CO_VARARGS = 0x04  # inspect.CO_VARARGS, without importing inspect


def _picker(positions: tuple[int, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a function from a tuple to the tuple of its items at `positions`."""
    if len(positions) > 1:
        return itemgetter(*positions)
    first = positions[0] if positions else 0
    return itemgetter(slice(first, first + len(positions)))


class Plan:
    """For one choice of inputs that need a gradient: what to save, and which rules to run.

    Attributes
    ----------
    arrays, shapes : tuple of int
        Positions, among ``(*inputs, y)``, whose value or whose shape is saved.
    params : tuple of str
        Settings that are saved after them.
    pick : callable
        From ``(*inputs, y)``, or anything one to one with it, those at `arrays`.
    steps : tuple of (input position, rule, positions in `saved`, the only one or -1)
        The derivatives to run on arrays, the array module's faster ones where there are some.
    plain : tuple of the same
        The derivatives to run on tensors.
    """

    __slots__ = ("arrays", "params", "pick", "plain", "shapes", "steps")

    def __init__(self, operation: Op, needs: int, module: str) -> None:
        names = () if operation.variadic else (*operation.inputs, "y")
        wanted = [i for i in range(needs.bit_length()) if needs >> i & 1]
        plain = [(i, _tied(operation.rule(i)), operation.asks(i)) for i in wanted]
        steps = [(i, *operation.fastest_rule(i, module)) for i in wanted]
        asked = {name for _, _, asks in plain + steps for name in asks}
        self.arrays = tuple(i for i, name in enumerate(names) if name in asked)
        self.shapes = tuple(i for i, name in enumerate(names) if f"{name}_shape" in asked)
        self.params = tuple(name for name in operation.params if name in asked)
        self.pick = _picker(self.arrays)
        layout = (
            *(names[i] for i in self.arrays),
            *(f"{names[i]}_shape" for i in self.shapes),
            *self.params,
        )

        def step(i: int, rule: Rule, asks: tuple[str, ...]) -> tuple[Any, ...]:
            picks = tuple(map(layout.index, asks))
            return i, rule, picks, picks[0] if len(picks) == 1 else -1

        self.plain = tuple(step(*some) for some in plain)
        self.steps = tuple(step(*some) for some in steps)


def _tied(rule: Rule) -> Rule:
    """Let what `rule` returns on tensors depend on all it asks for, by zero if not otherwise."""

    def run(F: Any, g: Any, *asked: Any) -> Any:
        out = rule(F, g, *asked)
        for a in asked:
            if not out.requires_grad and getattr(a, "requires_grad", False):
                # exactly 0, and the derivative of sign stops whatever comes in
                out = out + F.sum(F.sign(a), axis=tuple(range(a.ndim)), keepdims=False) * 0.0
        return out

    return run


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a value or a derivative on the GPU of its first array."""

    def run(where: Any, *operands: Any, **settings: Any) -> Any:
        with device_guard(next(a for a in operands if hasattr(a, "dtype"))):
            return function(where, *operands, **settings)

    return run


class Bound:
    """An operation on the arrays of one module: the fastest value there is, and its plans."""

    __slots__ = ("module", "operation", "plans", "value")

    def __init__(self, operation: Op, module: str) -> None:
        self.operation, self.module = operation, module
        value = first_answer(versions(operation.name, "value", module), operation.forward)
        self.value = value if module == "numpy" else _on_device(value)
        self.plans: dict[int, Plan] = {}

    def plan(self, needs: int) -> Plan:
        """Return the plan for the inputs whose bits are set in `needs`."""
        found = self.plans.get(needs)
        if found is None:
            found = self.plans[needs] = Plan(self.operation, needs, self.module)
        return found


class Op:
    """A differentiable operation: its value, and one derivative per input.

    An operation on any number of operands (``cat``) has one rule, told the operand's position `i`;
    it may ask for settings only.

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
    smooth_inputs : int
        A bit per input that has a derivative.
    view : bool
        Whether the output may share the memory of the first input.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        rules: Mapping[str, Rule],
        view: bool,
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
        self.name, self.forward, self.view = name, forward, view
        self.inputs, self.params = positional, keywords
        self.rules = tuple(rules.get(p) for p in positional)
        smooth = sum(1 << i for i, rule in enumerate(self.rules) if rule is not None)
        self.smooth_inputs = -smooth if self.variadic else smooth
        self._bound: dict[str, Bound] = {}
        for i, rule in enumerate(self.rules):
            if rule is not None:
                self.asks(i)

    def asks(self, i: int, rule: Rule | None = None) -> tuple[str, ...]:
        """Return what the derivative of input `i`, or a faster `rule` for it, wants to have kept.

        Raises
        ------
        TypeError
            If that is nothing the operation has.
        """
        code = (rule or self._plain(i)).__code__
        first = 3 if self.variadic else 2  # after F, g and, of many operands, the position
        names = code.co_varnames[first : code.co_argcount]
        known = {*self.inputs, "y", *(f"{p}_shape" for p in (*self.inputs, "y")), *self.params}
        if not known.issuperset(names):
            raise TypeError(f"op {self.name}: a derivative asks for {set(names) - known}")
        return names

    def rule(self, i: int) -> Rule:
        """Return the derivative of input `i`, which is smooth."""
        rule = self._plain(i)
        return (lambda F, g, *asked: rule(F, g, i, *asked)) if self.variadic else rule

    def fastest_rule(self, i: int, module: str) -> tuple[Rule, tuple[str, ...]]:
        """Return the derivative of input `i` on arrays of `module`, and what it asks for."""
        faster = () if self.variadic else versions(self.name, self.inputs[i], module)
        rules = [(rule, self.asks(i, rule)) for rule in faster] + [(self.rule(i), self.asks(i))]
        if module != "numpy":
            rules = [(_on_device(rule), asks) for rule, asks in rules]
        if len(rules) == 1:
            return rules[0]
        names = tuple(dict.fromkeys(name for _, asks in rules for name in asks))
        picks = [(rule, _picker(tuple(map(names.index, asks)))) for rule, asks in rules]

        def fastest(F: Any, g: Any, *asked: Any) -> Any:
            for rule, pick in picks:
                out = rule(F, g, *pick(asked))
                if out is not NotImplemented:
                    return out
            raise AssertionError(f"op {self.name}: the plain derivative gave no answer")

        return fastest, names

    def _plain(self, i: int) -> Rule:
        rule = self.rules[0 if self.variadic else i]
        assert rule is not None, f"op {self.name} is not smooth in input {i}"
        return rule

    def on(self, module: str) -> Bound:
        """Return the operation on arrays of `module`."""
        return self._bound.get(module) or self._bound.setdefault(module, Bound(self, module))

    @cached_property
    def on_numpy(self) -> Bound:
        """The operation on NumPy's arrays."""
        return self.on("numpy")

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.inputs)})>"


OPS: dict[str, Op] = {}
LOOKED_UP: list[dict[str, Any]] = []  # what vocabularies have found by name


def op(name: str, forward: Callable[..., Any], *, view: bool = False, **rules: Rule) -> Op:
    """Register an operation: its value and the derivative of each input it is smooth in.

    Parameters
    ----------
    name : str
        Unique; also its name in `F`.  The module that registered an operation, a notebook say,
        replaces it by doing so again.
    forward : callable
        ``lambda xp, x, *, axis: ...``: operands positional, settings keyword-only.
    view : bool
        Whether the output may share the memory of the first input.
    **rules : callable
        ``lambda F, g, ...``, by input name; see the module's text for what they may ask for.

    Returns
    -------
    Op

    Raises
    ------
    TypeError
        If a rule belongs to no input or asks for something unknown: a misspelling fails at import.
        If the name is that of another module's operation.

    Examples
    --------
    >>> cube = op("doctest_cube", lambda xp, x: x**3, x=lambda F, g, x: g * 3 * x**2)
    >>> import tinygrad_adam as tg
    >>> from tinygrad_adam.autograd import apply
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> apply(cube, (x,)).backward()
    >>> x.grad.item()
    12.0
    >>> del OPS["doctest_cube"]
    """
    if name in OPS:
        owner = OPS[name].forward.__module__
        if owner != forward.__module__ or owner.startswith(__name__.partition(".")[0]):
            raise TypeError(f"op {name} is registered already, by {owner}; choose another name")
        for names in LOOKED_UP:
            names.pop(name, None)
    OPS[name] = operation = Op(name, forward, rules, view)
    return operation


def find(name: str) -> Op:
    """Return the registered operation of this name."""
    try:
        return OPS[name]
    except KeyError:
        raise AttributeError(f"no operation named {name!r} is registered") from None
