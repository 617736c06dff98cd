"""tinygrad_adam: reverse-mode automatic differentiation on NumPy and CuPy.

>>> import tinygrad_adam as tg
>>> w = tg.tensor([1.0, -2.0], requires_grad=True)
>>> loss = (w * w).sum()
>>> loss.backward()
>>> w.grad
tensor([ 2., -4.])

Importing this package loads NumPy and no other library.  Which names it has is said where they are
defined: each file's ``__all__`` is the only list of them.
"""

import typing as _typing
from importlib import import_module as _import_module

from . import autograd as autograd
from . import cuda as cuda
from . import errors as errors
from . import kernels as kernels
from . import nn as nn
from . import optim as optim
from .autograd import grad as grad
from .autograd.mode import *
from .creation import *
from .device import Device as Device
from .device import Device as device
from .device import get_default_device as get_default_device
from .device import set_default_device as set_default_device
from .dtypes import *
from .kernels.switch import is_fast as is_fast
from .kernels.switch import set_fast as set_fast
from .ops.conv import *
from .ops.elementary import *
from .ops.elementwise import *
from .ops.index import *
from .ops.join import *
from .ops.linear import *
from .ops.pad import *
from .ops.pool import *
from .ops.reduce import *
from .ops.shape import *
from .ops.softmax import *
from .process import *
from .random import Generator as Generator
from .random import manual_seed as manual_seed
from .serialization import *
from .tensor import Tensor as Tensor

if _typing.TYPE_CHECKING:
    from . import array_api as array_api
    from . import data as data
    from . import func as func
    from . import plot as plot
    from . import train as train
    from . import types as types
    from .autograd.chain import explain as explain
    from .creation import tensor as tensor  # the function, not the file it would be taken for

__version__ = "0.1.0"

# Read at their first use: whoever only wants gradients needs neither data nor figures.
_LATER = ("array_api", "data", "func", "plot", "train", "types")
_LATER_FROM = {"explain": "autograd.chain"}

if not _typing.TYPE_CHECKING:  # a type checker would take any name for known
    # of the files only these are part of the public face
    _ROOMS = (autograd, cuda, errors, nn, optim)
    __all__ = sorted(
        name
        for name, value in globals().items()
        if not name.startswith("_") and (not isinstance(value, type(_typing)) or value in _ROOMS)
    )

    def __getattr__(name: str) -> object:
        if name in _LATER:
            return _import_module(f"{__name__}.{name}")
        if name in _LATER_FROM:
            return getattr(_import_module(f"{__name__}.{_LATER_FROM[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*__all__, *_LATER, *_LATER_FROM, "__version__"]
