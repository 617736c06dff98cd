"""Changes to batches on their way to the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..device import Array, array_module, device_guard, to_device
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .loader import DataLoader

__all__ = ["Mapped", "Shifted"]


class Mapped:
    """The batches of a loader, their inputs changed by a function, batch by batch.

    A data set can so be kept as it is stored, images as bytes say, and is never there a second
    time.

    Parameters
    ----------
    loader : iterable of (inputs, targets)
        Such as a `DataLoader`.
    function : callable
        Maps the inputs of a batch, a Tensor, to what the model takes.

    Examples
    --------
    >>> import numpy as np
    >>> loader = DataLoader((np.array([[0, 51]], np.uint8), [1]))
    >>> for x, y in Mapped(loader, lambda pixels: pixels / 255):
    ...     print(x.tolist(), y.tolist())
    [[0.0, 0.2]] [1]
    """

    def __init__(
        self, loader: Iterable[tuple[Tensor, ...]], function: Callable[[Tensor], Tensor]
    ) -> None:
        self.loader, self.function = loader, function

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the loader once."""
        return ((self.function(inputs), targets) for inputs, targets in self.loader)


class Shifted:
    """The batches of a loader, each image moved by up to a few pixels, anew every epoch.

    What moves out of the picture is lost; what moves in is zero.  With ten thousand digits to learn
    from, moves by one pixel are worth nearly a percentage point of test accuracy.

    Parameters
    ----------
    loader : DataLoader
        Of pairs of images, (N, H, W) or (N, C, H, W), and anything.
    most : int
        Every image moves by -`most` to `most` pixels up or down, and as many left or right.

    Raises
    ------
    ArgumentError
        If `most` is negative.
    ShapeError
        On iterating, if the images have less than three axes.

    Notes
    -----
    The moves of an epoch are drawn at once from the loader's generator, on the host: they are the
    same on every device, and an epoch uploads one small array.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_adam as tg
    >>> image = np.zeros((1, 1, 3, 3))
    >>> image[0, 0, 1, 1] = 1
    >>> loader = DataLoader((image, [7]), generator=tg.Generator(0))
    >>> for moved, label in Shifted(loader, 1):
    ...     print(moved.data[0, 0], label.tolist())
    [[0. 0. 0.]
     [0. 0. 1.]
     [0. 0. 0.]] [7]
    """

    def __init__(self, loader: DataLoader, most: int) -> None:
        if most < 0:
            raise ArgumentError(f"Shifted: most must not be negative, got {most}")
        self.loader, self.most = loader, most

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Start an epoch; its order and moves are drawn now."""
        batches = iter(self.loader)
        shape = 2, len(self.loader.dataset)
        draws = self.loader.generator.numpy().integers(0, 2 * self.most + 1, shape)
        return self._epoch(batches, draws)

    def _epoch(
        self, batches: Iterator[tuple[Tensor, ...]], corners: Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for images, others in batches:
            corners = to_device(corners, images.device)
            stop = start + len(images)
            with device_guard(images.data):
                moved = _cut(images.data, self.most, corners[:, start:stop])
            yield Tensor(moved), others
            start = stop


def _cut(images: Array, margin: int, corners: Array) -> Array:
    """Return a piece of each image (N, ..., H, W), after giving it a margin of zeros.

    `corners` (2, N) are the first rows and columns of the pieces, which are as large as the images.
    """
    if images.ndim < 3:
        raise ShapeError(
            f"Shifted: expected images (N, H, W) or (N, C, H, W), got shape {images.shape}"
        )
    xp = array_module(images)
    *outer, h, w = images.shape
    wide = xp.zeros((*outer, h + 2 * margin, w + 2 * margin), images.dtype)
    wide[..., margin : margin + h, margin : margin + w] = images
    # Every piece of every image, as a view: (N, rows, columns, ..., H, W).
    first, *others = wide.strides
    moves = 2 * margin + 1
    pieces = xp.lib.stride_tricks.as_strided(
        wide, (outer[0], moves, moves, *images.shape[1:]), (first, *others[-2:], *others)
    )
    return pieces[xp.arange(outer[0]), corners[0], corners[1]]
