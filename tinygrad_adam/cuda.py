"""`tg.cuda`: whether there is a GPU, how many, and waiting for it."""

from .device import cuda_device_count as device_count
from .device import cuda_is_available as is_available
from .device import synchronize

__all__ = ["device_count", "is_available", "synchronize"]
