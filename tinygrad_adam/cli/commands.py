"""The arguments of the command line, and how a command ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NoReturn

from .. import __version__
from ..errors import Diverged, TinygradError
from ..train import make_report
from .folder import RunFolder, versions
from .jobs import JOBS, Job, Settings
from .optimizers import OPTIMIZERS
from .race import CONTESTANTS, compare

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if left out.

    Returns
    -------
    int
        0 if all went well, 1 if training diverged or the machine failed, 2 if the arguments or
        the data were wrong, 130 after Ctrl-C.  A run that fails leaves no folder behind; one that
        was complete keeps it, even if its last lines could not be printed.  After Ctrl-C in a
        training the folder has the weights after the last finished epoch and the history up to
        it, but not the figures.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (0), for arguments that cannot be parsed (2), and when
        the process is told to end (128 and the number of the signal).

    Examples
    --------
    >>> main(["compare", "--steps", "0", "--out", "no-such-folder"])
    2
    """
    arguments = _parser().parse_args(argv)
    try:
        with _ended_by_signals():
            arguments.command(arguments)
    except TinygradError as error:
        return _failed(error, 1 if isinstance(error, Diverged) else 2)
    except KeyboardInterrupt as error:
        return _failed(str(error) or "interrupted", 130)
    except BrokenPipeError:
        # Whoever read the output is gone; Python would try to flush to it once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        return _failed(str(error) or type(error).__name__, 1)
    return 0


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn a request to end, or a closed terminal, into an exception, so that files are removed."""

    def end(signum: int, frame: object) -> NoReturn:
        raise SystemExit(128 + signum)

    # Only the main thread may set handlers; there is no SIGHUP on Windows.
    main_thread = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP") if main_thread else ()
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [s for s in signals if signal.getsignal(s) is signal.SIG_DFL]  # nohup ignores one
    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _failed(problem: object, status: int) -> int:
    if sys.stderr is None:  # print would turn to standard output
        return status
    print(f"tinygrad-adam: error: {' '.join(str(problem).split())}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line; argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tinygrad-adam",
        description="Train small models with tinygrad_adam, or race optimizers against each other.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tinygrad-adam {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = commands.add_parser(
        "train",
        help="train a model, and save its weights, metrics and figures",
        description="Train a model, and save its weights, metrics and figures.",
        epilog="Flags follow the job; tinygrad-adam train JOB --help shows them.",
        allow_abbrev=False,
    )
    jobs = train.add_subparsers(metavar="JOB", dest="job", required=True)
    for job in JOBS.values():
        _add_job(jobs, job)

    race = commands.add_parser(
        "compare",
        help="race optimizers on Rosenbrock's function",
        description="Race optimizers on Rosenbrock's function from (-1, 1), and save the figures.",
        allow_abbrev=False,
    )
    race.add_argument("--steps", type=int, default=1000, metavar="N", help="default: 1000")
    text = "the value that counts as converged; default: 0.001"
    race.add_argument("--tolerance", type=float, default=1e-3, metavar="VALUE", help=text)
    rates = ", ".join(f"{name} ({rate:g})" for name, (_, rate) in CONTESTANTS.items())
    text = f"another learning rate for one of {rates}; may be repeated"
    race.add_argument("--lr", action="append", default=[], metavar="NAME=RATE", help=text)
    _add_out(race, "compare")
    race.set_defaults(command=compare)
    return parser


def _add_out(parser: argparse.ArgumentParser, name: str) -> None:
    text = f"a new folder for the results; default: runs/{name}-<date>-<time>"
    parser.add_argument("--out", metavar="FOLDER", help=text)


def _add_job(jobs: Any, job: type[Job]) -> None:
    about = next(iter((job.__doc__ or "").splitlines()))
    parser = jobs.add_parser(job.name, help=about, description=about, allow_abbrev=False)
    parser.add_argument("--device", default="cpu", help='"cpu" (default), "cuda" or "cuda:1"')
    text = "default: adam; momentum is SGD's"
    parser.add_argument("--optimizer", default="adam", choices=OPTIMIZERS, help=text)
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in job.rates.items())
    text = f"learning rate; default: {rates}"
    parser.add_argument("--lr", type=float, metavar="RATE", help=text)
    text = "multiply the learning rate by FACTOR^(k/1000) after k updates"
    parser.add_argument("--decay-rate", type=float, metavar="FACTOR", help=text)
    text = f"passes over the training data, default: {job.epochs}; of more than 20 about ten show"
    parser.add_argument("--epochs", type=int, metavar="N", help=text)
    text = f"samples per update; default: {job.batch_size or 'all'}"
    parser.add_argument("--batch-size", type=int, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    if job.takes_folder:
        text = "the four IDX files of the full data set; default: the bundled digits"
        parser.add_argument("--data", metavar="FOLDER", help=text)
    _add_out(parser, job.name)
    parser.set_defaults(command=_train, data=None)


def _train(arguments: argparse.Namespace) -> None:
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
    folder = RunFolder(arguments.job, arguments.out)
    report = make_report()
    with report.busy("reading the data"):
        job = JOBS[arguments.job](Settings(**given))
    settings = {"job": job.name} | job.settings | versions()
    with folder:
        report.line(job.describe())
        outcome = job.run(report)
        folder.write_weights(outcome.model, settings)
        folder.write_json("settings.json", settings)
        folder.write_json("metrics.json", {**outcome.metrics, "history": outcome.history})
        interrupted = outcome.interrupted
        try:
            with report.busy("saving the figures"):
                folder.write_figures(outcome.figures)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        done, epochs = len(outcome.history["loss"]), job.settings["epochs"]
        raise KeyboardInterrupt(
            f"interrupted; what {done} of {epochs} epochs gave is saved in {folder.path}"
        )
    report.line("")
    report.table(
        ("", ""), [(name.replace("_", " "), f"{v:.6g}") for name, v in outcome.metrics.items()]
    )
    report.line(folder.saved())
