"""The tensor a model learns."""

from __future__ import annotations

from typing import Any

from ..creation import as_tensor
from ..tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that a `Module` registers when it is assigned to one of its attributes.

    Otherwise an ordinary leaf tensor, with ``requires_grad=True`` from the start.  Operations on
    parameters give plain tensors.

    Parameters
    ----------
    data : Tensor, array or nested sequence
        The values.  A tensor's or an array's memory is shared, not copied.
    requires_grad : bool, default True
        ``False`` freezes the parameter: it stays in ``state_dict`` and gets no gradient.

    Raises
    ------
    DTypeError
        If `requires_grad` is true and `data` is not floating point.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> weight = nn.Parameter([1.0, 2.0])
    >>> weight.requires_grad, type(weight * 2).__name__
    (True, 'Tensor')
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(as_tensor(data).data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
