"""Mutation testing: small mistakes are made one at a time, and some test must notice each.

    python benchmarks/mutants.py tinygrad_adam/optim/adam.py
    python benchmarks/mutants.py --jobs 2 --out mutants.jsonl        every file of the table below
    python benchmarks/mutants.py --report mutants.jsonl

Which mistakes are made is mutmut's choice (its operators: a number one larger, ``+`` for ``-``,
``and`` for ``or``, an argument left out, a branch always taken, ...).  mutmut's own runner changes
functions only, through wrappers that hide their signatures; here derivatives are lambdas beside
their operation, and which arrays they keep is read from their signatures.  So whole modules are
changed, never on disk: each mutant is imported by a fork of this process, which runs the tests of
the table with ``pytest -x``.  A mutant is killed if a test fails, if the package cannot be imported
any more, or if it takes much longer than the unchanged module.

Left alone are annotations, docstrings, ``__all__``, ``__slots__``, what stands under ``if
TYPE_CHECKING``, and the text of errors: tests look for the words that matter in it.

Needs the extra ``mutation``.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  imported once, before the forks
import libcst as cst
import numpy as np  # noqa: F401
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parent.parent
OPTIM = "optim optim_state optim_arrays"

# What is mutated, and which tests are to notice, quick ones first.
TABLE: dict[str, str] = {
    "optim/adam.py": OPTIM,
    "optim/sgd.py": OPTIM,
    "optim/rmsprop.py": OPTIM,
    "optim/schedules.py": OPTIM,
    "optim/settings.py": OPTIM,
    "optim/groups.py": OPTIM,
    "optim/state.py": "optim_state optim optim_arrays serialization",
    "optim/optimizer.py": OPTIM,
    "optim/update.py": OPTIM,
    "autograd/registry.py": "autograd quick faster ops_registry",
    "autograd/graph.py": "autograd quick inplace devices ops_cases",
    "autograd/vocabulary.py": "autograd quick",
    "autograd/engine.py": "autograd inplace quick devices ops_cases",
    "autograd/differentiate.py": "autograd inplace",
    "autograd/memory.py": "inplace autograd indexing",
    "autograd/hooks.py": "autograd",
    "autograd/quick.py": "quick autograd ops_errors",
    "ops/elementwise.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/reduce.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/softmax.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/linear.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/loss.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/conv.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/pool.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/shape.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/join.py": "ops_fixed ops_cases ops_goldens ops_errors",
    "ops/index.py": "indexing ops_cases ops_goldens ops_errors",
}
# hypothesis is here before pytest can rewrite its assertions
OPTIONS = [
    *("-x", "-p", "no:cacheprovider", "-p", "no:randomly"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
]
NAMES_OF_NAMES = {"__all__", "__slots__"}


class Finder(cst.CSTVisitor):
    """Collects what can be changed in a module: where, and what to put there."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[Any, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Add the mutants of a node; return whether to look inside."""
        if isinstance(node, cst.Annotation | cst.Raise | cst.Import | cst.ImportFrom):
            return False
        if isinstance(node, cst.Assign):
            target = node.targets[0].target
            if isinstance(target, cst.Name) and target.value in NAMES_OF_NAMES:
                return False
        if isinstance(node, cst.If) and cst.Module([]).code_for_node(node.test) == "TYPE_CHECKING":
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                where = self.get_metadata(PositionProvider, node)
                self.found += [(where, new) for new in operator(node)]
        return True


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Return, per mutant, its line, that line before and after, and the module's source."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = Finder()
    wrapper.visit(finder)
    before = source.splitlines(keepends=True)
    starts = [0, *itertools.accumulate(map(len, before))]
    for where, new in finder.found:
        first = starts[where.start.line - 1] + where.start.column
        last = starts[where.end.line - 1] + where.end.column
        old, put = source[first:last], wrapper.module.code_for_node(new)
        if old.split() != put.split():
            line = where.start.line
            code = before[line - 1].strip()
            shown = f"{code}  :  {' '.join(old.split())}  ->  {' '.join(put.split())}"
            yield line, shown, source[:first] + put + source[last:]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a source of ours."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def get_filename(self, name: str) -> str:
        return str(self.path)

    def get_data(self, path: str) -> bytes:
        return self.source.encode()


def run(path: Path, source: str, tests: list[str]) -> int:
    """Run the tests on a module's changed source, in a process of its own; never returns."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    sys.meta_path.insert(0, _Changed(name, path, source))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 1
    try:
        code = pytest.main([*OPTIONS, *tests])
    finally:
        os._exit(int(code))


def fork(path: Path, source: str, tests: list[str]) -> int:
    child = os.fork()
    if not child:
        run(path, source, tests)
    return child


def judged(path: Path, jobs: int, lines: range | None) -> Iterator[dict[str, Any]]:
    """Return what became of each mutant of a file."""
    name = str(path.relative_to(ROOT / "tinygrad_adam"))
    tests = [str(ROOT / "tests" / f"test_{t}.py") for t in TABLE[name].split()]
    source = path.read_text()
    start = time.monotonic()
    _, status = os.waitpid(fork(path, source, tests), 0)
    if status:
        sys.exit(f"{name}: the tests fail on the unchanged module")
    limit = 3 * (time.monotonic() - start) + 10
    running: dict[int, tuple[float, dict[str, Any]]] = {}
    waiting = [m for m in mutants(source) if lines is None or m[0] in lines]
    todo = iter(waiting)
    left = len(waiting)
    while left:
        while len(running) < jobs and (mutant := next(todo, None)) is not None:
            line, change, changed = mutant
            child = fork(path, changed, tests)
            running[child] = time.monotonic(), {"file": name, "line": line, "change": change}
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            for pid, (begun, _) in running.items():
                if time.monotonic() - begun > limit:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            continue
        begun, record = running.pop(child)
        left -= 1
        yield record | {"killed": bool(status), "seconds": round(time.monotonic() - begun, 1)}


def report(records: list[dict[str, Any]]) -> None:
    total, killed = Counter(), Counter()
    for r in records:
        total[r["file"]] += 1
        killed[r["file"]] += r["killed"]
    for name, n in total.items():
        print(f"{name:28} {killed[name]:5} of {n:5}  {100 * killed[name] / n:5.1f} %")
    n, k = total.total(), killed.total()
    print(f"{'all':28} {k:5} of {n:5}  {100 * k / max(n, 1):5.1f} %")
    for r in records:
        if not r["killed"]:
            print(f"  {r['file']}:{r['line']}  {r['change']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", help="of the package; those of the table if left out")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--lines", metavar="A-B", help="only mutants of these lines")
    parser.add_argument("--out", type=Path, help="add a line of JSON per mutant to this file")
    parser.add_argument("--report", type=Path, metavar="FILE", help="show what such a file says")
    a = parser.parse_args()
    if a.report:
        report([json.loads(line) for line in a.report.read_text().splitlines()])
        return
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    ends = [int(n) for n in a.lines.split("-")] if a.lines else None
    lines = range(ends[0], ends[-1] + 1) if ends else None
    records = []
    for file in a.files or [f"tinygrad_adam/{name}" for name in TABLE]:
        for record in judged(Path(file).resolve(), a.jobs, lines):
            records.append(record)
            if a.out:
                with a.out.open("a") as out:
                    print(json.dumps(record), file=out)
    report(records)


if __name__ == "__main__":
    main()
