"""tinygrad_adam: reverse-mode automatic differentiation on NumPy and CuPy.

>>> import tinygrad_adam as tg
>>> w = tg.tensor([1.0, -2.0], requires_grad=True)
>>> loss = (w * w).sum()
>>> loss.backward()
>>> w.grad
tensor([ 2., -4.])

Importing this package loads NumPy and nothing else: a module of it is read when one of its names
is first used. Where the names come from is in `api.py`.
"""

import sys as _sys
import typing as _typing
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

import numpy as _np

if _typing.TYPE_CHECKING:
    from . import autograd as autograd
    from . import compat as compat
    from . import cuda as cuda
    from . import data as data
    from . import errors as errors
    from . import nn as nn
    from . import optim as optim
    from . import plot as plot
    from . import train as train
    from .api import *  # noqa: F403
    from .serialization import load as load
    from .serialization import save as save

__version__ = "0.1.0"

float16 = _np.dtype(_np.float16)
float32 = float = _np.dtype(_np.float32)
float64 = double = _np.dtype(_np.float64)
int8 = _np.dtype(_np.int8)
int16 = _np.dtype(_np.int16)
int32 = _np.dtype(_np.int32)
int64 = long = _np.dtype(_np.int64)
uint8 = _np.dtype(_np.uint8)
bool = _np.dtype(_np.bool_)

_DTYPES = [n for n, value in list(globals().items()) if isinstance(value, _np.dtype)]
_MODULES = ["autograd", "compat", "cuda", "data", "errors", "nn", "optim", "plot", "train"]
_SERIALIZATION = ("load", "save")


def _load(name: str) -> object:
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    home = _import_module(f"{__name__}.{'serialization' if name in _SERIALIZATION else 'api'}")
    if name == "__all__":
        return sorted([*home.__all__, *_DTYPES, *_MODULES, *_SERIALIZATION])
    if name not in home.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(home, name)
    return value


if not _typing.TYPE_CHECKING:  # or a type checker would take any name for known
    __getattr__ = _load


def __dir__() -> list[str]:
    return [*_sys.modules[__name__].__all__, "__version__"]


class _Package(_ModuleType):
    """The package, on which `tensor` is the function and `device` the class.

    Python stores a submodule that it has read as an attribute of its package, which would put the
    files `tensor.py` and `device.py` in front of those two.
    """

    def __setattr__(self, name: str, value: object) -> None:
        hides = name in ("tensor", "device") and isinstance(value, _ModuleType)
        if not hides:
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
