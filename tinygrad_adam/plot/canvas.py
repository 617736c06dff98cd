"""Making, reading into and saving figures, without pyplot."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..device import asarray
from ..errors import ArgumentError, DataError
from ..files import atomic_file
from ..packages import needed
from ..tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["host", "new_axes", "new_figure", "save"]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` inches that draws into memory."""
    figures = needed("matplotlib.figure", "a figure")
    figure: Figure = figures.Figure(figsize=(width, height), layout="constrained")
    needed("matplotlib.backends.backend_agg", "a figure").FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return such a figure and the one pair of axes in it."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def host(values: Any) -> NDArray[Any]:
    """Return a Tensor, array or list as a NumPy array."""
    array = values.data if isinstance(values, Tensor) else values
    return asarray(array, device="cpu")  # type: ignore[no-any-return]


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write `figure` to a PNG file; it appears complete or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure of this module.
    path : str or path-like
        Ends in ``.png``.  Missing folders are made; an old file is replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ArgumentError
        If `path` does not end in ``.png``.
    DataError
        If the file cannot be written; an old one is then intact.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_adam.plot import loss_curve
    >>> save(loss_curve([3.0, 2.0]), tempfile.mkdtemp() + "/figures/loss.png").name
    'loss.png'
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ArgumentError(f"save: figures are PNG files, got {str(path)!r}; end it in .png")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(drawn.getvalue())
    except OSError as error:
        raise DataError(
            f"save: {str(path)!r} cannot be written: {error}; check that the folder is writable"
        ) from error
    return path
