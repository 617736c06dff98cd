"""Faster values and derivatives, a kind a file: registered in a table, never called by name.

What may be registered, and what is asked when, is in `tinygrad_adam.autograd.faster`.  On NumPy
alone:

===============  =================================================================================
``cpu``          convolution, the batch innermost in memory
``sums``         sums over rows
``products``     products of matrices, by as many threads as pay
``elementwise``  ReLU
``pool``         max pooling that remembers its choice in a byte
``losses``       the slope of the cross-entropy from what its value made
===============  =================================================================================

With numba, which is imported when there is enough work for it (``switch``):

===============  =================================================================================
``compiled``     wrappers around ``loops``: element-wise operations, pooling, losses, optimisers
``blocks``       modules in a row that `nn.Sequential` runs at once
``direct``       convolution without patches, around ``vectors``; ``split`` shares it among threads
===============  =================================================================================

The newest version is asked first; a file imports those that are to be asked after it.
"""

from . import blocks, compiled, cpu, direct, elementwise, losses, pool, products, sums
from .switch import is_fast, set_fast

__all__ = [
    "blocks",
    "compiled",
    "cpu",
    "direct",
    "elementwise",
    "is_fast",
    "losses",
    "pool",
    "products",
    "set_fast",
    "sums",
]
