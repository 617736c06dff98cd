"""Adam and its variants: AMSGrad, AdamW, and Adam with a decaying learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..device import Array, array_module
from . import schedules
from .executor import covers_subnormals
from .optimizer import LearningRate, Optimizer, Params
from .settings import number, pair

__all__ = [
    "Adam",
    "AdamNumbers",
    "AdamVariant",
    "AdamW",
    "AdamWithDecay",
    "adam_numbers",
    "adam_rule",
]


class AdamNumbers(NamedTuple):
    """The numbers of one Adam step; see :func:`adam_numbers`."""

    beta1: float
    gain1: float
    beta2: float
    gain2: float
    step_size: float
    eps: float
    eps_root: float
    decay: float

    @property
    def may_clean(self) -> bool:
        """Whether subnormal moments may become zero."""
        return covers_subnormals(self.eps, self.eps_root)


class AdamVariant(NamedTuple):
    """Whether the parameter shrinks first, and whether there is an epsilon inside the root."""

    decay: bool = False
    eps_root: bool = False


def adam_numbers(
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> AdamNumbers:
    r"""Return the numbers of the `step`-th update (counted from 1), in double precision.

    With :math:`c_i = 1 - \beta_i^t` the bias-corrected step is

    .. math:: \frac{\eta\, m / c_1}{\sqrt{v / c_2 + \epsilon_{root}} + \epsilon}
        = \frac{\eta \sqrt{c_2}}{c_1} \cdot
          \frac{m}{\sqrt{v + c_2 \epsilon_{root}} + \sqrt{c_2}\, \epsilon}

    and the right-hand side spares two passes over the arrays.  (It is not the "epsilon hat" of
    section 2 of the paper, which leaves the factors off the epsilons.)
    """
    beta1, beta2 = betas
    correction1 = 1.0 - beta1**step
    correction2 = 1.0 - beta2**step
    root2 = math.sqrt(correction2)
    return AdamNumbers(
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        lr * root2 / correction1,
        eps * root2,
        eps_root * correction2,
        1.0 - lr * weight_decay,
    )


def adam_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: AdamNumbers, how: AdamVariant
) -> None:
    """Update `p` and its moments ``state = (m, v)`` or ``(m, v, v_max)`` in place.

    Elementwise; `g` is only read, `s` is scratch of the same shape.  With `v_max` it is AMSGrad.
    """
    xp = array_module(p)
    m, v = state[0], state[1]
    if how.decay:
        p *= c.decay
    # m = beta1 m + (1 - beta1) g.  Not m += (1 - beta1)(g - m), nor the like for v: that form loses
    # the digits of what is far below the moment.
    xp.multiply(g, c.gain1, out=s)
    m *= c.beta1
    m += s
    # v = beta2 v + (1 - beta2) g**2
    xp.square(g, out=s)
    s *= c.gain2
    v *= c.beta2
    v += s
    if len(state) == 3:
        v = xp.maximum(state[2], v, out=state[2])
    # p -= step_size * m / (sqrt(v + eps_root) + eps)
    if how.eps_root:
        v = xp.add(v, c.eps_root, out=s)
    xp.sqrt(v, out=s)
    s += c.eps
    xp.divide(m, s, out=s)
    s *= c.step_size
    p -= s


_MOMENTS = ("exp_avg", "exp_avg_sq")
_MOMENTS_AMSGRAD = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Adam(Optimizer):
    r"""Adaptive moment estimation [1]_.

    For update :math:`t = 1, 2, \dots` with gradient :math:`g`

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        p &\leftarrow p - \eta\, \frac{m / (1 - \beta_1^t)}
            {\sqrt{v / (1 - \beta_2^t) + \epsilon_{root}} + \epsilon}

    elementwise.  Every number is PyTorch's, but that subnormal moments, which slow processors down,
    become zero now and then; float16 parameters keep float32 moments and are updated in float32.

    Parameters
    ----------
    params : iterable
        Tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and their own settings.
    lr : float or callable, default 1e-3
        Learning rate :math:`\eta`; a callable gets the number of completed updates and returns it
        (see :mod:`~tinygrad_adam.optim.schedules`).
    betas : (float, float), default (0.9, 0.999)
        Decay rates of the two moments, in [0, 1).
    eps : float, default 1e-8
        Added outside the square root.
    weight_decay : float, default 0
        Adds ``weight_decay * p`` to the gradient (an L2 penalty); see `decoupled_weight_decay`.
    amsgrad : bool, default False
        Divide by the largest `v` so far [2]_ (as in PyTorch, by its value before bias correction).
    eps_root : float, default 0
        Added inside the square root.  ``eps=0, eps_root=1e-8`` is the other common way to write
        Adam; with tiny gradients it takes visibly different steps.
    maximize : bool, default False
        Climb instead of descend.
    decoupled_weight_decay : bool, default False
        Shrink the parameter by ``1 - lr * weight_decay`` instead of changing the gradient: AdamW.

    Raises
    ------
    ArgumentError
        If a setting is out of range, or `params` is empty, repeats a tensor or is no collection.
    DTypeError
        If a parameter is not floating point.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.
    .. [2] Reddi et al., "On the convergence of Adam and beyond", arXiv:1904.09237.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.tensor([1.0, -2.0], dtype=tg.float64, requires_grad=True)
    >>> optimizer = tg.optim.Adam([w], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w**2).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(3).tolist()
    [0.8, -1.8]
    """

    def __init__(
        self,
        params: Params,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        eps_root: float = 0.0,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "eps_root": eps_root,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _checked(self, group: dict[str, Any]) -> dict[str, Any]:
        return super()._checked(group) | {
            "betas": pair("betas", group["betas"], below=1.0),
            "eps": number("eps", group["eps"]),
            "eps_root": number("eps_root", group["eps_root"]),
            "amsgrad": bool(group["amsgrad"]),
            "decoupled_weight_decay": bool(group["decoupled_weight_decay"]),
        }

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return _MOMENTS_AMSGRAD if group["amsgrad"] else _MOMENTS

    def _penalty(self, group: dict[str, Any]) -> float:
        return 0.0 if group["decoupled_weight_decay"] else group["weight_decay"]

    def _numbers(self, group: dict[str, Any], lr: float, step: int) -> AdamNumbers:
        decay = group["weight_decay"] if group["decoupled_weight_decay"] else 0.0
        return adam_numbers(step, lr, group["betas"], group["eps"], group["eps_root"], decay)

    def _variant(self, group: dict[str, Any], step: int) -> AdamVariant:
        decays = bool(group["decoupled_weight_decay"] and group["weight_decay"])
        return AdamVariant(decays, bool(group["eps_root"]))

    _rule = staticmethod(adam_rule)


class AdamW(Adam):
    r"""Adam with decoupled weight decay [1]_.

    Each update first shrinks the parameter, :math:`p \leftarrow (1 - \eta\lambda)\, p`, and then
    takes Adam's step with the plain gradient.  (The paper multiplies the decay by the schedule
    only, not by the learning rate; PyTorch and this class by both.)

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, eps_root, maximize
        As for :class:`Adam`.
    weight_decay : float, default 1e-2
        The :math:`\lambda` above.

    References
    ----------
    .. [1] Loshchilov and Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(1, dtype=tg.float64, requires_grad=True)
    >>> w.grad = tg.zeros_like(w)
    >>> tg.optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> w.item()
    0.95
    """

    def __init__(
        self,
        params: Params,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        eps_root: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            eps_root=eps_root,
            maximize=maximize,
            decoupled_weight_decay=True,
        )


class AdamWithDecay(Adam):
    r"""Adam whose learning rate decays exponentially with the number of updates.

    Update :math:`t` (counted from 1) uses
    :math:`\eta_t = \eta \cdot \text{rate}^{(t - 1) / \text{steps}}`: the same as ``Adam`` with
    ``lr=schedules.exponential(lr, decay_rate, decay_steps)``, except that the three numbers are
    settings of the group, which `state_dict` saves.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, amsgrad, eps_root, maximize, decoupled_weight_decay
        As for :class:`Adam`.
    decay_rate : float, default 0.95
        Factor by which the rate falls in `decay_steps` updates; positive.
    decay_steps : float, default 1000
        Positive.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> w = tg.ones(1, requires_grad=True)
    >>> optimizer = tg.optim.AdamWithDecay([w], lr=0.1, decay_rate=0.5, decay_steps=1)
    >>> for _ in range(3):
    ...     w.grad = tg.ones_like(w)
    ...     print(optimizer.current_lrs())
    ...     optimizer.step()
    [0.1]
    [0.05]
    [0.025]
    """

    def __init__(
        self,
        params: Params,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decay_rate: float = 0.95,
        decay_steps: float = 1000,
        eps_root: float = 0.0,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        Optimizer.__init__(
            self,
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "eps_root": eps_root,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
                "decay_rate": decay_rate,
                "decay_steps": decay_steps,
            },
        )

    def _checked(self, group: dict[str, Any]) -> dict[str, Any]:
        return super()._checked(group) | {
            "decay_rate": number("decay_rate", group["decay_rate"], above=0.0),
            "decay_steps": number("decay_steps", group["decay_steps"], above=0.0),
        }

    def _learning_rate(self, group: dict[str, Any]) -> float:
        lr = super()._learning_rate(group)
        decayed = schedules.exponential(lr, group["decay_rate"], group["decay_steps"])
        return decayed(group["updates"])
