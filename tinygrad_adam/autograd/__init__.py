"""The engine: recording operations, and walking the record backwards."""

from .differentiate import backward, grad
from .faster import faster
from .graph import Node, apply
from .mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .registry import OPS, Op, op

__all__ = [
    "OPS", "Node", "Op", "apply", "backward", "enable_grad", "faster", "grad", "is_grad_enabled",
    "no_grad", "op", "set_grad_enabled",
]  # fmt: skip
