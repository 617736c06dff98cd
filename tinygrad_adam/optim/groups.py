"""Parameter groups: reading what the user lists, and calling parameters by a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..device import is_writable
from ..errors import ArgumentError, DTypeError
from ..tensor import Tensor

__all__ = ["Group", "Params", "label", "read_group", "read_groups"]

Group = dict[str, Any]
Params = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


def read_groups(params: Any, name: str) -> list[Any]:
    """Return the groups in what an optimiser called `name` was given: a list of dicts."""
    entries = _listed(params)
    if not entries:
        raise ArgumentError(
            f"{name}: got an empty list of parameters; pass model.parameters(), called anew for "
            "each use, of a model that has layers with parameters"
        )
    if not any(isinstance(entry, Mapping) for entry in entries):
        return [{"params": entries}]
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ArgumentError(
                f"{name}: params mixes groups (dicts) with {type(entry).__name__}; "
                'put the latter in {"params": [...]}'
            )
    return entries


def read_group(
    group: Any, others: list[Group], defaults: Mapping[str, Any], where: str
) -> tuple[Group, dict[str, Any]]:
    """Return ``"params"`` and perhaps ``"param_names"`` of a new group, and its raw settings.

    Raises
    ------
    ArgumentError, DTypeError
        If it has no parameters, unknown settings, what cannot be optimised, or what is in `others`.
    """
    if not isinstance(group, Mapping) or "params" not in group:
        raise ArgumentError(f'{where} must be a dict with the key "params", got {group!r}')
    params = group["params"]
    params = [params] if isinstance(params, Tensor) else _listed(params)
    if not params:
        raise ArgumentError(f"{where} has no parameters")
    unknown = sorted(set(group) - set(defaults) - {"params"})
    if unknown:
        raise ArgumentError(f"{where} has unknown settings {unknown}; there are {sorted(defaults)}")
    names = None
    if any(isinstance(entry, tuple) for entry in params):
        names, params = _unzipped(params, where)
    for i, p in enumerate(params):
        _check_parameter(p, f"{where}: params[{i}]")
    given = [p for g in others for p in g["params"]] + params
    if len({id(p) for p in given}) < len(given):
        raise ArgumentError(f"{where} repeats a parameter, which would be updated twice")
    if others and ("param_names" in others[0]) != (names is not None):
        raise ArgumentError(f"{where}: name the parameters of all groups, or of none")
    known = [n for g in others for n in g.get("param_names", ())] + (names or [])
    if len(set(known)) < len(known):
        raise ArgumentError(f"{where} repeats a parameter name: {sorted(known)}")
    settings = {**defaults, **{key: v for key, v in group.items() if key != "params"}}
    return {"params": params} | ({} if names is None else {"param_names": names}), settings


def label(optimizer: str, groups: list[Group], index: int, i: int) -> str:
    """Return what to call parameter `i` of group number `index` in an error message."""
    names = groups[index].get("param_names")
    name = f" ({names[i]!r})" if names else ""
    return f"{optimizer}: group {index}: params[{i}]{name}"


def _listed(params: Any) -> list[Any]:
    """Return `params` as a list, if it is something that has an order."""
    if _is_model(params):
        advice = f"the model ({type(params).__name__}) itself; pass model.parameters()"
    elif isinstance(params, Tensor):
        advice = "a single Tensor; put it in a list"
    elif isinstance(params, (set, frozenset)):
        advice = "a set, which has no order to save the state in; use a list"
    elif isinstance(params, Mapping):
        advice = "a dict; pass its .items() to name the parameters, or [a dict] for a group"
    elif isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        advice = f"{type(params).__name__}"
    else:
        return list(params)
    raise ArgumentError(f"params must be an iterable of Tensors, pairs or groups, got {advice}")


def _is_model(value: Any) -> bool:
    return callable(getattr(value, "parameters", None))


def _unzipped(entries: list[Any], where: str) -> tuple[list[str], list[Any]]:
    """Return names and parameters of ``(name, parameter)`` pairs."""
    for entry in entries:
        if not (isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ArgumentError(
                f"{where} has named parameters, so every entry must be (name, Tensor); "
                f"got {entry!r}"
            )
    return [name for name, _ in entries], [p for _, p in entries]


def _check_parameter(p: Any, where: str) -> None:
    """Raise if `p` cannot be optimised."""
    if not isinstance(p, Tensor):
        advice = "; pass its .parameters()" if _is_model(p) else ""
        raise ArgumentError(f"{where} must be a Tensor, got {type(p).__name__}{advice}")
    if p.dtype.kind != "f":
        raise DTypeError(f"{where} has dtype {p.dtype}; only floating point can be optimised")
    if not p.is_leaf:
        raise ArgumentError(
            f"{where} is the result of an operation, so it never gets a gradient of its own; "
            "optimise the tensor it was computed from, or .detach() it first"
        )
    if not is_writable(p.data):
        raise ArgumentError(f"{where} is on read-only memory; use a copy of it")
