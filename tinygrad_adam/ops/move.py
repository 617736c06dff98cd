"""Operations that give the same elements in another type, or on another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.graph import apply
from ..autograd.registry import op
from ..device import Device, device_of, to_device
from ..dtypes import kind

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["cast", "moved"]

CAST = op(
    "cast",
    lambda xp, x, *, dtype: x.astype(dtype),
    x=lambda F, g: g,  # the engine casts a gradient to its input's type
)
TO_DEVICE = op(
    "to_device",
    lambda xp, x, *, source, target: to_device(x, target),
    x=lambda F, g, source, target: F.to_device(g, source=target, target=source),
)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` with elements of type `dtype`; `x` itself if it has them already."""
    wanted = np.dtype(dtype)
    if x._data.dtype == wanted:
        return x
    kind(wanted)
    return apply(CAST, (x,), {"dtype": wanted})


def moved(x: Tensor, device: Any) -> Tensor:
    """Return `x` on `device`; `x` itself if it is there already."""
    source, target = device_of(x._data), Device.parse(device)
    if source == target:
        return x
    return apply(TO_DEVICE, (x,), {"source": source, "target": target})
