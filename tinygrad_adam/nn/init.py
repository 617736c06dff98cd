"""Starting values for parameters.

Every draw is made on the host in float64 from a `Generator`, then converted and moved: the same
seed gives the same parameters on every device, and in float32 as in float64 up to rounding.
Functions with a trailing underscore fill a tensor in place and return it.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..autograd.memory import changed
from ..device import device_guard, device_of, is_writable, to_device
from ..errors import ArgumentError, DTypeError, InPlaceError, ShapeError
from ..ops.arguments import finite, number
from ..random import Generator, draws
from ..tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

_GAINS = {
    "linear": 1.0,
    "conv2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""Return the factor by which a layer's weights make up for its nonlinearity.

    =============  ==============================
    nonlinearity   gain
    =============  ==============================
    linear         1
    conv2d         1
    sigmoid        1
    tanh           5/3
    relu           :math:`\sqrt 2`
    leaky_relu     :math:`\sqrt{2 / (1 + a^2)}`
    selu           3/4
    =============  ==============================

    Parameters
    ----------
    nonlinearity : str
        One of the names above.
    param : float, optional
        The negative slope ``a`` of leaky_relu, 0.01 when left out.

    Raises
    ------
    ArgumentError
        If the name is unknown or `param` is not a finite number.

    Examples
    --------
    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = finite("calculate_gain", "param", 0.01 if param is None else param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if not isinstance(nonlinearity, str) or nonlinearity not in _GAINS:
        names = ", ".join([*_GAINS, "leaky_relu"])
        raise ArgumentError(f"nonlinearity {nonlinearity!r} is unknown; use one of {names}")
    return _GAINS[nonlinearity]


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with draws from the uniform distribution on ``[a, b]``.

    Parameters
    ----------
    tensor : Tensor
        Floating point, any shape; changed in place, outside any graph.
    a, b : float
        The bounds, ``a <= b``.
    generator : Generator, optional
        Where the draws come from; the default stream, which `manual_seed` restarts, if left out.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ArgumentError
        If a bound is not finite, ``a > b``, or the bounds are too large for the tensor's type.
    DTypeError
        If `tensor` is not floating point.
    InPlaceError
        If `tensor` is read-only or an expanded view.  Whatever is raised, nothing was drawn.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.nn.init.uniform_(tg.zeros(100), -0.5, 0.5)
    >>> bool((w.abs() <= 0.5).all())
    True
    """
    low, high = finite("uniform_", "a", a), finite("uniform_", "b", b)
    if low > high:
        raise ArgumentError(f"uniform_: a <= b is needed, got a={low} and b={high}")
    _check_float("uniform_", tensor, max(-low, high, high - low))
    values = draws("uniform_", generator).uniform(low, high, tuple(tensor.shape))
    return _fill(tensor, values)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with draws from the normal distribution.

    Parameters
    ----------
    tensor : Tensor
        Floating point, any shape; changed in place.
    mean, std : float
        Mean and standard deviation, ``std >= 0``.
    generator : Generator, optional
        As for `uniform_`.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ArgumentError
        If a number is not finite or too large for the tensor's type, or `std` is negative.
    DTypeError, InPlaceError
        As for `uniform_`.
    """
    centre, spread = finite("normal_", "mean", mean), finite("normal_", "std", std)
    if spread < 0:
        raise ArgumentError(f"normal_: std must not be negative, got {spread}")
    # No draw ever reaches ten deviations: the chance is 1e-23.
    _check_float("normal_", tensor, abs(centre) + 10 * spread)
    values = draws("normal_", generator).normal(centre, spread, tuple(tensor.shape))
    return _fill(tensor, values)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill `tensor`, of any dtype, with `val`, in place.

    Parameters
    ----------
    tensor : Tensor
        Of any element type and shape; changed in place.
    val : number
        Or a tensor of no dimensions.

    Raises
    ------
    DTypeError
        If `val` is no number.
    ArgumentError
        If it does not fit into the tensor's type.
    InPlaceError
        As for `uniform_`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.init.constant_(tg.zeros(2), 0.5).tolist()
    [0.5, 0.5]
    """
    _check_tensor("constant_", tensor)
    val = number("constant_", "val", val)
    try:
        with np.errstate(over="raise", invalid="raise"):
            value = np.asarray(val, tensor.dtype)
    except (ValueError, ArithmeticError) as error:
        raise ArgumentError(f"constant_: {val!r} does not fit into {tensor.dtype}") from error
    return _fill(tensor, value)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with zeros, in place."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with ones, in place."""
    return constant_(tensor, 1)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Fill `tensor` from :math:`U(-c, c)`, :math:`c = g \sqrt{6 / (n_{in} + n_{out})}`.

    Keeps the variance of activations and gradients about equal through linear layers (Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010).

    Parameters
    ----------
    tensor : Tensor
        A weight, ``(out, in)`` or ``(out, in, *kernel)``; changed in place.
    gain : float
        The factor ``g``, see `calculate_gain`.
    generator : Generator, optional
        As for `uniform_`.

    Raises
    ------
    ShapeError
        If `tensor` has fewer than two dimensions.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.nn.init.xavier_uniform_(tg.zeros(3, 3))
    >>> bool((w.abs() <= 1).all())
    True
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = finite("xavier_uniform_", "gain", gain) * math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    r"""Fill `tensor` from :math:`N(0, \sigma^2)`, :math:`\sigma = g \sqrt{2 / (n_{in} + n_{out})}`.

    Parameters, errors and source as for `xavier_uniform_`.
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    std = finite("xavier_normal_", "gain", gain) * math.sqrt(2.0 / max(fan_in + fan_out, 1))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Fill `tensor` from :math:`U(-c, c)`, :math:`c = g \sqrt{3 / n}`.

    Keeps the variance through layers followed by a rectifier (He et al., "Delving deep into
    rectifiers", 2015).

    Parameters
    ----------
    tensor : Tensor
        A weight, ``(out, in)`` or ``(out, in, *kernel)``; changed in place.
    a : float
        Negative slope of leaky_relu, for the gain ``g``.
    mode : {"fan_in", "fan_out"}
        Whether ``n`` counts an output's inputs (activations keep their variance) or an input's
        outputs (gradients keep theirs).
    nonlinearity : str
        See `calculate_gain`.
    generator : Generator, optional
        As for `uniform_`.

    Raises
    ------
    ShapeError
        If `tensor` has fewer than two dimensions.
    ArgumentError
        If `mode` or `nonlinearity` is unknown.
    """
    std = _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Fill `tensor` from :math:`N(0, \sigma^2)`, :math:`\sigma = g / \sqrt n`.

    Parameters, errors and source as for `kaiming_uniform_`.
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(where: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{where}: mode is 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _fans(where, tensor)
    fan = fan_in if mode == "fan_in" else fan_out
    # A weight without elements has no fan; there is nothing to fill then.
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _fans(where: str, tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output sees, and how many outputs an input reaches."""
    _check_tensor(where, tensor)
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ShapeError(
            f"{where} needs a weight of two or more dimensions (out, in, *kernel), got {shape}; "
            "use uniform_, normal_ or zeros_ for a bias"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _check_tensor(where: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"{where} fills a Tensor in place, got {type(tensor).__name__}")
    if not is_writable(tensor.data):
        raise InPlaceError(
            f"{where}: this {tuple(tensor.shape)} tensor is a read-only view (expand, "
            "broadcast_to); fill a clone()"
        )


def _check_float(where: str, tensor: Tensor, reach: float) -> None:
    """Raise unless `tensor` can hold floating-point numbers as large as `reach`."""
    _check_tensor(where, tensor)
    if tensor.dtype.kind != "f":
        raise DTypeError(f"{where} needs a floating-point tensor, got {tensor.dtype}")
    if not reach <= float(np.finfo(tensor.dtype).max):
        raise ArgumentError(f"{where}: the numbers reach {reach:g}, too large for {tensor.dtype}")


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    array = tensor.data
    with device_guard(array):
        array[...] = to_device(values.astype(array.dtype), device_of(array))
    changed(tensor)
    return tensor
