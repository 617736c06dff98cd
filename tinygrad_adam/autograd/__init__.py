"""The engine: recording operations, and walking the record backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import differentiate as _differentiate
from .differentiate import backward
from .faster import faster
from .graph import Node, apply
from .mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .registry import OPS, Op, op

if TYPE_CHECKING:
    from ..types import Grad

__all__ = [
    "OPS", "Node", "Op", "apply", "backward", "enable_grad", "faster", "grad", "is_grad_enabled",
    "no_grad", "op", "set_grad_enabled",
]  # fmt: skip

grad: Grad = _differentiate.grad
