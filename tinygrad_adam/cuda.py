"""`tg.cuda`: whether there is a GPU, how many, and waiting for it."""

from __future__ import annotations

from .device import Device, load_cupy, usable_cupy
from .errors import DeviceError

__all__ = ["device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Whether CuPy is installed and sees at least one GPU.

    Examples
    --------
    >>> is_available() in (True, False)
    True
    """
    try:
        cupy = load_cupy()
    except DeviceError:
        return False
    return bool(cupy.cuda.is_available())


def device_count() -> int:
    """Return how many GPUs CuPy sees; 0 without CuPy."""
    return int(load_cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


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
        usable_cupy(target).cuda.Device(target.index).synchronize()
