"""Faster versions on NumPy alone: they give what the plain ones give, ties and infinities too."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from backwards import value_and_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_adam as tg
from tinygrad_adam.kernels import cpu
from tinygrad_adam.kernels import pool as kernel_pool
from tinygrad_adam.nn import container
from tinygrad_adam.ops import pool
from tinygrad_adam.ops.conv import Geometry

F = tg.nn.functional
FEW = st.integers(-2, 2).map(float) | st.sampled_from([np.inf, -np.inf, -0.0])


@pytest.fixture(autouse=True)
def _numpy_alone():
    before = tg.is_fast()
    tg.set_fast(False)
    yield
    tg.set_fast(before)


@settings(max_examples=150)
@given(st.data())
def test_max_pool_remembers_its_choice(data):
    kernel = data.draw(st.sampled_from([(2, 2), (3, 3), (1, 2), (3, 2)]))
    stride = data.draw(st.sampled_from([kernel, (4, 4), (2, 1)]))
    size = [data.draw(st.integers(k, 8)) for k in kernel]
    shape = (data.draw(st.integers(0, 2)), 2, *size)
    x = data.draw(hnp.arrays(np.float32, shape, elements=FEW | st.just(np.nan)))
    how = {"kernel_size": kernel, "stride": stride}
    win = pool.Window(kernel, stride, (0, 0))
    if data.draw(st.booleans()):
        x = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    large = data.draw(st.sampled_from([1, kernel_pool.LARGE]))
    plain = pool._max_pool2d(np, x, win=win)
    g = np.random.RandomState(0).randint(-5, 6, plain.shape).astype(np.float32)
    g[g == 5] = np.inf
    with mock.patch.multiple(kernel_pool, LARGE=large, BLOCK=1):
        y, (dx,) = value_and_gradients(lambda t: F.max_pool2d(t, **how), [x], [0], g)
        _, places = F.max_pool2d(tg.from_numpy(x), **how, return_indices=True)
    np.testing.assert_array_equal(y, plain)
    with np.errstate(invalid="ignore"):
        code = pool._max_pool2d_code(np, x, win=win)
        expected = pool._max_pool2d_grad(np, g, code, x_size=x.shape, win=win)
    np.testing.assert_array_equal(dx, expected)
    at = pool._max_pool2d_indices(np, code, width=shape[3], win=win)
    np.testing.assert_array_equal(places.data, at)


@settings(max_examples=60)
@given(hnp.arrays(np.float32, (2, 2, 4, 6), elements=FEW))
def test_relu_and_max_pool_commute_in_a_sequential(x):
    net = tg.nn.Sequential(tg.nn.ReLU(), tg.nn.MaxPool2d(2))
    weights = np.arange(1.0, 25.0, dtype=np.float32).reshape(2, 2, 2, 3)
    y, (dx,) = value_and_gradients(net, [x], [0], weights)
    with mock.patch.dict(container.TOGETHER, clear=True):
        plain_y, (plain_dx,) = value_and_gradients(net, [x], [0], weights)
    np.testing.assert_array_equal(y, plain_y)
    np.testing.assert_array_equal(dx, plain_dx)


@pytest.mark.parametrize("channels", [3, 16])
def test_the_number_of_threads_changes_no_bit_of_a_convolution(channels):
    rng = np.random.default_rng(0)
    x, w, v = (
        rng.standard_normal(shape, np.float32)
        for shape in ((5, channels, 13, 9), (8, channels, 3, 3), (5, 8, 13, 9))
    )
    geo = Geometry((1, 1), (1, 1), (1, 1), 1)
    found = []
    for threads in (1, 3):
        with mock.patch.object(cpu, "threads_for", lambda flops, threads=threads: threads):
            found.append(
                [
                    cpu.conv2d(x, w, np.ones(8, np.float32), geo),
                    cpu.conv2d_input(v, w, x.shape, geo),
                    cpu.conv2d_weight(x, v, w.shape, geo),
                ]
            )
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)


def test_one_module_alone_or_with_its_own_forward_is_run_by_itself():
    x = tg.tensor([[[[-1.0, 3.0], [2.0, 1.0]]]])
    relu, largest = tg.nn.ReLU(), tg.nn.MaxPool2d(2)
    assert tg.nn.Sequential(relu)(x).tolist() == [[[[0.0, 3.0], [2.0, 1.0]]]]
    relu.forward = lambda t: -t
    assert tg.nn.Sequential(relu, largest)(x).item() == 1.0


@settings(max_examples=60)
@given(st.data())
def test_the_loss_of_labels_is_what_it_says(data):
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5)))
    shape += data.draw(st.sampled_from([(), (3,), (2, 2)]))
    x = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-50, 50)))
    places = shape[:1] + shape[2:]
    labels = data.draw(hnp.arrays(np.int64, places, elements=st.integers(0, shape[1] - 1)))
    reduction = data.draw(st.sampled_from(["mean", "sum"]))
    w = np.array(1.5)

    def chain(t):
        logp = tg.log_softmax(t, dim=1)
        return F.nll_loss(logp, tg.from_numpy(labels), reduction=reduction)

    def loss(t):
        return F.cross_entropy(t, tg.from_numpy(labels), reduction=reduction)

    y, (dx,) = value_and_gradients(loss, [x], [0], w)
    expected, (expected_dx,) = value_and_gradients(chain, [x], [0], w)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1023, 8), (455, 16), (7, 1000), (2, 3, 5)])
def test_sums_over_rows(shape, dtype):
    x = np.random.RandomState(0).randint(-9, 9, shape).astype(dtype)
    for keep in (False, True):
        found = tg.sum(tg.from_numpy(x), dim=0, keepdim=keep).data
        np.testing.assert_array_equal(found, x.sum(0, keepdims=keep))
        assert found.dtype == dtype
    x[0] = np.inf
    assert np.isinf(tg.sum(tg.from_numpy(x), dim=0).data).all()


def test_the_mean_of_many_squares_keeps_its_digits():
    x = tg.full((1 << 20,), 1.1)
    assert F.mse_loss(x, tg.zeros(1 << 20)).item() == pytest.approx(1.21, rel=3e-7)


def test_element_types_are_the_objects_that_fast_paths_look_for():
    for dtype in (np.float32, np.float64):
        assert tg.nn.Linear(2, 3).to(dtype).weight.data.dtype is np.dtype(dtype)
        assert tg.zeros(2, dtype=dtype).data.dtype is np.dtype(dtype)


def test_the_gradient_of_linear_lies_in_memory_as_its_input():
    leaf, w, seen = tg.ones(3, 4, requires_grad=True), tg.ones(2, 3), []
    for x in (leaf.T, leaf.T.contiguous()):
        x.register_hook(lambda g: seen.append(g.data.flags.f_contiguous))
        F.linear(x, w).sum().backward()
    assert seen == [True, False]
