"""Every case of the table: derivatives of both orders, memory layouts, memory, element types."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from backwards import close, nodes, value_and_gradients, weights
from opcases import CASES, VALUES

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, gradcheck, gradgradcheck
from tinygrad_adam.autograd.memory import change_time, changed

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_first_order(case):
    gradcheck(case, case.tensors())


@every_case
def test_second_order(case):
    gradgradcheck(case, case.tensors())


# --- memory layouts -----------------------------------------------------------------------------


def strided(a):
    """Every second element, along every axis, of an array that holds NaN (or 7) between them."""
    between = np.nan if a.dtype.kind == "f" else 7
    big = np.full([2 * n + 1 for n in a.shape], between).astype(a.dtype)
    part = big[tuple(slice(1, 2 * n, 2) for n in a.shape)]
    part[...] = a
    return part


def batch_innermost(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0)


LAYOUTS = {
    "column-major": np.asfortranarray,
    "strided": strided,
    "negative": lambda a: np.flip(np.flip(a).copy()),
    "batch-innermost": batch_innermost,
}


@every_case
def test_layouts(case):
    arrays = case.arrays()
    value, gradients = value_and_gradients(case, arrays, case.wanted)
    w = weights(value.shape, value.dtype)
    for name, laid_out in LAYOUTS.items():
        moved = [laid_out(a) if a.ndim else a for a in arrays]
        y, found = value_and_gradients(case, moved, case.wanted, laid_out(w) if w.ndim else w)
        close(y, value, f"value, {name}", rtol=1e-12, atol=1e-13)
        for i, g, e in zip(case.wanted, found, gradients, strict=True):
            close(g, e, f"gradient of input {i}, {name}", rtol=1e-12, atol=1e-13)


def test_layouts_are_what_they_say():
    a = np.arange(24.0).reshape(2, 3, 4)
    moved = {name: laid_out(a) for name, laid_out in LAYOUTS.items()}
    assert all((m == a).all() and not m.flags.c_contiguous for m in moved.values())
    assert moved["column-major"].flags.f_contiguous
    assert all(s < 0 for s in moved["negative"].strides)
    assert moved["batch-innermost"].strides[0] == 8


# --- which operand needs a gradient -------------------------------------------------------------


@every_case
def test_operands_that_need_no_gradient(case):
    arrays = case.arrays()
    tensors = [tg.from_numpy(a) for a in arrays]
    assert case(*tensors).grad_fn is None, "a graph though nothing needs a gradient"
    for i in case.wanted:
        tensors[i].requires_grad_()
    with tg.no_grad():
        assert case(*tensors).grad_fn is None, "a graph under no_grad"
    if len(case.wanted) > 1:
        _, all_at_once = value_and_gradients(case, arrays, case.wanted)
        for i, expected in zip(case.wanted, all_at_once, strict=True):
            _, (alone,) = value_and_gradients(case, arrays, [i])
            close(alone, expected, f"input {i} alone", rtol=1e-13, atol=1e-14)


# --- who holds which memory ---------------------------------------------------------------------


def saved_arrays(y):
    """Return every array that the graph of `y` holds."""
    found, values = [], [value for node in nodes(y) for value in node.saved]
    while values:
        value = values.pop()
        if isinstance(value, tuple):
            values.extend(value)
        elif isinstance(value, np.ndarray):
            found.append(value)
    return found


@every_case
def test_memory(case):
    for create_graph in (False, True):
        check_memory(case, create_graph)


def check_memory(case, create_graph):
    """Check that gradients lie in memory of their own, and that nothing else was written to."""
    arrays = case.arrays()
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    tensors = [tg.from_numpy(a) for a in arrays]
    for i in case.wanted:
        tensors[i].requires_grad_()
    y = case(*tensors)
    value = y.data.copy()
    w = tg.from_numpy(weights(y.shape, y.dtype))
    holders = {"input": arrays, "output": [y.data], "weights": [w.data], "saved": saved_arrays(y)}
    y.backward(w, create_graph=create_graph)
    gradients = [tensors[i].grad.data for i in case.wanted]
    for g, (what, held) in itertools.product(gradients, holders.items()):
        assert not any(np.shares_memory(g, a) for a in held), f"a gradient lies in {what} memory"
    for g, h in itertools.combinations(gradients, 2):
        assert not np.shares_memory(g, h), "two gradients share memory"
    for a, b in zip([*arrays, y.data], [*before, value], strict=True):
        np.testing.assert_array_equal(a, b, err_msg="changed")
    np.testing.assert_array_equal(w.data, weights(y.shape, y.dtype))
    for t in tensors:
        changed(t)
        if np.shares_memory(t.data, y.data):
            assert change_time(y.data) == change_time(t.data), "a change that a view does not know"


# --- element types ------------------------------------------------------------------------------


@every_case
def test_element_type_is_kept(case):
    value, gradients = value_and_gradients(case, case.arrays(), case.wanted)
    for dtype, tol in ((np.float32, 2e-5), (np.float16, 3e-2)):
        y, found = value_and_gradients(case, case.arrays(dtype), case.wanted)
        assert y.dtype == (case.casts or dtype)
        close(y, value, f"value in {dtype}", rtol=tol, atol=tol)
        for g, e in zip(found, gradients, strict=True):
            assert g.dtype == dtype
            close(g, e, f"gradient in {dtype}", rtol=tol, atol=tol)


# --- methods ------------------------------------------------------------------------------------


def test_methods_are_the_functions():
    public = {op.name for op in OPS.values()} | {c.op for c in CASES + VALUES}
    methods = {n for n in public if hasattr(tg, n) and hasattr(tg.Tensor, n)} - {"where"}
    assert len(methods) >= 60, "one was taken away"
    assert [n for n in methods if getattr(tg.Tensor, n) is not getattr(tg, n)] == []


def test_functional_names_are_the_functions():
    for name in ("relu", "sigmoid", "tanh", "softmax", "log_softmax", "one_hot", "pad"):
        assert getattr(tg.nn.functional, name) is getattr(tg, name)


@pytest.mark.parametrize(
    ("symbol", "function"),
    [
        (lambda a, b: a + b, tg.add), (lambda a, b: a - b, tg.sub), (lambda a, b: a * b, tg.mul),
        (lambda a, b: a / b, tg.div), (lambda a, b: a**b, tg.pow), (lambda a, b: a == b, tg.eq),
        (lambda a, b: a != b, tg.ne), (lambda a, b: a < b, tg.lt), (lambda a, b: a <= b, tg.le),
        (lambda a, b: a > b, tg.gt), (lambda a, b: a >= b, tg.ge), (lambda a, b: abs(-a), None),
    ],
)  # fmt: skip
def test_operators_are_the_functions(symbol, function):
    a, b = tg.tensor([1.0, 2.0, 3.0]), tg.tensor([2.0, 2.0, 2.0])
    expected = a if function is None else function(a, b)
    np.testing.assert_array_equal(symbol(a, b).data, expected.data)
    if function is not None:  # a number, or an array, on either side
        for other in (2.0, np.full(3, 2, np.float32)):
            np.testing.assert_array_equal(symbol(a, other).data, expected.data)
            reverse = function(b, a).data
            np.testing.assert_array_equal(symbol(other, a).data, reverse)
