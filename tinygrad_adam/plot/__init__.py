"""The figures of a training run: losses, optimisers' paths, classifiers' mistakes.

Every function returns a Matplotlib ``Figure`` drawn without pyplot, so it needs no display, changes
no global state and can be called from any thread; :func:`save` writes one to a PNG file.
Matplotlib is imported at the first call, not with this module.
"""

from .canvas import save
from .classes import confusion_matrix, roc_and_pr
from .curves import loss_curve, optimizer_comparison, predicted_vs_true
from .images import filters, misclassified
from .paths import paths_on_contours

__all__ = [
    "confusion_matrix", "filters", "loss_curve", "misclassified", "optimizer_comparison",
    "paths_on_contours", "predicted_vs_true", "roc_and_pr", "save",
]  # fmt: skip
