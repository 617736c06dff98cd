"""The ready-made training jobs: their data, models, losses, default settings and figures.

Making a job reads its data and checks every setting, so that whatever can be wrong is found before
anything is trained or written; `Job.run` then trains.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import data, plot
from ..cuda import synchronize
from ..data import DataLoader
from ..device import Device
from ..errors import ArgumentError, DataError, Diverged
from ..nn import Module
from ..nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from ..optim.settings import number
from ..random import manual_seed
from ..tensor import Tensor
from ..train import Epoch, Report, accuracy, binary_accuracy, fit, predict
from ..train.loop import Measure
from .models import ConvNet, linear_model, sigmoid_net
from .optimizers import OPTIMIZERS, make_optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["JOBS", "BreastCancer", "Job", "LinearRegression", "Mnist", "Outcome", "Settings"]

Pair = tuple[NDArray[Any], NDArray[Any]]
# Metrics and figures, by name.
Findings = tuple[dict[str, float], dict[str, "Figure"]]

# Up to twice as many epochs are all shown; longer runs show about this many.
_ROWS = 10
# A loss that ends so many times above where it began has diverged, even if it is still a number.
_RISEN = 10.0
# The largest array of such a batch, 21 MB in the ConvNet, still fits a processor's cache.
_EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Settings:
    """What a run can be told; None means the job's own default.

    Attributes
    ----------
    device : str
        Where to train.
    optimizer : str
        A name in `OPTIMIZERS`.
    lr, decay_rate : float, optional
        Learning rate, and its factor per 1000 updates.
    epochs, batch_size : int, optional
        How long, and how many samples an update takes.
    seed : int
        Fixes starting parameters and batches.
    data : str or path-like, optional
        A folder of the full data set.
    """

    device: str = "cpu"
    optimizer: str = "adam"
    lr: float | None = None
    decay_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    data: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes
    ----------
    model : Module
        Trained.
    metrics : dict of str to float
        Of the finished model, and ``"seconds"``, the time of the training.
    history : dict of str to list of float
        One value an epoch; those of test data only for the epochs listed in ``"test_epoch"``.
    figures : dict of str to Figure
        By file name without ending.
    interrupted : bool
        Whether Ctrl-C ended it before it was complete.  The model is then as the last finished
        epoch left it, and there are no figures.
    """

    model: Module
    metrics: dict[str, float]
    history: dict[str, list[float]]
    figures: dict[str, Figure] = field(repr=False)
    interrupted: bool = False


class Job(ABC):
    """One training job, ready to run.

    Parameters
    ----------
    settings : Settings, optional
        What to do differently from the defaults.

    Attributes
    ----------
    settings : dict
        The settings in use, every default filled in.
    model : Module
        With its starting parameters, or as far as `run` has trained it.

    Raises
    ------
    ArgumentError
        If a setting is out of range or does not apply to this job.
    DataError
        If the data cannot be read, or do not fit the model.
    DeviceError
        If there is no such device.
    """

    name: ClassVar[str]
    epochs: ClassVar[int]
    batch_size: ClassVar[int | None] = None  # the whole data set
    rates: ClassVar[dict[str, float]]  # learning rates, by optimiser
    loss_fn: Measure
    metric: Measure | None = None
    loss_name: ClassVar[str] = "loss"
    takes_folder: ClassVar[bool] = False

    def __init__(self, settings: Settings | None = None) -> None:
        given = Settings() if settings is None else settings
        if given.optimizer not in OPTIMIZERS:
            raise ArgumentError(
                f"no optimizer is called {given.optimizer!r}; choose from {', '.join(OPTIMIZERS)}"
            )
        defaults: dict[str, Any] = {"lr": self.rates[given.optimizer], "epochs": self.epochs}
        defaults["batch_size"] = self.batch_size
        used: dict[str, Any] = asdict(given)
        used |= {key: default for key, default in defaults.items() if used[key] is None}
        used["lr"] = number("lr", used["lr"], above=0.0)
        if used["decay_rate"] is not None:
            used["decay_rate"] = number("decay rate", used["decay_rate"], above=0.0, most=1.0)
        for key in ("epochs", "batch_size"):
            if used[key] is not None and used[key] < 1:
                raise ArgumentError(f"{key.replace('_', ' ')} must be at least 1, got {used[key]}")
        device = Device.parse(used["device"])
        synchronize(device)  # raises if there is no such GPU here
        used["device"] = str(device)
        manual_seed(used["seed"])
        if used["data"] is not None and not self.takes_folder:
            raise ArgumentError(
                f"{self.name} brings its own data; a data folder ({used['data']}) is for mnist only"
            )
        self._train, self._test = self._load(used["data"])
        samples = len(self._train[0])
        self._asked = used["batch_size"]
        used["batch_size"] = min(self._asked or samples, samples)
        self.settings = used
        # Shuffling a full batch would change nothing but the rounding.
        loader = DataLoader(
            self._train, used["batch_size"], shuffle=used["batch_size"] < samples, device=device
        )
        self._loader = self._batches(loader, training=True)
        self._final = self._train if self._test is None else self._test
        loader = DataLoader(self._final, _EVALUATION_BATCH, device=device)
        self._final_loader = self._batches(loader, training=False)
        self.model = self._build().to(device)
        self._optimizer = make_optimizer(
            used["optimizer"], self.model.parameters(), used["lr"], used["decay_rate"]
        )

    @abstractmethod
    def _load(self, folder: str | os.PathLike[str] | None) -> tuple[Pair, Pair | None]:
        """Return the training data and, if there are any, the test data."""

    @abstractmethod
    def _build(self) -> Module:
        """Return the model with its starting parameters."""

    def _batches(self, loader: DataLoader, training: bool) -> Iterable[tuple[Tensor, ...]]:
        """Return the batches of `loader` as the model takes them."""
        return loader

    @abstractmethod
    def _conclude(self, outputs: Tensor, targets: NDArray[Any]) -> Findings:
        """Return metrics and figures, given finite outputs for the test (or training) data."""

    def describe(self) -> str:
        """Return one line about the data, the model and the settings."""
        used = self.settings
        size = f"{len(self._train[0]):,} training"
        size += "" if self._test is None else f" and {len(self._test[0]):,} test"
        weights = sum(parameter.numel() for parameter in self.model.parameters())
        cut = self._asked is not None and self._asked > used["batch_size"]
        batch = f"{used['batch_size']}" + (f" (all there are, not {self._asked})" if cut else "")
        decay = "" if used["decay_rate"] is None else f" x {used['decay_rate']:g}^(updates/1000)"
        return (
            f"{self.name}: {size} samples, {weights:,} parameters; {used['optimizer']}, "
            f"lr {used['lr']:g}{decay}, batch size {batch}, seed {used['seed']}, "
            f"on {used['device']}"
        )

    def run(self, report: Report) -> Outcome:
        """Train and measure; once, as the model is then trained.

        Parameters
        ----------
        report : Report
            Is told of every step, and of the epochs worth a row.

        Raises
        ------
        Diverged
            If the loss or an output stops being a finite number, or the loss ends far above where
            it began.
        KeyboardInterrupt
            If no epoch was finished when it came.
        """
        epochs: int = self.settings["epochs"]
        every = 1 if epochs <= 2 * _ROWS else epochs // _ROWS
        done: list[Epoch] = []
        measured: list[dict[str, float]] = []
        kept: tuple[int, dict[str, Tensor]] = 0, {}  # epochs finished, and the model after them
        first: Tensor | None = None  # the loss of the first batch, before any update
        outputs: Tensor | None = None  # after the last epoch that has a row
        label = f"epoch 1/{epochs}"
        begin = time.perf_counter()

        def step(samples: int, loss: Tensor) -> None:
            nonlocal first
            first = loss if first is None else first
            report.advance(samples, label, loss)

        def show(epoch: Epoch) -> None:
            nonlocal label, outputs
            label = f"epoch {epoch.number + 1}/{epochs}"
            if epoch.number % every and epoch.number not in (1, epochs):
                return
            loss = epoch.loss.read()
            if not np.isfinite(loss):
                raise Diverged(self._advice(f"the loss is {loss} in epoch {epoch.number}"))
            row = {"epoch": f"{epoch.number}", self.loss_name: f"{loss:.6g}"}
            if self.metric is not None:
                row["accuracy"] = _percent(epoch.metric.read())
            if self._test is not None and self.metric is not None:
                outputs = predict(self.model, self._final_loader)
                test = self._measure(outputs)
                row["test loss"] = f"{test['test_loss']:.6g}"
                row["test accuracy"] = _percent(test["test_accuracy"])
                measured.append({"test_epoch": epoch.number} | test)
            report.row(row | {"elapsed": f"{time.perf_counter() - begin:.1f} s"})

        def keep(epoch: Epoch) -> None:
            nonlocal kept
            show(epoch)
            done.append(epoch)
            state = {name: value.clone() for name, value in self.model.state_dict().items()}
            kept = epoch.number, state  # in one step: Ctrl-C may come at any moment

        def history() -> dict[str, list[float]]:
            finished = done[: kept[0]]
            values = {"loss": [epoch.loss.read() for epoch in finished]}
            if self.metric is not None:
                values["accuracy"] = [epoch.metric.read() for epoch in finished]
            tests = [row for row in measured if row["test_epoch"] <= kept[0]]
            return values | {
                key: [row[key] for row in tests] for key in (tests[0] if tests else ())
            }

        try:
            # An overflow is reported once, as Diverged, and not by NumPy at every operation.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                with report.working(epochs * len(self._train[0]), "samples"):
                    fit(
                        self.model,
                        self.loss_fn,
                        self._optimizer,
                        self._loader,
                        epochs,
                        metric=self.metric,
                        on_step=step,
                        on_epoch=keep,
                    )
                seconds = time.perf_counter() - begin
                if outputs is None:
                    outputs = predict(self.model, self._final_loader)
            values = history()
            self._check_end(outputs, first, values["loss"][-1])
            with report.busy("drawing the figures"):
                metrics, figures = self._conclude(outputs, self._final[1])
                figures = self._curves(values) | figures
        except KeyboardInterrupt:
            if not kept[0]:
                raise
            self.model.load_state_dict(kept[1])
            metrics = {"seconds": time.perf_counter() - begin}
            return Outcome(self.model, metrics, history(), {}, interrupted=True)
        return Outcome(self.model, metrics | {"seconds": seconds}, values, figures)

    def _check_end(self, outputs: Tensor, first: Tensor | None, end: float) -> None:
        """Raise Diverged if the outputs or the losses, from the first batch's to `end`, say so."""
        if not bool(outputs.isfinite().all()):
            raise Diverged(self._advice("the model's outputs are not finite after the last epoch"))
        start = np.inf if first is None else first.item()
        if end > _RISEN * start:
            raise Diverged(self._advice(f"the loss rose from {start:.3g} to {end:.3g}"))

    def _measure(self, outputs: Tensor) -> dict[str, float]:
        """Return the loss and accuracy of outputs for the test data."""
        targets = Tensor(self._final[1]).to(outputs.device)
        measures = {"test_loss": self.loss_fn, "test_accuracy": self.metric}
        return {name: f(outputs, targets).item() for name, f in measures.items() if f is not None}

    def _curves(self, history: dict[str, list[float]]) -> dict[str, Figure]:
        """Return the curves of the loss and, where there is one, of the accuracy."""
        loss = f"{self.loss_name} loss" if self.loss_name != "loss" else "Loss"
        texts: dict[str, dict[str, Any]] = {
            "loss": {"ylabel": loss},
            "accuracy": {"title": "Accuracy Over Time", "ylabel": "Accuracy", "log": False},
        }
        figures = {}
        for key in filter(history.__contains__, texts):
            values, test = history[key], history.get(f"test_{key}", [])
            # The first is a mean over batches before their updates, the second is taken after all.
            both = {"training (during the epoch)": values, "test (after it)": test}
            curves = both if len(test) == len(values) else values
            figures[key] = plot.loss_curve(curves, start=1, **texts[key])
        return figures

    def _advice(self, problem: str) -> str:
        return (
            f"{self.name}: training diverged, {problem}; "
            f"try a learning rate below {self.settings['lr']:g} (--lr)"
        )


class LinearRegression(Job):
    """Twenty features, one output, and an optimum that is known: the least-squares solution."""

    name = "linear-regression"
    # Adam at this rate is at the optimum by then, to rounding, and leaves it again some time later.
    epochs = 1000
    rates: ClassVar = {"adam": 1.0, "adamw": 1.0, "sgd": 0.1, "momentum": 0.1, "rmsprop": 0.3}
    loss_fn = staticmethod(mse_loss)
    loss_name = "MSE"

    def _load(self, folder: str | os.PathLike[str] | None) -> tuple[Pair, Pair | None]:
        return data.linear_regression(), None

    def _build(self) -> Module:
        return linear_model(self._train[0].shape[1])

    def _conclude(self, outputs: Tensor, targets: NDArray[Any]) -> Findings:
        predicted = outputs.cpu().numpy()
        mse = float(np.mean((predicted - targets) ** 2))
        inputs = np.column_stack([self._train[0], np.ones(len(targets))])
        solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]
        least = float(np.mean((inputs @ solution - targets) ** 2))
        metrics = {
            "mse": mse,
            "least_squares_mse": least,
            "relative_excess": mse / least - 1,
            "r2": 1 - mse / float(np.var(targets)),
        }
        return metrics, {"predictions": plot.predicted_vs_true(targets, predicted)}


class BreastCancer(Job):
    """A 30-16-8-1 network of sigmoids that tells benign from malignant tumours."""

    name = "breast-cancer"
    epochs = 100
    rates: ClassVar = {"adam": 0.01, "adamw": 0.01, "sgd": 1.0, "momentum": 0.1, "rmsprop": 0.01}
    loss_fn = staticmethod(binary_cross_entropy_with_logits)
    metric = staticmethod(binary_accuracy)

    def _load(self, folder: str | os.PathLike[str] | None) -> tuple[Pair, Pair | None]:
        return data.breast_cancer()

    def _build(self) -> Module:
        return sigmoid_net(self._train[0].shape[1], 16, 8, 1)

    def _conclude(self, outputs: Tensor, targets: NDArray[Any]) -> Findings:
        from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

        logits = outputs.cpu().numpy()
        guesses = (logits > 0).astype(np.int64)
        precision, recall, _ = precision_recall_curve(targets.ravel(), logits.ravel())
        metrics = self._measure(outputs) | {
            "roc_auc": float(roc_auc_score(targets.ravel(), logits.ravel())),
            "pr_auc": float(auc(recall, precision)),
        }
        names = ("malignant", "benign")
        return metrics, {
            "roc_and_pr": plot.roc_and_pr(targets, logits),
            "confusion_matrix": plot.confusion_matrix(
                targets.astype(np.int64), guesses, classes=2, names=names
            ),
        }


class Mnist(Job):
    """Handwritten digits, moved about by a pixel, and a small convolutional network."""

    name = "mnist"
    epochs = 10
    batch_size = 64
    takes_folder = True
    rates: ClassVar = {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.1, "momentum": 0.02, "rmsprop": 1e-3}
    loss_fn = staticmethod(cross_entropy)
    metric = staticmethod(accuracy)

    def _load(self, folder: str | os.PathLike[str] | None) -> tuple[Pair, Pair | None]:
        train, test = data.mnist(folder)
        if train[0].shape[1:] != (28, 28):
            raise DataError(
                f"the images in {folder} are {train[0].shape[1:]}, but the network takes (28, 28)"
            )
        return train, test

    def _build(self) -> Module:
        return ConvNet()

    def _batches(self, loader: DataLoader, training: bool) -> Iterable[tuple[Tensor, ...]]:
        batches = data.Shifted(loader, 1) if training else loader
        return data.Mapped(batches, lambda images: Tensor(data.normalize_images(images.data)))

    def _conclude(self, outputs: Tensor, targets: NDArray[Any]) -> Findings:
        guesses = outputs.argmax(1).cpu().numpy()
        return self._measure(outputs), {
            "confusion_matrix": plot.confusion_matrix(targets, guesses),
            "misclassified": plot.misclassified(self._final[0], targets, guesses),
            "filters": plot.filters(self.model.conv1.weight),
        }


JOBS: dict[str, type[Job]] = {job.name: job for job in (LinearRegression, BreastCancer, Mnist)}


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
