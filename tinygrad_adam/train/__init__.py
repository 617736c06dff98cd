"""Training: a small loop, measures of how it went, and telling a person about it.

:func:`fit`, :func:`predict` and :func:`evaluate` work with any model.  Losses and metrics add up
where the model is and are read only when somebody looks, so a GPU is never waited for in the middle
of an epoch.
"""

from .loop import Epoch, Mean, evaluate, fit, predict
from .metrics import accuracy, binary_accuracy, steps_to_target
from .progress import Report, TerminalReport, make_report

__all__ = [
    "Epoch", "Mean", "Report", "TerminalReport", "accuracy", "binary_accuracy", "evaluate", "fit",
    "make_report", "predict", "steps_to_target",
]  # fmt: skip
