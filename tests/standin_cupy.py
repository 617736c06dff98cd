"""A stand-in for CuPy on NumPy arrays, strict where a GPU is: GPU code is tested without one.

It behaves like CuPy 14.2 where that differs from NumPy and code gets it wrong:

* its arrays are no NumPy arrays: nothing converts them silently, and they mix with no NumPy array;
* there are no scalars: a reduction to one number is a 0-d array, and reading it is a wait;
* new arrays go to the current device, and a kernel refuses arrays of another one;
* results of kernels are C-ordered whatever the order of the inputs;
* ``copy`` copies to the *current* device; an array that is contiguous in no order cannot be sent
  to another device as it lies;
* an index array out of range wraps around; ``add.at`` knows few element types;
* ``flags`` has no ``writeable``, and ``broadcast_to`` gives a view that can be written to;
* functions have CuPy's parameters (``max`` has no ``initial``), and only CuPy's functions exist;
* ``empty`` is full of NaN or 77; there are no floating-point warnings;
* operators leave their turn to an operand whose ``__array_ufunc__`` is None, and to no other.

`traffic` records every copy between host and device and every wait for the device.

Stricter than CuPy, on purpose: NumPy's functions refuse these arrays (CuPy lets them dispatch); so
do index lists, NumPy index arrays and NumPy values in an assignment (CuPy uploads them each time),
and 0-d NumPy arrays in comparisons; devices have no peer access, and even filling an array needs
its own device.

Not modelled: streams and asynchronous errors, other libraries' arrays, ``cupy.random``, complex
numbers, float-to-integer conversion of what does not fit, the random order in which ``add.at``
adds, and everything `tinygrad_adam` does not use.  To offer another function, look up its
parameters in CuPy; `test_devices.py` compares them with a real CuPy where one can be imported, and
`test_gpu.py` the behaviour where there is a GPU.
"""

from __future__ import annotations

import builtins
import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

__version__ = "14.2.0"

gpus = 2  # how many devices there are


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an error of the CUDA runtime."""


class Traffic:
    """What has crossed between host and device, and what has waited for the device."""

    def __init__(self) -> None:
        self.uploads: list[str] = []
        self.downloads: list[str] = []
        self.waits: list[str] = []

    def clear(self) -> None:
        self.__init__()

    @property
    def total(self) -> int:
        return len(self.uploads) + len(self.downloads) + len(self.waits)

    def __repr__(self) -> str:
        return f"Traffic(uploads={self.uploads}, downloads={self.downloads}, waits={self.waits})"


traffic = Traffic()


# --- devices ------------------------------------------------------------------------------------


class _Current(threading.local):
    device = 0


_current = _Current()


class Device:
    """One GPU; in a ``with`` block, the current one."""

    def __init__(self, device: int | None = None) -> None:
        self.id = _current.device if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self) -> Device:
        if not 0 <= self.id < gpus:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._before.append(_current.device)
        _current.device = self.id
        return self

    def __exit__(self, *exc: object) -> None:
        _current.device = self._before.pop()

    def synchronize(self) -> None:
        with self:
            traffic.waits.append("synchronize")

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


def _device_count() -> int:
    if not gpus:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    return gpus


cuda = SimpleNamespace(
    Device=Device,
    is_available=lambda: gpus > 0,
    runtime=SimpleNamespace(
        getDeviceCount=_device_count,
        getDevice=lambda: _current.device,
        CUDARuntimeError=CUDARuntimeError,
    ),
)


def _new(raw: Any, order: str = "C") -> ndarray:
    """Return a fresh array on the current device around `raw`, which nothing else may hold."""
    _device_count()
    return ndarray(np.asarray(raw, order=order), _current.device, None)


def _operand(value: Any) -> Any:
    """Return the NumPy form of what a kernel is given: an array of this device, or a scalar."""
    if isinstance(value, ndarray):
        if value._device != _current.device:
            raise ValueError(
                f"The device where the array resides ({value._device}) is different from the "
                f"current device ({_current.device}). Peer access is unavailable between these "
                "devices."
            )
        return value._raw
    if type(value) in (bool, int, float) or isinstance(value, np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _launch(function: Any, *args: Any, out: ndarray | None = None, **settings: Any) -> ndarray:
    """Run `function` on the operands, as one kernel would."""
    operands = [_operand(a) for a in args]
    with np.errstate(all="ignore"):
        if out is None:
            return _new(function(*operands, **settings))
        if not isinstance(out, ndarray):
            raise TypeError(f"return arrays must be of ndarray, not {type(out)}")
        function(*operands, out=_operand(out), **settings)
    return out


# --- arrays -------------------------------------------------------------------------------------


def _leaves_turn(other: Any) -> bool:
    """Whether an operator of an array gives way to the other operand's."""
    missing = object()
    protocol = getattr(other, "__array_ufunc__", missing)
    if protocol is missing:
        return bool(getattr(other, "__array_priority__", 0) > ndarray.__array_priority__)
    return protocol is None


def _operator(name: str, swapped: bool = False) -> Any:
    def run(self: ndarray, other: Any) -> Any:
        if not isinstance(other, ndarray) and _leaves_turn(other):
            return NotImplemented
        return _functions[name](*((other, self) if swapped else (self, other)))

    return run


def _in_place(name: str) -> Any:
    def run(self: ndarray, other: Any) -> Any:
        return _functions[name](self, other, out=self)

    return run


class ndarray:
    """An array on a device: a NumPy buffer that only this module looks into."""

    __slots__ = ("__weakref__", "_device", "_raw", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, raw: np.ndarray, device: int, base: ndarray | None) -> None:
        self._raw, self._device, self.base = raw, device, base

    def _view(self, raw: np.ndarray) -> ndarray:
        return ndarray(raw, self._device, self if self.base is None else self.base)

    # what it is
    shape = property(lambda self: self._raw.shape)
    strides = property(lambda self: self._raw.strides)
    ndim = property(lambda self: self._raw.ndim)
    size = property(lambda self: self._raw.size)
    dtype = property(lambda self: self._raw.dtype)
    itemsize = property(lambda self: self._raw.itemsize)
    nbytes = property(lambda self: self._raw.nbytes)
    device = property(lambda self: Device(self._device))
    data = property(lambda self: SimpleNamespace(ptr=self._raw.ctypes.data, device_id=self._device))

    @property
    def flags(self) -> Any:
        flags = self._raw.flags
        return SimpleNamespace(
            c_contiguous=flags.c_contiguous,
            f_contiguous=flags.f_contiguous,
            owndata=self.base is None,
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._raw.ctypes.data if self.size else 0, False),
            "strides": None if self._raw.flags.c_contiguous else self.strides,
            "version": 3,
        }

    # to the host
    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray:
        if self.size:
            traffic.downloads.append(f"{self.dtype} {self.shape}")
            traffic.waits.append("get")
        return np.array(self._raw, order=order)

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous")
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __repr__(self) -> str:
        return repr(self._raw)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} was called on a device array; call cupy's")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # NumPy's operators come here with a NumPy operand; without one, it was called by name
        if not builtins.any(isinstance(i, (np.ndarray, np.generic)) for i in inputs):
            raise TypeError(f"numpy.{ufunc.__name__} was called on a device array; call cupy's")
        if method != "__call__" or ufunc.__name__ not in _functions:
            return NotImplemented
        return _functions[ufunc.__name__](*inputs, **kwargs)

    # to another library on the same device
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: Any = None,
    ) -> Any:
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(f"{self.__dlpack_device__()} was asked for as {dl_device}")
        return SimpleNamespace(raw=self._raw.copy() if copy else self._raw, device=self._device)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device

    # copies
    def copy(self, order: str = "C") -> ndarray:
        if self._device == _current.device or not self.size:
            return _new(self._raw.copy(order=order), "A")
        raw = np.asarray(self._raw, order=order)
        if not (raw.flags.c_contiguous or raw.flags.f_contiguous):
            raise NotImplementedError("CuPy cannot copy non-contiguous array between devices.")
        return _new(raw.copy(order="K"), "A")

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        kind = _checked_dtype(dtype)
        if not copy and kind == self.dtype and np.asarray(self._raw, order=order) is self._raw:
            return self
        with np.errstate(all="ignore"):
            return _new(_operand(self).astype(kind, order=order), "A")

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        _operand(self)[...] = _operand(value)

    # shapes
    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        new = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        raw = self._raw.reshape(new, order=order)
        if not self.size or np.may_share_memory(raw, self._raw):
            return self._view(raw)
        return _new(raw)

    def transpose(self, *axes: Any) -> ndarray:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self._view(self._raw.transpose(order or None))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self._raw.swapaxes(axis1, axis2))

    @property
    def T(self) -> ndarray:
        return self if self.ndim < 2 else self._view(self._raw.T)

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        if type is not None or np.dtype(dtype).itemsize != self.dtype.itemsize:
            raise NotImplementedError("only for another type of the same size")
        return self._view(self._raw.view(_checked_dtype(dtype)))

    # reductions
    def sum(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> ndarray:
        return _launch(np.sum, self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return _launch(np.max, self, axis=axis, out=out, keepdims=keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return _launch(np.min, self, axis=axis, out=out, keepdims=keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return _launch(np.any, self, axis=axis, out=out, keepdims=keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return _launch(np.all, self, axis=axis, out=out, keepdims=keepdims)

    # as a sequence
    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self._raw)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> ndarray:
        index, advanced = _index(self, key)
        if not advanced:
            return self._view(self._raw[(*index, ...) if Ellipsis not in index else index])
        return _new(_operand(self)[index])

    def __setitem__(self, key: Any, value: Any) -> None:
        index, _ = _index(self, key)
        with np.errstate(all="ignore"):
            _operand(self)[index] = _operand(value)

    # operators
    def __neg__(self) -> ndarray:
        return _functions["negative"](self)

    def __pos__(self) -> ndarray:
        return self

    def __abs__(self) -> ndarray:
        return _functions["absolute"](self)

    def __invert__(self) -> ndarray:
        return _functions["invert"](self)


_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "matmul": "matmul",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
for _short, _name in _OPERATORS.items():
    setattr(ndarray, f"__{_short}__", _operator(_name))
    setattr(ndarray, f"__r{_short}__", _operator(_name, swapped=True))
    if _short != "matmul":
        setattr(ndarray, f"__i{_short}__", _in_place(_name))
for _short, _name in _COMPARISONS.items():
    setattr(ndarray, f"__{_short}__", _operator(_name))


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind.kind not in "biuf":
        raise ValueError(f"Unsupported dtype {kind}")
    return kind


def _index(array: ndarray, key: Any) -> tuple[tuple[Any, ...], bool]:
    """Return `key` for the buffer, index arrays wrapped into range, and whether it has any."""
    parts = key if isinstance(key, tuple) else (key,)
    taken = 0
    for part in parts:
        if isinstance(part, ndarray) and part.dtype.kind == "b":
            taken += part.ndim
        elif part is not None and part is not Ellipsis and not isinstance(part, bool):
            taken += 1
    if taken > array.ndim:
        raise IndexError(
            f"too many indices for array: array is {array.ndim}-dimensional, "
            f"but {taken} were indexed"
        )
    index: list[Any] = []
    advanced, axis = False, 0
    for part in parts:
        if part is None:
            index.append(part)
        elif part is Ellipsis:
            index.append(part)
            axis += array.ndim - taken
        elif isinstance(part, (bool, np.bool_)):
            traffic.waits.append("boolean index")
            index.append(part)
            advanced = True
        elif isinstance(part, (slice, int, np.integer)):
            index.append(part)
            axis += 1
        elif isinstance(part, ndarray) and part.dtype.kind == "b":
            traffic.waits.append("boolean index")
            index.append(_operand(part))
            axis += part.ndim
            advanced = True
        elif isinstance(part, ndarray) and part.dtype.kind in "iu":
            raw = _operand(part)
            length = array.shape[axis]
            if not length and raw.size:
                raise IndexError("cannot do a non-empty take from an empty axes.")
            index.append(raw % length if length else raw)
            axis += 1
            advanced = True
        elif isinstance(part, ndarray):
            raise IndexError(
                "arrays used as indices must be of integer or boolean type. "
                f"(actual: {part.dtype.type})"
            )
        else:
            raise TypeError(f"an index of type {type(part)} would be uploaded at every use")
    return tuple(index), advanced


# --- functions, with CuPy's parameters ----------------------------------------------------------


class ufunc:
    """An element-wise function."""

    def __init__(self, name: str, function: Any = None) -> None:
        self.__name__ = name
        self._function = getattr(np, name) if function is None else function

    def __call__(
        self, *args: Any, out: Any = None, casting: str = "same_kind", dtype: Any = None
    ) -> ndarray:
        return _launch(self._function, *args, out=out, casting=casting, dtype=dtype)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self.__name__ != "add":
            raise NotImplementedError(f"`{self.__name__}.at` is not supported yet")
        if a.dtype.name not in _SCATTERED:
            raise TypeError(f"scatter_add only supports {', '.join(_SCATTERED)}, not {a.dtype}")
        index, _ = _index(a, indices)
        np.add.at(_operand(a), index, np.asarray(_operand(b)).astype(a.dtype))


_SCATTERED = ("int32", "int64", "uint32", "uint64", "float16", "float32", "float64")

_UFUNCS = (
    *_OPERATORS.values(),
    *_COMPARISONS.values(),
    *("absolute", "divide", "invert", "negative", "sign", "maximum", "minimum"),
    *("exp", "log", "log1p", "sqrt", "square", "sin", "cos", "tanh"),
    *("isfinite", "isnan", "logical_and", "logical_not", "logical_or"),
    # what nothing uses yet: CuPy's others of one result, so that a new operation finds its own
    *("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "ceil"),
    *("copysign", "cosh", "exp2", "expm1", "floor", "fmax", "fmin", "fmod", "hypot", "isinf"),
    *("log10", "log2", "logaddexp", "logaddexp2", "logical_xor", "nextafter", "reciprocal"),
    *("remainder", "rint", "signbit", "sinh", "tan", "trunc", "left_shift", "right_shift"),
)
_functions: dict[str, Any] = {name: ufunc(name) for name in _UFUNCS if name != "matmul"}
globals().update(_functions)
abs = _functions["absolute"]
float64 = np.float64
linalg = SimpleNamespace(norm=lambda x: _launch(np.linalg.norm, x))


def matmul(*args: Any, out: Any = None, casting: str = "same_kind", dtype: Any = None) -> ndarray:
    return _launch(np.matmul, *args, out=out, casting=casting, dtype=dtype)


_functions["matmul"] = matmul


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    if isinstance(obj, ndarray):
        kind = obj.dtype if dtype is None else dtype
        if obj._device == _current.device:
            return obj.astype(kind, order=order or "K", copy=copy)
        return obj.copy(order=order or "K").astype(kind, copy=False)
    raw = np.array(obj, dtype=dtype)
    _checked_dtype(raw.dtype)
    if raw.ndim:  # one number is the argument of a fill kernel
        traffic.uploads.append(f"{raw.dtype} {raw.shape}")
    fortran = raw.flags.f_contiguous and not raw.flags.c_contiguous and order != "C"
    return _new(raw, "F" if fortran else "C")


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, bool(copy), order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return a if a.flags.c_contiguous and a.ndim else _launch(np.ascontiguousarray, a)


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    capsule = array.__dlpack__(stream=1, max_version=(1, 0))
    return ndarray(capsule.raw, capsule.device, None)  # nothing says whose memory it is


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    return a.get(order=order) if isinstance(a, ndarray) else np.asarray(a)


def _poisoned(raw: np.ndarray) -> np.ndarray:
    raw.fill(math.nan if raw.dtype.kind == "f" else 77)
    return raw


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _new(_poisoned(np.empty(shape, _checked_dtype(dtype), order)), "A")


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _new(np.zeros(shape, _checked_dtype(dtype), order), "A")


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _new(np.ones(shape, _checked_dtype(dtype), order), "A")


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    return _new(np.full(shape, _operand(fill_value), dtype, order), "A")


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    # like CuPy, which takes an empty shape for none given
    raw = np.empty_like(prototype._raw, dtype, order, True, shape or None)
    return _new(_poisoned(raw), "A")


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    new = empty_like(a, dtype, order, subok, shape)
    new.fill(0)
    return new


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    new = empty_like(a, dtype, order, subok, shape)
    new.fill(1)
    return new


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    return _new(np.arange(*((start,) if stop is None else (start, stop, step)), dtype=dtype))


def broadcast_to(array: Any, shape: Any) -> ndarray:
    strides = np.broadcast_to(array._raw, shape).strides
    return array._view(np.lib.stride_tricks.as_strided(array._raw, shape, strides))


def _as_strided(x: Any, shape: Any, strides: Any) -> ndarray:
    return x._view(np.lib.stride_tricks.as_strided(x._raw, shape, strides))


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))


def expand_dims(a: Any, axis: Any) -> ndarray:
    return a._view(np.expand_dims(a._raw, axis))


def flip(a: Any, axis: Any = None) -> ndarray:
    return a._view(np.flip(a._raw, axis))


def swapaxes(a: Any, axis1: int, axis2: int) -> ndarray:
    return a.swapaxes(axis1, axis2)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return a._device == b._device and bool(np.may_share_memory(a._raw, b._raw))


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return a._device == b._device and bool(np.shares_memory(a._raw, b._raw))


def concatenate(
    tup: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    return _launch(lambda *parts: np.concatenate(parts, axis, dtype=dtype), *tup)


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    bounds = [b for b in (a_min, a_max) if b is not None]
    if len(bounds) == 2:
        return _launch(np.clip, a, *bounds, out=out)
    limit = np.minimum if a_min is None else np.maximum
    return _launch(limit, a, *bounds, out=out)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    return _launch(np.where, condition.astype("?", copy=False), x, y)


def nonzero(a: Any) -> tuple[ndarray, ...]:
    traffic.waits.append("nonzero")
    return tuple(_new(i) for i in np.nonzero(_operand(a)))


def take_along_axis(a: Any, indices: Any, axis: Any) -> ndarray:
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if a.ndim != indices.ndim:
        raise ValueError("`indices` and `a` must have the same number of dimensions")
    where_ = tuple(
        indices
        if d == axis % a.ndim
        else arange(n).reshape((1,) * d + (-1,) + (1,) * (a.ndim - d - 1))
        for d, n in enumerate(a.shape)
    )
    return a[where_]


def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> ndarray:
    return a.sum(axis, dtype, out, keepdims)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return _launch(np.cumsum, a, axis=axis, dtype=dtype, out=out)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return a.max(axis, out, keepdims)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return a.min(axis, out, keepdims)


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return a.any(axis, out, keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return a.all(axis, out, keepdims)


def argsort(a: Any, axis: int | None = -1, kind: Any = None) -> ndarray:
    return _launch(np.argsort, a, axis=axis, kind="stable")


def argmax(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> ndarray:
    return _launch(np.argmax, a, axis=axis, keepdims=keepdims)


def argmin(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> ndarray:
    return _launch(np.argmin, a, axis=axis, keepdims=keepdims)
