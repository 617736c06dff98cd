"""Time this package and the libraries beside it, all on the same work.

    python benchmarks/run.py                       everything (an hour on two cores)
    python benchmarks/run.py --quick               every case once, shortly
    python benchmarks/run.py --only steps chain1000 --rows "ours|torch|jax"
    python benchmarks/run.py --busy 4              the same steps beside 4 spinning processes

Libraries that are not installed are left out.  Prints tables, and writes them to a JSON file for
`report.py` and `figures.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import footprint
import peers
import report
from cases import GROUPS, case
from measure import RowFailed, fastest, machine, race, ratio

ALONE = ("import", "memory")  # measured one library after the other


def chosen(only: list[str]) -> list[str]:
    """Return the names of cases, groups written out, each once."""
    names = [c for name in only for c in GROUPS.get(name, (name,))]
    for name in names:
        if name not in ALONE:
            case(name)  # raises where there is none
    return list(dict.fromkeys(names))


def busy(name: str, turns: int, seconds: float, spinning: int) -> dict[str, Any]:
    """Return our speed beside PyTorch's on one thread, on the machine as it is and beside load."""
    work = case(name)
    rows = [
        row
        for row in peers.ROWS.values()
        if row.takes(work) and (row.name in peers.OURS or row.name.endswith("x1"))
    ]
    raced = race(name, rows, turns, seconds, spinning)
    found: dict[str, Any] = {"case": name, "spinning": spinning, "ours": {}}
    for when, taken in (("idle", raced), ("busy", raced["busy"])):
        times, found[f"{when} load"] = taken["times"], taken["load"]
        best = fastest(times, "", "torch")
        for ours in peers.OURS:
            if best and ours in times:
                middle, _, _ = ratio(times[best][""], times[ours][""])
                found["ours"].setdefault(ours, {})[when] = middle
    return found


def alone(what: str, rows: list[peers.Row], options: argparse.Namespace) -> dict[str, Any]:
    """Return import times, or the memory and time of an epoch."""
    if what == "import":
        return footprint.import_times(rows, 3 if options.quick else 15)
    found, images = {}, 6400 if options.quick else 60_000
    for row in rows:
        if row.name in peers.OURS or row.name.startswith("torch fused"):
            try:
                found[row.name] = footprint.epoch(row, images, options.data)
            except RowFailed as error:
                print(f"{row.name}: {error}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short turn for each row")
    everything = (*GROUPS, *ALONE)
    about = f"cases (convnet128) or groups of them ({', '.join(everything)})"
    parser.add_argument("--only", nargs="+", metavar="NAME", help=about)
    parser.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name matches")
    parser.add_argument("--turns", type=int, help="turns of each row (7; 2 when quick)")
    parser.add_argument("--seconds", type=float, help="length of a turn (0.5; 0.05 when quick)")
    parser.add_argument("--busy", type=int, metavar="N", help="ratios beside N spinning processes")
    parser.add_argument(
        "--data", metavar="FOLDER", help="MNIST's IDX files, for the memory of a run"
    )
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--figure", type=Path, help="also draw the figure (PNG)")
    options = parser.parse_args()
    turns = options.turns or (2 if options.quick else 7)
    seconds = options.seconds or (0.05 if options.quick else 0.5)
    names = chosen(options.only or (["steps"] if options.busy else everything))
    rows = [row for row in peers.ROWS.values() if re.search(options.rows, row.name)]

    results: dict[str, Any] = {"machine": machine(), "races": [], "busy": []}
    for name in names:
        if name in ALONE:
            there = [row for row in rows if row.takes(case("convnet"))]
            results[name] = alone(name, there, options)
        elif options.busy:
            results["busy"].append(busy(name, turns, seconds, options.busy))
        else:
            # growth is ours and PyTorch's, unless asked for otherwise
            everyone = options.rows or name in (*GROUPS["steps"], *GROUPS["inference"])
            left = () if everyone else peers.OTHERS
            taking = [row for row in rows if row.takes(case(name)) and row.name not in left]
            results["races"].append(race(name, taking, turns, seconds))
        print(f"{name} done", file=sys.stderr)
        options.out.write_text(json.dumps(results, indent=1))
    report.show(results)
    if options.figure:
        from figures import draw

        draw(results, options.figure)


if __name__ == "__main__":
    main()
