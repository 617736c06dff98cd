"""How a tensor shows: NumPy's text with PyTorch's frame and number format."""

from __future__ import annotations

from typing import Any

import numpy as np

from .device import to_device
from .dtypes import get_default_dtype

__all__ = ["tensor_text"]


def _number_format(values: Any) -> Any:
    """Return one formatter for all numbers, wide enough for the widest."""
    finite = values[np.isfinite(values)]
    if finite.size:
        largest, least = abs(finite).max(), abs(finite[finite != 0]).min(initial=np.inf)
        whole = (finite == np.trunc(finite)).all()
        if whole and largest < 1e6:  # PyTorch has an exponent for 1 beside 2000 too
            return lambda v: f"{v:.0f}." if np.isfinite(v) else f"{v}"
        if whole or largest > 1e8 or least < 1e-4 or largest / least > 1e3:
            return lambda v: f"{v:.4e}"
    return lambda v: f"{v:.4f}"


def tensor_text(t: Any) -> str:
    """Return the text of ``repr(t)``."""
    data = to_device(t.data, "cpu")
    prefix = "tensor("
    style: dict[str, Any] = {"prefix": prefix, "separator": ", ", "threshold": 200, "edgeitems": 3}
    if data.dtype.kind == "f" and data.size:
        with np.errstate(all="ignore"):
            write = _number_format(data.astype(np.float64))
        shown = data if data.size <= 200 else _corners(data)
        width = max((len(write(v)) for v in shown.ravel()), default=0)
        style["formatter"] = {"float_kind": lambda v: write(v).rjust(width if data.ndim else 0)}
    body = np.array2string(data, **style) if data.size else "[]"
    notes = []
    if not data.size and data.shape != (0,):
        notes.append(f"size={data.shape}")
    if t.device.type != "cpu":
        notes.append(f"device='{t.device}'")
    if data.dtype not in (get_default_dtype(), np.dtype(np.int64), np.dtype(bool)):
        notes.append(f"dtype={data.dtype}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn=<{t.grad_fn.op.name}>")
    elif t.requires_grad:
        notes.append("requires_grad=True")
    return prefix + ", ".join([body, *notes]) + ")"


def _corners(data: Any) -> Any:
    """Return the elements that a shortened print shows."""
    for axis, n in enumerate(data.shape):
        if n > 6:
            data = np.take(data, [0, 1, 2, n - 3, n - 2, n - 1], axis)
    return data
