"""The base class of every model and layer: registration, state, moving, printing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np

from ..autograd.memory import changed
from ..device import Array, Device, device_guard, to_device
from ..dtypes import float_type
from ..errors import ArgumentError, ModuleError, ModuleStateError
from ..ops.arguments import destination
from ..tensor import Tensor
from .parameter import Parameter
from .state import IncompatibleKeys, load_tensors, nearest

__all__ = ["Module"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any], covariant=True)


class _Computing(Protocol[F]):
    """What a type checker knows of a module that it sees called."""

    @property
    def forward(self) -> F: ...


class Module:
    """A piece of a model: holds parameters, buffers and other modules, and computes `forward`.

    Assigning a `Parameter` or a `Module` to an attribute registers it under that name, so that
    `parameters`, `state_dict` and `to` reach it.  Everything is kept in the order of definition.
    Subclasses call ``super().__init__()`` first and define `forward`.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode (dropout reads it); set it with `train` and `eval`.

    Examples
    --------
    >>> from tinygrad_adam import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(3, 2, bias=False)
    ...         self.out = nn.Linear(2, 1, bias=False)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> Net()
    Net(
      (hidden): Linear(in_features=3, out_features=2, bias=False)  # weight (2, 3): 6 parameters
      (out): Linear(in_features=2, out_features=1, bias=False)  # weight (1, 2): 2 parameters
    )  # total: 8 parameters
    >>> [name for name, _ in Net().named_parameters()]
    ['hidden.weight', 'out.weight']
    """

    training: bool
    # Registered names in the order of definition, each with its kind: "parameter", "buffer" or
    # "module".  The values are ordinary instance attributes, so reading one costs nothing extra.
    # Both collections are replaced, never changed: a shallow copy (copy.copy) has the same ones.
    _members: dict[str, str]
    _non_persistent: frozenset[str]

    def __init__(self) -> None:
        self.__dict__.update(training=True, _members={}, _non_persistent=frozenset())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines its own."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward method; "
            "define forward(self, ...) in the class, it is what calling the module runs"
        )

    if TYPE_CHECKING:

        @property
        def __call__(self: _Computing[F]) -> F:
            """What is called is `forward` of the class, with its types."""

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Return ``forward(*args, **kwargs)``."""
            return self.forward(*args, **kwargs)

    # --- registration ---------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`, as assigning it to the attribute does.

        Parameters
        ----------
        name : str
            The attribute's name.
        param : Parameter or None
            ``None`` keeps the place: the attribute exists and is in no state dict.

        Raises
        ------
        AttributeError
            If ``super().__init__()`` has not run.
        ArgumentError
            If `name` is empty, has a dot or already names something else.
        TypeError
            If `param` is neither a `Parameter` nor None.
        """
        self._register("parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the model's state but is not learned.

        Buffers move with `to` and, unless ``persistent=False``, are saved in `state_dict`.

        Parameters
        ----------
        name : str
            The attribute's name.
        tensor : Tensor or None
            The values; ``None`` keeps the place.
        persistent : bool, default True
            Whether `state_dict` contains it.

        Raises
        ------
        AttributeError, ArgumentError, TypeError
            As `register_parameter`.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> module = tg.nn.Module()
        >>> module.register_buffer("steps", tg.tensor(0))
        >>> list(module.state_dict())
        ['steps']
        """
        self._register("buffer", name, tensor)
        others = self._non_persistent - {name}
        self.__dict__["_non_persistent"] = others if persistent else others | {name}

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under `name`, as assigning it to the attribute does.

        Parameters
        ----------
        name : str
            The attribute's name.
        module : Module or None
            ``None`` keeps the place.

        Raises
        ------
        AttributeError, ArgumentError, TypeError
            As `register_parameter`; also ArgumentError if `module` contains this module.
        """
        self._register("module", name, module)

    def _register(self, kind: str, name: str, value: Any, replace: bool = False) -> None:
        """Put `value` under `name`, after every check; `replace` allows a name in other use."""
        self._check_member(kind, name, value, replace)
        self.__dict__[name] = value
        if self._members.get(name) != kind:
            self.__dict__["_members"] = {**self._members, name: kind}

    def _check_member(self, kind: str, name: str, value: Any, replace: bool = False) -> None:
        owner = type(self).__name__
        expected = _KINDS[kind]
        if "_members" not in self.__dict__:
            raise ModuleStateError(
                f"{owner}: cannot assign {kind} {name!r} before Module.__init__() has run; "
                "call super().__init__() first in __init__"
            )
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(
                f"{owner}: {name!r} cannot name a {kind}; "
                "use a non-empty string without a dot (dots join the names of nested modules)"
            )
        if value is not None and not isinstance(value, expected):
            advice = "; wrap it in nn.Parameter, or copy its values with copy_ under no_grad"
            raise ModuleError(
                f"{owner}: cannot assign {type(value).__name__} as {kind} {name!r}; "
                f"{expected.__name__} or None expected"
                + (advice if isinstance(value, Tensor) else "")
            )
        if isinstance(value, Module) and any(module is self for module in value.modules()):
            raise ArgumentError(
                f"{owner}: {kind} {name!r} contains this {owner}; a model cannot contain itself"
            )
        # Methods and class attributes, and what Module itself keeps.
        reserved = hasattr(type(self), name) or name in Module.__annotations__
        in_use = name in self.__dict__ and self._members.get(name) != kind
        if reserved or (in_use and not replace):
            raise ArgumentError(
                f"{owner} already has an attribute {name!r}; choose another name for the {kind}"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register("parameter", name, value, replace=True)
        elif isinstance(value, Module):
            self._register("module", name, value, replace=True)
        elif name in self.__dict__.get("_members", ()):
            self._register(self._members[name], name, value, replace=True)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in self.__dict__.get("_members", ()):
            members = {n: kind for n, kind in self._members.items() if n != name}
            self.__dict__["_members"] = members

    def __getattr__(self, name: str) -> Any:
        # Only called when the ordinary look-up has failed.
        owner = type(self).__name__
        attribute = inspect.getattr_static(type(self), name, None)
        if isinstance(attribute, property):
            # The property exists and itself raised AttributeError: run it again to show that one.
            return attribute.__get__(self)
        # Protocol look-ups (copy, NumPy, IPython) come by often and are never misspellings.
        near = [] if name.startswith("__") else nearest(name, dir(self))
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if "_members" not in self.__dict__:
            hint = f"; {owner}.__init__ has not called super().__init__() yet"
        raise AttributeError(f"{owner} has no attribute {name!r}{hint}", name=name, obj=self)

    def _own(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield this module's own members of one kind, without places that hold None."""
        for name, member_kind in self._members.items():
            if member_kind == kind and self.__dict__[name] is not None:
                yield name, self.__dict__[name]

    # --- traversal ------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield ``(name, module)`` for this module and all below it, each module once.

        A parent comes before its children; this module's own name is `prefix`.
        """
        yield from _once(self._named_tree(prefix))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ``(name, module)`` for the modules directly below, each once."""
        yield from _once(self._own("module"))

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below, each once."""
        for _, module in self.named_children():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield ``(name, parameter)``; a shared (tied) parameter once, under its first name.

        Parameters
        ----------
        prefix : str
            Put before every name, with a dot.
        recurse : bool, default True
            Whether to include the modules below.
        """
        yield from self._named_members("parameter", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield all parameters, each once, in the order of definition."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield ``(name, buffer)``, each buffer once; persistent or not."""
        yield from self._named_members("buffer", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield all buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named_tree(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, module in self._own("module"):
            yield from module._named_tree(_join(prefix, name))

    def _named_members(self, kind: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        yield from _once(
            (_join(path, name), member)
            for path, module in (self.named_modules(prefix) if recurse else [(prefix, self)])
            for name, member in module._own(kind)
        )

    # --- state ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Return all parameters and persistent buffers by name, as PyTorch names them.

        Returns
        -------
        dict of str to Tensor
            Detached tensors that share the model's memory, in the order of definition.  A shared
            parameter appears under each of its names.

        Examples
        --------
        >>> from tinygrad_adam import nn
        >>> [(name, t.shape) for name, t in nn.Linear(3, 2).state_dict().items()]
        [('weight', (2, 3)), ('bias', (2,))]
        """
        return {name: tensor.detach() for name, tensor in self._named_state()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy `state_dict` into the model's parameters and buffers, in place.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            As `state_dict` returns it; NumPy arrays (and PyTorch CPU tensors) work as well.  Values
            are moved and converted to the model's device and dtype.
        strict : bool, default True
            Whether missing and unexpected keys are errors.  Wrong shapes always are.

        Returns
        -------
        IncompatibleKeys
            Named tuple ``(missing_keys, unexpected_keys)``.

        Raises
        ------
        StateDictError
            Listing everything that does not fit, with the nearest names.  The model is unchanged.

        Examples
        --------
        >>> from tinygrad_adam import nn
        >>> source, target = nn.Linear(3, 2), nn.Linear(3, 2)
        >>> target.load_state_dict(source.state_dict())
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        """
        return load_tensors(type(self).__name__, dict(self._named_state()), state_dict, strict)

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._named_tree(""):
            for name, param in module._own("parameter"):
                yield _join(path, name), param
            for name, buffer in module._own("buffer"):
                if name not in module._non_persistent:
                    yield _join(path, name), buffer

    # --- modes and gradients --------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it in training mode (or, with False, in evaluation mode).

        Parameters
        ----------
        mode : bool, default True
            The value `training` gets.

        Raises
        ------
        ArgumentError
            If `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ArgumentError(f"{type(self).__name__}.train: mode is a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all below it in evaluation mode: dropout does nothing."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze (True) all parameters."""
        for param in self.parameters():
            param.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all parameters' gradients, or with ``set_to_none=False`` fill them with zeros."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                with device_guard(param.grad.data):
                    param.grad.data[...] = 0
                changed(param.grad)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below and then on this one.

        Examples
        --------
        >>> from tinygrad_adam import nn
        >>> def start_at_zero(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.zeros_(module.bias)
        >>> net = nn.Sequential(nn.Linear(3, 2)).apply(start_at_zero)
        >>> net[0].bias.tolist()
        [0.0, 0.0]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- device and dtype -----------------------------------------------------------------------

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters, buffers and their gradients to a device, a dtype or both, in place.

        The `Parameter` objects stay the same, so an optimiser that holds them goes on working;
        their arrays are replaced.  Only floating-point tensors change dtype.

        Parameters
        ----------
        *args : device name, dtype or Tensor
            What to become, or what to become like.
        device, dtype
            The same by name; the dtype is floating point.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        DeviceError
            If there is no such device.
        DTypeError
            If an argument is neither a device nor a floating-point dtype.  In either case nothing
            has changed.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> tg.nn.Linear(3, 2).to(tg.float64).weight.dtype
        dtype('float64')
        """
        dtype, target = destination(args, dtype, device)
        kind = None if dtype is None else float_type(f"{type(self).__name__}.to", dtype)
        tensors: list[Tensor] = [*self.parameters(), *self.buffers()]
        tensors += [tensor.grad for tensor in tensors if tensor.grad is not None]
        # All new arrays exist before the first is put in place: a full GPU changes nothing.
        moved = [_move(tensor.data, target, kind) for tensor in tensors]
        for tensor, array in zip(tensors, moved, strict=True):
            if array is not tensor.data:
                tensor.data = array
        return self

    def cpu(self) -> Self:
        """Move everything to the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | str | Device | None = None) -> Self:
        """Move everything to a GPU, the first by default."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def float(self) -> Self:
        """Convert everything floating-point to float32."""
        return self.to(dtype=np.float32)

    def double(self) -> Self:
        """Convert everything floating-point to float64."""
        return self.to(dtype=np.float64)

    # --- printing -------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the settings to print between the parentheses; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        own = list(self._own("parameter"))
        shapes = ", ".join(f"{name} {tuple(param.shape)}" for name, param in own)
        note = f"  # {shapes}: {_count(param for _, param in own)}" if own else ""
        extra = self.extra_repr()
        children = [name for name, kind in self._members.items() if kind == "module"]
        if not children:
            return f"{type(self).__name__}({extra}){note}"
        lines = [extra] if extra else []
        lines += [f"({name}): {self.__dict__[name]!r}" for name in children]
        body = "\n".join(lines).replace("\n", "\n  ")
        total = _count(self.parameters())
        return f"{type(self).__name__}({note}\n  {body}\n)  # total: {total}"


_KINDS: dict[str, type] = {"parameter": Parameter, "buffer": Tensor, "module": Module}


def _once(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Yield each object under the first of its names."""
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _move(array: Array, device: Device | None, dtype: np.dtype[Any] | None) -> Array:
    with device_guard(array):
        if dtype is not None and array.dtype.kind == "f":
            array = array.astype(dtype, copy=False)
    return array if device is None else to_device(array, device)


def _count(params: Iterable[Parameter]) -> str:
    sizes = [(param.numel(), param.requires_grad) for param in params]
    total = sum(size for size, _ in sizes)
    frozen = sum(size for size, learned in sizes if not learned)
    words = f"{total:,} parameter" + ("" if total == 1 else "s")
    return f"{words} ({frozen:,} frozen)" if frozen else words
