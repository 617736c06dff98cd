"""State: fitting it to a parameter; settings and state as plain dicts in PyTorch's layout."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import errors
from ..device import Array, asarray, device_guard, device_of, is_writable, to_device
from ..tensor import Tensor
from . import schedules
from .groups import Group, label
from .update import state_dtype, zero_state

__all__ = ["Layout", "State", "check_gradient", "fit", "load", "save"]

State = dict[str, Any]

# PyTorch's choices of an implementation, which change no number; what else is no setting.
_NOT_SETTINGS = {"params", "param_names", "foreach", "fused", "capturable", "differentiable"}
# Settings that PyTorch's optimisers do not have, and what they behave like.
_TORCH_LACKS = {"eps_root": 0.0}


def check_gradient(g: Array, array: Array, what: str) -> None:
    """Raise if the gradient `g` does not go with the array of the parameter called `what`."""
    if device_of(g) != device_of(array):
        raise errors.DeviceError(
            f"{what} is on {device_of(array)} but its gradient on {device_of(g)}; "
            "compute the gradient after moving the model"
        )
    if g.shape != array.shape:
        raise errors.ShapeError(f"{what} has shape {array.shape} but its gradient {g.shape}")
    if g.dtype != array.dtype:
        raise errors.DTypeError(f"{what} is {array.dtype} but its gradient {g.dtype}")
    if not is_writable(array):
        raise errors.ArgumentError(f"{what} is on read-only memory; use a copy of it")


def fit(state: State, array: Array, names: Sequence[str], what: str) -> bool:
    """Make the arrays `names` of `state` fit the parameter's, and return whether any was missing.

    They follow the parameter when that has been moved or converted.
    """
    for name in names:
        if name in state and state[name].shape != array.shape:
            raise errors.ShapeError(
                f"{what} has shape {array.shape} but its state {name!r} has "
                f"{state[name].shape}; make a new optimiser for a parameter of a new shape"
            )
    dtype, device = state_dtype(array.dtype), device_of(array)
    missing = False
    for name in names:
        if name not in state:
            state[name] = zero_state(array)
            missing = True
        elif state[name].dtype != dtype or device_of(state[name]) != device:
            with device_guard(array):
                state[name] = to_device(state[name], device).astype(dtype)
    return missing


@dataclass(frozen=True)
class Layout:
    """What saving has to know of an optimiser.

    Attributes
    ----------
    name : str
        Of its class.
    settings : tuple of str
        The settings of a group.
    check : callable
        Returns the settings in a dict, checked.
    keys : callable
        Returns the keys of a parameter's state under the settings in a dict.
    """

    name: str
    settings: tuple[str, ...]
    check: Callable[[Mapping[str, Any]], dict[str, Any]]
    keys: Callable[[Mapping[str, Any]], tuple[str, ...]]


def save(layout: Layout, groups: list[Group], states: Mapping[Tensor, State]) -> dict[str, Any]:
    """Return what `Optimizer.state_dict` returns."""
    saved_groups: list[dict[str, Any]] = []
    saved_states: dict[int, State] = {}
    count = itertools.count()
    for group in groups:
        saved = {key: group[key] for key in (*layout.settings, "updates")}
        if callable(saved["lr"]):
            lr = saved["lr"]
            saved["lr"] = lr.saved() if isinstance(lr, schedules.Schedule) else None
        saved["params"] = [next(count) for _ in group["params"]]
        if "param_names" in group:
            saved["param_names"] = list(group["param_names"])
        saved_groups.append(saved)
        for i, p in zip(saved["params"], group["params"], strict=True):
            state = states.get(p)
            if state:
                saved_states[i] = {
                    key: _copied(state.get(key), p.data) for key in layout.keys(group)
                }
    return {"state": saved_states, "param_groups": saved_groups}


def _copied(value: Any, param: Array) -> Any:
    """Return a count, or a copy of an array; zeros for one that the next update would make."""
    if isinstance(value, int):
        return value
    return np.array(to_device(zero_state(param) if value is None else value, "cpu"))


def load(
    layout: Layout, groups: list[Group], state_dict: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[Tensor, State]]:
    """Return the settings of each group and the state of each parameter, as copies.

    Raises
    ------
    StateDictError
        If anything does not fit `groups`; the message lists all of it.
    """
    problems: list[str] = []
    loaded = _load(layout, groups, state_dict, problems)
    if problems:
        raise errors.StateDictError(
            f"{layout.name}: this state does not fit, and nothing was loaded:\n  "
            + "\n  ".join(problems)
        )
    return loaded


def _load(
    layout: Layout, groups: list[Group], state_dict: Mapping[str, Any], problems: list[str]
) -> tuple[list[dict[str, Any]], dict[Tensor, State]]:
    settings: list[dict[str, Any]] = []
    states: dict[Tensor, State] = {}
    try:
        saved_states, saved_groups = dict(state_dict["state"]), list(state_dict["param_groups"])
        saved_ids = [list(group["params"]) for group in saved_groups]
    except (TypeError, KeyError, ValueError):
        problems.append('it must be a dict {"state": {...}, "param_groups": [{"params": ...}]}')
        return settings, states
    here, saved = [len(group["params"]) for group in groups], [len(ids) for ids in saved_ids]
    if saved != here:
        problems.append(f"parameters per group: saved {saved}, here {here}")
        return settings, states
    flat = list(itertools.chain.from_iterable(saved_ids))
    if not all(isinstance(i, int) for i in flat) or len(set(flat)) < len(flat):
        problems.append(f"params of the groups must be distinct numbers, got {saved_ids}")
        return settings, states
    for index, (group, saved_group, ids) in enumerate(
        zip(groups, saved_groups, saved_ids, strict=True)
    ):
        where = f"group {index}"
        problems += _name_problems(where, saved_group.get("param_names"), group.get("param_names"))
        updates = max((_step(saved_states.get(i)) for i in ids), default=0)
        found = _settings(layout, where, {"updates": updates} | saved_group, group, problems)
        settings.append(found)
        for i, (saved_id, p) in enumerate(zip(ids, group["params"], strict=True)):
            if saved_id not in saved_states:
                continue
            entry = saved_states.pop(saved_id)
            if found:
                what = label(layout.name, groups, index, i)
                states[p] = _state(what, entry, layout.keys(found), p.data, problems)
    if saved_states:
        problems.append(f"state of parameters that are in no group: {list(saved_states)}")
    return settings, states


def _name_problems(where: str, saved: Any, here: Any) -> list[str]:
    if saved is None or here is None or list(saved) == list(here):
        return []
    lost, new = sorted(set(saved) - set(here)), sorted(set(here) - set(saved))
    if lost or new:
        return [f"{where}: parameters only in the saved state {lost}, only here {new}"]
    return [f"{where}: parameters in another order: saved {list(saved)}, here {list(here)}"]


def _settings(
    layout: Layout, where: str, saved: dict[str, Any], group: Group, problems: list[str]
) -> dict[str, Any]:
    """Return the settings in `saved`, or {} if they are wrong."""
    before = len(problems)
    saved = _TORCH_LACKS | saved
    known, given = {*layout.settings, "updates"}, set(saved) - _NOT_SETTINGS
    given -= _TORCH_LACKS.keys() - known
    if known - given:
        problems.append(f"{where}: settings missing: {sorted(known - given)}")
    if given - known:
        problems.append(f"{where}: settings it does not have: {sorted(given - known)}")
    if saved.get("lr", 0.0) is None:
        if callable(group["lr"]):
            saved["lr"] = group["lr"]
        else:
            problems.append(
                f"{where}: lr was a function when saved, which belongs to the program; "
                f"make the optimiser with it, not with {group['lr']}"
            )
    if not _is_count(saved["updates"]):
        problems.append(f"{where}: updates must be a count, got {saved['updates']!r}")
    if len(problems) > before:
        return {}
    try:
        if isinstance(saved["lr"], Mapping):
            saved["lr"] = schedules.loaded(saved["lr"])
        return layout.check(saved) | {"updates": int(saved["updates"])}
    except errors.ArgumentError as error:
        problems.append(f"{where}: {error}")
        return {}


def _step(entry: Any) -> int:
    """Return how many updates a saved entry has had, as far as it says."""
    step = entry.get("step", 0) if isinstance(entry, Mapping) else 0
    return int(step) if _is_count(step) else 0


def _is_count(value: Any) -> bool:
    try:
        return bool(int(value) == value and value >= 0)
    except (TypeError, ValueError, OverflowError):
        return False


def _state(
    where: str, entry: Any, keys: tuple[str, ...], param: Array, problems: list[str]
) -> State:
    """Return the state of one parameter, as copies beside `param`."""
    given = [key for key in entry if entry[key] is not None] if isinstance(entry, Mapping) else []
    if set(given) != set(keys):
        problems.append(f"{where}: the state has {given}, it needs {list(keys)}")
        return {}
    state: State = {}
    for key in keys:
        value = entry[key]
        if key == "step":
            if _is_count(value):
                state[key] = int(value)
            else:
                problems.append(f"{where}: step must be a count, got {value!r}")
            continue
        try:
            array = asarray(value.data if isinstance(value, Tensor) else value)
        except (errors.TinygradError, TypeError, ValueError, RuntimeError) as error:
            problems.append(f"{where}: {key} is no array: {error}")
            continue
        if array.dtype.kind != "f" or array.shape != param.shape:
            problems.append(
                f"{where}: {key} is {array.dtype} {array.shape}, "
                f"the parameter {param.dtype} {param.shape}"
            )
            continue
        state[key] = zero_state(param)
        with device_guard(param):
            state[key][...] = to_device(array, device_of(param))
    return state
