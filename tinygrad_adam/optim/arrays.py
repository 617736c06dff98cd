"""Optimisers of plain arrays, called as ``params = optimizer.update(params, grads)``.

No tensors and no autograd: bring your own gradients.  Under each array lies an optimiser of
:mod:`tinygrad_adam.optim`, which is what new code should use.

An optimiser here may serve any number of arrays, each with moments and a step count of its own.  An
array is recognised by the memory it lies in, so updating ``w[0]`` and ``w[1]`` works although each
mention of them makes a new array object.  The optimiser keeps the arrays alive.

An optimiser is copied or pickled together with its arrays, as any two things that refer to each
other are: ``optimizer, w = copy.deepcopy((optimizer, w))``.  To a copy of itself alone, arrays
outside are new.

Examples
--------
>>> import numpy as np
>>> weights, bias = np.ones((2, 1)), np.zeros(1)
>>> optimizer = Adam(learning_rate=0.1)
>>> same = optimizer.update(weights, 2 * weights)
>>> same is weights
True
>>> optimizer.update(bias, np.ones(1)).round(3).tolist()
[-0.1]
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Signature
from operator import is_
from typing import Any, ClassVar, Self

import numpy as np

from ..device import Array, device_of
from ..errors import DTypeError
from ..tensor import Tensor
from . import adam, rmsprop, sgd
from .optimizer import Optimizer
from .schedules import Exponential
from .settings import Number, Setting, bound, checked, signature

__all__ = ["SGD", "Adam", "AdamWithDecay", "ArrayOptimizer", "RMSprop"]

# Where the optimisers under the arrays have other names for a setting.
_NAMES = {"learning_rate": "lr", "epsilon": "eps", "epsilon_root": "eps_root"}


class _Record:
    """An array, and the optimiser under it.

    Attributes
    ----------
    array : array
        The array as it was first mentioned.
    view : array
        The same, but after copying: then the same place in the copy of the array that it was a
        view of.  Copying and pickling turn a view into an array by itself, but the next mention of
        it is a view again.
    settings : tuple or None
        The settings that the optimiser has been given.
    """

    __slots__ = ("array", "optimizer", "settings", "tensor", "view")

    def __init__(self, array: Array, kind: type[Optimizer]) -> None:
        self.array = self.view = array
        self.tensor = Tensor(array)
        self.optimizer = kind([self.tensor])
        self.settings: tuple[Any, ...] | None = None

    @property
    def group(self) -> dict[str, Any]:
        return self.optimizer.param_groups[0]


class ArrayOptimizer:
    """Base class: finds the optimiser of an array, and hands settings and gradient to it.

    Settings are plain attributes, read at every update.  ``t`` and the moments are those of the
    array that was updated last, which is the only one if, as usual, there is one per optimiser.
    """

    settings: ClassVar[Mapping[str, Setting]]
    _under: ClassVar[type[Optimizer]]
    __signature__: ClassVar[Signature | None]

    def __init_subclass__(cls) -> None:
        cls.__signature__ = None if "__init__" in vars(cls) else signature(cls.settings)

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._by_memory: dict[tuple[Any, ...], _Record] = {}
        self._by_id: dict[int, _Record] = {}
        self._last: _Record | None = None
        self._valid: tuple[Any, ...] = ()
        given = bound(self.settings, args, settings)
        for name, value in checked(self.settings, given).items():
            setattr(self, name, value)

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        saved, records = self.__dict__.copy(), list(self._by_id.values())
        # Identities and addresses mean nothing in a copy.
        for name in ("_by_memory", "_by_id"):
            del saved[name]
        saved["_last"] = None if self._last is None else records.index(self._last)
        saved["_records"] = [(r.array, _place(r.view), r.optimizer.state_dict()) for r in records]
        return saved

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved, _by_memory={}, _by_id={})
        records = []
        for array, place, state_dict in self.__dict__.pop("_records"):
            record = _Record(array, self._under)
            record.optimizer.load_state_dict(state_dict)
            record.view = array if place is None else _view(*place)
            records.append(record)
            self._register(record)
        self._last = None if saved["_last"] is None else records[saved["_last"]]

    def _group(self) -> dict[str, Any]:
        """Return the settings, by the names that the optimiser under an array has for them."""
        return {_NAMES.get(name, name): getattr(self, name) for name in self.settings}

    @property
    def t(self) -> int:
        """How many updates the array that was updated last has had; 0 before the first."""
        return 0 if self._last is None else self._last.group["updates"]

    def _moment(self, name: str) -> Array | None:
        return None if self._last is None else self._last.optimizer.state[self._last.tensor][name]

    def update(self, params: Array, grads: Array) -> Array:
        """Update `params` in place.

        Parameters
        ----------
        params : array
            NumPy or CuPy, floating point.
        grads : array
            The gradient: same shape (or also a single number), type and device.

        Returns
        -------
        array
            `params` itself.

        Raises
        ------
        DTypeError, ShapeError, DeviceError
            If the two do not go together; nothing has been changed then.
        ArgumentError
            If `params` is read-only, or a setting was changed to something out of range.
        """
        grads = _read(params, grads)
        values = tuple(getattr(self, name) for name in self.settings)
        if len(values) != len(self._valid) or not all(map(is_, values, self._valid)):
            checked(self.settings, dict(zip(self.settings, values, strict=True)))
            self._valid = values
        record = self._by_id.get(id(params)) or self._by_memory.get(_memory(params))
        record = record or _Record(params, self._under)
        if record.settings is not self._valid:
            record.group.update(self._group())
            record.settings = self._valid
        if record.tensor.data is not params:
            record.tensor.data = params
        record.tensor._grad = Tensor(grads)  # which `step` checks
        record.optimizer.step()
        record.tensor.grad = None
        self._last = record
        if self.t == 1:
            self._register(record)
        return params

    def _register(self, record: _Record) -> None:
        self._by_id[id(record.array)] = record
        for array in (record.view, record.array):
            self._by_memory[_memory(array)] = record


class Adam(ArrayOptimizer):
    """Adam on plain arrays; :class:`tinygrad_adam.optim.Adam` gives the formula.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step size.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay rates of the two moments.
    epsilon : float, default 1e-8
        Added outside the square root.
    epsilon_root : float, default 0
        Added inside the square root.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([1.0, -1.0])
    >>> optimizer = Adam()
    >>> optimizer.update(w, np.array([0.5, -20.0])).tolist()
    [0.999, -0.999]
    >>> optimizer.t
    1
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "learning_rate": Number(0.001),
        "beta1": Number(0.9, below=1.0),
        "beta2": Number(0.999, below=1.0),
        "epsilon": Number(1e-8),
        "epsilon_root": Number(0.0, kw_only=True),
    }
    _under = adam.Adam

    def _group(self) -> dict[str, Any]:
        group = super()._group()
        return group | {"betas": (group.pop("beta1"), group.pop("beta2"))}

    @property
    def m(self) -> Array | None:
        """First moment of the array that was updated last; None before the first update."""
        return self._moment("exp_avg")

    @property
    def v(self) -> Array | None:
        """Second moment of the array that was updated last; None before the first update."""
        return self._moment("exp_avg_sq")


class AdamWithDecay(Adam):
    """Adam whose learning rate falls by `decay_rate` every 1000 updates of an array.

    The `t`-th update of an array, counted from 1, uses
    ``initial_learning_rate * decay_rate ** ((t - 1) / 1000)`` and leaves that number in
    ``learning_rate``.  (A subclass of :class:`Adam` that computes it from ``self.t`` before calling
    ``update`` does the same for one array; with several it reads the count of another one.)

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, epsilon_root
        As for :class:`Adam`; `learning_rate` is that of the first update.
    decay_rate : float, default 0.95
        Positive.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer, w = AdamWithDecay(decay_rate=0.5), np.zeros(1)
    >>> for _ in range(1001):
    ...     w = optimizer.update(w, np.ones(1))
    >>> optimizer.learning_rate
    0.0005
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        **Adam.settings,
        "decay_rate": Number(0.95, above=0.0),
    }
    initial_learning_rate: float
    decay_rate: float

    @property
    def _schedule(self) -> Exponential:
        return Exponential(self.initial_learning_rate, self.decay_rate, 1000)

    @property
    def learning_rate(self) -> float:
        """The rate of the last update, or of the first; setting it sets that of the first."""
        return self._schedule(max(self.t - 1, 0))

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.initial_learning_rate = value

    def _group(self) -> dict[str, Any]:
        group = super()._group() | {"lr": self._schedule}
        del group["decay_rate"]
        return group


class SGD(ArrayOptimizer):
    """Gradient descent on plain arrays; :class:`tinygrad_adam.optim.SGD` gives the formula.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step size.
    momentum : float, default 0
        Heavy ball momentum.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> SGD(learning_rate=0.5).update(np.array([1.0]), np.array([1.0])).tolist()
    [0.5]
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "learning_rate": Number(0.001),
        "momentum": Number(0.0),
    }
    _under = sgd.SGD


class RMSprop(ArrayOptimizer):
    """RMSprop on plain arrays; :class:`tinygrad_adam.optim.RMSprop` gives the formula.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step size.
    alpha : float, default 0.99
        Decay rate of the mean square.
    epsilon : float, default 1e-8
        Added outside the square root.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> RMSprop().update(np.array([1.0]), np.array([3.0])).round(6).tolist()
    [0.9]
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        "learning_rate": Number(0.01),
        "alpha": Number(0.99, below=1.0),
        "epsilon": Number(1e-8),
    }
    _under = rmsprop.RMSprop


def _memory(array: Array) -> tuple[Any, ...]:
    """Return what two array objects have in common when they are the same elements."""
    start = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return start, array.shape, array.strides, array.dtype, device_of(array)


def _place(view: Array) -> tuple[Any, ...] | None:
    """Return where in another NumPy array `view` lies: that array, the offset, and the layout."""
    owner = view.base if isinstance(view, np.ndarray) else None
    if not isinstance(owner, np.ndarray) or not owner.flags.forc:
        return None
    return owner, view.ctypes.data - owner.ctypes.data, view.shape, view.strides, view.dtype


def _view(
    owner: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any
) -> Array:
    """Return the array at that place, as `_place` gave it."""
    memory = owner.reshape(-1, order="A").view(np.uint8)
    return np.ndarray(shape, dtype, memory, offset, strides)


def _read(params: Any, grads: Any) -> Array:
    """Return the gradient in the shape of `params`, if the two are arrays to optimise with."""
    for name, value in (("params", params), ("grads", grads)):
        known = isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")
        if not known and not (name == "grads" and isinstance(value, np.generic)):
            raise DTypeError(
                f"update: {name} must be a NumPy or CuPy array, got {type(value).__name__}"
            )
    if params.dtype.kind != "f":
        raise DTypeError(
            f"update: params has dtype {params.dtype}, but small steps need floating point; "
            "convert it once with .astype(float)"
        )
    return grads.reshape(params.shape) if grads.size == params.size == 1 else grads
