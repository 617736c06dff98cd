"""What all optimisers share: parameter groups, state, hooks, and saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import Signature
from operator import is_, itemgetter
from typing import Any, ClassVar, TypeVar, overload

import numpy as np

from ..autograd import enable_grad
from ..autograd.memory import changed
from ..device import Array, array_module, device_guard
from ..errors import ArgumentError
from ..tensor import RemovableHandle, Tensor
from .groups import Group, Params, label, read_group, read_groups
from .settings import Setting, bound, checked, number, signature
from .state import Layout, State, check_gradient, fit, load, save
from .update import Executor, Row, Rule

__all__ = ["Hook", "Optimizer"]

Hook = Callable[..., Any]
T = TypeVar("T")


class Optimizer:
    """Base class of all optimisers.

    A subclass has a table of `settings`, which is also the signature of its constructor, and a
    `rule`; it says which state arrays a parameter has (`_state_names`) and which numbers an update
    takes (`_numbers`).  :class:`SGD` shows all of it.

    Parameters
    ----------
    params : iterable
        Tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` (a tensor or an iterable of
        either) and settings that differ from `defaults`.
    *args, **settings
        The settings, in the order of the table or by name.

    Attributes
    ----------
    defaults : dict
        The settings of a group that has none of its own.
    param_groups : list of dict
        Per group ``"params"``, every setting, ``"param_names"`` if names were given, and
        ``"updates"``: how many calls of `step` have updated a parameter of the group.
    state : dict
        By parameter, made at its first gradient: ``{"step": 3, "exp_avg": array, ...}``.

    Raises
    ------
    ArgumentError
        If `params` is empty, unordered or no collection, repeats a tensor or a name, holds a
        tensor that is not a leaf, or a setting is unknown or out of range.
    DTypeError
        If a parameter is not floating point.
    """

    settings: ClassVar[Mapping[str, Setting]]
    rule: ClassVar[Rule]
    # Whether the state counts the updates of each parameter, as "step".
    counts_steps: ClassVar[bool] = True
    __signature__: ClassVar[Signature | None]

    def __init_subclass__(cls) -> None:
        own = "__init__" in vars(cls)
        cls.__signature__ = None if own else signature(cls.settings, "params")

    def __init__(self, params: Params, *args: Any, **settings: Any) -> None:
        self.defaults = bound(self.settings, args, settings)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        self._executor = Executor()
        # The settings each group had, but for the learning rate, when they were last checked.
        self._known: dict[int, tuple[Any, ...]] = {}
        self._settings_of = itemgetter(*(key for key in self.settings if key != "lr"))
        self._pre_hooks: dict[object, Hook] = {}
        self._post_hooks: dict[object, Hook] = {}
        for group in read_groups(params, self._name):
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _layout(self) -> Layout:
        return Layout(self._name, tuple(self.settings), self._checked, self._state_keys)

    def _state_keys(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of the state of a parameter under the settings of `group`."""
        return (*(("step",) if self.counts_steps else ()), *self._state_names(group))

    # --- what a subclass says -----------------------------------------------------------------

    def _checked(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of `group`, checked and as plain Python values."""
        return checked(self.settings, group)

    def _state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of a parameter's state arrays; always the same object."""
        raise NotImplementedError

    def _numbers(self, group: Group, lr: float, step: int) -> Any:
        """Return the numbers that the rule needs for update `step` of a parameter.

        Without `counts_steps`, `step` is 1 while the parameter lacks state, and 2 after that.
        """
        raise NotImplementedError

    def _learning_rate(self, group: Group) -> float:
        """Return the learning rate of the next update of `group`."""
        lr = group["lr"]
        if type(lr) is float and 0.0 <= lr < math.inf:
            return lr
        if callable(lr):
            lr = lr(group["updates"])
        return number(f"{self._name}: lr", lr)

    # --- groups -------------------------------------------------------------------------------

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with settings of their own.

        Parameters
        ----------
        group : dict
            ``"params"`` and any settings; the others take their defaults.

        Raises
        ------
        ArgumentError, DTypeError
            As for the constructor; the optimiser is then unchanged.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> a, b = tg.ones(2, requires_grad=True), tg.ones(3, requires_grad=True)
        >>> optimizer = tg.optim.SGD([a], lr=0.1)
        >>> optimizer.add_param_group({"params": [b], "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        where = f"{self._name}: group {len(self.param_groups)}"
        new, settings = read_group(group, self.param_groups, self.defaults, where)
        self.param_groups.append(new | self._validated(settings, where) | {"updates": 0})

    def _validated(self, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
        try:
            return self._checked(settings)
        except ArgumentError as error:
            raise ArgumentError(f"{where}: {error}") from None

    def current_lrs(self) -> list[float]:
        """Return, per group, the learning rate that the next update will use."""
        return [self._learning_rate(group) for group in self.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients.

        Parameters
        ----------
        set_to_none : bool, default True
            Drop them, so that a parameter that gets none is left alone by the next `step`.
            ``False`` makes them zero, and a zero gradient does move what has momentum.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None  # what its setter checks of others
                elif p.grad is not None:
                    with device_guard(p.data):
                        p.grad = Tensor(array_module(p.data).zeros_like(p.data))

    # --- the update ---------------------------------------------------------------------------

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], T]) -> T: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        A parameter whose gradient is None is left alone, its state and step count included.

        Parameters
        ----------
        closure : callable, optional
            Called once first, with gradients on, to compute the loss and the gradients.

        Returns
        -------
        object
            What `closure` returned, or None.

        Raises
        ------
        ShapeError, DTypeError, DeviceError
            If a gradient does not fit its parameter; nothing has been changed then.
        ArgumentError
            If a setting was changed to something out of range, a learning rate is negative or not
            finite, or a parameter's memory is read-only; likewise.
        """
        args: tuple[Any, ...] = () if closure is None else (closure,)
        kwargs: dict[str, Any] = {}
        for hook in tuple(self._pre_hooks.values()):
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
                closure = _closure(*args, **kwargs)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._update()
        for hook in tuple(self._post_hooks.values()):
            hook(self, args, kwargs)
        return loss

    def _update(self) -> None:
        work: list[tuple[Group, _Batch, Any, Any]] = []
        for index, group in enumerate(self.param_groups):
            self._check_changes(index, group)
            batches = self._batches(index, group)
            if batches:
                lr = self._learning_rate(group)
                for batch in batches:
                    numbers = self._numbers(group, lr, batch.step)
                    work.append((group, batch, numbers, group["updates"] + 1))
        # Whatever can be wrong has been found by now, and nothing has been changed.
        for key, (group, batch, numbers, updates) in enumerate(work):
            self._executor.run(self.rule, numbers, batch.rows, batch.grads, key, updates)
            step = batch.step if self.counts_steps else None
            for row in batch.rows:
                changed(row.tensor)
                if step is not None:
                    row.state["step"] = step
            for row in batch.new:
                self._executor.rows[row.tensor] = row
                if row.state is not None:
                    self.state[row.tensor] = row.state
            group["updates"] = updates

    def _check_changes(self, index: int, group: Group) -> None:
        """Check the settings of `group`, if any but the learning rate is not what it was."""
        values = self._settings_of(group)
        known = self._known.get(index)
        if known is None or not all(map(is_, values, known)):
            group.update(self._validated(group, f"{self._name}: group {index}"))
            self._known[index] = self._settings_of(group)

    def _batches(self, index: int, group: Group) -> list[_Batch]:
        """Return the parameters of `group` that have a gradient, sorted by update number."""
        batches: dict[int, _Batch] = {}
        states, rows, counts = self.state, self._executor.rows, self.counts_steps
        names = self._state_names(group)
        batch = None
        for i, p in enumerate(group["params"]):
            if p._grad is None:
                continue
            row, array, g = rows.get(p), p._data, p._grad._data
            shape, step = array.shape, 2
            if (
                row is None
                or not row.fits(array, names, states.get(p))
                or type(g) is not np.ndarray
                or type(array) is not np.ndarray
                or g.shape != shape
                or g.dtype is not array.dtype
                or not array.flags.writeable
            ):
                row, new, step = self._row(p, names, label(self._name, self.param_groups, index, i))
            else:
                new = False
            if counts:
                step = row.state["step"] + 1
            if batch is None or batch.step != step:
                batch = batches.get(step)
                if batch is None:
                    batch = batches[step] = _Batch(step)
            batch.rows.append(row)
            batch.grads.append(g)
            if new:
                batch.new.append(row)
        return list(batches.values())

    def _row(self, p: Tensor, names: tuple[str, ...], what: str) -> tuple[Row, bool, int]:
        """Return the row of `p`, called `what`; whether it is new; 1 if its state is, else 2."""
        check_gradient(p._grad.data, p.data, what)
        row, state = self._executor.rows.get(p), self.state.get(p)
        if row is not None and row.fits(p.data, names, state):
            return row, False, 2
        state = dict(state or ({"step": 0} if self.counts_steps else {}))
        missing = fit(state, p.data, names, what)
        self._forget_old(p)
        return Row(p, names, state or None), True, 1 if missing else 2

    def _forget_old(self, p: Tensor) -> None:
        """Let go of the arrays `p` had, and of parameters that are no longer here."""
        rows = self._executor.rows
        if p in rows:
            self._executor.forget(p)
        elif len(rows) >= sum(len(group["params"]) for group in self.param_groups):
            for q in rows.keys() - {q for g in self.param_groups for q in g["params"]}:
                self._executor.forget(q)

    # --- hooks --------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every `step`.

        Parameters
        ----------
        hook : callable
            Gets the arguments of `step`; may return a pair to use instead, or None.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.
        """
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every `step` that succeeded.

        Returns
        -------
        RemovableHandle
            Its `remove` takes the hook away.
        """
        return RemovableHandle(self._post_hooks, hook)

    # --- saving -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything a resumed run needs, in PyTorch's layout, as NumPy copies.

        Returns
        -------
        dict
            ``{"state": {i: {"step": 3, "exp_avg": array, ...}}, "param_groups": [{...,
            "params": [i, ...]}]}`` where `i` numbers the parameters through all groups.  A
            learning rate from :mod:`~tinygrad_adam.optim.schedules` is saved as a dict of its
            numbers; any other function as None, for it belongs to the program.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> w = tg.ones(2, requires_grad=True)
        >>> optimizer = tg.optim.SGD([("w", w)], lr=0.1, momentum=0.9)
        >>> w.grad = tg.ones_like(w)
        >>> optimizer.step()
        >>> saved = optimizer.state_dict()
        >>> saved["state"]
        {0: {'momentum_buffer': array([1., 1.], dtype=float32)}}
        >>> saved["param_groups"][0]["params"], saved["param_groups"][0]["param_names"]
        ([0], ['w'])
        """
        return save(self._layout, self.param_groups, self.state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state saved by `state_dict`, copying every array.

        Parameters are matched by position.  Shapes and, where both sides have them, names must
        agree.  All settings are those that were saved, schedules too; only where the learning rate
        was a function of the program's own does this optimiser keep its own function.

        Parameters
        ----------
        state_dict : dict
            From an optimiser of the same class over the same parameters, here or in PyTorch.

        Raises
        ------
        StateDictError
            If anything does not fit; the message lists all of it, and nothing has been changed.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> w = tg.ones(2, requires_grad=True)
        >>> saved = tg.optim.SGD([w], lr=0.5).state_dict()
        >>> optimizer = tg.optim.SGD([w], lr=0.1)
        >>> optimizer.load_state_dict(saved)
        >>> optimizer.param_groups[0]["lr"]
        0.5
        """
        settings, state = load(self._layout, self.param_groups, state_dict)
        for group, loaded in zip(self.param_groups, settings, strict=True):
            group.update(loaded)
        self.state.clear()
        self.state.update(state)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index} ({len(group['params'])} tensors)")
            for key in sorted(set(group) - {"params", "param_names"}):
                value = group[key]
                if key == "lr" and callable(value):
                    value = f"{self._learning_rate(group)} (scheduled)"
                lines.append(f"    {key}: {value}")
        return "\n".join([*lines, ")"])


class _Batch:
    """Parameters of one group that take the same numbers in this step."""

    __slots__ = ("grads", "new", "rows", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.rows: list[Row] = []
        self.grads: list[Array] = []
        self.new: list[Row] = []


def _closure(closure: Callable[[], Any] | None = None) -> Callable[[], Any] | None:
    return closure
