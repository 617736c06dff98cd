"""Whether operations are recorded: `no_grad`, `enable_grad` and their kin, per thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["enable_grad", "is_grad_enabled", "mode", "no_grad", "set_grad_enabled"]


class _Mode(threading.local):
    recording = True


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are being recorded."""
    return mode.recording


class set_grad_enabled:
    """Turn recording on or off inside a ``with`` block, or in a function it decorates.

    Parameters
    ----------
    enabled : bool
        Whether operations are recorded.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.recording)
        mode.recording = self._enabled

    def __exit__(self, *exc: object) -> None:
        mode.recording = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its whole body inside the block."""

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with set_grad_enabled(self._enabled):
                return function(*args, **kwargs)

        return inside


class no_grad(set_grad_enabled):
    """Do not record operations: inside, results never require a gradient.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Record operations again inside a `no_grad` block.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     (w * 2).requires_grad
    True
    """

    def __init__(self) -> None:
        super().__init__(True)
