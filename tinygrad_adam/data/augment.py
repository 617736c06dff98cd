"""Random changes to training images that leave what they show the same."""

from __future__ import annotations

from collections.abc import Iterator

from ..device import Array, array_module, device_guard, to_device
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .loader import DataLoader

__all__ = ["Shifted"]


class Shifted:
    """The batches of a loader, each image moved by up to a few pixels, anew every epoch.

    What moves out of the picture is lost; what moves in is zero.  With ten thousand digits to learn
    from, moves by one pixel are worth nearly a percentage point of test accuracy.

    Parameters
    ----------
    loader : DataLoader
        Of pairs of images (N, C, H, W) and anything.
    most : int
        Every image moves by -`most` to `most` pixels up or down, and as many left or right.

    Raises
    ------
    ArgumentError
        If `most` is negative.
    ShapeError
        On iterating, if the images have not four axes.

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
        dataset = self.loader.dataset
        draws = self.loader.generator.numpy().integers(0, 2 * self.most + 1, (2, len(dataset)))
        return self._epoch(batches, to_device(draws, dataset.device))

    def _epoch(
        self, batches: Iterator[tuple[Tensor, Tensor]], corners: Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for images, others in batches:
            stop = start + len(images)
            with device_guard(images.data):
                moved = _cut(images.data, self.most, corners[:, start:stop])
            yield Tensor(moved), others
            start = stop


def _cut(images: Array, margin: int, corners: Array) -> Array:
    """Return a piece of each image (N, C, H, W), after giving it a margin of zeros.

    `corners` (2, N) are the first rows and columns of the pieces, which are as large as the images.
    """
    if images.ndim != 4:
        raise ShapeError(f"Shifted: expected images (N, C, H, W), got shape {images.shape}")
    xp = array_module(images)
    n, c, h, w = images.shape
    wide = xp.zeros((n, c, h + 2 * margin, w + 2 * margin), images.dtype)
    wide[:, :, margin : margin + h, margin : margin + w] = images
    return wide[
        xp.arange(n)[:, None, None, None],
        xp.arange(c)[:, None, None],
        corners[0][:, None, None, None] + xp.arange(h)[:, None],
        corners[1][:, None, None, None] + xp.arange(w),
    ]
