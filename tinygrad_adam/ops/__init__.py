"""The differentiable operations, a family a file; each value stands beside its derivatives."""

from . import conv, elementwise, index, linear, loss, pool, promote, reduce, shape

__all__ = [
    "conv",
    "elementwise",
    "index",
    "linear",
    "loss",
    "pool",
    "promote",
    "reduce",
    "shape",
]
