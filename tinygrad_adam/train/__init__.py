"""Training: a small loop, and the three jobs of the command line.

:func:`fit`, :func:`predict` and :func:`evaluate` work with any model; `jobs` holds the ready-made
ones and `compare` the race of the optimisers.  Losses and metrics add up where the model is and are
read only when somebody looks, so a GPU is never waited for in the middle of an epoch.
"""

from .augment import Shifted
from .compare import Race, convergence_table, race, rosenbrock
from .jobs import JOBS, Job, Outcome, Settings
from .loop import Epoch, Mean, evaluate, fit, predict
from .metrics import accuracy, binary_accuracy
from .models import ConvNet, linear_model, sigmoid_net
from .optimizers import OPTIMIZERS, make_optimizer

__all__ = [
    "JOBS",
    "OPTIMIZERS",
    "ConvNet",
    "Epoch",
    "Job",
    "Mean",
    "Outcome",
    "Race",
    "Settings",
    "Shifted",
    "accuracy",
    "binary_accuracy",
    "convergence_table",
    "evaluate",
    "fit",
    "linear_model",
    "make_optimizer",
    "predict",
    "race",
    "rosenbrock",
    "sigmoid_net",
]
