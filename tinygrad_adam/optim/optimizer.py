"""What all optimisers share: parameter groups, state, hooks, and saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_, itemgetter
from typing import Any, ClassVar

import numpy as np

from ..autograd import enable_grad
from ..device import Array, array_module, device_guard
from ..errors import ArgumentError
from ..tensor import RemovableHandle, Tensor
from .executor import CLEAN_EVERY, Executor, Task
from .parameters import check_gradient, check_parameter, fitted_state, label, listed, unzipped
from .saving import decode, encode
from .settings import number

__all__ = ["Hook", "LearningRate", "Optimizer", "Params"]

LearningRate = float | Callable[[int], float]
Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
Hook = Callable[..., Any]


class Optimizer:
    """Base class of all optimisers.

    A subclass names its settings in `defaults` and says what they may be (`_checked`), which state
    arrays a parameter has (`_state_names`), which numbers and choices an update takes (`_numbers`,
    `_variant`), and what it does with them (`_rule`).

    Parameters
    ----------
    params : iterable
        Tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` (a tensor or an iterable of
        either) and settings that differ from `defaults`.
    defaults : dict
        The settings, by name.

    Attributes
    ----------
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

    # Whether the state counts the updates of each parameter, as "step".
    _counts_steps: ClassVar[bool] = True
    _rule: ClassVar[staticmethod[[Array, Array, Sequence[Array], Array, Any, Any], None]]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._executor = Executor()
        # The array each parameter had, and the state it needed, when the two were last fitted.
        self._fitted: dict[Tensor, tuple[Array, tuple[str, ...]]] = {}
        # The settings each group had, but for the learning rate, when they were last checked.
        self._known: dict[int, tuple[Any, ...]] = {}
        self._settings_of = itemgetter(*(key for key in defaults if key != "lr"))
        self._pre_hooks: dict[object, Hook] = {}
        self._post_hooks: dict[object, Hook] = {}
        entries = listed(params)
        if not entries:
            raise ArgumentError(f"{self._name}: got an empty list of parameters")
        if not any(isinstance(entry, Mapping) for entry in entries):
            entries = [{"params": entries}]
        for entry in entries:
            if not isinstance(entry, Mapping):
                raise ArgumentError(
                    f"{self._name}: params mixes groups (dicts) with {type(entry).__name__}; "
                    'put the latter in {"params": [...]}'
                )
            self.add_param_group(entry)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _setting_names(self) -> tuple[str, ...]:
        """The keys of a group that are saved: every setting, and the count of updates."""
        return *self.defaults, "updates"

    def _state_keys(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Return the keys of the state of a parameter under the settings of `group`."""
        return (*(("step",) if self._counts_steps else ()), *self._state_names(group))

    # --- what a subclass says -----------------------------------------------------------------

    def _checked(self, group: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of `group`, checked and as plain Python values."""
        lr = group["lr"]
        return {
            "lr": lr if callable(lr) else number("lr", lr),
            "weight_decay": number("weight_decay", group["weight_decay"]),
            "maximize": bool(group["maximize"]),
        }

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Return the keys of a parameter's state arrays; always the same object."""
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any], lr: float, step: int) -> Any:
        """Return the numbers that the rule needs for update `step` of a parameter.

        Without `_counts_steps`, `step` is 1 while the parameter has no state, and 2 after that.
        """
        raise NotImplementedError

    def _variant(self, group: dict[str, Any], step: int) -> Any:
        """Return which variant of the rule to follow; what the rule gets as `how`."""
        raise NotImplementedError

    def _penalty(self, group: dict[str, Any]) -> float:
        """Return the factor of the parameter that is added to its gradient."""
        decay: float = group["weight_decay"]
        return decay

    def _learning_rate(self, group: dict[str, Any]) -> float:
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
        if not isinstance(group, Mapping) or "params" not in group:
            raise ArgumentError(f'{where} must be a dict with the key "params", got {group!r}')
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else listed(params)
        if not params:
            raise ArgumentError(f"{where} has no parameters")
        unknown = sorted(set(group) - set(self.defaults) - {"params"})
        if unknown:
            raise ArgumentError(
                f"{where} has unknown settings {unknown}; there are {sorted(self.defaults)}"
            )
        names = None
        if any(isinstance(entry, tuple) for entry in params):
            names, params = unzipped(params, where)
        for i, p in enumerate(params):
            check_parameter(p, f"{where}: params[{i}]")
        given = [p for g in self.param_groups for p in g["params"]] + params
        if len({id(p) for p in given}) < len(given):
            raise ArgumentError(f"{where} repeats a parameter, which would be updated twice")
        if self.param_groups and ("param_names" in self.param_groups[0]) != (names is not None):
            raise ArgumentError(f"{where}: name the parameters of all groups, or of none")
        known = [n for g in self.param_groups for n in g.get("param_names", ())] + (names or [])
        if len(set(known)) < len(known):
            raise ArgumentError(f"{where} repeats a parameter name: {sorted(known)}")
        settings = self.defaults | {k: v for k, v in group.items() if k != "params"}
        complete = {"params": params} | ({"param_names": names} if names is not None else {})
        complete |= self._validated(settings, where) | {"updates": 0}
        self.param_groups.append(complete)

    def _validated(self, settings: dict[str, Any], where: str) -> dict[str, Any]:
        try:
            checked = self._checked(settings)
        except ArgumentError as error:
            raise ArgumentError(f"{where}: {error}") from None
        return {key: checked[key] for key in self.defaults}

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
                    p.grad = None
                elif p.grad is not None:
                    with device_guard(p.data):
                        p.grad = Tensor(array_module(p.data).zeros_like(p.data))

    # --- the update ---------------------------------------------------------------------------

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
        work: list[tuple[dict[str, Any], list[_Batch]]] = []
        for index, group in enumerate(self.param_groups):
            self._check_changes(index, group)
            names = self._state_names(group)
            batches = self._batches(index, group, names)
            if not batches:
                continue
            lr = self._learning_rate(group)
            due = (group["updates"] + 1) % CLEAN_EVERY == 0
            for batch in batches:
                numbers = self._numbers(group, lr, batch.step)
                batch.task = Task(
                    self._rule,
                    numbers,
                    self._variant(group, batch.step),
                    names,
                    self._penalty(group),
                    group["maximize"],
                    due and numbers.may_clean,
                )
            work.append((group, batches))
        # Whatever can be wrong has been found by now, and nothing has been changed.  A gradient too
        # large or too small for its type is no reason to stop between two parameters.
        with np.errstate(all="ignore"):
            for group, batches in work:
                for batch in batches:
                    self._executor.run(batch.task, batch.arrays, batch.grads, batch.states)
                    for p in batch.params:
                        p._bump()
                    if self._counts_steps:
                        for state in batch.states:
                            state["step"] = batch.step
                    self.state.update(batch.fresh)
                    self._fitted.update(batch.fitted)
                group["updates"] += 1

    def _check_changes(self, index: int, group: dict[str, Any]) -> None:
        """Check the settings of `group`, if any but the learning rate is not what it was."""
        values = self._settings_of(group)
        known = self._known.get(index)
        if known is None or not all(map(is_, values, known)):
            group.update(self._validated(group, f"{self._name}: group {index}"))
            self._known[index] = self._settings_of(group)

    def _batches(self, index: int, group: dict[str, Any], names: tuple[str, ...]) -> list[_Batch]:
        """Return the parameters of `group` that have a gradient, sorted by update number."""
        batches: dict[int, _Batch] = {}
        states, fitted, counts = self.state, self._fitted, self._counts_steps
        batch = None
        for i, p in enumerate(group["params"]):
            grad = p.grad
            if grad is None:
                continue
            array, g = p._data, getattr(grad, "_data", None)
            if (
                type(g) is not np.ndarray
                or g.shape != array.shape
                or g.dtype is not array.dtype
                or type(array) is not np.ndarray
                or not array.flags.writeable
            ):
                check_gradient(grad, array, label(self, index, i))
            state = states.get(p) if names else _NO_STATE
            seen = fitted.get(p)
            new = missing = False
            if state is None or seen is None or seen[0] is not array or seen[1] is not names:
                state = dict(state or ({"step": 0} if counts else {}))
                missing = fitted_state(state, array, names, label(self, index, i))
                self._forget_old_arrays(p, array)
                new = True
            step = state["step"] + 1 if counts else 1 if missing else 2
            if batch is None or batch.step != step:
                batch = batches.get(step)
                if batch is None:
                    batch = batches[step] = _Batch(step)
            batch.params.append(p)
            batch.arrays.append(array)
            batch.grads.append(g)
            batch.states.append(state)
            if new:
                batch.fitted[p] = array, names
                if names:
                    batch.fresh[p] = state
        return list(batches.values())

    def _forget_old_arrays(self, p: Tensor, array: Array) -> None:
        """Let go of what `p` was before it became `array`, and of parameters no longer here."""
        stale = []
        if p in self._fitted:
            if self._fitted[p][0] is not array:
                stale.append(p)
        elif len(self._fitted) >= sum(len(group["params"]) for group in self.param_groups):
            stale += self._fitted.keys() - {q for g in self.param_groups for q in g["params"]}
        for q in stale:
            self._executor.forget(self._fitted.pop(q)[0])

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
            callable learning rate is saved as None: it belongs to the program, and the number of
            updates it is a function of is in the group.

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
        return encode(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state saved by `state_dict`, copying every array.

        Parameters are matched by position.  Shapes, settings and, where both sides have them,
        names must agree.

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
        settings, state = decode(self, state_dict)
        for group, loaded in zip(self.param_groups, settings, strict=True):
            group.update(loaded)
        self.state.clear()
        self.state.update(state)
        self._fitted.clear()
        self._executor = Executor()

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

    __slots__ = ("arrays", "fitted", "fresh", "grads", "params", "states", "step", "task")

    task: Task

    def __init__(self, step: int) -> None:
        self.step = step
        self.params: list[Tensor] = []
        self.arrays: list[Array] = []
        self.grads: list[Array] = []
        self.states: list[dict[str, Any]] = []
        self.fresh: dict[Tensor, dict[str, Any]] = {}
        self.fitted: dict[Tensor, tuple[Array, tuple[str, ...]]] = {}


_NO_STATE: dict[str, Any] = {}


def _closure(closure: Callable[[], Any] | None = None) -> Callable[[], Any] | None:
    return closure
