"""A picture of a graph: as text, in Mermaid's and Graphviz's languages, and in notebooks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ArgumentError, GraphError, MissingPackageError
from .engine import Key, collect
from .graph import Node, Variable
from .observe import recorded_plan

__all__ = ["Graph", "aligned", "line_of", "many", "named", "operand", "root"]


class _Box(NamedTuple):
    """What the picture shows of an operation or a leaf."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    sources: tuple[tuple[str, str], ...]  # per input: its name, and what it comes from
    line: str  # that recorded it, if anomalies were watched


class Graph:
    """The operations and leaves that a tensor was made from; ``str()`` of it is the text.

    It is made when it is asked for, and keeps nothing of the graph in memory.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        Where to start.
    names : Module, mapping or iterable of (str, Tensor), optional
        What to call tensors: a module's parameters and buffers, or these.  Names of results name
        the operation that made them.
    limit : int or None
        How many operations to show, the newest; None for all.

    Raises
    ------
    GraphError
        If an output was not made from anything that requires a gradient.
    ArgumentError
        If `limit` is not positive.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(3, 1, requires_grad=True)
    >>> y = tg.ones(2, 3) @ w
    >>> print((y * y).sum().graph({"w": w, "y": y}))
    graph of 3 operations and 1 leaf, newest first
      3  sum         ()      float32  from 2
      2  mul         (2, 1)  float32  from 1, 1
      1  matmul = y  (2, 1)  float32  from constant, w  used 2 times
         w           (3, 1)  float32  leaf
    """

    def __init__(
        self,
        outputs: Variable | Sequence[Variable],
        names: Any = None,
        limit: int | None = 200,
    ) -> None:
        if limit is not None and limit < 1:
            raise ArgumentError(f"graph: limit must be at least 1, or None for all, got {limit}")
        roots = [
            root(t, "graph") for t in ([outputs] if isinstance(outputs, Variable) else outputs)
        ]
        nodes, leaves = collect(roots)
        called = named(names, leaves)
        keys = {node: f"{len(nodes) - i}" for i, node in enumerate(nodes)}
        shown = nodes[:limit]
        kept = set(shown)
        reached: dict[Variable, None] = dict.fromkeys(r for r in roots if not isinstance(r, Node))
        uses: Counter[str] = Counter()
        self._operations: dict[str, _Box] = {}
        for node in shown:
            sources = []
            for i, parent in enumerate(node.parents):
                if parent is None:
                    source = _CONSTANT
                elif not isinstance(parent, Node):
                    source = called[parent]
                    reached[parent] = None
                else:
                    source = keys[parent] if parent in kept else _OLDER
                uses[source] += 1
                sources.append((operand(node, i), source))
            name = f"{node.op.name} = {called[node]}" if node in called else node.op.name
            box = _Box(name, node.shape, str(node.dtype), tuple(sources), line_of(node))
            self._operations[keys[node]] = box
        self._leaves = {
            called[t]: _Box(called[t], t._data.shape, str(t._data.dtype), (), "") for t in reached
        }
        self._uses = uses
        self._left_out = (len(nodes) - len(shown), len(leaves) - len(reached))
        self._counts = (len(nodes), len(leaves))

    def text(self) -> str:
        """Return the graph as a table, an operation a line, each with what it was made from."""
        operations, leaves = self._counts
        head = f"graph of {many(operations, 'operation')} and {many(leaves, 'leaf')}, newest first"
        rows = []
        for key, box in self._operations.items():
            sources = "from " + ", ".join(source for _, source in box.sources)
            rows.append([key, box.name, f"{box.shape}", box.dtype, sources, *self._notes(key)])
            rows[-1].append(box.line)
        for name, box in self._leaves.items():
            rows.append(["", name, f"{box.shape}", box.dtype, "leaf", *self._notes(name), ""])
        lines = [head, *("  " + line for line in aligned(rows, right=(0,)))]
        if any(self._left_out):
            lines.append(f"  ... {self._remark()} left out; limit=None shows all")
        return "\n".join(lines)

    def mermaid(self) -> str:
        """Return the graph in Mermaid's language, which many Markdown viewers draw."""
        lines = ["flowchart TD"]
        ids = self._ids()
        for key, box in self._boxes():
            label = _mermaid_text(box.name) + f"<br/>{box.shape}"
            ends = ('(["', '"])') if key in self._leaves else ('["', '"]')
            lines.append(f"    {ids[key]}{ends[0]}{label}{ends[1]}")
        if any(self._left_out):
            lines.append(f'    {_OLDER}["... {self._remark()}"]')
        for key, box in self._operations.items():
            for name, source in box.sources:
                if source != _CONSTANT:
                    arrow = "-.->" if source == _OLDER else "-->"
                    label = f'|"{_mermaid_text(name)}"|' if len(box.sources) > 1 else ""
                    lines.append(f"    {ids[source]} {arrow}{label} {ids[key]}")
        return "\n".join(lines)

    def dot(self) -> str:
        """Return the graph in the language of Graphviz."""
        lines = ["digraph {", "    node [shape=box, fontname=monospace]"]
        ids = self._ids()
        for key, box in self._boxes():
            rounded = ", style=rounded" if key in self._leaves else ""
            label = f"{_dot_text(box.name)}\\n{box.shape}"
            lines.append(f'    {ids[key]} [label="{label}"{rounded}]')
        if any(self._left_out):
            lines.append(f'    {_OLDER} [label="... {self._remark()}", shape=plain]')
        for key, box in self._operations.items():
            for name, source in box.sources:
                if source != _CONSTANT:
                    notes = [f'label="{_dot_text(name)}"'] * (len(box.sources) > 1)
                    notes += ["style=dashed"] * (source == _OLDER)
                    end = f" [{', '.join(notes)}]" if notes else ""
                    lines.append(f"    {ids[source]} -> {ids[key]}{end}")
        return "\n".join([*lines, "}"])

    def svg(self) -> str:
        """Return the graph drawn, as SVG; Graphviz does it.

        Raises
        ------
        MissingPackageError
            If Graphviz's program ``dot`` is not installed.
        GraphError
            If it fails.
        """
        program = shutil.which("dot")
        if program is None:
            raise MissingPackageError(
                "graph: drawing SVG needs Graphviz's program dot, which is not on the PATH; "
                "install Graphviz, or use text(), mermaid() or dot()"
            )
        done = subprocess.run(
            [program, "-Tsvg"],
            input=self.dot(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise GraphError(f"graph: {program} failed: {done.stderr.strip()}")
        return done.stdout[max(done.stdout.find("<svg"), 0) :]  # without what a file needs

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return what a notebook shows: a drawing where there is Graphviz, else Mermaid."""
        if shutil.which("dot") is not None:
            return {"text/plain": self.text(), "text/html": self.svg()}
        return {"text/plain": self.text(), "text/markdown": f"```mermaid\n{self.mermaid()}\n```"}

    __str__ = text

    def __repr__(self) -> str:
        return self.text()

    def _boxes(self) -> Iterable[tuple[str, _Box]]:
        return [*self._operations.items(), *self._leaves.items()]

    def _ids(self) -> dict[str, str]:
        """Return identifiers for Mermaid and Graphviz, which take no name as it is."""
        leaves = {name: f"leaf{i}" for i, name in enumerate(self._leaves, 1)}
        return {**{key: f"op{key}" for key in self._operations}, **leaves, _OLDER: _OLDER}

    def _notes(self, key: str) -> list[str]:
        return [f"used {self._uses[key]} times" if self._uses[key] > 1 else ""]

    def _remark(self) -> str:
        nodes, leaves = self._left_out
        return f"{many(nodes, 'older operation')} and {many(leaves, 'leaf')}"


_CONSTANT, _OLDER = "constant", "older"  # keys and names of leaves are told apart from both


def root(t: Any, name: str) -> Key:
    """Return the node that made `t`, or the leaf itself.

    Raises
    ------
    GraphError
        If it is neither; `name` says who asks.
    """
    if not isinstance(t, Variable):
        raise GraphError(f"{name}: expected a Tensor, got {type(t).__name__}")
    if t._node is None and not t._requires_grad:
        raise GraphError(
            f"{name}: this tensor of shape {t._data.shape} was not made from one that requires a "
            "gradient, so nothing was recorded"
        )
    return t if t._node is None else t._node


def named(names: Any, leaves: Iterable[Variable]) -> dict[Any, str]:
    """Return the names of nodes and of all `leaves`: those that are given, or ``leaf 1``..."""
    if hasattr(names, "named_parameters"):
        pairs = [*names.named_parameters(), *names.named_buffers()]
    elif isinstance(names, Mapping):
        pairs = list(names.items())
    else:
        pairs = list(names or ())
    found: dict[Any, str] = {}
    taken = {_CONSTANT, _OLDER}
    for name, t in pairs:
        if not isinstance(t, Variable):
            raise GraphError(f"graph: names: {name!r} is a {type(t).__name__}, not a Tensor")
        found.setdefault(t if t._node is None else t._node, _free(str(name), taken))
    for i, t in enumerate((t for t in leaves if t not in found), 1):
        found[t] = _free(f"leaf {i}", taken)
    return found


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, or one like it that is not taken and is no number, as operations have."""
    while name in taken or name.isdecimal():
        name += "'"
    taken.add(name)
    return name


def line_of(node: Node) -> str:
    """Return the file's name and the line that recorded `node`, if anomalies were watched."""
    where = getattr(recorded_plan(node), "where", None)
    return "" if where is None else f"{os.path.basename(where.file)}:{where.line}"


def operand(node: Node, i: int) -> str:
    """Return what an operation calls its input `i`."""
    inputs = node.op.inputs
    return f"{inputs[0]}[{i}]" if node.op.variadic else inputs[i]


def many(n: int, word: str) -> str:
    """Return a number of things; of one, of two or more."""
    return f"{n} {word}" if n == 1 else f"{n} {word[:-1]}ves" if word == "leaf" else f"{n} {word}s"


def aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return the lines of a table, its columns as wide as their widest entry; empty ones go."""
    columns = enumerate(zip(*rows, strict=True))
    full = [(i, max(map(len, c))) for i, c in columns if any(c)]
    return [
        "  ".join(row[i].rjust(w) if i in right else row[i].ljust(w) for i, w in full).rstrip()
        for row in rows
    ]


def _mermaid_text(text: str) -> str:
    coded = (f"#{ord(sign)};" if sign in '#"<>|&`' else sign for sign in text)
    return " ".join("".join(coded).split())


def _dot_text(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace('"', '\\"').split())
