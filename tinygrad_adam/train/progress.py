"""Telling a person how a run goes: a live bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ..tensor import Tensor

__all__ = ["Report", "TerminalReport", "make_report"]

# Seconds between two looks at the loss: each makes a GPU finish what it was given.
_REFRESH = 0.1


class Report:
    """Plain lines on standard output; `TerminalReport` adds a bar and some style."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Show one line; what the output's encoding lacks, a letter of a path say, is escaped."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)

    def row(self, cells: Mapping[str, str]) -> None:
        """Show a row of a table that grows while the run goes on; the first brings the headings."""
        if list(cells) != list(self._widths):
            self._widths = {name: max(len(name), len(text), 9) for name, text in cells.items()}
            self._heading("  ".join(f"{name:>{width}}" for name, width in self._widths.items()))
        self.line("  ".join(f"{cells[name]:>{width}}" for name, width in self._widths.items()))

    def _heading(self, text: str) -> None:
        self.line(text)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a whole table, the first column to the left and the others to the right."""
        lines = [headings, *rows] if any(headings) else rows
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for cells in lines:
            first, *others = zip(cells, widths, strict=True)
            texts = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)]
            self.line("  ".join(texts).rstrip())

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show, while the block runs, that something is going on."""
        yield

    @contextmanager
    def working(self, total: int, unit: str) -> Iterator[None]:
        """Show, while the block runs, how much of `total` is done."""
        yield

    def advance(self, amount: int, label: str, loss: Tensor | None = None) -> None:
        """Note that `amount` more is done.

        Parameters
        ----------
        amount : int
            In the unit of `working`.
        label : str
            What is being worked on.
        loss : Tensor, optional
            Read only when it is about to be shown.
        """


class TerminalReport(Report):
    """Rich's progress bar, with the lines above it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(highlight=False)
        self._bar: Any = None

    def line(self, text: str) -> None:
        """Show one line, above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _heading(self, text: str) -> None:
        self._console.print(text, style="bold", markup=False, soft_wrap=True)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a whole table with a frame."""
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=any(headings))
        for place, heading in enumerate(headings):
            table.add_column(Text(heading), justify="right" if place else "left")
        for cells in rows:
            table.add_row(*map(Text, cells))
        self._console.print(table)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show a line that moves, and goes away when the block ends."""
        with self._console.status(what):
            yield

    @contextmanager
    def working(self, total: int, unit: str) -> Iterator[None]:
        """Show a bar that goes away when the block ends."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[loss]}{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            self._task = bar.add_task("starting", total=total, loss="", rate="")
            self._unit, self._done, self._shown, self._rate = unit, 0, 0, 0.0
            self._time = time.perf_counter()
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def advance(self, amount: int, label: str, loss: Tensor | None = None) -> None:
        """Move the bar, at most ten times a second."""
        self._done += amount
        now = time.perf_counter()
        passed = now - self._time
        if self._bar is None or passed < _REFRESH:
            return
        text = "" if loss is None else f"loss {loss.item():.4g}  "
        rate = (self._done - self._shown) / passed
        # Smoothed, so that the number can be read; the first one is taken as it is.
        self._rate = rate if not self._shown else 0.8 * self._rate + 0.2 * rate
        self._shown, self._time = self._done, now
        self._bar.update(
            self._task,
            completed=self._done,
            description=label,
            loss=text,
            rate=f"{self._rate:,.0f} {self._unit}/s",
        )


def make_report() -> Report:
    """Return a `TerminalReport` if rich is there and standard output is a terminal for it."""
    # None where the process was started without any standard output.
    stdout = sys.stdout
    plain = stdout is None or not stdout.isatty() or os.environ.get("TERM") == "dumb"
    if plain or find_spec("rich") is None:
        return Report()
    # The bar is drawn with characters that older encodings lack.
    unicode = (stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return TerminalReport() if unicode else Report()
