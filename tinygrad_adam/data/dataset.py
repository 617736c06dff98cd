"""Data sets, and how their samples become batches.

`TensorDataset` holds a few equally long arrays and takes a batch from each by one gather, with no
Python code per sample.  Any other object with a length and samples 0, 1, ... is a data set too, as
in PyTorch: its samples are fetched one by one and stacked by `collate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..creation import as_tensor
from ..device import Array, Device, array_module, asarray, device_guard, device_of, to_device
from ..errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    OutOfRangeError,
    ShapeError,
)
from ..ops.arguments import integer
from ..random import Generator, chosen
from ..tensor import Tensor

__all__ = ["Dataset", "Samples", "Subset", "TensorDataset", "batch_of", "collate", "random_split"]


class Samples(Protocol):
    """What a data set is: a length, and a sample for every integer from 0 up to it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Dataset:
    """What PyTorch's data sets are derived from; any object with the same two methods will do.

    A class of its own defines ``__len__()``, the number of samples, and ``__getitem__(index)``, the
    sample number `index`: anything that `collate` can put in a batch.

    Examples
    --------
    >>> from tinygrad_adam.data import DataLoader
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def __getitem__(self, index):
    ...         return {"x": float(index), "square": index**2}
    >>> next(iter(DataLoader(Squares(), batch_size=3)))
    {'x': tensor([0., 1., 2.]), 'square': tensor([0, 1, 4])}
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        """Return the sample number `index`."""
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__(index)")


def _column(data: Any, what: str, device: Device | str | None) -> Array:
    """Return `data` as an array of one of the element types that batches have."""
    if isinstance(data, Tensor):
        array = data.data
    elif hasattr(data, "dtype"):
        array = asarray(data)
    else:  # nested lists become what they become everywhere: float32, int64
        try:
            array = as_tensor(data, device="cpu").data
        except ShapeError as error:
            raise ShapeError(
                f"{what} makes no array: {error}; a data set of a list of samples is "
                "Subset(samples, range(len(samples)))"
            ) from error
    if array.ndim == 0:
        raise ShapeError(f"{what} is 0-d; it needs a first axis to take samples from")
    kind, native = array.dtype.kind, array.dtype.newbyteorder("=")
    if kind in "fb" or (native == np.uint8 and array.ndim > 1):
        wanted: Any = native
    elif kind in "iu" and np.can_cast(native, np.int64):
        wanted = np.int64
    else:
        raise DTypeError(
            f"{what} has element type {array.dtype}; expected a float, bool, or an integer that "
            "fits int64"
        )
    with device_guard(array):
        array = array.astype(wanted, copy=False)
    if device is None and isinstance(data, Tensor):
        return array
    return as_tensor(array, device=device).data


def _checked(index: Any, size: int) -> int | slice | Array:
    """Return `index` for a data set of `size` samples; an array of numbers is on the host."""
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
    # Checked here because CuPy wraps a number that is out of range instead of raising.
    if low < -size or high >= size:
        raise OutOfRangeError(
            f"sample {low if low < -size else high} is out of range: "
            f"the data set has {size} samples"
        )
    return rows


class TensorDataset(Dataset):
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
    >>> dataset
    TensorDataset(float64 (3, 3), int64 (3,))
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
        columns = tuple(
            _column(array, f"item {i} of the data set", device) for i, array in enumerate(arrays)
        )
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
        rows = _checked(index, len(self))
        on_host = isinstance(rows, np.ndarray)
        return self._rows(to_device(rows, self.device) if on_host else rows)

    def _rows(self, rows: int | slice | Array) -> tuple[Tensor, ...]:
        """Return copies of `rows`; an index array must be in range and on the device."""
        with device_guard(self.arrays[0]):
            picked = [array[rows, ...] for array in self.arrays]
            if isinstance(rows, (int, slice)):  # a view so far; an index array has copied already
                picked = [array.copy() for array in picked]
        return tuple(Tensor(array) for array in picked)

    def __repr__(self) -> str:
        place = "" if self.device.type == "cpu" else f", device='{self.device}'"
        return f"{type(self).__name__}({', '.join(map(in_short, self.arrays))}{place})"


def in_short(array: Any) -> str:
    """Return the element type and the shape of an array, which fit on a line."""
    return f"{array.dtype} {array.shape}"


class Subset(Dataset):
    """Some samples of a data set, which stays where it is.

    Parameters
    ----------
    dataset : Dataset
        Or any object with ``__len__`` and ``__getitem__``.
    indices : iterable of int
        The samples to have, in their order; negative numbers count from the end.

    Raises
    ------
    OutOfRangeError
        If there is no such sample.
    DTypeError, ShapeError
        If `indices` are not integers in a row.

    Examples
    --------
    >>> evens = Subset(TensorDataset(np.arange(6)), [0, 2, 4])
    >>> len(evens), evens[1]
    (3, (tensor(2),))
    """

    __slots__ = ("dataset", "indices")

    def __init__(self, dataset: Samples, indices: Iterable[int]) -> None:
        self.dataset = dataset
        rows: Any = _checked(list(indices), len(dataset))
        self.indices = rows % max(len(dataset), 1)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        """Return the sample number `index` of these."""
        return self.dataset[int(self.indices[index])]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} of the {len(self.dataset)} of {self.dataset!r})"


def random_split(
    dataset: Samples, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Return the samples of a data set in random order, dealt out to parts.

    Parameters
    ----------
    dataset : Dataset
        Or any object with ``__len__`` and ``__getitem__``.
    lengths : sequence of int, or of float
        How many samples each part has, all together as many as there are; or the parts' shares,
        together 1.  Shares are rounded down, and what is left goes to the first parts, one each.
    generator : Generator, optional
        Draws the order; the default generator when left out.

    Returns
    -------
    list of Subset

    Raises
    ------
    ArgumentError
        If the lengths are negative or do not add up.

    Examples
    --------
    >>> train, test = random_split(TensorDataset(np.arange(10)), [0.8, 0.2])
    >>> len(train), len(test)
    (8, 2)
    """
    size, parts = len(dataset), list(lengths) if isinstance(lengths, Iterable) else [lengths]
    if any(isinstance(part, float) for part in parts) and abs(sum(parts) - 1) < 1e-9:
        counts = [int(size * part) for part in parts]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [integer("random_split", "lengths", part) for part in parts]
    if sum(counts) != size or min(counts, default=0) < 0 or min(parts, default=0) < 0:
        raise ArgumentError(
            f"random_split: lengths must add up to the {size} samples there are, or to 1 as "
            f"shares, and none be negative; got {parts}"
        )
    order = chosen("random_split", generator).numpy().permutation(size)
    return [Subset(dataset, rows) for rows in np.split(order, np.cumsum(counts)[:-1])]


# --- batches ------------------------------------------------------------------------------------


def is_direct(dataset: Any) -> bool:
    """Whether samples are rows of arrays: a `TensorDataset` that reads them in no other way."""
    return getattr(type(dataset), "__getitem__", None) is TensorDataset.__getitem__


def batch_of(dataset: Any, rows: Any, device: Device | str | None) -> Any:
    """Return the samples `rows`, a NumPy array of integers, as one batch on `device`."""
    if getattr(type(dataset), "__getitem__", None) is Subset.__getitem__:
        return batch_of(dataset.dataset, dataset.indices[rows], device)
    if not is_direct(dataset):
        return collate([dataset[row] for row in rows.tolist()], device)
    batch = dataset._rows(to_device(rows, dataset.device))
    return batch if device is None else tuple(t.to(device) for t in batch)


def collate(samples: Iterable[Any], device: Device | str | None = None) -> Any:
    """Return samples as one batch of the same structure.

    Tensors and arrays of one shape are stacked along a new first axis.  Numbers become a Tensor
    (N,) of the type that ``tg.tensor`` gives them: float32, int64 or bool.  Tuples, named tuples,
    lists and dicts are batched entry by entry, to any depth, and stay what they are; texts are
    listed.

    Parameters
    ----------
    samples : iterable
        At least one, all of the same structure.
    device : str or Device, optional
        Where the batch is.  Left out, Tensors and CuPy arrays stay where they are and everything
        else goes to the default device.

    Returns
    -------
    Tensor, or tuple, list or dict of them
        Element types as in a `TensorDataset`; without a graph.

    Raises
    ------
    DataError
        If there is no sample, or they differ in structure.
    ShapeError
        If arrays at the same place differ in shape.
    DTypeError
        If something is no number, array, text or collection of them.
    DeviceError
        If they are on different devices.

    Examples
    --------
    >>> collate([(np.zeros(2), 7), (np.ones(2), 8)])
    (tensor([[0., 0.],
            [1., 1.]], dtype=float64), tensor([7, 8]))
    """
    every = list(samples)
    if not every:
        raise DataError("collate: there is no sample to make a batch of")
    return _collated(every, "", device)


def _collated(samples: list[Any], place: str, device: Device | str | None) -> Any:
    """Return the batch of what all samples have at `place`."""
    kinds = [_kind(sample, place) for sample in samples]
    if {"array", "number"} == set(kinds):
        kinds = ["array"] * len(kinds)
    if len(set(kinds)) > 1:
        raise _different(place, "kind", kinds)
    kind, first = kinds[0], samples[0]
    if kind == "text":
        return samples
    if kind == "number":
        return Tensor(_column(samples, f"a batch of samples{place}", device))
    if kind == "array":
        return Tensor(_column(_stacked(samples, place), f"a batch of samples{place}", device))
    # What is batched entry by entry has the entries of the first sample.
    keys = [sorted(s, key=repr) if kind == "mapping" else len(s) for s in samples]
    if any(each != keys[0] for each in keys):
        raise _different(place, "keys" if kind == "mapping" else "length", keys)
    names = list(first) if kind == "mapping" else range(len(first))
    entries = [_collated([s[k] for s in samples], f"{place}[{k!r}]", device) for k in names]
    if kind == "mapping":
        return dict(zip(names, entries, strict=True))
    if hasattr(first, "_fields"):
        return type(first)(*entries)
    return entries if isinstance(first, list) else tuple(entries)


_KINDS: dict[str, Any] = {
    "array": (Tensor, np.generic),
    "number": (bool, int, float),
    "text": (str, bytes),
    "mapping": Mapping,
    "list or tuple": (list, tuple),
}


def _kind(sample: Any, place: str) -> str:
    """Return how a sample, or what it has at `place`, is batched."""
    for kind, types in _KINDS.items():
        if isinstance(sample, types):
            return kind
    if any(hasattr(sample, name) for name in ("__array__", "__cuda_array_interface__")):
        return "array"
    raise DTypeError(
        f"a sample{place} is a {type(sample).__name__}, of which no batch can be made; expected "
        "a Tensor, an array, a number, a text, or a tuple, list or dict of these"
    )


def _stacked(samples: list[Any], place: str) -> Array:
    arrays = [s.data if isinstance(s, Tensor) else asarray(s) for s in samples]
    for what, of in (("shape", lambda a: a.shape), ("device", device_of)):
        if len(set(map(of, arrays))) > 1:
            raise _different(place, what, list(map(of, arrays)))
    with device_guard(arrays[0]):
        return array_module(arrays[0]).concatenate([array[None] for array in arrays])


def _different(place: str, what: str, values: list[Any]) -> Exception:
    """Return the error for samples that do not fit into one batch."""
    other = next(i for i, value in enumerate(values) if value != values[0])
    kinds = {"shape": ShapeError, "device": DeviceError}
    return kinds.get(what, DataError)(
        f"the samples of a batch must agree{f' at {place}' if place else ''}: sample 0 has {what} "
        f"{values[0]}, sample {other} has {what} {values[other]}"
    )
