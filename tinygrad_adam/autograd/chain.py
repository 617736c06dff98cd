"""The chain rule as it was carried out: `explain`.

A backward pass of the engine's own, looked at: each derivative that it runs notes what it was given
and what it gave.  Nothing is computed twice, or in another way than `backward` would.
"""

from __future__ import annotations

import ast
import linecache
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from html import escape
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ..device import array_module, device_guard
from ..errors import ArgumentError
from .differentiate import grad
from .engine import Key, collect
from .faster import versions
from .graph import Node, Variable
from .observe import observed
from .picture import aligned, line_of, many, named, operand, root
from .registry import Op, Rule

__all__ = ["Explanation", "Step", "explain", "rule_text"]


class Step(NamedTuple):
    """One derivative that was run: from the gradient of an output to that of one input.

    Attributes
    ----------
    number, operation : int, str
        The operation; later ones have higher numbers, as in `Tensor.graph`.
    shape, norm : tuple of int, float
        Of the gradient of its output.
    input, to : str, str
        The input's name in the operation, and what it is: an operation's number or a leaf's name.
    rule : str
        The derivative.
    given_shape, given_norm : tuple of int, float
        Of what the derivative returned.
    notes : tuple of str
        What the engine did with it: summed it, cast it, added it to another.
    """

    number: int
    operation: str
    shape: tuple[int, ...]
    norm: float
    input: str
    to: str
    rule: str
    given_shape: tuple[int, ...]
    given_norm: float
    notes: tuple[str, ...]


class _Run(NamedTuple):
    """What a derivative was given and gave, before it has names."""

    node: Node
    i: int
    shape: tuple[int, ...]
    norm: float
    given_shape: tuple[int, ...]
    given_dtype: Any
    given_norm: float
    faster: bool


class Explanation:
    """What `explain` found; ``str()`` of it is a table, and so is what a notebook shows.

    Attributes
    ----------
    steps : list of Step
        The derivatives in the order they were run.
    leaves : dict of str to (tuple of int, float)
        The shape and the norm of each leaf's gradient.
    """

    def __init__(
        self,
        steps: list[Step],
        leaves: Mapping[str, tuple[tuple[int, ...], float]],
        uses: Mapping[str, int],
        limit: int | None,
    ) -> None:
        self.steps, self.leaves = steps, dict(leaves)
        self._uses, self._limit = uses, limit

    def _table(self) -> tuple[list[list[str]], str]:
        """Return the rows, the head first, and what is left out."""
        rows = [["", "operation", "g", "norm", "to", "rule", "gives", "norm", ""]]
        numbers = list(dict.fromkeys(step.number for step in self.steps))
        shown = set(numbers[: self._limit])
        before = 0
        for step in self.steps:
            if step.number not in shown:
                continue
            first = step.number != before
            before = step.number
            head = [f"{step.number}", step.operation, f"{step.shape}", _figure(step.norm)]
            to = f"{step.input}: {step.to}"
            given = [f"{step.given_shape}", _figure(step.given_norm)]
            notes = list(step.notes)
            if first and self._uses[str(step.number)] > 1:
                notes.insert(0, self._added(str(step.number)))
            start = head if first else [""] * len(head)
            rule = step.rule if len(step.rule) <= 60 else step.rule[:57] + "..."
            rows.append([*start, to, rule, *given, "; ".join(notes)])
        for name, (shape, norm) in self.leaves.items():
            note = self._added(name) if self._uses[name] > 1 else ""
            rows.append(["", name, f"{shape}", _figure(norm), "leaf", "", "", "", note])
        older = many(len(numbers) - len(shown), "older operation")
        cut = f"... {older} left out; limit=None shows all"
        return rows, cut if len(numbers) > len(shown) else ""

    def _added(self, key: str) -> str:
        return f"sum of {self._uses[key]}"

    def __str__(self) -> str:
        rows, left_out = self._table()
        lines = aligned(rows, right=(0, 3, 7))
        return "\n".join([*lines, left_out] if left_out else lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        (head, *rows), left_out = self._table()

        def line(cells: list[str], tag: str) -> str:
            style = ' style="text-align: left"'
            return f"<tr>{''.join(f'<{tag}{style}>{escape(c)}</{tag}>' for c in cells)}</tr>"

        body = "\n".join(line(row, "td") for row in rows)
        return f"<table>\n{line(head, 'th')}\n{body}\n</table>\n{escape(left_out)}"


def explain(
    output: Variable, names: Any = None, gradient: Any = None, limit: int | None = 200
) -> Explanation:
    r"""Carry out a backward pass and tell what it did, operation by operation.

    Each line is one use of the chain rule: the gradient of an operation's output, which of its
    inputs, the derivative in the words of its definition (`g` is that gradient, `y` the output),
    and the shape and Euclidean norm of what it gave.  Notes say where a gradient was summed over
    axes that had been broadcast, and which gradients are sums because a tensor was used more than
    once.

    Parameters
    ----------
    output : Tensor
        What to differentiate.
    names : Module, mapping or iterable of (str, Tensor), optional
        What to call tensors; as for `Tensor.graph`.
    gradient : Tensor, optional
        Where to start from; 1 for a scalar.
    limit : int or None
        How many operations the table shows, those nearest to the output; None for all.

    Returns
    -------
    Explanation

    Raises
    ------
    GraphError
        As `backward` does.
    ArgumentError
        If `limit` is not positive.

    Notes
    -----
    No ``.grad`` changes, and the graph can be walked again.  Hooks run, since they are part of what
    happens to a gradient.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> b = tg.tensor(1.0, requires_grad=True)
    >>> print(tg.explain((x * x + b).sum(), {"x": x, "b": b}))
       operation  g      norm  to    rule                          gives   norm
    3  sum        ()        1  x: 2  _spread(F, g, x_shape, axis)  (2,)   1.414
    2  add        (2,)  1.414  a: 1  g                             (2,)   1.414
                               b: b  g                             (2,)   1.414  summed to ()
    1  mul        (2,)  1.414  a: x  g * b                         (2,)       5
                               b: x  g * a                         (2,)       5
       b          ()        2  leaf
       x          (2,)     10  leaf                                              sum of 2
    """
    if limit is not None and limit < 1:
        raise ArgumentError(f"explain: limit must be at least 1, or None for all, got {limit}")
    start = root(output, "explain")
    nodes, leaves = collect([start])
    runs: list[_Run] = []

    def noted(node: Node, i: int, rule: Rule, names: list[str]) -> Rule:
        def run(F: Any, g: Any, *asked: Any) -> Any:
            out = rule(F, g, *asked)
            inputs, module = node.op.inputs, array_module(g).__name__
            faster = not node.op.variadic and bool(versions(node.op.name, inputs[i], module))
            runs.append(_Run(node, i, g.shape, _norm(g), out.shape, out.dtype, _norm(out), faster))
            return out

        return run

    with _without_keepers(nodes), observed(nodes, noted):
        found = grad(output, leaves, gradient, retain_graph=True)
    called = named(names, leaves)
    keys: dict[Key, str] = {node: f"{len(nodes) - i}" for i, node in enumerate(nodes)}
    keys.update((leaf, called[leaf]) for leaf in leaves)
    uses = Counter(keys[_parent(run)] for run in runs)
    steps = [_step(run, keys, called) for run in runs]
    norms = {called[t]: (g.shape, _norm(g._data)) for t, g in zip(leaves, found, strict=True)}
    return Explanation(steps, norms, uses, limit)


def _parent(run: _Run) -> Key:
    parent = run.node.parents[run.i]
    assert parent is not None
    return parent


def _step(run: _Run, keys: Mapping[Key, str], called: Mapping[Any, str]) -> Step:
    node, parent = run.node, _parent(run)
    name = f"{node.op.name} = {called[node]}" if node in called else node.op.name
    shape, dtype = (
        (parent.shape, parent.dtype)
        if isinstance(parent, Node)
        else (parent._data.shape, parent._data.dtype)
    )
    notes = []
    if run.given_shape != shape:
        notes.append(f"summed to {shape}")
    if run.given_dtype != dtype:
        notes.append(f"cast to {dtype}")
    if node.hooks:
        notes.append("after its hooks")
    if run.faster:
        notes.append("a faster version was asked")  # and may have left it to the plain one
    if line := line_of(node):
        notes.append(line)
    return Step(
        int(keys[node]),
        name,
        run.shape,
        run.norm,
        operand(node, run.i),
        keys[parent],
        rule_text(node.op, run.i),
        run.given_shape,
        run.given_norm,
        tuple(notes),
    )


@contextmanager
def _without_keepers(nodes: list[Node]) -> Iterator[None]:
    """Inside the block, no tensor in between retains its gradient."""
    kept = [(node, node.keeper) for node in nodes if node.keeper is not None]
    for node, _ in kept:
        node.keeper = None
    try:
        yield
    finally:
        for node, keeper in kept:
            node.keeper = keeper


def _norm(array: Any) -> float:
    """Return the Euclidean norm, which is finite if the elements are and it can be."""
    xp = array_module(array)
    with device_guard(array), np.errstate(all="ignore"):
        sizes = xp.abs(array.astype(np.float64))
        largest = float(xp.max(sizes)) if array.size else 0.0
        if not largest or not math.isfinite(largest):
            return largest
        return largest * math.sqrt(xp.sum(xp.square(sizes / largest)))


def _figure(norm: float) -> str:
    return f"{norm:.4g}"


# --- a derivative in words ----------------------------------------------------------------------


def rule_text(operation: Op, i: int) -> str:
    """Return the derivative of input `i` as its definition writes it.

    That is the expression of a lambda or of a function that is one; else the function's name, and
    its first line of documentation.

    Examples
    --------
    >>> from tinygrad_adam.autograd import OPS
    >>> rule_text(OPS["mul"], 0), rule_text(OPS["exp"], 0)
    ('g * b', 'g * y')
    """
    rule = operation.rules[0 if operation.variadic else i]
    code = getattr(rule, "__code__", None)
    if code is None:
        return repr(rule)
    found = _expression(code)
    if found is not None:
        return found
    call = f"{code.co_name}({', '.join(code.co_varnames[1 : code.co_argcount])})"
    words = (rule.__doc__ or "").strip().partition("\n")[0]
    return f"{call}: {words}" if words else call


def _expression(code: CodeType) -> str | None:
    """Return the expression that a function returns, if it does nothing else and has a source."""
    candidates = [f for f in _functions(code.co_filename) if _fits(f, code)]
    if len(candidates) > 1:  # several on one line, told apart by their columns
        ends = [p for p in code.co_positions() if None not in p and p[3] != 0]
        candidates = [f for f in candidates if all(_inside(f, p) for p in ends)]
    if len(candidates) != 1:
        return None
    (function,) = candidates
    body: Any = function.body
    if isinstance(function, ast.FunctionDef):
        lines = [line for line in function.body if not _is_text(line)]
        if len(lines) != 1 or not isinstance(lines[0], ast.Return):
            return None
        body = lines[0].value
    return ast.unparse(body)


@lru_cache(maxsize=64)
def _functions(filename: str) -> list[ast.Lambda | ast.FunctionDef]:
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return []
    return [f for f in ast.walk(tree) if isinstance(f, (ast.Lambda, ast.FunctionDef))]


def _fits(function: ast.Lambda | ast.FunctionDef, code: CodeType) -> bool:
    name = function.name if isinstance(function, ast.FunctionDef) else "<lambda>"
    args = [a.arg for a in function.args.args]
    same = name == code.co_name and args == list(code.co_varnames[: code.co_argcount])
    return same and function.lineno == code.co_firstlineno


def _inside(function: ast.AST, position: tuple[int | None, ...]) -> bool:
    f: Any = function
    line, end_line, column, end_column = position
    return bool(
        (f.lineno, f.col_offset) <= (line, column)
        and (end_line, end_column) <= (f.end_lineno, f.end_col_offset)
    )


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
