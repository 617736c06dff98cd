"""Small images in a grid: digits a model got wrong, kernels it learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ShapeError
from ..ops.arguments import integer
from .canvas import host, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["filters", "misclassified"]


def misclassified(images: Any, labels: Any, predictions: Any, *, most: int = 25) -> Figure:
    """Draw images that were taken for another class, each with the truth and the mistake.

    Parameters
    ----------
    images : Tensor or array
        Grey images, (N, H, W) or (N, 1, H, W).
    labels, predictions : Tensor or array
        N integers each.
    most : int, default 25
        How many to draw at the most, in order.

    Returns
    -------
    matplotlib.figure.Figure
        With nothing but its title if everything was right.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    ArgumentError
        If `most` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> figure = misclassified(np.zeros((3, 8, 8)), [1, 2, 3], [1, 7, 3])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['2 as 7']
    """
    pictures, true, predicted = host(images), host(labels), host(predictions)
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    if pictures.ndim != 3 or not true.shape == predicted.shape == pictures.shape[:1]:
        raise ShapeError(
            "misclassified: expected images (N, H, W) or (N, 1, H, W), labels (N,) and predictions "
            f"(N,), got {host(images).shape}, {true.shape} and {predicted.shape}"
        )
    wrong = np.flatnonzero(true != predicted)
    shown = wrong[: integer("misclassified", "most", most, 1)]
    part = f"\nthe first {len(shown)} of {len(wrong)}" if len(shown) < len(wrong) else ""
    figure, _ = _grid(
        pictures[shown],
        [f"{true[index]} as {predicted[index]}" for index in shown],
        f"{len(wrong)} of {len(true)} misclassified (true as predicted){part}",
        cmap="gray_r",
    )
    return figure


def filters(weight: Any) -> Figure:
    """Draw the kernels of a convolution's first layer.

    Parameters
    ----------
    weight : Tensor or array
        (O, 1, K, L): O kernels for grey images.

    Returns
    -------
    matplotlib.figure.Figure
        One image a kernel, all on one colour scale that is white at zero.

    Raises
    ------
    ShapeError
        If `weight` is of another shape.
    DataError
        If a weight is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> len(filters(np.ones((4, 1, 3, 3))).axes[0].images)
    4
    """
    kernels = host(weight)
    if kernels.ndim != 4 or kernels.shape[1] != 1 or not kernels.size:
        raise ShapeError(
            f"filters: expected a weight (O, 1, K, L), the first layer for grey images, "
            f"got {kernels.shape}"
        )
    if not np.isfinite(kernels).all():
        raise DataError("filters: a weight is NaN or infinite")
    # An all-zero layer still needs a scale with two different ends.
    limit = float(np.abs(kernels).max()) or 1.0
    figure, axes = _grid(
        kernels[:, 0],
        None,
        f"{len(kernels)} kernels of {kernels.shape[2]} x {kernels.shape[3]}",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
    )
    figure.colorbar(axes.images[0], ax=axes, shrink=0.8)
    return figure


def _grid(
    pictures: NDArray[Any], texts: list[str] | None, title: str, **style: Any
) -> tuple[Figure, Axes]:
    """Draw pictures (N, H, W) in rows, a text above each.

    All are in one axes: one axes each takes Matplotlib seconds.
    """
    count, height, width = pictures.shape
    columns = max(1, math.ceil(math.sqrt(1.6 * count)))
    rows = math.ceil(count / columns)
    # In widths of a picture.
    tall = height / width
    above = 0.12 if texts is None else 0.35
    right, down = 1.12, tall + above
    figure, axes = new_axes(max(5.0, 1.1 * right * columns + 0.5), 1.1 * down * rows + 0.6)
    axes.set_title(title)
    axes.set_axis_off()
    for place, picture in enumerate(pictures):
        left, top = place % columns * right, place // columns * down
        axes.imshow(picture, extent=(left, left + 1, top + tall, top), **style)
        if texts is not None:
            axes.text(left + 0.5, top - 0.05, texts[place], ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(0, columns * right), ylim=(max(rows, 1) * down - above, -above))
    return figure, axes
