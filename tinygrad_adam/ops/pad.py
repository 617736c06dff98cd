"""Borders around tensors: of a constant, or of what the tensor holds, mirrored or repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..autograd.graph import apply
from ..autograd.registry import op
from ..device import array_module, device_guard
from ..errors import ArgumentError, DTypeError, ShapeError
from .arguments import number, sizes, takes_tensor
from .index import getitem

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import Shape

__all__ = ["pad"]

Widths = list[tuple[int, int]]


def _pad(xp: Any, x: Any, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    y = xp.empty_like(x, shape=shape)
    y.fill(value)
    y[_inner(x.shape, widths)] = x
    return y


def _inner(shape: Shape, widths: tuple[tuple[int, int], ...]) -> tuple[Any, ...]:
    return (*(slice(a, a + n) for n, (a, _) in zip(shape, widths, strict=True)), ...)


PAD = op(
    "pad",
    _pad,
    x=lambda F, g, x_shape, widths: F.getitem(g, part=_inner(x_shape, widths), places=()),
)


# Per mode: where elements come from, given their distance from the start of an axis of length n;
# and how wide a border that axis can have.
SEEN: dict[str, tuple[Callable[[Any, Any, int], Any], Callable[[int], float]]] = {
    "reflect": (lambda xp, i, n: n - 1 - xp.abs(n - 1 - xp.abs(i)), lambda n: n - 1),
    "replicate": (lambda xp, i, n: xp.clip(i, 0, n - 1), lambda n: float("inf") if n else 0),
    "circular": (lambda xp, i, n: i % n, lambda n: n),
}


def _from_inside(x: Tensor, widths: Widths, mode: str) -> Tensor:
    """Return `x` with a border of its own elements."""
    place, widest = SEEN[mode]
    shape = x._data.shape
    for axis, (n, (before, after)) in enumerate(zip(shape, widths, strict=True)):
        if before == after == 0:
            continue
        if max(before, after) > widest(n):
            raise ShapeError(
                f"pad: an axis of length {n} is too short for a border {(before, after)} by "
                f"{mode!r} (shape {shape})"
            )
        xp = array_module(x._data)
        with device_guard(x._data):
            index = place(xp, xp.arange(-before, n + after), n)
        x = getitem(x, (*(slice(None),) * axis, index))
    return x


@takes_tensor
def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Return `input` with a border.

    Parameters
    ----------
    input : Tensor
        Any shape.
    pad : sequence of int
        Widths ``(before, after)`` of the last axis, then of the one before it, and so on; a
        negative width cuts off instead.
    mode : {"constant", "reflect", "replicate", "circular"}
        What the border holds: `value`; the inside mirrored at its first and last element; these
        elements; or the inside once more, from its other end.
    value : float, optional
        Of a constant border; 0 when left out.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        For an odd number of widths, another mode, or a value that the mode has no use for.
    DTypeError
        For widths that are no integers, or a value that the element type does not have.
    ShapeError
        If there are more widths than axes, an axis would end up shorter than nothing, or the
        inside has too few elements for its border.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.pad(tg.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.])
    >>> tg.pad(tg.arange(3), (2, 1), "reflect")
    tensor([2, 1, 0, 1, 2, 1])
    """
    if mode != "constant" and mode not in SEEN:
        raise ArgumentError(f'pad: mode {mode!r} is unknown; use "constant" or one of {[*SEEN]}')
    shape = input._data.shape
    numbers = sizes("pad", (pad,), what="a width")
    if len(numbers) % 2:
        raise ArgumentError(f"pad: needs pairs (before, after), got {len(numbers)} widths")
    if len(numbers) // 2 > len(shape):
        raise ShapeError(f"pad: {len(numbers) // 2} pairs of widths for shape {shape}")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    widths: Widths = [(0, 0)] * (len(shape) - len(pairs)) + pairs
    if any(n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, widths, strict=True)):
        raise ShapeError(f"pad: widths {numbers} cut more than there is of shape {shape}")
    if mode != "constant" and value is not None:
        raise ArgumentError(f"pad: mode {mode!r} takes no value, got {value}")
    x = input
    # what is mirrored or repeated at one end may be cut off at the other
    if mode in ("constant", "circular") and any(a < 0 or b < 0 for a, b in widths):
        x = x[
            tuple(
                slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, widths, strict=True)
            )
        ]
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode != "constant":
        return _from_inside(x, widths, mode)
    fill, dtype = number("pad", "value", 0 if value is None else value), x._data.dtype
    if dtype.kind != "f":
        if isinstance(fill, float) and not fill.is_integer():  # nor are infinities and NaN
            raise DTypeError(f"pad: value {fill} is not a {dtype}")
        fill = int(fill)
    return apply(PAD, (x,), {"widths": tuple(widths), "value": fill})
