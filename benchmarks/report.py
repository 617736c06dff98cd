"""Turn results into tables: on the terminal, and in docs/performance.md.

    python benchmarks/report.py results.json [more.json ...]

writes each table between its markers in the page; a table without results stays as it is.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cases import GROUPS, case
from measure import disagreement, fastest, ratio
from peers import OTHERS, OURS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


class Table(NamedTuple):
    """A table: its markers' name, its title, the heads of its columns, and the rows."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def span(us: float | None) -> str:
    """Write a time with its unit."""
    if us is None:
        return "-"
    for limit, factor, unit in ((1e3, 1, "µs"), (1e6, 1e3, "ms"), (1e99, 1e6, "s")):
        if us < limit:
            return f"{us / factor:.3g} {unit}"
    raise ValueError(us)


def versus(times: dict[str, Any], theirs: str | None, ours: str, spread: bool = True) -> str:
    """Write how many times faster `ours` is than `theirs`."""
    if theirs not in times or ours not in times:
        return "-"
    middle, low, high = ratio(times[theirs][""], times[ours][""])
    return f"{middle:.2f}" + (f" ({low:.2f}-{high:.2f})" if spread else "")


def median(times: dict[str, Any], row: str | None, label: str = "") -> float | None:
    """Return the median of a row's turns, if it took part."""
    return statistics.median(times[row][label]) if row in times else None


def tables(results: dict[str, Any]) -> list[Table]:
    """Return every table that has rows."""
    races = {raced["case"]: raced for raced in results.get("races", [])}
    made = [
        _conditions(results, races),
        _steps(races),
        _others(races),
        *(_growth(group, races) for group in ("batch", "width", "depth")),
        _ops(races.get("ops")),
        _import(results.get("import", {})),
        _memory(results.get("memory", {})),
        _busy(results.get("busy", [])),
        _failed(races),
    ]
    return [table for table in made if table.rows]


def _conditions(results: dict[str, Any], races: dict[str, Any]) -> Table:
    rows = list(results["machine"].items())
    versions: dict[str, str] = {}
    kernels: set[str] = set()
    loads: list[float] = []
    apart = (0.0, "")
    for raced in races.values():
        for row, found in raced["versions"].items():
            versions |= found
            if row in OURS:
                kernels |= set(raced["kernels"][row])
        loads += raced["load"]
        if raced["numbers"] and raced["case"] != "ops":
            apart = max(apart, (disagreement(raced["numbers"]), raced["case"]))
    if races:
        rows += [
            ("versions", ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))),
            ("NumPy's BLAS kernels", ", ".join(sorted(kernels))),
            ("load before and after a case", f"{min(loads):.2f} to {max(loads):.2f}"),
            ("losses of the first three steps", f"agree within {apart[0]:.0e} ({apart[1]})"),
        ]
    return Table("conditions", "Conditions", ("what", "value"), [(k, str(v)) for k, v in rows])


def _in_steps(races: dict[str, Any]) -> dict[str, Any]:
    """Return the races that are steps, not points of a growth."""
    growth = {name for group in ("batch", "width", "depth", "ops") for name in GROUPS[group]}
    left = growth - set(GROUPS["steps"])
    return {name: raced for name, raced in races.items() if name not in left}


def _steps(races: dict[str, Any]) -> Table:
    rows = []
    for name, raced in _in_steps(races).items():
        times = raced["times"]
        best = fastest(times, "", "torch")
        rows.append(
            (
                name,
                f"{span(median(times, best))} ({best[6:]})" if best else "-",
                *(span(median(times, ours)) for ours in OURS),
                *(versus(times, best, ours) for ours in OURS),
                "{:.1f}, {:.1f}".format(*raced["load"]),
            )
        )
    head = ("case", "PyTorch", *OURS, *(f"PyTorch / {ours}" for ours in OURS), "load")
    return Table(
        "steps", "PyTorch at its fastest, and ours (ratio over 1: ours is faster)", head, rows
    )


def _others(races: dict[str, Any]) -> Table:
    rows = []
    for name, raced in _in_steps(races).items():
        times = raced["times"]
        cells = []
        for other in OTHERS:
            ratios = ", ".join(versus(times, other, ours, spread=False) for ours in OURS)
            cells.append(f"{span(median(times, other))} ({ratios})" if other in times else "-")
        if set(cells) != {"-"}:
            rows.append((name, *cells))
    title = "Other libraries' time, and its ratio to ours with the extra and without"
    return Table("others", title, ("case", *OTHERS), rows)


def _growth(group: str, races: dict[str, Any]) -> Table:
    unit = {"batch": "image", "width": "GFLOP", "depth": "operation"}[group]
    rows = []
    for name in GROUPS[group]:
        if name in races:
            times, work = races[name]["times"], case(name)
            best = fastest(times, "", "torch")
            size = {
                "batch": work.x and work.x[0],
                "width": work.flops() / 1e9,
                "depth": work.length,
            }
            cells = [name]
            for row in (*OURS, best):
                us = median(times, row)
                cells += [span(us), span(None if us is None else us / size[group])]
            rows.append((*cells, versus(times, best, OURS[0])))
    sides = (*OURS, "PyTorch")
    head = [cell for side in sides for cell in (side, f"per {unit}")]
    if len(rows) < 2:  # a point is no growth
        rows.clear()
    return Table(group, f"Growth with {group}", ("case", *head, "PyTorch / ours"), rows)


def _ops(raced: dict[str, Any] | None) -> Table:
    rows = []
    times = raced["times"] if raced else {}
    labels = [label for row in times.values() for label in row if not label.endswith("backward")]
    for label in dict.fromkeys(labels):
        both = f"{label} + backward"
        cells = [label]
        for row in (OURS[0], fastest(times, both, "torch")):
            forward, whole = median(times, row, label), median(times, row, both)
            there = forward is not None and whole is not None
            cells += [span(forward), span(max(0.0, whole - forward)) if there else "-"]
        rows.append(tuple(cells))
    head = [f"{side} {way}" for side in ("ours", "PyTorch") for way in ("forward", "backward")]
    return Table("ops", "Single operations on 4 x 4, recorded", ("operation", *head), rows)


def _import(found: dict[str, Any]) -> Table:
    rows = [(name, f"{own:.0f} ms", f"{numpy:.0f} ms") for name, (numpy, own) in found.items()]
    return Table(
        "import", "Import and first use, beside NumPy's", ("library", "own", "NumPy"), rows
    )


def _memory(found: dict[str, Any]) -> Table:
    rows = [
        (
            name,
            f"{run['memory']:.0f} MiB",
            f"{run['epoch']:.1f} s",
            f"{run['steps']:.1f} s",
            f"{run['epoch'] / run['steps']:.2f}",
        )
        for name, run in found.items()
    ]
    head = ("row", "peak memory", "epoch, loading included", "as many bare steps", "ratio")
    return Table("memory", "One epoch of the ConvNet at batch 64", head, rows)


def _busy(found: list[dict[str, Any]]) -> Table:
    rows = [
        (
            f"{raced['case']}, {row}",
            f"{both['idle']:.2f}",
            f"{both['busy']:.2f}",
            f"{both['idle'] / both['busy']:.2f}",
            "yes" if both["busy"] >= both["idle"] / 2 else "NO",
            f"{raced['idle load'][1]:.1f}, {raced['busy load'][1]:.1f}",
        )
        for raced in found
        for row, both in raced["ours"].items()
    ]
    title = "PyTorch's one-thread time / ours, beside spinning processes"
    head = ("case", "idle", "busy", "idle / busy", "at most 2", "load idle, busy")
    return Table("busy", title, head, rows)


def _failed(races: dict[str, Any]) -> Table:
    rows = [
        (raced["case"], row, why)
        for raced in races.values()
        for row, why in raced["failed"].items()
    ]
    return Table("failed", "Could not run", ("case", "row", "why"), rows)


# --- where they go ------------------------------------------------------------------------------


def show(results: dict[str, Any]) -> None:
    """Print the tables, with Rich where it is installed."""
    try:
        from rich.console import Console
        from rich.table import Table as Drawn
    except ImportError:
        for table in tables(results):
            print(f"\n{table.title}\n{plain(table)}")
        return
    console = Console()
    for table in tables(results):
        drawn = Drawn(title=table.title)
        for head in table.head:
            drawn.add_column(head, overflow="fold")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def plain(table: Table) -> str:
    """Return a table as text."""
    lines = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.head, ("---",) * len(table.head), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(page: str, made: list[Table]) -> str:
    """Return `page` with the tables between their markers.

    Raises
    ------
    ValueError
        If the page has no place for a table.
    """
    for table in made:
        begin, end = f"<!-- begin {table.name} -->", f"<!-- end {table.name} -->"
        place = re.compile(f"{begin}.*?{end}", re.S)
        if not place.search(page):
            raise ValueError(f"no place for {table.name}: {begin} ... {end} is missing")
        text = f"{begin}\n\n{markdown(table)}\n\n{end}"
        page = place.sub(lambda _, text=text: text, page)
    return page


def merged(files: list[str]) -> dict[str, Any]:
    """Return the results of several runs as one; lists are joined, of the rest the last counts."""
    whole: dict[str, Any] = {}
    for file in files:
        for key, value in json.loads(Path(file).read_text(encoding="utf-8")).items():
            whole[key] = whole.get(key, []) + value if isinstance(value, list) else value
    return whole


if __name__ == "__main__":
    page = filled(PAGE.read_text(encoding="utf-8"), tables(merged(sys.argv[1:])))
    PAGE.write_text(page, encoding="utf-8")
