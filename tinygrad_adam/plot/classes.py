"""What a classifier gets right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, ShapeError
from ..packages import needed
from .canvas import host, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion_matrix", "roc_and_pr"]

# More classes than this and the counts no longer fit into their cells.
_READABLE = 20


def roc_and_pr(labels: Any, scores: Any) -> Figure:
    """Draw the receiver operating characteristic and the precision-recall curve of a classifier.

    Parameters
    ----------
    labels : Tensor or array
        The true classes, 0 or 1, of any shape; both must occur.
    scores : Tensor or array
        As many numbers, higher for class 1: probabilities, or what a sigmoid would make such.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes, each with its area under the curve (trapezoidal) in the legend.

    Raises
    ------
    ShapeError
        If there are not as many labels as scores.
    DataError
        If a label is not 0 or 1, a class is missing, or a score is NaN or infinite.

    Examples
    --------
    >>> figure = roc_and_pr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'ROC curve (AUC = 0.75)'
    """
    metrics = needed("sklearn.metrics", "roc_and_pr")
    true, score = host(labels).reshape(-1), host(scores).reshape(-1)
    if true.shape != score.shape:
        raise ShapeError(f"roc_and_pr: {true.size} labels but {score.size} scores")
    present = np.unique(true).tolist()
    if present != [0, 1]:
        raise DataError(f"roc_and_pr: labels must be 0 and 1, both present, got {present[:10]}")
    if not np.isfinite(score).all():
        raise DataError("roc_and_pr: a score is NaN or infinite, so the samples have no order")
    false_rate, true_rate, _ = metrics.roc_curve(true, score)
    precision, recall, _ = metrics.precision_recall_curve(true, score)
    roc_area, pr_area = metrics.auc(false_rate, true_rate), metrics.auc(recall, precision)

    figure = new_figure(11, 4.5)
    roc, pr = figure.subplots(1, 2)
    roc.plot(false_rate, true_rate, label=f"ROC curve (AUC = {_rounded(roc_area)})")
    roc.plot([0, 1], [0, 1], "k--", linewidth=1, label="chance")
    roc.set(title="ROC Curve", xlabel="False Positive Rate", ylabel="True Positive Rate")
    roc.legend(loc="lower right")
    pr.plot(recall, precision, label=f"PR curve (AUC = {_rounded(pr_area)})")
    pr.axhline(true.mean(), color="k", linestyle="--", linewidth=1, label="chance")
    pr.set(title="Precision-Recall Curve", xlabel="Recall", ylabel="Precision", ylim=(-0.05, 1.05))
    pr.legend(loc="lower left")
    for axes in (roc, pr):
        axes.grid(True, alpha=0.3)
    return figure


def _rounded(area: float) -> str:
    """Return two decimals, or as many as it takes not to call an area below 1 "1.00"."""
    return next(
        (text for digits in range(2, 6) if float(text := f"{area:.{digits}f}") < 1), f"{area:.2f}"
    )


def confusion_matrix(
    labels: Any, predictions: Any, *, classes: int = 10, names: Sequence[str] | None = None
) -> Figure:
    r"""Draw how often each class (row) was taken for each class (column).

    Parameters
    ----------
    labels, predictions : Tensor or array
        Equally many integers from 0 up to `classes`, of any shape.
    classes : int, default 10
        How many classes there are.
    names : sequence of str, optional
        What to call them instead of by number.

    Returns
    -------
    matplotlib.figure.Figure
        Every count in its cell, on a colour for its share of the row that shows rare mistakes too.

    Raises
    ------
    ShapeError
        If the numbers of labels, predictions, or of classes and names, differ.
    DataError
        If there are none, or one is no integer from 0 up to `classes`.

    Examples
    --------
    >>> figure = confusion_matrix([0, 1, 1], [0, 1, 0], classes=2)
    >>> figure.axes[0].get_title()
    'Confusion Matrix\n2 of 3 right (66.7 %)'
    """
    true, predicted = host(labels).reshape(-1), host(predictions).reshape(-1)
    if true.shape != predicted.shape:
        raise ShapeError(f"confusion_matrix: {true.size} labels but {predicted.size} predictions")
    if names is not None and len(names) != classes:
        raise ShapeError(f"confusion_matrix: {classes} classes but {len(names)} names")
    for what, values in (("label", true), ("prediction", predicted)):
        if not values.size or values.dtype.kind not in "iub":
            raise DataError(
                f"confusion_matrix: {what}s must be integers, at least one, "
                f"got {values.size} of {values.dtype}"
            )
        if values.min() < 0 or values.max() >= classes:
            worst = values.min() if values.min() < 0 else values.max()
            raise DataError(
                f"confusion_matrix: a {what} is {worst}, but there are {classes} classes, "
                f"0 to {classes - 1}"
            )
    cells = true.astype(np.int64) * classes + predicted
    counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    right = int(counts.trace())

    size = max(4.5, 0.55 * min(classes, _READABLE) + 1.5)
    figure, axes = new_axes(size, size)
    # The fourth root lifts a mistake of 1 in 1000 to a visible 0.18.
    shade = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) ** 0.25
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=1.15)
    axes.set(
        title=f"Confusion Matrix\n{right} of {true.size} right ({100 * right / true.size:.1f} %)",
        xlabel="Predicted",
        ylabel="True",
    )
    if classes <= _READABLE:
        texts = [str(k) for k in range(classes)] if names is None else list(names)
        axes.set_xticks(range(classes), texts)
        axes.set_yticks(range(classes), texts)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shade[row, column] > 0.7 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure
