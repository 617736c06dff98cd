"""Reading and writing parts of a tensor: indexing, index assignment, gather, one-hot.

Reading is linear, and its derivative is adding into the places that were read, whose derivative is
reading again.  So the pairs `getitem`/`put` and `gather`/`put_along` are closed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.graph import Variable, apply, mixed_devices, other_aliases, variable
from ..autograd.mode import is_grad_enabled
from ..autograd.registry import op
from ..device import (
    Array,
    array_module,
    device_guard,
    device_of,
    is_writable,
    same_device,
    to_device,
)
from ..errors import (
    ArgumentError,
    DataError,
    DTypeError,
    InPlaceError,
    OutOfRangeError,
    ShapeError,
)
from .promote import cast, kind, takes_tensor
from .shape import reshape

__all__ = ["gather", "getitem", "one_hot", "setitem"]

Index = tuple[Any, ...]


# --- indexing -----------------------------------------------------------------------------------


def _is_basic(index: Index) -> bool:
    """Whether NumPy answers with a view: no arrays among the indices."""
    return not any(hasattr(i, "dtype") for i in index)


def _put(xp: Any, v: Array, *, index: Index, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with `v` added at `index`; a place named twice gets both."""
    y = xp.zeros(shape, v.dtype)
    if _is_basic(index) or (len(index) == 1 and index[0].dtype.kind == "b"):
        y[index] = v
    else:
        xp.add.at(y, index, v)
    return y


GETITEM = op(
    "getitem",
    lambda xp, x, *, index: x[index],
    x=lambda F, g, x_shape, index: F.put(g, index=index, shape=x_shape),
    view=True,
)
PUT = op(
    "put",
    _put,
    v=lambda F, g, index: F.getitem(g, index=index),
)


def _plain(index: Any, data: Array, name: str) -> Index:
    """Return an index as a tuple of ints, slices, None, ... and arrays beside `data`."""
    parts = index if isinstance(index, tuple) else (index,)
    plain: list[Any] = []
    for part in parts:
        if isinstance(part, Variable):
            part = part._data
        elif isinstance(part, (list, range)):
            part = _listed(part, name)
        if isinstance(part, slice):
            plain.append(slice(*(_bound(b) for b in (part.start, part.stop, part.step))))
            continue
        if part is None or part is Ellipsis:
            plain.append(part)
            continue
        if isinstance(part, (bool, np.bool_)):
            plain.append(to_device(np.asarray(bool(part)), device_of(data)))
            continue
        if hasattr(part, "dtype"):
            if part.dtype.kind not in "biu":
                raise DTypeError(
                    f"{name}: an index must hold integers or booleans, got {part.dtype}"
                )
            if (
                part.ndim == 0
                and part.dtype.kind != "b"
                and isinstance(part, (np.ndarray, np.generic))
            ):
                plain.append(int(part))
                continue
            if array_module(part) is np:
                part = to_device(part, device_of(data))
            elif device_of(part) != device_of(data):
                raise mixed_devices(name, [data, part])
            plain.append(part)
            continue
        try:
            plain.append(part.__index__())
        except AttributeError:
            raise DTypeError(
                f"{name}: an index must be made of integers, slices, None, ... and tensors, "
                f"got {type(part).__name__}"
            ) from None
    return tuple(plain)


def _listed(part: Any, name: str) -> Array:
    try:
        return np.asarray(
            [p._data if isinstance(p, Variable) else p for p in part],
            dtype=None if len(part) else np.int64,
        )
    except ValueError as error:
        raise ShapeError(f"{name}: an index list must be rectangular: {error}") from error


def _kept(index: Index, *tensors: Any) -> Index:
    """Return `index`, copied if the graph will keep it: it may be written to before backward."""
    if is_grad_enabled() and any(t._node is not None or t._requires_grad for t in tensors):
        return tuple(_copied(i) if hasattr(i, "dtype") else i for i in index)
    return index


def _copied(array: Array) -> Array:
    with device_guard(array):
        return array.copy()


def _bound(b: Any) -> int | None:
    return None if b is None else int(b._data if isinstance(b, Variable) else b.__index__())


def getitem(input: Any, index: Any) -> Any:
    """Return the part of `input` at `index`: a view for slices and integers, a copy for arrays.

    Parameters
    ----------
    input : Tensor
        Any shape.
    index : int, slice, None, Ellipsis, Tensor, array, list or tuple of these
        As in NumPy.

    Returns
    -------
    Tensor

    Raises
    ------
    OutOfRangeError
        If the index does not fit the shape.
    DTypeError
        If it holds anything but integers and booleans.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.arange(6).reshape(2, 3)
    >>> x[:, tg.tensor([2, 0])]
    tensor([[2, 0],
            [5, 3]])
    """
    if type(index) is int:
        return apply(GETITEM, (input,), {"index": (index,)})
    plain = _plain(index, input._data, "getitem")
    return apply(GETITEM, (input,), {"index": _kept(plain, input)})


# --- index assignment ---------------------------------------------------------------------------


def _overwritten(xp: Any, x: Array, v: Array, *, index: Index) -> Array:
    y = xp.array(x)  # a 0-d gradient may be a NumPy scalar, whose copy() takes no assignment
    y[index] = v
    return y


SETITEM = op(
    "setitem",
    _overwritten,
    x=lambda F, g, index: F.setitem(g, F.getitem(g, index=index) * 0.0, index=index),
    v=lambda F, g, index: F.getitem(g, index=index),
)


def setitem(input: Any, index: Any, value: Any) -> None:
    """Write `value` into `input` at `index`, in place; gradients follow.

    What was there before gets no gradient any more, and `value` gets that of its place.  Where the
    index names one place twice, which value stays is not defined.

    Parameters
    ----------
    input : Tensor
        Changed in place.
    index
        As for `getitem`.
    value : Tensor or number
        Broadcast to the indexed part, and cast to the element type of `input`.

    Raises
    ------
    InPlaceError
        If `input` is a leaf that requires a gradient, or shares its memory with another tensor
        while gradients are recorded.
    ShapeError, OutOfRangeError, DTypeError
        If value or index does not fit.  Nothing is written then.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.zeros(3)
    >>> x[1:] = 2.0
    >>> x
    tensor([0., 2., 2.])
    """
    data = input._data
    plain = _plain(index, data, "setitem")
    v = value
    if not isinstance(v, Variable):
        v = variable(v if hasattr(v, "dtype") else _value(v, data.dtype))
    if v._data.ndim == 0 and device_of(v._data) != device_of(data):
        v = variable(to_device(v._data, device_of(data)), None)
    if not same_device(v._data, data):
        raise mixed_devices("setitem", [data, v._data])
    if v._data.dtype.kind == "f" and data.dtype.kind != "f":
        raise DTypeError(
            f"setitem: {v._data.dtype} values do not go into a {data.dtype} tensor; "
            "convert one side first"
        )
    recording = is_grad_enabled() and (
        input._node is not None or input._requires_grad or v._node is not None or v._requires_grad
    )
    if recording:
        if input._requires_grad and input._node is None:
            raise InPlaceError(
                "setitem: a leaf tensor that requires a gradient cannot be changed in place while "
                "gradients are recorded; do it under no_grad(), or assign into a clone()"
            )
        if other_aliases(input):
            raise InPlaceError(
                f"setitem: this {data.shape} tensor shares its memory with another tensor, whose "
                "gradient would become wrong; assign into a clone(), or under no_grad()"
            )
        v = cast(v, data.dtype)
    try:
        with device_guard(data):
            target = data[plain]
    except IndexError as error:
        raise OutOfRangeError(f"setitem: {error} (shape {data.shape})") from error
    try:
        np.broadcast_shapes(v._data.shape, target.shape)
        fits = v._data.size == 1 or _reaches(v._data.shape, target.shape)
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"setitem: a value of shape {v._data.shape} does not fit the indexed part, "
            f"{target.shape}"
        )
    extra = v._data.ndim - target.ndim
    if extra > 0:  # axes of length 1 in front
        v = reshape(v, v._data.shape[extra:])
    node = None
    if recording:
        node = apply(SETITEM, (input, v), {"index": _kept(plain, input, v)})._node
    if not is_writable(data):
        raise InPlaceError(
            f"setitem: this {data.shape} tensor is a read-only view (expand, broadcast_to); "
            "assign into a clone()"
        )
    with device_guard(data):
        data[plain] = v._data
    input._version[0] += 1
    if node is not None:
        input._node = node


def _value(value: Any, dtype: Any) -> Array:
    """Return a number or nested list as an array of type `dtype`."""
    try:
        kind(np.asarray(value).dtype)
        return np.asarray(value, dtype=dtype)
    except ValueError as error:
        raise ShapeError(f"setitem: {error}") from error
    except OverflowError as error:
        raise ArgumentError(f"setitem: {error}") from error


def _reaches(small: tuple[int, ...], big: tuple[int, ...]) -> bool:
    """Whether `small` broadcasts to exactly `big`, leading axes of length 1 aside."""
    while len(small) > len(big) and small[0] == 1:
        small = small[1:]
    return len(small) <= len(big) and np.broadcast_shapes(small, big) == big


# --- one element per row ------------------------------------------------------------------------


def _put_along(xp: Any, v: Array, *, index: Array, axis: int, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with `v` added where `index` points along `axis`."""
    y = xp.zeros(shape, v.dtype)
    grid = [
        xp.arange(n).reshape([-1 if j == d else 1 for j in range(index.ndim)])
        for d, n in enumerate(index.shape)
    ]
    grid[axis] = index
    xp.add.at(y, tuple(grid), v)
    return y


GATHER = op(
    "gather",
    lambda xp, x, *, index, axis: xp.take_along_axis(x, index, axis),
    x=lambda F, g, x_shape, index, axis: F.put_along(g, index=index, axis=axis, shape=x_shape),
)
PUT_ALONG = op(
    "put_along",
    _put_along,
    v=lambda F, g, index, axis: F.gather(g, index=index, axis=axis),
)


@takes_tensor
def gather(input: Any, dim: int, index: Any) -> Any:
    """Return the elements that `index` points to along one axis.

    ``out[i][j] = input[i][index[i][j]]`` for two axes and ``dim=1``.

    Parameters
    ----------
    input : Tensor
        Any shape with at least one axis.
    dim : int
        The axis that `index` points along.
    index : Tensor of integers
        As many axes as `input`, and the same lengths except along `dim`.

    Returns
    -------
    Tensor
        Shaped like `index`.

    Raises
    ------
    ShapeError
        If the other axes differ.
    OutOfRangeError
        If an index is negative or too large (checked on the CPU only; a GPU would have to wait).

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.gather(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tg.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    data, at = input._data, index._data
    if at.dtype.kind not in "iu":
        raise DTypeError(f"gather: index must hold integers, got {at.dtype}")
    axis = dim % data.ndim if data.ndim and -data.ndim <= dim < data.ndim else None
    if axis is None:
        raise OutOfRangeError(f"gather: dim {dim} is out of range for shape {data.shape}")
    if at.ndim != data.ndim or any(
        n != m for d, (n, m) in enumerate(zip(data.shape, at.shape, strict=True)) if d != axis
    ):
        raise ShapeError(
            f"gather: input {data.shape} and index {at.shape} may differ along dim {axis} only"
        )
    if not same_device(data, at):
        raise mixed_devices("gather", [data, at])
    if isinstance(at, np.ndarray) and at.size and not 0 <= at.min() <= at.max() < data.shape[axis]:
        raise OutOfRangeError(
            f"gather: indices from {at.min()} to {at.max()}, but dim {axis} has length "
            f"{data.shape[axis]}"
        )
    (at,) = _kept((at,), input)
    return apply(GATHER, (input,), {"index": at, "axis": axis})


@takes_tensor
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Return int64 zeros with a 1 at the class each element names, along a new last axis.

    Parameters
    ----------
    tensor : Tensor of integers
        Classes, from 0.
    num_classes : int
        Length of the new axis; the largest class plus one when left out (which waits for a GPU).

    Returns
    -------
    Tensor of int64

    Raises
    ------
    DataError
        If a class is negative or too large.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.one_hot(tg.tensor([2, 0]), 3)
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    data = tensor._data
    if data.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: classes must be integers, got {data.dtype}")
    xp = array_module(data)
    if num_classes < 0:
        if not data.size:
            raise DataError("one_hot: no elements to count the classes of; give num_classes")
        with device_guard(data):
            num_classes = int(data.max()) + 1
    check_classes("one_hot", data, num_classes)
    with device_guard(data):
        return variable((data[..., None] == xp.arange(num_classes)).astype(np.int64))


def check_classes(name: str, labels: Array, classes: int, ignore: int | None = None) -> None:
    """Raise DataError if a label is no class; on the CPU only, since a GPU would have to wait."""
    if not isinstance(labels, np.ndarray) or not labels.size:
        return
    wrong = (labels < 0) | (labels >= classes)
    if ignore is not None:
        wrong &= labels != ignore
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}: label {labels[first]} at {first} is out of range for {classes} classes "
            f"(0 to {classes - 1})"
        )
