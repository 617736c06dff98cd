"""The engine: recording operations, and walking the record backwards."""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import differentiate as _differentiate
from .differentiate import backward
from .faster import faster
from .graph import Node, apply
from .mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .registry import OPS, Op, op

if TYPE_CHECKING:
    from ..types import Grad
    from . import functional as functional
    from .anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
    from .checks import check_gradient, gradcheck, gradgradcheck
    from .function import Function, once_differentiable
    from .picture import Graph

__all__ = [
    "Function", "Graph", "Node", "OPS", "Op", "apply", "backward", "check_gradient",
    "detect_anomaly", "enable_grad", "faster", "functional", "grad", "gradcheck", "gradgradcheck",
    "is_anomaly_enabled", "is_grad_enabled", "no_grad", "once_differentiable", "op",
    "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip

grad: Grad = _differentiate.grad

# Read at their first use, from these files: plain training needs none of them.
_LATER = {
    "Function": "function",
    "Graph": "picture",
    "check_gradient": "checks",
    "detect_anomaly": "anomaly",
    "functional": "functional",
    "gradcheck": "checks",
    "gradgradcheck": "checks",
    "is_anomaly_enabled": "anomaly",
    "once_differentiable": "function",
    "set_detect_anomaly": "anomaly",
}

if not TYPE_CHECKING:  # a type checker would take any name for known

    def __getattr__(name: str) -> object:
        if name in _LATER:
            found = _import_module(f"{__name__}.{_LATER[name]}")
            return found if name == _LATER[name] else getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __all__
