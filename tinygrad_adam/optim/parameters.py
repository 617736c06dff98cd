"""What may be optimised: reading parameter lists, and fitting gradients and state to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..device import Array, device_guard, device_of, is_writable, to_device
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .executor import state_dtype, zero_state

__all__ = ["check_parameter", "fitted_state", "check_gradient", "label", "listed", "unzipped"]


def listed(params: Any) -> list[Any]:
    """Return `params` as a list, if it is something that has an order."""
    if isinstance(params, Tensor):
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


def unzipped(entries: list[Any], where: str) -> tuple[list[str], list[Any]]:
    """Return names and parameters of ``(name, parameter)`` pairs."""
    for entry in entries:
        if not (isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ArgumentError(
                f"{where} has named parameters, so every entry must be (name, Tensor); "
                f"got {entry!r}"
            )
    return [name for name, _ in entries], [p for _, p in entries]


def check_parameter(p: Any, where: str) -> None:
    """Raise if `p` cannot be optimised."""
    if not isinstance(p, Tensor):
        raise ArgumentError(f"{where} must be a Tensor, got {type(p).__name__}")
    if p.dtype.kind != "f":
        raise DTypeError(f"{where} has dtype {p.dtype}; only floating point can be optimised")
    if not p.is_leaf:
        raise ArgumentError(
            f"{where} is the result of an operation, so it never gets a gradient of its own; "
            "optimise the tensor it was computed from, or .detach() it first"
        )
    if not is_writable(p.data):
        raise ArgumentError(f"{where} is on read-only memory; use a copy of it")


def label(optimizer: Any, group: int, i: int) -> str:
    """Return what to call parameter `i` of group number `group` in an error message."""
    names = optimizer.param_groups[group].get("param_names")
    name = f" ({names[i]!r})" if names else ""
    return f"{type(optimizer).__name__}: group {group}: params[{i}]{name}"


def check_gradient(grad: Any, array: Array, what: str) -> None:
    """Raise if `grad` does not go with the array of the parameter called `what`."""
    if not isinstance(grad, Tensor):
        raise DTypeError(f"{what}.grad must be a Tensor, got {type(grad).__name__}")
    g = grad.data
    if device_of(g) != device_of(array):
        raise DeviceError(
            f"{what} is on {device_of(array)} but its gradient on {device_of(g)}; "
            "compute the gradient after moving the model"
        )
    if g.shape != array.shape:
        raise ShapeError(f"{what} has shape {array.shape} but its gradient {g.shape}")
    if g.dtype != array.dtype:
        raise DTypeError(f"{what} is {array.dtype} but its gradient {g.dtype}")
    if not is_writable(array):
        raise ArgumentError(f"{what} is on read-only memory; use a copy of it")


def fitted_state(state: dict[str, Any], array: Array, names: tuple[str, ...], what: str) -> bool:
    """Make the arrays `names` of `state` fit the parameter's, and return whether any was missing.

    They follow the parameter when that has been moved or converted.
    """
    for name in names:
        if name in state and state[name].shape != array.shape:
            raise ShapeError(
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
