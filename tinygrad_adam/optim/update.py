"""Running one update rule over many arrays, fast.

A rule is written once, for one array, in whole-array operations::

    @elementwise("momentum")
    def momentum_rule(p, g, state, s, c, n): ...

It updates `p` and the arrays in `state` in place from the gradient `g`, which it only reads; `s` is
scratch of the same shape.  `n` is a named tuple with the numbers and choices of this step, `c` the
same in the form that the array module computes with fastest (0-d arrays for NumPy), so `n` is for
``if`` and `c` for arithmetic.  Every such tuple has the fields `penalty` and `maximize`: the rule
ignores them, its gradient being the one of ``penalty * p**2 / 2`` more, and negated if `maximize`.
If there are fields `eps` and `eps_root`, they are what is added outside and inside the root of a
second moment.

What is slow about calling a rule for every parameter is not its arithmetic: for large arrays it is
memory that does not fit the cache, for small ones the dozen calls into NumPy.  So

* large arrays are cut into chunks whose five operands stay in the cache together;
* small arrays are gathered into one buffer, updated by one call, and scattered back.  Their state
  lives in that buffer for good: the arrays in ``optimizer.state`` become views of it.

An elementwise rule gives the same bits either way.  A rule that is not (one that needs the norm of
the parameter, say, or its rows) is declared with ``@whole(name)`` and gets whole arrays.

**Compiled rules.**  ``faster("momentum", update=function)`` registers a faster version of a rule::

    function(p, g, state, c) -> None or NotImplemented

It does all that happens to one parameter in a step: `p`, `g` and the arrays in the tuple `state`
are one-dimensional, contiguous, of equal length and of one type, float32 or float64; `g` is to be
left as it is; `c` is a 1-d array of that type with the fields of `n` in their order (flags are 0
or 1), `penalty` and `maximize` among them, which it has to heed.  Which state there is tells the
variant (three arrays are AMSGrad).  It neither needs scratch nor has to remove subnormal numbers.
It may return NotImplemented, before it has changed anything, for what it does not serve; the other
parameters of the group are then left to the plain rule, in this step.

**Subnormal numbers.**  A moment whose gradient has become zero (a dead unit, a pixel that is always
black) fades until it is subnormal, and stays so: ``0.9 * 1e-45`` rounds to ``1e-45``.  Processors
take some hundred cycles for each such number - after a thousand steps of a ConvNet, Adam took four
times as long - so they are set to zero from time to time, unless a second moment of that size
matters because the epsilon beside it is as small.  GPUs do not mind them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from ..autograd.faster import versions
from ..device import Array, array_module, device_guard, device_of
from ..tensor import Tensor

__all__ = [
    "CLEAN_EVERY", "Executor", "Row", "Rule", "elementwise", "state_dtype", "whole", "zero_state",
]  # fmt: skip

# Parameter, gradient, two moments and scratch together fill about a core's level 2 cache.
CHUNK_BYTES = 256 * 1024
# Above this many elements, copying costs more than the calls it saves.
SMALL = 8192
# NumPy's own arrays start 16 bytes into such a line, so that each vector is stored to two of them:
# `np.multiply(a, b, out)` then takes up to twice as long on some processors.
CACHE_LINE = 64
# Updates from one removal of subnormal moments to the next: often enough for few to gather, seldom
# enough for its passes to be lost among the updates' own.
CLEAN_EVERY = 32


_Apply = Callable[[Array, Array, Sequence[Array], Array, Any, Any], None]


class Rule(NamedTuple):
    """An update rule.

    Attributes
    ----------
    name : str
        What its faster versions are registered under.
    apply : callable
        ``apply(p, g, state, s, c, n)``; see the head of this file.
    elementwise : bool
        Whether an element's new value depends on no other element.
    """

    name: str
    apply: _Apply
    elementwise: bool


def elementwise(name: str) -> Callable[[_Apply], Rule]:
    """Declare a rule that may be run on any part of the arrays, or on several joined."""
    return lambda apply: Rule(name, apply, True)


def whole(name: str) -> Callable[[_Apply], Rule]:
    """Declare a rule that must see each parameter's arrays whole and in their shape."""
    return lambda apply: Rule(name, apply, False)


def state_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type to keep moments in, and to compute in: float32 or wider.

    In float16 the usual ``eps`` of 1e-8 is 0, and so is the square of a gradient of 1e-4.
    """
    return np.dtype(np.float32) if dtype == np.float16 else np.dtype(dtype)


def zero_state(param: Array) -> Array:
    """Return zeros of the shape and device of `param`, in its state type."""
    with device_guard(param):
        zeros = _aligned(array_module(param), param.size, state_dtype(param.dtype))
        zeros[...] = 0
        return zeros.reshape(param.shape)


def _may_clean(n: Any) -> bool:
    """Whether ``sqrt(v + eps_root) + eps`` is one for all subnormal `v`, in float32 too."""
    return not hasattr(n, "eps") or max(n.eps, math.sqrt(n.eps_root)) > 1e-11


def _aligned(xp: Any, size: int, dtype: np.dtype[Any]) -> Array:
    """Return a flat array of arbitrary contents that begins at a cache line."""
    if xp is not np:
        return xp.empty(size, dtype)
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


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


class Row:
    """A parameter and the arrays of its state, which fit it: good while both are these objects.

    Attributes
    ----------
    tensor, array : Tensor, array
        The parameter, and its elements.
    names : tuple of str
        The keys of the state arrays that the rule takes.
    state : dict or None
        What ``optimizer.state`` has for the parameter.
    flat, flat_state : array or None, tuple of arrays
        Views of `array` and `arrays` as a compiled rule takes them; None if there are none.
    """

    __slots__ = ("_named", "array", "flat", "flat_state", "names", "shape", "state", "tensor")

    state: Any
    flat: Array | None
    flat_state: tuple[Array, ...]

    def __init__(self, tensor: Tensor, names: tuple[str, ...], state: dict[str, Any] | None):
        self.tensor, self.names, self.state = tensor, names, state
        self.array = tensor.data
        self.shape = self.array.shape
        self.take_arrays()

    def take_arrays(self) -> None:
        """Take the arrays that are now in `state`."""
        self._named = [(name, self.state[name]) for name in self.names]
        arrays = self.array, *self.arrays
        self.flat, self.flat_state = None, ()
        if (
            type(self.array) is np.ndarray
            and self.array.dtype in (np.float32, np.float64)
            and all(a.flags.c_contiguous for a in arrays)
        ):
            self.flat, *rest = [a.reshape(-1) for a in arrays]
            self.flat_state = tuple(rest)

    @property
    def arrays(self) -> list[Array]:
        """The arrays of the state that the rule takes."""
        return [array for _, array in self._named]

    def fits(self, array: Array, names: tuple[str, ...], state: Any) -> bool:
        """Whether the parameter and its state are still these objects."""
        if (
            array is not self.array
            or array.shape != self.shape
            or names is not self.names
            or state is not self.state
        ):
            return False
        for name, moment in self._named:  # noqa: SIM110  `all` takes twice as long
            if self.state.get(name) is not moment:
                return False
        return True


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
            size = math.prod(shape)
            if size > self._flat.size:
                self._flat = _aligned(self._xp, size, self._flat.dtype)
                self._views.clear()
            found = self._views[shape] = self._flat[:size].reshape(shape)
        return found


class _Step(NamedTuple):
    """What happens to every array of one call of `Executor.run`."""

    rule: Rule
    numbers: Any
    clean: bool


class _Workspace:
    """The scratch memory for parameters of one type on one device."""

    __slots__ = ("_latest", "_normal", "_numbers", "chunk", "dtype", "g", "narrow", "p", "s", "xp")

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
        self._numbers: dict[type, tuple[Array, Any, Struct]] = {}
        self._latest: tuple[Any, Any, Any] = None, None, None

    def constants(self, numbers: Any) -> tuple[Any, Any]:
        """Return `numbers` as one array, and in the form that the array module takes fastest.

        For NumPy those are 0-d arrays: a Python float costs it half a microsecond more.
        """
        if self.xp is not np:
            return numbers, numbers
        if numbers is self._latest[0]:
            return self._latest[1], self._latest[2]
        kind, count = type(numbers), len(numbers)
        found = self._numbers.get(kind)
        if found is None:
            flat = np.zeros(count, np.float32 if self.dtype == np.float32 else np.float64)
            views = kind._make(flat[i : i + 1].reshape(()) for i in range(count))
            found = self._numbers[kind] = flat, views, Struct(f"{count}{flat.dtype.char}")
        flat, views, layout = found
        memory: Any = flat
        layout.pack_into(memory, 0, *numbers)  # in half of NumPy's time, and silently
        self._latest = numbers, flat, views
        return flat, views

    def update(self, step: _Step, c: Any, p: Array, g: Array, state: Sequence[Array]) -> None:
        """Update one array that needs no cutting."""
        shape, n = p.shape, step.numbers
        target = p
        if self.narrow:
            target, wide = self.p.view(shape), self.g.view(shape)
            target[...] = p
            wide[...] = g
            g = wide
        if n.penalty or n.maximize:
            g = self.objective_gradient(n, target, g, self.g.view(shape))
        step.rule.apply(target, g, state, self.s.view(shape), c, n)
        if step.clean:
            self.clean(state)
        if self.narrow:
            p[...] = target

    def clean(self, state: Sequence[Array]) -> None:
        """Set the subnormal numbers in `state` to zero."""
        if self.xp is np:
            for a in state:
                size = np.absolute(a, out=self.s.view(a.shape))
                np.copyto(a, 0.0, where=size < self._normal)

    def clean_flat(self, state: Sequence[Array]) -> None:
        """Do the same to flat arrays, chunk by chunk."""
        chunk = CHUNK_BYTES // self.dtype.itemsize
        for a in state:
            self.clean([a[start : start + chunk] for start in range(0, a.size, chunk)])

    def objective_gradient(self, n: Any, p: Array, g: Array, out: Array) -> Array:
        """Write the gradient of what is minimised, L2 penalty included, to `out` (may be `g`)."""
        xp = self.xp
        if n.maximize:
            g = xp.negative(g, out=out)
        if n.penalty:
            penalty = xp.multiply(p, n.penalty, out=self.s.view(p.shape))
            xp.add(g, penalty, out=out)
        return out

    def update_large(self, step: _Step, c: Any, p: Array, g: Array, state: Sequence[Array]) -> None:
        """Update chunk by chunk: over the flat memory if there is one, else over rows."""
        assert self.chunk is not None
        if all(a.flags.c_contiguous for a in (p, g, *state)):
            p, g = p.reshape(-1), g.reshape(-1)
            state = [a.reshape(-1) for a in state]
        rows = max(1, self.chunk * len(p) // p.size)
        for start in range(0, len(p), rows):
            part = slice(start, start + rows)
            self.update(step, c, p[part], g[part], [a[part] for a in state])


class _Bucket:
    """Small parameters side by side: their state is here, their values visit for each update."""

    __slots__ = ("_g", "_g_views", "_p", "_p_views", "_rows", "_state", "_work")

    def __init__(self, work: _Workspace, rows: Sequence[Row]) -> None:
        self._work, self._rows = work, rows
        sizes = [row.array.size for row in rows]
        total = sum(sizes)
        self._p, self._g = work.p.view((total,)), work.g.view((total,))
        self._state = [_aligned(work.xp, total, work.dtype) for _ in rows[0].names]
        ends = list(itertools.accumulate(sizes))

        def split(flat: Array) -> list[Array]:
            return [
                flat[end - size : end].reshape(row.shape)
                for row, size, end in zip(rows, sizes, ends, strict=True)
            ]

        self._p_views, self._g_views = split(self._p), split(self._g)
        for name, flat in zip(rows[0].names, self._state, strict=True):
            for row, view in zip(rows, split(flat), strict=True):
                view[...] = row.state[name]
                row.state[name] = view
        for row in rows:
            row.take_arrays()

    def update(self, step: _Step, c: Any, grads: Sequence[Array]) -> None:
        """Update the members, given their gradients."""
        p, g, work, n = self._p, self._g, self._work, step.numbers
        for view, row in zip(self._p_views, self._rows, strict=True):
            view[...] = row.array
        for view, grad in zip(self._g_views, grads, strict=True):
            view[...] = grad
        if n.penalty or n.maximize:
            work.objective_gradient(n, p, g, g)
        step.rule.apply(p, g, self._state, work.s.view(p.shape), c, n)
        if step.clean:
            work.clean(self._state)
        for view, row in zip(self._p_views, self._rows, strict=True):
            row.array[...] = view


# A row or bucket, and where the gradients for it are in the list.
_Job = tuple[Row | _Bucket, list[int]]


def _singles(rows: list[Row]) -> list[_Job]:
    return [(row, [i]) for i, row in enumerate(rows)]


class _Plan(NamedTuple):
    """Rows that came together, and what to do to them: known from the second time on."""

    rows: list[Row]
    jobs: list[_Job] | None = None


class Executor:
    """Applies update rules, keeping scratch memory and the buffers of small parameters.

    Copies and pickles of it are empty: what it holds can be made again.

    Attributes
    ----------
    rows : dict
        By parameter, its row.
    """

    def __init__(self) -> None:
        self.rows: dict[Tensor, Row] = {}
        self._workspaces: dict[Any, _Workspace] = {}
        self._plans: dict[Any, _Plan] = {}
        self._faster: dict[str, tuple[Callable[..., Any], ...]] = {}

    def __reduce__(self) -> tuple[type[Executor], tuple[()]]:
        return Executor, ()

    def run(
        self, rule: Rule, numbers: Any, rows: list[Row], grads: list[Array], key: Any, updates: int
    ) -> None:
        """Update the arrays of `rows` in place.

        Parameters
        ----------
        rule : Rule
            What to do to one array.
        numbers : named tuple
            What `rule` gets as `n`.
        rows : list of Row
            Small ones may have their state arrays replaced by equal ones.
        grads : list of arrays
            Of the shapes and types of the parameters; only read.
        key : hashable
            By which the rows are likely to be the same as the last time.
        updates : int
            Counts the calls, for what is to happen now and then.
        """
        clean = updates % CLEAN_EVERY == 0 and _may_clean(numbers)
        compiled = self._faster.get(rule.name)
        if compiled is None:
            compiled = self._faster[rule.name] = versions(rule.name, "update", "numpy")
        if compiled:
            rows, grads = self._run_compiled(compiled, numbers, clean, rows, grads)
        if rows:
            self._run_plain(_Step(rule, numbers, clean), rows, grads, key)

    def forget(self, tensor: Tensor) -> None:
        """Let go of the row of `tensor`, if any; the state stays in its dict."""
        row = self.rows.pop(tensor, None)
        for key, plan in list(self._plans.items()):
            if row in plan.rows:
                del self._plans[key]

    def _run_compiled(
        self,
        compiled: Sequence[Callable[..., Any]],
        numbers: Any,
        clean: bool,
        rows: list[Row],
        grads: list[Array],
    ) -> tuple[list[Row], list[Array]]:
        """Update what a compiled version of the rule serves, and return the others."""
        left: tuple[list[Row], list[Array]] = [], []
        dtype, work, asking = None, self._workspace(rows[0].array), True
        for row, g in zip(rows, grads, strict=True):
            flat, state = row.flat, row.flat_state
            if asking and flat is not None:
                if flat.dtype is not dtype:
                    work, dtype = self._workspace(flat), flat.dtype
                    c, _ = work.constants(numbers)
                g_flat = g.ravel()
                for update in compiled:
                    if update(flat, g_flat, state, c) is not NotImplemented:
                        break
                else:
                    asking = False
            if flat is None or not asking:
                left[0].append(row)
                left[1].append(g)
            elif clean:
                work.clean_flat(state)
        return left

    # A gradient too large or too small for its type is no reason to stop halfway.
    @np.errstate(all="ignore")
    def _run_plain(self, step: _Step, rows: list[Row], grads: list[Array], key: Any) -> None:
        plan = self._plans.get(key)
        if plan is None or plan.rows != rows:
            self._plans[key], jobs = _Plan(rows), _singles(rows)
        elif plan.jobs is None:
            jobs = self._jobs(step.rule, rows)
            self._plans[key] = _Plan(rows, jobs)
        else:
            jobs = plan.jobs
        work = None
        for job, where in jobs:
            first = grads[where[0]]
            if work is not (work := self._workspace(first)):
                _, c = work.constants(step.numbers)
            if work.xp is np:
                self._do(job, step, c, [grads[i] for i in where], work)
            else:
                with device_guard(first):
                    self._do(job, step, c, [grads[i] for i in where], work)

    def _do(
        self, job: Row | _Bucket, step: _Step, c: Any, grads: list[Array], work: _Workspace
    ) -> None:
        if isinstance(job, _Bucket):
            job.update(step, c, grads)
        elif work.chunk is None or job.array.size <= work.chunk or not step.rule.elementwise:
            work.update(step, c, job.array, grads[0], job.arrays)
        else:
            work.update_large(step, c, job.array, grads[0], job.arrays)

    def _jobs(self, rule: Rule, rows: list[Row]) -> list[_Job]:
        """Return the rows that came together twice, small ones in buckets."""
        single = _singles(rows)
        # Each must see what the one before it left.
        if not rule.elementwise or _overlap([row.array for row in rows]):
            return single
        jobs: list[_Job] = []
        full: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            work = self._workspace(row.array)
            if row.array.size > SMALL:
                jobs.append(single[i])
                continue
            members = full.setdefault(id(work), [])
            total = sum(rows[j].array.size for j in members) + row.array.size
            if total * work.dtype.itemsize > CHUNK_BYTES:
                jobs.append(self._bucket(rows, members))
                members = full[id(work)] = []
            members.append(i)
        return jobs + [self._bucket(rows, members) for members in full.values()]

    def _bucket(self, rows: list[Row], members: list[int]) -> _Job:
        first = rows[members[0]]
        if len(members) == 1:
            return first, members
        with device_guard(first.array):
            return _Bucket(self._workspace(first.array), [rows[i] for i in members]), members

    def _workspace(self, param: Array) -> _Workspace:
        key = param.dtype if type(param) is np.ndarray else (param.dtype, device_of(param))
        found = self._workspaces.get(key)
        if found is None:
            with device_guard(param):
                found = self._workspaces[key] = _Workspace(param)
        return found
