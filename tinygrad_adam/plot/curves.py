"""Values over steps: losses, several optimisers side by side, predictions against targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ShapeError
from .canvas import host, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["loss_curve", "optimizer_comparison", "predicted_vs_true"]

# A curve that climbs this many times above where it started has left the picture.
_ROOM_ABOVE_START = 1e2
# Short curves get a marker per value; one value alone would otherwise show nothing.
_FEW = 40


def loss_curve(
    losses: Iterable[float] | Mapping[str, Iterable[float]],
    *,
    title: str = "Training Loss Over Time",
    ylabel: str = "Loss",
    log: bool = True,
    xlabel: str = "Epoch",
    start: int = 0,
) -> Figure:
    """Draw a loss, or several, over the epochs.

    Parameters
    ----------
    losses : iterable of float, or mapping from name to iterable of float
        One value an epoch.  NaN and infinity leave a gap; so does what is not positive when `log`.
    title, ylabel, xlabel : str
        The texts.
    log : bool, default True
        Whether the vertical axis is logarithmic.  It is linear if nothing positive is there.
    start : int, default 0
        The number of the first epoch.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        If there is no value at all.

    Examples
    --------
    >>> figure = loss_curve([4.0, 2.0, float("nan"), 1.0])
    >>> figure.axes[0].get_yscale()
    'log'
    """
    curves = _named(losses, "loss_curve")
    figure, axes = new_axes(8, 4.5)
    _draw(axes, curves, start=start, log=log)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if isinstance(losses, Mapping):
        axes.legend()
    return figure


def optimizer_comparison(
    histories: Mapping[str, Iterable[float]], *, title: str = "Optimizer Comparison"
) -> Figure:
    """Draw the objective that several optimisers have reached after each iteration.

    A run that diverges ends in a cross where it leaves the picture or stops being a number, and its
    label says at which iteration it stopped being one.

    Parameters
    ----------
    histories : mapping from name to iterable of float
        The objective at the start (iteration 0) and after every update.
    title : str
        The text above.

    Returns
    -------
    matplotlib.figure.Figure
        With a logarithmic vertical axis.

    Raises
    ------
    DataError
        If there is no value at all.

    Examples
    --------
    >>> figure = optimizer_comparison({"good": [4.0, 1.0], "bad": [4.0, 1e9, float("nan")]})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['good', 'bad (diverged at 2)']
    """
    curves = _named(histories, "optimizer_comparison")
    figure, axes = new_axes(10, 5.5)
    _draw(axes, curves, start=0, log=True, crosses=True)
    axes.set(title=title, xlabel="Iteration", ylabel="Loss")
    axes.legend()
    return figure


def predicted_vs_true(targets: Any, predictions: Any) -> Figure:
    """Draw each prediction over its target, with the line where the two are equal.

    Parameters
    ----------
    targets, predictions : Tensor or array
        Equally many numbers, of any shape.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If there are not equally many, or none.

    Examples
    --------
    >>> predicted_vs_true([1.0, 2.0], [1.1, 1.9]).axes[0].get_xlabel()
    'True value'
    """
    true, predicted = host(targets).reshape(-1), host(predictions).reshape(-1)
    if true.shape != predicted.shape or not true.size:
        raise ShapeError(
            "predicted_vs_true: there must be as many targets as predictions, at least one, "
            f"got {true.size} and {predicted.size}"
        )
    figure, axes = new_axes(6, 6)
    axes.scatter(true, predicted, s=12, alpha=0.5, linewidths=0)
    ends = [true.min(), true.max()]
    axes.plot(ends, ends, "k--", linewidth=1, label="predicted = true")
    axes.set(title="Predictions", xlabel="True value", ylabel="Predicted value")
    axes.set_aspect("equal")
    axes.grid(True, alpha=0.3)
    axes.legend()
    return figure


def _named(
    losses: Iterable[float] | Mapping[str, Iterable[float]], caller: str
) -> dict[str, NDArray[np.float64]]:
    given = losses if isinstance(losses, Mapping) else {"": losses}
    curves = {
        name: np.array([float(value) for value in values], dtype=np.float64)
        for name, values in given.items()
    }
    if not any(curve.size for curve in curves.values()):
        raise DataError(f"{caller}: there is nothing to draw, every list of values is empty")
    return curves


def _draw(
    axes: Axes,
    curves: dict[str, NDArray[np.float64]],
    *,
    start: int,
    log: bool,
    crosses: bool = False,
) -> None:
    """Draw the curves that can be drawn, as far as they can."""
    from matplotlib.ticker import MaxNLocator

    positive = {name: curve[np.isfinite(curve) & (curve > 0)] for name, curve in curves.items()}
    log = log and any(values.size for values in positive.values())
    top = math.inf
    if log:
        highest = max(values[0] for values in positive.values() if values.size)
        top = highest * _ROOM_ABOVE_START
    for name, curve in curves.items():
        finite = np.isfinite(curve)
        shown = finite & (curve > 0) if log else finite
        # Clipped above the picture: the line visibly leaves it, and Matplotlib cannot overflow.
        values = np.where(shown, np.minimum(curve, 10 * top), np.nan)
        steps = start + np.arange(curve.size)
        label = name
        if crosses and not finite.all():
            label = f"{name} (diverged at {steps[finite.argmin()]})"
        marker = "." if curve.size <= _FEW else ""
        (line,) = axes.plot(steps, values, label=label, linewidth=1.5, marker=marker)
        inside = shown & (curve <= top)
        if crosses and not (finite & (curve <= top)).all() and inside.any():
            last = np.flatnonzero(inside)[-1]
            axes.plot(steps[last], values[last], "x", color=line.get_color(), markersize=9)
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, top))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(True, alpha=0.3)
