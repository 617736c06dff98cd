"""The calling style ``params = optimizer.update(params, grads)`` on plain arrays.

No tensors and no autograd: bring your own gradients.  The rules are those of
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

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .device import Array, device_of
from .errors import ArgumentError, DeviceError, DTypeError, ShapeError
from .optim import schedules
from .optim.adam import AdamNumbers, AdamVariant, adam_numbers, adam_rule
from .optim.executor import CLEAN_EVERY, Executor, Task, zero_state
from .optim.rmsprop import RMSpropNumbers, RMSpropVariant, rmsprop_rule
from .optim.settings import number
from .optim.sgd import SGDNumbers, SGDVariant, sgd_rule

__all__ = ["SGD", "Adam", "AdamWithDecay", "ArrayOptimizer", "RMSprop"]

# Most settings may be anything from 0 up; these must stay below 1.
_BELOW_ONE = {"beta1", "beta2", "alpha"}


class _Record:
    """What is kept for one array.

    Attributes
    ----------
    array : array
        The array as it was first mentioned.
    view : array or None
        The same place in the array that `array` was a view of.  Only copies need it: copying and
        pickling turn a view into an array by itself, but the next mention is a view again.
    state : dict
        The moments.
    t : int
        Updates so far.
    """

    __slots__ = ("array", "state", "t", "view")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.view: Array | None = None
        self.state: dict[str, Any] = {}
        self.t = 0

    def __getstate__(self) -> tuple[Any, ...]:
        place = _place(self.array if self.view is None else self.view)
        return self.array, place, self.state, self.t

    def __setstate__(self, saved: tuple[Any, ...]) -> None:
        self.array, place, self.state, self.t = saved
        self.view = None if place is None else _view(*place)


class ArrayOptimizer:
    """Base class: finds the state of an array, checks the gradient, and runs the rule.

    Settings are plain attributes, read at every update.  ``t`` and the moments are those of the
    array that was updated last, which is the only one if, as usual, there is one per optimiser.
    """

    _rule: ClassVar[staticmethod[[Array, Array, Sequence[Array], Array, Any, Any], None]]
    _settings: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self._executor = Executor()
        self._by_memory: dict[tuple[Any, ...], _Record] = {}
        self._by_id: dict[int, _Record] = {}
        self._last: _Record | None = None
        self._valid: tuple[Any, ...] = ()
        self._check_settings()

    def __getstate__(self) -> dict[str, Any]:
        saved = self.__dict__.copy()
        # Identities and addresses mean nothing in a copy, and scratch memory is not worth one.
        for name in ("_executor", "_by_memory", "_by_id"):
            del saved[name]
        return {**saved, "_records": list(self._by_id.values())}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self._executor, self._by_memory, self._by_id = Executor(), {}, {}
        for record in self.__dict__.pop("_records"):
            self._register(record)

    def _names(self) -> tuple[str, ...]:
        """Return what the state arrays of the rule are called."""
        raise NotImplementedError

    def _numbers(self, t: int) -> Any:
        """Return the numbers of an array's `t`-th update, counted from 1."""
        raise NotImplementedError

    def _variant(self, first: bool) -> Any:
        """Return which variant of the rule to follow; `first` if the state is empty."""
        raise NotImplementedError

    @property
    def t(self) -> int:
        """How many updates the array that was updated last has had; 0 before the first."""
        return 0 if self._last is None else self._last.t

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
        self._check_settings()
        grads = _checked(params, grads)
        record = self._record(params)
        state, names = record.state, self._names()
        first = len(state) < len(names)
        if first:
            state = {name: state[name] if name in state else zero_state(params) for name in names}
        step = record.t + 1
        numbers, how = self._numbers(step), self._variant(first)
        clean = step % CLEAN_EVERY == 0 and numbers.may_clean
        task = Task(self._rule, numbers, how, names, clean=clean)
        self._executor.run(task, [params], [grads], [state])
        record.state = state
        record.t = step
        self._last = record
        if record.t == 1:
            self._register(record)
        return params

    def _register(self, record: _Record) -> None:
        self._by_id[id(record.array)] = record
        for array in (record.view, record.array):
            if array is not None:
                self._by_memory[_memory(array)] = record

    def _record(self, params: Array) -> _Record:
        record = self._by_id.get(id(params))
        if record is None or record.array is not params:
            return self._by_memory.get(_memory(params)) or _Record(params)
        for value in record.state.values():
            if value.shape != params.shape:
                raise ShapeError(
                    f"{type(self).__name__}.update: params had shape {value.shape} at its last "
                    f"update and has {params.shape} now; use a new array for a new shape"
                )
        return record

    def _check_settings(self) -> None:
        values = tuple(getattr(self, name) for name in self._settings)
        try:
            unchanged = values == self._valid
        except ValueError:  # an array among them is neither equal nor not
            unchanged = False
        if not unchanged:
            for name in self._settings:
                below = 1.0 if name in _BELOW_ONE else None
                number(name, getattr(self, name), below=below)
            self._valid = values


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

    _rule = staticmethod(adam_rule)
    _settings: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "beta1",
        "beta2",
        "epsilon",
        "epsilon_root",
    )

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        epsilon_root: float = 0.0,
    ) -> None:
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.epsilon_root = epsilon_root
        super().__init__()

    @property
    def m(self) -> Array | None:
        """First moment of the array that was updated last; None before the first update."""
        return None if self._last is None else self._last.state["exp_avg"]

    @property
    def v(self) -> Array | None:
        """Second moment of the array that was updated last; None before the first update."""
        return None if self._last is None else self._last.state["exp_avg_sq"]

    def _names(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _variant(self, first: bool) -> AdamVariant:
        return AdamVariant(eps_root=bool(self.epsilon_root))

    def _numbers(self, t: int) -> AdamNumbers:
        betas = (self.beta1, self.beta2)
        return adam_numbers(t, self.learning_rate, betas, self.epsilon, self.epsilon_root)


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

    _settings: ClassVar[tuple[str, ...]] = (*Adam._settings, "initial_learning_rate", "decay_rate")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        decay_rate: float = 0.95,
        *,
        epsilon_root: float = 0.0,
    ) -> None:
        self.initial_learning_rate = learning_rate
        self.decay_rate = decay_rate
        super().__init__(learning_rate, beta1, beta2, epsilon, epsilon_root=epsilon_root)

    def _check_settings(self) -> None:
        super()._check_settings()
        schedules.exponential(self.initial_learning_rate, self.decay_rate, 1000)

    def _numbers(self, t: int) -> AdamNumbers:
        schedule = schedules.exponential(self.initial_learning_rate, self.decay_rate, 1000)
        self.learning_rate = schedule(t - 1)
        return super()._numbers(t)


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

    _rule = staticmethod(sgd_rule)
    _settings: ClassVar[tuple[str, ...]] = ("learning_rate", "momentum")

    def __init__(self, learning_rate: float = 0.001, momentum: float = 0.0) -> None:
        self.learning_rate = learning_rate
        self.momentum = momentum
        super().__init__()

    def _names(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _variant(self, first: bool) -> SGDVariant:
        return SGDVariant(first=first)

    def _numbers(self, t: int) -> SGDNumbers:
        return SGDNumbers(self.learning_rate, self.momentum)


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

    _rule = staticmethod(rmsprop_rule)
    _settings: ClassVar[tuple[str, ...]] = ("learning_rate", "alpha", "epsilon")

    def __init__(
        self, learning_rate: float = 0.01, alpha: float = 0.99, epsilon: float = 1e-8
    ) -> None:
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.epsilon = epsilon
        super().__init__()

    def _names(self) -> tuple[str, ...]:
        return ("square_avg",)

    def _variant(self, first: bool) -> RMSpropVariant:
        return RMSpropVariant()

    def _numbers(self, t: int) -> RMSpropNumbers:
        return RMSpropNumbers(self.learning_rate, self.alpha, 1.0 - self.alpha, self.epsilon)


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


def _checked(params: Any, grads: Any) -> Array:
    """Return the gradient in the shape of `params`, if the two go together."""
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
    if params.dtype != grads.dtype:
        raise DTypeError(f"update: params is {params.dtype} but grads {grads.dtype}")
    if params.shape != grads.shape and not params.size == grads.size == 1:
        raise ShapeError(f"update: params has shape {params.shape} but grads {grads.shape}")
    if device_of(params) != device_of(grads):
        raise DeviceError(
            f"update: params is on {device_of(params)} but grads on {device_of(grads)}"
        )
    if isinstance(params, np.ndarray) and not params.flags.writeable:
        raise ArgumentError("update: params is read-only, and would be updated in place")
    return grads if grads.shape == params.shape else grads.reshape(params.shape)
