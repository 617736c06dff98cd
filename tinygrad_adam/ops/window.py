"""How a window, or a kernel, moves over images; for convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..device import Array

if TYPE_CHECKING:
    from ..tensor import Tensor


def one_image(function: Callable[..., Any], image: Tensor, *settings: Any) -> Any:
    """Return ``function(image, *settings)`` of an image (C, H, W): that of a batch of one."""
    found = function(image.reshape(1, *image._data.shape), *settings)
    if isinstance(found, tuple):
        return tuple(y.reshape(y._data.shape[1:]) for y in found)
    return found.reshape(found._data.shape[1:])


class Window(NamedTuple):
    """Size, steps, border and spacing of the windows; each pair is (vertical, horizontal).

    `beyond` is how many pixels wider the border is below and on the right.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    beyond: tuple[int, int] = (0, 0)

    def reach(self) -> tuple[int, int]:
        """Return how many pixels a window spans."""
        (k, l), (dy, dx) = self.kernel, self.dilation  # noqa: E741  the axis letter
        return dy * (k - 1) + 1, dx * (l - 1) + 1

    def outer(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (..., H, W) of images with their border."""
        (*rest, h, w), (py, px), (by, bx) = shape, self.padding, self.beyond
        return (*rest, h + 2 * py + by, w + 2 * px + bx)

    def inner(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the index of the image (..., H, W) inside its border."""
        (h, w), (py, px) = shape[-2:], self.padding
        return (..., slice(py, py + h), slice(px, px + w))

    def bordered(self, xp: Any, x: Array, value: float = 0.0) -> Array:
        """Return `x` with a border of `value`, in its memory order; `x` itself without padding."""
        if self.bare:
            return x
        y = xp.empty_like(x, shape=self.outer(x.shape))
        y.fill(value)
        y[self.inner(x.shape)] = x
        return y

    def out_size(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Return (P, Q) for an image of (H, W)."""
        (h, w), (k, l) = self.outer(size), self.reach()  # noqa: E741  the axis letter
        return (h - k) // self.stride[0] + 1, (w - l) // self.stride[1] + 1

    def slices(self, size: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield, per window position, the index into bordered images that picks it everywhere."""
        (sy, sx), (dy, dx), (p, q) = self.stride, self.dilation, self.out_size(size)
        for k in range(self.kernel[0]):
            rows = slice(k * dy, k * dy + sy * (p - 1) + 1, sy)
            for l in range(self.kernel[1]):  # noqa: E741  the axis letter
                yield (..., rows, slice(l * dx, l * dx + sx * (q - 1) + 1, sx))

    def overlap(self) -> bool:
        """Whether a pixel can belong to two windows."""
        return any(n > step for n, step in zip(self.reach(), self.stride, strict=True))

    @property
    def bare(self) -> bool:
        """Whether there is no border."""
        return self.padding == self.beyond == (0, 0)

    def to_the_end(self, size: tuple[int, ...]) -> Window:
        """Return the window with so much more border that the last pixels of (H, W) meet one too.

        A window that would begin in the border behind the image is left out.
        """
        beyond = []
        for n, reach, step, border in zip(
            size, self.reach(), self.stride, self.padding, strict=True
        ):
            wide = n + 2 * border
            last = min(-(-(wide - reach) // step), (n + border - 1) // step)  # the last window
            beyond.append(max(0, last * step + reach - wide))
        return self._replace(beyond=(beyond[0], beyond[1]))
