"""Modules made of a list of modules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, SupportsIndex, overload

from ..errors import ArgumentError, ModuleError, OutOfRangeError
from ..tensor import Tensor
from .module import Module

__all__ = ["TOGETHER", "ModuleList", "Sequential"]

# What `Sequential` does at once instead of module by module: by the type of the first module, the
# types in a row, longest first, and function(*modules, x), which may answer NotImplemented.
TOGETHER: dict[type[Module], list[tuple[tuple[type[Module], ...], Callable[..., Any]]]] = {}


class _Listed(Module):
    """What `Sequential` and `ModuleList` share: their children, counted from zero."""

    def append(self, module: Module) -> Self:
        """Add `module` at the end, under its number.

        Raises
        ------
        ModuleError
            If it is not a `Module`.
        ArgumentError
            If an entry is called like that number already.
        """
        self._add(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add all `modules` at the end, or none if one of them is not a `Module`."""
        entries = list(modules)
        for position, module in enumerate(entries, start=len(self)):
            self._check(str(position), module)
        for module in entries:
            self.append(module)
        return self

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def insert(self, index: SupportsIndex, module: Module) -> Self:
        """Put `module` before the entry at `index`; all entries are then numbered anew.

        Raises
        ------
        ModuleError
            If it is not a `Module`.
        OutOfRangeError
            If `index` is not between minus the length and the length.
        """
        modules, position = list(self), operator.index(index)
        if position != len(modules):
            self._name_at(position)
        if not isinstance(module, Module):
            raise ModuleError(
                f"{type(self).__name__}.insert: a Module instance is expected, "
                f"got a {type(module).__name__}"
            )
        self._check_member("module", str(len(modules)), module, replace=True)
        modules.insert(position, module)
        self._number(modules)
        return self

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._name_at(index)
        del modules[index]
        self._number(modules)

    def _number(self, modules: list[Module]) -> None:
        """Make `modules`, known to be fit, the entries "0", "1", ..."""
        for name in self._names():
            delattr(self, name)
        for position, module in enumerate(modules):
            self._add(str(position), module)

    def _check(self, name: str, module: Module) -> None:
        """Raise what adding `module` under a new `name` would."""
        if not isinstance(module, Module):
            raise ModuleError(
                f"{type(self).__name__}: entry {name!r} is a {type(module).__name__}; "
                f"a Module instance is expected{_advice(type(self).__name__, module)}"
            )
        if name in self._members:
            raise ArgumentError(f"{type(self).__name__} already has an entry {name!r}")
        self._check_member("module", name, module)

    def _add(self, name: str, module: Module) -> None:
        self._check(name, module)
        self.add_module(name, module)

    def _name_at(self, index: SupportsIndex) -> str:
        names, position = self._names(), operator.index(index)
        if not -len(names) <= position < len(names):
            raise OutOfRangeError(
                f"{type(self).__name__}: index {position} is out of range for {len(names)} modules"
            )
        return names[position]

    def _names(self) -> list[str]:
        return [name for name, kind in self._members.items() if kind == "module"]

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        name = self._name_at(index)
        if not isinstance(module, Module):
            raise ModuleError(
                f"{type(self).__name__}: entry {name!r} can be replaced by a Module only, "
                f"not by a {type(module).__name__}"
            )
        setattr(self, name, module)

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Module]:
        return iter([self.__dict__[name] for name in self._names()])


def _advice(owner: str, entry: Any) -> str:
    """Return what to do about an entry that is no module."""
    if isinstance(entry, (list, tuple)):
        return f"; pass the modules one by one: {owner}(*layers)"
    if isinstance(entry, type) and issubclass(entry, Module):
        return f"; make one of the class: nn.{entry.__name__}(...)"
    if not callable(entry):
        return ""
    from .. import nn

    name = getattr(entry, "__name__", "").replace("_", "").lower()
    layer = next((layer for layer in nn.__all__ if layer.lower() == name), None)
    if layer is None:
        return "; of a function make a class, derived from nn.Module, that calls it in forward"
    return f"; the function's layer is nn.{layer}()"


class Sequential(_Listed):
    """Modules applied one after the other.

    Parameters
    ----------
    *modules : Module
        The steps, named ``"0"``, ``"1"``, ...; or one mapping (an ``OrderedDict``) of names to
        modules.

    Raises
    ------
    TypeError
        If an entry is not a `Module`.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))
    >>> len(net), net[-1].out_features
    (3, 1)
    >>> net[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=False)  # weight (3, 4): 12 parameters
      (1): ReLU()
    )  # total: 12 parameters
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Iterable[tuple[str, Any]] = modules[0].items()
        else:
            named = ((str(index), module) for index, module in enumerate(modules))
        for name, module in named:
            self._add(name, module)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Module:
        if isinstance(index, slice):
            return Sequential({name: self.__dict__[name] for name in self._names()[index]})
        return self.__dict__[self._name_at(index)]  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last module's output."""
        modules = list(self)
        start = 0
        while start < len(modules):
            module = modules[start]
            for types, function in TOGETHER.get(type(module), ()):
                some = modules[start : start + len(types)]
                if tuple(map(type, some)) == types and not any(
                    "forward" in m.__dict__ for m in some
                ):
                    y = function(*some, x)
                    if y is not NotImplemented:
                        x, start = y, start + len(types)
                        break
            else:
                x, start = module(x), start + 1
        return x


class ModuleList(_Listed):
    """A list of modules that registers them; it has no `forward` of its own.

    Parameters
    ----------
    modules : iterable of Module, optional
        The entries.

    Raises
    ------
    TypeError
        If an entry is not a `Module`.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    >>> len(list(blocks.parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Module:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self.__dict__[self._name_at(index)]  # type: ignore[no-any-return]
