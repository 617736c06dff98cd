"""Where arrays live: ``"cpu"`` means NumPy, ``"cuda:i"`` means CuPy.

Every tensor carries its array, and the array's type says where it lives, so there is no global
backend.  CuPy is imported the first time somebody asks for a CUDA device, never before.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, NamedTuple

import numpy as np

from .errors import DeviceError, DTypeError

__all__ = [
    "Array", "Device", "added", "array_module", "asarray", "copied", "device_guard", "device_of",
    "devices_here", "get_default_device", "is_writable", "load_cupy", "same_device",
    "set_default_device", "to_device", "usable_cupy",
]  # fmt: skip

# A numpy.ndarray or a cupy.ndarray; CuPy has no type stubs, and may not be installed.
Array = Any


class Device(NamedTuple):
    """A place for arrays: the CPU (NumPy) or one CUDA GPU (CuPy).

    Examples
    --------
    >>> str(Device.parse("cuda"))
    'cuda:0'
    """

    type: str
    index: int = 0  # type: ignore[assignment]  # a tuple has a method of this name

    @classmethod
    def parse(cls, spec: Device | str | None) -> Device:
        """Read ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; ``None`` is the default device."""
        if spec is None:
            return get_default_device()
        if isinstance(spec, Device):
            return spec
        if isinstance(spec, str):
            kind, colon, number = spec.partition(":")
            if kind == "cpu" and number in ("", "0"):
                return CPU
            if kind == "cuda" and (number.isdecimal() or not colon):
                return cls("cuda", int(number or 0))
        raise DeviceError(
            f'device {spec!r} is unknown; use "cpu", "cuda" or "cuda:<index>"; {devices_here()}'
        )

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            known = other.partition(":")[0] in ("cpu", "cuda")
            try:
                other = Device.parse(other) if known else None
            except DeviceError:
                return False
        return isinstance(other, Device) and tuple(self) == tuple(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))


CPU = Device("cpu", 0)
_NO_GUARD = contextlib.nullcontext()


def load_cupy() -> Any:
    """Return CuPy, or raise DeviceError."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed; install it with pip install "
            "cupy-cuda13x, for CUDA 12 cupy-cuda12x"
        ) from error


def devices_here() -> str:
    """Return which devices there are, for an error."""
    try:
        cupy = load_cupy()
        count = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    except DeviceError:
        return 'this machine has "cpu" only, as CuPy is not installed'
    return " ".join(["this machine has", *(f'"cuda:{i}",' for i in range(count)), '"cpu"'])


def usable_cupy(device: Device) -> Any:
    """Return CuPy, after checking that `device` exists here."""
    cupy = load_cupy()
    if not cupy.cuda.is_available():
        raise DeviceError(
            f"device '{device}' was asked for but CuPy sees no GPU on this machine; "
            'use device="cpu", or check the driver with nvidia-smi'
        )
    count = cupy.cuda.runtime.getDeviceCount()
    if device.index >= count:
        raise DeviceError(
            f"device '{device}' was asked for but this machine has {count} GPU(s): "
            f"cuda:0 to cuda:{count - 1}"
        )
    return cupy


def array_module(array: Array) -> Any:
    """Return the module whose functions work on `array`: ``numpy`` or ``cupy``.

    Examples
    --------
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    return load_cupy()


def device_of(array: Array) -> Device:
    """Return the device on which `array` lives."""
    if isinstance(array, (np.ndarray, np.generic)):
        return CPU
    return Device("cuda", int(array.device.id))


def same_device(a: Array, b: Array) -> bool:
    """Whether two arrays live on the same device."""
    if isinstance(a, np.ndarray):
        return isinstance(b, (np.ndarray, np.generic))
    return device_of(a) == device_of(b)


def device_guard(array: Array) -> Any:
    """Context in which new arrays and kernels go to the device of `array`."""
    if isinstance(array, (np.ndarray, np.generic)):
        return _NO_GUARD
    return load_cupy().cuda.Device(int(array.device.id))


def added(a: Array, b: Array, in_place: bool = False) -> Array:
    """Return ``a + b`` on the device of `b`; written into `a` where it is asked for."""
    if type(b) is not np.ndarray and not isinstance(b, np.generic):
        with device_guard(b):  # a copy between devices gives to another than the current one
            return a.__iadd__(b) if in_place else a + b
    if in_place:
        a += b  # a NumPy scalar makes a new one
        return a
    return a + b


def copied(array: Array) -> Array:
    """Return a row-major copy in memory of its own."""
    with device_guard(array):
        return array_module(array).array(array, order="C")


def is_writable(array: Array) -> bool:
    """Whether every element of `array` has memory of its own that may be written to.

    CuPy gives a repeated view (``broadcast_to``) that looks like any other; NumPy's is read-only.
    """
    if isinstance(array, np.ndarray):
        return bool(array.flags.writeable)
    return not array.size or all(
        step or n < 2 for n, step in zip(array.shape, array.strides, strict=True)
    )


def to_device(array: Array, device: Device | str | None) -> Array:
    """Return `array` on `device`; the same object if it is there already."""
    target = Device.parse(device)
    source = device_of(array)
    if source == target:
        return array
    if target.type == "cpu":
        return load_cupy().asnumpy(array)
    cupy = usable_cupy(target)
    with cupy.cuda.Device(target.index):
        # copy() makes a strided array contiguous first, without which GPUs do not exchange it
        return cupy.asarray(array) if source.type == "cpu" else array.copy()


def asarray(data: Any, dtype: Any = None, device: Device | str | None = None) -> Array:
    """Return `data` (anything NumPy reads, or an array of either kind) as an array on `device`.

    With ``device=None`` an existing array stays where it is and anything else goes to the default
    device.
    """
    if not isinstance(data, (np.ndarray, np.generic)) and hasattr(data, "__cuda_array_interface__"):
        array = data
        if not hasattr(array, "astype"):  # another library's GPU array
            array = load_cupy().asarray(array)
        array = to_device(array, device) if device is not None else array
        with device_guard(array):
            return array if dtype is None else array.astype(dtype, copy=False)
    try:
        array = np.asarray(data, dtype=dtype)
    except (TypeError, RuntimeError) as error:  # PyTorch's: bfloat16, sparse, requires_grad
        raise DTypeError(
            f"a {type(data).__module__}.{type(data).__name__} cannot be read as an array: {error}; "
            "hand over a NumPy array, from PyTorch with .detach().cpu().float().numpy()"
        ) from error
    if device is None and isinstance(data, np.ndarray):
        return array
    return to_device(array, device)


# --- the default device -------------------------------------------------------------------------

_default_device = CPU


def get_default_device() -> Device:
    """Return the device on which new tensors are made when none is named."""
    return _default_device


def set_default_device(device: Device | str) -> None:
    """Make new tensors on `device` unless the call names another.

    Parameters
    ----------
    device : str or Device
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises
    ------
    DeviceError
        If the name is not one of these or there is no such GPU; the default is then unchanged.

    Examples
    --------
    >>> set_default_device("cpu")
    >>> get_default_device()
    device('cpu')
    """
    global _default_device
    target = Device.parse(device)
    if target.type == "cuda":
        usable_cupy(target)
    _default_device = target
