"""Losses as modules; the formulas are in `tinygrad_adam.nn.functional`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from ..errors import DTypeError
from ..ops.arguments import fraction, integer
from ..ops.loss import read_reduction
from ..tensor import Tensor
from . import functional
from .module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss"]

Reduction = Literal["mean", "sum", "none"]


class _Loss(Module):
    """A loss, the function that computes it, and the attributes that are its settings."""

    function: ClassVar[Callable[..., Tensor]]
    settings: ClassVar[tuple[str, ...]] = ("reduction",)

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = read_reduction(type(self).__name__, reduction)

    def _buffer(self, name: str, values: Any) -> None:
        """Keep weights as a buffer, so that they move with the model."""
        if values is not None and not isinstance(values, Tensor):
            raise DTypeError(
                f"{type(self).__name__}: {name} must be a Tensor of the predictions' type, got "
                f"{type(values).__name__}; use tg.tensor({name}, dtype=tg.float32)"
            )
        self.register_buffer(name, None if values is None else values.detach())

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `input` against `target`."""
        settings = {name: getattr(self, name) for name in self.settings}
        return type(self).function(input, target, **settings)

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    r"""Squared error, :math:`(x - y)^2`; see `functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        How the elements' losses become one number, if at all.

    Raises
    ------
    ArgumentError
        If `reduction` is none of these.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.MSELoss()(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0])).item()
    2.0
    """

    function = functional.mse_loss


class L1Loss(_Loss):
    r"""Absolute error, :math:`|x - y|`; see `functional.l1_loss`.

    Parameters and errors as for `MSELoss`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.L1Loss()(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0])).item()
    1.0
    """

    function = functional.l1_loss


class BCELoss(_Loss):
    r"""Binary cross entropy of probabilities.

    :math:`-w\,(y \log x + (1 - y) \log(1 - x))`.  Prefer `BCEWithLogitsLoss`, which is exact where
    ``x`` rounds to 0 or 1.

    Settings and errors are those of `functional.binary_cross_entropy`;
    weights move with the module.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> loss = tg.nn.BCELoss()(tg.tensor([0.5, 0.5]), tg.tensor([1.0, 0.0]))
    >>> round(loss.item(), 4)
    0.6931
    """

    function = functional.binary_cross_entropy
    settings = ("reduction", "weight")
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._buffer("weight", weight)


class BCEWithLogitsLoss(_Loss):
    r"""Binary cross entropy of logits.

    :math:`-w\,(p\, y \log \sigma(x) + (1 - y) \log(1 - \sigma(x)))`, computed without overflow.

    Settings and errors are those of `functional.binary_cross_entropy_with_logits`;
    weights move with the module.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> loss = tg.nn.BCEWithLogitsLoss()(tg.tensor([0.0]), tg.tensor([1.0]))
    >>> round(loss.item(), 4)
    0.6931
    """

    function = functional.binary_cross_entropy_with_logits
    settings = ("reduction", "weight", "pos_weight")
    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction=reduction)
        self._buffer("weight", weight)
        self._buffer("pos_weight", pos_weight)


class NLLLoss(_Loss):
    r"""Negative log likelihood, :math:`-w_y x_y`.

    Settings and errors are those of `functional.nll_loss`;
    weights move with the module.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.NLLLoss()(tg.tensor([[-0.5, -1.0]]), tg.tensor([1])).item()
    1.0
    """

    function = functional.nll_loss
    settings = ("reduction", "weight", "ignore_index")
    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.ignore_index = integer(type(self).__name__, "ignore_index", ignore_index)
        self._buffer("weight", weight)


class CrossEntropyLoss(_Loss):
    r"""Cross entropy of logits, :math:`-w_y \log \mathrm{softmax}(x)_y`.

    Settings and errors are those of `functional.cross_entropy`;
    weights move with the module.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> loss = tg.nn.CrossEntropyLoss()(tg.zeros(3, 10), tg.tensor([1, 2, 3]))
    >>> round(loss.item(), 4)
    2.3026
    """

    function = functional.cross_entropy
    settings = ("reduction", "weight", "ignore_index", "label_smoothing")
    weight: Tensor | None
    label_smoothing: float

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        self.ignore_index = integer(type(self).__name__, "ignore_index", ignore_index)
        self.label_smoothing = fraction("CrossEntropyLoss", "label_smoothing", label_smoothing)
        self._buffer("weight", weight)
