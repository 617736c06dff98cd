"""The table of faster versions: who is asked, in which turn, and that the numbers stay the same."""

from __future__ import annotations

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from backwards import value_and_gradients
from opcases import CASES

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, apply, faster, op, vocabulary
from tinygrad_adam.autograd.faster import FASTER


def forget_bound():
    """Let every operation ask the table again."""
    for operation in OPS.values():
        operation._bound.clear()
        operation.__dict__.pop("on_numpy", None)
    vocabulary.ON_NUMPY.__dict__.clear()
    vocabulary.ON_NUMPY.xp = np


@contextmanager
def only_plain():
    with mock.patch.dict(FASTER, clear=True):
        forget_bound()
        yield
    forget_bound()


@pytest.fixture
def table(registry):
    with mock.patch.dict(FASTER), mock.patch("tinygrad_adam.autograd.faster._in_use", set()):
        yield


def test_every_entry_is_a_part_of_something():
    for name, part, module in FASTER:
        assert module in ("numpy", "cupy")
        if part != "update":
            assert part in ("value", *OPS[name].inputs), (name, part)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_faster_versions_give_the_plain_numbers(case, dtype):
    arrays = case.arrays(dtype)
    y, gradients = value_and_gradients(case, arrays, case.wanted)
    with only_plain():
        plain, plain_gradients = value_and_gradients(case, arrays, case.wanted)
    assert y.dtype == plain.dtype
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for mine, theirs in zip([y, *gradients], [plain, *plain_gradients], strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("table")
def test_the_newest_is_asked_first_and_the_plain_one_last():
    asked = []

    def large(xp, x):
        asked.append("large")
        return x * 2 if x.size > 3 else NotImplemented

    def wide(xp, x):
        asked.append("wide")
        return x * 2 if x.ndim > 1 else NotImplemented

    double = op("double", lambda xp, x: x + x, x=lambda F, g: 2 * g)
    faster("double", value=wide)
    faster("double", value=large)
    assert apply(double, (tg.ones(4),)).tolist() == [2.0] * 4
    assert asked == ["large"]
    assert apply(double, (tg.ones(1, 1),)).tolist() == [[2.0]]
    assert asked == ["large", "large", "wide"]
    assert apply(double, (tg.ones(2),)).tolist() == [2.0, 2.0]
    assert asked[3:] == ["large", "wide"]


@pytest.mark.usefixtures("table")
def test_a_faster_derivative_asks_for_what_it_wants_and_is_not_recorded():
    calls = []

    def from_output(F, g, y, memo):
        calls.append(len(memo))
        return g * 2 * memo[0] if memo else NotImplemented

    def value(xp, x, *, memo):
        memo.append(x.copy())
        return x * x

    square = op("own_square", lambda xp, x, *, memo: x * x, x=lambda F, g, x: g * 2 * x)
    faster("own_square", value=value, x=from_output)
    x = tg.tensor([1.0, -3.0], requires_grad=True)
    apply(square, (x,), {"memo": []}).sum().backward()
    assert calls == [1]
    assert x.grad.tolist() == [2.0, -6.0]
    (first,) = tg.grad(apply(square, (x,), {"memo": []}).sum(), x, create_graph=True)
    (second,) = tg.grad(first.sum(), x)
    assert calls == [1]
    assert second.tolist() == [2.0, 2.0]


@pytest.mark.usefixtures("table")
def test_what_would_never_be_asked_is_refused():
    triple = op("triple", lambda xp, x: 3 * x, x=lambda F, g: 3 * g)
    apply(triple, (tg.ones(2),))
    with pytest.raises(TypeError, match=r"faster triple\.value: register it before"):
        faster("triple", value=lambda xp, x: x * 3)
    faster("triple", "cupy", value=lambda xp, x: x * 3)
    assert ("triple", "value", "numpy") not in FASTER


@pytest.mark.usefixtures("table")
def test_a_faster_derivative_that_asks_for_nothing_known_is_refused():
    op("quadruple", lambda xp, x: 4 * x, x=lambda F, g: 4 * g)
    faster("quadruple", x=lambda F, g, z: 4 * g)
    with pytest.raises(TypeError, match=r"op quadruple: a derivative asks for \{'z'\}"):
        apply(OPS["quadruple"], (tg.ones(2, requires_grad=True),))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relu_of_many_numbers(dtype):
    x = np.random.RandomState(0).standard_normal((70, 80)).astype(dtype)
    x[0, :6] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]
    g = np.ones_like(x)
    g[0] = np.inf
    for transpose in (False, True):
        a = tg.tensor(x.T if transpose else x, requires_grad=True)
        with np.errstate(invalid="ignore"):
            y = tg.relu(a)
        y.backward(tg.tensor(g.T if transpose else g))
        got, slope = (y.data.T, a.grad.data.T) if transpose else (y.data, a.grad.data)
        np.testing.assert_array_equal(got, np.where(np.isnan(x), np.nan, np.where(x > 0, x, 0)))
        np.testing.assert_array_equal(slope, np.where((x > 0) | np.isnan(x), g, 0))
