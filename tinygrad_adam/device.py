"""Where arrays live: ``"cpu"`` means NumPy, ``"cuda:i"`` means CuPy.

Every tensor carries its array, and the array's type says where it lives, so there is no global
backend.  CuPy is imported the first time somebody asks for a CUDA device, never before.

Random numbers are drawn on the host by a counter-based :class:`Generator` and then moved: the same
seed gives the same parameters and the same batch order on every device.
"""

from __future__ import annotations

import contextlib
import importlib
import operator
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import ArgumentError, DeviceError, DTypeError

__all__ = [
    "Array",
    "Device",
    "Generator",
    "added",
    "array_module",
    "asarray",
    "copied",
    "cuda_device_count",
    "cuda_is_available",
    "default_generator",
    "device_guard",
    "device_of",
    "get_default_device",
    "is_writable",
    "manual_seed",
    "same_device",
    "set_default_device",
    "synchronize",
    "to_device",
]

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
        raise DeviceError(f'device {spec!r} is unknown; use "cpu", "cuda" or "cuda:<index>"')

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = Device.parse(other)
            except DeviceError:
                return False
        return isinstance(other, Device) and tuple(self) == tuple(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))


CPU = Device("cpu", 0)
_NO_GUARD = contextlib.nullcontext()


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed; "
            'install it with pip install "tinygrad-adam[cuda13]" (or cuda12)'
        ) from error


def cuda_is_available() -> bool:
    """Whether CuPy is installed and sees at least one GPU.

    Examples
    --------
    >>> cuda_is_available() in (True, False)
    True
    """
    try:
        cupy = _cupy()
    except DeviceError:
        return False
    return bool(cupy.cuda.is_available())


def cuda_device_count() -> int:
    """Return how many GPUs CuPy sees; 0 without CuPy."""
    return int(_cupy().cuda.runtime.getDeviceCount()) if cuda_is_available() else 0


def _usable_cupy(device: Device) -> Any:
    """CuPy, after checking that `device` exists here."""
    cupy = _cupy()
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


def synchronize(device: Device | str | None = "cuda") -> None:
    """Wait until the GPU has finished all work given to it so far.

    Parameters
    ----------
    device : str or Device
        The GPU to wait for; the CPU is never behind.

    Raises
    ------
    DeviceError
        If there is no such GPU here.
    """
    target = Device.parse(device)
    if target.type == "cuda":
        _usable_cupy(target).cuda.Device(target.index).synchronize()


def array_module(array: Array) -> Any:
    """Return the module whose functions work on `array`: ``numpy`` or ``cupy``.

    Examples
    --------
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    return _cupy()


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
    return _cupy().cuda.Device(int(array.device.id))


def added(a: Array, b: Array, *, in_place: bool = False) -> Array:
    """Return ``a + b`` on the device of `b`; written into `a` where it is asked for."""
    with device_guard(b):  # a copy between devices gives to another than the current one
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
        return _cupy().asnumpy(array)
    cupy = _usable_cupy(target)
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
            array = _cupy().asarray(array)
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
        _usable_cupy(target)
    _default_device = target


# --- random numbers -----------------------------------------------------------------------------


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
