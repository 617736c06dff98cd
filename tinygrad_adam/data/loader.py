"""Mini-batches: rows of a few equally long arrays, picked by one index array per batch.

There is no per-item Python code: a batch costs one gather per array.  On a GPU the whole data set
and the epoch's permutation live on the device, so that an epoch moves one small array.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..creation import as_tensor
from ..device import Array, Device, asarray, device_guard, device_of, to_device
from ..errors import ArgumentError, DataError, DeviceError, DTypeError, OutOfRangeError, ShapeError
from ..random import Generator, chosen
from ..tensor import Tensor

__all__ = ["DataLoader", "TensorDataset"]


def _column(data: Any, position: int, device: Device | str | None) -> Array:
    """Return `data` as an array of one of the element types that batches have."""
    if isinstance(data, Tensor):
        array = data.data
    else:  # nested lists become what they become everywhere: float32, int64
        array = asarray(data) if hasattr(data, "dtype") else as_tensor(data, device="cpu").data
    if array.ndim == 0:
        raise ShapeError(
            f"item {position} of the data set is 0-d; it needs a first axis to take samples from"
        )
    kind, native = array.dtype.kind, array.dtype.newbyteorder("=")
    if kind in "fb" or (native == np.uint8 and array.ndim > 1):
        wanted: Any = native
    elif kind in "iu" and np.can_cast(native, np.int64):
        wanted = np.int64
    else:
        raise DTypeError(
            f"item {position} of the data set has element type {array.dtype}; expected a float, "
            "bool, or an integer that fits int64"
        )
    with device_guard(array):
        array = array.astype(wanted, copy=False)
    if device is None and isinstance(data, Tensor):
        return array
    return as_tensor(array, device=device).data


class TensorDataset:
    """Arrays of equal length, read together: sample ``i`` is row ``i`` of each.

    Parameters
    ----------
    *arrays : Tensor, numpy.ndarray or cupy.ndarray
        Of any shapes with one common first length.  Floats and bools keep their element type,
        and so does uint8 with two or more dimensions (images); other integers become int64.
        Where no conversion is needed the memory is shared, not copied.
    device : str or Device, optional
        Where to keep the arrays; they are moved once, here.  Left out, Tensors and CuPy arrays
        stay where they are and NumPy arrays go to the default device.

    Raises
    ------
    ArgumentError
        If no array is given.
    ShapeError
        If an array is 0-d, a nested list is ragged, or the first lengths differ.
    DTypeError
        If an element type is none of the above (text, objects, complex, uint64).
    DeviceError
        If the arrays are on different devices and `device` is left out, or is not here.

    Examples
    --------
    >>> dataset = TensorDataset(np.eye(3), np.array([4, 5, 6]))
    >>> len(dataset)
    3
    >>> x, y = dataset[[2, 0]]
    >>> y.tolist()
    [6, 4]
    """

    __slots__ = ("arrays",)

    arrays: tuple[Array, ...]

    def __init__(self, *arrays: Any, device: Device | str | None = None) -> None:
        if not arrays:
            raise ArgumentError("TensorDataset needs at least one array, got none")
        columns = tuple(_column(array, i, device) for i, array in enumerate(arrays))
        lengths = [len(column) for column in columns]
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"the arrays of a data set must be equally long, got first lengths {lengths} "
                f"(shapes {', '.join(str(column.shape) for column in columns)})"
            )
        places = [device_of(column) for column in columns]
        if len(set(places)) > 1:
            raise DeviceError(
                f"the arrays of a data set are on {', '.join(map(str, places))}; "
                'name one place for all with device="cpu" or device="cuda"'
            )
        self.arrays = columns

    @property
    def device(self) -> Device:
        """Where the arrays are."""
        return device_of(self.arrays[0])

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        """Return the samples at `index` as one Tensor per array.

        Parameters
        ----------
        index : int, slice, or 1-d integer array or sequence
            Negative numbers count from the end.

        Returns
        -------
        tuple of Tensor
            Copies: changing them in place leaves the data set as it is.  An int takes the first
            axis away.

        Raises
        ------
        OutOfRangeError
            If a number is out of range (an IndexError).
        DTypeError, ShapeError, ArgumentError
            If `index` is not as above.
        """
        return self._rows(self._checked(index))

    def _checked(self, index: Any) -> int | slice | Array:
        size = len(self)
        rows: Any
        if isinstance(index, slice):
            try:
                index.indices(size)
            except TypeError as error:
                raise DTypeError(f"a data set is indexed by integers, got {index}") from error
            except ValueError as error:
                raise ArgumentError(f"a data set cannot be read in steps of 0: {index}") from error
            return index
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            rows = low = high = int(index)
        else:
            try:
                rows = asarray(index.data if isinstance(index, Tensor) else index, device="cpu")
            except ValueError as error:  # rows of different lengths
                raise ShapeError(f"an index array must be 1-d, got {index!r}") from error
            if rows.size == 0:  # NumPy makes [] a float array
                rows = rows.astype(np.int64)
            if rows.dtype.kind not in "iu":
                raise DTypeError(
                    f"a data set is indexed by integers, got {rows.dtype}; "
                    "turn a mask into numbers with numpy.flatnonzero"
                )
            if rows.ndim != 1:
                raise ShapeError(f"an index array must be 1-d, got shape {rows.shape}")
            low, high = (int(rows.min()), int(rows.max())) if rows.size else (0, -1)
            rows = to_device(rows, self.device)
        # Checked here because CuPy wraps a number that is out of range instead of raising.
        if low < -size or high >= size:
            raise OutOfRangeError(
                f"sample {low if low < -size else high} is out of range: "
                f"the data set has {size} samples"
            )
        return rows

    def _rows(self, rows: int | slice | Array) -> tuple[Tensor, ...]:
        """Return copies of `rows`; an index array must be in range and on the device."""
        with device_guard(self.arrays[0]):
            picked = [array[rows, ...] for array in self.arrays]
            if isinstance(rows, (int, slice)):  # a view so far; an index array has copied already
                picked = [array.copy() for array in picked]
        return tuple(Tensor(array) for array in picked)


class DataLoader:
    """Iterate over a data set in mini-batches, each epoch anew.

    Parameters
    ----------
    dataset : TensorDataset, tuple or list of arrays or Tensors, or one array or Tensor
        What to take batches from; see `TensorDataset` for the element types.
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
        Where the batches are.  The data set is moved there once, whole; nothing but the order
        is moved afterwards.  Left out, as for `TensorDataset`.

    Attributes
    ----------
    dataset : TensorDataset
        The data, on the device.
    generator : Generator
        Its state between two epochs is all that is needed to go on exactly.

    Yields
    ------
    tuple of Tensor, or Tensor
        One Tensor per array, first axis the batch; a Tensor alone when `dataset` is one array.
        The batches are copies: changing them in place leaves the data set as it is.

    Raises
    ------
    ArgumentError
        If `batch_size` is not an integer of at least 1, `drop_last` would leave no batch at all,
        or `generator` is of another kind.
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
    """

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
        self._alone = not isinstance(dataset, (TensorDataset, tuple, list))
        if isinstance(dataset, TensorDataset):
            arrays = dataset.arrays
        else:
            arrays = (dataset,) if self._alone else tuple(dataset)
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
        self.dataset = TensorDataset(*arrays, device=device)
        if len(self.dataset) == 0:
            shapes = ", ".join(str(array.shape) for array in self.dataset.arrays)
            raise DataError(f"the data set is empty: its arrays have shapes {shapes}")
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

    def __iter__(self) -> Iterator[Any]:
        """Start an epoch; its order is drawn now."""
        order = None
        if self.shuffle:
            permutation = self.generator.numpy().permutation(len(self.dataset))
            order = to_device(permutation, self.dataset.device)
        return self._epoch(order)

    def _epoch(self, order: Array | None) -> Iterator[Any]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = self.dataset._rows(rows if order is None else order[rows])
            yield batch[0] if self._alone else batch
