"""Functions that make tensors: from data, constants, ranges, random numbers.

Random numbers are drawn on the host and then moved, so a seed gives the same ones everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .autograd.graph import Variable
from .device import (
    Array,
    Device,
    Generator,
    array_module,
    asarray,
    default_generator,
    device_guard,
    to_device,
)
from .errors import ArgumentError, DTypeError, ShapeError
from .ops.promote import element_type, get_default_dtype, kind
from .ops.shape import sizes
from .tensor import Tensor

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like",
    "linspace", "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like",
    "randperm", "tensor", "zeros", "zeros_like",
]  # fmt: skip


# --- from data --------------------------------------------------------------------------------


def _read(data: Any, dtype: Any, device: Any) -> Array:
    """Return `data` as an array: Python floats in the default type, integers as int64."""
    if isinstance(data, Variable):
        array = data._data
    elif hasattr(data, "dtype") and hasattr(data, "shape"):
        array = asarray(data)
    else:
        try:
            array = np.asarray(_plain(data))
        except ValueError as error:
            raise ShapeError(f"tensor: {error}") from error
        if dtype is None and array.dtype.kind == "f":
            array = array.astype(get_default_dtype())
        if dtype is None and not array.size:
            array = array.astype(get_default_dtype())
        array = array if dtype is None else array.astype(element_type(dtype))
        return to_device(array, device)
    kind(array.dtype)
    if device is not None:
        array = to_device(array, device)
    elif not isinstance(data, Variable) and isinstance(array, np.ndarray):
        array = to_device(array, None)
    with device_guard(array):
        return array if dtype is None else array.astype(element_type(dtype), copy=False)


def _plain(data: Any) -> Any:
    """Return nested lists with the tensors in them turned into numbers or arrays."""
    if isinstance(data, Variable):
        return data._data.item() if not data._data.ndim else to_device(data._data, "cpu")
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
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
        If the elements are no numbers.

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


def as_tensor(data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
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


def from_numpy(array: Any) -> Tensor:
    """Return a CPU tensor on the memory of a NumPy array: writing to one writes to the other."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    return Tensor(array)


# --- constants and ranges ---------------------------------------------------------------------


def _made(array: Any, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(to_device(array, Device.parse(device)), requires_grad)


def _float(dtype: Any) -> np.dtype[Any]:
    return get_default_dtype() if dtype is None else np.dtype(dtype)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
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

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.full((2,), 7)
    tensor([7, 7])
    """
    if dtype is None:
        dtype = get_default_dtype() if isinstance(fill_value, float) else None
    shape = sizes("full", (size,))
    return _made(np.full(shape, fill_value, dtype), device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    *size : int or tuple of int
        Shape.
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
    return _made(np.zeros(sizes("zeros", size), _float(dtype)), device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones; see `zeros`."""
    return _made(np.ones(sizes("ones", size), _float(dtype)), device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor whose elements have no defined value; see `zeros`."""
    return _made(np.empty(sizes("empty", size), _float(dtype)), device, requires_grad)


def _like(t: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    kind = t.dtype if dtype is None else np.dtype(dtype)
    array = np.empty(t.shape, kind) if value is None else np.full(t.shape, value, kind)
    return _made(array, t.device if device is None else device, requires_grad)


def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros with the shape, element type and device of `input`."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return ones with the shape, element type and device of `input`."""
    return _like(input, 1, dtype, device, requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return one value with the shape, element type and device of `input`."""
    return _like(input, fill_value, dtype, device, requires_grad)


def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return undefined elements with the shape, element type and device of `input`."""
    return _like(input, None, dtype, device, requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
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
        start, end = 0, start
    if step == 0:
        raise ArgumentError("arange: step must not be 0")
    if dtype is None and any(isinstance(v, (float, np.floating)) for v in (start, end, step)):
        dtype = get_default_dtype()
    numbers: Any = np.arange(start, end, step, dtype=dtype or np.int64)
    return _made(numbers, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
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
    if steps < 0:
        raise ArgumentError(f"linspace: steps must not be negative, got {steps}")
    return _made(np.linspace(start, end, steps).astype(_float(dtype)), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return an (n, m) matrix with ones on the diagonal; square when `m` is left out."""
    return _made(np.eye(n, m, dtype=_float(dtype)), device, requires_grad)


# --- random -------------------------------------------------------------------------------------


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn evenly from [0, 1).

    Parameters
    ----------
    *size : int or tuple of int
        Shape.
    generator : Generator, optional
        Where to draw from; `manual_seed` sets the default one.
    dtype, device, requires_grad
        As for `full`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.rand(2, generator=tg.Generator(0)).shape
    (2,)
    """
    draw = (generator or default_generator()).numpy().random(sizes("rand", size))
    kind = _float(dtype)
    # rounding to a narrower type may reach 1, which the interval excludes
    array = np.minimum(np.asarray(draw).astype(kind), np.nextafter(kind.type(1), kind.type(0)))
    return _made(array, device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn from the normal distribution of mean 0 and variance 1; see `rand`."""
    draw = (generator or default_generator()).numpy().standard_normal(sizes("randn", size))
    return _made(np.asarray(draw).astype(_float(dtype)), device, requires_grad)


def randint(
    low: int,
    high: int | None = None,
    size: Any = (),
    *,
    generator: Generator | None = None,
    dtype: Any = np.int64,
    device: Any = None,
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
    first, last = (0, low) if high is None else (low, high)
    if first >= last:
        raise ArgumentError(f"randint: low {first} must be less than high {last}")
    source = (generator or default_generator()).numpy()
    draw = source.integers(first, last, sizes("randint", (size,)))
    return _made(np.asarray(draw).astype(dtype), device, False)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Return the integers 0 to `n` - 1 in random order; see `rand`."""
    if n < 0:
        raise ArgumentError(f"randperm: n must not be negative, got {n}")
    draw = (generator or default_generator()).numpy().permutation(n)
    return _made(draw.astype(dtype), device, False)


def rand_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Return `rand` with the shape, element type and device of `input`."""
    return rand(input.shape, generator=generator, dtype=input.dtype, device=input.device)


def randn_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Return `randn` with the shape, element type and device of `input`."""
    return randn(input.shape, generator=generator, dtype=input.dtype, device=input.device)
