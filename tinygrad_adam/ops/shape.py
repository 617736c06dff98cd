"""Operations that rearrange elements without changing them: shapes and axes.

Most return a view where NumPy can give one; writing into it then writes into the original, and
gradients follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..autograd.graph import apply
from ..autograd.registry import op
from ..errors import ArgumentError, ShapeError
from .arguments import one_axis, sizes, some_axes, takes_tensor

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Shape, Size

__all__ = [
    "broadcast_to", "flatten", "flip", "movedim", "permute", "reshape", "squeeze",
    "transpose", "unsqueeze",
]  # fmt: skip


def _inverse(axes: Shape) -> Shape:
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


RESHAPE = op(
    "reshape",
    lambda xp, x, *, shape: x.reshape(shape),
    x=lambda F, g, x_shape: F.reshape(g, shape=x_shape),
    view=True,
)
TRANSPOSE = op(
    "transpose",
    lambda xp, x, *, axes: x.transpose(axes),
    x=lambda F, g, axes: F.transpose(g, axes=_inverse(axes)),
    view=True,
)
MT = op("mT", lambda xp, x: x.swapaxes(-1, -2), x=lambda F, g: F.mT(g), view=True)
BROADCAST_TO = op(
    "broadcast_to",
    # what repeats nothing stays a view that may be written to
    lambda xp, x, *, shape: (
        x.reshape(shape) if x.size == math.prod(shape) else xp.broadcast_to(x, shape)
    ),
    x=lambda F, g: g,  # the engine sums over the axes that were repeated
    view=True,
)
FLIP = op(
    "flip",
    lambda xp, x, *, axis: xp.flip(x, axis).copy() if x.ndim else x.copy(),
    x=lambda F, g, axis: F.flip(g, axis=axis),
)
CONTIGUOUS = op("contiguous", lambda xp, x: xp.ascontiguousarray(x), x=lambda F, g: g)


@takes_tensor
def reshape(input: Tensor, *lengths: Size, shape: Size | None = None) -> Tensor:
    """Return the same elements, in row-major order, in another shape.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *lengths, shape : int or tuple of int
        The new shape, by position or by name; one -1 is worked out from the rest.

    Returns
    -------
    Tensor
        A view where the memory layout allows it, otherwise a copy.

    Raises
    ------
    ShapeError
        If the numbers of elements differ.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.reshape(tg.arange(6), (2, -1)).shape
    (2, 3)
    """
    new = sizes("reshape", lengths, shape)
    old = input._data.shape
    total = math.prod(old)
    if -1 in new:
        rest = math.prod(n for n in new if n != -1)
        fits = new.count(-1) == 1 and rest > 0 and total % rest == 0 and min(new) >= -1
        if fits:
            new = tuple(total // rest if n == -1 else n for n in new)
    else:
        fits = math.prod(new) == total and (not new or min(new) >= 0)
    if not fits:
        raise ShapeError(f"reshape: shape {old} has {total} elements, which do not fit into {new}")
    return apply(RESHAPE, (input,), {"shape": new})


@takes_tensor
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return `input` with the axes `start_dim` to `end_dim` merged into one.

    Parameters
    ----------
    input : Tensor
        Any shape.
    start_dim, end_dim : int
        First and last axis to merge.

    Returns
    -------
    Tensor
        This one if there is nothing to merge.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.flatten(tg.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    shape = input._data.shape
    first, last = one_axis("flatten", shape, start_dim), one_axis("flatten", shape, end_dim)
    if not shape:
        return reshape(input, (1,))
    if first > last:
        raise ArgumentError(
            f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {shape}"
        )
    if first == last:
        return input
    merged = math.prod(shape[first : last + 1])
    return reshape(input, (*shape[:first], merged, *shape[last + 1 :]))


@takes_tensor
def permute(input: Tensor, *order: Size, dims: Size | None = None) -> Tensor:
    """Return a view with the axes in the order `dims`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *order, dims : int or tuple of int
        Every axis once, by position or by name.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.permute(tg.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    shape = input._data.shape
    wanted = sizes("permute", order, dims, "dim")
    axes = tuple(one_axis("permute", shape, d) for d in wanted)
    if sorted(axes) != list(range(len(shape))):
        raise ShapeError(f"permute: {wanted} does not name each axis of shape {shape} once")
    return apply(TRANSPOSE, (input,), {"axes": axes})


@takes_tensor
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return a view with two axes exchanged.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim0, dim1 : int
        The axes.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.transpose(tg.zeros(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    shape = input._data.shape
    a, b = one_axis("transpose", shape, dim0), one_axis("transpose", shape, dim1)
    order = list(range(len(shape)))
    if order:
        order[a], order[b] = order[b], order[a]
    return apply(TRANSPOSE, (input,), {"axes": tuple(order)})


@takes_tensor
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return a view with some axes moved, the others in order.

    Parameters
    ----------
    input : Tensor
        Any shape.
    source, destination : int or sequence of int
        Where the axes are, and where each will be.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.movedim(tg.zeros(2, 3, 4), (0, 1), (-1, 0)).shape
    (3, 4, 2)
    """
    shape = input._data.shape
    moved = some_axes("movedim", shape, source)
    places = some_axes("movedim", shape, destination)
    if len(moved) != len(places):
        raise ArgumentError(
            f"movedim: source {source} and destination {destination} differ in number"
        )
    order = [axis for axis in range(len(shape)) if axis not in moved]
    if shape:
        for place, axis in sorted(zip(places, moved, strict=True)):
            order.insert(place, axis)
    return apply(TRANSPOSE, (input,), {"axes": tuple(order)})


@takes_tensor
def T(input: Tensor) -> Tensor:
    """Return a view with the axes in reverse order."""
    return apply(TRANSPOSE, (input,), {"axes": tuple(range(input._data.ndim))[::-1]})


@takes_tensor
def mT(input: Tensor) -> Tensor:
    """Return a view with the last two axes exchanged: each matrix transposed."""
    if input._data.ndim < 2:
        raise ShapeError(f"mT: needs at least 2 axes, got shape {input._data.shape}")
    return apply(MT, (input,))


@takes_tensor
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Return a view without the axes of length 1, or without those in `dim` that have length 1.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int or sequence of int, optional
        Which axes to look at; all when left out.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.squeeze(tg.zeros(1, 3, 1)).shape, tg.squeeze(tg.zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    shape = input._data.shape
    looked_at = range(len(shape)) if dim is None else some_axes("squeeze", shape, dim)
    new = tuple(n for i, n in enumerate(shape) if n != 1 or i not in looked_at)
    return apply(RESHAPE, (input,), {"shape": new})


@takes_tensor
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return a view with a new axis of length 1 at `dim`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Where the new axis will be.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.unsqueeze(tg.zeros(3), -1).shape
    (3, 1)
    """
    shape = input._data.shape
    at = one_axis("unsqueeze", shape, dim, extra=1)
    return apply(RESHAPE, (input,), {"shape": (*shape[:at], 1, *shape[at:])})


@takes_tensor
def broadcast_to(input: Tensor, *lengths: Size, size: Size | None = None) -> Tensor:
    """Return a view of `input` repeated up to a shape by NumPy's broadcasting.

    It is read-only, unless nothing had to be repeated.

    Parameters
    ----------
    input : Tensor
        Each axis has the length wanted, or 1.
    *lengths, size : int or tuple of int
        The new shape, by position or by name; -1 keeps an axis as it is.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If an axis is neither.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.broadcast_to(tg.arange(3), (2, 3))
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    old = input._data.shape
    new = sizes("expand", lengths, size)
    extra = len(new) - len(old)
    full = tuple(old[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(new))
    fits = extra >= 0 and all(
        n == m or n == 1 for n, m in zip(old, full[max(extra, 0) :], strict=False)
    )
    if not fits or (full and min(full) < 0):
        raise ShapeError(f"expand: shape {old} cannot be repeated up to {new}")
    return apply(BROADCAST_TO, (input,), {"shape": full})


expand = broadcast_to


@takes_tensor
def flip(input: Tensor, *axes: Size, dims: Size | None = None) -> Tensor:
    """Return a copy with the order of the elements reversed along the axes `dims`.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *axes, dims : int or sequence of int
        The axes to reverse, by position or by name.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.flip(tg.arange(3), 0)
    tensor([2, 1, 0])
    """
    if not axes and dims is None:
        raise ArgumentError("flip: needs the axes to reverse, for example 0 or (0, 1)")
    reversed_axes = some_axes("flip", input._data.shape, *axes, dims=dims)
    return apply(FLIP, (input,), {"axis": reversed_axes})


@takes_tensor
def contiguous(input: Tensor) -> Tensor:
    """Return `input` itself if it is row-major in memory, otherwise a copy that is."""
    return input if input._data.flags.c_contiguous else apply(CONTIGUOUS, (input,))
