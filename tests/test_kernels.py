"""The compiled loops: each gives what NumPy gives, and NumPy goes on alone where there are none."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from backwards import value_and_gradients, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from opcases import CASES

import tinygrad_adam as tg
from tinygrad_adam.kernels import compiled, switch

pytest.importorskip("numba", reason="compiled loops need numba (extra fast)")

F = tg.nn.functional
MANY = settings(max_examples=60)
# what floats hold beside ordinary numbers; whole numbers for ties
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 1.0, -1.0, 2.0, -87.4, 88.0, 3e38]
NUMBERS = st.sampled_from(SPECIAL) | st.integers(-3, 3).map(float)


@pytest.fixture(autouse=True, scope="module")
def _eager():
    """Let the loops serve arrays of any size, from the start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switch._State, "on", True)
        patch.setattr(switch._State, "work", switch.ENOUGH)
        patch.setattr(compiled, "LEAST", 0)
        yield


def both(function):
    """Return what `function` returns with compiled loops and without, after asking for both."""
    tg.set_fast(True)
    fast = function()
    tg.set_fast(False)
    plain = function()
    tg.set_fast(True)
    return fast, plain


def same(fast, plain, dtype):
    """Raise unless the arrays are equal to rounding; NaN and infinities count too."""
    for mine, theirs in zip(fast, plain, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        rtol, atol = (3e-6, 1e-6) if dtype == np.float32 else (1e-13, 1e-14)
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol)


def spread(array, order):
    """Return `array` in another memory order: "N" batch innermost, "S" with gaps, C or F."""
    if order == "N":
        return np.ascontiguousarray(np.moveaxis(array, 0, -1)).transpose(
            array.ndim - 1, *range(array.ndim - 1)
        )
    if order == "S":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
        wide[..., 1::2] = array
        return wide[..., 1::2]
    return np.asarray(array, order=order)


DTYPES = st.sampled_from([np.float32, np.float64])
ORDERS = st.sampled_from("CFNS")


def drawn(shape, elements=NUMBERS):
    return hnp.arrays(np.float64, shape, elements=elements)


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def served(monkeypatch):
    """Return the names of the loops that have run."""
    names = set()
    real = switch.compiled("loops", 0)

    class Spy:
        def __getattr__(self, name):
            names.add(name)
            return getattr(real, name)

    monkeypatch.setattr(compiled, "loops", lambda size: Spy() if tg.is_fast() else None)
    return names


# --- every operation ----------------------------------------------------------------------------

SERVED = (
    "relu", "sigmoid", "max_pool2d", "cross_entropy", "binary_cross_entropy_with_logits",
    "conv_pool_relu", "linear",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [c for c in CASES if c.op in SERVED], ids=str)
def test_cases(case, dtype):
    def run():
        y, gradients = value_and_gradients(case, case.arrays(dtype), case.wanted)
        return [y, *gradients]

    same(*both(run), dtype)


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
@MANY
@given(st.data())
def test_element_by_element(name, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5))
    dtype, order = data.draw(DTYPES), data.draw(ORDERS)
    x = spread(data.draw(drawn(shape)).astype(dtype), order)
    g = data.draw(drawn(shape)).astype(dtype)
    if name == "sigmoid":  # at -88 its loop gives 0, where NumPy gives the subnormal beside it
        g[np.isinf(g)] = 0
    g = spread(g, data.draw(st.sampled_from([order, "C"])))

    def run():
        y, gradients = value_and_gradients(lambda t: getattr(tg, name)(t), [x], [0], g)
        return [y, *gradients]

    same(*both(run), dtype)


@MANY
@given(st.data())
def test_linear(data):
    dtype = data.draw(DTYPES)
    n, i, o = (data.draw(st.integers(0, 4)) for _ in range(3))
    whole = st.integers(-3, 3).map(float)  # no sum of these is rounded, in whatever order
    arrays = [
        spread(data.draw(drawn(shape, whole)).astype(dtype), data.draw(ORDERS))
        for shape in ((n, i), (o, i), (o,))
    ]

    def run():
        y, gradients = value_and_gradients(F.linear, arrays, [0, 1, 2])
        return [y, *gradients]

    same(*both(run), dtype)
    x, w, b = arrays
    np.testing.assert_array_equal(both(run)[0][0], x @ w.T + b)


def test_they_are_asked(served):
    x = tg.tensor([[1.0, -2.0]], requires_grad=True)
    (tg.relu(x) * tg.sigmoid(x)).sum().backward()
    F.max_pool2d(tg.ones(1, 1, 2, 2, requires_grad=True), 2).backward(tg.ones(1, 1, 1, 1))
    F.max_pool2d(tg.ones(1, 1, 3, 3), 3)
    F.linear(x.detach(), tg.ones(3, 2), tg.ones(3))
    F.cross_entropy(x, tg.tensor([1])).backward()
    F.binary_cross_entropy_with_logits(x, tg.ones(1, 2)).backward()
    assert served == {
        "relu", "relu_slope", "sigmoid", "sigmoid_slope", "max_pool_2x2", "max_pool_slope",
        "max_pool", "add_to_rows", "cross_entropy", "cross_entropy_slope", "logit_bce",
        "difference",
    }  # fmt: skip


# --- pooling ------------------------------------------------------------------------------------


@st.composite
def windows(draw):
    """Return an image size and the settings of a window that fits it."""
    kernel = draw(st.sampled_from([(2, 2), (2, 2), (1, 2), (3, 3), (2, 3)]))
    stride = draw(st.sampled_from([kernel, (1, 1), (2, 1), (3, 2)]))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding}
    how |= {"dilation": draw(st.sampled_from([1, 1, 1, 2])), "ceil_mode": draw(st.booleans())}
    least = [k - 2 * p if how["dilation"] == 1 else 2 * k - 1
             for k, p in zip(kernel, padding, strict=True)]  # fmt: skip
    return [draw(st.integers(max(1, n), 7)) for n in least], how


@settings(max_examples=200)
@given(windows(), st.data())
def test_max_pool(window, data):
    size, how = window
    dtype = data.draw(DTYPES)
    shape = (data.draw(st.integers(0, 3)), data.draw(st.integers(1, 3)), *size)
    x = spread(data.draw(drawn(shape)).astype(dtype), data.draw(st.sampled_from("CNS")))
    out = F.max_pool2d(tg.from_numpy(x), **how).shape
    g = data.draw(drawn(out, st.integers(-4, 4).map(float) | st.just(np.inf))).astype(dtype)
    g = spread(g, data.draw(st.sampled_from("CNS")))

    def run():
        y, gradients = value_and_gradients(lambda t: F.max_pool2d(t, **how), [x], [0], g)
        return [y, *gradients]

    (y, dx), (plain_y, plain_dx) = both(run)
    np.testing.assert_array_equal(y, plain_y)
    np.testing.assert_array_equal(dx, plain_dx)
    assert y.shape == plain_y.shape


@pytest.mark.parametrize("how", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}])
@pytest.mark.parametrize("order", "CN")
def test_second_derivatives_of_max_pool(how, order):
    x, v = (spread(weights((40, 2, 7, 6), seed=seed), order) for seed in (0, 1))

    def cubes(t):
        return (F.max_pool2d(t, **how) ** 3).sum()

    def run():
        found = tg.func.jvp(tg.func.grad(cubes), (tg.from_numpy(x),), (tg.from_numpy(v),))
        return [t.numpy() for t in found]

    found, expected = both(run)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    first, second = found
    windows = F.max_pool2d(tg.from_numpy(x), **how).shape[2:]
    uses = first / (3 * x**2)  # in how many windows a pixel is the largest
    np.testing.assert_allclose(uses, uses.round(), atol=1e-9)
    np.testing.assert_allclose(uses.sum(axis=(2, 3)), np.prod(windows))
    np.testing.assert_allclose(second, uses * 6 * x * v, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "N"])
@pytest.mark.parametrize("how", [{"kernel_size": 2}, {"kernel_size": 2, "padding": 1}], ids=str)
def test_every_window_of_a_few_numbers(how, order):
    few = list(itertools.product([np.nan, -np.inf, 1.0, 2.0], repeat=4))
    x = spread(np.repeat(np.reshape(few, (-1, 1, 2, 2)), 4, 0).astype(np.float32), order)
    g = np.arange(1, 1 + F.max_pool2d(tg.from_numpy(x), **how).numel(), dtype=np.float32)

    def run():
        y, gradients = value_and_gradients(
            lambda t: F.max_pool2d(t, **how).reshape(-1), [x], [0], g
        )
        return [y, *gradients]

    for mine, theirs in zip(*both(run), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_windows_that_leave_one_pixel_of_an_image():
    for order in "CN":
        x = spread(weights((40, 1, 2, 2)), order)

        def run(x=x):
            y, gradients = value_and_gradients(lambda t: F.max_pool2d(t, 2), [x], [0])
            return [y, *gradients]

        for mine, theirs in zip(*both(run), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_choice_of_numpy_is_understood_by_the_loops():
    x = tg.from_numpy(weights((2, 3, 4, 4), np.float32)).requires_grad_()
    gradients = []
    for first, second in ((False, True), (True, False), (True, True)):
        tg.set_fast(first)
        y = F.max_pool2d(x, 2)
        tg.set_fast(second)
        gradients.append(tg.grad(y.sum(), x)[0].numpy())
    assert gradients[0].tolist() == gradients[1].tolist() == gradients[2].tolist()


# --- convolution, pooling and relu at once ------------------------------------------------------


@settings(max_examples=100)
@given(st.data())
def test_conv_pool_relu(data):
    images, channels, outs = (data.draw(st.integers(1, n)) for n in (18, 3, 4))
    padding, bias = (
        data.draw(st.sampled_from([0, 1, (2, 0), "same", "valid"])),
        data.draw(st.booleans()),
    )
    size = (data.draw(st.integers(4, 8)), data.draw(st.integers(4, 8)))
    dtype, order = data.draw(DTYPES), data.draw(st.sampled_from("CNS"))
    # whole numbers: ties are ties in any order of adding up, and everything is exact
    few = st.integers(-3, 3).map(float)
    x = spread(data.draw(drawn((images, channels, *size), few)).astype(dtype), order)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(channels, outs, 3, padding=padding, bias=bias),
        tg.nn.ReLU(),
        tg.nn.MaxPool2d(2),
    )
    for p in net.parameters():
        p.data = data.draw(drawn(p.shape, few)).astype(dtype)
    bad = data.draw(st.sampled_from([None, np.inf, -np.inf]))
    if bad is not None:
        x[0, 0, 1, 1] = bad

    def run():
        y = net(tg.from_numpy(x))
        gradients = tg.grad(y, list(net.parameters()), tg.from_numpy(weights(y.shape, dtype)))
        return [y.data, *(g.data for g in gradients)]

    (y, *fast), (plain_y, *plain) = both(run)
    np.testing.assert_array_equal(y, plain_y)
    if bad is None:
        same(fast, plain, dtype)


class First(tg.nn.Module):
    def forward(self, pair):
        return pair[0]


def block(**how):
    return tg.nn.Conv2d(2, 3, 3, **how), tg.nn.ReLU(), tg.nn.MaxPool2d(2)


def test_a_block_is_run_at_once_where_that_is_the_same(served):
    x = tg.from_numpy(weights((2, 2, 6, 6), np.float32))
    net = tg.nn.Sequential(*block(), tg.nn.ReLU())
    net(x).sum().backward()
    assert {"conv_pool_relu", "conv_pool_relu_weight", "conv_pool_relu_bias"} <= served
    others = {
        "stride": tg.nn.Sequential(*block(stride=2)),
        "double": tg.nn.Sequential(*block()).double(),
        "window": tg.nn.Sequential(*block()[:2], tg.nn.MaxPool2d(3)),
        "ceil": tg.nn.Sequential(*block()[:2], tg.nn.MaxPool2d(2, ceil_mode=True)),
        "dilation": tg.nn.Sequential(*block()[:2], tg.nn.MaxPool2d(2, dilation=2)),
        "indices": tg.nn.Sequential(*block()[:2], tg.nn.MaxPool2d(2, return_indices=True), First()),
        "own forward": tg.nn.Sequential(*block()),
        "own class": tg.nn.Sequential(block()[0], type("Own", (tg.nn.ReLU,), {})(), block()[2]),
    }
    others["own forward"][0].forward = lambda x: tg.ones(1, 3, 2, 2)
    for name, other in others.items():
        served.clear()
        other(x.double() if name == "double" else x)
        assert ("conv_pool_relu" in served) == (name == "double"), name
    served.clear()
    net(x.requires_grad_()).sum().backward()
    assert "conv_pool_relu" not in served
    assert x.grad is not None


def test_errors_are_those_of_the_convolution():
    with pytest.raises(tg.errors.ShapeError, match="conv2d: weight expects 2 input channels"):
        tg.nn.Sequential(*block())(tg.ones(1, 3, 6, 6))


def test_a_block_is_differentiated_twice():
    x, net = tg.from_numpy(weights((2, 2, 6, 6))), tg.nn.Sequential(*block()).double()
    params = list(net.parameters())

    def run():
        first = tg.grad((net(x) ** 3).sum(), params, create_graph=True)
        return [g.data for g in tg.grad(sum((g * g).sum() for g in first), params)]

    same(*both(run), np.float64)


def test_gradients_are_the_same_from_run_to_run():
    x = tg.from_numpy(np.random.RandomState(1).randn(64, 1, 28, 28).astype(np.float32))
    net = tg.nn.Sequential(
        tg.nn.Conv2d(1, 8, 3),
        tg.nn.ReLU(),
        tg.nn.MaxPool2d(2),
        tg.nn.Flatten(),
        tg.nn.Linear(1352, 10),
    )
    runs = []
    for _ in range(3):
        net.zero_grad()
        F.cross_entropy(net(x), tg.from_numpy(np.arange(64) % 10)).backward()
        runs.append([p.grad.data.tobytes() for p in net.parameters()])
    assert runs[0] == runs[1] == runs[2]


# --- losses -------------------------------------------------------------------------------------


@MANY
@given(st.data())
def test_cross_entropy(data):
    rows, classes = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 20))
    dtype, order = data.draw(DTYPES), data.draw(st.sampled_from("CFS"))
    finite = st.floats(-100, 100, width=32) | st.sampled_from([-np.inf, np.nan, np.inf, 1e30])
    x = spread(data.draw(drawn((rows, classes), finite)).astype(dtype), order)
    labels = data.draw(hnp.arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    labels = labels.astype(data.draw(st.sampled_from([np.int64, np.uint8, np.int32])))
    reduction = data.draw(st.sampled_from(["mean", "sum"]))

    def loss(t):
        return F.cross_entropy(t, tg.from_numpy(labels), reduction=reduction)

    def run():
        y, gradients = value_and_gradients(loss, [x], [0])
        return [y, *gradients]

    fast, plain = both(run)
    same(fast, plain, np.float32)
    # and what the loss is in terms of other operations
    logp = tg.log_softmax(tg.from_numpy(x.astype(np.float64)), dim=1)
    chain = F.nll_loss(logp, tg.from_numpy(labels.astype(np.int64)), reduction=reduction)
    same(fast[:1], [chain.data.astype(dtype)], np.float32)


@MANY
@given(st.data())
def test_binary_cross_entropy_with_logits(data):
    shape = data.draw(hnp.array_shapes(max_dims=2, max_side=20))
    dtype, order = data.draw(DTYPES), data.draw(ORDERS)
    finite = st.floats(-100, 100, width=32) | st.sampled_from([-np.inf, np.nan, np.inf, 1e-40])
    x = spread(data.draw(drawn(shape, finite)).astype(dtype), order)
    t = spread(data.draw(drawn(shape, st.floats(0, 1, width=16))).astype(dtype), order)
    reduction = data.draw(st.sampled_from(["mean", "sum"]))

    def run():
        y, gradients = value_and_gradients(
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction=reduction), [x, t], [0]
        )
        return [y, *gradients]

    same(*both(run), np.float32)


# --- optimisers ---------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.1),
    "sgd-decay": lambda p: tg.optim.SGD(p, lr=0.1, weight_decay=0.3, maximize=True),
    "momentum": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.1),
    "nesterov": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "rmsprop": lambda p: tg.optim.RMSprop(p, lr=0.1, weight_decay=0.1, eps_root=1e-3),
    "rmsprop-centered": lambda p: tg.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
    "rmsprop-momentum": lambda p: tg.optim.RMSprop(p, lr=0.1, momentum=0.5, maximize=True),
    "adam": lambda p: tg.optim.Adam(p, lr=0.1),
    "adam-decay": lambda p: tg.optim.Adam(p, lr=0.1, weight_decay=0.3, maximize=True),
    "adam-root": lambda p: tg.optim.Adam(p, lr=0.1, eps=0.0, eps_root=1e-2),
    "amsgrad": lambda p: tg.optim.Adam(p, lr=0.1, amsgrad=True, eps_root=1e-3, weight_decay=0.1),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.1, weight_decay=0.2, amsgrad=True, maximize=True),
}


def held(optimizer):
    """Return the arrays of the optimiser's state."""
    state = [a for s in optimizer.state_dict()["state"].values() for a in s.values()]
    return [a.data if isinstance(a, tg.Tensor) else np.asarray(a) for a in state]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, dtype):
    def run():
        rng = np.random.RandomState(3)
        shapes = [(5,), (), (3, 7), (0, 2), (100, 101)]
        params = [tg.from_numpy(np.asarray(rng.randn(*s), dtype)).requires_grad_() for s in shapes]
        optimizer = OPTIMIZERS[name](params)
        for _ in range(4):
            for p in params:
                p.grad = tg.from_numpy(np.asarray(rng.randn(*p.shape), dtype))
            optimizer.step()
        return [*(p.data.copy() for p in params), *held(optimizer)]

    same(*both(run), dtype)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "sgd", "momentum", "rmsprop"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e-45])
def test_optimizers_on_bad_gradients(name, bad):
    def run():
        p = tg.tensor([1.0, 2.0, np.inf], requires_grad=True)
        optimizer = OPTIMIZERS[name]([p])
        for g in (1.0, bad, 1.0):
            p.grad = tg.tensor([g, 1.0, 0.5])
            optimizer.step()
        return [p.data, *held(optimizer)]

    same(*both(run), np.float32)


# --- the switch ---------------------------------------------------------------------------------


def outcome(code, **environment):
    """Return what a fresh interpreter prints."""
    env = {**os.environ, "TINYGRAD_ADAM_FAST": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


WORK = """
import sys
import tinygrad_adam as tg
x = tg.ones({size})
for _ in range({times}):
    tg.relu(x)
print(tg.is_fast(), "numba" in sys.modules)
"""


def test_numba_is_imported_when_there_is_work_for_it():
    assert outcome(WORK.format(size=2000, times=3)) == ["True", "False"]
    assert outcome(WORK.format(size=10, times=500)) == ["True", "False"]
    assert outcome(WORK.format(size=100_000, times=1)) == ["True", "True"]


def test_switched_off_by_the_environment():
    work = WORK.format(size=100_000, times=1)
    assert outcome(work, TINYGRAD_ADAM_FAST="0") == ["False", "False"]
    assert outcome(work, NUMBA_DISABLE_JIT="1")[0] == "False"


def test_without_numba_or_a_place_for_its_code():
    work = WORK.format(size=100_000, times=1)
    assert outcome(f"import sys; sys.modules['numba'] = None\n{work}")[0] == "False"
    nowhere = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "caching.CacheImpl.cache_locator_classes = []\n"
    )
    assert outcome(nowhere + work)[0] == "False"
