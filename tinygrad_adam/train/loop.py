"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..autograd import no_grad
from ..errors import DataError
from ..nn import Module
from ..ops.arguments import integer
from ..ops.join import cat
from ..optim import Optimizer
from ..process import tune_malloc
from ..tensor import Tensor

__all__ = ["Epoch", "Mean", "Measure", "evaluate", "fit", "predict"]

Measure = Callable[[Tensor, Tensor], Tensor]


class Mean:
    """The mean over samples of something known per batch, summed up on the device.

    `add` never waits for the device; `read` does.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> mean = Mean()
    >>> mean.add(tg.tensor(1.0), samples=3)
    >>> mean.add(tg.tensor(5.0), samples=1)
    >>> mean.read()
    2.0
    """

    __slots__ = ("_samples", "_total")

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._samples = 0

    def add(self, value: Tensor, samples: int) -> None:
        """Count `value`, the mean of a batch (0-d Tensor), `samples` times."""
        with no_grad():
            # float64: in float32 an epoch of 60 000 samples would lose digits.
            part = value.detach().double() * samples
            self._total = part if self._total is None else self._total + part
        self._samples += samples

    def read(self) -> float:
        """Return the mean of everything added so far, waiting for the device.

        Raises
        ------
        DataError
            If nothing was added.
        """
        if self._total is None or not self._samples:
            raise DataError("Mean: no sample was counted; was the loader empty, or used up?")
        return float(self._total.item()) / self._samples

    def __repr__(self) -> str:
        text = "nothing yet" if not self._samples else f"{self.read():.6g} of {self._samples}"
        return f"Mean({text})"


class Epoch:
    """What one pass over the training data gave; see `fit`.

    Attributes
    ----------
    number : int
        Counted from 1.
    loss, metric : Mean
        Over the samples of the epoch, each batch measured before its update.  Nothing is in
        `metric` if none was asked for.
    """

    __slots__ = ("loss", "metric", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.loss = Mean()
        self.metric = Mean()

    def __repr__(self) -> str:
        return f"Epoch({self.number}, loss={self.loss}, metric={self.metric})"


def fit(
    model: Module,
    loss_fn: Measure,
    optimizer: Optimizer,
    loader: Iterable[tuple[Tensor, ...]],
    epochs: int,
    *,
    metric: Measure | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train `model`: per batch the gradients of the loss, then one step of the optimiser.

    Parameters
    ----------
    model : Module
        Put in training mode at the start of every epoch.
    loss_fn, metric : callable
        Map (outputs, targets) to the mean over the batch, a 0-d Tensor.  `metric` is only watched.
    optimizer : Optimizer
        Over the model's parameters.
    loader : iterable of (inputs, targets)
        Gone through once an epoch, such as a `DataLoader`.
    epochs : int
        At least 1.
    on_step : callable, optional
        Called after every step with the number of samples and the loss, a Tensor that is not read
        unless this function does so.
    on_epoch : callable, optional
        Called with the `Epoch` after each.

    Returns
    -------
    list of Epoch
        One each.

    Raises
    ------
    ArgumentError
        If `epochs` is less than 1.
    DataError
        If an epoch has no batch.

    Notes
    -----
    Calls :func:`~tinygrad_adam.process.tune_malloc`: from then on the process keeps the memory of
    freed arrays for the next ones.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.linspace(-1, 1, 16).reshape(16, 1)
    >>> model = tg.nn.Linear(1, 1)
    >>> history = fit(
    ...     model,
    ...     tg.nn.functional.mse_loss,
    ...     tg.optim.Adam(model.parameters(), lr=0.1),
    ...     tg.data.DataLoader((x, 3 * x), batch_size=8),
    ...     epochs=100,
    ... )
    >>> history[-1].loss.read() < 1e-3
    True
    """
    epochs = integer("fit", "epochs", epochs, 1)
    tune_malloc()
    history = []
    for number in range(1, epochs + 1):
        model.train()
        epoch = Epoch(number)
        steps = 0
        for steps, (inputs, targets) in enumerate(loader, start=1):  # noqa: B007
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = loss_fn(outputs, targets)
            loss.backward()
            optimizer.step()
            epoch.loss.add(loss, len(inputs))
            if metric is not None:
                with no_grad():
                    epoch.metric.add(metric(outputs.detach(), targets), len(inputs))
            if on_step is not None:
                on_step(len(inputs), loss.detach())
        if not steps:
            raise DataError(
                f"fit: the loader gave no batch in epoch {number}; "
                "a generator can be gone through only once, use a DataLoader or a list"
            )
        history.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    return history


def predict(model: Module, loader: Iterable[tuple[Tensor, ...]]) -> Tensor:
    """Return the model's outputs for all inputs of `loader`, joined along the first axis.

    Parameters
    ----------
    model : Module
        Used in evaluation mode and left in the mode it had.
    loader : iterable of (inputs, targets)
        Must not shuffle if the order matters.

    Returns
    -------
    Tensor
        Without a graph, on the model's device.

    Raises
    ------
    DataError
        If there is no batch.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> batches = tg.data.DataLoader((tg.ones(5, 3), tg.zeros(5)), batch_size=2)
    >>> predict(tg.nn.Linear(3, 2), batches).shape
    (5, 2)
    """
    with _evaluating(model):
        outputs = [model(inputs) for inputs, _ in loader]
    if not outputs:
        raise DataError("predict: the loader gave no batch")
    return cat(outputs)


def evaluate(
    model: Module, loader: Iterable[tuple[Tensor, ...]], measures: Mapping[str, Measure]
) -> dict[str, float]:
    """Return means over all samples of `loader`, such as the loss and the accuracy.

    Parameters
    ----------
    model : Module
        Used in evaluation mode and left in the mode it had.
    loader : iterable of (inputs, targets)
        The data.
    measures : mapping from name to callable
        Each maps (outputs, targets) to the mean over the batch, a 0-d Tensor.

    Returns
    -------
    dict from name to float

    Raises
    ------
    DataError
        If there is no batch.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> batches = tg.data.DataLoader((tg.ones(5, 1), tg.zeros(5, 1)), batch_size=2)
    >>> evaluate(tg.nn.Identity(), batches, {"mse": tg.nn.functional.mse_loss})
    {'mse': 1.0}
    """
    means = {name: Mean() for name in measures}
    with _evaluating(model):
        for inputs, targets in loader:
            outputs = model(inputs)
            for name, measure in measures.items():
                means[name].add(measure(outputs, targets), len(inputs))
    return {name: mean.read() for name, mean in means.items()}


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Record no gradients, and put every module in evaluation mode and back in its own."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
