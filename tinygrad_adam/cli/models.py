"""The models of the jobs."""

from __future__ import annotations

from itertools import pairwise

from .. import nn

__all__ = ["ConvNet", "linear_model", "sigmoid_net"]


class ConvNet(nn.Sequential):
    """A convolution, a pooling and two linear layers: 693 962 parameters for MNIST's digits.

    Maps images (N, 1, 28, 28) to logits (N, 10).

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> ConvNet()(tg.zeros(2, 1, 28, 28)).shape
    (2, 10)
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "conv1": nn.Conv2d(1, 32, 3),
                "relu1": nn.ReLU(),
                "pool": nn.MaxPool2d(2, 2),
                "flatten": nn.Flatten(),
                "fc1": nn.Linear(32 * 13 * 13, 128),
                "relu2": nn.ReLU(),
                "fc2": nn.Linear(128, 10),
            }
        )


def linear_model(features: int) -> nn.Linear:
    """Return a linear model of one output, in float64, which the least-squares optimum asks for.

    Examples
    --------
    >>> linear_model(20).weight.dtype
    dtype('float64')
    """
    model = nn.Linear(features, 1)
    model.double()
    return model


def sigmoid_net(*sizes: int) -> nn.Sequential:
    """Return linear layers with sigmoids between them, in float64; the output is a logit.

    Weights start as Glorot and Bengio's (Xavier) uniform values, biases at zero: with weights a
    hundredth of that size, three sigmoids in a row pass on next to no gradient.

    Parameters
    ----------
    *sizes : int
        Width of the input, of every hidden layer, and of the output.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.

    Examples
    --------
    >>> len(sigmoid_net(30, 16, 8, 1))
    5
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
        layers += [linear, nn.Sigmoid()]
    # The last sigmoid is in the loss, which is then exact for logits of any size.
    model = nn.Sequential(*layers[:-1])
    model.double()
    return model
