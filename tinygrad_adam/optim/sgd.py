"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..device import Array, array_module
from ..errors import ArgumentError
from .optimizer import LearningRate, Optimizer, Params
from .settings import number

__all__ = ["SGD", "SGDNumbers", "SGDVariant", "sgd_rule"]


class SGDNumbers(NamedTuple):
    """The numbers of one SGD step; `gain` is one less the dampening."""

    lr: float
    momentum: float = 0.0
    gain: float = 1.0

    @property
    def may_clean(self) -> bool:
        """Whether subnormal moments may become zero."""
        return True


class SGDVariant(NamedTuple):
    """Whether the momentum is Nesterov's, and whether its buffer is still empty."""

    nesterov: bool = False
    first: bool = False


def sgd_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: SGDNumbers, how: SGDVariant
) -> None:
    """Update `p` and its momentum buffer ``state = ()`` or ``(b,)`` in place.

    Elementwise; `g` is only read, `s` is scratch of the same shape.
    """
    xp = array_module(p)
    direction = g
    if state:
        direction = b = state[0]
        if how.first:
            b[...] = g
        else:
            b *= c.momentum
            xp.multiply(g, c.gain, out=s)
            b += s
        if how.nesterov:
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

    _counts_steps = False

    def __init__(
        self,
        params: Params,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _checked(self, group: dict[str, Any]) -> dict[str, Any]:
        checked = super()._checked(group) | {
            "momentum": number("momentum", group["momentum"]),
            "dampening": number("dampening", group["dampening"], most=1.0),
            "nesterov": bool(group["nesterov"]),
        }
        if checked["nesterov"] and (not checked["momentum"] or checked["dampening"]):
            raise ArgumentError(
                "nesterov needs momentum > 0 and dampening 0, "
                f"got momentum {checked['momentum']} and dampening {checked['dampening']}"
            )
        return checked

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return _BUFFER if group["momentum"] else ()

    def _numbers(self, group: dict[str, Any], lr: float, step: int) -> SGDNumbers:
        return SGDNumbers(lr, group["momentum"], 1.0 - group["dampening"])

    def _variant(self, group: dict[str, Any], step: int) -> SGDVariant:
        return SGDVariant(group["nesterov"], first=step == 1)

    _rule = staticmethod(sgd_rule)
