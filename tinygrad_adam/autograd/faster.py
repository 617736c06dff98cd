"""Which faster version of an array function there is, for which array module: one table.

    faster("relu", "numpy", value=compiled_relu, x=compiled_relu_gradient)

An operation's parts are its ``value`` and, by the name of an input, its derivatives; an optimiser's
rule has the part ``update``.  A faster version has the signature of the part it stands for (a
derivative may ask for other names, see :mod:`~tinygrad_adam.autograd.registry`), gives the same
numbers to rounding, and returns ``NotImplemented`` for operands that it does not serve: then the
next older version is asked, the plain one last.  Under ``create_graph=True`` only plain derivatives
run, for they are what can be differentiated again.

What a value hands to its derivatives beside `y` (which pixel won, a table of probabilities) goes
into ``memo``, a list among the settings of such an operation; the plain version may leave it empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["FASTER", "faster", "first_answer", "versions"]

# (name, part, array module): versions, fastest first
FASTER: dict[tuple[str, str, str], list[Callable[..., Any]]] = {}
_in_use: set[tuple[str, str, str]] = set()
_always: set[Callable[..., Any]] = set()


def faster(
    name: str, module: str = "numpy", *, always: bool = False, **parts: Callable[..., Any]
) -> None:
    """Register faster versions of parts of `name`; the newest is asked first.

    Parameters
    ----------
    name : str
        Of an operation or an update rule.
    module : str
        The array module they work on: ``"numpy"`` or ``"cupy"``.
    always : bool
        Whether these versions serve all operands, so that no older one need be asked.
    **parts : callable
        By name of the part: ``value``, an input, ``update``.

    Raises
    ------
    TypeError
        If the part has run already, so that the new version might never be asked.
    """
    for part, function in parts.items():
        key = (name, part, module)
        if key in _in_use:
            raise TypeError(f"faster {name}.{part}: register it before the first use on {module}")
        FASTER.setdefault(key, []).insert(0, function)
        if always:
            _always.add(function)


def versions(name: str, part: str, module: str) -> tuple[Callable[..., Any], ...]:
    """Return the faster versions to ask in turn; from now on they are in use."""
    key = (name, part, module)
    _in_use.add(key)
    return tuple(FASTER.get(key, ()))


def first_answer(
    functions: tuple[Callable[..., Any], ...], plain: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that gives the answer of the first of `functions` that has one."""
    if not functions or functions[0] in _always:
        return functions[0] if functions else plain

    def asked(*args: Any, **settings: Any) -> Any:
        for function in functions:
            answer = function(*args, **settings)
            if answer is not NotImplemented:
                return answer
        return plain(*args, **settings)

    return asked
