"""Running one update rule over many arrays, fast.

A rule (:data:`Rule`) is written once, for one array.  What is slow about calling it for every
parameter is not its arithmetic: for large arrays it is memory that does not fit the cache, for
small ones the dozen calls into NumPy.  So

* large arrays are cut into chunks whose five operands stay in the cache together;
* small arrays are gathered into one buffer, updated by one call, and scattered back.  Their state
  lives in that buffer for good: the arrays in ``optimizer.state`` become views of it.

Rules are elementwise, so both give the bits that one call per array gives.

A moment whose gradient has become zero (a dead unit, a pixel that is always black) fades until it
is subnormal, and stays so: ``0.9 * 1e-45`` rounds to ``1e-45``.  Processors take some hundred
cycles for each such number - after a thousand steps of a ConvNet, Adam took four times as long -
so they are set to zero from time to time, unless a second moment of that size matters because the
epsilon beside it is as small.  GPUs do not mind them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from ..device import Array, array_module, device_guard, device_of

__all__ = [
    "CLEAN_EVERY",
    "Executor",
    "Rule",
    "Task",
    "covers_subnormals",
    "state_dtype",
    "zero_state",
]

# rule(p, g, state, s, c, how): update `p` and the arrays in `state` in place from the gradient `g`,
# which it only reads; `s` is scratch of the same shape.  `c` is a named tuple of this step's
# numbers, `how` says which of its variants the rule is to follow.
Rule = Callable[[Array, Array, Sequence[Array], Array, Any, Any], None]

# Parameter, gradient, two moments and scratch together fill about a core's level 2 cache.
CHUNK_BYTES = 256 * 1024
# Above this many elements, copying costs more than the calls it saves.
SMALL = 8192
# NumPy's own arrays start 16 bytes into such a line, so that each vector is stored to two of them:
# `np.multiply(a, b, out)` then takes up to twice as long.
CACHE_LINE = 64
# Updates from one removal of subnormal moments to the next: often enough for few to gather, seldom
# enough for its six passes to be lost among the updates' own.
CLEAN_EVERY = 32


def state_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type to keep moments in, and to compute in: float32 or wider.

    In float16 the usual ``eps`` of 1e-8 is 0, and so is the square of a gradient of 1e-4.
    """
    return np.dtype(np.float32) if dtype == np.float16 else np.dtype(dtype)


def zero_state(param: Array) -> Array:
    """Return zeros of the shape and device of `param`, in its state type."""
    with device_guard(param):
        return array_module(param).zeros(param.shape, state_dtype(param.dtype))


def covers_subnormals(eps: float, eps_root: float) -> bool:
    """Whether ``sqrt(v + eps_root) + eps`` is the same for all subnormal `v`, in float32 too."""
    return max(eps, math.sqrt(eps_root)) > 1e-11


def _bounds(array: Array) -> tuple[int, int]:
    """Return the addresses between which the elements of `array` lie."""
    start = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    spans = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low = start + sum(span for span in spans if span < 0)
    return low, start + sum(span for span in spans if span > 0) + array.itemsize


def _overlap(arrays: Sequence[Array]) -> bool:
    """Whether two of `arrays` may share memory."""
    bounds = sorted(_bounds(a) for a in arrays if a.size)
    return any(after[0] < before[1] for before, after in itertools.pairwise(bounds))


class _Buffer:
    """A flat array that grows on demand, handed out in the shapes asked for."""

    __slots__ = ("_flat", "_views", "_xp")

    def __init__(self, xp: Any, dtype: np.dtype[Any]) -> None:
        self._xp = xp
        self._flat = xp.empty(0, dtype)
        self._views: dict[tuple[int, ...], Array] = {}

    def view(self, shape: tuple[int, ...]) -> Array:
        """Return a contiguous array of `shape`; its contents are arbitrary."""
        found = self._views.get(shape)
        if found is None:
            size = int(np.prod(shape, dtype=np.int64))
            if size > self._flat.size:
                self._flat = self._allocate(size)
                self._views.clear()
            found = self._views[shape] = self._flat[:size].reshape(shape)
        return found

    def _allocate(self, size: int) -> Array:
        dtype = self._flat.dtype
        if self._xp is not np:
            return self._xp.empty(size, dtype)
        memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
        start = -memory.ctypes.data % CACHE_LINE
        return memory[start : start + size * dtype.itemsize].view(dtype)


class Task(NamedTuple):
    """What to do to every array of one call of `Executor.run`.

    Attributes
    ----------
    rule : Rule
        What to do to one array.
    numbers : tuple of float
        What `rule` gets as `c`.
    how : object
        What `rule` gets as `how`.
    names : tuple of str
        The keys, in a state, of the arrays that `rule` takes.
    weight_decay : float
        ``weight_decay * p`` is added to the gradient.
    maximize : bool
        Negate the gradient first.
    clean : bool
        Set subnormal numbers in the state to zero afterwards.
    """

    rule: Rule
    numbers: Any
    how: Any
    names: tuple[str, ...]
    weight_decay: float = 0.0
    maximize: bool = False
    clean: bool = False


class _Workspace:
    """The scratch memory for parameters of one type on one device."""

    __slots__ = ("_constants", "_normal", "chunk", "dtype", "g", "narrow", "p", "s", "xp")

    def __init__(self, param: Array) -> None:
        self.xp = array_module(param)
        self.dtype = state_dtype(param.dtype)
        self.narrow = bool(param.dtype != self.dtype)
        # A GPU gains nothing from chunks: each would be a dozen more kernels to start.
        self.chunk = CHUNK_BYTES // self.dtype.itemsize if self.xp is np else None
        self.p = _Buffer(self.xp, self.dtype)
        self.g = _Buffer(self.xp, self.dtype)
        self.s = _Buffer(self.xp, self.dtype)
        self._normal = np.finfo(self.dtype).smallest_normal
        self._constants: dict[type, tuple[Array, Any]] = {}

    def constants(self, numbers: Any) -> Any:
        """Return `numbers` in the form that the array module takes fastest.

        For NumPy those are 0-d arrays: a Python float costs it half a microsecond more.
        """
        if self.xp is not np:
            return numbers
        kind = type(numbers)
        found = self._constants.get(kind)
        if found is None:
            flat = np.zeros(len(numbers), self.dtype)
            views = kind._make(flat[i : i + 1].reshape(()) for i in range(len(numbers)))
            found = self._constants[kind] = flat, views
        found[0][...] = numbers
        return found[1]

    def update(self, task: Task, c: Any, p: Array, g: Array, state: Sequence[Array]) -> None:
        """Update one array that needs no cutting."""
        shape = p.shape
        target = p
        if self.narrow:
            target, wide = self.p.view(shape), self.g.view(shape)
            target[...] = p
            wide[...] = g
            g = wide
        if task.weight_decay or task.maximize:
            g = self.objective_gradient(task, target, g, self.g.view(shape))
        s = self.s.view(shape)
        task.rule(target, g, state, s, c, task.how)
        if task.clean:
            self.clean(state, s)
        if self.narrow:
            p[...] = target

    def clean(self, state: Sequence[Array], s: Array) -> None:
        """Set the subnormal numbers in `state` to zero; `s` is scratch."""
        if self.xp is np:
            for moment in state:
                np.copyto(moment, 0.0, where=np.absolute(moment, out=s) < self._normal)

    def objective_gradient(self, task: Task, p: Array, g: Array, out: Array) -> Array:
        """Write the gradient of what is minimised, L2 penalty included, to `out` (may be `g`)."""
        xp = self.xp
        if task.maximize:
            g = xp.negative(g, out=out)
        if task.weight_decay:
            penalty = xp.multiply(p, task.weight_decay, out=self.s.view(p.shape))
            xp.add(g, penalty, out=out)
        return out

    def update_large(self, task: Task, c: Any, p: Array, g: Array, state: Sequence[Array]) -> None:
        """Update chunk by chunk: over the flat memory if there is one, else over rows."""
        assert self.chunk is not None
        if all(a.flags.c_contiguous for a in (p, g, *state)):
            p, g = p.reshape(-1), g.reshape(-1)
            state = [a.reshape(-1) for a in state]
        rows = max(1, self.chunk * len(p) // p.size)
        for start in range(0, len(p), rows):
            part = slice(start, start + rows)
            self.update(task, c, p[part], g[part], [a[part] for a in state])


class _Bucket:
    """Small parameters side by side: their state is here, their values visit for each update."""

    __slots__ = (
        "_g",
        "_g_views",
        "_names",
        "_p",
        "_p_views",
        "_params",
        "_state",
        "_state_views",
        "_work",
    )

    def __init__(
        self,
        work: _Workspace,
        names: tuple[str, ...],
        params: Sequence[Array],
        states: Sequence[dict[str, Any]],
    ) -> None:
        self._work = work
        self._names, self._params = names, list(params)
        total = sum(p.size for p in params)
        self._p, self._g = work.p.view((total,)), work.g.view((total,))
        self._state = [work.xp.empty(total, work.dtype) for _ in names]
        self._p_views: list[Array] = []
        self._g_views: list[Array] = []
        self._state_views: list[Array] = []
        end = 0
        for p, state in zip(params, states, strict=True):
            start, end = end, end + p.size

            def mine(flat: Array, a: int = start, b: int = end, p: Array = p) -> Array:
                return flat[a:b].reshape(p.shape)

            self._p_views.append(mine(self._p))
            self._g_views.append(mine(self._g))
            for name, view in zip(names, map(mine, self._state), strict=True):
                view[...] = state[name]
                state[name] = view
                self._state_views.append(view)

    def __len__(self) -> int:
        return len(self._params)

    def holds(
        self, names: tuple[str, ...], params: Sequence[Array], states: Sequence[dict[str, Any]]
    ) -> bool:
        """Whether `params` begins with the members, and their state is still here."""
        count = len(self._params)
        if names != self._names or len(params) < count or not all(map(is_, self._params, params)):
            return False
        here = [state[name] for state in states[:count] for name in names]
        return all(map(is_, self._state_views, here))

    def has(self, param: Array) -> bool:
        """Whether `param` is a member."""
        return any(member is param for member in self._params)

    def update(self, task: Task, grads: Sequence[Array]) -> None:
        """Update the members, given their gradients."""
        if self._work.xp is np:
            self._update(task, grads)
        else:
            with device_guard(self._p):
                self._update(task, grads)

    def _update(self, task: Task, grads: Sequence[Array]) -> None:
        p, g, work = self._p, self._g, self._work
        for view, param in zip(self._p_views, self._params, strict=True):
            view[...] = param
        for view, grad in zip(self._g_views, grads, strict=True):
            view[...] = grad
        if task.weight_decay or task.maximize:
            work.objective_gradient(task, p, g, g)
        c = work.constants(task.numbers)
        s = work.s.view(p.shape)
        task.rule(p, g, self._state, s, c, task.how)
        if task.clean:
            work.clean(self._state, s)
        for view, param in zip(self._p_views, self._params, strict=True):
            param[...] = view


class Executor:
    """Applies update rules, keeping scratch memory and the buffers of small parameters.

    Copies and pickles of it are empty: what it holds can be made again.
    """

    def __init__(self) -> None:
        self._workspaces: dict[Any, _Workspace] = {}
        self._buckets: dict[int, _Bucket] = {}
        self._candidates: dict[int, list[int]] = {}

    def __reduce__(self) -> tuple[type[Executor], tuple[()]]:
        return Executor, ()

    def run(
        self,
        task: Task,
        params: Sequence[Array],
        grads: Sequence[Array],
        states: Sequence[dict[str, Any]],
    ) -> None:
        """Update `params` and their state in place.

        Parameters
        ----------
        task : Task
            What to do.
        params, grads : sequence of arrays
            Of equal shape and type, pair by pair; gradients are only read.
        states : sequence of dict
            Per parameter; small ones may have their arrays replaced by equal ones.
        """
        small: list[int] = []
        for i, p in enumerate(params):
            if p.size <= SMALL:
                small.append(i)
            else:
                self._update(task, p, grads[i], states[i])
        if len(small) < len(params):
            params = [params[i] for i in small]
            grads = [grads[i] for i in small]
            states = [states[i] for i in small]
        start, loose = 0, []
        while start < len(params):
            bucket = self._buckets.get(id(params[start]))
            if bucket is not None and bucket.holds(task.names, params[start:], states[start:]):
                end = start + len(bucket)
                bucket.update(task, grads[start:end])
            else:
                end = start + 1
                loose.append(start)
                self._update(task, params[start], grads[start], states[start])
            start = end
        if len(loose) > 1:
            self._consider(task.names, [params[i] for i in loose], [states[i] for i in loose])

    def forget(self, param: Array) -> None:
        """Release the buffer that `param` is in, if any; the state stays in `states`."""
        for key, bucket in list(self._buckets.items()):
            if bucket.has(param):
                del self._buckets[key]

    def _update(self, task: Task, p: Array, g: Array, state: dict[str, Any]) -> None:
        work = self._workspace(p)
        c = work.constants(task.numbers)
        arrays = [state[name] for name in task.names]
        update = work.update
        if work.chunk is not None and p.size > work.chunk:
            update = work.update_large
        if work.xp is np:
            update(task, c, p, g, arrays)
        else:
            with device_guard(p):
                update(task, c, p, g, arrays)

    def _consider(
        self, names: tuple[str, ...], params: Sequence[Array], states: Sequence[dict[str, Any]]
    ) -> None:
        """Put parameters that came together twice into buckets."""
        key, signature = id(params[0]), [id(p) for p in params]
        if self._candidates.get(key) != signature:
            self._candidates[key] = signature
            return
        del self._candidates[key]
        if _overlap(params):  # each must see what the one before it left
            return
        start = 0
        while start < len(params):
            work = self._workspace(params[start])
            end, total = start, 0
            while end < len(params) and self._workspace(params[end]) is work:
                total += params[end].size
                if total * work.dtype.itemsize > CHUNK_BYTES:
                    break
                end += 1
            if end - start > 1:
                with device_guard(params[start]):
                    self._buckets[id(params[start])] = _Bucket(
                        work, names, params[start:end], states[start:end]
                    )
            start = max(end, start + 1)

    def _workspace(self, param: Array) -> _Workspace:
        key = param.dtype if type(param) is np.ndarray else (param.dtype, device_of(param))
        found = self._workspaces.get(key)
        if found is None:
            with device_guard(param):
                found = self._workspaces[key] = _Workspace(param)
        return found
