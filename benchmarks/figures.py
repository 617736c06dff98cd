"""Draw results.

python benchmarks/figures.py results.json figure.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

from cases import GROUPS, case
from matplotlib.figure import Figure
from measure import fastest, ratio
from peers import OTHERS, OURS
from report import merged

# A colour a library, the same in every panel; told apart in print and by the colour-blind too.
COLOURS = dict(
    zip((*OURS, "torch", *OTHERS), ("C0", "C9", "C1", "C2", "C3", "C4", "C5"), strict=True)
)


def draw(results: dict[str, Any], target: Path) -> None:
    """Write a figure: ratios to PyTorch's best, and growth with batch, width and depth."""
    races = {raced["case"]: raced["times"] for raced in results["races"]}
    figure = Figure(figsize=(12, 8), layout="constrained")
    above, below = figure.subfigures(2, 1)
    _ratios(above.subplots(), races)
    for axes, group in zip(below.subplots(1, 3), ("batch", "width", "depth"), strict=True):
        _growth(axes, group, races)
    figure.savefig(target, dpi=120)


def _ratios(axes: Any, races: dict[str, Any]) -> None:
    names = [n for group in ("steps", "inference") for n in GROUPS[group] if n in races]
    rows = (*OURS, *OTHERS)
    width = 0.8 / len(rows)
    for k, row in enumerate(rows):
        for place, name in enumerate(names):
            best = fastest(races[name], "", "torch")
            if best and row in races[name]:
                middle = ratio(races[name][best][""], races[name][row][""])[0]
                axes.bar(place + (k - (len(rows) - 1) / 2) * width, middle - 1, width, bottom=1,
                         color=COLOURS[row])  # fmt: skip
        axes.bar(0, 0, color=COLOURS[row], label=row)
    axes.axhline(1, color=COLOURS["torch"], label="PyTorch, fastest of 6 ways")
    axes.set(yscale="log", ylabel="PyTorch's time / time", title="Higher is faster")
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.legend(ncols=4, fontsize="small")


def _growth(axes: Any, group: str, races: dict[str, Any]) -> None:
    names = [name for name in GROUPS[group] if name in races]
    sizes = {
        "batch": lambda c: c.x[0],
        "width": lambda c: c.layers[0][2],
        "depth": lambda c: c.length,
    }
    for row in (*OURS, "torch"):
        points = []
        for name in names:
            found = fastest(races[name], "", row) if row == "torch" else row
            if found in races[name]:
                points.append((sizes[group](case(name)), median(races[name][found][""]) / 1e3))
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[row], label=row)
    axes.set(xscale="log", yscale="log", xlabel=group, ylabel="ms", title=f"Growth with {group}")
    if names:
        axes.legend(fontsize="small")


if __name__ == "__main__":
    draw(merged(sys.argv[1:-1]), Path(sys.argv[-1]))
