"""What public functions take, as types: for signatures, and for whoever annotates code of theirs.

>>> from tinygrad_adam.types import Operand
>>> def twice(x: Operand) -> Operand:
...     return x * 2
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, Protocol, SupportsIndex, Union, overload

import numpy as np

if TYPE_CHECKING:
    from .device import Device
    from .tensor import Tensor

__all__ = [
    "Array", "DTypeLike", "Data", "DeviceLike", "Dim", "Grad", "IndexLike", "Operand", "Pair",
    "Shape", "Size", "Tensors",
]  # fmt: skip

# A numpy.ndarray or a cupy.ndarray; CuPy has no type stubs, and may not be installed.
Array = Any
# What an element-wise operation takes.
Operand = Union["Tensor", np.ndarray, np.generic, float]
# What a tensor is made of: numbers, arrays of any library, and lists of them, however deep.
Data = Union["Tensor", np.ndarray, np.generic, float, Sequence["Data"], Any]
Tensors = Union["Tensor", Iterable["Tensor"]]
Weights = Union["Tensor", Sequence[Union["Tensor", None]]]  # of the outputs of `autograd.grad`

Shape = tuple[int, ...]
Size = SupportsIndex | Sequence[SupportsIndex]  # one length of several, or all of them
Dim = int | Sequence[int] | None  # the axes of a reduction; None for all
Pair = int | Sequence[int]  # for both axes of an image, or for each of them
_Place = Union[SupportsIndex, slice, None, EllipsisType, "Tensor", np.ndarray, list[Any]]
IndexLike = _Place | tuple[_Place, ...]

DTypeLike = np.dtype[Any] | type[np.generic] | type[float] | str
DeviceLike = Union["Device", str]


class Grad(Protocol):
    """`autograd.grad`: there is None among the gradients only where it was allowed."""

    @overload
    def __call__(
        self,
        outputs: Tensors,
        inputs: Tensors,
        grad_outputs: Weights | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        allow_unused: Literal[False] = False,
    ) -> tuple[Tensor, ...]: ...
    @overload
    def __call__(
        self,
        outputs: Tensors,
        inputs: Tensors,
        grad_outputs: Weights | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        allow_unused: bool = False,
    ) -> tuple[Tensor | None, ...]: ...


# Functions that tables and factories make, by name, and as methods of a tensor.


class OfOne(Protocol):
    """A method without arguments."""

    def __call__(self) -> Tensor: ...


class OfOther(Protocol):
    """A method with another operand."""

    def __call__(self, other: Operand) -> Tensor: ...


class Unary(Protocol):
    """An element-wise function of one tensor."""

    def __call__(self, input: Tensor) -> Tensor: ...
    @overload
    def __get__(self, t: None, owner: Any) -> Unary: ...
    @overload
    def __get__(self, t: Tensor, owner: Any) -> OfOne: ...


class Binary(Protocol):
    """An element-wise function of two operands, one of them a tensor."""

    def __call__(self, input: Operand, other: Operand) -> Tensor: ...
    @overload
    def __get__(self, t: None, owner: Any) -> Binary: ...
    @overload
    def __get__(self, t: Tensor, owner: Any) -> OfOther: ...
