"""Tensors among the arrays of others: NumPy's functions given a Tensor, and DLPack.

A tensor on the CPU that requires no gradient counts as its array.  One that does require a gradient
is refused, since the gradient would be lost; the error names the function that keeps it.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

from .autograd.graph import Variable
from .autograd.memory import _owner
from .device import Array, device_of, load_cupy
from .errors import DeviceError, DTypeError, ExchangeError, GraphError
from .ops import elementary as el
from .ops import elementwise as ew
from .ops.linear import matmul

__all__ = ["exported", "imported", "numpy_function", "numpy_ufunc"]

# `array + tensor` comes here as numpy.add: ours then, so that gradients flow.
_OPERATORS: dict[Any, Any] = {
    np.add: ew.add,
    np.subtract: ew.sub,
    np.multiply: ew.mul,
    np.true_divide: ew.div,
    np.power: ew.pow,
    np.equal: ew.eq,
    np.not_equal: ew.ne,
    np.less: ew.lt,
    np.less_equal: ew.le,
    np.greater: ew.gt,
    np.greater_equal: ew.ge,
    np.matmul: matmul,
    np.floor_divide: el.floor_divide,
    np.remainder: el.remainder,
    np.bitwise_and: el.bitwise_and,
    np.bitwise_or: el.bitwise_or,
    np.bitwise_xor: el.bitwise_xor,
    np.left_shift: el.bitwise_left_shift,
    np.right_shift: el.bitwise_right_shift,
}
# These ask about an array and do not look into it.
_QUESTIONS = {np.shape, np.ndim, np.size}
# What NumPy's functions are called here, where that is not the same.
_OURS = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "clip": "clamp",
    "concatenate": "cat",
    "copy": "clone",
    "divide": "div",
    "dot": "matmul",
    "expand_dims": "unsqueeze",
    "invert": "bitwise_not",
    "rint": "round",
    "moveaxis": "movedim",
    "multiply": "mul",
    "negative": "neg",
    "power": "pow",
    "subtract": "sub",
    "swapaxes": "transpose",
}


def numpy_ufunc(function: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
    """Return what a NumPy ufunc gives for operands with a Tensor among them."""
    ours = _OPERATORS.get(function)
    if ours is not None and method == "__call__" and not settings:
        return ours(*map(_operand, inputs)) if ours is matmul else ours(*inputs)
    name = f"numpy.{function.__name__}{'' if method == '__call__' else '.' + method}"
    return getattr(function, method)(*_plain(name, inputs), **_plain(name, settings))


def numpy_function(function: Any, args: Any, settings: Any) -> Any:
    """Return what a NumPy function gives for arguments with a Tensor among them."""
    name = "" if function in _QUESTIONS else f"{function.__module__}.{function.__name__}"
    return function(*_plain(name, args), **_plain(name, settings))


def _operand(value: Any) -> Any:
    return value if isinstance(value, Variable) else Variable.tensor_class(value)


def _plain(name: str, value: Any) -> Any:
    """Return a function's arguments with arrays for the tensors among them."""
    if isinstance(value, Variable):
        return _array(name, value)
    if isinstance(value, (tuple, list)) and any(map(_has_tensor, value)):
        return type(value)([_plain(name, v) for v in value])
    if isinstance(value, dict):
        return {k: _plain(name, v) for k, v in value.items()}
    return value


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_has_tensor, value))
    return isinstance(value, Variable)


def _array(name: str, t: Variable) -> Array:
    """Return the array of a tensor, not to be written to: graphs would not notice."""
    data = t._data
    if name and (t._node is not None or t._requires_grad):
        raise GraphError(
            f"{name}: a Tensor that requires a gradient, which NumPy would lose; "
            f"{_advice(name, 't.detach()')}"
        )
    if not isinstance(data, np.ndarray):
        raise DeviceError(
            f"{name}: a Tensor on {device_of(data)}, where NumPy does not reach; "
            f"{_advice(name, 't.cpu()')}"
        )
    data = data.view()
    data.flags.writeable = False
    return data


def _advice(name: str, instead: str) -> str:
    last = name.rpartition(".")[2]
    ours = _OURS.get(last, last)
    if hasattr(sys.modules[__package__], ours):
        return f"use tg.{ours}, or give it {instead} for an array"
    return f"give it {instead} for an array"


# --- DLPack -------------------------------------------------------------------------------------

_CPU, _CUDA = (1, 3), (2, 13)  # DLPack's kinds of devices, whose memory NumPy and CuPy read

# Arrays whose memory another library has too.  Memory comes back without a sign of where it came
# from; as part of the array that is known, its changes are noticed by the graphs that saved it.
_shared: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()


def exported(t: Variable, **asked: Any) -> Any:
    """Return the DLPack capsule of a tensor's memory; see `Tensor.__dlpack__`."""
    if t._node is not None or t._requires_grad:
        raise ExchangeError(
            "__dlpack__: this Tensor requires a gradient, which the other library would not see; "
            "hand over .detach()"
        )
    data = t._data
    if min(data.strides, default=0) < 0:  # allowed by DLPack, but PyTorch ends the process
        raise ExchangeError(
            f"__dlpack__: the memory of a Tensor of shape {data.shape} runs backwards, which other "
            "libraries do not take; hand over .contiguous()"
        )
    try:
        capsule = data.__dlpack__(**{k: v for k, v in asked.items() if v is not None})
    except (BufferError, RuntimeError, ValueError) as error:
        raise ExchangeError(
            f"__dlpack__: a {data.dtype} Tensor of shape {data.shape} on {device_of(data)}: "
            f"{error}; hand over .clone()"
        ) from error
    whole = _owner(data)
    _shared[id(whole)] = whole
    return capsule


def imported(x: Any) -> Array:
    """Return an array on the memory of `x`, which has DLPack's methods."""
    if isinstance(x, (np.ndarray, np.generic)):
        return x
    try:
        kind, _ = x.__dlpack_device__()
        if kind not in (*_CPU, *_CUDA):
            raise ExchangeError(f"its device is of DLPack's kind {kind}; move it to the CPU first")
        array = (np if kind in _CPU else load_cupy()).from_dlpack(x)
    except AttributeError:
        raise DTypeError(
            f"from_dlpack: expected an array with __dlpack__ and __dlpack_device__, got "
            f"{type(x).__name__}; use tg.tensor(...)"
        ) from None
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, DeviceError):  # no CuPy
            raise
        raise ExchangeError(
            f"from_dlpack: a {type(x).__module__}.{type(x).__name__} cannot be taken over: {error}"
        ) from error
    for known in list(_shared.values()):
        if type(known) is type(array):
            part = _part_of(known, array)
            if part is not None:
                return part
    _shared[id(array)] = array
    return array


def _part_of(known: Array, array: Array) -> Array | None:
    """Return `array` as a part of `known`, if that is where its memory lies."""
    start = _address(array) - _address(known)
    if not start and (array.shape, array.strides, array.dtype) == (
        known.shape, known.strides, known.dtype,
    ):  # fmt: skip
        return known
    if not isinstance(known, np.ndarray) or not array.size or not known.flags.c_contiguous:
        return None
    low, high = np.lib.array_utils.byte_bounds(array)
    first = _address(known)
    if low < first or high > first + known.nbytes:
        return None
    part = np.ndarray(array.shape, array.dtype, known, start, array.strides)
    part.flags.writeable = array.flags.writeable and known.flags.writeable
    return part


def _address(array: Array) -> int:
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)
