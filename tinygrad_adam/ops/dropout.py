"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..autograd.graph import variable
from ..device import to_device
from ..errors import DTypeError
from ..random import Generator, draws
from .arguments import fraction, same_type
from .elementwise import mul

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["dropout"]


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
