"""Where optimisers went, over the function they went down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from .canvas import host, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["paths_on_contours"]

_GRID = 300


def paths_on_contours(
    function: Callable[[Any, Any], Any],
    paths: Mapping[str, Any],
    *,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    minimum: tuple[float, float] | None = None,
    title: str = "Paths of the Optimizers",
) -> Figure:
    """Draw paths in the plane over the contours of a function of two variables.

    Parameters
    ----------
    function : callable
        Maps two NumPy arrays, x and y, to an array of the same shape.
    paths : mapping from name to Tensor or array (steps + 1, 2)
        The points each optimiser visited, the start first.  A path is drawn up to its first point
        that is not finite; a cross marks where it ends.
    xlim, ylim : (float, float)
        The part of the plane to show; paths may leave it.
    minimum : (float, float), optional
        Where to draw a star.
    title : str
        The text above.

    Returns
    -------
    matplotlib.figure.Figure
        The contours are evenly spaced in the logarithm of the height above the lowest point shown,
        so a narrow valley keeps its shape.

    Raises
    ------
    ArgumentError
        If a limit is not finite, or they are not increasing.
    ShapeError
        If a path is not (steps + 1, 2), or `function` changes the shape of its arguments.

    Examples
    --------
    >>> import numpy as np
    >>> path = np.array([[2.0, 1.0], [0.5, 0.5], [0.0, 0.0]])
    >>> figure = paths_on_contours(
    ...     lambda x, y: x**2 + y**2, {"down": path}, xlim=(-3, 3), ylim=(-2, 2)
    ... )
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['down', 'start']
    """
    for name, limits in (("xlim", xlim), ("ylim", ylim)):
        if not (np.isfinite(limits).all() and limits[0] < limits[1]):
            raise ArgumentError(
                f"paths_on_contours: {name} must be two increasing numbers, got {limits}"
            )
    points = {name: host(path) for name, path in paths.items()}
    for name, path in points.items():
        if path.ndim != 2 or path.shape[1] != 2 or not len(path):
            raise ShapeError(
                f"paths_on_contours: path {name!r} must be (steps + 1, 2), got {path.shape}"
            )
    x, y = np.meshgrid(np.linspace(*xlim, _GRID), np.linspace(*ylim, _GRID))
    height = np.asarray(function(x, y), dtype=np.float64)
    if height.shape != x.shape:
        raise ShapeError(
            f"paths_on_contours: function made {height.shape} of two arrays {x.shape}; "
            "it must work elementwise"
        )

    figure, axes = new_axes(9, 6)
    shade = _log_height(height)
    if shade.max() > shade.min():  # a constant has no contours
        axes.contourf(x, y, shade, levels=18, cmap="Greys", alpha=0.45)
        axes.contour(x, y, shade, levels=18, colors="gray", linewidths=0.4, linestyles="solid")
    low, high = np.array([xlim[0], ylim[0]]), np.array([xlim[1], ylim[1]])
    # Paths down one valley lie on each other: the first are broad, to be seen beneath the last.
    widths = np.linspace(max(1.5, 1.1 * len(points)), 1.5, len(points))
    for (name, path), width in zip(points.items(), widths, strict=True):
        finite = np.isfinite(path).all(axis=1)
        path = path if finite.all() else path[: finite.argmin()]
        # A diverging path leaves the picture long before it overflows what Matplotlib can draw.
        path = np.clip(path, low - 10 * (high - low), high + 10 * (high - low))
        (line,) = axes.plot(*path.T, label=name, linewidth=width)
        axes.plot(*path[-1:].T, "x", color=line.get_color(), markersize=9, markeredgewidth=2)
    if points:
        start = next(iter(points.values()))[0]
        axes.plot(*start, "o", color="black", markersize=6, label="start")
    if minimum is not None:
        axes.plot(
            *minimum, "*", color="gold", markeredgecolor="black", markersize=15, label="minimum"
        )
    axes.set(title=title, xlabel="x", ylabel="y", xlim=xlim, ylim=ylim)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))  # beside the paths, not on them
    return figure


def _log_height(height: Any) -> Any:
    """Return the logarithm of the height above the lowest point; what is not finite is masked."""
    height = np.ma.masked_invalid(height)
    span = height.max() - height.min()
    return np.ma.log10(height - height.min() + 1e-5 * span + np.finfo(np.float64).tiny)
