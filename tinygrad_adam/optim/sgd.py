"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ..device import Array, array_module
from ..errors import ArgumentError
from .groups import Group
from .optimizer import Optimizer
from .settings import Flag, Number, Rate, Setting
from .update import elementwise

__all__ = ["SGD", "SGDNumbers", "sgd_rule"]


class SGDNumbers(NamedTuple):
    """The numbers of one SGD step: the buffer becomes ``keep * b + gain * g``."""

    lr: float
    momentum: float
    keep: float
    gain: float
    nesterov: bool
    penalty: float
    maximize: bool


@elementwise("sgd")
def sgd_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: SGDNumbers, n: SGDNumbers
) -> None:
    """Update `p` and its momentum buffer ``state = ()`` or ``(b,)`` in place."""
    xp = array_module(p)
    direction = g
    if state:
        direction = b = state[0]
        b *= c.keep
        xp.multiply(g, c.gain, out=s)
        b += s
        if n.nesterov:
            xp.multiply(b, c.momentum, out=s)
            s += g
            direction = s
    # The rate is outside the buffer: cutting it cuts this very step.
    xp.multiply(direction, c.lr, out=s)
    p -= s


_BUFFER = ("momentum_buffer",)


class SGD(Optimizer):
    r"""Stochastic gradient descent, plain, with (heavy ball) momentum or Nesterov's [1]_.

    With momentum :math:`\mu`, dampening :math:`\tau` and gradient :math:`g`

    .. math::
        b \leftarrow \mu b + (1 - \tau)\, g \quad (b \leftarrow g \text{ the first time}), \qquad
        p \leftarrow p - \eta\, b

    and with ``nesterov`` :math:`p \leftarrow p - \eta\, (g + \mu b)`; without momentum
    :math:`p \leftarrow p - \eta\, g`.  As in PyTorch.

    Parameters
    ----------
    params : iterable
        Tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and their own settings.
    lr : float or callable, default 1e-3
        Learning rate :math:`\eta`, or a function of the number of completed updates.
    momentum : float, default 0
        :math:`\mu \ge 0`.
    dampening : float, default 0
        :math:`\tau`, in [0, 1].
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient (an L2 penalty).
    nesterov : bool, default False
        Needs a positive `momentum` and no `dampening`.
    maximize : bool, default False
        Climb instead of descend.

    Raises
    ------
    ArgumentError
        If a setting is out of range, or `params` is empty, repeats a tensor or is no collection.
    DTypeError
        If a parameter is not floating point.

    References
    ----------
    .. [1] Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.25)
    >>> (w**2).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.5
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "lr": Rate(1e-3),
        "momentum": Number(0.0),
        "dampening": Number(0.0, most=1.0),
        "weight_decay": Number(0.0),
        "nesterov": Flag(False),
        "maximize": Flag(False, kw_only=True),
    }
    rule = sgd_rule
    counts_steps = False

    def _checked(self, group: Mapping[str, Any]) -> dict[str, Any]:
        settings = super()._checked(group)
        if settings["nesterov"] and (not settings["momentum"] or settings["dampening"]):
            raise ArgumentError(
                "nesterov needs momentum > 0 and dampening 0, "
                f"got momentum {settings['momentum']} and dampening {settings['dampening']}"
            )
        return settings

    def _state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return _BUFFER if group["momentum"] else ()

    def _numbers(self, group: Group, lr: float, step: int) -> SGDNumbers:
        # The first buffer is the gradient itself, whatever the dampening.
        keep, gain = (group["momentum"], 1.0 - group["dampening"]) if step > 1 else (0.0, 1.0)
        penalty, maximize = group["weight_decay"], group["maximize"]
        return SGDNumbers(lr, group["momentum"], keep, gain, group["nesterov"], penalty, maximize)
