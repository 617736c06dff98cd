"""Fair timing: a process for each row, turns that alternate, medians, and the machine's load.

    python benchmarks/measure.py ROW CASE

is the process of one row.  It does the case's work three times, writes what came out, and then
waits; for each line ``SECONDS`` it works that long and writes the time one piece of work took.
:func:`race` starts one for each row and lets them work in turn, so that whatever disturbs the
machine disturbs all of them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import peers
from cases import case

PINNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
REST = 0.2  # seconds between turns
LIMIT = 300  # seconds a row may take to get ready, compilation included


class RowFailed(Exception):
    """A row could not do the work; the text says why."""


# --- the process of one row ---------------------------------------------------------------------


def seconds_each(
    peer: peers.Peer, work: Callable[[], Any], prepare: Callable[[], Any] | None, seconds: float
) -> float:
    """Return the median time of one piece of work, over as many as fit.

    Short work is timed in groups of about a millisecond, so that reading the clock does not count.
    """
    times: list[float] = []
    group = 1
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        if prepare is not None:
            prepare()
        start = time.perf_counter()
        for _ in range(group):
            result = work()
        peer.wait(result)
        took = time.perf_counter() - start
        if prepare is None and took < 0.5e-3:
            group *= 2
            times.clear()
        else:
            times.append(took / group)
    return statistics.median(times)


def serve(row: str, name: str) -> None:
    """Do the work of one row, as often as asked on the standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer

    def answer(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    peer = peers.ROWS[row].adapter()
    timed = peer.build(case(name))
    numbers = []
    for work, prepare in timed.values():
        for _ in range(3):
            if prepare is not None:
                prepare()
            numbers.append(peer.number(work()))
    answer(numbers=numbers, versions=versions(peers.ROWS[row].module), kernels=blas_kernels())
    for line in sys.stdin:
        share = float(line) / len(timed)
        answer(us={k: 1e6 * seconds_each(peer, *v, share) for k, v in timed.items()})


def versions(module: str) -> dict[str, str]:
    """Return the versions of a library and of what makes it fast."""
    found = {}
    for name in (module, "numpy", "numba"):
        if name in sys.modules:
            try:
                found[name] = metadata.version(name.replace("_", "-"))
            except metadata.PackageNotFoundError:  # run from a checkout
                found[name] = getattr(sys.modules[name], "__version__", "")
    return found


def blas_kernels() -> list[str]:
    """Return for which processor NumPy's BLAS has chosen its kernels."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    found = [f"{d['internal_api']} {d.get('architecture', '')}" for d in threadpool_info()]
    return sorted({f.strip() for f in found if not f.startswith("openmp")})


# --- what starts them ---------------------------------------------------------------------------


def environment(changes: dict[str, str]) -> dict[str, str]:
    """Return the environment for a row: nothing pins BLAS to kernels of another processor."""
    return {k: v for k, v in os.environ.items() if k not in PINNED} | changes


class Worker:
    """The process of one row, as seen from outside; `first` is what it said when it was ready."""

    def __init__(self, row: peers.Row, name: str) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at exit
        self.process = subprocess.Popen(
            [sys.executable, __file__, row.name, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment(row.environment),
            text=True,
        )
        self.first = self._answer()

    def turn(self, seconds: float) -> dict[str, float]:
        """Let it work; return the median time in us by label."""
        try:
            print(seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise RowFailed(self._last_words()) from None
        return self._answer()["us"]

    def _answer(self) -> dict[str, Any]:
        limit = threading.Timer(LIMIT, self.process.kill)
        limit.start()
        line = self.process.stdout.readline()
        limit.cancel()
        if not line:
            raise RowFailed(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1][:200] if lines else f"ended with status {self.process.returncode}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def race(
    name: str, rows: Iterable[peers.Row], turns: int, seconds: float, spinning: int = 0
) -> dict[str, Any]:
    """Time a case on several rows in turn; once more beside `spinning` processes, if any.

    Returns
    -------
    dict
        ``times`` by row and label in us, one for each turn; ``numbers``, ``versions`` and
        ``kernels`` by row; ``failed`` rows and why; the ``load`` before and after.  ``busy`` holds
        times and load beside the spinning processes.
    """
    found: dict[str, Any] = {"case": name, "about": case(name).about, "flops": case(name).flops()}
    first: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for row in rows:
            try:
                workers[row.name] = stack.enter_context(Worker(row, name))
                first[row.name] = workers[row.name].first
            except RowFailed as error:
                failed[row.name] = str(error)
        found |= take_turns(workers, failed, turns, seconds)
        if spinning:
            stack.enter_context(spinners(spinning))
            found["busy"] = take_turns(workers, failed, turns, seconds)
    for key in ("numbers", "versions", "kernels"):
        found[key] = {label: said[key] for label, said in first.items()}
    return {**found, "failed": failed}


def take_turns(
    workers: dict[str, Worker], failed: dict[str, str], turns: int, seconds: float
) -> dict[str, Any]:
    """Let rows work in turn; return times and load, and move those that fail to `failed`.

    Between turns the machine rests: the threads of the row before go on looking for work for a
    while.  The order is reversed each time, so that a trend favours nobody.
    """
    times: dict[str, dict[str, list[float]]] = {}
    before = os.getloadavg()[0]
    for turn in range(turns):
        for label, worker in list(workers.items())[:: -1 if turn % 2 else 1]:
            time.sleep(REST)
            try:
                for part, us in worker.turn(seconds).items():
                    times.setdefault(label, {}).setdefault(part, []).append(us)
            except RowFailed as error:
                failed[label] = str(error)
                del workers[label]
                times.pop(label, None)
    return {"times": times, "load": [before, os.getloadavg()[0]]}


@contextmanager
def spinners(count: int) -> Iterator[None]:
    """Keep `count` processors busy, or fewer as there are fewer."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


# --- statistics ---------------------------------------------------------------------------------


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Return how many times faster ours is: the median over turns, the least and the most."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)


def fastest(
    times: dict[str, dict[str, list[float]]], label: str, start: str, end: str = ""
) -> str | None:
    """Return the row with the best median among those whose name starts and ends like this."""
    rows = [row for row in times if row.startswith(start) and row.endswith(end)]
    return min(rows, key=lambda row: statistics.median(times[row][label]), default=None)


def disagreement(numbers: dict[str, list[float]]) -> float:
    """Return by how much, relative to its size, the rows' losses differ at most."""
    worst = 0.0
    for values in zip(*numbers.values(), strict=True):
        size = max(1e-3, *map(abs, values))
        worst = max(worst, (max(values) - min(values)) / size)
    return worst


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    serve(*sys.argv[1:])
