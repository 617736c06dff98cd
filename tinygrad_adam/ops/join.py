"""Joining tensors, and cutting them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..autograd.graph import Variable, apply
from ..autograd.registry import op
from ..dtypes import result_type
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import integer, one_axis, takes_tensor
from .move import cast
from .shape import reshape, unsqueeze

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["cat", "chunk", "split", "stack"]


CAT = op(
    "cat",
    lambda xp, *tensors, axis, bounds: xp.concatenate(tensors, axis=axis),
    tensors=lambda F, g, i, axis, bounds: F.getitem(
        g, part=(*(slice(None),) * axis, slice(*bounds[i]), ...), places=()
    ),
)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along an existing axis.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of equal shape except along `dim`; those of shape ``(0,)`` join anything, as in PyTorch.
    dim : int
        The axis to join along.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If there are none, or their shapes differ elsewhere.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.cat([tg.zeros(2), tg.ones(1)])
    tensor([0., 0., 1.])
    """
    parts = _tensors("cat", tensors)
    shape = next((t._data.shape for t in parts if t._data.shape != (0,)), (0,))
    if not shape:
        raise ShapeError("cat: 0-d tensors have no axis to join along; use stack")
    axis = one_axis("cat", shape, dim)
    if len(shape) > 1:
        nothing = (*shape[:axis], 0, *shape[axis + 1 :])
        parts = [reshape(t, nothing) if t._data.shape == (0,) else t for t in parts]
    bounds, end = [], 0
    for i, t in enumerate(parts):
        other = t._data.shape
        if len(other) != len(shape) or any(
            n != m for d, (n, m) in enumerate(zip(shape, other, strict=True)) if d != axis
        ):
            raise ShapeError(
                f"cat: tensor 0 has shape {shape} but tensor {i} has {other}; "
                f"they may differ along dim {axis} only"
            )
        bounds.append((end, end + other[axis]))
        end += other[axis]
    return apply(CAT, parts, {"axis": axis, "bounds": tuple(bounds)})


def _tensors(name: str, tensors: Sequence[Any]) -> list[Any]:
    if isinstance(tensors, Variable) or not isinstance(tensors, Iterable):
        raise DTypeError(
            f"{name}: expected a list of tensors, got {type(tensors).__name__}; put it into a list"
        )
    parts = list(tensors)
    if not parts:
        raise ShapeError(f"{name}: needs at least one tensor")
    for t in parts:
        if not isinstance(t, Variable):
            raise DTypeError(f"{name}: expected tensors, got {type(t).__name__}")
    dtype = result_type(*parts)
    return [cast(t, dtype) for t in parts]


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of equal shape.
    dim : int
        Where the new axis will be.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.stack([tg.zeros(2), tg.ones(2)], dim=1).shape
    (2, 2)
    """
    parts = _tensors("stack", tensors)
    shape = parts[0]._data.shape
    for i, t in enumerate(parts):
        if t._data.shape != shape:
            raise ShapeError(
                f"stack: tensor 0 has shape {shape} but tensor {i} has {t._data.shape}"
            )
    at = one_axis("stack", shape, dim, extra=1)
    return cat([unsqueeze(t, at) for t in parts], at)


@takes_tensor
def split(
    tensor: Tensor,
    split_size_or_sections: int | Sequence[int] | None = None,
    dim: int = 0,
    *,
    split_size: int | Sequence[int] | None = None,
) -> tuple[Tensor, ...]:
    """Return views of consecutive pieces along an axis.

    Parameters
    ----------
    tensor : Tensor
        At least one axis.
    split_size_or_sections : int or sequence of int
        The length of each piece (the last may be shorter), or all the lengths.
    dim : int
        The axis to cut.
    split_size : int or sequence of int
        `split_size_or_sections` under the name it has in PyTorch's method.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    ShapeError
        If the lengths do not add up.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> [len(p) for p in tg.split(tg.arange(5), 2)]
    [2, 2, 1]
    """
    shape = tensor._data.shape
    if not shape:
        raise ShapeError("split: a 0-d tensor has no axis to cut")
    if (split_size_or_sections is None) == (split_size is None):
        raise ArgumentError("split: needs the length of the pieces, or all their lengths, once")
    wanted = split_size if split_size_or_sections is None else split_size_or_sections
    axis = one_axis("split", shape, dim)
    n = shape[axis]
    if not isinstance(wanted, (tuple, list)):
        size = integer("split", "the length of a piece", wanted)
        if size < 0 or (size == 0 and n):
            raise ArgumentError(f"split: the length of a piece must be positive, got {size}")
        lengths = [size] * (n // size) + ([n % size] if n % size else []) if n else [0]
    else:
        lengths = [integer("split", "a length", k) for k in wanted]
        if sum(lengths) != n or min(lengths, default=0) < 0:
            raise ShapeError(
                f"split: lengths {lengths} do not add up to {n}, dim {axis} of {shape}"
            )
    before = (slice(None),) * axis
    ends = zip(lengths, accumulate(lengths), strict=True)
    return tuple(tensor[(*before, slice(end - k, end))] for k, end in ends)


@takes_tensor
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of at most `chunks` pieces of equal length along an axis; see `split`."""
    chunks = integer("chunk", "chunks", chunks)
    if chunks < 1:
        raise ArgumentError(f"chunk: needs at least one piece, got {chunks}")
    shape = input._data.shape
    n = shape[one_axis("chunk", shape, dim)] if shape else 0
    return split(input, -(-n // chunks) if n or not shape else [0] * chunks, dim)
