"""Where a step of ours goes: each operation's value and derivatives, beside what they must cost.

    python benchmarks/profile_step.py convnet64
    TINYGRAD_ADAM_FAST=0 python benchmarks/profile_step.py vgg32

The floor of an operation is the longer of two times: for its multiplications and additions at the
speed of a large product, and for reading its operands and writing its result once at the speed of
``a = b + c`` on arrays of that size; both are measured here too.  What no operation accounts for
is the tape's own: recording nodes, walking back over them, and giving arrays back.  Operations are
timed in steps of their own, which watching makes slower, so those of a microsecond look longer than
they are and the tape shorter.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median
from types import CodeType, FrameType
from typing import Any

import measure
import numpy as np
import peers
import report
from cases import case

from tinygrad_adam.autograd import OPS
from tinygrad_adam.autograd.faster import FASTER

Clock = Callable[[], float]
Part = tuple[str, str]  # operation, and "value" or the input of a derivative


def parts() -> dict[CodeType, Part]:
    """Return which part of which operation a function is; operations may share one."""
    found: dict[CodeType, Part] = {}
    for name, operation in OPS.items():
        found[operation.forward.__code__] = (name, "value")
        for given, rule in zip(operation.inputs, operation.rules, strict=True):
            if rule is not None:
                found.setdefault(rule.__code__, (name, given))
    for (name, part, module), functions in FASTER.items():
        if name in OPS and module == "numpy":  # not an optimiser's rule
            found |= {f.__code__: (name, part) for f in functions}
    return found


class Watch:
    """A profile function (`sys.setprofile`) that sums the time of the outermost known functions.

    Attributes
    ----------
    seconds : dict
        By part.
    costs : dict of list
        By part: calls, operations of products, bytes; counted only with `counting`, which itself
        takes time.
    """

    def __init__(
        self, known: dict[CodeType, Part], clock: Clock = time.perf_counter, counting: bool = False
    ) -> None:
        self.known, self.clock, self.counting = known, clock, counting
        self.inside: FrameType | None = None
        self.arguments: dict[str, Any] = {}
        self.seconds: dict[Part, float] = {}
        self.costs: dict[Part, list[int]] = {}

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        """Take note of a call or a return."""
        if event == "call":
            if self.inside is None and frame.f_code in self.known:
                self.inside = frame
                self.arguments = dict(frame.f_locals) if self.counting else {}
                self.start = self.clock()
        elif event == "return" and frame is self.inside:
            took = self.clock() - self.start
            part = self.known[frame.f_code]
            self.inside = None
            self.seconds[part] = self.seconds.get(part, 0.0) + took
            if self.counting and result is not NotImplemented:
                flops, moved = cost(*part, self.arguments, result)
                old = self.costs.get(part, [0, 0, 0])
                self.costs[part] = [old[0] + 1, old[1] + flops, old[2] + moved]

    def __enter__(self) -> Watch:
        sys.setprofile(self)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)


def cost(name: str, part: str, arguments: dict[str, Any], result: Any) -> tuple[int, int]:
    """Return the multiplications and additions of a product, and the bytes that have to move."""
    given = list(arguments.values())
    kept = [a for some in given if isinstance(some, list) for a in some]  # between value and rule
    arrays = {id(a): a for a in given + kept if isinstance(a, np.ndarray)}.values()
    outs = [a for a in (result if isinstance(result, tuple) else (result,)) if hasattr(a, "nbytes")]
    if any(np.may_share_memory(a, out) for a in arrays for out in outs):
        return 0, 0  # a view
    moved = sum(a.nbytes for a in (*arrays, *outs))
    if name not in ("linear", "conv2d", "conv_pool_relu", "matmul") or not outs:
        return 0, moved
    # The same three sizes meet in a product and in its gradients: outputs, and terms of each sum.
    y = arguments.get("g", outs[0])
    names = dict(zip(OPS[name].inputs, given[1:], strict=False)) if part == "value" else arguments
    if name == "matmul":
        a = outs[0] if part == "a" else names.get("a")
        return (2 * y.size * a.shape[-1] if a is not None else 0), moved
    if part == "b":
        return 0, moved  # a bias: sums
    w = outs[0] if part == "w" else names.get("w")
    # of four pixels that are made one is left, and has a gradient
    pixels = y.size * (4 if name == "conv_pool_relu" and part == "value" else 1)
    return (2 * pixels * (w.size // w.shape[0]) if w is not None else 0), moved


def page_faults() -> int:
    """Return how often this process was given a page of memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


# --- the speed of this machine ------------------------------------------------------------------


def shortest(work: Callable[[], Any], clock: Clock, times: int = 9) -> float:
    """Return the shortest time of some, in seconds: a floor should be one."""
    found = []
    for _ in range(times):
        start = clock()
        work()
        found.append(clock() - start)
    return min(found)


def product_speed(clock: Clock) -> float:
    """Return the FLOP/s of a large product in float32, with the threads that NumPy has."""
    a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    return 2 * 1024**3 / shortest(lambda: a @ a, clock)


def bandwidths(clock: Clock) -> Iterator[tuple[int, float]]:
    """Yield working sets, growing, and the bytes/s of ``a = b + c`` on them."""
    for megabytes in (0.4, 6, 192):
        n = int(megabytes * 1e6 / 12)
        a, b, c = (np.ones(n, np.float32) for _ in range(3))
        times = max(1, int(20e6 / (12 * n)))

        def repeated(a: Any = a, b: Any = b, c: Any = c, times: int = times) -> None:
            for _ in range(times):
                np.add(b, c, out=a)

        yield 12 * n, times * 12 * n / shortest(repeated, clock)


# --- the table ----------------------------------------------------------------------------------


def profile(
    name: str, seconds: float, clock: Clock = time.perf_counter
) -> tuple[report.Table, dict[str, str]]:
    """Return the table of a case, and what is to be said of the whole step."""
    work = case(name)
    peer = peers.ROWS["ours"].adapter()
    loss, params = peer.loss(work)
    optimizer = peer.lib.optim.Adam(params, lr=peers.LR)

    regions: dict[str, list[float]] = {"zero_grad": [], "forward": [], "backward": [], "Adam": []}

    def step() -> None:
        times = [clock()]
        optimizer.zero_grad()
        times.append(clock())
        value = loss()
        times.append(clock())
        value.backward()
        times.append(clock())
        optimizer.step()
        times.append(clock())
        for region, (start, end) in zip(regions.values(), pairwise(times), strict=True):
            region.append(end - start)

    for _ in range(3):
        step()
    known, watched = parts(), []
    with Watch(known, counting=True) as counted:
        step()
    for region in regions.values():
        region.clear()
    faults: list[int] = []
    end = time.perf_counter() + seconds
    while len(watched) < 5 or time.perf_counter() < end:
        before = page_faults()
        for _ in range(3):
            step()
        faults.append(page_faults() - before)
        taken = {name: list(region) for name, region in regions.items()}
        with Watch(known, clock) as watch:
            step()
        watched.append(watch.seconds)
        regions |= taken  # a watched step is slower

    # last: large arrays that were freed once change how memory is had from then on
    speed, levels = product_speed(clock), list(bandwidths(clock))

    def floor(calls: int, flops: int, moved: int) -> float:
        rate = next((rate for size, rate in levels if moved <= calls * size), levels[-1][1])
        return max(flops / speed, moved / rate)

    # name, way, calls, seconds, operations of products, bytes
    lines: list[tuple[str, str, int, float, int, int]] = []
    spent = {"forward": 0.0, "backward": 0.0}
    for operation, part in watched[0]:
        way = "forward" if part == "value" else "backward"
        total = median(found.get((operation, part), 0.0) for found in watched)
        spent[way] += total
        calls, flops, moved = counted.costs.get((operation, part), [0, 0, 0])
        shown = way if part == "value" else f"backward, {part}"
        lines.append((operation, shown, calls, total, flops, moved))
    for way, total in spent.items():
        lines.append(("(tape)", way, 0, max(0.0, median(regions[way]) - total), 0, 0))
    size = sum(p.detach().numpy().nbytes for p in params)
    lines.append(("Adam", "", 1, median(regions["Adam"]), 0, 7 * size))  # p, m, v: both ways; g
    lines.append(("zero_grad", "", 1, median(regions["zero_grad"]), 0, 0))

    whole = sum(line[3] for line in lines)
    rows = []
    floors = 0.0
    for operation, way, calls, total, flops, moved in sorted(lines, key=lambda line: -line[3]):
        least = floor(calls or 1, flops, moved)
        floors += least
        rows.append(
            (
                operation,
                way,
                str(calls or ""),
                f"{1e3 * total:.3f}",
                f"{100 * total / whole:.1f} %",
                f"{flops / 1e9:.3f}" if flops else "-",
                f"{moved / 1e6:.2f}" if moved else "-",
                f"{1e3 * least:.3f}" if least else "-",
                f"{total / least:.1f}" if least > 1e-6 else "-",
            )
        )
    head = ("operation", "way", "calls", "ms", "share", "GFLOP", "MB", "floor ms", "ms / floor")
    facts = {
        "step": f"{1e3 * sum(map(median, regions.values())):.3f} ms",
        "floors together": f"{1e3 * floors:.3f} ms",
        "products": f"{work.flops() / 1e9:.3f} GFLOP: {1e3 * work.flops() / speed:.3f} ms "
        f"at {speed / 1e9:.0f} GFLOP/s",
        "bandwidth": ", ".join(f"{rate / 1e9:.0f} GB/s in {n / 1e6:.1f} MB" for n, rate in levels),
        "page faults": f"{median(faults) / 3:.0f} a step",
        "BLAS": ", ".join(measure.blas_kernels()),
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    return report.Table("profile", f"{name}: {work.about}", head, rows), facts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case")
    parser.add_argument("--seconds", type=float, default=2.0)
    about = "time of the processor, not of the clock: for a busy machine, with one thread"
    parser.add_argument("--cpu", action="store_true", help=about)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    table, facts = profile(options.case, options.seconds, clock)
    print(f"{table.title}\n")
    for name, fact in facts.items():
        print(f"* {name}: {fact}")
    print()
    print(report.markdown(table) if options.markdown else report.plain(table))


if __name__ == "__main__":
    if any(name in os.environ for name in measure.PINNED):  # NumPy's BLAS has read them: once more
        os.execve(sys.executable, [sys.executable, *sys.argv], measure.environment({}))
    main()
