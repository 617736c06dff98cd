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
(:mod:`~tinygrad_adam.autograd.engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["OPS", "Op", "Plan", "Rule", "op", "find"]

Rule = Callable[..., Any]
_CO_VARARGS = 0x04  # inspect.CO_VARARGS, without importing inspect


class Plan:
    """For one choice of inputs that need a gradient: what to save, and which rules to run.

    An operation on any number of operands (``cat``) has one rule, told the operand's position `i`;
    it may ask for settings only.

    Attributes
    ----------
    arrays, shapes : tuple of int
        Positions, among ``(*inputs, y)``, whose value or whose shape is saved.
    params : tuple of str
        Settings that are saved after them.
    steps : tuple of (input position, rule, positions in `saved`)
        The derivatives to run.
    """

    __slots__ = ("arrays", "params", "shapes", "steps")

    def __init__(self, operation: Op, needs: int) -> None:
        names = () if operation.variadic else (*operation.inputs, "y")
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
    """

    __slots__ = (
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
        self.name, self.forward, self.view = name, forward, view
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


def op(name: str, forward: Callable[..., Any], *, view: bool = False, **rules: Rule) -> Op:
    """Register an operation: its value and the derivative of each input it is smooth in.

    Parameters
    ----------
    name : str
        Unique; also its name in `F`.
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
        raise TypeError(f"op {name} is registered already")
    OPS[name] = operation = Op(name, forward, rules, view)
    return operation


def find(name: str) -> Op:
    """Return the registered operation of this name."""
    try:
        return OPS[name]
    except KeyError:
        raise AttributeError(f"no operation named {name!r} is registered") from None
