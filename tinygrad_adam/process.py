"""What is set for the whole process: how many threads compute, and how memory is given back.

Nothing here happens at import.  NumPy's BLAS library, which multiplies the matrices, has threads of
its own; every other package that loaded the same copy of that library shares them.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

from .errors import ArgumentError, MissingPackageError
from .packages import needed

__all__ = ["get_num_threads", "set_num_threads", "tune_malloc"]

P = ParamSpec("P")
R = TypeVar("R")

# OpenBLAS uses one thread for less than this many floating-point operations anyway.
SPLIT_FROM = 524_288
SPLIT_FROM_WITH_A_VECTOR = 18_432
# From this many on, a second thread saves more than waking it and waiting for it costs.
MANY = 20_000_000

# Idle threads of OpenBLAS go on running for about 16 ms, in case there is more to do, and cannot
# be told from a neighbour's; by the time of the next look they sleep or are known to be at work.
_LOOK_EVERY = 0.025  # seconds

_limit: int | None = None
_free = 1
_handed_out = 1
_next_look = 0.0


def set_num_threads(n: int) -> None:
    """Use `n` threads for products of matrices and for the compiled loops.

    The setting holds for the whole process: for every BLAS library that is loaded by now, so for
    other packages' products as well.  Left alone, a BLAS library uses all processors.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    ArgumentError
        If `n` is not an integer of at least 1.
    MissingPackageError
        If threadpoolctl, which finds the libraries, is not installed.

    Notes
    -----
    More threads than one are used only where they pay: not for small products, and not while
    other processes keep the processors busy.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> before = tg.get_num_threads()
    >>> tg.set_num_threads(1)
    >>> tg.get_num_threads()
    1
    >>> tg.set_num_threads(before)
    """
    global _limit
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"set_num_threads: n must be an integer of at least 1, got {n!r}")
    for library in _libraries():
        _counts(library)[1](n)
    _limit = n


def get_num_threads() -> int:
    """Return how many threads products and compiled loops may use.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.get_num_threads() >= 1
    True
    """
    if _limit is not None:
        return _limit
    blas = _numpys()
    return _processors() if blas is None else blas[0]()


def threads_for(flops: float, most: int | None = None) -> int:
    """Return how many threads pay for this much arithmetic now.

    One, if it is little, or if other processes leave no more than one processor free: a product
    that two threads share waits for the slower one, and on a busy machine that one may first have
    to wait for a time slice, many times longer than the whole product takes.

    Parameters
    ----------
    flops : float
        Floating-point operations: 2 m n k for the product of (m, k) and (k, n).
    most : int, optional
        The upper bound; `get_num_threads` if left out.
    """
    global _free, _handed_out, _next_look
    if flops < MANY:
        return 1
    if most is None:
        most = get_num_threads()
    if most == 1:
        return 1
    now = time.monotonic()
    if now >= _next_look:
        _next_look = now + _LOOK_EVERY
        others = max(0, _running() - _handed_out)
        _free = max(1, (os.cpu_count() or 1) - others)
        _handed_out = 1
    n = min(most, _free)
    _handed_out = max(_handed_out, n)
    return n


def product(flops: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args, **kwargs)``, a product of matrices, by as many threads as pay.

    The library's own number of threads is as it was afterwards; products of other threads of this
    process that run meanwhile may use fewer.  That costs half a microsecond, so a product of fewer
    operations than `SPLIT_FROM` (or `SPLIT_FROM_WITH_A_VECTOR`) is better called directly.

    Parameters
    ----------
    flops : float
        As for `threads_for`.
    function : callable
        Such as ``numpy.matmul``.
    *args, **kwargs
        Its arguments.
    """
    blas = _numpys()
    if blas is None:
        return function(*args, **kwargs)
    get, put = blas
    before = get()
    n = threads_for(flops, before)
    if n == before:
        return function(*args, **kwargs)
    put(n)
    try:
        return function(*args, **kwargs)
    finally:
        put(before)


def _running() -> int:
    """Return how many threads of the machine are running or waiting to run; 0 if unknown."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return 0


def _processors() -> int:
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def _libraries() -> list[Any]:
    controller = needed("threadpoolctl", "a number of threads").ThreadpoolController()
    return list(controller.select(user_api="blas").lib_controllers)


def _counts(library: Any) -> tuple[Callable[[], int], Callable[[int], object]]:
    """Return the functions that get and set a library's number of threads.

    threadpoolctl lets one thread of the program alone set that of an OpenBLAS with threads of its
    own, and ignores all others without a word; and its way there takes longer than many a product.
    """
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        for prefix in ("", "scipy_"):
            for suffix in ("", "64_", "_64"):
                names = [f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set")]
                if hasattr(library.dynlib, names[1]):
                    # PyDLL: too short to let other threads of Python in.
                    get, put = (ctypes.PyDLL(library.filepath)[name] for name in names)
                    return get, put
    return library.get_num_threads, library.set_num_threads


@cache
def _numpys() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """Return the functions that get and set the threads of NumPy's library, if that is possible."""
    try:
        libraries = _libraries()
    except MissingPackageError:
        return None
    # With several, NumPy's lies in a folder of NumPy's.
    libraries.sort(key=lambda library: "numpy" not in library.filepath)
    return _counts(libraries[0]) if libraries else None


def tune_malloc() -> bool:
    """Let the C library keep the memory of freed arrays for the next ones.

    As it comes, glibc gives arrays above a size back to the system as soon as they are free, and
    the system clears every page before it hands it out again: a third of the time of a training
    step.  After this call blocks of up to 32 MiB stay with the process, up to 1 GiB at a time.
    Peak memory is the same; it is given back when the process ends.  `train.fit` and the command
    line call this; importing the package does not.

    Returns
    -------
    bool
        Whether it was done: not with other C libraries (musl, macOS, Windows).

    References
    ----------
    ``man 3 mallopt``: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.tune_malloc() in (True, False)
    True
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    trim, mapped = -1, -3
    return bool(mallopt(mapped, 32 << 20) and mallopt(trim, 1 << 30))
