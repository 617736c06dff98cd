"""The stateless side of `nn`: operations, activations and losses under PyTorch's names."""

from ..ops.conv import conv2d
from ..ops.dropout import dropout
from ..ops.elementwise import relu, sigmoid, tanh
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
from ..ops.pad import pad
from ..ops.pool import avg_pool2d, max_pool2d
from ..ops.softmax import log_softmax, softmax

__all__ = [
    "avg_pool2d", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv2d",
    "cross_entropy", "dropout", "l1_loss", "linear", "log_softmax", "max_pool2d", "mse_loss",
    "nll_loss", "one_hot", "pad", "relu", "sigmoid", "softmax", "tanh",
]  # fmt: skip
