"""Layers without parameters: activations, dropout, reshaping.

The computing is in `tinygrad_adam.nn.functional`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..ops.arguments import fraction, integer
from ..ops.shape import flatten
from ..tensor import Tensor
from . import functional
from .module import Module

__all__ = ["Dropout", "Flatten", "Identity", "LogSoftmax", "ReLU", "Sigmoid", "Softmax", "Tanh"]


class Flatten(Module):
    """Join the dimensions `start_dim` to `end_dim` into one; by default all but the batch.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Flatten()(tg.zeros(5, 2, 3)).shape
    (5, 6)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim)
        self.end_dim = integer("Flatten", "end_dim", end_dim)

    def forward(self, input: Tensor) -> Tensor:
        """Return the flattened tensor."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class _Elementwise(Module):
    """An activation without settings."""

    function: ClassVar[Callable[[Tensor], Tensor]]

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation, of the input's shape."""
        return type(self).function(input)


class ReLU(_Elementwise):
    """``max(x, 0)``, element by element.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    function = functional.relu


class Sigmoid(_Elementwise):
    """``1 / (1 + exp(-x))``, element by element.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Sigmoid()(tg.tensor([0.0])).tolist()
    [0.5]
    """

    function = functional.sigmoid


class Tanh(_Elementwise):
    """Hyperbolic tangent, element by element.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Tanh()(tg.tensor([0.0])).tolist()
    [0.0]
    """

    function = functional.tanh


class _AlongDim(Module):
    """An activation along one dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = integer(type(self).__name__, "dim", dim)

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """``exp(x) / sum(exp(x))`` along `dim`, which must be given.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Softmax(dim=1)(tg.zeros(1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return probabilities, of the input's shape."""
        return functional.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """``x - log(sum(exp(x)))`` along `dim`, which must be given.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.LogSoftmax(dim=0)(tg.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return log probabilities, of the input's shape."""
        return functional.log_softmax(input, self.dim)


class Identity(Module):
    """Return the input; takes and ignores any arguments, to stand in for any layer.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Identity(54, unused=True)(tg.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` itself."""
        return input


class Dropout(Module):
    """In training, set each element to zero with probability `p` and scale the rest.

    The rest is multiplied by ``1 / (1 - p)``, so that the mean stays; in evaluation mode
    (`Module.eval`) nothing happens.

    Parameters
    ----------
    p : float
        Probability of zero, in [0, 1].

    Raises
    ------
    ArgumentError
        If `p` is not a number in [0, 1].

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Dropout(0.9).eval()(tg.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    p: float

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = fraction("Dropout", "p", p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the thinned input, of the same shape."""
        return functional.dropout(input, self.p, training=self.training)

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        return f"p={self.p}"
