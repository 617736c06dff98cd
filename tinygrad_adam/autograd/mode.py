"""Whether operations are recorded: `no_grad`, `enable_grad` and their kin, per thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, ClassVar, ParamSpec, TypeVar

from ..errors import ArgumentError

__all__ = ["enable_grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]

P = ParamSpec("P")
R = TypeVar("R")


class _Mode(threading.local):
    recording = True


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are being recorded."""
    return mode.recording


class _Switch:
    """Recording on or off inside a ``with`` block, or in a function that it decorates."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.recording)
        mode.recording = self._enabled

    def __exit__(self, *exc: object) -> None:
        mode.recording = self._before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function` with its whole body inside the block."""
        if not callable(function):
            raise ArgumentError(
                f"{type(self).__name__} decorates a function, not {function!r:.80}; to choose by a "
                "value, use set_grad_enabled(value)"
            )
        enabled = self._enabled
        if isgeneratorfunction(function):

            @wraps(function)
            def steps(*args: P.args, **kwargs: P.kwargs) -> Any:
                return (yield from _driven(function(*args, **kwargs), enabled))

            return steps

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with _Switch(enabled):
                return function(*args, **kwargs)

        return inside


recording = _Switch  # inside the package


def _driven(generator: Generator[Any, Any, Any], enabled: bool) -> Generator[Any, Any, Any]:
    """Run each step of `generator` inside the block, and whoever takes its values outside."""
    resume: Callable[[Any], Any] = generator.send
    sent: Any = None
    while True:
        try:
            with _Switch(enabled):
                value = resume(sent)
        except StopIteration as end:
            return end.value
        try:
            sent = yield value
            resume = generator.send
        except GeneratorExit:
            with _Switch(enabled):
                generator.close()
            raise
        except BaseException as error:  # for the generator's own try statements
            sent, resume = error, generator.throw


class set_grad_enabled(_Switch):
    """Turn recording on or off: at once, and at the end of a ``with`` block back again.

    Parameters
    ----------
    enabled : bool
        Whether operations are recorded.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> with tg.set_grad_enabled(False):
    ...     tg.is_grad_enabled()
    False
    >>> _ = tg.set_grad_enabled(False)
    >>> tg.is_grad_enabled()
    False
    >>> _ = tg.set_grad_enabled(True)
    """

    def __init__(self, enabled: bool) -> None:
        super().__init__(bool(enabled))
        # what a first ``with`` block, or a function to decorate, has to put back
        self._found: bool | None = mode.recording
        mode.recording = self._enabled

    def __enter__(self) -> None:
        super().__enter__()
        if self._found is not None:
            self._before[-1], self._found = self._found, None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function` with its whole body inside the block."""
        if self._found is not None:
            mode.recording, self._found = self._found, None
        return super().__call__(function)


class _FixedSwitch(_Switch):
    """A switch that knows its position, so that it decorates with or without parentheses."""

    position: ClassVar[bool]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Return a switch, or the decorated `function`."""
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self) -> None:
        super().__init__(self.position)


class no_grad(_FixedSwitch):
    """Do not record operations: inside, results never require a gradient.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     (w * 2).requires_grad
    False
    >>> @tg.no_grad
    ... def doubled(x):
    ...     return x * 2
    >>> doubled(w).requires_grad
    False
    """

    position = False


class enable_grad(_FixedSwitch):
    """Record operations again inside a `no_grad` block.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     (w * 2).requires_grad
    True
    """

    position = True
