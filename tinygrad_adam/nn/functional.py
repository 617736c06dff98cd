"""The stateless side of `nn`: operations, activations and losses under PyTorch's names."""

from __future__ import annotations

import numpy as np

from ..autograd.graph import variable
from ..device import to_device
from ..errors import DTypeError
from ..ops.arguments import fraction, same_type
from ..ops.conv import conv2d
from ..ops.elementwise import mul, relu, sigmoid, tanh
from ..ops.index import one_hot
from ..ops.linear import linear
from ..ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from ..ops.pool import avg_pool2d, max_pool2d
from ..ops.shape import pad
from ..ops.softmax import log_softmax, softmax
from ..random import Generator, draws
from ..tensor import Tensor

__all__ = [
    "avg_pool2d",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "l1_loss",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    r"""Return `input` with each element set to 0 with probability `p`, the rest divided by 1 - p.

    The expected value of every element stays what it was.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    p : float
        Probability of dropping an element, from 0 to 1.
    training : bool
        Return `input` as it is when False.
    generator : Generator, optional
        Where the mask is drawn from; it is the same on every device.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If `p` is no probability, or `generator` of another kind.
    DTypeError
        If elements would be dropped from a tensor that is not floating point.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, 2014.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> y = tg.nn.functional.dropout(tg.ones(1000), 0.5, generator=tg.Generator(0))
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """
    same_type("dropout", input=input)
    p = fraction("dropout", "p", p)
    if not training or p == 0.0:
        return input
    if input.dtype.kind != "f":
        raise DTypeError(
            f"dropout: input must be floats, for the rest is scaled, got {input.dtype}; "
            "convert it with .float()"
        )
    draw = draws("dropout", generator).random(input.shape, dtype=np.float32)
    scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    mask = (draw >= p).astype(input.dtype) * input.dtype.type(scale)
    return mul(input, variable(to_device(mask, input.device)))
