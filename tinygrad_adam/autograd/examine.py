"""One check of one gradient: what is asked about it, one thing after the other, and what is said.

Outputs are weighted by random numbers that have all their digits.  So one backward pass is enough,
a rule that forgets the incoming gradient or uses it twice is found out, and a gradient that was
rounded to float32 on the way is recognised by having no more digits than that.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ..device import Array, array_module, copied, device_of, to_device
from ..errors import ArgumentError, GradcheckError, KinkError, KinkWarning
from .differences import FIRST, LAST, Base, Floats, Pairs, confirmed, measure
from .mode import recording

__all__ = [
    "Input",
    "Kinks",
    "Options",
    "Problem",
    "check",
    "host",
    "largest_gap",
    "random_weights",
    "scale_of",
]

Kinks = Literal["warn", "raise", "ignore"]
DRAWS = 3  # directions per input, in fast mode
SHOWN = 8  # entries in a message
ROUNDING = 1e-9  # of the largest output, from the recorded to the unrecorded run
ROUNDING = 1e-13  # of what is usual for the input, or of the outputs: no derivative is more exact
OUTPUTS = 64  # up to so many, a message says which one it is about
BLOCK = 2**20  # numbers that are held at a time
ENOUGH = 100  # wrong entries of an input, after which the rest are judged by one pair of values


# --- what there is to check ---------------------------------------------------------------------


class Input(NamedTuple):
    """An array that a gradient is checked in; `data` is a copy of our own, which is moved about."""

    name: str
    data: Array


@dataclass
class Problem:
    """A function of arrays and its gradient.

    Attributes
    ----------
    what : str
        The name of the check, for messages.
    inputs : list of Input
        Those that have a gradient to check.
    others : list of Array
        The rest of what the function may read.
    outputs : callable
        Return the floating outputs at the inputs as they are now.
    gradients : callable
        Of one weight per output: return the outputs, and the gradient of each input, or None.
    recorded : bool
        Whether `outputs` needs operations to be recorded.
    weighted : bool
        Whether `gradients` can take weights at all.
    natural : float
        Of what order the outputs are, if more is known than they themselves show.
    """

    what: str
    inputs: list[Input]
    others: list[Array]
    outputs: Callable[[], list[Array]]
    gradients: Callable[[list[Array]], tuple[list[Array], list[Array | None]]]
    recorded: bool = False
    weighted: bool = True
    natural: float = 0.0


@dataclass(frozen=True)
class Options:
    """How to check; see `gradcheck`."""

    eps: float | None
    atol: float
    rtol: float
    fast_mode: bool
    nondet_tol: float
    kinks: Kinks
    seed: int


class Entry(NamedTuple):
    """What was found at one entry of an input, or along one direction.

    Attributes
    ----------
    where, at : str, tuple of int
        What to call it, and the entry's index, empty for a direction.
    analytic : float
        The derivative that is checked.
    numeric, left, right, low, high : float
        The slope and, as in `Slope`, what else is known about it.
    allowed : float
        The tolerance.
    kink, clear : bool
        Whether there is a kink, and whether the slope is known well enough to tell anything.
    """

    where: str
    at: tuple[int, ...]
    analytic: float
    numeric: float
    left: float
    right: float
    low: float
    high: float
    allowed: float
    kink: bool
    clear: bool

    @property
    def off(self) -> float:
        """How far the derivative lies from what it may be, in tolerances; 0 within one."""
        outside = max(self.analytic - self.high, self.low - self.analytic, 0.0)
        return outside / self.allowed if outside > self.allowed else 0.0


@dataclass
class Verdict:
    """What was found out about one input."""

    name: str
    form: str
    size: int
    wrong: list[Entry] = field(default_factory=list)
    unclear: list[Entry] = field(default_factory=list)
    kinks: list[Entry] = field(default_factory=list)
    missing: bool = False

    def add(self, entry: Entry) -> None:
        """Put an entry where it belongs."""
        if not entry.clear:
            self.unclear.append(entry)
        elif entry.off:
            self.wrong.append(entry)
        elif entry.kink:
            self.kinks.append(entry)


# --- the check ----------------------------------------------------------------------------------


def check(problem: Problem, options: Options, raise_exception: bool) -> bool:
    """Return whether the gradients of `problem` are right; raise if they are not, when asked to."""
    __tracebackhide__ = True
    try:
        kinks = _checked(problem, options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    if kinks and options.kinks != "ignore":
        told = _told_kinks(problem.what, kinks)
        if options.kinks == "raise":
            if raise_exception:
                raise KinkError(told, [v.name for v in kinks])
            return False
        warnings.warn(KinkWarning(told, [v.name for v in kinks]), stacklevel=_outside())
    return True


def _outside() -> int:
    """Return how many frames up from `check` its user is, not counting the plugin for pytest."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("tinygrad_adam"):
        level, frame = level + 1, frame.f_back
    return level


def _checked(problem: Problem, options: Options) -> list[Verdict]:
    """Raise GradcheckError, or return the inputs at which there are kinks."""
    __tracebackhide__ = True
    what = problem.what
    rng = np.random.default_rng(options.seed)
    guard = _Guard(problem, options)
    with recording(problem.recorded), np.errstate(all="ignore"):
        outputs = problem.outputs()
    guard.unchanged("the function")
    if not outputs:
        raise ArgumentError(f"{what}: the function has no floating output to differentiate")
    for i, y in enumerate(outputs):
        if any(x.data.size for x in problem.inputs) and not np.isfinite(host(y)).all():
            raise GradcheckError(f"{what}: output {i} is not finite where it was to be checked")
    verdicts = [Verdict(x.name, _form(x.data), x.data.size) for x in problem.inputs]
    for draw in range(DRAWS if options.fast_mode else 1):
        weights = [
            random_weights(rng, y) if problem.weighted else array_module(y).ones_like(y)
            for y in outputs
        ]
        again, gradients = _given(problem, weights, guard)
        if draw == 0:
            with recording(True), np.errstate(all="ignore"):
                third, second = problem.gradients(weights)
            guard.same("values", "output", again, third)
            guard.same("gradients", "input", gradients, second)
            # unrecorded, one loop may do the work of several operations, and round otherwise
            guard.same("values", "output", outputs, again, ROUNDING * guard.largest(outputs))
        look = _Look(problem, options, outputs, weights)
        with recording(problem.recorded), np.errstate(all="ignore"):
            for verdict, x, g in zip(verdicts, problem.inputs, gradients, strict=True):
                verdict.missing = g is None
                dense = np.zeros(x.data.shape) if g is None else host(g).astype(np.float64)
                if not options.fast_mode:
                    look.everywhere(verdict, x.data, dense)
                elif not verdict.wrong and not verdict.unclear:
                    look.along(rng, verdict, x.data, dense)
    if any(v.wrong or v.unclear for v in verdicts):
        at_fault = [v for v in verdicts if v.wrong or v.unclear]
        count = sum(y.size for y in outputs)
        named = problem.weighted and 1 < count <= OUTPUTS and _name_outputs(look, verdicts, outputs)
        told = _told(what, verdicts, options)
        if count > 1 and not named:
            weights_used = ", each times a random weight" if problem.weighted else ""
            told += f"; slopes are of the sum of {count} outputs{weights_used}"
        entries = [(v.name, e) for v in at_fault for e in (*v.wrong, *v.unclear)]
        raise GradcheckError(told, [v.name for v in at_fault], entries, options.seed)
    return [v for v in verdicts if v.kinks]


def _name_outputs(look: _Look, verdicts: list[Verdict], outputs: list[Array]) -> bool:
    """Say of the worst entries which output they are most wrong for, and their slopes of that.

    Return whether this could be said of all: not of a derivative that is right one output at a
    time, such as one that takes the gradient of the output twice.
    """
    problem, done = look.problem, True
    looks: list[tuple[str, _Look, list[Array | None]]] = []
    for i, y in enumerate(outputs):
        for index in np.ndindex(y.shape):
            weights = [array_module(o).zeros_like(o) for o in outputs]
            weights[i][index] = 1
            with recording(True), np.errstate(all="ignore"):
                gradients = problem.gradients(weights)[1]
            name = f"output {i} {index}" if len(outputs) > 1 else f"output {index}"
            looks.append((name, _Look(problem, look.options, outputs, weights), gradients))
    for n, (verdict, x) in enumerate(zip(verdicts, problem.inputs, strict=True)):
        verdict.wrong.sort(key=lambda e: -e.off)
        for k, entry in enumerate(verdict.wrong[:SHOWN]):
            found = []
            for name, single, gradients in looks:
                g = gradients[n]
                values = np.zeros(x.data.shape) if g is None else host(g)
                largest = float(np.abs(values).max(initial=0.0))
                with recording(problem.recorded), np.errstate(all="ignore"):
                    slope = float(values[entry.at])
                    one = single.entry(x.data, entry.at, slope, scale_of(x.data), largest)
                found.append(one._replace(where=f"{one.where} of {name}"))
            worst = max(found, key=lambda e: e.off)
            if worst.off:
                verdict.wrong[k] = worst
            else:
                done = False
    return done


def random_weights(rng: np.random.Generator, y: Array) -> Array:
    """Return a weight for each element of an output: as many negative ones, none close to 0."""
    signs = rng.permutation(np.resize([-1.0, 1.0], y.size)).reshape(y.shape)
    drawn = rng.uniform(0.5, 1.5, y.shape) * signs
    return to_device(np.asarray(drawn, y.dtype), device_of(y))


def host(array: Array) -> Any:
    """Return `array` as NumPy's."""
    return array if type(array) is np.ndarray else to_device(array, "cpu")


def _form(array: Array) -> str:
    return f"{array.dtype} {tuple(array.shape)}"


class _Guard:
    """What must stay as it was: the inputs, the weights, and what is computed a second time."""

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.options = problem, options
        self.arrays = [*(x.data for x in problem.inputs), *problem.others]
        self.before = [copied(a) for a in self.arrays]

    def unchanged(self, who: str) -> None:
        """Raise if an input is not what it was."""
        names = [x.name for x in self.problem.inputs]
        for i, (now, before) in enumerate(zip(self.arrays, self.before, strict=True)):
            if not _equal(now, before, 0.0):
                name = names[i] if i < len(names) else "an input without a gradient"
                raise GradcheckError(
                    f"{self.problem.what}: {who} changes {name} in place; work on a copy", [name]
                )

    def largest(self, arrays: Sequence[Array]) -> float:
        """Return the size of the largest element."""
        return max(float(np.abs(host(a)).max(initial=0.0)) for a in arrays)

    def same(
        self,
        what: str,
        kind: str,
        first: Sequence[Array | None],
        second: Sequence[Array | None],
        rounding: float = 0.0,
    ) -> None:
        """Raise if the same call gave something else the second time."""
        tol = max(self.options.nondet_tol, rounding)
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            if a is b is None or (a is not None and b is not None and _equal(a, b, tol)):
                continue
            name = self.problem.inputs[i].name if kind == "input" else f"output {i}"
            apart = "" if a is None or b is None else f" by up to {largest_gap(a, b):.3g}"
            raise GradcheckError(
                f"{self.problem.what}: two runs gave different {what} for {name}{apart}: not "
                "deterministic; seed what it draws, call eval() on a module with dropout, or allow "
                "for it with nondet_tol=",
                [name] if kind == "input" else [],
                seed=self.options.seed,
            )


def largest_gap(a: Array, b: Array) -> float:
    """Return the largest difference between two arrays."""
    if a.shape != b.shape:
        return float("inf")
    difference = np.abs(host(a).astype(np.float64) - host(b).astype(np.float64))
    return float(difference.max(initial=0.0))


def _equal(a: Array, b: Array, tol: float) -> bool:
    if a.shape != b.shape:
        return False
    left, right = host(a), host(b)
    same = left == right
    if left.dtype.kind == "f":
        same |= np.isnan(left) & np.isnan(right)
    return bool(np.all(same)) or (tol > 0 and largest_gap(a, b) <= tol)


def _given(
    problem: Problem, weights: list[Array], guard: _Guard
) -> tuple[list[Array], list[Array | None]]:
    """Return outputs and gradients, after asking whether those have the right form."""
    what, inputs = problem.what, problem.inputs
    kept = [copied(w) for w in weights]
    try:
        with recording(True), np.errstate(all="ignore"):
            outputs, gradients = problem.gradients(weights)
    except (ArithmeticError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise GradcheckError(
            f"{what}: the backward pass to {_named(inputs)} raised {type(error).__name__}: {error}",
            [x.name for x in inputs],
        ) from error
    guard.unchanged("the backward pass")
    if not all(_equal(w, k, 0.0) for w, k in zip(weights, kept, strict=True)):
        raise GradcheckError(
            f"{what}: the backward pass to {_named(inputs)} changes the gradient it is given in "
            "place; work on a copy",
            [x.name for x in inputs],
        )
    exact = problem.weighted and not any(_only_float32(host(y)) for y in outputs)
    sizes = [float(np.abs(host(y)).max(initial=0.0)) for y in outputs]
    output = max([*sizes, problem.natural])
    for x, g in zip(inputs, gradients, strict=True):
        if g is None:
            continue
        if g.shape != x.data.shape or g.dtype != x.data.dtype:
            raise GradcheckError(
                f"{what}: the gradient of {x.name} is {_form(g)}, but {x.name} is {_form(x.data)}",
                [x.name],
            )
        numbers = host(g)
        if not np.isfinite(numbers).all():
            bad = np.argwhere(~np.isfinite(numbers))
            at = tuple(map(int, bad[0]))
            raise GradcheckError(
                f"{what}: {len(bad)} of {g.size} entries of the gradient of {x.name} are not "
                f"finite, the first {at}: {numbers[at]}",
                [x.name],
            )
        # what cancellation has left may well have few digits
        if exact and _only_float32(numbers, 1e-4 * output / scale_of(x.data)):
            raise GradcheckError(
                f"{what}: the gradient of {x.name} has only the digits of float32, although all "
                "that goes in is float64: its derivative computes in float32 somewhere",
                [x.name],
            )
    _not_aliased(problem, outputs, gradients)
    return outputs, gradients


def _named(inputs: list[Input]) -> str:
    return ", ".join(x.name for x in inputs)


def _only_float32(numbers: Any, least: float = 0.0) -> bool:
    """Whether float32 can hold all of `numbers`, and any of them is larger than `least`."""
    some = numbers[np.abs(numbers) > least]
    with np.errstate(all="ignore"):
        return bool(some.size and (some.astype(np.float32) == some).all())


def _not_aliased(problem: Problem, outputs: list[Array], gradients: list[Array | None]) -> None:
    """Raise if a gradient shares memory with another one, an input or an output."""
    held = [(x.name, x.data) for x in problem.inputs]
    held += [("an input without a gradient", a) for a in problem.others]
    held += [(f"output {i}", y) for i, y in enumerate(outputs)]
    for x, g in zip(problem.inputs, gradients, strict=True):
        if g is None:
            continue
        for name, array in held:
            if _share(g, array):
                raise GradcheckError(
                    f"{problem.what}: the gradient of {x.name} shares memory with {name}, so a "
                    "change to one changes the other; return a copy",
                    [x.name],
                )
        held.append((f"the gradient of {x.name}", g))


def _share(a: Array, b: Array) -> bool:
    if type(a) is not type(b):
        return False
    return bool(array_module(a).shares_memory(a, b))


# --- slopes -------------------------------------------------------------------------------------


class _Look:
    """Holding gradients against slopes, for one choice of weights."""

    def __init__(
        self, problem: Problem, options: Options, outputs: list[Array], weights: list[Array]
    ) -> None:
        self.problem, self.options = problem, options
        start, factors = _joined(outputs), _joined(weights)
        sizes = [y.size for y in outputs]
        eps = np.repeat([float(np.finfo(y.dtype).eps) for y in outputs], sizes)
        self.largest = max(float(np.abs(start * factors).max(initial=0.0)), problem.natural)
        self.base = Base(start, factors, eps)

    def value(self) -> Floats:
        """Return the outputs at the inputs as they are now."""
        return _joined(self.problem.outputs())

    def slope(
        self,
        move: Callable[[float], float],
        analytic: float,
        unit: float,
        scale: float,
        finest: float = 1.0,
    ) -> Entry:
        """Hold a slope along a line against the derivative.

        Parameters
        ----------
        move : callable
            Move the input by so many units; return how many it really was.
        analytic : float
            The derivative by a unit.
        unit : float
            How much of the input that is.
        scale : float
            The derivatives of this input are of this order, by a unit.
        finest : float
            How small the input itself may be, in units.
        """
        options = self.options
        absolute = options.atol * unit

        def line(step: float) -> tuple[Floats, float]:
            taken = move(step)
            return self.value(), taken

        found = measure(
            line,
            self.base,
            analytic,
            absolute + options.rtol * abs(analytic),
            scale,
            self.first(unit),
            (max(0.5, 0.5 / unit), LAST * finest),
        )
        size = max(abs(analytic), abs(found.value))
        allowed = absolute + options.rtol * size + found.error + ROUNDING * max(scale, self.largest)
        if found.kink:
            size = max(abs(found.left), abs(found.right))
        least = max(1e-2 * size, 1e-3 * scale, 1e-9 * self.largest)
        clear = found.error <= least
        # of a single output people know the slope without its weight
        per = unit * (float(self.base.weights[0]) if self.base.weights.size == 1 else 1.0)
        low, high = sorted((found.low / per, found.high / per))
        return Entry(
            "",
            (),
            analytic / per,
            found.value / per,
            found.left / per,
            found.right / per,
            low,
            high,
            allowed / abs(per),
            found.kink,
            clear,
        )

    def everywhere(self, verdict: Verdict, data: Array, gradient: Any) -> None:
        """Check every entry: most are confirmed many at a time, the others one by one."""
        usual, largest = scale_of(data), float(np.abs(gradient).max(initial=0.0))
        indices = list(np.ndindex(data.shape))
        many = max(1, BLOCK // max(1, self.base.start.size))
        for i in range(0, len(indices), many):
            block = indices[i : i + many]
            units = np.array([max(abs(float(data[index])), usual) for index in block])
            expected = np.array([float(gradient[index]) for index in block]) * units
            near = self.options.atol * units + self.options.rtol * np.abs(expected)
            pairs = self.pairs(data, block, units)
            fine = confirmed(pairs, self.base, expected, near, largest * units)
            for k in np.flatnonzero(~fine):
                index = block[k]
                verdict.add(self.entry(data, index, float(gradient[index]), usual, largest))
                if len(verdict.wrong) >= ENOUGH:
                    return

    def pairs(self, data: Array, block: list[tuple[int, ...]], units: Floats) -> Pairs:
        """Return the outputs with each entry moved up and down by the first step."""
        up, down = (np.empty((len(block), self.base.start.size)) for _ in range(2))
        h, back = np.empty(len(block)), np.empty(len(block))
        for k, index in enumerate(block):
            before = copied(data[index])
            middle = float(before)
            length = self.first(units[k]) * units[k]
            try:
                for step, values, taken in ((length, up, h), (-length, down, back)):
                    data[index] = middle + step
                    taken[k] = (float(data[index]) - middle) / units[k]
                    values[k] = self.value()
            finally:
                data[index] = before
        return Pairs(up, down, h, back)

    def first(self, unit: float) -> float:
        """Return the first step, in units."""
        return FIRST if self.options.eps is None else self.options.eps / unit

    def entry(
        self, data: Array, index: tuple[int, ...], analytic: float, usual: float, largest: float
    ) -> Entry:
        """Check one entry."""
        before = copied(data[index])
        middle = float(before)
        unit = max(abs(middle), usual)

        def move(step: float) -> float:
            data[index] = middle + step * unit
            return (float(data[index]) - middle) / unit

        try:
            found = self.slope(
                move, analytic * unit, unit, largest * unit, abs(middle) / unit or 1.0
            )
        finally:
            data[index] = before
        return found._replace(where=str(index), at=index)

    def along(self, rng: np.random.Generator, verdict: Verdict, data: Array, gradient: Any) -> None:
        """Check the derivative along a random direction; where it is wrong, look for the entry."""
        if not data.size:
            return
        usual, largest = scale_of(data), float(np.abs(gradient).max())
        direction = rng.uniform(0.5, 1.5, data.shape) * rng.choice([-1.0, 1.0], data.shape)
        direction *= np.maximum(np.abs(host(data)), usual)
        found = self.direction(data, direction, gradient)
        if found.off:
            found = self.entry_at_fault(data, direction, gradient, usual, largest)
        verdict.add(found)

    def direction(self, data: Array, direction: Any, gradient: Any) -> Entry:
        """Check the derivative along `direction`."""
        there = to_device(direction, device_of(data))
        before = copied(data)

        def move(step: float) -> float:
            data[...] = before + step * there
            return step

        products = direction * gradient
        # Summing up has rounding errors of its own, and single terms may be far larger than the sum
        scale = float(np.sqrt((products**2).sum()))
        sizes = np.abs(host(data))[direction != 0] / np.abs(direction[direction != 0])
        finest = float(sizes.min(where=sizes > 0, initial=1.0))
        try:
            found = self.slope(move, float(products.sum()), 1.0, scale, finest)
        finally:
            data[...] = before
        return found._replace(where="a direction")

    def entry_at_fault(
        self, data: Array, direction: Any, gradient: Any, usual: float, largest: float
    ) -> Entry:
        """Halve the entries that move, keeping a half along which the derivative is wrong."""
        suspects = np.arange(data.size)
        while suspects.size > 1:
            half, rest = np.array_split(suspects, 2)
            part = np.zeros(data.size)
            part[half] = direction.ravel()[half]
            wrong = self.direction(data, part.reshape(data.shape), gradient).off
            suspects = half if wrong else rest
        index = tuple(map(int, np.unravel_index(suspects[0], data.shape)))
        return self.entry(data, index, float(gradient[index]), usual, largest)


def _joined(arrays: list[Array]) -> Floats:
    """Return the elements of all, one after the other, on the CPU in float64."""
    flat = [np.ravel(host(a)) for a in arrays]
    return np.concatenate(flat).astype(np.float64, copy=False)


def scale_of(data: Array) -> float:
    """Return of what order the entries of an input are; 1 if they are all 0."""
    size = np.abs(host(data))
    largest = float(size.max(initial=0.0))
    return largest * float(np.sqrt(np.mean((size / largest) ** 2))) if largest else 1.0


# --- what is said -------------------------------------------------------------------------------


def _told(what: str, verdicts: list[Verdict], options: Options) -> str:
    lines = [f"{what}: wrong gradient"]
    for v in verdicts:
        bad = v.wrong or v.unclear
        head = f"  {v.name}, {v.form}: "
        if not bad:
            lines.append(head + "right")
            continue
        if not v.wrong:
            lines.append(head + "its slopes cannot be measured well enough to tell:")
        elif options.fast_mode:
            lines.append(head + f"wrong along a random direction, and at this of {v.size} entries:")
        else:
            count = f"at least {ENOUGH}" if len(v.wrong) >= ENOUGH else str(len(v.wrong))
            lines.append(head + f"{count} of {v.size} entries wrong:")
        if v.missing:
            lines.append(
                "    no gradient came back for it (None), although the output varies with it"
            )
        lines.extend("    " + row for row in _table(bad))
    lines.append(f"  seed {options.seed}, rtol {options.rtol:g}, atol {options.atol:g}")
    return "\n".join(lines)


def _table(entries: list[Entry]) -> list[str]:
    worst = sorted(entries, key=lambda e: -e.off)[:SHOWN]
    rows: list[tuple[str, ...]] = [
        ("entry", "analytic", "numeric", "from left", "from right", "error/tolerance")
    ]
    for e in worst:
        numbers = (e.analytic, e.numeric, e.left, e.right)
        rows.append((e.where, *(f"{x + 0.0:.8g}" for x in numbers), f"{e.off:.3g}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    told = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    if len(worst) < len(entries):
        told.append("...")
    return told


def _told_kinks(what: str, verdicts: list[Verdict]) -> str:
    lines = [
        f"{what}: the function has kinks here; each gradient lies between the one-sided slopes"
    ]
    for v in verdicts:
        lines.extend(
            f"  kink at {v.name} entry {e.where}: slope {e.left + 0.0:.6g} from the left, "
            f"{e.right + 0.0:.6g} from the right, gradient {e.analytic + 0.0:.6g}"
            for e in v.kinks[:SHOWN]
        )
        if len(v.kinks) > SHOWN:
            lines.append(f"  and at {len(v.kinks) - SHOWN} more entries of {v.name}")
    return "\n".join(lines)
