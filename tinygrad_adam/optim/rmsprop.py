"""RMSprop: gradients divided by a running root mean square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ..device import Array, array_module
from .groups import Group
from .optimizer import Optimizer
from .settings import Flag, Number, Rate, Setting
from .update import elementwise

__all__ = ["RMSprop", "RMSpropNumbers", "rmsprop_rule"]


class RMSpropNumbers(NamedTuple):
    """The numbers of one RMSprop step; `gain` is one less `alpha`."""

    lr: float
    alpha: float
    gain: float
    eps: float
    eps_root: float
    momentum: float
    centered: bool
    penalty: float
    maximize: bool


@elementwise("rmsprop")
def rmsprop_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: RMSpropNumbers, n: RMSpropNumbers
) -> None:
    """Update `p` and ``state = (v,)``, then `b` with momentum, then `a` if centered, in place."""
    xp = array_module(p)
    v = state[0]
    v *= c.alpha
    xp.square(g, out=s)
    s *= c.gain
    v += s
    if n.centered:
        a = state[-1]
        a *= c.alpha
        xp.multiply(g, c.gain, out=s)
        a += s
        xp.multiply(a, a, out=s)
        xp.subtract(v, s, out=s)
        # A variance: rounding can take it just below zero, and the root of that is NaN.
        v = xp.maximum(s, 0.0, out=s)
    if n.eps_root:
        v = xp.add(v, c.eps_root, out=s)
    xp.sqrt(v, out=s)
    s += c.eps
    direction = xp.divide(g, s, out=s)
    if n.momentum:
        direction = b = state[1]
        b *= c.momentum
        b += s
    xp.multiply(direction, c.lr, out=s)
    p -= s


# By (momentum, centered).
_NAMES = {
    (False, False): ("square_avg",),
    (True, False): ("square_avg", "momentum_buffer"),
    (False, True): ("square_avg", "grad_avg"),
    (True, True): ("square_avg", "momentum_buffer", "grad_avg"),
}


class RMSprop(Optimizer):
    r"""RMSprop [1]_, optionally centered [2]_ and with momentum.

    With gradient :math:`g`

    .. math::
        v \leftarrow \alpha v + (1 - \alpha)\, g^2, \qquad
        p \leftarrow p - \eta\, \frac{g}{\sqrt{v + \epsilon_{root}} + \epsilon}

    Centered, the running mean :math:`a \leftarrow \alpha a + (1 - \alpha)\, g` makes it
    :math:`\sqrt{v - a^2 + \epsilon_{root}}`; with momentum the fraction goes into
    :math:`b \leftarrow \mu b + g / (\dots)` and :math:`p \leftarrow p - \eta\, b`.
    As in PyTorch, except that :math:`v - a^2` is cut at zero, where PyTorch's root gives NaN.

    There is no bias correction: the first step is ``lr / sqrt(1 - alpha)``, ten times `lr` by
    default.

    Parameters
    ----------
    params : iterable
        Tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and their own settings.
    lr : float or callable, default 1e-2
        Learning rate :math:`\eta`, or a function of the number of completed updates.
    alpha : float, default 0.99
        Decay rate of the mean square, in [0, 1).
    eps : float, default 1e-8
        Added outside the square root.
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient (an L2 penalty).
    momentum : float, default 0
        :math:`\mu \ge 0`.
    centered : bool, default False
        Divide by an estimate of the standard deviation instead.
    maximize : bool, default False
        Climb instead of descend.
    eps_root : float, default 0
        Added inside the square root, where some libraries have their epsilon.

    Raises
    ------
    ArgumentError
        If a setting is out of range, or `params` is empty, repeats a tensor or is no collection.
    DTypeError
        If a parameter is not floating point.

    References
    ----------
    .. [1] Tieleman and Hinton, "Lecture 6.5 - RMSprop", Coursera, 2012.
    .. [2] Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.tensor([1.0], dtype=tg.float64, requires_grad=True)
    >>> optimizer = tg.optim.RMSprop([w], lr=0.01)
    >>> (w**2).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 6)
    0.9
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "lr": Rate(1e-2),
        "alpha": Number(0.99, below=1.0),
        "eps": Number(1e-8),
        "weight_decay": Number(0.0),
        "momentum": Number(0.0),
        "centered": Flag(False),
        "maximize": Flag(False, kw_only=True),
        "eps_root": Number(0.0, kw_only=True),
    }
    rule = rmsprop_rule

    def _state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return _NAMES[bool(group["momentum"]), group["centered"]]

    def _numbers(self, group: Group, lr: float, step: int) -> RMSpropNumbers:
        alpha = group["alpha"]
        names = ("eps", "eps_root", "momentum", "centered", "weight_decay", "maximize")
        return RMSpropNumbers(lr, alpha, 1.0 - alpha, *map(group.__getitem__, names))
