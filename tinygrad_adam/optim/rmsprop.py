"""RMSprop: gradients divided by a running root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..device import Array, array_module
from .executor import covers_subnormals
from .optimizer import LearningRate, Optimizer, Params
from .settings import number

__all__ = ["RMSprop", "RMSpropNumbers", "RMSpropVariant", "rmsprop_rule"]


class RMSpropNumbers(NamedTuple):
    """The numbers of one RMSprop step; `gain` is one less `alpha`."""

    lr: float
    alpha: float
    gain: float
    eps: float
    eps_root: float = 0.0
    momentum: float = 0.0

    @property
    def may_clean(self) -> bool:
        """Whether subnormal moments may become zero."""
        return covers_subnormals(self.eps, self.eps_root)


class RMSpropVariant(NamedTuple):
    """Which of the optional parts of the rule are in use."""

    momentum: bool = False
    centered: bool = False
    eps_root: bool = False


def rmsprop_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: RMSpropNumbers, how: RMSpropVariant
) -> None:
    """Update `p` and ``state = (v,)``, then `b` with momentum, then `a` if centered, in place.

    Elementwise; `g` is only read, `s` is scratch of the same shape.
    """
    xp = array_module(p)
    v = state[0]
    v *= c.alpha
    xp.square(g, out=s)
    s *= c.gain
    v += s
    if how.centered:
        a = state[-1]
        a *= c.alpha
        xp.multiply(g, c.gain, out=s)
        a += s
        xp.multiply(a, a, out=s)
        xp.subtract(v, s, out=s)
        # A variance: rounding can take it just below zero, and the root of that is NaN.
        v = xp.maximum(s, 0.0, out=s)
    if how.eps_root:
        v = xp.add(v, c.eps_root, out=s)
    xp.sqrt(v, out=s)
    s += c.eps
    direction = xp.divide(g, s, out=s)
    if how.momentum:
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

    def __init__(
        self,
        params: Params,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        eps_root: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
                "eps_root": eps_root,
            },
        )

    def _checked(self, group: dict[str, Any]) -> dict[str, Any]:
        return super()._checked(group) | {
            "alpha": number("alpha", group["alpha"], below=1.0),
            "eps": number("eps", group["eps"]),
            "momentum": number("momentum", group["momentum"]),
            "centered": bool(group["centered"]),
            "eps_root": number("eps_root", group["eps_root"]),
        }

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return _NAMES[bool(group["momentum"]), group["centered"]]

    def _numbers(self, group: dict[str, Any], lr: float, step: int) -> RMSpropNumbers:
        alpha = group["alpha"]
        return RMSpropNumbers(
            lr, alpha, 1.0 - alpha, group["eps"], group["eps_root"], group["momentum"]
        )

    def _variant(self, group: dict[str, Any], step: int) -> RMSpropVariant:
        return RMSpropVariant(bool(group["momentum"]), group["centered"], bool(group["eps_root"]))

    _rule = staticmethod(rmsprop_rule)
