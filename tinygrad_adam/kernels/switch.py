"""The switch of the compiled loops, and the moment they are imported.

The loops need numba (extra ``fast``), whose import takes some tenths of a second.  So it waits
until it is worth that, and where numba is missing, does not compile or cannot keep what it has
compiled, NumPy goes on alone and nobody is told.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__all__ = ["compiled", "is_fast", "set_fast"]

# The work after which numba is imported: one array of so many elements, or many small ones, for
# each call counts as CALL elements.
ENOUGH = 1 << 15
CALL = 512


class _State:
    on = os.environ.get("TINYGRAD_ADAM_FAST", "1") != "0"
    missing = False  # whether there was nothing to import
    work = 0


def set_fast(on: bool) -> None:
    """Allow compiled loops, or forbid them.

    They need numba (``pip install "tinygrad_adam[fast]"``) and give what NumPy gives, to rounding.
    They are allowed unless ``TINYGRAD_ADAM_FAST=0`` is in the environment when the package is
    imported, and first used when there is enough work for them.

    Parameters
    ----------
    on : bool
        Whether they may be used from now on.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> before = tg.is_fast()
    >>> tg.set_fast(False)
    >>> tg.is_fast()
    False
    >>> tg.set_fast(before)
    """
    _State.on = bool(on)


def is_fast() -> bool:
    """Return whether compiled loops may be used; False too once numba was not to be had."""
    return _State.on and not _State.missing


def compiled(name: str, size: int) -> Any:
    """Return the module `name` of compiled loops, or None where NumPy is to do the work.

    None while what was asked so far, arrays of `size` elements among it, is not worth the import.
    """
    if not _State.on or _State.missing:
        return None
    if _State.work < ENOUGH:
        _State.work += size + CALL
        if _State.work < ENOUGH:
            return None
    found = _modules.get(name)
    if found is None:
        try:
            import_module("numba")
            found = _modules[name] = import_module(f"{__package__}.{name}")
        except (ImportError, OSError, RuntimeError):  # RuntimeError: no place to keep the code
            _State.missing = True
    return found


_modules: dict[str, Any] = {}
