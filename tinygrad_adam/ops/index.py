"""Reading and writing parts of a tensor: indexing, index assignment, gather, one-hot.

An index is read as PyTorch reads it, in two steps: integers, slices, None and ... choose a view,
the `part`; arrays choose `places` in the part.

Reading is linear, and its derivative is adding into the places that were read, whose derivative is
reading again.  So the pairs `getitem`/`put` and `gather`/`put_along` are closed.
"""

from __future__ import annotations

import math
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.explain import mixed_devices
from ..autograd.graph import Node, Variable, apply, record, variable
from ..autograd.memory import Path, changed, follow, origin, rebase, written
from ..autograd.registry import find, op
from ..autograd.vocabulary import ON_TENSORS
from ..device import (
    Array,
    array_module,
    device_guard,
    device_of,
    is_writable,
    same_device,
    to_device,
)
from ..dtypes import kind
from ..errors import ArgumentError, DataError, DTypeError, InPlaceError, OutOfRangeError, ShapeError
from .arguments import integer, one_axis, reaches, recorded, takes_tensor
from .move import cast
from .shape import reshape

if TYPE_CHECKING:
    from ..tensor import Tensor
    from ..types import IndexLike, Operand

__all__ = ["gather", "one_hot"]

Index = tuple[Any, ...]


# --- indexing -----------------------------------------------------------------------------------


def _put(xp: Any, v: Array, *, part: Index, places: Index, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with `v` added at the index; a place named twice gets both."""
    y = xp.zeros(shape, v.dtype)
    view = y[part]
    arrays = [p for p in places if not isinstance(p, slice)]
    if not arrays:
        view[...] = v
    elif len(arrays) == 1 and arrays[0].dtype.kind == "b":  # names no place twice
        view[places] = v
    else:
        xp.add.at(view, places, v)
    return y


GETITEM = op(
    "getitem",
    lambda xp, x, *, part, places: x[part][places] if places else x[part],
    x=lambda F, g, x_shape, part, places: F.put(g, part=part, places=places, shape=x_shape),
    view=True,
)
PUT = op("put", _put, v=lambda F, g, part, places: F.getitem(g, part=part, places=places))

_ALL = slice(None)
_BASIC = {int, slice, type(None), EllipsisType}
_NO_ARRAY = _BASIC | {bool}


def _resolved(index: Any, data: Array, name: str) -> tuple[Index, Index]:
    """Return the part of `data` that `index` means, and the places in it (none: all of it).

    The part ends in ..., so that it is a view even of a single element.
    """
    items = [_plain(i, data, name) for i in (index if isinstance(index, tuple) else (index,))]
    kinds = {type(i) for i in items}
    if EllipsisType in kinds and sum(i is Ellipsis for i in items) > 1:
        raise OutOfRangeError(f"{name}: an index can have only one ...")
    if kinds <= _BASIC:
        return tuple(items) if EllipsisType in kinds else (*items, ...), ()
    if kinds.isdisjoint(_NO_ARRAY):
        return (...,), tuple(items)
    axes = [_axes_taken(i) for i in items]
    rest = data.ndim - sum(axes)
    if rest < 0:
        raise OutOfRangeError(
            f"{name}: {sum(axes)} axes are indexed, but the shape is {data.shape}"
        )
    part: list[Any] = []
    places: list[Any] = []
    for item, n in zip(items, axes, strict=True):
        if type(item) is int:
            part.append(item)
        elif item is None or isinstance(item, slice):
            part.append(item)
            places.append(_ALL)
        elif item is Ellipsis:
            part += [_ALL] * rest
            places += [_ALL] * rest
        elif isinstance(item, bool):  # a new axis: one place if true, none if false
            part.append(None)
            places.append(to_device(np.zeros(int(item), np.int64), device_of(data)))
        else:
            part += [_ALL] * n
            places.append(item)
    return (*part, ...), tuple(places)


def _axes_taken(item: Any) -> int:
    if type(item) in (int, slice):
        return 1
    if type(item) in _NO_ARRAY:
        return 0
    return item.ndim if item.dtype.kind == "b" else 1


def _plain(item: Any, data: Array, name: str) -> Any:
    """Return one item of an index as an int, bool, slice, None, ... or array beside `data`."""
    if item is None or item is Ellipsis or type(item) in (int, bool):
        return item
    if isinstance(item, slice):
        bounds = [
            None if b is None else integer(name, f"the {what} of a slice", b)
            for what, b in (("start", item.start), ("stop", item.stop), ("step", item.step))
        ]
        if bounds[2] == 0:
            raise ArgumentError(f"{name}: the step of a slice must not be 0")
        return slice(*bounds)
    if isinstance(item, Variable):
        item = item._data
    elif isinstance(item, (list, tuple, range)):
        item = _listed(item, name)
    if not hasattr(item, "dtype"):
        if not hasattr(item, "__index__"):
            raise DTypeError(
                f"{name}: an index must be made of integers, slices, None, ... and tensors, "
                f"got {type(item).__name__}"
            )
        return integer(name, "an index", item)
    if item.dtype.kind not in "biu":
        raise DTypeError(f"{name}: an index must hold integers or booleans, got {item.dtype}")
    if item.ndim == 0:  # the shape depends on it, so a GPU has to be waited for
        return item.item()
    if array_module(item) is np:
        return to_device(item, device_of(data))
    if device_of(item) != device_of(data):
        raise mixed_devices(name, [data, item])
    return item


def _listed(items: Any, name: str) -> Array:
    try:
        array = np.asarray(_unwrapped(items))
    except ValueError as error:
        raise ShapeError(f"{name}: an index list must be rectangular: {error}") from error
    return array if array.size else array.astype(np.int64)


def _unwrapped(items: Any) -> Any:
    """Return nested lists with the tensors in them turned into lists or numbers."""
    if isinstance(items, (list, tuple, range)):
        return [_unwrapped(i) for i in items]
    return items._data.tolist() if isinstance(items, Variable) else items


def _kept(arrays: Index, *tensors: Any) -> Index:
    """Return index arrays, copied if the graph will keep them: they may be written to later."""
    if arrays and recorded(*tensors):
        return tuple(_copied(i) if hasattr(i, "dtype") else i for i in arrays)
    return arrays


def _copied(array: Array) -> Array:
    with device_guard(array):
        return array.copy()


def getitem(input: Tensor, index: IndexLike) -> Tensor:
    """Return the part of `input` at `index`: a view for slices and integers, a copy for arrays.

    Parameters
    ----------
    input : Tensor
        Any shape.
    index : int, slice, None, Ellipsis, Tensor, array, list or tuple of these
        As in PyTorch: integers, and tensors of one integer, choose along their axis first, as if
        they stood alone.  The tensors and lists that are left are broadcast together; their axes
        come where the first of them stands if they stand side by side, else in front.  A tensor of
        booleans stands for the places where it is true.  A slice may also step backwards.

    Returns
    -------
    Tensor

    Raises
    ------
    OutOfRangeError
        If the index does not fit the shape.
    DTypeError
        If it holds anything but integers and booleans.
    ArgumentError
        If the step of a slice is 0.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.arange(6).reshape(2, 3)
    >>> x[:, tg.tensor([2, 0])]
    tensor([[2, 0],
            [5, 3]])
    """
    if type(index) is int:
        return apply(GETITEM, (input,), {"part": (index, ...), "places": ()})
    part, places = _resolved(index, input._data, "getitem")
    return apply(GETITEM, (input,), {"part": part, "places": _kept(places, input)})


# --- index assignment ---------------------------------------------------------------------------


def _overwritten(xp: Any, x: Array, v: Any, *, path: Path, part: Index, places: Index) -> Array:
    """Return a copy of `x` with `v` at the index of what `path` leads to."""
    y = xp.array(x, order="C" if path else "K")  # in C order every single step leads to a view
    if path:
        (name, settings), *rest = path
        view = find(name).forward(xp, y, **settings)
        v = _overwritten(xp, view, v, path=tuple(rest), part=part, places=places)
        places = ()
    else:
        view = y[part]
    view[places or ...] = v
    return y


SETITEM = op(
    "setitem",
    _overwritten,
    x=lambda F, g, path, part, places: (
        F.zeros_like(g)  # nothing is left
        if (path, part, places) == ((), (...,), ())
        else F.setitem(g, 0.0, path=path, part=part, places=places)
    ),
    v=lambda F, g, path, part, places: F.getitem(follow(F, g, path), part=part, places=places),
)


def setitem(
    input: Tensor, index: IndexLike, value: Operand, name: str = "setitem", node: Node | None = None
) -> None:
    """Write `value` into `input` at `index`, in place; gradients follow.

    What was there before gets no gradient any more, and `value` gets that of its place.  Writing to
    a view is writing to its base: both, and all other views of it, are then results of the
    assignment.  Where the index names one place twice, which value stays is not defined.

    Parameters
    ----------
    input : Tensor
        Changed in place.
    index
        As for `getitem`.
    value : Tensor or number
        Broadcast to the indexed part, and cast to the element type of `input`.
    name : str
        What the errors call this.
    node : Node, optional
        What made `value`, where nothing remains of `input` beside it.

    Raises
    ------
    InPlaceError
        While gradients are recorded: if `input` is a leaf that requires one or a view of such a
        leaf, or a view made while they were not.  At any time: if it is a read-only view.
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
    part, places = _resolved(index, data, name)
    v: Any = value
    if not isinstance(v, Variable):
        v = variable(v if hasattr(v, "dtype") else _value(name, v, data.dtype))
    if v._data.ndim == 0 and device_of(v._data) != device_of(data):
        v = variable(to_device(v._data, device_of(data)), None)
    if not same_device(v._data, data):
        raise mixed_devices(name, [data, v._data])
    v = cast(v, data.dtype)
    if recording := recorded(input, origin(input)[0], v):
        base, path = written(input, name)
        whose, way = origin(v)
        here = (*path, ("getitem", {"part": part, "places": ()}))
        if not places and whose is base and way == here:
            return  # ``x[i] += v`` is ``view = x[i]; view += v; x[i] = view``: done already
    try:
        with device_guard(data):
            view = data[part]
            target = view[places] if places else view
    except IndexError as error:
        raise OutOfRangeError(f"{name}: {error} (shape {data.shape})") from error
    shape = v._data.shape
    extra = max(len(shape) - target.ndim, 0)  # axes of length 1 in front
    if math.prod(shape[:extra]) != 1 or not reaches(shape[extra:], target.shape):
        raise ShapeError(
            f"{name}: a value of shape {shape} does not fit the indexed part, {target.shape}"
        )
    if extra:
        v = reshape(v, shape[extra:])
    if not is_writable(data):
        raise InPlaceError(
            f"{name}: this {data.shape} tensor is a read-only view (expand, broadcast_to); "
            "assign into a clone()"
        )
    with device_guard(data):
        view[places or ...] = v._data
    changed(input)
    if recording:
        if node is None or path:
            out, xp = variable(base._data), array_module(data)
            settings = {"path": path, "part": part, "places": _kept(places, base, v)}
            record(SETITEM.on(xp.__name__), (base, v), (base._data, v._data), settings, out)
            node = out._node
        rebase(ON_TENSORS, base, node)


def _value(name: str, value: Any, dtype: Any) -> Array:
    """Return a number or nested list as an array of type `dtype`."""
    try:
        kind(np.asarray(value).dtype)
        return np.asarray(value, dtype=dtype)
    except ValueError as error:
        raise ShapeError(f"{name}: {error}") from error
    except OverflowError as error:
        raise ArgumentError(f"{name}: {error}") from error


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
    "put_along", _put_along, v=lambda F, g, index, axis: F.gather(g, index=index, axis=axis)
)


@takes_tensor
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the elements that `index` points to along one axis.

    ``out[i][j] = input[i][index[i][j]]`` for two axes and ``dim=1``.

    Parameters
    ----------
    input : Tensor
        Any shape; one without axes counts as one of length 1.
    dim : int
        The axis that `index` points along.
    index : Tensor of integers
        As many axes as `input`, and no longer except along `dim`; or of no elements.

    Returns
    -------
    Tensor
        Shaped like `index`.

    Raises
    ------
    ShapeError
        If another axis of `index` is too long.
    OutOfRangeError
        If an index is negative or too large (checked on the CPU only; a GPU would have to wait).

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.gather(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tg.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    if not isinstance(index, Variable):
        raise DTypeError(
            f"gather: index must be a Tensor, got {type(index).__name__}; "
            "wrap it with tg.tensor(...)"
        )
    data, at = input._data, index._data
    if at.dtype.kind not in "iu":
        raise DTypeError(f"gather: index must hold integers, got {at.dtype}")
    axis = one_axis("gather", data.shape, dim)
    if not same_device(data, at):
        raise mixed_devices("gather", [data, at])
    if not at.size:
        return reshape(getitem(reshape(input, (-1,)), slice(0, 0)), at.shape)
    if not data.ndim or not at.ndim:
        found = gather(_with_an_axis(input), 0, _with_an_axis(index))
        return reshape(found, at.shape)
    part = tuple(
        m if d == axis else n for d, (n, m) in enumerate(zip(at.shape, data.shape, strict=False))
    )
    if at.ndim != data.ndim or any(n > m for n, m in zip(part, data.shape, strict=True)):
        raise ShapeError(
            f"gather: index {at.shape} is larger than input {data.shape} along another axis than "
            f"dim {axis}, or has not as many axes"
        )
    if part != data.shape:
        input = getitem(input, tuple(map(slice, part)))
    if isinstance(at, np.ndarray) and at.size and not 0 <= at.min() <= at.max() < data.shape[axis]:
        raise OutOfRangeError(
            f"gather: indices from {at.min()} to {at.max()}, but dim {axis} has length "
            f"{data.shape[axis]}"
        )
    (at,) = _kept((at,), input)
    return apply(GATHER, (input,), {"index": at, "axis": axis})


def _with_an_axis(t: Tensor) -> Tensor:
    return t if t._data.ndim else reshape(t, (1,))


ONE_HOT = op(
    "one_hot", lambda xp, x, *, classes: (x[..., None] == xp.arange(classes)).astype(np.int64)
)


@takes_tensor
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
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
    ArgumentError
        If `num_classes` is below -1.

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
    num_classes = integer("one_hot", "num_classes", num_classes)
    if num_classes < -1:
        raise ArgumentError(
            f"one_hot: num_classes must be positive, or -1 for as many as needed, got {num_classes}"
        )
    if num_classes == -1:
        if not data.size:
            raise DataError("one_hot: no elements to count the classes of; give num_classes")
        with device_guard(data):
            num_classes = int(data.max()) + 1
    check_classes("one_hot", data, num_classes)
    return apply(ONE_HOT, (tensor,), {"classes": num_classes})


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
