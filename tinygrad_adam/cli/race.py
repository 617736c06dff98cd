"""Optimisers against each other on Rosenbrock's function, and how to read the result."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import plot
from ..creation import tensor
from ..errors import ArgumentError
from ..ops.arguments import integer
from ..optim import Optimizer
from ..optim.settings import number
from ..tensor import Tensor
from ..train import make_report, steps_to_target
from .folder import RunFolder, versions
from .optimizers import make_optimizer

__all__ = [
    "CONTESTANTS", "Convergence", "Race", "compare", "convergence_table", "race", "rosenbrock",
]  # fmt: skip

# Per contestant its name in the figures and a learning rate near its best for 1000 updates.
CONTESTANTS = {
    "adam": ("Adam", 0.02),
    "sgd": ("SGD", 0.002),
    "momentum": ("SGD with momentum", 0.002),
    "rmsprop": ("RMSprop", 0.005),
}


def rosenbrock(x: Any, y: Any) -> Any:
    r"""Return :math:`(1 - x)^2 + 100\,(y - x^2)^2`, a curved valley with its minimum 0 at (1, 1).

    Parameters
    ----------
    x, y : float, array or Tensor
        Of shapes that broadcast.

    References
    ----------
    Rosenbrock, "An automatic method for finding the greatest or least value of a function",
    The Computer Journal 3(3), 1960.

    Examples
    --------
    >>> rosenbrock(-1.0, 1.0), rosenbrock(1.0, 1.0)
    (4.0, 0.0)
    """
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


class Race(NamedTuple):
    """What every optimiser did, by name; index 0 is the start, index k is after k updates."""

    histories: dict[str, list[float]]
    paths: dict[str, NDArray[np.float64]]


def race(
    optimizers: Mapping[str, Callable[[list[Tensor]], Optimizer]],
    steps: int,
    *,
    function: Callable[[Any, Any], Any] = rosenbrock,
    start: tuple[float, float] = (-1.0, 1.0),
    on_step: Callable[[str], None] | None = None,
) -> Race:
    """Let every optimiser minimise a function of two numbers from the same start, in float64.

    Parameters
    ----------
    optimizers : mapping from name to callable
        Each makes a fresh optimiser for a list of parameters, so that no run inherits state.
    steps : int
        Updates each, at least 1.
    function : callable
        Of two Tensors for the gradients, and of two NumPy arrays for the values.
    start : (float, float)
        Where all begin.
    on_step : callable, optional
        Called with the optimiser's name after each update.

    Returns
    -------
    Race
        ``histories`` has ``steps + 1`` values each, ``paths`` an array (steps + 1, 2) each.  A run
        that reaches a point that is not finite is over; the rest is NaN.

    Raises
    ------
    ArgumentError
        If `steps` is less than 1.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> result = race({"SGD": lambda p: tg.optim.SGD(p, lr=0.001)}, steps=3)
    >>> result.paths["SGD"][:2].tolist()
    [[-1.0, 1.0], [-0.996, 1.0]]
    """
    steps = integer("race", "steps", steps, 1)
    histories, paths = {}, {}
    for name, make in optimizers.items():
        path = np.full((steps + 1, 2), np.nan)
        point = tensor(start, dtype=np.float64, device="cpu", requires_grad=True)
        optimizer = make([point])
        path[0] = point.data
        # A run that diverges is a result here, not an accident to warn of.
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(1, steps + 1):
                optimizer.zero_grad()
                function(point[0], point[1]).backward()
                optimizer.step()
                path[step] = point.data
                if not np.isfinite(path[step]).all():
                    break
                if on_step is not None:
                    on_step(name)
            histories[name] = [float(value) for value in function(path[:, 0], path[:, 1])]
        paths[name] = path
    return Race(histories, paths)


class Convergence(NamedTuple):
    """A row of `convergence_table`."""

    name: str
    best: float
    steps: int | None
    diverged: int | None


def convergence_table(
    histories: Mapping[str, Iterable[float]], *, tolerance: float
) -> list[Convergence]:
    """Say of each history how far down it came, how fast, and whether it stayed a number.

    Parameters
    ----------
    histories : mapping from name to iterable of float
        The objective at the start (index 0) and after each update.
    tolerance : float
        The value that counts as having converged.

    Returns
    -------
    list of Convergence
        Named tuples ``(name, best, steps, diverged)``: the smallest finite value (NaN if there is
        none), the number of updates to the first value of at most `tolerance` or None, and
        the number of updates to the first value that is not finite or None.

    Raises
    ------
    ArgumentError
        If `tolerance` is NaN.

    Examples
    --------
    >>> rows = convergence_table(
    ...     {"good": [4.0, 0.5, 1e-4], "bad": [4.0, 1e9, float("nan")]}, tolerance=1e-3
    ... )
    >>> for row in rows:
    ...     print(*row)
    good 0.0001 2 None
    bad 4.0 None 2
    """
    rows = []
    for name, values in histories.items():
        history = [float(value) for value in values]
        # steps_to_target counts the first value as one update; here that is the start.
        reached = steps_to_target(history, tolerance)
        rows.append(
            Convergence(
                name,
                min((value for value in history if math.isfinite(value)), default=math.nan),
                None if reached is None else reached - 1,
                next((k for k, value in enumerate(history) if not math.isfinite(value)), None),
            )
        )
    return rows


def compare(arguments: argparse.Namespace) -> None:
    """Run ``tinygrad-adam compare``: race the contestants, and save and print the result."""
    folder = RunFolder("compare", arguments.out)
    tolerance = number("--tolerance", arguments.tolerance, above=0.0)
    rates = {name: rate for name, (_, rate) in CONTESTANTS.items()} | _rates(arguments.lr)
    makers = {
        f"{CONTESTANTS[name][0]}, lr {rate:g}": partial(make_optimizer, name, lr=rate)
        for name, rate in rates.items()
    }
    if arguments.steps < 1:
        raise ArgumentError(f"--steps must be at least 1, got {arguments.steps}")
    report = make_report()
    settings = {"steps": arguments.steps, "tolerance": tolerance, "lr": rates, **versions()}
    with folder:
        with report.working(arguments.steps * len(rates), "updates"):
            histories, paths = race(
                makers, arguments.steps, on_step=lambda title: report.advance(1, title)
            )
        rows = convergence_table(histories, tolerance=tolerance)
        with report.busy("drawing the figures"):
            paths_figure = plot.paths_on_contours(
                rosenbrock,
                paths,
                xlim=(-1.6, 1.6),
                ylim=(-0.6, 1.8),
                minimum=(1.0, 1.0),
                title="Rosenbrock's Function, and the Paths of the Optimizers",
            )
            comparison = plot.optimizer_comparison(
                histories, title="Optimizers on Rosenbrock's Function"
            )
            folder.write_figures({"comparison": comparison, "paths": paths_figure})
        folder.write_json("settings.json", settings)
        results = [row._asdict() | {"history": histories[row.name]} for row in rows]
        folder.write_json("metrics.json", {"optimizers": results})
    report.line(f"Rosenbrock's function from (-1, 1), {arguments.steps} updates each")
    table = []
    for name, best, steps, diverged in rows:
        last = f"{histories[name][-1]:.3g}" if diverged is None else f"diverged at {diverged}"
        table.append((name, f"{best:.3g}", "never" if steps is None else str(steps), last))
    report.table(("optimizer", "best value", f"updates to {tolerance:g}", "last value"), table)
    report.line(folder.saved())


def _rates(given: Sequence[str]) -> dict[str, float]:
    """Read ``NAME=RATE`` arguments."""
    rates = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in CONTESTANTS:
            raise ArgumentError(
                f"--lr takes NAME=RATE with one of {', '.join(CONTESTANTS)}, got {text!r}"
            )
        try:
            rate: Any = float(value)
        except ValueError:
            rate = value
        rates[name] = number(f"--lr {name}", rate, above=0.0)
    return rates
