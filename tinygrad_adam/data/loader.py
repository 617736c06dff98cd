"""Mini-batches: the samples of a data set, some at a time, in order or shuffled.

Of arrays there is no per-item Python code: a batch costs one gather per array.  On a GPU the whole
data set and the epoch's permutation live on the device, so that an epoch moves one small array.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, overload

import numpy as np

from ..device import Device, to_device
from ..errors import ArgumentError, DataError
from ..random import Generator, chosen
from ..tensor import Tensor
from .dataset import TensorDataset, batch_of, is_direct

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .dataset import Samples

    # one Tensor per array, where nothing else is said
    Batch = TypeVar("Batch", covariant=True, default=tuple[Tensor, ...])
else:
    from typing import TypeVar

    Batch = TypeVar("Batch", covariant=True)

__all__ = ["DataLoader"]


def _has_samples(data: Any) -> bool:
    """Whether `data` is neither an array nor read as one, but has samples of its own."""
    if isinstance(data, (Tensor, tuple, list, range, str, bytes, Mapping)) or is_direct(data):
        return False
    arrays = ("__array__", "__cuda_array_interface__")
    return not any(hasattr(data, name) for name in arrays)


class DataLoader(Generic[Batch]):
    """Iterate over a data set in mini-batches, each epoch anew.

    Parameters
    ----------
    dataset : TensorDataset, tuple or list of arrays or Tensors, one array or Tensor, or Dataset
        What to take batches from; see `TensorDataset` for the element types.  Any object with
        ``__len__`` and ``__getitem__`` is a data set: its samples are fetched one by one, by an
        int from 0 up to the length, and made a batch by `collate`.
    batch_size : int
        Samples per batch, at least 1.
    shuffle : bool
        Visit the samples in a fresh random order every epoch instead of in order.
    drop_last : bool
        Leave out the last batch when it is smaller than `batch_size`.
    generator : Generator, optional
        Draws the orders, one draw per epoch, on the host: a seed gives one order on every device.
        The default generator when left out, which ``manual_seed`` restarts.
    device : str or Device, optional
        Where the batches are.  Arrays are moved there once, whole; nothing but the order is moved
        afterwards.  Of a data set with samples of its own each batch is.  Left out, as for
        `TensorDataset` and `collate`.

    Attributes
    ----------
    dataset : TensorDataset or Dataset
        Arrays, on the device; or the data set that was given.
    generator : Generator
        Its state between two epochs is all that is needed to go on exactly.

    Yields
    ------
    tuple of Tensor, or Tensor
        One Tensor per array, first axis the batch; a Tensor alone when `dataset` is one array.
        The batches are copies: changing them in place leaves the data set as it is.  Of a data set
        with samples of its own: what `collate` makes of them.

    Raises
    ------
    ArgumentError
        If `batch_size` is not an integer of at least 1, `drop_last` would leave no batch at all,
        `generator` is of another kind, or `dataset` is none.
    DataError
        If the data set is empty.
    ShapeError, DTypeError, DeviceError
        As for `TensorDataset`.

    Examples
    --------
    >>> loader = DataLoader((np.zeros((10, 3)), np.arange(10)), batch_size=4)
    >>> len(loader)
    3
    >>> [(x.shape, y.tolist()) for x, y in loader]
    [((4, 3), [0, 1, 2, 3]), ((4, 3), [4, 5, 6, 7]), ((2, 3), [8, 9])]
    >>> loader
    DataLoader(TensorDataset(float64 (10, 3), int64 (10,)), batch_size=4)  # 3 batches
    """

    @overload
    def __init__(
        self: DataLoader[tuple[Tensor, ...]],
        dataset: TensorDataset | tuple[Any, ...] | list[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
        device: Device | str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[Tensor],
        dataset: Tensor | np.ndarray,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
        device: Device | str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[Any],
        dataset: Samples,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
        device: Device | str | None = None,
    ) -> None: ...
    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
        device: Device | str | None = None,
    ) -> None:
        try:
            size = 0 if isinstance(batch_size, bool) else operator.index(batch_size)
        except TypeError:
            size = 0
        if size < 1:
            raise ArgumentError(
                f"batch_size must be an integer of at least 1, got {batch_size!r}; inputs and "
                "targets go together in a tuple: DataLoader((x, y), batch_size=32)"
            )
        self.generator = chosen("DataLoader", generator)
        self._alone, self._device = False, device
        if _has_samples(dataset):
            self.dataset = _sized(dataset)
        elif is_direct(dataset):
            self.dataset = TensorDataset(*dataset.arrays, device=device)
        else:
            self._alone = not isinstance(dataset, (tuple, list))
            arrays = (dataset,) if self._alone else tuple(dataset)
            self.dataset = TensorDataset(*arrays, device=device)
        if len(self.dataset) == 0:
            raise DataError(f"the data set is empty: {self._what_is_empty()}")
        self.batch_size, self.shuffle, self.drop_last = size, bool(shuffle), bool(drop_last)
        if len(self) == 0:
            raise ArgumentError(
                f"drop_last=True leaves no batch: batch_size is {size} but the data set has "
                f"{len(self.dataset)} samples"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch; its order is drawn now."""
        order = None
        if self.shuffle:
            order = self.generator.numpy().permutation(len(self.dataset))
        if not is_direct(self.dataset):
            return self._epoch_of_samples(order)
        return self._epoch(None if order is None else to_device(order, self.dataset.device))

    def _epoch(self, order: Any) -> Iterator[Any]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = self.dataset._rows(rows if order is None else order[rows])
            yield batch[0] if self._alone else batch

    def _epoch_of_samples(self, order: Any) -> Iterator[Any]:
        if order is None:
            order = np.arange(len(self.dataset))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield batch_of(self.dataset, order[start : start + self.batch_size], self._device)

    def __repr__(self) -> str:
        settings = f"batch_size={self.batch_size}"
        settings += "".join(f", {key}=True" for key in ("shuffle", "drop_last") if vars(self)[key])
        return f"DataLoader({self.dataset!r}, {settings})  # {len(self)} batches"

    def _what_is_empty(self) -> str:
        if is_direct(self.dataset):
            shapes = ", ".join(str(array.shape) for array in self.dataset.arrays)
            return f"its arrays have shapes {shapes}"
        return f"the length of the {type(self.dataset).__name__} is 0"


def _sized(dataset: Any) -> Any:
    """Return `dataset` if it has a length, and samples by number."""
    missing = [n for n in ("__len__", "__getitem__") if not hasattr(type(dataset), n)]
    if missing:
        raise ArgumentError(
            "DataLoader: a data set is an array, a tuple of arrays, or an object with __len__ and "
            f"__getitem__; a {type(dataset).__name__} has no {' and no '.join(missing)}"
        )
    return dataset
