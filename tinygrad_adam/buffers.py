"""Memory for large NumPy arrays, used again as soon as the arrays that lay in it are gone.

The C library returns blocks above a size to the system when they are freed, and the system clears
every page before it hands it out again: a third of the time of a training step, in which each
array has the size of one in the step before.  So what kernels write to lies in blocks that stay
here.  A block is free when nothing but this list refers to it, which Python's reference counts
say: every view of an array refers to the owner of its memory.
"""

from __future__ import annotations

import math
import sys
import threading
from functools import lru_cache
from typing import Any

import numpy as np

from .device import Array

__all__ = ["empty", "empty_like", "is_sole"]

# Smaller arrays stay with the C library: it keeps blocks of less than 128 KiB.
LEAST = 1 << 17
PAGE = 1 << 12
LINE = 64  # bytes of a line of the cache, at which every array starts
# A block that is free while so many others are handed out goes back when a new one is needed.
PATIENCE = 1 << 10


class _Block:
    """Memory that belongs to an array of its own, and when it was last handed out."""

    __slots__ = ("memory", "start", "used")

    def __init__(self, size: int) -> None:
        self.memory = np.empty(size + LINE, np.uint8)
        self.start = -self.memory.ctypes.data % LINE
        self.used = 0

    def references(self) -> int:
        """Return how many refer to the memory, this object and the call among them."""
        return sys.getrefcount(self.memory)


_FREE = _Block(0).references()
_blocks: dict[int, list[_Block]] = {}  # by size
_owners: dict[int, _Block] = {}  # by identity of the memory's owner
_handed_out = 0
_lock = threading.Lock()


def empty(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None = None) -> Array:
    """Return an uninitialized array, as ``numpy.empty``; a large one in memory used before.

    Parameters
    ----------
    shape : tuple of int
        Its axes.
    dtype : dtype
        Of numbers.
    strides : tuple of int, optional
        Of an array without gaps; C order if left out.

    Examples
    --------
    >>> import numpy as np
    >>> a = empty((512, 512), np.float32)
    >>> place = a.ctypes.data
    >>> del a
    >>> empty((256, 1024), np.float32).ctypes.data == place
    True
    """
    global _handed_out
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST:
        return np.ndarray(shape, dtype, strides=strides)
    size = -(-size // PAGE) * PAGE
    with _lock:
        _handed_out += 1
        for block in _blocks.get(size, ()):
            if block.references() == _FREE:
                break
        else:
            block = _new(size)
        block.used = _handed_out
        return np.ndarray(shape, dtype, block.memory, block.start, strides)


def _new(size: int) -> _Block:
    """Return one more block, after giving back those that nobody has wanted for long."""
    for blocks in _blocks.values():
        for old in [b for b in blocks if _handed_out - b.used > PATIENCE]:
            if old.references() == _FREE:
                blocks.remove(old)
                del _owners[id(old.memory)]
    block = _Block(size)
    _blocks.setdefault(size, []).append(block)
    _owners[id(block.memory)] = block
    return block


def empty_like(x: Array, dtype: Any = None, shape: tuple[int, ...] | None = None) -> Array:
    """Return an uninitialized array in the memory order of `x`, as ``numpy.empty_like``."""
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    shape = x.shape if shape is None else shape
    if x.flags.c_contiguous:
        return empty(shape, dtype)
    return empty(shape, dtype, _steps(shape, dtype.itemsize, x.strides))


@lru_cache(256)
def _steps(shape: tuple[int, ...], step: int, order: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array without gaps whose axes lie as those with strides `order`."""
    strides = [0] * len(shape)
    for i in sorted(range(len(shape)), key=lambda i: (abs(order[i]), -i)):
        strides[i] = step
        step *= shape[i]
    return tuple(strides)


def is_sole(x: Array) -> bool:
    """Whether `x` alone lies in memory of this module, so that it is as good as its owner."""
    block = _owners.get(id(x.base))
    return block is not None and block.references() == _FREE + 1
