"""The compiled convolution gives what the plain one gives, and serves what it should."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam.kernels import cpu, direct
from tinygrad_adam.kernels.split import share
from tinygrad_adam.ops.conv import Geometry

compiled = pytest.mark.skipif(direct._loops() is None, reason="needs Numba")
GEO = Geometry((1, 1), (1, 1), (1, 1), 1)
PARTS = ("conv2d", "conv2d_input", "conv2d_weight")


@pytest.fixture(autouse=True)
def _everything_is_served():
    """Also what is tiny, thin or narrow; memory that is read before it is written holds NaN."""
    aligned = direct._aligned

    def poisoned(size):
        array = aligned(size)
        array[:] = np.nan
        return array

    with mock.patch.multiple(direct, LEAST=1, FEW=0, SHORT=0, _aligned=poisoned):
        yield


def ordered(array, order):
    """Return equal values whose memory runs along the axes in `order`."""
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


@st.composite
def cases(draw, most=40):
    """Return x, w, b, v and a geometry that is served, of sizes on both sides of every block."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (3, 3), (2, 5)]))
    n, c, o = draw(st.integers(1, most)), draw(st.integers(1, 9)), draw(st.integers(1, 30))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 5))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    geo = Geometry(stride, padding, dilation, 1)
    x, w, b, v = (
        rng.standard_normal(shape, np.float32)
        for shape in ((n, c, *size), (o, c, *kernel), (o,), (n, o, *geo.out_size(size, kernel)))
    )
    orders = st.permutations(range(4))
    x, w, v = (ordered(a, draw(orders)) for a in (x, w, v))
    if draw(st.booleans()):
        x = x[:, ::-1]
    return x, w, b if draw(st.booleans()) else None, v, geo


def both(part, x, w, b, v, geo):
    """Return what the compiled and the NumPy version of a part give."""
    operands, settings = {
        "conv2d": ((x, w, b), {}),
        "conv2d_input": ((v, w), {"x_size": x.shape}),
        "conv2d_weight": ((x, v), {"w_size": w.shape}),
    }[part]
    fast = getattr(direct, part)(np, *operands, **settings, geo=geo)
    return fast, getattr(cpu, part)(*operands, *settings.values(), geo)


def check_close(got, exact, terms):
    """Compare with float64; `terms` is the sum of the magnitudes of what was added up."""
    assert got.dtype == np.float32
    assert got.shape == exact.shape
    assert (abs(got - exact) <= 1e-6 * terms + 1e-30).all()


@compiled
@settings(max_examples=150)
@given(cases(), st.sampled_from([1, 40, 100, 1024]), st.sampled_from([3, 12, 288]))
def test_equal_to_float64_for_any_geometry(case, piece, positions):
    *arrays, geo = case
    wide = [None if a is None else a.astype(np.float64) for a in arrays]
    sizes = [None if a is None else abs(a) for a in wide]
    with mock.patch.multiple(direct, PIECE=piece, POSITIONS=positions):
        for part in PARTS:
            fast = both(part, *arrays, geo)[0]
            spread = geo.stride != (1, 1) and geo.dilation != (1, 1)
            if part == "conv2d_input" and spread:
                assert fast is NotImplemented
                continue
            check_close(fast, both_numpy(part, wide, geo), both_numpy(part, sizes, geo))


def both_numpy(part, arrays, geo):
    with mock.patch.object(direct, part, return_value=None):
        return both(part, *arrays, geo)[1]


@compiled
@settings(max_examples=100)
@given(cases(most=12), st.data())
def test_not_a_number_and_infinity_come_out_where_they_should(case, data):
    x, w, b, v, geo = case
    for array in (x, w, v):
        for _ in range(data.draw(st.integers(0, 2))):
            place = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
            array[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    for part in PARTS:
        with np.errstate(invalid="ignore"):
            fast, plain = both(part, x, w, b, v, geo)
        if fast is not NotImplemented:
            np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4, err_msg=part)


@compiled
def test_an_infinite_weight_reaches_only_the_pixels_it_saw():
    w = np.ones((6, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = np.inf
    x, v = tg.ones(40, 1, 9, 9, requires_grad=True), np.ones((40, 6, 9, 9), np.float32)
    with np.errstate(invalid="ignore"):
        tg.nn.functional.conv2d(x, tg.tensor(w), padding=1).backward(tg.tensor(v))
    assert np.isfinite(x.grad.data[:, :, -1]).all()
    assert np.isinf(x.grad.data[:, :, :-1, :-1]).all()


@compiled
@pytest.mark.parametrize(("n", "c", "o"), [(0, 3, 8), (2, 0, 8), (2, 3, 0)])
def test_nothing_to_do(n, c, o):
    x, w = np.ones((n, c, 5, 5), np.float32), np.ones((o, c, 3, 3), np.float32)
    b = np.arange(o, dtype=np.float32)
    geo = Geometry((1, 1), (0, 0), (1, 1), 1)
    v = np.ones((n, o, 3, 3), np.float32)
    for part in PARTS:
        fast, plain = both(part, x, w, b, v, geo)
        np.testing.assert_array_equal(plain if fast is NotImplemented else fast, plain)


@compiled
@pytest.mark.parametrize(
    "change",
    [
        {"groups": 2},
        {"dtype": np.float64},
        {"LEAST": 1 << 30},
        {"FEW": 17},
        {"SHORT": 9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_cases_are_left_to_the_next_version(change):
    geo = Geometry((1, 1), (1, 1), (1, 1), change.get("groups", 1))
    dtype = change.get("dtype", np.float32)
    x, w = np.ones((4, 8, 6, 6), dtype), np.ones((8, 8 // geo.groups, 3, 3), dtype)
    v = np.ones((4, 8, *geo.out_size((6, 6), (3, 3))), dtype)
    limits = {name: value for name, value in change.items() if name.isupper()}
    with mock.patch.dict(vars(direct), limits):
        for part in PARTS:
            assert both(part, x, w, None, v, geo)[0] is NotImplemented


@compiled
def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(0)
    x, w, v = (
        rng.standard_normal(shape, np.float32)
        for shape in ((33, 7, 13, 13), (21, 7, 3, 3), (33, 21, 13, 13))
    )
    for part in PARTS:
        found = []
        for threads in (1, 1, 3):
            with mock.patch.object(direct, "_threads", lambda work, threads=threads: threads):
                found.append(both(part, x, w, None, v, GEO)[0])
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


@compiled
def test_training_takes_the_compiled_way_and_copies_each_array_once():
    x, w = tg.randn(16, 3, 20, 20, requires_grad=True), tg.randn(8, 3, 3, 3, requires_grad=True)
    with mock.patch.object(direct, "_padded", wraps=direct._padded) as spy:
        y = tg.nn.functional.conv2d(x, w, padding=1)
        assert spy.call_count == 1
        y.backward(tg.randn(*y.shape))
    assert spy.call_count == 2


@compiled
@pytest.mark.parametrize(
    ("padding", "stride"), [(0, 1), (1, 1), ((2, 1), 1), ((3, 0), 1), (1, 2), (0, (1, 3))]
)
def test_what_the_value_hands_over_serves_every_later_gradient(padding, stride):
    x, w = (tg.randn(*shape, requires_grad=True) for shape in ((5, 3, 9, 8), (7, 3, 3, 3)))
    y = tg.nn.functional.conv2d(x, w, padding=padding, stride=stride)
    wide = [tg.tensor(a.data, dtype=tg.float64, requires_grad=True) for a in (x, w)]
    z = tg.nn.functional.conv2d(*wide, padding=padding, stride=stride)
    for inputs in ([0, 1], [1], [0], [1, 0]):
        g = tg.randn(*y.shape)
        got = tg.grad(y, [(x, w)[i] for i in inputs], g, retain_graph=True)
        expected = tg.grad(z, [wide[i] for i in inputs], g.double(), retain_graph=True)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.parametrize(
    ("vectors", "size", "copied"),
    [(2, (6, 6), False), (1, (6, 6), True), (2, (16, 16), True), (4, (7, 5), False)],
)
def test_arrays_are_used_where_they_lie_if_nothing_behind_them_is_read(vectors, size, copied):
    n = vectors * direct._loops().LANES
    x = ordered(np.ones((n, 3, *size), np.float32), (1, 2, 3, 0))
    images = direct._padded(x, (0, 0), 1)
    assert np.shares_memory(images.flat, x) != copied
    assert not np.shares_memory(direct._padded(x, (1, 0), 1).flat, x)
    assert not np.shares_memory(direct._padded(np.ascontiguousarray(x), (0, 0), 1).flat, x)


@compiled
def test_compiled_loops_may_be_forbidden_at_any_time():
    before = tg.is_fast()
    x, w = (tg.randn(*shape, requires_grad=True) for shape in ((16, 3, 20, 20), (8, 3, 3, 3)))
    y = tg.nn.functional.conv2d(x, w, padding=1)
    try:
        tg.set_fast(False)
        assert both("conv2d", x.data, w.data, None, y.data, GEO)[0] is NotImplemented
        slow = tg.grad(y, (x, w), tg.ones_like(y), retain_graph=True)
    finally:
        tg.set_fast(before)
    for a, b in zip(slow, tg.grad(y, (x, w), tg.ones_like(y)), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-4, atol=1e-4)


# --- sharing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("size", "piece"), [(0, 3), (1, 3), (10, 3), (9, 3), (2, 100)])
def test_pieces_cover_all_once(size, piece, threads):
    done = np.zeros(size, int)

    def work(start, stop):
        done[start:stop] += 1

    share(work, size, piece, threads)
    assert (done == 1).all()


def test_a_helper_that_never_starts_is_not_waited_for():
    free, held = threading.Event(), threading.Semaphore(0)

    def hold(start, stop):
        held.release()
        free.wait()

    keeper = threading.Thread(target=share, args=(hold, 2, 1, 2))
    keeper.start()
    for _ in range(2):  # it and the only helper have a piece each
        held.acquire()
    done = []
    share(lambda start, stop: done.append(start), 4, 1, 2)
    assert done == [0, 1, 2, 3]
    free.set()
    keeper.join()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_piece_is_the_callers(threads):
    def work(start, stop):
        time.sleep(0.001)
        raise ZeroDivisionError(start)

    with pytest.raises(ZeroDivisionError):
        share(work, 4, 1, threads)


# --- other processors ---------------------------------------------------------------------------

NARROW = """
import numpy as np
from tinygrad_adam.kernels import cpu, direct, vectors
from tinygrad_adam.ops.conv import Geometry
assert vectors.LANES == {lanes}, vectors.LANES
rng = np.random.default_rng(0)
x, w, v = (rng.standard_normal(s, np.float32) for s in ((9, 5, 8, 7), (11, 5, 3, 2), (9, 11, 8, 8)))
geo, direct.LEAST = Geometry((1, 1), (1, 1), (1, 1), 1), 1
direct.SHORT = 0
assert direct._loops() is not None
for name, args, how in (
    ("conv2d", (x, w, None), {{}}),
    ("conv2d_input", (v, w), {{"x_size": x.shape}}),
    ("conv2d_weight", (x, v), {{"w_size": w.shape}}),
):
    fast = getattr(direct, name)(np, *args, **how, geo=geo)
    plain = getattr(cpu, name)(*args, *how.values(), geo)
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)
"""


@compiled
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
@pytest.mark.parametrize(
    ("lanes", "name", "flags"),
    [(8, "haswell", "+avx,+avx2,+fma"), (4, "nehalem", "+sse4.2")],
    ids=["avx2", "sse"],
)
def test_narrower_vectors(lanes, name, flags):
    environment = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": flags}
    code = NARROW.format(lanes=lanes)
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
