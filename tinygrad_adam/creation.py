"""Functions that make tensors: from data, constants, ranges, random numbers.

Random numbers are drawn on the host and then moved, so a seed gives the same ones everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .autograd.graph import Variable
from .device import Array, Device, array_module, asarray, copied, device_guard, to_device
from .dtypes import element_type, float_type, get_default_dtype, kind
from .errors import ArgumentError, DTypeError, ExchangeError, ShapeError, TinygradError
from .ops.arguments import finite, integer, number, sizes, takes_tensor
from .random import Generator, draws
from .tensor import Tensor

if TYPE_CHECKING:
    from .types import Data, DeviceLike, DTypeLike, Size

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full",
    "full_like", "linspace", "ones", "ones_like", "rand", "rand_like", "randint", "randn",
    "randn_like", "randperm", "tensor", "zeros", "zeros_like",
]  # fmt: skip


# --- from data --------------------------------------------------------------------------------


def _read(data: Any, dtype: Any, device: Any) -> Array:
    """Return `data` as an array: Python floats in the default type, integers as int64."""
    if isinstance(data, Variable):
        array = data._data
    elif hasattr(data, "dtype") and hasattr(data, "shape"):
        array = asarray(data)
    else:
        nested: set[np.dtype[Any]] = set()
        try:
            array = np.asarray(_plain(data, nested, dtype is not None))
        except TinygradError:
            raise
        except ValueError as error:
            raise ShapeError(f"tensor: {error}") from error
        if dtype is not None:
            wanted = element_type(dtype)
        elif array.dtype.kind == "f" or not array.size:
            floats = [d for d in nested if d.kind == "f"]
            wanted = np.result_type(*floats) if floats else get_default_dtype()
        else:
            wanted = array.dtype
        return to_device(_as_type("tensor", array, wanted), device)
    array = _native(array)
    if device is not None:
        array = to_device(array, device)
    elif not isinstance(data, Variable) and isinstance(array, np.ndarray):
        array = to_device(array, None)
    with device_guard(array):
        return array if dtype is None else array.astype(element_type(dtype), copy=False)


def _plain(data: Any, nested: set[np.dtype[Any]], unlimited: bool) -> Any:
    """Return nested lists with the tensors in them as arrays; the arrays' types go to `nested`."""
    if isinstance(data, (list, tuple)):
        return [_plain(d, nested, unlimited) for d in data]
    if isinstance(data, Variable):
        data = to_device(data._data, "cpu")
    if isinstance(data, np.ndarray):
        nested.add(data.dtype)
    elif type(data) is int:
        if not -(2**63) <= data < 2**63 and not unlimited:
            raise ArgumentError(f"tensor: {data} does not fit into int64; give a dtype")
    elif type(data) is not float and _has_only_items(type(data)):
        return [_plain(data[i], nested, unlimited) for i in range(len(data))]
    return data


def _has_only_items(kind: Any) -> bool:
    """Whether NumPy would read a `kind` item by item past its length, until an IndexError."""
    missing = ("__iter__", "__array__", "__array_interface__", "__array_struct__")
    has = all(hasattr(kind, name) for name in ("__len__", "__getitem__"))
    return has and not any(hasattr(kind, name) for name in missing)


def _native(array: Array) -> Array:
    """Return an array in the byte order of this machine."""
    wanted = element_type(array.dtype)
    return array if array.dtype == wanted else array.astype(wanted)


def _as_type(name: str, numbers: Any, dtype: np.dtype[Any]) -> Any:
    """Return numbers as `dtype`; refuse those that an integer type cannot hold.

    Negative ones wrap around in an unsigned type, as in PyTorch.
    """
    kind(numbers.dtype)
    if dtype.kind in "iu" and numbers.size:
        limits = np.iinfo(dtype)
        low, high = numbers.min(), numbers.max()
        # not the other way round: NaN is neither
        if not (low >= (limits.min or -limits.max) and high < limits.max + 1):
            raise ArgumentError(
                f"{name}: {low if low == high else f'numbers from {low} to {high}'} not within "
                f"{limits.min} to {limits.max}, which is what {dtype} holds; give a wider dtype"
            )
    return numbers.astype(dtype)


def tensor(
    data: Data,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a new leaf tensor with a copy of `data`.

    Parameters
    ----------
    data : number, nested list, array or Tensor
        The elements.
    dtype : dtype, optional
        Element type.  Left out, arrays keep theirs, Python floats get the default type (float32)
        and Python integers int64.
    device : str, optional
        Where to put it; the default device when left out, except that a Tensor stays where it is.
    requires_grad : bool
        Whether `backward` should fill its `grad`.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the rows of a nested list have different lengths.
    DTypeError
        If the elements are no numbers, or wider than 64 bits.
    ArgumentError
        If an integer `dtype` cannot hold a number of a list.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.tensor([[1, 2], [3, 4]]).dtype, tg.tensor(0.5).dtype
    (dtype('int64'), dtype('float32'))
    """
    array = _read(data, dtype, device)
    kind(array.dtype)
    source = data._data if isinstance(data, Variable) else data
    xp = array_module(array)
    if (
        hasattr(source, "dtype")
        and array_module(source) is xp
        and xp.may_share_memory(array, source)
    ):
        with device_guard(array):
            array = array.copy()
    return Tensor(array, requires_grad)


def as_tensor(
    data: Data, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None
) -> Tensor:
    """Return `data` as a tensor, without copying if it is one, or an array, of that type already.

    Parameters
    ----------
    data, dtype, device
        As for `tensor`.

    Returns
    -------
    Tensor
        Shares memory with `data` where nothing had to change.

    Examples
    --------
    >>> import numpy as np, tinygrad_adam as tg
    >>> a = np.zeros(2)
    >>> tg.as_tensor(a).data is a
    True
    """
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return Tensor(_read(data, dtype, device))


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a CPU tensor on the memory of a NumPy array: writing to one writes to the other."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    if _native(array) is not array:
        raise DTypeError(
            f"from_numpy: {array.dtype.str} is not in this machine's byte order, so its memory "
            "cannot be shared; use tg.tensor(array), which copies"
        )
    return Tensor(array)


def from_dlpack(x: Any, *, device: DeviceLike | None = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of an array of another library, through DLPack.

    Writing to one writes to the other.  Changes made through tensors are noticed by the graphs of
    all tensors on the memory, however often it was taken over or handed out.

    Parameters
    ----------
    x : array
        Of NumPy, CuPy, PyTorch, JAX or any other library whose arrays have ``__dlpack__``.
    device : str, optional
        Where to put it; left out, it stays where it is.
    copy : bool, optional
        True copies always, False never; left out, only where the device requires it.

    Returns
    -------
    Tensor
        A leaf.  Its memory is read-only where the other library says so or cannot say otherwise,
        and always with NumPy 2.0, whose DLPack cannot say.

    Raises
    ------
    ExchangeError
        If the memory cannot be shared: its elements are of a type that NumPy lacks, it requires a
        gradient there, or it would have to be copied and `copy` is False.
    DTypeError
        If `x` is no such array, or its elements are not supported.
    DeviceError
        If it is on a GPU and CuPy is not installed.

    Notes
    -----
    The protocol is described at https://dmlc.github.io/dlpack/latest/python_spec.html.

    Examples
    --------
    >>> import numpy as np, tinygrad_adam as tg
    >>> a = np.zeros(2)
    >>> t = tg.from_dlpack(a)
    >>> t += 1
    >>> a
    array([1., 1.])
    """
    from .exchange import imported

    t = x.detach() if isinstance(x, Tensor) and not x.requires_grad else Tensor(imported(x))
    target = t.device if device is None else Device.parse(device)
    if target != t.device and copy is False:
        raise ExchangeError(
            f"from_dlpack: moving from {t.device} to {target} copies, and copy is False"
        )
    if copy and target == t.device:
        return Tensor(copied(t.data))
    return t.to(target)


# --- constants and ranges ---------------------------------------------------------------------


def _made(array: Any, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(to_device(array, Device.parse(device)), requires_grad)


def _type(dtype: Any) -> np.dtype[Any]:
    return get_default_dtype() if dtype is None else element_type(dtype)


def _shape(name: str, given: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """Read a shape given in positions, or by the name `size`."""
    shape = sizes(name, given, size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes must not be negative, got {shape}")
    return shape


def full(
    size: Size,
    fill_value: float | Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of one value.

    Parameters
    ----------
    size : int or sequence of int
        Shape.
    fill_value : number
        The value.
    dtype : dtype, optional
        Left out, the default floating type for a float, int64 for an integer, bool for a truth.
    device : str, optional
        Where to make it.
    requires_grad : bool
        Whether `backward` should fill its `grad`.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If an integer `dtype` cannot hold `fill_value`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.full((2,), 7)
    tensor([7, 7])
    """
    shape = _shape("full", (size,))
    value = np.asarray(number("full", "fill_value", fill_value))
    if dtype is None:
        dtype = get_default_dtype() if value.dtype.kind == "f" else np.int64
        dtype = bool if value.dtype.kind == "b" else dtype
    filled = np.full(shape, _as_type("full", value, element_type(dtype)))
    return _made(filled, device, requires_grad)


def zeros(
    *shape: Size,
    size: Size | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    *shape : int or tuple of int
        Shape.
    size : tuple of int
        The same by name.
    dtype, device, requires_grad
        As for `full`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.zeros(2, 3).shape
    (2, 3)
    """
    return _made(np.zeros(_shape("zeros", shape, size), _type(dtype)), device, requires_grad)


def ones(
    *shape: Size,
    size: Size | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of ones; see `zeros`."""
    return _made(np.ones(_shape("ones", shape, size), _type(dtype)), device, requires_grad)


def empty(
    *shape: Size,
    size: Size | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor whose elements have no defined value; see `zeros`."""
    return _made(np.empty(_shape("empty", shape, size), _type(dtype)), device, requires_grad)


def _like(t: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = t.dtype if dtype is None else element_type(dtype)
    if value is None:
        array = np.empty(t.shape, wanted)
    else:
        filling = np.asarray(number("full_like", "fill_value", value))
        array = np.full(t.shape, _as_type("full_like", filling, wanted))
    return _made(array, t.device if device is None else device, requires_grad)


@takes_tensor
def zeros_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return zeros with the shape, element type and device of `input`."""
    return _like(input, 0, dtype, device, requires_grad)


@takes_tensor
def ones_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ones with the shape, element type and device of `input`."""
    return _like(input, 1, dtype, device, requires_grad)


@takes_tensor
def full_like(
    input: Tensor,
    fill_value: float | Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return one value with the shape, element type and device of `input`."""
    return _like(input, fill_value, dtype, device, requires_grad)


@takes_tensor
def empty_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return undefined elements with the shape, element type and device of `input`."""
    return _like(input, None, dtype, device, requires_grad)


def arange(
    start: float | Tensor | None = None,
    end: float | Tensor | None = None,
    step: float | Tensor = 1,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``start, start + step, ...`` up to but without `end`.

    Parameters
    ----------
    start, end, step : number
        With one number, from 0 to it.
    dtype, device, requires_grad
        As for `full`; integers give int64.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.arange(3), tg.arange(1, 2, 0.5)
    (tensor([0, 1, 2]), tensor([1.0000, 1.5000]))
    """
    if end is None:
        start, end = None, start
    bounds = [number("arange", "a bound", v) for v in (0 if start is None else start, end, step)]
    first, last, by = (finite("arange", "a bound", v) for v in bounds)
    if by == 0:
        raise ArgumentError("arange: step must not be 0")
    if (last - first) * by < 0:
        raise ArgumentError(f"arange: steps of {by} from {first} do not lead to {last}")
    if dtype is None:
        dtype = get_default_dtype() if any(isinstance(v, float) for v in bounds) else np.int64
    numbers: Any = np.arange(*bounds, dtype=element_type(dtype))
    return _made(numbers, device, requires_grad)


def linspace(
    start: float | Tensor,
    end: float | Tensor,
    steps: int,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` evenly spaced numbers from `start` to `end`, both included.

    Parameters
    ----------
    start, end : float
        The first and the last.
    steps : int
        How many.
    dtype, device, requires_grad
        As for `full`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    count = integer("linspace", "steps", steps, 0)
    first, last = (number("linspace", "a bound", v) for v in (start, end))
    return _made(np.linspace(first, last, count).astype(_type(dtype)), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return an (n, m) matrix with ones on the diagonal; square when `m` is left out."""
    rows, columns = _shape("eye", (n, n if m is None else m))
    return _made(np.eye(rows, columns, dtype=_type(dtype)), device, requires_grad)


# --- random -------------------------------------------------------------------------------------


def rand(
    *shape: Size,
    size: Size | None = None,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn evenly from [0, 1).

    Parameters
    ----------
    *shape : int or tuple of int
        Shape.
    size : tuple of int
        The same by name.
    generator : Generator, optional
        Where to draw from; `manual_seed` sets the default one.
    dtype, device, requires_grad
        As for `full`; only floating types.

    Returns
    -------
    Tensor

    Raises
    ------
    DTypeError
        For an integer `dtype`; see `randint`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.rand(2, generator=tg.Generator(0)).shape
    (2,)
    """
    kind, dims = float_type("rand", dtype), _shape("rand", shape, size)
    draw = draws("rand", generator).random(dims)
    # rounding to a narrower type may reach 1, which the interval excludes
    array = np.minimum(np.asarray(draw).astype(kind), np.nextafter(kind.type(1), kind.type(0)))
    return _made(array, device, requires_grad)


def randn(
    *shape: Size,
    size: Size | None = None,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn from the normal distribution of mean 0 and variance 1; see `rand`."""
    kind, dims = float_type("randn", dtype), _shape("randn", shape, size)
    draw = draws("randn", generator).standard_normal(dims)
    return _made(np.asarray(draw).astype(kind), device, requires_grad)


def randint(
    low: int,
    high: int | None = None,
    size: Size = (),
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = np.int64,
    device: DeviceLike | None = None,
) -> Tensor:
    """Return integers drawn evenly from `low` (0 when only one bound is given) to `high` - 1.

    Parameters
    ----------
    low, high : int
        The bounds.
    size : tuple of int
        Shape.
    generator, dtype, device
        As for `rand`.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If the interval is empty.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> bool((tg.randint(5, size=(100,)) < 5).all())
    True
    """
    if isinstance(high, (tuple, list)):  # randint(high, size), as in PyTorch
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    first, last = integer("randint", "low", low), integer("randint", "high", high)
    if first >= last:
        raise ArgumentError(f"randint: low {first} must be less than high {last}")
    shape, wanted = _shape("randint", (size,)), element_type(dtype)
    draw = draws("randint", generator).integers(first, last, shape)
    return _made(np.asarray(draw).astype(wanted), device, False)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = np.int64,
    device: DeviceLike | None = None,
) -> Tensor:
    """Return the integers 0 to `n` - 1 in random order; see `rand`."""
    count, wanted = integer("randperm", "n", n, 0), element_type(dtype)
    draw = draws("randperm", generator).permutation(count)
    return _made(draw.astype(wanted), device, False)


@takes_tensor
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `rand` with the shape, element type and device of `input`."""
    return rand(
        input.shape,
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


@takes_tensor
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `randn` with the shape, element type and device of `input`."""
    return randn(
        input.shape,
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )
