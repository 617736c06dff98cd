"""tinygrad_adam: reverse-mode automatic differentiation on NumPy and CuPy.

>>> import tinygrad_adam as tg
>>> w = tg.tensor([1.0, -2.0], requires_grad=True)
>>> loss = (w * w).sum()
>>> loss.backward()
>>> w.grad
tensor([ 2., -4.])
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import numpy as _np

from . import autograd, cuda, errors
from .autograd import enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .device import Device, Generator, get_default_device, manual_seed, set_default_device
from .device import Device as device
from .ops.elementwise import (
    abs,
    add,
    clamp,
    clone,
    cos,
    div,
    eq,
    exp,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow,
    relu,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    sub,
    tanh,
    where,
)
from .ops.index import gather, one_hot
from .ops.join import cat, chunk, split, stack
from .ops.linear import matmul
from .ops.promote import get_default_dtype, result_type, set_default_dtype
from .ops.reduce import (
    amax,
    amin,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    std,
    sum,
    var,
)
from .ops.shape import (
    broadcast_to,
    flatten,
    flip,
    movedim,
    pad,
    permute,
    reshape,
    squeeze,
    transpose,
    unsqueeze,
)
from .ops.softmax import log_softmax, logsumexp, softmax
from .tensor import Tensor

if _TYPE_CHECKING:
    from . import compat, data, nn, optim, plot, train
    from .serialization import load, save

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

# Loaded when first used: what only wants tensors and gradients starts sooner.
_SUBPACKAGES = ("compat", "data", "nn", "optim", "plot", "train")
_SERIALIZATION = ("load", "save")


def __getattr__(name: str) -> _Any:
    if name in _SUBPACKAGES:
        return _import_module(f"{__name__}.{name}")
    if name in _SERIALIZATION:
        return getattr(_import_module(f"{__name__}.serialization"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES, *_SERIALIZATION})


__all__ = [
    "Device",
    "Generator",
    "Tensor",
    "abs",
    "add",
    "amax",
    "amin",
    "arange",
    "argmax",
    "argmin",
    "as_tensor",
    "autograd",
    "bool",
    "broadcast_to",
    "cat",
    "chunk",
    "clamp",
    "clone",
    "compat",
    "cos",
    "cuda",
    "cumsum",
    "data",
    "device",
    "div",
    "double",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "errors",
    "exp",
    "eye",
    "flatten",
    "flip",
    "float",
    "float16",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "get_default_device",
    "get_default_dtype",
    "grad",
    "gt",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "isfinite",
    "isnan",
    "le",
    "linspace",
    "load",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "movedim",
    "mul",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "one_hot",
    "ones",
    "ones_like",
    "optim",
    "pad",
    "permute",
    "plot",
    "pow",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "result_type",
    "rsqrt",
    "save",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "train",
    "transpose",
    "uint8",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
