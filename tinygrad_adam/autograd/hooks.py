"""Functions that see a gradient on its way, and may replace it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..device import same_device
from ..errors import DTypeError, ShapeError
from .explain import mixed_devices
from .graph import Variable, variable

__all__ = ["called"]


def called(
    hooks: Mapping[Any, Any] | None, g: Any, mine: bool, create_graph: bool
) -> tuple[Any, bool]:
    """Return the gradient that `hooks` make of `g`, and whether it is still the engine's alone."""
    for hook in () if hooks is None else tuple(hooks.values()):
        t: Any = g if create_graph else variable(g)
        result = hook(t)
        mine = False  # a hook may have kept what it saw
        if result is not None:
            check_result(result, t)
            g = result if create_graph else result._data
    return g, mine


def check_result(result: Any, t: Any) -> None:
    """Raise unless `result` can stand for the gradient `t`."""
    if not isinstance(result, Variable) or result._data.shape != t.shape:
        raise ShapeError(
            f"a hook must return None or a Tensor of shape {t.shape}, "
            f"got {getattr(result, 'shape', type(result).__name__)}"
        )
    if result._data.dtype != t._data.dtype:
        raise DTypeError(
            f"a hook got a gradient of {t._data.dtype} and returned one of "
            f"{result._data.dtype}; a gradient has the element type of its tensor"
        )
    if not same_device(result._data, t._data):
        raise mixed_devices("a hook: gradient and result", [t._data, result._data])
