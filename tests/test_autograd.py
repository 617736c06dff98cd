"""The engine: recording, the backward walk, ownership of gradients, in-place changes, memory."""

import gc
import threading
import weakref

import numpy as np
import pytest
from backwards import nodes

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, apply, memory, op
from tinygrad_adam.autograd.memory import change_time
from tinygrad_adam.errors import (
    DTypeError,
    GraphError,
    GraphFreedError,
    InPlaceError,
    ShapeError,
    TinygradError,
)


def leaf(values, dtype=np.float64):
    return tg.tensor(np.asarray(values, dtype), requires_grad=True)


def plain(values, dtype=np.float64):
    return tg.tensor(np.asarray(values, dtype))


# --- the shape of the graph ---------------------------------------------------------------------


def test_reused_value_gets_the_sum_of_its_paths():
    x = leaf([3.0])
    y = x * x
    (y * y + y).backward()  # x^4 + x^2
    np.testing.assert_allclose(x.grad.data, [4 * 27 + 6])


def test_shared_sum_keeps_every_gradient():
    # Passing one array on to both operands of + and then adding into it in place gives b 5.
    a, b = leaf([2.0]), leaf([7.0])
    k = tg.tensor(np.array([2.0]))
    out = ((a + b) * k) + a * 3
    out.sum().backward()
    np.testing.assert_array_equal(a.grad.data, [5.0])
    np.testing.assert_array_equal(b.grad.data, [2.0])


def test_gradients_of_a_sum_are_two_arrays():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a + b).sum().backward()
    assert not np.shares_memory(a.grad.data, b.grad.data)
    a.grad.data[:] = 9
    np.testing.assert_array_equal(b.grad.data, [1.0, 1.0])


def test_gradient_shares_no_memory_with_parameter_seed_or_activation():
    a = leaf([1.0, 2.0])
    seed = np.array([1.0, 1.0])
    y = a.reshape(2, 1).reshape(2) + 0.0
    y.retain_grad()
    y.backward(tg.tensor(seed))
    start = tg.as_tensor(seed)
    b = leaf([5.0, 6.0])
    (b + 0.0).backward(start)
    for other in (seed, a.data, y.data, y.grad.data):
        assert not np.shares_memory(a.grad.data, other)
    assert not np.shares_memory(b.grad.data, seed)


def test_square_reduction_along_one_axis_is_not_transposed():
    x = leaf(np.zeros((3, 3)))
    weights = tg.tensor(np.array([1.0, 10.0, 100.0]))
    (x.sum(dim=1) * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.repeat([[1.0], [10.0], [100.0]], 3, axis=1))


def test_doubling_500_times():
    x = leaf(1.0)
    y = x
    for _ in range(500):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**500


def test_chain_of_100_000_operations():
    x = leaf(0.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert (y.item(), x.grad.item()) == (100_000.0, 1.0)
    del y  # taking the chain apart must not recurse either


@pytest.mark.usefixtures("registry")
def test_each_node_is_visited_once_however_often_it_is_used():
    calls = []
    counted = op("counted", lambda xp, x: x + 0, x=lambda F, g: calls.append(1) or g)
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = apply(counted, (y,))
        y = y + y
    y.backward()
    assert len(calls) == 40
    assert x.grad.item() == 2.0**40


def test_wide_fan():
    x = leaf(2.0)
    parts = [x * float(i) for i in range(3000)]
    total = parts[0]
    for p in parts[1:]:
        total = total + p
    total.backward()
    assert x.grad.item() == sum(range(3000))


# --- leaves, accumulation, modes ----------------------------------------------------------------


def test_gradients_accumulate_until_set_to_none():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * 3).sum().backward()
        np.testing.assert_array_equal(x.grad.data, [3.0 * times] * 2)
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3.0, 3.0])


def test_only_leaves_keep_gradients_unless_asked():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y * 3
    z.retain_grad()
    z.sum().backward()
    assert y.grad is None
    np.testing.assert_array_equal(z.grad.data, [1.0, 1.0])


def test_no_grad_enable_grad_and_detach():
    x = leaf([1.0])
    with tg.no_grad():
        assert not tg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
        assert not tg.is_grad_enabled()
    assert (x * 2).requires_grad
    y = (x * 2).detach()
    assert y.is_leaf
    assert not y.requires_grad
    (x * y).backward()
    np.testing.assert_array_equal(x.grad.data, [2.0])


def test_no_grad_ends_when_its_body_raises():
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        _ = 1 / 0
    assert tg.is_grad_enabled()


def test_no_grad_decorates():
    x = leaf([1.0])

    @tg.no_grad()
    def twice(v):
        """Double it."""
        return v * 2

    assert not twice(x).requires_grad
    assert (twice.__name__, twice.__doc__) == ("twice", "Double it.")


def test_no_grad_decorates_without_parentheses():
    x = leaf([1.0])

    @tg.no_grad
    def twice(v):
        """Double it."""
        with_grad = tg.enable_grad(lambda: v * 2)()
        return v * 2, with_grad

    without, with_grad = twice(x)
    assert not without.requires_grad
    assert with_grad.requires_grad
    assert (twice.__name__, twice.__doc__) == ("twice", "Double it.")
    with pytest.raises(TinygradError, match="set_grad_enabled"):
        tg.no_grad(False)


@pytest.mark.parametrize(
    "decorate", [tg.no_grad, tg.no_grad(), lambda f: tg.set_grad_enabled(False)(f)]
)
def test_a_decorated_generator_records_nothing_inside_and_everything_outside(decorate):
    log = []

    @decorate
    def numbers(n):
        try:
            for i in range(n):
                log.append(tg.is_grad_enabled())
                try:
                    log.append((yield i))
                except KeyError:
                    log.append("caught")
        finally:
            log.append(tg.is_grad_enabled())
        return "end"

    def outer():
        log.append((yield from numbers(1)))

    assert tg.is_grad_enabled()
    steps = numbers(5)
    assert next(steps) == 0
    assert tg.is_grad_enabled()
    assert steps.send("sent") == 1
    assert steps.throw(KeyError()) == 2
    steps.close()
    assert log == [False, "sent", False, "caught", False, False]
    assert tg.is_grad_enabled()
    log.clear()
    assert list(outer()) == [0]
    assert log == [False, None, False, "end"]


def test_set_grad_enabled_switches_at_once():
    try:
        tg.set_grad_enabled(False)
        assert not tg.is_grad_enabled()
        with tg.set_grad_enabled(True):
            assert tg.is_grad_enabled()
        assert not tg.is_grad_enabled()
    finally:
        tg.set_grad_enabled(True)
    switch = tg.set_grad_enabled(False)
    for _ in range(2):
        with switch, switch:
            assert not tg.is_grad_enabled()
        assert tg.is_grad_enabled()

    @tg.set_grad_enabled(False)
    def inside():
        return tg.is_grad_enabled()

    assert tg.is_grad_enabled()
    assert not inside()
    assert tg.is_grad_enabled()


def test_no_grad_of_one_thread_leaves_the_others_recording():
    inside, done, seen = threading.Event(), threading.Event(), []

    def other():
        inside.wait()
        seen.append(tg.is_grad_enabled())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.no_grad():
        inside.set()
        done.wait()
    thread.join()
    assert seen == [True]


def test_frozen_operand_is_not_kept():
    x, w = leaf([1.0, 2.0]), tg.tensor(np.array([3.0, 4.0]))
    y = x * w
    assert [s is w.data for s in y.grad_fn.saved] == [True]  # x is not among them


def test_integers_have_no_gradient():
    with pytest.raises(DTypeError, match="int64"):
        tg.tensor([1, 2], requires_grad=True)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.long(),
        lambda x: x.int(),
        lambda x: x.bool(),
        lambda x: x.to(tg.int64),
        lambda x: x.type_as(tg.tensor([1])),
        lambda x: x.sum(dtype=tg.int64),
    ],
)
def test_what_is_no_float_is_no_part_of_the_graph(convert):
    x = leaf([1.7, -2.2])
    i = convert(x)
    assert not i.requires_grad
    assert i.is_leaf
    i.numpy()
    (i.double() * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.broadcast_to(i.data, 2))


def test_backward_from_a_leaf():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_backward_into_chosen_inputs_only():
    a, b = leaf([1.0]), leaf([2.0])
    (a * b).backward(inputs=[a])
    assert a.grad.item() == 2.0
    assert b.grad is None


def test_chosen_inputs_may_come_from_a_generator():
    a, b = leaf([1.0]), leaf([2.0])
    out = a * b
    for nothing in ([], (), iter([])):
        with pytest.raises(GraphError, match="inputs"):
            out.backward(inputs=nothing)
        with pytest.raises(GraphError, match="inputs"):
            tg.autograd.grad(out, nothing)
    out.backward(inputs=(t for t in [b]))
    assert b.grad.item() == 1.0
    assert a.grad is None


def test_retains_grad():
    x = leaf([1.0])
    y = x * 2
    assert (x.retains_grad, y.retains_grad) == (False, False)
    x.retain_grad()
    y.retain_grad()
    assert (x.retains_grad, y.retains_grad) == (False, True)


def test_each_retained_gradient_has_its_own_memory():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y + 0.0  # whose rule hands on the very gradient it gets
    for t in (y, z):
        t.retain_grad()
    start = tg.ones_like(z)
    z.backward(start, retain_graph=True)
    z.grad.zero_()
    assert (y.grad.tolist(), start.tolist(), x.grad.tolist()) == ([1, 1], [1, 1], [2, 2])
    y.grad.fill_(7.0)
    assert (z.grad.tolist(), start.tolist(), x.grad.tolist()) == ([0, 0], [1, 1], [2, 2])
    z.backward(start)
    assert (y.grad.tolist(), z.grad.tolist(), x.grad.tolist()) == ([8, 8], [1, 1], [4, 4])


def test_mixed_types_give_each_input_its_own():
    a = tg.tensor(np.ones(2, np.float32), requires_grad=True)
    b = tg.tensor(np.ones(2, np.float64), requires_grad=True)
    out = a * b
    assert out.dtype == np.float64
    out.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


# --- errors leave everything as it was ----------------------------------------------------------


def test_backward_of_a_vector_wants_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"\(2,\).*gradient="):
        (x * 2).backward()
    assert x.grad is None
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        (x * 2).backward(tg.ones(3))
    (x * 2).backward(tg.tensor(np.array([1.0, 10.0])))
    np.testing.assert_array_equal(x.grad.data, [2.0, 20.0])


def test_backward_without_anything_to_differentiate():
    with pytest.raises(GraphError, match="requires_grad=True"):
        tg.ones(1).backward()


def test_second_backward_names_the_remedy_and_changes_nothing():
    x = leaf([2.0])
    y = (x * x).sum()
    y.backward()
    before = x.grad.data.copy()
    with pytest.raises(GraphFreedError, match="retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(x.grad.data, before)


def test_a_second_backward_needs_only_what_was_saved():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    loss = ((x + 1.0)[0] - x.T[1].reshape(2)).mean()  # saved shapes and indices only
    for k in (1.0, 2.0):
        loss.backward()
        np.testing.assert_array_equal(x.grad.data, np.array([[0.5, 0.0], [0.0, -0.5]]) * k)
    y = x.exp()
    loss = (y + x).sum()
    loss.backward()
    with pytest.raises(GraphFreedError, match="exp"):
        loss.backward()
    (g,) = tg.autograd.grad(loss, y)  # which exp is not asked for
    np.testing.assert_array_equal(g.data, np.ones((2, 2)))


PIECEWISE = {
    "relu": lambda x: x.relu(),
    "abs": lambda x: x.abs(),
    "clamp": lambda x: x.clamp(-1, 2),
    "maximum": lambda x: tg.maximum(x, x * 0.5),
    "amax": lambda x: x.amax(1),
    "max_pool2d": lambda x: tg.nn.functional.max_pool2d(x.reshape(1, 1, 2, 2), 2),
    "hidden": lambda x: (x @ plain([[1.0, -2.0], [3.0, 0.5]])).relu().abs(),
}


@pytest.mark.parametrize("name", PIECEWISE)
def test_a_derivative_that_is_constant_has_a_derivative(name):
    x = leaf([[1.5, -2.0], [3.0, 0.25]])
    (g,) = tg.autograd.grad(PIECEWISE[name](x).sum(), x, create_graph=True)
    assert g.requires_grad
    (g * g).sum().backward(plain(np.inf))
    np.testing.assert_array_equal(x.grad.data, np.zeros((2, 2)))


def test_a_derivative_that_depends_on_nothing_has_none():
    x = leaf([[1.5, -2.0], [3.0, 0.25]])
    for function in (
        lambda x: x + 1.0,
        lambda x: x * 2.0,
        lambda x: x.mean(),
        lambda x: x.T[0],
        lambda x: x.sign(),
        lambda x: x @ plain([1.0, 2.0]),
        lambda x: tg.where(x > 1, x, 0.0),
    ):
        (g,) = tg.autograd.grad(function(x).sum(), x, create_graph=True)
        assert not g.requires_grad


def test_backward_does_not_warn():
    x = leaf([0.0, 4.0])
    (g,) = tg.autograd.grad(x.sqrt().sum(), x, create_graph=True)
    np.testing.assert_array_equal(g.data, [np.inf, 0.25])
    (g * 0.5).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [-np.inf, -1 / 64])
    x.grad = None
    (x * 0.0).sqrt().sum().backward()
    assert np.isnan(x.grad.data).all()
    with pytest.warns(RuntimeWarning, match="divide"):
        x.log()


def test_second_backward_with_retain_graph():
    x = leaf([2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [8.0])
    with pytest.raises(GraphFreedError):
        y.backward()


def test_half_freed_graph_changes_nothing():
    x = leaf([2.0])
    shared = x * x
    first, second = shared.sum(), (shared * shared * x).sum()
    first.backward()
    before = x.grad.data.copy()
    with pytest.raises(GraphFreedError):
        second.backward()
    np.testing.assert_array_equal(x.grad.data, before)
    assert second.grad_fn.saved is not None  # the part above the freed node is still whole


def test_failed_operation_leaves_operands_alone():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0])
    version = change_time(a.data)
    with pytest.raises(ShapeError, match=r"mul.*\(2,\).*\(3,\)"):
        _ = a * b
    assert a.grad is None
    assert change_time(a.data) == version


def test_wrong_shape_in_grad_is_refused_before_any_leaf_changes():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"grad: .*\(2,\).*\(3,\)"):
        b.grad = tg.ones(3)
    assert b.grad is None
    b.grad = tg.ones(2).double()
    b.grad.data = np.ones(3)
    with pytest.raises(ShapeError, match=r"backward: .*\(2,\).*\(3,\)"):
        (a * b).sum().backward()
    assert a.grad is None


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (tg.zeros(3).double(), ShapeError),
        (tg.zeros(2, dtype=tg.int64), DTypeError),
        (tg.zeros(2), DTypeError),
        (tg.ones(1).double().expand(2), InPlaceError),
        (np.ones(2), DTypeError),
        (5, DTypeError),
    ],
)
@pytest.mark.parametrize("retained", [False, True])
def test_a_grad_that_cannot_be_added_to_is_refused_before_the_walk(bad, error, retained):
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    a.grad = tg.ones(2).double()
    y = a.exp()
    out = (y * b).sum()
    wrong = y if retained else b
    if retained:
        y.retain_grad()
    wrong.grad = held = tg.zeros(2).double()
    with pytest.raises(error, match=r"grad: .*\.grad"):
        wrong.grad = bad
    assert wrong.grad is held
    if isinstance(bad, tg.Tensor):
        held.data = bad.data
        with pytest.raises(error, match=r"backward: .*\.grad"):
            out.backward()
        assert wrong.grad is held
    wrong.grad = None
    assert a.grad.tolist() == [1.0, 1.0]
    out.backward()  # nothing was freed
    np.testing.assert_array_equal(a.grad.data, 1 + np.exp([1.0, 2.0]) * b.data)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_raises_leaves_every_gradient(create_graph):
    def refuse(g):
        raise ZeroDivisionError

    a, b = leaf([1.0]), leaf([2.0])
    a.grad = before = tg.ones(1).double()
    y = a * 3
    y.retain_grad()
    handle = b.register_hook(refuse)
    with pytest.raises(ZeroDivisionError):
        (y * b).sum().backward(create_graph=create_graph)
    assert a.grad is before
    assert a.grad.item() == 1.0
    assert b.grad is None
    assert y.grad is None
    handle.remove()
    (y * b).sum().backward(inputs=[b])
    assert b.grad.item() == 3.0


def test_grad_of_something_unused_frees_nothing():
    x, y = leaf([1.0]), leaf([1.0])
    out = x.exp().sum()
    with pytest.raises(GraphError, match="allow_unused"):
        tg.autograd.grad(out, [x, y])
    assert tg.autograd.grad(out, x)[0].item() == np.exp(1.0)


def test_what_is_no_tensor_and_no_gradient():
    x = leaf([2.0])
    for outputs in (5, [5]):
        with pytest.raises(GraphError, match="int"):
            tg.autograd.grad(outputs, x)
    out = x.exp()
    for gradient in ("a", np.array(["a"]), object(), np.array([1j])):
        with pytest.raises(DTypeError, match="gradient"):
            out.backward(gradient)
    out.backward([3.0])
    assert x.grad.item() == 3 * np.exp(2.0)


# --- in-place changes ---------------------------------------------------------------------------


def test_stale_saved_operand_is_refused():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    z = (y * y).sum()
    y[0] = 5.0
    with pytest.raises(InPlaceError, match="mul"):
        z.backward()
    assert x.grad is None


def test_stale_saved_output_is_refused():
    x = leaf([1.0, 2.0])
    y = x.exp()
    z = y.sum()
    y[0] = 5.0
    with pytest.raises(InPlaceError, match="exp"):
        z.backward()


def test_change_through_a_view_is_noticed():
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    with tg.no_grad():
        w.reshape(2, 1)[0, 0] = 7.0
    assert w.data[0] == 7.0
    with pytest.raises(InPlaceError):
        y.backward()


def test_change_through_detach_is_noticed():
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    w.detach()[0] = 7.0
    with pytest.raises(InPlaceError):
        y.backward()


@pytest.mark.parametrize("change", ["data", "copy_", "fill_", "step"])
def test_parameter_update_between_forward_and_backward_is_noticed(change):
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    with tg.no_grad():
        if change == "data":
            w.data = np.zeros(2)
        elif change == "copy_":
            w.copy_(tg.zeros(2))
        elif change == "fill_":
            w.fill_(3.0)
        else:
            w.grad = tg.tensor(np.ones(2))
            tg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(InPlaceError, match="mul"):
        y.backward()


def test_a_gradient_added_to_meanwhile_is_noticed():
    x, w = leaf([2.0]), leaf([3.0])
    (x * x).backward()
    y = w * x.grad
    (x * x).backward()
    assert x.grad.item() == 8.0
    with pytest.raises(InPlaceError, match="mul"):
        y.backward()


def test_two_tensors_made_of_one_array_know_of_each_others_changes():
    array = np.ones(4)
    first, second = tg.from_numpy(array[:2]), tg.from_numpy(array)
    y = (first.requires_grad_() * first).sum()
    second[0] = 5.0
    with pytest.raises(InPlaceError, match=r"changed in place.*: 'a', 'b';"):
        y.backward()


def test_labels_changed_meanwhile_are_noticed():
    logits, labels = leaf([[1.0, 2.0, 3.0]]), tg.tensor([0])
    loss = tg.nn.functional.cross_entropy(logits, labels)
    labels[0] = 1
    with pytest.raises(InPlaceError, match="'index'"):
        loss.backward()
    assert logits.grad is None


def test_changes_of_arrays_that_are_gone_are_forgotten():
    before = len(memory._changes)
    for _ in range(100):
        x = tg.zeros(3)
        x[0] = 1.0
    del x
    assert len(memory._changes) <= before


def test_change_before_the_forward_pass_is_fine():
    w = leaf([1.0, 2.0])
    with tg.no_grad():
        w.fill_(3.0)
    y = w.exp().log() * w
    y.sum().backward()
    np.testing.assert_allclose(w.grad.data, [6.0, 6.0])


def test_replaced_data_leaves_the_old_aliases():
    w = leaf([1.0, 2.0])
    old = w.detach()
    w.data = np.array([3.0, 4.0])
    y = (w * w).sum()
    old[0] = 9.0  # no longer the memory of w
    y.backward()
    np.testing.assert_array_equal(w.grad.data, [6.0, 8.0])


def test_change_to_something_not_saved_is_fine():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    z = (y + 1.0).sum()  # + saves nothing
    y[0] = 5.0
    z.backward()
    np.testing.assert_array_equal(x.grad.data, [1.0, 1.0])


def test_leaf_that_requires_a_gradient_is_not_written_to():
    x = leaf([1.0, 2.0])
    with pytest.raises(InPlaceError, match="leaf"):
        x[0] = 1.0
    with pytest.raises(InPlaceError, match="no_grad"):
        x.fill_(1.0)
    np.testing.assert_array_equal(x.data, [1.0, 2.0])


def test_index_assignment_routes_gradients():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([10.0])
    y = x * 2.0
    y[1:2] = v
    (y * tg.tensor(np.array([1.0, 10.0, 100.0]))).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2.0, 0.0, 200.0])
    np.testing.assert_array_equal(v.grad.data, [10.0])


def test_a_live_part_follows_an_assignment():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([4.0])
    y = x * 1.0
    row = y[0:2]
    row.retain_grad()
    y[0:1] = v
    assert row.tolist() == [4.0, 2.0]
    ((row * tg.tensor(np.array([5.0, 7.0]))).sum() + y.sum()).backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 8.0, 1.0])
    np.testing.assert_array_equal(v.grad.data, [6.0])
    np.testing.assert_array_equal(row.grad.data, [5.0, 7.0])


def test_assignment_beside_another_live_view():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    column = y.reshape(2, 1)
    y[0] = 0.0
    column.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.0, 1.0])


def test_recurrence_written_into_a_buffer():
    a = leaf(0.5)
    h = tg.zeros(4, dtype=tg.float64)
    h[0] = a
    for t in range(1, 4):
        h[t] = h[t - 1].clone() * a
    h.sum().backward()
    np.testing.assert_allclose(a.grad.item(), 1 + 2 * 0.5 + 3 * 0.25 + 4 * 0.125)


def test_broadcast_view_is_read_only():
    x = tg.ones(1).expand(3)
    with pytest.raises(TinygradError, match="clone"):
        x[0] = 2.0


# --- memory -------------------------------------------------------------------------------------


def test_graph_dies_with_its_last_tensor_without_the_collector():
    gc.disable()
    try:
        x = leaf(np.ones((4, 4)))
        loss = tg.nn.functional.mse_loss((x @ x).tanh().reshape(16)[2:], tg.zeros(14).double())
        watched = [weakref.ref(node) for node in nodes(loss)]
        assert len(watched) >= 5
        loss.backward()
        del loss
        assert all(n() is None for n in watched)
    finally:
        gc.enable()


def test_graph_of_a_graph_dies_too():
    gc.disable()
    try:
        x = leaf([1.0, 2.0])
        (g,) = tg.autograd.grad((x**3).sum(), x, create_graph=True)
        watched = [weakref.ref(node) for node in nodes(g)]
        del g
        assert all(n() is None for n in watched)
    finally:
        gc.enable()


def test_saved_arrays_are_freed_during_backward():
    x = leaf([1.0, 2.0])
    y = x.exp()
    activation = weakref.ref(y.data)
    z = y.log()  # keeps exp's output
    loss = z.sum()
    del y, z
    assert activation() is not None
    seen = []
    x.register_hook(lambda g: seen.append(activation() is None))
    loss.backward()
    assert seen == [True]


def test_activation_nobody_needs_dies_in_forward():
    x = leaf([1.0, 2.0])
    y = x + 1.0
    gone = weakref.ref(y.data)
    z = y + 1.0
    del y
    assert gone() is None
    assert z.requires_grad


def test_views_that_died_are_forgotten():
    x = leaf([1.0, 2.0])
    kept = []
    for _ in range(500):
        part = x[0:1]
        kept.append(part * 1)  # so that no two views have the same address
    assert len(x._family) <= 16
    views = [x[0:1] for _ in range(100)]
    with tg.no_grad():
        x.fill_(5.0)
    assert {change_time(v.data) for v in views} == {change_time(x.data)}
    assert len(x._family) <= 128


# --- hooks --------------------------------------------------------------------------------------


def test_hooks_on_leaves_and_in_between():
    x = leaf([1.0, 2.0])
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.data.copy()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y * y).sum().backward(retain_graph=True)
    np.testing.assert_array_equal(seen[0], [4.0, 8.0])
    np.testing.assert_array_equal(x.grad.data, [81.0, 161.0])
    handle.remove()
    handle.remove()
    x.grad = None
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [9.0, 17.0])


def test_leaf_hook_sees_the_whole_gradient_once():
    x = leaf([1.0])
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3).backward()
    assert seen == [5.0]


def test_hooks_of_the_root_run_though_no_input_lies_below():
    x, z, seen = leaf([1.0]), leaf([1.0, 2.0]), []
    y, w = x * 2.0, (z * 3.0).sum()
    y.register_hook(lambda g: seen.append(g.item()))
    y.retain_grad()
    assert tg.autograd.grad(y, z, allow_unused=True, retain_graph=True) == (None,)
    assert (seen, y.grad.item()) == ([1.0], 1.0)
    (g,) = tg.autograd.grad([y, w], z, retain_graph=True)
    assert (seen, g.tolist()) == ([1.0], [3.0, 3.0])  # of several roots, those on the way
    y.backward(inputs=[z])
    assert (seen, y.grad.item(), z.grad, x.grad) == ([1.0, 1.0], 2.0, None, None)


def test_hook_that_returns_nonsense():
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: tg.ones(3))
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        (x * 2).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("on_leaf", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_hook_that_changes_the_type(on_leaf, create_graph):
    x = leaf([1.0, 2.0])
    y = x * 2
    (x if on_leaf else y).register_hook(lambda g: g.float())
    with pytest.raises(DTypeError, match=r"hook.*float64.*float32"):
        y.sum().backward(create_graph=create_graph)
    assert x.grad is None


def test_each_registration_is_taken_off_by_its_own_handle():
    def times_ten(g):
        return g * 10

    x = leaf([1.0])
    first = x.register_hook(times_ten)
    x.register_hook(lambda g: g + 1)
    x.register_hook(times_ten)
    first.remove()
    first.remove()
    (x * 1).sum().backward()
    assert x.grad.item() == 20.0  # (1 + 1) * 10

    calls = []
    rule = tg.optim.SGD([x], lr=0.1)

    def count(*args):
        calls.append(1)

    for register in (rule.register_step_pre_hook, rule.register_step_post_hook):
        calls.clear()
        first, second = register(count), register(count)
        first.remove()
        first.remove()
        rule.step()
        assert len(calls) == 1
        second.remove()


def test_gradient_a_hook_kept_does_not_change_later():
    x = leaf([1.0])
    kept = []
    y = x * 1.0
    y.register_hook(kept.append)
    (y * 2 + y * 3).backward()
    x.grad.data[:] = 100
    assert kept[0].item() == 5.0


def test_gradient_a_leafs_hook_kept_does_not_change_later():
    x = leaf([1.0])
    kept = []
    x.register_hook(kept.append)
    (x * 2 + x * 3).backward()
    (x * 2).backward()  # adds to x.grad in place
    assert x.grad.item() == 7.0
    x.grad.zero_()
    assert [g.item() for g in kept] == [5.0, 2.0]


def test_a_hook_sees_the_type_of_its_tensor_when_recorded_too():
    for create_graph in (False, True):
        x = leaf([1.0, 2.0], np.float32)
        y = x * x
        seen = []
        y.register_hook(lambda g, seen=seen: seen.append(g.dtype))
        w = tg.tensor(np.array([1.0, 1e-50]))  # 0 in float32
        gradients = tg.autograd.grad(y, [x, y], w, create_graph=create_graph)
        assert [g.dtype for g in gradients] == seen * 2 == [np.float32] * 2
        assert [g.tolist() for g in gradients] == [[2, 0], [1, 0]]


# --- autograd.grad and higher orders ------------------------------------------------------------


def test_grad_leaves_grad_alone():
    x = leaf([2.0])
    (g,) = tg.autograd.grad((x**2).sum(), x)
    np.testing.assert_array_equal(g.data, [4.0])
    assert x.grad is None


def test_grad_of_an_intermediate_and_below_it():
    x = leaf([2.0])
    y = x * 3
    gy, gx = tg.autograd.grad((y**2).sum(), [y, x])
    np.testing.assert_array_equal(gy.data, [12.0])
    np.testing.assert_array_equal(gx.data, [36.0])


@pytest.mark.usefixtures("registry")
def test_grad_runs_only_what_leads_to_the_inputs():
    calls = []
    counted = op("counted", lambda xp, x: x + 0, x=lambda F, g: calls.append("x") or g)
    product = op(
        "counted_product",
        lambda xp, x, w: x * w,
        x=lambda F, g, w: calls.append("a wanted operand") or g * w,
        w=lambda F, g, x: calls.append("an unwanted operand") or g * x,
    )
    a, b, w = leaf(1.0), leaf(2.0), leaf(3.0)
    out = apply(counted, (a,)) * apply(product, (b, w))
    (g,) = tg.autograd.grad(out, b)
    assert g.item() == 3.0
    assert calls == ["a wanted operand"]
    # nor does backward, told which inputs
    out = apply(product, (b, w))
    out.backward(inputs=[b])
    assert calls == ["a wanted operand"] * 2
    assert (b.grad.item(), w.grad) == (3.0, None)


def test_grad_of_something_unused():
    x, y = leaf([1.0]), leaf([1.0])
    with pytest.raises(GraphError, match="allow_unused"):
        tg.autograd.grad((x * 2).sum(), [x, y])
    gx, gy = tg.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert gx.item() == 2.0
    assert gy is None


def test_grad_with_weights_and_several_outputs():
    x = leaf([1.0, 2.0])
    weights = [tg.tensor(np.array([1.0, 0.0])), tg.tensor(np.array([0.0, 1.0]))]
    (g,) = tg.autograd.grad([x * 2, x * x], x, weights)
    np.testing.assert_array_equal(g.data, [2.0, 4.0])


def test_gradients_asked_for_twice_are_two_arrays():
    x = leaf([1.0])
    a, b = tg.autograd.grad((x * 2).sum(), [x, x])
    assert not np.shares_memory(a.data, b.data)


def test_third_derivative():
    x = leaf(2.0)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = tg.autograd.grad(y, x, create_graph=True)
        assert y.item() == expected


def test_create_graph_through_backward():
    x = leaf([1.0, 2.0])
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (h,) = tg.autograd.grad(x.grad.sum(), x)
    np.testing.assert_array_equal(h.data, [6.0, 12.0])


def test_plain_gradient_needs_no_graph():
    x = leaf([1.0])
    (x * x).sum().backward()
    assert not x.grad.requires_grad


def test_gradient_penalty_matches_finite_differences():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 2))
    x = tg.tensor(rng.standard_normal((5, 3)))

    def penalty(w_value, graph):
        v = tg.tensor(w_value, requires_grad=True)
        (g,) = tg.autograd.grad((x @ v).tanh().sum(), v, create_graph=True)
        loss = (g * g).sum()
        return tg.autograd.grad(loss, v)[0].data if graph else loss.item()

    analytic = penalty(w, True)
    for i in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[i] = 1e-5
        numeric = (penalty(w + step, False) - penalty(w - step, False)) / 2e-5
        assert abs(numeric - analytic[i]) < 1e-6 * (1 + abs(numeric))


def test_hessian_of_a_small_convnet_matches_finite_differences():
    rng = np.random.default_rng(1)
    values = {
        "x": rng.standard_normal((2, 1, 6, 6)),
        "kernel": rng.standard_normal((2, 1, 3, 3)),
        "bias": rng.standard_normal(2),
        "weight": rng.standard_normal((3, 8)),
    }
    labels = tg.tensor(np.array([2, 0]))
    f = tg.nn.functional

    def gradient(v, create_graph):
        t = {k: tg.tensor(a, requires_grad=True) for k, a in v.items()}
        h = f.max_pool2d(f.conv2d(t["x"], t["kernel"], t["bias"]).tanh(), 2)
        loss = f.cross_entropy(f.linear(h.flatten(1), t["weight"]), labels)
        return t, tg.autograd.grad(loss, list(t.values()), create_graph=create_graph)

    t, grads = gradient(values, True)
    for row, name in enumerate(values):
        flat = grads[row].reshape(-1)
        for i in (0, 3, values[name].size - 1) if values[name].size > 3 else (0, 1):
            i = min(i, values[name].size - 1)
            columns = tg.autograd.grad(
                flat[i], list(t.values()), retain_graph=True, allow_unused=True
            )
            step = np.zeros(values[name].size)
            step[i] = 1e-5
            step = step.reshape(values[name].shape)
            _, up = gradient({**values, name: values[name] + step}, False)
            _, down = gradient({**values, name: values[name] - step}, False)
            for column, u, d in zip(columns, up, down, strict=True):
                numeric = (u.data - d.data) / 2e-5
                exact = np.zeros_like(numeric) if column is None else column.data
                np.testing.assert_allclose(exact, numeric, atol=1e-6)


# --- registering an operation -------------------------------------------------------------------


def test_misspelt_derivative_fails_at_registration():
    with pytest.raises(TypeError, match="asks for"):
        op("bad_rule", lambda xp, x: x, x=lambda F, g, z: g)
    with pytest.raises(TypeError, match="inputs are"):
        op("bad_input", lambda xp, x: x, w=lambda F, g: g)
    with pytest.raises(TypeError, match="registered already"):
        op("mul", lambda xp, x: x)
    assert not {"bad_rule", "bad_input"} & set(OPS)


@pytest.mark.usefixtures("registry")
def test_a_new_operation_in_two_lines():
    scaled = op(
        "scaled",
        lambda xp, x, *, by: x * by,
        x=lambda F, g, by: F.scaled(g, by=by),
    )
    x = leaf([1.0, 2.0])
    y = apply(scaled, (x,), {"by": 3.0})
    (g,) = tg.autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    np.testing.assert_array_equal(h.data, [18.0, 18.0])


# --- rare ways through the walk -----------------------------------------------------------------


def test_an_output_named_twice_counts_twice():
    x = leaf([1.0, 2.0])
    y = x * x
    (g,) = tg.autograd.grad([y, y], [x], [tg.from_numpy(np.array([1.0, 10.0]))] * 2)
    assert g.tolist() == [4.0, 80.0]


def test_the_walk_goes_on_behind_a_target_whose_own_inputs_are_not_asked_for():
    a, b = leaf([2.0]), leaf([5.0])
    older = b * 3
    middle = a * 2  # newer: passed first, and its derivative is not needed
    got = tg.autograd.grad((middle * older).sum(), [middle, b])
    assert [g.item() for g in got] == [15.0, 12.0]


def test_the_gradient_of_the_output_in_itself_is_a_copy():
    y = leaf([1.0, 2.0]) * 2
    w = tg.from_numpy(np.ones(2))
    (g,) = tg.autograd.grad(y, [y], w)
    assert g.tolist() == [1.0, 1.0]
    assert not np.shares_memory(g.data, w.data)


def test_what_a_hook_returns_has_a_gradient_under_create_graph():
    x = leaf([3.0])
    for hooked in (x, x * 1):
        x.grad = None
        handle = hooked.register_hook(lambda g: g * g)
        y = hooked**2
        (g,) = tg.autograd.grad(y.sum(), hooked, create_graph=True)
        assert g.item() == 36.0  # (2 x)**2
        handle.remove()
        (second,) = tg.autograd.grad(g.sum(), x)
        assert second.item() == 24.0  # 8 x
