"""Changing tensors in place: operators, ``add_`` and its kin, ``copy_``, ``fill_``, ``zero_``.

Expected values are closed forms, finite differences, or what PyTorch 2.13 gives for the same lines.
"""

import operator
import weakref

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.autograd.memory import change_time
from tinygrad_adam.errors import (
    ArgumentError,
    DTypeError,
    InPlaceError,
    ShapeError,
    TinygradError,
)


def leaf(values, dtype=np.float64):
    return tg.tensor(np.asarray(values, dtype), requires_grad=True)


def plain(values, dtype=np.float64):
    return tg.tensor(np.asarray(values, dtype))


OPERATORS = {
    "add_": (operator.iadd, lambda a, b: a + b),
    "sub_": (operator.isub, lambda a, b: a - b),
    "mul_": (operator.imul, lambda a, b: a * b),
    "div_": (operator.itruediv, lambda a, b: a / b),
    "pow_": (operator.ipow, lambda a, b: a**b),
}


# --- operators and methods ----------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("other", [3.0, np.array([2.0, 3.0]), np.array([[2.0], [0.5]])])
def test_writes_into_the_memory_that_is_there(name, other):
    in_place, formula = OPERATORS[name]
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    for change in (in_place, lambda t, v: getattr(t, name)(v)):
        x = plain(values)
        same, flat, memory, version = x, x.reshape(4), x.data, change_time(x.data)
        y = change(x, plain(other) if isinstance(other, np.ndarray) else other)
        assert y is same
        assert y.data is memory
        assert change_time(x.data) > version
        np.testing.assert_array_equal(x.data, formula(values, other))
        np.testing.assert_array_equal(flat.data, formula(values, other).reshape(4))


def test_alpha():
    np.testing.assert_array_equal(plain([1.0, 2.0]).add_(plain([1.0, 1.0]), alpha=3).data, [4, 5])
    np.testing.assert_array_equal(plain([1.0, 2.0]).sub_(1, alpha=0.5).data, [0.5, 1.5])
    assert tg.tensor([1, 2]).sub_(1, alpha=2).tolist() == [-1, 0]
    with pytest.raises(DTypeError, match="alpha"):
        plain([1.0]).add_(1, alpha="2")


def test_a_view_variable_writes_into_its_base():
    m = tg.zeros(2, 2)
    row = m[1]
    row += 5
    m[:, 0] -= 1
    m[1] *= 2
    assert m.tolist() == [[-1.0, 0.0], [8.0, 10.0]]


def test_classic_gradient_descent():
    w = leaf([1.0, 2.0])
    kept = w
    for _ in range(3):
        (w * w).sum().backward()
        with tg.no_grad():
            w -= 0.25 * w.grad
        w.grad.zero_()
    assert w is kept
    assert w.is_leaf
    assert w.requires_grad
    np.testing.assert_array_equal(w.data, [0.125, 0.25])


def test_masks():
    a = tg.tensor([True, True, False])
    same = a
    a &= tg.tensor([True, False, False])
    assert same.tolist() == [True, False, False]
    a |= tg.tensor([False, False, True])
    assert same.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "other", "name"),
    [
        ([1, 2], 1.5, "add_"),
        ([1, 2], 2, "div_"),
        ([2, 3], 2.0, "pow_"),
        ([True], 1, "add_"),
    ],
)
def test_a_result_that_the_type_cannot_hold(values, other, name):
    x = tg.tensor(values)
    with pytest.raises(DTypeError, match=rf"{name}.*{x.dtype}"):
        OPERATORS[name][0](x, other)
    assert x.tolist() == values
    assert change_time(x.data) == 0


def test_a_result_of_lower_precision_is_fine():
    x = tg.tensor([1.0, 2.0], dtype=tg.float16)
    x += tg.ones(2)
    assert x.dtype == tg.float16
    assert x.tolist() == [2.0, 3.0]


def test_a_tensor_does_not_grow():
    x = plain([1.0])
    with pytest.raises(ShapeError, match=r"mul_.*\(2,\).*\(1,\)"):
        x *= plain([1.0, 2.0])
    assert x.tolist() == [1.0]


def test_what_is_no_operand():
    x = plain([1.0])
    with pytest.raises(DTypeError, match="str"):
        x += "a"
    with pytest.raises(TinygradError, match="clone"):
        tg.ones(1).expand(3).add_(1)


# --- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_of_both_sides(name):
    in_place, formula = OPERATORS[name]
    at = np.array([1.5, 2.0]), np.array([0.7, 3.0])
    a, b = leaf(at[0]), leaf(at[1])
    y = a * 1.0
    assert in_place(y, b) is y
    (y * y).sum().backward()
    for k, t in enumerate((a, b)):
        for i in range(2):
            step = np.zeros(2)
            step[i] = 1e-6
            up = (formula(*[v + step * (j == k) for j, v in enumerate(at)]) ** 2).sum()
            down = (formula(*[v - step * (j == k) for j, v in enumerate(at)]) ** 2).sum()
            np.testing.assert_allclose(t.grad.data[i], (up - down) / 2e-6, rtol=1e-6)


def test_with_itself():
    x = leaf([1.0, 3.0])
    y = x * 2.0
    y *= y
    y.sum().backward()  # 4 x^2
    np.testing.assert_array_equal(x.grad.data, [8.0, 24.0])


def test_second_derivative_through_a_chain_in_place():
    x = leaf([1.0, 2.0])
    y = x * x
    y *= x
    y += x
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    np.testing.assert_array_equal(g.data, [4.0, 13.0])
    np.testing.assert_array_equal(h.data, [6.0, 12.0])


def test_an_infinite_gradient_meets_only_what_it_should():
    x = leaf([1.0])
    y = x * 2.0
    y += 1.0
    y.backward(plain([np.inf]))
    np.testing.assert_array_equal(x.grad.data, [np.inf])


def test_a_constant_becomes_part_of_the_graph():
    x = leaf([1.0, 2.0])
    total = plain([0.0, 0.0])
    for k in (1.0, 2.0):
        total += x * k
    assert total.requires_grad
    assert not total.is_leaf
    total.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3.0, 3.0])


def test_a_leaf_is_not_changed_while_gradients_are_recorded():
    x = leaf([1.0, 2.0])
    with pytest.raises(InPlaceError, match=r"add_: a leaf.*no_grad"):
        x += 1.0
    for name, args in (("zero_", ()), ("fill_", (1.0,)), ("copy_", ([3.0, 4.0],)), ("mul_", (2,))):
        with pytest.raises(InPlaceError, match=f"^{name}: a leaf"):
            getattr(x, name)(*args)
    assert x.tolist() == [1.0, 2.0]
    assert x.is_leaf


def test_a_part_and_its_base_see_each_other():
    x, m = leaf([1.5, -2.0]), tg.zeros(3, 2, dtype=tg.float64)
    row = m[2]
    m[2] += x
    row *= x
    m[1] -= row
    (m * plain([[0.0, 0.0], [1.0, 1.0], [10.0, 100.0]])).sum().backward()
    assert row.tolist() == [2.25, 4.0]
    assert m.tolist() == [[0.0, 0.0], [-2.25, -4.0], [2.25, 4.0]]
    np.testing.assert_array_equal(x.grad.data, [27.0, -396.0])  # 9 and 99 times 2 x


def test_one_part_is_assigned_to_another():
    for recorded in (False, True):
        x = leaf([1.0, 2.0, 3.0])
        y = x * 1.0 if recorded else x.detach().clone()
        y[0] = y[1]
        assert y.tolist() == [2, 2, 3]
        y[1:] = y[:2]
        assert y.tolist() == [2, 2, 2]
        y[1] = y[-2]  # the same place in other words
        part = y[2:]
        part += 5.0
        y[2:] = part
        assert y.tolist() == [2, 2, 7]
        if recorded:
            (y * tg.tensor(np.array([1.0, 10.0, 100.0]))).sum().backward()
            assert x.grad.tolist() == [0, 111, 0]


def test_only_what_is_there_already_is_not_written_again():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y, z = x * 1.0, w * 1.0
    y[0] = z[0]  # the same place of another tensor
    assert y.tolist() == [3.0, 2.0]
    y[[1, 0]] = y[...]
    assert y.tolist() == [2.0, 3.0]
    (y * plain([1.0, 10.0])).sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([0.0, 1.0], [10.0, 0.0])


def test_assigned_floats_are_cut_in_an_integer_tensor():
    x, v = tg.tensor([1, 2, 3]), leaf([1.9, -1.9])
    row = x[:2]
    x[:2] = v
    x[2] = plain(7.5)
    assert (x.tolist(), x.dtype, x.requires_grad, row.requires_grad) == (
        [1, -1, 7], tg.int64, False, False,
    )  # fmt: skip
    with pytest.raises(DTypeError, match="add_"):
        x[:2] += v


def test_views_of_views_follow():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    base = x * 1.0
    outer = base[1:]
    inner = outer[1:]
    square = base.view(2, 2).T
    base.mul_(2.0)
    inner[0] = 5.0
    square[1] *= 10.0  # elements 1 and 3
    assert base.tolist() == [2, 40, 5, 80]
    assert (outer.tolist(), inner.tolist()) == ([40, 5, 80], [5, 80])
    w = plain([1.0, 3.0, 5.0])
    (gx,) = tg.autograd.grad((outer * w).sum(), x, retain_graph=True)
    assert gx.tolist() == [0, 20, 0, 100]
    (base.sum() + inner.sum() + square[:, 0].sum()).backward()
    assert x.grad.tolist() == [4, 40, 0, 40]


VIEWS = {
    "index": lambda y: y[1],
    "slices": lambda y: y[::-1, 1:],
    "chain": lambda y: y[1:][0][:2],
    "reshape": lambda y: (y if y.data.flags.c_contiguous else y.T).view(-1)[1:5],
    "transposed": lambda y: y.T[0],
    "mT": lambda y: y.mT[1:],
    "unsqueeze": lambda y: y.unsqueeze(1)[0],
    "squeeze": lambda y: y[None].squeeze(0)[:, 2],
    "expand": lambda y: y.expand(1, 2, 3)[0, 1],
    "split and merged": lambda y: y.T.reshape(3, 2, 1).permute(2, 1, 0).flatten(0, 1)[0],
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", VIEWS)
def test_writing_to_a_view_is_writing_to_its_base(name, order):
    # With a mask m of what the view covers: y = x (1 - m), plus the written value.
    start = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], order=order)
    m = tg.tensor(np.zeros_like(start))
    VIEWS[name](m).fill_(1.0)
    x, v, k = leaf(start), leaf(2.0), plain([[1.0, 10.0, 100.0], [1e3, 1e4, 1e5]])
    y = tg.from_numpy(np.zeros_like(start))
    y += x
    view = VIEWS[name](y)
    view.mul_(v)
    want = start * np.where(m.data == 1, 2.0, 1.0)
    np.testing.assert_array_equal(y.data, want)
    (gx, gv) = tg.autograd.grad((y**2 * k).sum(), (x, v), create_graph=True)
    np.testing.assert_allclose(gx.data, 2 * want * k.data * np.where(m.data == 1, 2.0, 1.0))
    np.testing.assert_allclose(gv.data, (2 * m.data * start**2 * 2.0 * k.data).sum())
    (gxv,) = tg.autograd.grad(gx.sum(), v, retain_graph=True)
    np.testing.assert_allclose(gxv.data, (4 * m.data * 2.0 * start * k.data).sum())
    view[...] = v  # broadcast over the view
    (gx, gv) = tg.autograd.grad((y * k).sum() + view.sum(), (x, v))
    np.testing.assert_allclose(gx.data, k.data * (1 - m.data))
    np.testing.assert_allclose(gv.data, ((k.data + 1) * m.data).sum())


def test_a_view_of_memory_with_gaps():
    # The gradient has no gaps, so what was a view of the values is none of the gradient.
    memory = np.arange(12.0).reshape(3, 4)
    y, x = tg.from_numpy(memory[:, :3]), leaf([[1.0, 2.0, 3.0]])
    flat = y[:, ::2].reshape(-1)
    assert np.shares_memory(flat.data, memory)
    y += x
    flat[1:3] *= 10.0
    (y * y).sum().backward()
    assert memory[:, :3].tolist() == [[1, 3, 50], [50, 7, 9], [9, 11, 13]]
    assert x.grad.tolist() == [[2 + 1000 + 18, 6 + 14 + 22, 1000 + 18 + 26]]


def test_an_operation_in_place_leaves_its_own_node():
    y = leaf([1.0, 2.0]) * 1.0
    y += 1.0
    assert y.grad_fn.op.name == "add"
    y[:1] += 1.0
    assert y.grad_fn.op.name == "setitem"
    before = y.grad_fn
    y[:1] = y[:1]  # which changes nothing
    assert y.grad_fn is before


def test_index_arrays_are_those_of_the_assignment():
    x, at = leaf([3.0]), tg.tensor([0, 2])
    y = tg.zeros(3, dtype=tg.float64)
    y[at] = x
    at.fill_(1)
    (y * plain([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [101.0]


def test_index_arrays_in_a_view():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    y = x * 1.0
    tail = y[1:]
    tail[tail > 2.5] = 0.0
    tail[[0, 2]] += x[:2] * 10.0
    assert y.tolist() == [1, 12, 0, 20]
    (y * y).sum().backward()
    assert x.grad.tolist() == [2 + 240, 24 + 400, 0, 0]


def test_a_dead_view_costs_nothing_and_a_dead_base_is_followed():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    first, both = y[0:1], y[0:2]
    node, view = weakref.ref(y.grad_fn), weakref.ref(first)
    del first
    assert view() is None
    first = both[0:1]
    del y
    first *= 3.0
    both.sum().backward()
    assert x.grad.tolist() == [3.0, 1.0]
    del first, both
    assert node() is None


def test_a_part_outlives_its_base():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    part, whole = y[0:1], y[:]
    y.data = np.zeros(2)
    part *= 5.0
    y += 1.0
    assert (part.tolist(), whole.tolist(), y.tolist()) == ([5.0], [5.0, 2.0], [1.0, 1.0])
    for t, wanted in ((part, [5.0, 0.0]), (whole, [5.0, 1.0]), (y, [1.0, 1.0])):
        (g,) = tg.autograd.grad(t.sum(), x, retain_graph=True)
        np.testing.assert_array_equal(g.data, wanted)
    z = x * 1.0
    part = z[1:2]
    del z
    part *= 3.0
    assert part.tolist() == [6.0]
    part.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 3.0])


def test_a_part_whose_data_was_replaced_is_none_any_more():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    part = y[0:1]
    part.data = np.array([7.0])
    y *= 2.0
    part *= 3.0
    assert (part.tolist(), y.tolist()) == ([21.0], [2.0, 4.0])
    part.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3.0, 0.0])  # by its old node


def test_a_part_of_a_leaf_is_not_changed():
    w = leaf([[1.0, 2.0], [3.0, 4.0]])
    row = w[0]
    with pytest.raises(InPlaceError, match=r"add_.*leaf"):
        row += 1.0
    with pytest.raises(InPlaceError, match="leaf"):
        w[0] *= 2.0
    assert w.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with tg.no_grad():
        w[0] *= 2.0
    assert w.tolist() == [[2.0, 4.0], [3.0, 4.0]]
    assert w.is_leaf
    part = plain([1.0, 2.0])[:1].requires_grad_()
    with pytest.raises(InPlaceError, match="leaf"):
        part *= 2.0


def test_a_view_made_without_recording_stays_out_of_the_graph():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    with tg.no_grad():
        part = y[0:1]
        whole = part[:].reshape(1, 1)
        part += 1.0
    for view in (part, whole, part[:]):
        with pytest.raises(InPlaceError, match=r"mul_.*made under no_grad"):
            view *= 2.0
    y *= 2.0
    assert (part.requires_grad, y.tolist()) == (False, [4.0, 4.0])
    free = tg.zeros(2)
    with tg.no_grad():
        part = free[0]
    part += 1.0
    with pytest.raises(InPlaceError, match=r"copy_.*made under no_grad"):
        part.copy_(x[0])
    assert free.tolist() == [1.0, 0.0]


def test_a_detached_tensor_is_on_its_own():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    other = y.detach()
    y *= 2.0
    assert (other.tolist(), other.requires_grad) == ([2.0, 4.0], False)
    other[:1] += x[1] * 3.0
    assert (y.tolist(), other.requires_grad) == ([8.0, 4.0], True)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2.0, 2.0]
    other.sum().backward()
    assert x.grad.tolist() == [2.0, 5.0]


def test_what_the_graph_had_kept_is_missed():
    x = leaf([1.0, 2.0])
    y = x * 3.0
    z = (y**2).sum()
    y += 1.0
    with pytest.raises(InPlaceError, match="pow"):
        z.backward()
    assert x.grad is None


def test_a_retained_gradient_is_that_of_the_new_value():
    x = leaf([1.0, 2.0])
    y = x * 2.0
    y.retain_grad()
    y *= 3.0
    assert y.retains_grad
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad.data, [12.0, 24.0])
    z = x * 2.0
    z.retain_grad()
    z[0] = 5.0
    assert z.retains_grad
    (z * z).sum().backward()
    np.testing.assert_array_equal(z.grad.data, [10.0, 8.0])


# --- copy_, fill_, zero_ ------------------------------------------------------------------------


def test_copy_lets_gradients_through():
    x, v = leaf([1.0, 2.0]), leaf([3.0])
    y = x * 2.0
    source = v * 3.0
    y.copy_(source)
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))  # of y, not of what was copied
    (y * plain([1.0, 10.0]) + source).sum().backward()
    assert seen == [[1.0, 10.0]]
    np.testing.assert_array_equal(v.grad.data, [39.0])
    np.testing.assert_array_equal(x.grad.data, [0.0, 0.0])


def test_copy_of_a_leaf_into_another_type():
    v = leaf([1.0, 2.0])
    y = tg.zeros(2)
    y.copy_(v)
    (y * 3).sum().backward()
    assert (y.dtype, v.grad.dtype) == (tg.float32, tg.float64)
    np.testing.assert_array_equal(v.grad.data, [3.0, 3.0])
    cut = tg.zeros(2, dtype=tg.int64)
    cut.copy_(tg.tensor([1.9, 2.9]))
    assert cut.tolist() == [1, 2]
    assert not cut.copy_(v).requires_grad


def test_constants_cut_what_was_there():
    for change in (lambda t: t.zero_(), lambda t: t.fill_(7.0), lambda t: t.copy_([1.0, 2.0])):
        x = leaf([1.0, 2.0])
        y = x * 2.0
        change(y)
        assert y.requires_grad
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.data, [0.0, 0.0])


def test_fill_lets_gradients_through():
    x, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * 2.0
    y.fill_(v.sum())
    y.sum().backward()
    assert y.tolist() == [7.0, 7.0]
    np.testing.assert_array_equal(v.grad.data, [2.0, 2.0])
    np.testing.assert_array_equal(x.grad.data, [0.0, 0.0])


@pytest.mark.parametrize("name", ["copy_", "fill_"])
def test_without_recording_the_graph_of_the_source_stays_out(name):
    w, p = leaf([3.0]), leaf([1.0, 2.0])
    source = (w * 2.0).sum()
    node, m = weakref.ref(source.grad_fn), tg.zeros(2, 2)
    row = m[0]
    with tg.no_grad():
        for t in (p, row, m):
            getattr(t, name)(source)
    assert p.is_leaf
    assert not row.requires_grad
    assert not m.requires_grad
    (p * 2.0).sum().backward()
    assert (p.tolist(), p.grad.tolist(), w.grad) == ([6.0, 6.0], [2.0, 2.0], None)
    del source
    assert node() is None


@pytest.mark.parametrize("name", ["fill_", "copy_"])
@pytest.mark.parametrize("value", ["a", None, 1j])
def test_what_is_no_number_is_refused(name, value):
    x = plain([1.0, 2.0])
    with pytest.raises(DTypeError):
        getattr(x, name)(value)
    assert x.tolist() == [1.0, 2.0]


def test_a_number_that_does_not_fit_is_refused():
    x = tg.zeros(2, dtype=tg.uint8)
    with pytest.raises(ArgumentError, match=r"fill_.*300"):
        x.fill_(300)
    with pytest.raises(ShapeError, match="fill_"):
        x.fill_(tg.ones(2))
    with pytest.raises(ShapeError, match="fill_"):
        x.fill_([1, 2])
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_([[1, 2]])
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_([[1, 2], [3]])
    assert x.tolist() == [0, 0]
    assert change_time(x.data) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(24))
def test_random_programs_agree_with_pytorch(seed):
    import torch

    draw = np.random.default_rng(seed)
    values = draw.uniform(0.5, 1.5, (2, 3))
    steps = [(draw.integers(8), draw.integers(2), draw.integers(2)) for _ in range(6)]

    def program(library, x, w):
        y = x * 1.0
        whole, row, other_row = y, y[0], y[1:]
        for what, which, on_row in steps:
            y = row if on_row else whole
            other = (w[0] if on_row else w, 1.25)[which]
            if what == 0:
                y += other
            elif what == 1:
                y -= other
            elif what == 2:
                y *= other
            elif what == 3:
                y /= other
            elif what == 4:
                y.add_(other, alpha=0.5)
            elif what == 5:
                y.copy_(w[1] * 2 if on_row else w * 2)
            elif what == 6:
                y.fill_(w.sum())
            else:
                whole[0] += w[1] * 0.5
        (whole * whole).sum().backward(retain_graph=True)
        (row * other_row).sum().backward()
        return whole, row, other_row, x.grad, w.grad

    ours = program(tg, leaf(values), leaf(values[::-1] + 0.25))
    theirs = program(
        torch,
        torch.tensor(values, requires_grad=True),
        torch.tensor(values[::-1] + 0.25, requires_grad=True),
    )
    for a, b in zip(ours, theirs, strict=True):
        mine, wanted = (0 if t is None else t.detach().numpy() for t in (a, b))
        np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-12)


def test_every_one_of_many_live_views_follows_a_write():
    w = tg.from_numpy(np.arange(40.0)).requires_grad_()
    x = w * 1
    views = [x[i] for i in range(40)]
    x[10:20] = 7.0
    assert [v.item() for v in views] == [*range(10), *[7.0] * 10, *range(20, 40)]
    sum(v * (i + 1) for i, v in enumerate(views)).backward()
    assert w.grad.tolist() == [0.0 if 10 <= i < 20 else i + 1.0 for i in range(40)]
