"""Work shared with idle processors, in small pieces that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["share"]


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
