"""Work shared with idle processors, in small pieces that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any

from ..device import Array
from ..process import threads_for

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["alike", "pieces", "share"]

# Elements of a line of the cache, and of a block in products of matrices.
LINE = 16


@cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # brings a dozen modules along

    return ThreadPoolExecutor(helpers, thread_name_prefix="tinygrad_adam")


def share(work: Callable[[int, int], object], size: int, piece: int, threads: int) -> None:
    """Call ``work(start, stop)`` on pieces of ``range(size)``, from up to `threads` threads.

    The calling thread takes pieces like the others.  A helper that gets no time slice on a busy
    machine takes none, so it costs nothing; one that loses its slice costs at most its one piece.

    Parameters
    ----------
    work : callable
        Does what lies in one piece; to gain anything it must release the interpreter lock.
    size, piece : int
        How much there is, and how much at once.  With one thread all is one piece.
    threads : int
        At most so many threads, the calling one included.

    Examples
    --------
    >>> from tinygrad_adam.kernels.split import share
    >>> squares = [0] * 5
    >>> def write(start, stop):
    ...     for i in range(start, stop):
    ...         squares[i] = i * i
    >>> share(write, 5, 2, threads=2)
    >>> squares
    [0, 1, 4, 9, 16]
    """
    helpers = min(threads, -(-size // piece)) - 1
    if helpers < 1:
        work(0, size)
        return
    starts, lock = iter(range(0, size, piece)), threading.Lock()

    def run() -> None:
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            work(start, min(start + piece, size))

    pool = _pool(threads - 1)
    # in the caller's context, where NumPy keeps which warnings to give
    futures = [pool.submit(copy_context().run, run) for _ in range(helpers)]
    try:
        run()
    finally:
        # one that never started has nothing left to do
        started = [future for future in futures if not future.cancel()]
        for future in started:
            future.exception()
    for future in started:
        future.result()


def alike(loop: Callable[..., object], work: float, arrays: Sequence[Array], *others: Any) -> None:
    """Call ``loop(*arrays, *others)``, on parts of the arrays' first axis by several threads.

    Parameters
    ----------
    loop : callable
        Does to each part what it would do to it within the whole.
    work : float
        As for `threads_for`.
    arrays : sequence of array
        Equally long.
    *others
        What every part takes.
    """
    threads = threads_for(work)
    if threads == 1:
        loop(*arrays, *others)
        return

    def part(start: int, stop: int) -> None:
        loop(*[a[start:stop] for a in arrays], *others)

    size = len(arrays[0])
    share(part, size, pieces(size, threads), threads)


def pieces(size: int, threads: int) -> int:
    """Return how much to take at once: two pieces a thread, of whole lines of the cache."""
    piece = -(-size // (2 * threads))
    return piece if piece < LINE else piece + -piece % LINE
