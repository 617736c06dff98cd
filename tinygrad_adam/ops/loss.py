"""Losses: how far predictions are from targets, stable where the plain formula is not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.explain import mixed_devices
from ..autograd.graph import Variable, apply, variable
from ..autograd.registry import op
from ..device import Array, same_device
from ..errors import ArgumentError, DataError, DTypeError, ShapeError
from .arguments import fraction, integer, reaches, same_type
from .elementwise import abs as absolute
from .elementwise import add, mul, ne, sub, where
from .index import check_classes, gather, getitem
from .move import cast
from .reduce import in_single, mean, sum, total
from .shape import reshape, squeeze, unsqueeze
from .softmax import log_softmax

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "l1_loss",
    "mse_loss", "nll_loss",
]  # fmt: skip


def _check(name: str, input: Any, target: Any, reduction: str) -> None:
    """Raise unless prediction and target are floats of one type, shape and device."""
    read_reduction(name, reduction)
    _check_floats(name, input)
    same_type(name, input=input, target=target)
    x, t = input._data, target._data
    if x.shape != t.shape:
        raise ShapeError(
            f"{name}: input {x.shape} and target {t.shape} must have one shape; "
            "broadcasting them would compare every prediction with every target"
        )


def _check_floats(name: str, input: Any) -> None:
    same_type(name, input=input)
    if input._data.dtype.kind != "f":
        raise DTypeError(
            f"{name}: input must be floats, got {input._data.dtype}; convert it with .float()"
        )


def _check_weights(name: str, input: Any, **weights: Any) -> None:
    """Raise unless the elements' weights (None aside) are of the input's type and fit into it."""
    shape = input._data.shape
    for key, weight in weights.items():
        if weight is None:
            continue
        same_type(name, **{"input": input, key: weight})
        if not reaches(weight._data.shape, shape):
            raise ShapeError(
                f"{name}: {key} {weight._data.shape} does not broadcast to the input's "
                f"shape {shape}; reshape it"
            )


def _check_class_weight(name: str, input: Any, weight: Any, classes: int) -> None:
    if weight is None:
        return
    same_type(name, input=input, weight=weight)
    if weight._data.shape != (classes,):
        raise ShapeError(f"{name}: weight must be ({classes},), got {weight._data.shape}")


def read_reduction(name: str, reduction: Any) -> Any:
    """Return `reduction` if it is one."""
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{name}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


def _mean_of(loss: Any, n: int) -> Any:
    """Return the mean, given the sum of `n` losses; of none it is NaN."""
    return loss / n if n else loss * math.nan


def _reduced(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is not None:
        loss = mul(loss, weight)
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum(loss)


# --- regression ---------------------------------------------------------------------------------


# Up to so many squares are added up by a dot product: of more, in float32, digits would be lost.
FEW = 4096


def _squares(xp: Any, x: Any, t: Any, *, mean: bool) -> Any:
    d = (x - t).reshape(-1)
    loss = d @ d if d.size <= FEW else xp.sum(xp.square(d, out=d))
    return _mean_of(loss, d.size) if mean else loss


def _slope(F: Any, g: Any, x: Any, t: Any, mean: bool) -> Any:
    return (x - t) * (g * (2 / (math.prod(x.shape) or 1) if mean else 2.0))


SQUARES = op("mse_loss", _squares, x=_slope, t=lambda F, g, x, t, mean: _slope(F, g, t, x, mean))


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    r"""Return the mean squared error :math:`\frac1n \sum_i (x_i - t_i)^2`.

    Its gradient in :math:`x_i` is :math:`2 (x_i - t_i) / n`: twice what one finds in texts whose
    loss carries a factor 1/2.

    Parameters
    ----------
    input, target : Tensor
        Of one shape and floating type.
    reduction : {"mean", "sum", "none"}
        What to do with the squared errors.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the shapes differ, even where they would broadcast.
    DTypeError
        If the element types differ or are not floating.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0])).item()
    2.0
    """
    _check("mse_loss", input, target, reduction)
    if reduction == "none" or not input._data.ndim:
        d = sub(input, target)
        return mul(d, d)
    return in_single(SQUARES, (input, target), {"mean": reduction == "mean"})


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    r"""Return the mean absolute error :math:`\frac1n \sum_i |x_i - t_i|`.

    Parameters
    ----------
    input, target, reduction
        As for `mse_loss`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 4.0])).item()
    1.0
    """
    _check("l1_loss", input, target, reduction)
    return _reduced(absolute(sub(input, target)), None, reduction)


# --- two classes --------------------------------------------------------------------------------


def _bce(xp: Any, x: Any, t: Any) -> Any:
    # log(0) is cut off at -100, so that one certain mistake does not make the loss infinite
    with np.errstate(divide="ignore"):
        log_x, log_rest = xp.log(x), xp.log1p(-x)
    return -(t * xp.maximum(log_x, -100.0) + (1 - t) * xp.maximum(log_rest, -100.0))


BCE = op(
    "binary_cross_entropy",
    _bce,
    x=lambda F, g, x, t: g * (x - t) / F.clamp((1 - x) * x, 1e-12, None),
    t=lambda F, g, x: g * (F.clamp(F.log1p(-x), -100.0, None) - F.clamp(F.log(x), -100.0, None)),
)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    r"""Return :math:`-\frac1n \sum_i [t_i \ln x_i + (1 - t_i) \ln(1 - x_i)]` of probabilities.

    The logarithms are cut off at -100, as in PyTorch.  From logits,
    `binary_cross_entropy_with_logits` is exact where this loses digits.

    Parameters
    ----------
    input : Tensor
        Probabilities between 0 and 1.
    target : Tensor
        Of the same shape and type, between 0 and 1.
    weight : Tensor, optional
        Weight of each element, of the input's type; broadcasts to its shape.
    reduction : {"mean", "sum", "none"}
        What to do with the elements' losses.

    Returns
    -------
    Tensor

    Raises
    ------
    DataError
        If a probability lies outside [0, 1] (checked on the CPU only).

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.0])).item()
    0.693...
    """
    _check("binary_cross_entropy", input, target, reduction)
    _check_weights("binary_cross_entropy", input, weight=weight)
    x = input._data
    if isinstance(x, np.ndarray) and ((x < 0) | (x > 1)).any():
        raise DataError(
            f"binary_cross_entropy: input must lie between 0 and 1 but reaches from {x.min()} to "
            f"{x.max()}; apply sigmoid first, or use binary_cross_entropy_with_logits"
        )
    return _reduced(apply(BCE, (input, target)), weight, reduction)


def _log_sigmoid(xp: Any, x: Any) -> Any:
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


op("log_sigmoid", _log_sigmoid, x=lambda F, g, x: g * F.sigmoid(-x))


def _logit_bce(xp: Any, x: Any, t: Any, p: Any, *, reduction: str, memo: list[Array]) -> Any:
    # their difference is -ln sigmoid(x)
    rest, low = xp.log1p(xp.exp(-xp.abs(x))), xp.minimum(x, 0)
    if p is not None:
        share = (p - 1) * t + 1
        rest, low = rest * share, low * share
    loss = (1 - t) * x
    loss -= low
    loss += rest
    if reduction == "none":
        return loss
    loss = xp.sum(loss)
    return _mean_of(loss, x.size) if reduction == "mean" else loss


def _each(g: Any, x: Any, reduction: str) -> Any:
    """Return the gradient of each element's loss, given that of their reduction."""
    return g * (1 / (math.prod(x.shape) or 1)) if reduction == "mean" else g


def _in_logit(F: Any, g: Any, x: Any, t: Any, p: Any, reduction: str) -> Any:
    slope = F.sigmoid(x) - t if p is None else (p * t + 1 - t) * F.sigmoid(x) - p * t
    return _each(g, x, reduction) * slope


def _in_target(F: Any, g: Any, x: Any, p: Any, reduction: str) -> Any:
    slope = -x if p is None else F.log_sigmoid(-x) - p * F.log_sigmoid(x)
    return _each(g, x, reduction) * slope


LOGIT_BCE = op(
    "binary_cross_entropy_with_logits",
    _logit_bce,
    x=_in_logit,
    t=_in_target,
    p=lambda F, g, x, t, reduction: _each(g, x, reduction) * -t * F.log_sigmoid(x),
)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    r"""Return the binary cross-entropy of :math:`\sigma(x_i)`, from the logits :math:`x_i`.

    Computed as :math:`(1 - t) x - \min(x, 0) + \ln(1 + e^{-|x|})`, which neither overflows nor
    loses digits; its gradient is :math:`\sigma(x) - t`.

    Parameters
    ----------
    input : Tensor
        Logits.
    target : Tensor
        Of the same shape and type, between 0 and 1.
    weight : Tensor, optional
        Weight of each element, of the input's type; broadcasts to its shape.
    reduction : {"mean", "sum", "none"}
        What to do with the elements' losses.
    pos_weight : Tensor, optional
        Weight of the positive part of each element, as `weight`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x, t = tg.tensor([-1e4, 1e4]), tg.tensor([0.0, 0.0])
    >>> tg.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    tensor([    0., 10000.])
    """
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    _check_weights(name, input, weight=weight, pos_weight=pos_weight)
    inside = "none" if weight is not None else reduction
    settings: dict[str, Any] = {"reduction": inside, "memo": []}
    loss = in_single(LOGIT_BCE, (input, target, pos_weight), settings)
    return loss if weight is None else _reduced(loss, weight, reduction)


# --- many classes -------------------------------------------------------------------------------


def _cross_entropy(xp: Any, x: Any, *, index: Array, mean: bool, memo: list[Any]) -> Any:
    d = x - xp.max(x, axis=1, keepdims=True)
    losses = -xp.take_along_axis(d, index, 1)
    e = xp.exp(d, out=d)
    s = total(xp, e, (1,), True)
    losses += xp.log(s)
    memo[:] = e, s
    loss = xp.sum(losses)
    return loss / losses.size if mean else loss


def _cross_entropy_slope(F: Any, g: Any, x: Any, index: Array, mean: bool) -> Any:
    if mean:
        g = g * (1 / index.size)
    hits = F.put_along(F.broadcast_to(g, shape=index.shape), index=index, axis=1, shape=x.shape)
    return F.softmax(x, axis=1) * g - hits


CROSS_ENTROPY = op("cross_entropy", _cross_entropy, x=_cross_entropy_slope)


def _check_labels(name: str, input: Any, target: Any, weight: Any, ignore: int) -> None:
    x = input._data
    if not x.ndim:
        raise ShapeError(f"{name}: input must be (N, C, ...) or (C,), got {x.shape}")
    if not isinstance(target, Variable):
        raise DTypeError(
            f"{name}: target must be a Tensor, got {type(target).__name__}; "
            "wrap it with tg.tensor(...)"
        )
    t = target._data
    if t.dtype.kind not in "iu" or t.shape != _label_shape(x.shape):
        raise _wrong_labels(name, x.shape, t)
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    _check_class_weight(name, input, weight, classes)
    if not same_device(x, t):
        raise mixed_devices(name, [x, t])
    check_classes(name, t, classes, ignore)


def _label_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the labels for an input (N, C, ...) or (C,)."""
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def _label_shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes, other than the input's, that floats which are labels have."""
    wanted = _label_shape(shape)
    return tuple(s for s in (wanted, (*wanted[:1], 1, *wanted[1:])) if s != shape)


def _wrong_labels(name: str, shape: tuple[int, ...], t: Any) -> Exception:
    """Return the error for labels of a wrong type or shape, the usual ones with what to do."""
    wanted = _label_shape(shape)
    change = ".squeeze(1)" if t.shape in _label_shapes(shape)[1:] else ""
    if t.shape == shape:  # one for the class, zeros for the others
        change = f".argmax({min(len(shape) - 1, 1)})"
    elif t.dtype.kind not in "iu":
        change += ".long()"
    advice = f"; use {change}" if change else ""
    if t.dtype.kind not in "iu":
        return DTypeError(f"{name}: class labels must be integers, got {t.dtype} {t.shape}{advice}")
    return ShapeError(
        f"{name}: input {shape} wants labels of shape {wanted}, got {t.shape}{advice}"
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Return the mean of :math:`-x_{n, t_n}`, the negative log-likelihood of the labels.

    Parameters
    ----------
    input : Tensor
        (N, C, ...) log-probabilities, as `log_softmax` gives them; (C,) for one sample.
    target : Tensor of integers
        (N, ...) labels, 0 to C - 1.
    weight : Tensor, optional
        (C,) weight of each class, of the input's type; the mean is then weighted.
    ignore_index : int
        Samples with this label count nothing.
    reduction : {"mean", "sum", "none"}
        What to do with the samples' losses.

    Returns
    -------
    Tensor

    Raises
    ------
    DataError
        If a label is out of range (checked on the CPU only).
    ShapeError, DTypeError
        If labels and input do not fit.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> logp = tg.log_softmax(tg.zeros(2, 4), dim=1)
    >>> tg.nn.functional.nll_loss(logp, tg.tensor([0, 3])).item()
    1.386...
    """
    read_reduction("nll_loss", reduction)
    integer("nll_loss", "ignore_index", ignore_index)
    _check_floats("nll_loss", input)
    _check_labels("nll_loss", input, target, weight, ignore_index)
    return _nll(input, target, weight, ignore_index, reduction)


def _nll(
    logp: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str
) -> Tensor:
    """Return `nll_loss` of operands that are known to fit."""
    if logp._data.ndim == 1:
        logp, target = unsqueeze(logp, 0), reshape(target, (1,))
        one = _nll(logp, target, weight, ignore, reduction)
        return squeeze(one, 0) if reduction == "none" else one
    t = target._data
    # a GPU is not asked whether any is ignored: that would wait for it
    if weight is None and (not t.size or (isinstance(t, np.ndarray) and not (t == ignore).any())):
        return _reduced(_picked(logp, variable(t)), None, reduction)
    kept, labels, share = _shares(target, weight, ignore, logp._data.dtype)
    loss = where(kept, _picked(logp, labels), 0.0)
    return _averaged(mul(loss, share), share, reduction)


def _picked(logp: Tensor, labels: Tensor) -> Tensor:
    return -squeeze(gather(logp, 1, unsqueeze(labels, 1)), 1)


def _shares(
    target: Tensor, weight: Tensor | None, ignore: int, dtype: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which samples are kept, their labels, and what each counts: its class's weight."""
    kept = ne(target, ignore)
    labels = where(kept, target, 0)
    share = cast(kept, dtype)
    if weight is not None:
        share = mul(share, getitem(variable(weight._data), labels))
    return kept, labels, share


def _averaged(loss: Tensor, share: Tensor, reduction: str) -> Tensor:
    return sum(loss) / sum(share) if reduction == "mean" else _reduced(loss, None, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Return the mean of :math:`-\ln \mathrm{softmax}(x_n)_{t_n}`, from the logits :math:`x`.

    Parameters
    ----------
    input : Tensor
        (N, C, ...) logits; (C,) for one sample.
    target : Tensor
        Integer labels (N, ...), or probabilities of the shape and type of `input`.
    weight : Tensor, optional
        (C,) weight of each class, of the input's type.
    ignore_index : int
        Samples with this label count nothing.
    reduction : {"mean", "sum", "none"}
        What to do with the samples' losses.
    label_smoothing : float
        :math:`\epsilon`: mix the target with the uniform distribution,
        :math:`(1 - \epsilon) t + \epsilon / C` [1]_.

    Returns
    -------
    Tensor

    Raises
    ------
    DataError
        If a label is out of range (checked on the CPU only).
    ShapeError, DTypeError, ArgumentError
        If the operands or settings do not fit.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> logits = tg.tensor([[1000.0, 0.0]])
    >>> tg.nn.functional.cross_entropy(logits, tg.tensor([1])).item()
    1000.0
    """
    name = "cross_entropy"
    read_reduction(name, reduction)
    fraction(name, "label_smoothing", label_smoothing)
    integer(name, "ignore_index", ignore_index)
    _check_floats(name, input)
    if not input._data.ndim:
        raise ShapeError(f"{name}: input must be (N, C, ...) or (C,), got ()")
    axis = 1 if input._data.ndim > 1 else 0
    floats = isinstance(target, Variable) and target._data.dtype.kind == "f"
    if floats and target._data.shape not in _label_shapes(input._data.shape):
        _check(name, input, target, reduction)
        classes = input._data.shape[axis]
        _check_class_weight(name, input, weight, classes)
        if label_smoothing:
            target = add(mul(target, 1 - label_smoothing), label_smoothing / classes)
        loss = -sum(_per_class(log_softmax(input, axis) * target, weight, axis), axis)
        return _reduced(loss, None, reduction)
    _check_labels(name, input, target, weight, ignore_index)
    t = target._data
    if (
        axis
        and weight is None
        and not label_smoothing
        and reduction != "none"
        and t.size
        and isinstance(t, np.ndarray)  # a GPU is not asked what is ignored: that would wait for it
        and not (t == ignore_index).any()
    ):
        index = np.expand_dims(t, 1)
        settings = {"index": index, "mean": reduction == "mean", "memo": []}
        return in_single(CROSS_ENTROPY, (input,), settings)
    logp = log_softmax(input, axis)
    loss = _nll(logp, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    even = _uniform(logp, target, weight, ignore_index, reduction, axis)
    share = label_smoothing / input._data.shape[axis]
    return mul(loss, 1 - label_smoothing) + mul(even, share)


def _per_class(loss: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    if weight is None:
        return loss
    ndim = loss._data.ndim
    return mul(loss, reshape(weight, tuple(-1 if i == axis else 1 for i in range(ndim))))


def _uniform(
    logp: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str, axis: int
) -> Tensor:
    """Return the loss against all classes at once, for label smoothing."""
    kept, _, share = _shares(target, weight, ignore, logp._data.dtype)
    loss = where(kept, -sum(_per_class(logp, weight, axis), axis), 0.0)
    return _averaged(loss, share, reduction)
