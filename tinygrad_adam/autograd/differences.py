"""Slopes by finite differences, each with what it may be off by, and kinks told from curves.

A *line* is a function of one number: how the outputs change as one entry of an input, or all of
them in some direction, is moved by ``t``.  Its slope at 0 is what a derivative is held against.
Whoever asks says what slope is expected.  A pair of values nearly always confirms it; only where
it does not are more pairs taken, over all steps from half the scale of the input down to its last
digits, and Richardson's extrapolation read where neighbouring steps agree best.

Differences to the left and to the right tell a kink from a curve: as the step shrinks, they come
together on a curve and stay apart at a kink.

Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Advances in Engineering
Software 4 (1982) 75-76; here with a noise estimate, per output, and with kinks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIRST", "LAST", "Base", "Floats", "Line", "Pairs", "Slope", "confirmed", "measure"]

Floats = NDArray[np.float64]
# Of a step: the outputs there, one after the other, and the step really taken.
Line = Callable[[float], tuple[Floats, float]]

RATIO = 8.0  # between neighbouring steps
FIRST = float(
    np.cbrt(np.finfo(np.float64).eps)
)  # the best step of a central difference, to a factor
LAST = 2.0**-40
NOISE = 8.0  # how many rounding errors an output is taken to have
KINK = 0.01  # how far apart one-sided slopes must stay, in units of the larger


class Pairs(NamedTuple):
    """Of several lines, the outputs after a step up and a step down, and how long those were."""

    up: Floats
    down: Floats
    h: Floats
    back: Floats


class Slope(NamedTuple):
    """A slope of the weighted sum of a line's outputs.

    Attributes
    ----------
    value, error : float
        The slope, and a bound on its error.
    left, right : float
        The one-sided slopes.
    low, high : float
        Between what a derivative may lie: `value`, but at a kink any slope from one side to the
        other.
    kink : bool
        Whether some output has a kink at 0.
    """

    value: float
    error: float
    left: float
    right: float
    low: float
    high: float
    kink: bool


class Base(NamedTuple):
    """The outputs at 0.

    Attributes
    ----------
    start, weights : array
        The outputs and their weights.
    eps : array
        The relative rounding error of each output.
    """

    start: Floats
    weights: Floats
    eps: Floats


def measure(
    line: Line,
    base: Base,
    expected: float,
    near: float,
    scale: float,
    first: float,
    span: tuple[float, float],
) -> Slope:
    """Return the slope of `line` at 0.

    Parameters
    ----------
    line : callable
        See `Line`; in units in which the input is of the order of 1.
    base : Base
        What is known about its outputs at 0.
    expected : float
        The slope that a derivative gives; one pair of values may confirm it.
    near : float
        How far from `expected` a slope confirms it, rounding errors aside.
    scale : float
        A slope worth telling from 0: where rounding errors may reach 1e-5 of it, more is asked for.
    first : float
        The step to begin with.
    span : tuple of float
        The longest step, and the shortest.
    """
    start = base.start
    for step in (first, first / RATIO**2):
        (up, h), (down, back) = line(step), line(-step)
        pair = Pairs(up[None], down[None], np.array([h]), np.array([back]))
        if confirmed(pair, base, np.array([expected]), near, scale)[0]:
            right = (up - start) * base.weights / h
            left = (down - start) * base.weights / back
            value = float(((up - down) * base.weights).sum()) / (h - back)
            moved = (up != start) | (down != start)
            noise = float(np.abs(NOISE * base.eps * start * base.weights)[moved].sum()) / step
            one_sided = float(left.sum()), float(right.sum())
            return Slope(value, noise, *one_sided, value, value, False)
    return _searched(line, base, expected, near, *span)


def confirmed(
    pairs: Pairs, base: Base, expected: Floats, near: Any, scale: Any
) -> NDArray[np.bool_]:
    """Return for which lines a pair of values each confirms the slope that is expected.

    The arguments are those of `measure`, `expected`, `near` and `scale` one per line.
    """
    up, down, start = pairs.up, pairs.down, base.start
    h, back = pairs.h[:, None], pairs.back[:, None]
    with np.errstate(all="ignore"):
        right, left = (up - start) * base.weights / h, (down - start) * base.weights / back
        value = ((up - down) * base.weights / (h - back)).sum(axis=1)
        rounding = np.abs(NOISE * base.eps * start * base.weights)
        noise = np.where((up != start) | (down != start), rounding, 0.0).sum(axis=1) / pairs.h
        gap = np.abs(right - left).max(axis=1, initial=0.0)
        most = np.maximum(np.abs(right), np.abs(left)).max(axis=1, initial=0.0)
        size = np.maximum(np.maximum(np.abs(value), np.abs(expected)), scale)
        fine: NDArray[np.bool_] = (
            (np.abs(value - expected) <= near + noise)
            & (noise <= 1e-5 * size)
            & (gap <= 1e-3 * most + noise)
        )
    return fine


def _searched(
    line: Line, base: Base, expected: float, near: float, top: float, last: float
) -> Slope:
    """Return the slope from steps of every size.

    Steps can agree on several slopes: long ones see a kink nearby as a curve, short ones miss a
    term that rounding keeps from changing.  If one of them is what is expected, that is the slope.
    """
    count = int(np.log(top / last) / np.log(RATIO)) + 1
    pairs = [(line(h), line(-h)) for h in top / RATIO ** np.arange(count)]
    up, down = (np.array([pair[i][0] for pair in pairs]) for i in (0, 1))
    h, back = (np.array([[pair[i][1]] for pair in pairs]) for i in (0, 1))
    with np.errstate(all="ignore"):
        noise = _noise(up, down, base) / h
        rises, falls = (up - base.start) * base.weights, (down - base.start) * base.weights
        right, left = rises / h, falls / back
        central = (rises - falls) / (h - back)
        value, error = _extrapolated(central, noise)
        better, doubt, good = _table(central.sum(axis=1)[:, None], noise.sum(axis=1)[:, None])
        kink, at = _kinks(left, right, noise)
    columns = np.arange(base.start.size)
    left, right = left[at, columns], right[at, columns]
    value = np.where(kink, (left + right) / 2, value)
    error = np.where(kink, noise[at, columns], error)
    low, high = np.minimum(left, right), np.maximum(left, right)
    k = _agreeing(better[:, 0], doubt[:, 0], good[:, 0], expected, near)
    if k is not None and not kink.any():
        found, off = float(better[k, 0]), float(doubt[k, 0])
        sides = float(left.sum()), float(right.sum())
        return Slope(found, off, *sides, found, found, False)
    return Slope(
        float(value.sum()),
        float(error.sum()),
        float(left.sum()),
        float(right.sum()),
        float(np.where(kink, low, value).sum()),
        float(np.where(kink, high, value).sum()),
        bool(kink.any()),
    )


def _noise(up: Floats, down: Floats, base: Base) -> Floats:
    """Return per step and output how much of a change in it may be rounding errors."""
    values = np.array([up, down])
    values = np.where(np.isfinite(values), values, base.start)
    moved = (values != base.start).any(axis=(0, 1))
    largest = np.maximum(np.abs(values).max(axis=0), np.abs(base.start))
    found: Floats = np.where(moved, NOISE * base.eps * largest * np.abs(base.weights), 0.0)
    return found


def _table(central: Floats, noise: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return Richardson's values, their errors, and whether they are known to three digits."""
    square = RATIO**2
    better = (square * central[1:] - central[:-1]) / (square - 1)
    apart = np.abs(np.diff(better, axis=0))
    better = better[1:-1]
    error = np.maximum(apart[:-1], apart[1:]) + noise[2:-1]
    error = np.where(np.isfinite(error), error, np.inf)
    most = np.abs(central).max(axis=0, where=noise < 0.1 * np.abs(central), initial=0.0)
    good = error <= 1e-3 * np.maximum(np.abs(better), 0.1 * most)
    return better, error, good


def _extrapolated(central: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Return per output the slope on which neighbouring steps agree, and its error.

    The shortest steps that agree to three digits are believed, and of those that say the same the
    most exact.
    """
    better, error, good = _table(central, noise)
    columns = np.arange(central.shape[1])
    shortest = len(good) - 1 - good[::-1].argmax(axis=0)
    same = np.abs(better - better[shortest, columns]) <= error + error[shortest, columns]
    candidates = np.where(good.any(axis=0), np.where(good & same, error, np.inf), error)
    best = candidates.argmin(axis=0)
    return better[best, columns], error[best, columns]


def _agreeing(
    better: Floats, doubt: Floats, good: NDArray[np.bool_], expected: float, near: float
) -> int | None:
    """Return the step whose slope is what is expected, unless one that is more exact denies it."""
    agrees = good & (np.abs(better - expected) <= near + doubt)
    with np.errstate(all="ignore"):
        same = np.abs(better[:, None] - better) <= doubt[:, None] + doubt
    denied = (same & (doubt[:, None] < doubt) & (good & ~agrees)[:, None]).any(axis=0)
    agrees &= ~denied
    return int(np.where(agrees, doubt, np.inf).argmin()) if agrees.any() else None


def _kinks(left: Floats, right: Floats, noise: Floats) -> tuple[Any, Any]:
    """Return per output whether it has a kink, and at which step to read its one-sided slopes.

    Looked at is the smallest step at which they still have three digits; two steps before, a
    curve's would lie 64 times as far apart.
    """
    most = np.maximum(np.abs(left), np.abs(right))
    fine = (noise <= 1e-3 * most) & np.isfinite(most)
    fine[:2] = False
    last = len(fine) - 1 - fine[::-1].argmax(axis=0)
    columns = np.arange(fine.shape[1])
    found = fine[last, columns]
    last = np.where(found, last, len(fine) // 2 + 2)

    def at(slopes: Floats, back: int) -> Floats:
        found: Floats = slopes[last - back, columns]
        return found

    here = at(most, 0)
    gap = at(right, 0) - at(left, 0)
    apart = np.abs(gap) > KINK * here
    for back in (1, 2):
        for side in (left, right):
            apart &= np.abs(at(side, back) - at(side, 0)) <= 0.3 * np.abs(gap) + at(noise, 0)
    return found & apart, last - 2  # where rounding errors are 64 times smaller still
