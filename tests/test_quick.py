"""The short way through `autograd.quick` does what `apply` does, for every operation it serves."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, apply, quick
from tinygrad_adam.errors import DTypeError, InPlaceError, ShapeError


def served(count):
    """Return the operations on `count` operands, smooth in all, that have no settings."""
    return [
        o
        for o in OPS.values()
        if len(o.inputs) == count
        and not (o.variadic or o.params or o.view)
        and o.smooth_inputs == (1 << count) - 1
    ]


def refused(*operands):
    raise AssertionError(f"the short way gave up on {operands}")


def leaf(values, dtype, grad=True):
    return tg.tensor(np.array(values, dtype), requires_grad=grad)


def state(out):
    """Return everything the engine knows of a result."""
    node = out._node
    if node is None:
        return out.dtype, out.shape, out.tolist()
    saved = [(s.dtype, s.tolist()) if hasattr(s, "dtype") else s for s in node.saved]
    parents = [None if p is None else (type(p), id(p)) for p in node.parents]
    return [
        *(out.dtype, out.shape, out.tolist(), type(out), type(out._data)),
        *(node.op, parents, node.plan, saved),
        *(node.shape, node.dtype, node.hooks, node.keeper),
    ]


X, Y = [[0.25, 0.5], [0.75, 0.375]], [[0.75, 0.5], [0.625, 0.125]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("operation", served(1), ids=lambda o: o.name)
def test_one_operand(operation, dtype):
    for values in (X, 0.5, np.empty((0, 3))):
        for grad in (True, False):
            x = leaf(np.add(values, operation.name == "acosh"), dtype, grad)  # is for 1 and more
            assert state(quick.unary(operation, refused)(x)) == state(apply(operation, (x,)))
            with tg.no_grad():
                assert quick.unary(operation, refused)(x)._node is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("operation", served(2), ids=lambda o: o.name)
def test_two_operands(operation, dtype):
    run = quick.binary(operation, refused)
    for left, right in ((X, Y), (0.5, 0.25))[: 1 if operation.name == "matmul" else 2]:
        for grads in ((True, True), (True, False), (False, True), (False, False)):
            a, b = (leaf(v, dtype, g) for v, g in zip((left, right), grads, strict=True))
            assert state(run(a, b)) == state(apply(operation, (a, b)))
        a = leaf(left, dtype)
        assert state(run(a, a)) == state(apply(operation, (a, a)))


NUMBERS = [n for n in ("add", "sub", "mul", "div", "pow", "maximum", "minimum") if n in OPS]


@pytest.mark.parametrize("number", [2, -1.5, 0, 0.0, -0.0, 1, 0.1, 1 << 70, np.inf, np.nan])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_have_the_values_they_have_on_the_long_way(name, number):
    operation, run = OPS[name], quick.binary(OPS[name], refused, constants=name != "pow")
    for dtype in (np.float32, np.float64):
        for order in (1, -1):
            x, z = leaf(X, dtype), leaf(X, dtype)
            with np.errstate(all="ignore"):
                mine = run(*(x, number)[::order])
                plain = apply(operation, (z, number)[::order])
                mine.sum().backward()
                plain.sum().backward()
            for ours, theirs in ((mine, plain), (x.grad, z.grad)):
                assert ours.dtype == theirs.dtype == dtype
                np.testing.assert_array_equal(ours.data, theirs.data)
                np.testing.assert_array_equal(np.signbit(ours.data), np.signbit(theirs.data))


def test_a_constant_is_shared_and_cannot_be_written_to():
    float32 = np.dtype(np.float32)
    assert quick.constant(2.5, float32) is quick.constant(2.5, float32)
    assert quick.constant(0.0, float32) is not quick.constant(-0.0, float32)
    assert not quick.constant(7, float32).flags.writeable


def test_the_unusual_goes_the_long_way():
    x = leaf(X, np.float32)
    asked = []
    run = quick.binary(OPS["mul"], lambda *operands: asked.append(operands))
    wide, whole = leaf(X, np.float64), tg.arange(2)
    wrong = leaf([1.0, 2.0, 3.0], np.float32)
    for operands in ((x, wide), (x, whole), (whole, x), (whole, 2), (x, True), (x, np.ones(2)),
                     (x, None), (None, x), (x, wrong), (x, np.float32(2))):  # fmt: skip
        run(*operands)
        assert asked.pop() is not None
    assert not asked
    with pytest.raises(ShapeError, match=r"mul: .*float32 \(2, 2\).*float32 \(3,\)"):
        x * wrong
    with pytest.raises(DTypeError, match="mul: operands must be tensors"):
        tg.mul(x, "a")


def test_a_change_after_recording_is_noticed_and_one_before_is_not():
    x, y = leaf(X, np.float64), leaf(Y, np.float64)
    with tg.no_grad():
        x.mul_(2)
    loss = (x * y).sum()
    with tg.no_grad():
        tg.ones(2).mul_(2)  # of no concern
    loss.backward()
    loss = (x * y).sum()
    with tg.no_grad():
        y.mul_(2)
    with pytest.raises(InPlaceError, match="mul"):
        loss.backward()
