"""Copying a state dict into a model's tensors: everything or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd.memory import changed
from ..device import Array, asarray, device_guard, device_of, to_device
from ..errors import StateDictError, TinygradError
from ..tensor import Tensor

__all__ = ["IncompatibleKeys", "load_tensors"]

# Hints compare every name with every other: enough for a reader, cheap for thousands of keys.
_MAX_HINTS = 10


def nearest(name: str, candidates: list[str]) -> list[str]:
    """Return what `name` may be a misspelling of: the likeliest of `candidates`, or none."""
    from difflib import get_close_matches  # read for an error only

    return get_close_matches(name, candidates, n=1)


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(..., strict=False)`` left out; both empty when all keys matched."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_tensors(
    owner: str, targets: Mapping[str, Tensor], state: Mapping[str, Any], strict: bool
) -> IncompatibleKeys:
    """Copy the values of `state` into the tensors of `targets`, in place.

    Every key, shape and dtype is checked, and every value is brought to its target's device and
    dtype, before the first tensor changes.

    Parameters
    ----------
    owner : str
        Who is being loaded, for the error message.
    targets : mapping of str to Tensor
        The tensors to fill.  Two names may share a tensor: the later one is then the value kept.
    state : mapping of str to Tensor or array
        The values.
    strict : bool
        Whether missing and unexpected keys are errors.

    Returns
    -------
    IncompatibleKeys
        The keys of `targets` that `state` lacks, and the other way round.

    Raises
    ------
    StateDictError
        Listing all missing, unexpected and unfit keys together; nothing has changed then.
    """
    if not isinstance(state, Mapping):
        raise StateDictError(
            f"{owner}.load_state_dict needs a mapping of names to tensors, "
            f"got {type(state).__name__}; load a file with tg.load(path) first"
        )
    missing = [name for name in targets if name not in state]
    unexpected = [str(key) for key in state if key not in targets]
    problems: list[str] = []
    if strict:
        problems += _with_hints("missing", missing, unexpected)
        problems += _with_hints("unexpected", unexpected, missing or targets)
    staged: list[tuple[Tensor, Array]] = []
    for name, target in targets.items():
        if name not in state:
            continue
        try:
            staged.append((target, _fit(state[name], target)))
        except _Unfit as error:
            problems.append(f"{name!r} {error}")
    if problems:
        advice = ""
        if strict and (missing or unexpected):
            advice = "\nstrict=False leaves missing and unexpected keys out."
        raise StateDictError(
            f"{owner}.load_state_dict: the state does not fit, nothing was changed:\n  "
            + "\n  ".join(problems)
            + advice
        )
    for target, values in staged:
        with device_guard(target.data):
            target.data[...] = values
        changed(target)
    return IncompatibleKeys(missing, unexpected)


class _Unfit(Exception):
    """One value that cannot go into its tensor."""


def _fit(value: Any, target: Tensor) -> Array:
    """Return a private copy of `value` as the array that `target` can take over."""
    try:
        source = value.data if isinstance(value, Tensor) else asarray(value)
    except (TypeError, ValueError, RuntimeError, TinygradError) as error:
        raise _Unfit(f"is no array in the state: {type(value).__name__} ({error})") from error
    if source.shape != target.shape:
        raise _Unfit(f"has shape {tuple(target.shape)} here but {source.shape} in the state")
    if not np.can_cast(source.dtype, target.dtype, "same_kind"):
        raise _Unfit(
            f"has dtype {target.dtype} here but {source.dtype} in the state, "
            "which cannot be converted without losing values"
        )
    if not getattr(target.data.flags, "writeable", True):
        raise _Unfit("is a read-only array here and cannot be filled")
    # Copied even when nothing needs converting: `state` may share memory with another target
    # (two entries of a state dict swapped), which is overwritten before this one is read.
    with device_guard(target.data):
        return to_device(source, device_of(target.data)).astype(target.dtype, copy=True)


def _with_hints(kind: str, names: list[str], candidates: Iterable[str]) -> list[str]:
    """Return one line per name, the first ones with the nearest candidate."""
    pool = list(candidates)
    lines = []
    for index, name in enumerate(names):
        near = nearest(name, pool) if index < _MAX_HINTS else []
        lines.append(f"{name!r} is {kind}" + (f" (near: {near[0]!r})" if near else ""))
    return lines
