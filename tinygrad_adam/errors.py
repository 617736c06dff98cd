"""Every error the package raises on purpose.

One root, :class:`TinygradError`, so that a caller can catch all of them, and each also derives
from the built-in a Python programmer would expect (a wrong shape is a ``ValueError``).  Messages
say what was wrong, give both sides, and say what to do instead.
"""

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AnomalyError", "ArgumentError", "DTypeError", "DataError", "DeviceError", "Diverged",
    "ExchangeError", "GradcheckError", "GraphError", "GraphFreedError", "InPlaceError", "KinkError",
    "KinkWarning", "MissingPackageError", "ModuleError", "ModuleStateError", "NoSequenceError",
    "OutOfRangeError", "ShapeError", "StateDictError", "TinygradError",
]  # fmt: skip


class TinygradError(Exception):
    """Root of all errors raised by tinygrad_adam."""


class ShapeError(TinygradError, ValueError):
    """Shapes, axes or element counts that do not fit together."""


class NoSequenceError(ShapeError, TypeError):
    """A tensor without axes where a sequence is needed."""


class OutOfRangeError(TinygradError, IndexError):
    """An index outside the axis it points into."""


class DTypeError(TinygradError, TypeError):
    """An element type an operation cannot work with."""


class DeviceError(TinygradError, RuntimeError):
    """Operands on different devices, or a device that this machine does not have."""


class ArgumentError(TinygradError, ValueError):
    """A setting outside its allowed range (a negative learning rate, an unknown reduction...)."""


class DataError(TinygradError, ValueError):
    """A file or data set that is missing, corrupt, empty or out of range."""


class StateDictError(TinygradError, RuntimeError):
    """Saved state that does not fit the object it is loaded into."""


class GradcheckError(TinygradError, AssertionError):
    """A gradient that a check found wrong.

    Attributes
    ----------
    inputs : tuple of str
        The inputs at fault, by name.
    entries : tuple
        Pairs of an input's name and what was found at one of its entries.
    seed : int or None
        Of the random numbers that the check used.
    """

    def __init__(
        self,
        message: str,
        inputs: Iterable[str] = (),
        entries: Iterable[Any] = (),
        seed: int | None = None,
    ) -> None:
        super().__init__(message)
        self.inputs, self.entries, self.seed = tuple(inputs), tuple(entries), seed


class KinkError(GradcheckError):
    """A kink where a gradient was to be checked, and ``kinks="raise"`` was asked for."""


class KinkWarning(UserWarning):
    """A kink where a gradient was checked; `inputs` names those that have one."""

    def __init__(self, message: str, inputs: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)


class GraphError(TinygradError, RuntimeError):
    """A backward pass that the recorded graph cannot give."""


class ExchangeError(TinygradError, BufferError):
    """Memory that cannot be handed to, or taken from, another library as it lies."""


class GraphFreedError(GraphError):
    """A second backward pass through a graph whose saved arrays are gone."""


class InPlaceError(GraphError):
    """An in-place change that would make, or has made, a gradient wrong."""


class AnomalyError(TinygradError, ArithmeticError):
    """A NaN or an infinity, found by `detect_anomaly`.

    Attributes
    ----------
    operation : str
        The operation that made it, or whose derivative did; empty where it was none.
    filename, lineno, source : str, int, str
        The line that ran the operation.
    """

    operation = filename = source = ""
    lineno = 0


class ModuleError(TinygradError, TypeError):
    """A member of a kind that a module cannot hold, or cannot hold under that name."""


class ModuleStateError(TinygradError, AttributeError):
    """A module used before its ``__init__`` has run."""


class Diverged(TinygradError, ArithmeticError):
    """A loss or outputs of a model that are no longer finite numbers."""


class MissingPackageError(TinygradError, ImportError):
    """Another package that this call needs and that is not installed."""
