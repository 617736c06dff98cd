"""Where a NaN or an infinity came from: `detect_anomaly`.

While a thread watches, `Op.on` and `Op.on_numpy` give operations whose values are checked and whose
nodes remember the line that called them, and `differentiate` runs a walk whose rules are checked.
When the last one stops, all three are what they were, so nothing is tested where nobody watches.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..device import array_module, device_guard, device_of, to_device
from ..errors import AnomalyError
from . import differentiate, engine
from .graph import Node, Variable
from .observe import observed, recorded_plan
from .registry import Bound, Op, Plan, Rule
from .vocabulary import ON_MODULES

__all__ = ["detect_anomaly", "is_anomaly_enabled", "set_detect_anomaly"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


# --- the line ---------------------------------------------------------------------------------


class Where(NamedTuple):
    """The user's line that ran an operation, and the modules it ran in, the outermost first."""

    file: str
    line: int
    function: str
    modules: tuple[weakref.ref[Any], ...]
    within: tuple[str, Where | None] | None  # the derivative that ran it, and that one's line

    @property
    def source(self) -> str:
        """The text of the line."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}, in {self.function}: {self.source}"
        modules = [m for ref in self.modules if (m := ref()) is not None]
        if modules:
            text += f"\n    in {_module_name(modules[0], modules[-1])}"
        if self.within is not None:
            name, line = self.within
            text += f"\n    by the derivative of {name}, {_recorded(line)}"
        return text


def _module_name(outer: Any, inner: Any) -> str:
    whole, kind = type(outer).__name__, type(inner).__name__
    if inner is outer:
        return whole
    name = next((name for name, m in outer.named_modules() if m is inner), None)
    return f"{whole}, {kind}" if name is None else f"{whole}, {name} ({kind})"


def _here() -> Where:
    """Return the line of the first caller outside this package."""
    frame: FrameType | None = sys._getframe(1)
    user: FrameType | None = None
    modules = []
    while frame is not None:
        code = frame.f_code
        if user is None and not code.co_filename.startswith(_PACKAGE):
            user = frame
        if code.co_name == "forward" and code.co_argcount:
            module = frame.f_locals.get(code.co_varnames[0])
            if hasattr(module, "named_modules"):
                modules.append(weakref.ref(module))
        last, frame = frame, frame.f_back
    user = user or last
    return Where(
        user.f_code.co_filename,
        user.f_lineno,
        user.f_code.co_name,
        tuple(reversed(modules)),
        _state.within,
    )


def _recorded(where: Where | None) -> str:
    if where is None:
        return "recorded where nobody watched: run the forward pass inside detect_anomaly() too"
    return f"recorded at {where}"


# --- what is seen -----------------------------------------------------------------------------


class _Watch:
    """What one thread looks for."""

    def __init__(self, check_nan: bool, check_inf: bool) -> None:
        self.check_nan, self.check_inf = check_nan, check_inf

    def sees(self, value: Any) -> bool:
        """Whether there is something in `value` that is looked for."""
        nan, inf = _found(value)
        return (self.check_nan and nan) or (self.check_inf and inf)


class _State(threading.local):
    watch: _Watch | None = None
    busy = False  # inside a value or a derivative, which is checked as a whole
    within: tuple[str, Where | None] | None = None  # the derivative that runs now

    def __init__(self) -> None:
        # arrays with infinities that are a number the user wrote, by identity
        self.meant: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


_state = _State()


def _array(value: Any) -> Any:
    return value._data if isinstance(value, Variable) else value


def _owner(array: Any) -> Any:
    """Return the array whose memory `array` lies in."""
    while hasattr(base := getattr(array, "base", None), "dtype"):
        array = base
    return array


def _meant(value: Any) -> bool:
    """Whether `value` is a number, or has its infinities from one."""
    return not hasattr(value, "dtype") or id(_owner(value)) in _state.meant


def _found(value: Any) -> tuple[bool, bool]:
    """Whether there is a NaN in `value`, and whether an infinity."""
    data = _array(value)
    if isinstance(data, float):
        return data != data, data in (float("inf"), float("-inf"))
    if not hasattr(data, "dtype") or data.dtype.kind != "f":
        return False, False
    xp = array_module(data)
    with device_guard(data):
        if bool(xp.isfinite(data).all()):
            return False, False
        return bool(xp.isnan(data).any()), bool(xp.isinf(data).any())


def _described(name: str, value: Any) -> str:
    """Return shape, element type and range of a value, and how much of it is not finite."""
    data = _array(value)
    if not hasattr(data, "dtype"):
        return f"  {name}: {data!r:.80}"
    text = f"  {name}: {data.dtype} {data.shape}"
    device = device_of(data)
    if device.type != "cpu":
        text += f" on {device}"
    a = np.asarray(to_device(data, "cpu"))
    if a.dtype.kind not in "iuf" or not a.size:
        return text
    finite = a[np.isfinite(a)]
    if finite.size:
        text += f", {finite.min():.6g} to {finite.max():.6g}"
    for word, count in (("NaN", np.isnan(a).sum()), ("infinite", np.isinf(a).sum())):
        if count:
            text += f", {count} of {a.size} {word}"
    return text


def _error(
    operation: Op, first: str, where: Where | None, line: str, values: Iterable[tuple[str, Any]]
) -> AnomalyError:
    shown = [_described(name, value) for name, value in values if value is not None]
    error = AnomalyError("\n".join([first, f"  {line}", *shown]))
    error.operation = operation.name
    if where is not None:
        error.filename, error.lineno, error.source = where.file, where.line, where.source
    return error


# --- the forward pass -------------------------------------------------------------------------


class _Value:
    """The value of an operation, checked."""

    def __init__(self, bound: Bound) -> None:
        self.operation, self.plain = bound.operation, bound.value

    def __call__(self, xp: Any, *values: Any, **params: Any) -> Any:
        watch = _state.watch
        if watch is None or _state.busy:
            return self.plain(xp, *values, **params)
        _state.busy = True
        try:
            with np.errstate(all="ignore"):
                y = self.plain(xp, *values, **params)
        finally:
            _state.busy = False
        return self.checked(watch, values, params, y) if watch.sees(y) else y

    def checked(
        self, watch: _Watch, values: tuple[Any, ...], params: dict[str, Any], y: Any
    ) -> Any:
        """Return `y`, whose infinities are meant, or raise."""
        operation = self.operation
        names: Iterable[str] = operation.inputs
        if operation.variadic:
            names = [f"{operation.inputs[0]}[{i}]" for i in range(len(values))]
        numbers = [item for item in params.items() if isinstance(item[1], float)]
        operands = [*zip(names, values, strict=False), *numbers]
        made_nan = watch.check_nan and _found(y)[0]
        kind = "NaN" if made_nan else "an infinity"
        infinite = {name: v for name, v in operands if _found(v)[1]}
        if not made_nan and infinite and all(map(_meant, infinite.values())):
            y = np.asarray(y) if isinstance(y, np.generic) else y
            origin = _owner(y)
            _state.meant[id(origin)] = origin
            return y
        given = [name for name, v in operands if _found(v)[0]] if made_nan else list(infinite)
        if given:
            first = (
                f"{operation.name} was given {kind} in {' and '.join(given)}: a leaf's data, an "
                "assignment's, or made where nobody watched"
            )
        elif infinite:
            first = f"{operation.name} made {kind} from infinite operands"
        else:
            first = f"{operation.name} made {kind} from finite operands"
        where = _here()
        raise _error(operation, first, where, f"called at {where}", [*operands, ("output", y)])


class _Recorded(Plan):
    """The plan of one node, which remembers where it was recorded."""

    __slots__ = ("where",)

    def __init__(self, plan: Plan) -> None:
        self.arrays, self.shapes, self.params = plan.arrays, plan.shapes, plan.params
        self.pick, self.steps, self.plain = plan.pick, plan.steps, plan.plain
        self.where = _here()


class _Watched(Bound):
    """An operation that is watched: its value is checked, each of its nodes has its own plan."""

    __slots__ = ("original",)

    def __init__(self, bound: Bound) -> None:
        self.original = bound
        self.operation, self.module, self.value = bound.operation, bound.module, _Value(bound)
        self.plans = {}

    def plan(self, needs: int) -> Plan:
        """Return a plan that nobody else has."""
        plan = self.original.plan(needs)
        return plan if _state.watch is None else _Recorded(plan)


# --- the backward pass ------------------------------------------------------------------------


def _walk(seeds: Any, way: engine.Way, keep: bool, create_graph: bool) -> Any:
    """Do what `engine.walk` does, with derivatives that are checked."""
    watch = _state.watch
    if watch is None:
        return engine.walk(seeds, way, keep, create_graph)
    for key, g in seeds:
        text = "backward was started at {} with a gradient that is not finite"
        _check_gradient(watch, key, g, text)
    with observed(way.order, _checked_rule):
        found, retained = engine.walk(seeds, way, keep, create_graph)
    for key, (g, _) in found.items():
        text = (
            "the gradient of {} is not finite, though every derivative was: a hook made it so, or "
            "the sum of several gradients is too large"
        )
        _check_gradient(watch, key, g, text)
    return found, retained


def _check_gradient(watch: _Watch, key: engine.Key, g: Any, text: str) -> None:
    """Raise an error with this text, about a node or a leaf, if its gradient is an anomaly."""
    if watch.sees(g):
        name = key.op.name if isinstance(key, Node) else "a leaf"
        raise AnomalyError(f"{text.format(name)}\n{_described('gradient', g)}")


def _checked_rule(node: Node, i: int, rule: Rule, names: list[str]) -> Rule:
    def run(F: Any, g: Any, *asked: Any) -> Any:
        watch = _state.watch
        if watch is None:
            return rule(F, g, *asked)
        operation, where = node.op, getattr(recorded_plan(node), "where", None)
        name = operation.inputs[0 if operation.variadic else i]
        given = [("gradient", g), *zip(names, asked, strict=True)]
        if watch.sees(g):
            first = (
                f"the gradient that reached {operation.name} is not finite, though every "
                "derivative before was: a hook made it so, or the sum of several is too large"
            )
            raise _error(operation, first, where, _recorded(where), given[:1])
        before = _state.busy, _state.within
        _state.busy, _state.within = True, (operation.name, where)
        try:
            out = rule(F, g, *asked)
        except Exception as error:
            error.add_note(f"in the derivative of {operation.name} in {name}, {_recorded(where)}")
            raise
        finally:
            _state.busy, _state.within = before
        if watch.sees(out):
            made = "NaN" if watch.check_nan and _found(out)[0] else "an infinity"
            first = f"the derivative of {operation.name} in {name} made {made}"
            rest = [*given, (f"gradient of {name}", out)]
            raise _error(operation, first, where, _recorded(where), rest)
        return out

    return run


# --- on and off -------------------------------------------------------------------------------

_lock = threading.Lock()
_watching = 0  # threads
_plain: tuple[Any, ...] = (Op.on, vars(Op)["on_numpy"], engine.walk)


def _watched_on(operation: Op, module: str) -> Bound:
    return _Watched(_plain[0](operation, module))


# a property goes before what an operation has kept as its own `on_numpy`
_watched = (_watched_on, property(lambda operation: _watched_on(operation, "numpy")), _walk)


def _install(on: Any, on_numpy: Any, walk: Any) -> None:
    """Let all operations be bound by these from now, and backward passes be walked by `walk`."""
    Op.on = on  # type: ignore[method-assign]
    Op.on_numpy = on_numpy  # type: ignore[method-assign]
    vars(differentiate)["walk"] = walk
    for words in ON_MODULES.values():
        for name, function in list(vars(words).items()):
            if isinstance(function, partial) and isinstance(function.func, _Value):
                delattr(words, name)


def _set(watch: _Watch | None) -> None:
    """Let this thread watch, or no longer."""
    global _watching
    with _lock:
        _watching += (watch is not None) - (_state.watch is not None)
        _state.watch = watch
        if bool(_watching) != (Op.on is _watched_on):
            _install(*(_watched if _watching else _plain))


def is_anomaly_enabled() -> bool:
    """Whether this thread watches for anomalies."""
    return _state.watch is not None


class detect_anomaly:
    r"""Raise at the operation that first makes a NaN or an infinity, and name the line that ran it.

    Inside the block every operation of this thread is checked, and so is every derivative that a
    backward pass runs.  The forward pass belongs inside too: then a failing backward pass, whatever
    the error, shows the line of the operation it failed at.

    Parameters
    ----------
    check_nan : bool
        Raise for NaN.
    check_inf : bool
        Raise for infinities.  Those that come from a number written as an operand, as in
        ``tg.where(mask, scores, -math.inf)``, are meant and let pass.

    Raises
    ------
    AnomalyError
        From the operation, or from the backward pass; no ``.grad`` has changed then.

    Notes
    -----
    For looking for a mistake, not for training: each result is read once more, and on a GPU waited
    for.  Watching is per thread, as `no_grad` is.

    The idea is that of ``torch.autograd.detect_anomaly``, which tells of NaN in the backward pass.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([4.0, 0.0], requires_grad=True)
    >>> with tg.autograd.detect_anomaly():
    ...     y = x.sqrt()
    ...     y.sum().backward()
    Traceback (most recent call last):
    ...
    tinygrad_adam.errors.AnomalyError: the derivative of sqrt in x made an infinity
      recorded at <doctest ...>:2, in <module>: y = x.sqrt()
      gradient: float32 (2,), 1 to 1
      y: float32 (2,), 0 to 2
      gradient of x: float32 (2,), 0.25 to 0.25, 1 of 2 infinite
    """

    def __init__(self, check_nan: bool = True, check_inf: bool = True) -> None:
        self._checks = check_nan, check_inf
        self._before: list[_Watch | None] = []

    def __enter__(self) -> None:
        self._before.append(_state.watch)
        _set(_Watch(*self._checks))

    def __exit__(self, *exc: object) -> None:
        _set(self._before.pop())


class set_detect_anomaly:
    """Watch for anomalies from now on, or no longer; as a ``with`` block, until its end.

    Parameters
    ----------
    mode : bool
        Whether to watch.
    check_nan, check_inf : bool
        As for `detect_anomaly`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> _ = tg.autograd.set_detect_anomaly(True)
    >>> tg.tensor([-1.0]).log()
    Traceback (most recent call last):
    ...
    tinygrad_adam.errors.AnomalyError: log made NaN from finite operands
      called at <doctest ...>:1, in <module>: tg.tensor([-1.0]).log()
      x: float32 (1,), -1 to -1
      output: float32 (1,), 1 of 1 NaN
    >>> _ = tg.autograd.set_detect_anomaly(False)
    """

    def __init__(self, mode: bool, check_nan: bool = True, check_inf: bool = True) -> None:
        self._before = _state.watch
        _set(_Watch(check_nan, check_inf) if mode else None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _set(self._before)
