"""Random numbers, drawn on the host by a counter-based :class:`Generator` and then moved.

So the same seed gives the same parameters and the same batch order on every device.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import ArgumentError

__all__ = ["Generator", "chosen", "default_generator", "draws", "manual_seed"]


class Generator:
    """A reproducible stream of random draws, whose whole state is two integers.

    Draw number ``k`` comes from the Philox4x64 counter generator [1]_ keyed by ``(seed, k)``, so
    the stream does not depend on the device and can be resumed exactly.

    Parameters
    ----------
    seed : int, optional
        Non-negative, below 2**64.  Fresh entropy from the operating system when left out.

    References
    ----------
    .. [1] Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Examples
    --------
    >>> a, b = Generator(7), Generator(7)
    >>> bool((a.numpy().random(3) == b.numpy().random(3)).all())
    True
    """

    __slots__ = ("_draws", "_lock", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning."""
        self._seed, self._draws = _counter("seed", seed), 0
        return self

    @property
    def initial_seed(self) -> int:
        """The seed the stream started from."""
        return self._seed

    def numpy(self) -> np.random.Generator:
        """Return the NumPy generator of the next draw, and advance by one."""
        with self._lock:
            key = self._seed + (self._draws << 64)
            self._draws += 1
        return np.random.Generator(np.random.Philox(key=key))

    def get_state(self) -> dict[str, int]:
        """Return ``{"seed": ..., "draws": ...}``, enough to go on exactly from here."""
        return {"seed": self._seed, "draws": self._draws}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on from where `get_state` was called."""
        if not isinstance(state, Mapping) or not {"seed", "draws"} <= state.keys():
            raise ArgumentError(
                f"a generator's state is what get_state() gives, with seed and draws, got {state!r}"
            )
        seed, draws = (_counter(name, state[name]) for name in ("seed", "draws"))
        self._seed, self._draws = seed, draws

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, draws={self._draws})"


def _counter(name: str, value: Any) -> int:
    """Return `value` as an int that fits into half of a Philox key."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < 2**64:
        raise ArgumentError(f"{name} must be between 0 and 2**64 - 1, an integer, got {value!r}")
    return number


_default_generator = Generator()


def default_generator() -> Generator:
    """Return the generator used where none is given; `manual_seed` restarts it."""
    return _default_generator


def draws(name: str, generator: Generator | None) -> np.random.Generator:
    """Return where the next random numbers come from; the default stream for None."""
    return chosen(name, generator).numpy()


def chosen(name: str, generator: Generator | None) -> Generator:
    """Return `generator`, or the default one; `name` is who asks, for the error."""
    if generator is None:
        return _default_generator
    if not isinstance(generator, Generator):
        raise ArgumentError(
            f"{name}: generator must be a tinygrad_adam Generator, got {type(generator).__name__}"
        )
    return generator


def manual_seed(seed: int) -> Generator:
    """Restart the default random stream, so that what follows is reproducible.

    Fixes initial parameters, dropout masks, ``tg.rand`` and its relatives, and the order of
    shuffled batches, to the same values on every device.

    Parameters
    ----------
    seed : int
        Non-negative, below 2**64.

    Returns
    -------
    Generator
        The default generator.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> _ = tg.manual_seed(0); a = tg.rand(2)
    >>> _ = tg.manual_seed(0); b = tg.rand(2)
    >>> bool((a == b).all())
    True
    """
    return _default_generator.manual_seed(seed)
