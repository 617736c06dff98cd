"""Adam and its variants: AMSGrad, AdamW, and Adam with a decaying learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ..device import Array, array_module
from .groups import Group
from .optimizer import Optimizer
from .schedules import Exponential
from .settings import Flag, Number, Pair, Rate, Setting
from .update import elementwise

__all__ = ["Adam", "AdamNumbers", "AdamW", "AdamWithDecay", "adam_numbers", "adam_rule"]


class AdamNumbers(NamedTuple):
    """The numbers of one Adam step; see :func:`adam_numbers`."""

    beta1: float
    gain1: float
    beta2: float
    gain2: float
    step_size: float
    eps: float
    eps_root: float
    shrink: float
    penalty: float
    maximize: bool


def adam_numbers(
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    eps_root: float = 0.0,
    shrink: float = 1.0,
    penalty: float = 0.0,
    maximize: bool = False,
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
        shrink,
        penalty,
        maximize,
    )


@elementwise("adam")
def adam_rule(
    p: Array, g: Array, state: Sequence[Array], s: Array, c: AdamNumbers, n: AdamNumbers
) -> None:
    """Update `p` and its moments ``state = (m, v)`` or ``(m, v, v_max)`` in place.

    With `v_max` it is AMSGrad; with a `shrink` other than 1, AdamW.
    """
    xp = array_module(p)
    m, v = state[0], state[1]
    if n.shrink != 1.0:
        p *= c.shrink
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
    if n.eps_root:
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

    settings: ClassVar[Mapping[str, Setting]] = {
        "lr": Rate(1e-3),
        "betas": Pair((0.9, 0.999), below=1.0),
        "eps": Number(1e-8),
        "weight_decay": Number(0.0),
        "amsgrad": Flag(False),
        "eps_root": Number(0.0, kw_only=True),
        "maximize": Flag(False, kw_only=True),
        "decoupled_weight_decay": Flag(False, kw_only=True),
    }
    rule = adam_rule

    def _state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return _MOMENTS_AMSGRAD if group["amsgrad"] else _MOMENTS

    def _numbers(self, group: Group, lr: float, step: int) -> AdamNumbers:
        shrink, penalty = 1.0, group["weight_decay"]
        if group["decoupled_weight_decay"]:
            shrink, penalty = 1.0 - lr * penalty, 0.0
        betas, eps, eps_root = group["betas"], group["eps"], group["eps_root"]
        return adam_numbers(step, lr, betas, eps, eps_root, shrink, penalty, group["maximize"])


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

    settings: ClassVar[Mapping[str, Setting]] = {
        **Adam.settings,
        "weight_decay": Number(1e-2),
        "decoupled_weight_decay": Flag(True, kw_only=True),
    }


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

    settings: ClassVar[Mapping[str, Setting]] = {
        **Adam.settings,
        "decay_rate": Number(0.95, above=0.0, kw_only=True),
        "decay_steps": Number(1000.0, above=0.0, kw_only=True),
    }

    def _learning_rate(self, group: Group) -> float:
        lr = super()._learning_rate(group)
        return Exponential(lr, group["decay_rate"], group["decay_steps"])(group["updates"])
