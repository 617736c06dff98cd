"""An optimiser's settings and state as plain dicts and arrays, in PyTorch's layout, and back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..device import Array, asarray, device_guard, device_of, to_device
from ..errors import ArgumentError, StateDictError, TinygradError
from ..tensor import Tensor
from .executor import zero_state
from .parameters import label

if TYPE_CHECKING:
    from .optimizer import Optimizer

__all__ = ["decode", "encode"]

Settings = dict[str, Any]
State = dict[str, Any]

# PyTorch's choices of an implementation, which change no number; what else is no setting.
_NOT_SETTINGS = {"params", "param_names", "foreach", "fused", "capturable", "differentiable"}
# Settings that PyTorch's optimisers do not have, and what they behave like.
_TORCH_LACKS = {"eps_root": 0.0}


def encode(optimizer: Optimizer) -> dict[str, Any]:
    """Return what `Optimizer.state_dict` returns."""
    groups: list[Settings] = []
    state: dict[int, State] = {}
    count = itertools.count()
    for group in optimizer.param_groups:
        saved = {key: group[key] for key in optimizer._setting_names}
        if callable(saved["lr"]):
            saved["lr"] = None
        saved["params"] = [next(count) for _ in group["params"]]
        if "param_names" in group:
            saved["param_names"] = list(group["param_names"])
        groups.append(saved)
        for i, p in zip(saved["params"], group["params"], strict=True):
            entry = optimizer.state.get(p)
            if entry:
                keys = optimizer._state_keys(group)
                state[i] = {key: _copied(entry.get(key), p.data) for key in keys}
    return {"state": state, "param_groups": groups}


def _copied(value: Any, param: Array) -> Any:
    """Return a count, or a copy of an array; zeros for one that the next update would make."""
    if isinstance(value, int):
        return value
    return np.array(to_device(zero_state(param) if value is None else value, "cpu"))


def decode(
    optimizer: Optimizer, state_dict: Mapping[str, Any]
) -> tuple[list[Settings], dict[Tensor, State]]:
    """Return the settings of each group and the state of each parameter, as copies.

    Raises
    ------
    StateDictError
        If anything does not fit `optimizer`; the message lists all of it.
    """
    problems: list[str] = []
    decoded = _decode(optimizer, state_dict, problems)
    if problems:
        raise StateDictError(
            f"{type(optimizer).__name__}: this state does not fit, and nothing was loaded:\n  "
            + "\n  ".join(problems)
        )
    return decoded


def _decode(
    optimizer: Optimizer, state_dict: Mapping[str, Any], problems: list[str]
) -> tuple[list[Settings], dict[Tensor, State]]:
    settings: list[Settings] = []
    state: dict[Tensor, State] = {}
    try:
        saved_state, saved_groups = dict(state_dict["state"]), list(state_dict["param_groups"])
        saved_ids = [list(group["params"]) for group in saved_groups]
    except (TypeError, KeyError, ValueError):
        problems.append('it must be a dict {"state": {...}, "param_groups": [{"params": ...}]}')
        return settings, state
    here = [len(group["params"]) for group in optimizer.param_groups]
    saved = [len(ids) for ids in saved_ids]
    if saved != here:
        problems.append(f"parameters per group: saved {saved}, here {here}")
        return settings, state
    flat = list(itertools.chain.from_iterable(saved_ids))
    if not all(isinstance(i, int) for i in flat) or len(set(flat)) < len(flat):
        problems.append(f"params of the groups must be distinct numbers, got {saved_ids}")
        return settings, state
    for index, (group, saved_group, ids) in enumerate(
        zip(optimizer.param_groups, saved_groups, saved_ids, strict=True)
    ):
        where = f"group {index}"
        problems += _name_problems(where, saved_group.get("param_names"), group.get("param_names"))
        updates = max((_step(saved_state.get(i)) for i in ids), default=0)
        found = _settings(optimizer, where, saved_group, group, updates, problems)
        settings.append(found)
        for i, (saved_id, p) in enumerate(zip(ids, group["params"], strict=True)):
            if saved_id not in saved_state:
                continue
            entry = saved_state.pop(saved_id)
            if found:
                keys = optimizer._state_keys(found)
                state[p] = _entry(label(optimizer, index, i), entry, keys, p.data, problems)
    if saved_state:
        problems.append(f"state of parameters that are in no group: {list(saved_state)}")
    return settings, state


def _name_problems(where: str, saved: Any, here: Any) -> list[str]:
    if saved is None or here is None or list(saved) == list(here):
        return []
    lost, new = sorted(set(saved) - set(here)), sorted(set(here) - set(saved))
    if lost or new:
        return [f"{where}: parameters only in the saved state {lost}, only here {new}"]
    return [f"{where}: parameters in another order: saved {list(saved)}, here {list(here)}"]


def _settings(
    optimizer: Optimizer,
    where: str,
    saved: Settings,
    group: Settings,
    updates: int,
    problems: list[str],
) -> Settings:
    """Return the settings in `saved`, or {} if they are wrong; `updates` if it has no count."""
    before = len(problems)
    saved = _TORCH_LACKS | {"updates": updates} | saved
    known, given = set(optimizer._setting_names), set(saved) - _NOT_SETTINGS
    given -= _TORCH_LACKS.keys() - known
    if known - given:
        problems.append(f"{where}: settings missing: {sorted(known - given)}")
    if given - known:
        problems.append(f"{where}: settings it does not have: {sorted(given - known)}")
    found = {key: saved[key] for key in known & given}
    if "lr" in found:
        kinds = ("a number", "a schedule")
        was, now = found["lr"] is None, callable(group["lr"])
        if was != now:
            problems.append(f"{where}: lr was {kinds[was]} when saved and is {kinds[now]} here")
        elif was:
            found["lr"] = group["lr"]
    if "updates" in found and not _is_count(found["updates"]):
        problems.append(f"{where}: updates must be a count, got {found['updates']!r}")
    if len(problems) > before:
        return {}
    try:
        return optimizer._checked(found) | {"updates": int(found["updates"])}
    except ArgumentError as error:
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


def _entry(
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
        except (TinygradError, TypeError, ValueError, RuntimeError) as error:
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
