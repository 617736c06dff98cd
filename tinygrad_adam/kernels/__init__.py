"""Faster values and derivatives, a kind a file: registered in a table, never called by name.

What may be registered, and what is asked when, is in `tinygrad_adam.autograd.faster`.
"""

from . import cpu, direct, sums

__all__ = ["cpu", "direct", "sums"]
