"""Expectations worked out by hand: ties, NaN, infinities, extremes, element types, edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import InPlaceError

F = tg.nn.functional
NAN, INF = math.nan, math.inf


def gradient(function, *arrays, w=None):
    """Return the value of `function` in float64 and the gradient of each operand."""
    tensors = [tg.tensor(np.array(a, float), requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(tg.ones_like(y) if w is None else tg.tensor(np.array(w, float)))
    return [y.tolist(), *(t.grad.tolist() for t in tensors)]


def same(found, expected, rtol=1e-14):
    assert len(found) == len(expected)
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=rtol, atol=0)


# --- ties and kinks -----------------------------------------------------------------------------


def test_relu_and_abs_at_zero():
    same(gradient(tg.relu, [-1.0, -0.0, 0.0, 2.0]), [[0, 0, 0, 2], [0, 0, 0, 1]])
    same(gradient(tg.abs, [-3.0, 0.0, 2.0]), [[3, 0, 2], [-1, 0, 1]])


def test_maximum_and_minimum_halve_a_tie():
    a, b = [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]
    same(gradient(tg.maximum, a, b), [[1, 3, 3], [0.5, 0, 1], [0.5, 1, 0]])
    same(gradient(tg.minimum, a, b), [[1, 2, 2], [0.5, 1, 0], [0.5, 0, 1]])


def test_amax_shares_a_tie_evenly_and_max_along_an_axis_gives_it_to_the_first():
    x = [[3.0, 1.0, 3.0, 3.0], [2.0, 2.0, 5.0, 2.0]]
    third = 1 / 3
    same(gradient(lambda t: t.amax(1), x), [[3, 5], [[third, 0, third, third], [0, 0, 1, 0]]])
    same(gradient(lambda t: t.amin(1), x), [[1, 2], [[0, 1, 0, 0], [third, third, 0, third]]])
    same(gradient(lambda t: t.max(1).values, x), [[3, 5], [[1, 0, 0, 0], [0, 0, 1, 0]]])
    same(gradient(lambda t: t.min(1).values, x), [[1, 2], [[0, 1, 0, 0], [1, 0, 0, 0]]])
    same(gradient(tg.max, [2.0, 2.0]), [2, [0.5, 0.5]])


def test_argmax_gives_the_first():
    x = tg.tensor([[5, 5, 1], [0, 7, 7]])
    assert x.argmax().item() == 4
    assert x.argmax(1).tolist() == [0, 1]
    assert x.argmin(0, keepdim=True).tolist() == [[1, 0, 0]]
    assert x.argmax().dtype == tg.int64
    assert tg.tensor([1.0, NAN, NAN]).argmax().item() == 1


def test_max_pool_gives_a_tie_to_the_first_row_by_row():
    x = [[[[1.0, 2.0, 2.0], [2.0, 1.0, 0.0], [7.0, 7.0, 7.0]]]]
    first = [[[[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]]]
    same(gradient(lambda t: F.max_pool2d(t, 2, 1), x), [[[[[2, 2], [7, 7]]]], first])


def test_clamp_passes_both_ends():
    found = gradient(lambda t: t.clamp(-1, 1), [-2.0, -1, 0, 1, 2])
    same(found, [[-1, -1, 0, 1, 1], [0, 1, 1, 1, 0]])
    crossed = gradient(tg.clamp, [0.0, 5.0], [2.0, 2.0], [1.0, 1.0])
    same(crossed, [[1, 1], [0, 0], [0, 0], [1, 1]])


def test_std_of_equal_elements_has_no_slope():
    same(gradient(tg.std, [2.0, 2.0, 2.0]), [0, [0, 0, 0]])


def test_powers_of_zero():
    same(gradient(lambda t: t**0, [0.0, 2.0]), [[1, 1], [0, 0]])
    same(gradient(lambda t: t**2, [0.0]), [[0], [0]])
    # no warning about 0**-1 or log 0, though neither rule may need them
    same(gradient(tg.pow, [0.0, 0.0], [0.0, 2.0]), [[1, 0], [0, 0], [0, 0]])
    same(gradient(lambda b: 0.0**b, [0.0, 2.0]), [[1, 0], [0, 0]])


def test_an_infinite_gradient_beside_a_clamp_stays_there():
    with np.errstate(divide="ignore"):
        same(gradient(lambda t: t.clamp(min=0).log(), [-1.0, 2.0]), [[-INF, math.log(2)], [0, 0.5]])


# --- NaN and infinities -------------------------------------------------------------------------


def test_max_pool_never_chooses_the_border():
    low = np.full((1, 1, 2, 2), -INF)
    times = [[[[4, 2], [2, 1]]]]
    same(gradient(lambda t: F.max_pool2d(t, 2, 1, 1), low)[1:], [times])
    # and no window with a NaN loses its gradient
    (g,) = gradient(lambda t: F.max_pool2d(t, 2, 1, 1), [[[[NAN, 1.0], [1.0, 1.0]]]])[1:]
    assert np.sum(g) == 9
    # nor does the derivative of that gradient, which picks what it spread
    x, v = tg.tensor(low, requires_grad=True), tg.ones(1, 1, 3, 3, dtype=tg.float64)
    (g,) = tg.autograd.grad(F.max_pool2d(x, 2, 1, 1), x, v.requires_grad_(), create_graph=True)
    g.backward(tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=tg.float64))
    assert v.grad.tolist() == [[[[1, 1, 2], [1, 1, 2], [3, 3, 4]]]]


@pytest.mark.parametrize("dtype", [tg.float16, tg.float32, tg.float64])
@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_max_pool_gives_an_infinite_gradient_to_one_pixel_only(bad, dtype):
    x = tg.tensor([[[[1.0, 0.0, -1.0], [-1.0, -2.0, -3.0]]]], dtype=dtype, requires_grad=True)
    for stride, start, spread in ((2, [bad], [bad, 0, 0]), (1, [bad, 5.0], [bad, 5, 0])):
        v = tg.tensor([[[start]]], dtype=dtype, requires_grad=True)
        (g,) = tg.autograd.grad(F.max_pool2d(x, 2, stride), x, v, create_graph=True)
        np.testing.assert_array_equal(g.data, [[[spread, [0, 0, 0]]]])
        u = tg.tensor([[[[7.0, 8.0, bad], [bad, bad, bad]]]], dtype=dtype)
        (picked,) = tg.autograd.grad(g, v, u)
        assert picked.tolist() == [[[[7, 8][: len(start)]]]]


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_an_infinite_weight_of_a_convolution_reaches_only_what_it_saw(outputs):
    # as PyTorch has it, whatever the number of channels
    x, w = tg.zeros(2, 1, 3, 3, requires_grad=True), tg.ones(outputs, 1, 2, 2)
    w[0, 0, 0, 0] = INF
    with np.errstate(invalid="ignore"):  # the value is inf * 0
        F.conv2d(x, w).sum().backward()
    one = outputs
    seen = [[INF, INF, one], [INF, INF, 2 * one], [one, 2 * one, one]]
    assert x.grad.tolist() == [[seen], [seen]]


def test_nan_goes_through():
    for function in (tg.relu, tg.abs, tg.sigmoid, tg.tanh, tg.exp, tg.log, tg.sqrt, tg.neg):
        assert math.isnan(gradient(function, [NAN])[0][0])
    for function in (tg.maximum, tg.minimum):
        value, a, b = gradient(function, [NAN, 1.0], [1.0, NAN])
        assert np.isnan(value).all()
        assert a == b == [1.0, 1.0]
    for function in (tg.sum, tg.mean, tg.var, tg.max, tg.amin):
        with np.errstate(divide="ignore", invalid="ignore"):
            assert math.isnan(gradient(function, [1.0, NAN])[0])
    same(gradient(tg.relu, [NAN, -1.0]), [[NAN, 0], [1, 0]])
    same(gradient(lambda t: tg.clamp(t, -1, 1), [NAN]), [[NAN], [0]])
    assert np.isnan(F.max_pool2d(tg.tensor([[[1.0, NAN], [2.0, 3.0]]]), 2).data).all()


def test_logsumexp_of_nan_and_infinities():
    rows = tg.tensor([[1.0, NAN], [-INF, NAN], [-INF, -INF], [INF, 1.0], [-INF, 2.0], [INF, -INF]])
    expected = [NAN, NAN, -INF, INF, 2.0, INF]
    np.testing.assert_array_equal(tg.logsumexp(rows, 1).data, expected)
    same(gradient(lambda t: tg.logsumexp(t, 0), [-INF, 2.0]), [2, [0, 1]])
    same(gradient(lambda t: tg.logsumexp(t, 0), [NAN, 2.0]), [NAN, [NAN, NAN]])


def test_comparisons_with_nan():
    x = tg.tensor([NAN, 1.0])
    assert (x == x).tolist() == [False, True]
    assert (x != x).tolist() == [True, False]
    assert (x >= x).tolist() == [False, True]
    assert (x.isnan() | x.isfinite()).all()


# --- extremes -----------------------------------------------------------------------------------


def test_sigmoid_at_extremes():
    x = [1e4, -1e4, 800.0, -800.0, INF, -INF]
    same(gradient(tg.sigmoid, x), [[1, 0, 1, 0, 1, 0], [0] * 6])
    tiny = tg.sigmoid(tg.tensor(-700.0, dtype=tg.float64)).item()
    assert tiny == pytest.approx(math.exp(-700.0), rel=1e-12)  # 1 - sigmoid(700) would be 0


def test_softmax_at_extremes():
    same(gradient(lambda t: tg.softmax(t, 0), [1e4, -1e4, 1e4], w=[1, 0, 0]),
         [[0.5, 0, 0.5], [0.25, 0, -0.25]])  # fmt: skip
    same(gradient(lambda t: tg.log_softmax(t, 0), [0.0, -1e4], w=[0, 1]), [[0, -1e4], [-1, 1]])
    for x in (1e4, -1e4):
        found = gradient(lambda t: tg.logsumexp(t, 0), [x, x])
        same(found, [x + math.log(2), [0.5, 0.5]], rtol=1e-12)


def test_losses_at_extremes():
    def loss(x, target):
        t = tg.full((2,), target, dtype=tg.float64)
        return F.binary_cross_entropy_with_logits(x, t, reduction="none")

    same(gradient(lambda x: loss(x, 0.0), [1e4, -1e4]), [[1e4, 0], [1, 0]])
    same(gradient(lambda x: loss(x, 1.0), [1e4, -1e4]), [[0, 1e4], [0, -1]])
    same(gradient(lambda x: F.cross_entropy(x, tg.tensor([1, 0])), [[1e4, -1e4], [1e4, -1e4]]),
         [1e4, [[0.5, -0.5], [0, 0]]])  # fmt: skip
    # the logarithms are cut off at -100
    ones, none = tg.ones(2, dtype=tg.float64), {"reduction": "none"}
    value, _ = gradient(lambda x: F.binary_cross_entropy(x, ones, **none), [0.0, 1.0])
    assert value == [100.0, 0.0]


def test_binary_cross_entropy_in_the_target_is_cut_off_like_its_value():
    x = tg.tensor([0.0, 1.0, 0.5], dtype=tg.float64)
    with np.errstate(divide="ignore"):
        _, slope = gradient(lambda t: F.binary_cross_entropy(x, t, reduction="sum"), [0.0, 0, 0])
    assert slope == [100.0, -100.0, 0.0]


def test_large_counts_do_not_overflow_half():
    x = tg.full((300,), 300.0, dtype=tg.float16, requires_grad=True)
    y = tg.logsumexp(x, 0)
    assert y.item() == pytest.approx(300 + math.log(300), abs=0.3)


# --- element types ------------------------------------------------------------------------------

TYPES_OF_NUMBERS = [int, float, bool, np.float64, np.float32, np.float16, np.int64, np.bool_]


@pytest.mark.parametrize("dtype", [tg.float16, tg.float32, tg.float64], ids=str)
@pytest.mark.parametrize("type_of_number", TYPES_OF_NUMBERS)
def test_a_number_does_not_change_the_type(type_of_number, dtype):
    number = type_of_number(2)
    for function in (
        lambda x: x + number, lambda x: number + x, lambda x: x - number, lambda x: number - x,
        lambda x: x * number, lambda x: number * x, lambda x: x / number, lambda x: number / x,
        lambda x: x**number, lambda x: number**x, lambda x: tg.maximum(x, number),
        lambda x: tg.minimum(x, number), lambda x: x.clamp(min=number),
        lambda x: tg.where(x > number, x, number), lambda x: (x * number).mean() * number,
    ):  # fmt: skip
        for shape in ((), (2,)):
            x = tg.full(shape, 1.5, dtype=dtype, requires_grad=True)
            y = function(x)
            assert y.dtype == dtype
            y.backward(tg.ones_like(y))
            assert x.grad.dtype == dtype


def test_a_number_of_a_higher_kind_does():
    i, b = tg.arange(3), tg.tensor([True, False])
    assert (i + 1).dtype == (i * np.int32(1)).dtype == (i + True).dtype == tg.int64
    assert (i + 1.0).dtype == (i * np.float64(1)).dtype == (i / 2).dtype == tg.float32
    assert (b + 1).dtype == tg.int64
    assert (b + 1.0).dtype == tg.float32
    assert (b & True).dtype == tg.bool
    tg.set_default_dtype(tg.float64)
    assert (i + 1.0).dtype == tg.float64
    assert (tg.ones(2, dtype=tg.float16) + 1.0).dtype == tg.float16


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("int64", "float32", "float32"), ("int64", "float16", "float16"), ("bool", "int8", "int8"),
        ("uint8", "int8", "int16"), ("float16", "float32", "float32"), ("int8", "int64", "int64"),
        ("float32", "float64", "float64"), ("bool", "float16", "float16"),
    ],
)  # fmt: skip
def test_two_tensors(a, b, expected):
    for x, y in ((a, b), (b, a)):
        assert (tg.ones(2, dtype=x) * tg.ones(2, dtype=y)).dtype == expected
        assert tg.cat([tg.ones(2, dtype=x), tg.ones(1, dtype=y)]).dtype == expected
        assert tg.stack([tg.ones(2, dtype=x), tg.ones(2, dtype=y)]).dtype == expected
        chosen = tg.where(tg.tensor([True]), tg.ones(1, dtype=x), tg.ones(1, dtype=y))
        assert chosen.dtype == expected


def test_a_tensor_without_axes_is_outranked_within_its_kind():
    narrow, wide = tg.ones(2, dtype=tg.float32), tg.tensor(1.0, dtype=tg.float64)
    assert (narrow + wide).dtype == tg.float32
    assert (tg.ones(2, dtype=tg.int8) + tg.tensor(1)).dtype == tg.int8
    assert (tg.arange(2) + wide).dtype == tg.float64


def test_each_operand_gets_a_gradient_of_its_own_type():
    a = tg.ones(3, dtype=tg.float16, requires_grad=True)
    b = tg.ones(3, dtype=tg.float32, requires_grad=True)
    c = tg.ones(1, 3, dtype=tg.float64, requires_grad=True)
    (a * b * c * tg.arange(3)).sum().backward()
    assert [t.grad.dtype for t in (a, b, c)] == [tg.float16, tg.float32, tg.float64]
    assert [t.grad.tolist() for t in (a, b, c)] == [[0, 1, 2], [0, 1, 2], [[0, 1, 2]]]


def test_integers_are_summed_as_int64_and_divided_as_floats():
    x = tg.tensor([200, 200], dtype=tg.uint8)
    assert x.sum().item() == 400
    assert x.cumsum(0).tolist() == [200, 400]
    assert tg.tensor([True, True]).sum().dtype == tg.int64
    assert (tg.tensor(3) / tg.tensor(2)).item() == 1.5
    assert tg.sqrt(tg.tensor(4)).dtype == tg.float32


# --- adding up ----------------------------------------------------------------------------------

HALF = {"dtype": tg.float16}
SUMS = {
    # each beyond what half precision can add up, expected is what PyTorch gives
    "mean": (lambda: tg.full((300,), 300.0, **HALF).mean(), 300),
    "sum": (lambda: tg.ones(5000, 2, **HALF).sum(0), [5000, 5000]),
    "var": (lambda: tg.full((300,), 300.0, **HALF).var(), 0),
    "std": (lambda: tg.tensor([0.0, 20.0] * 2048, **HALF).std(), 10),
    "softmax": (lambda: tg.zeros(4096, 2, **HALF).softmax(0)[0] * 4096, [1, 1]),
    "log_softmax": (lambda: tg.zeros(4096, 2, **HALF).log_softmax(0)[0], [-8.3203, -8.3203]),
    "logsumexp": (lambda: tg.zeros(4096, 2, **HALF).logsumexp(0), [8.3203, 8.3203]),
    "cumsum": (lambda: tg.ones(5000, **HALF).cumsum(0)[-1], 5000),
    "avg_pool2d": (lambda: F.avg_pool2d(tg.full((1, 4, 4), 3e4, **HALF), 4)[0], [[30000]]),
    "mse_loss": (lambda: F.mse_loss(tg.full((70000,), 2.0, **HALF), tg.zeros(70000, **HALF)), 4),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_half_precision_is_added_up_in_float32(name):
    y, expected = SUMS[name][0](), SUMS[name][1]
    assert y.dtype == tg.float16
    np.testing.assert_array_equal(y.data, np.array(expected, np.float16))


def test_gradients_of_half_precision_are_added_up_in_float32():
    b = tg.zeros(2, requires_grad=True, **HALF)
    (tg.ones(5000, 2, **HALF) + b).backward(tg.ones(5000, 2, **HALF))
    assert b.grad.tolist() == [5000, 5000]
    w = tg.ones(1, 32, 1, 1, requires_grad=True, **HALF)
    F.conv2d(tg.ones(1, 32, 2000, 3, **HALF), w).backward(tg.ones(1, 1, 2000, 3, **HALF))
    assert w.grad.dtype == tg.float16
    assert set(w.grad.data.ravel()) == {6000}
    x = tg.zeros(5000, requires_grad=True, **HALF)
    x.cumsum(0)[-1].backward()
    assert x.grad.tolist() == [1] * 5000


@pytest.mark.parametrize("columns", [1, 2, 7, 300])
def test_many_rows_of_float32_keep_their_digits(columns):
    x = tg.full((10007, columns), 0.1)
    exact = 10007 * float(np.float32(0.1))
    for y in (x.sum(0), x.reshape(10007, 1, columns).sum((0, 1)), x.mean(0) * 10007):
        np.testing.assert_allclose(y.data, exact, rtol=1e-6)
    b = tg.zeros(columns, requires_grad=True)
    (x + b).backward(x)
    np.testing.assert_allclose(b.grad.data, exact, rtol=1e-6)


def test_var_and_std_read_their_arguments_as_pytorch_does():
    x = tg.arange(6.0).reshape(2, 3)
    for y, expected in (
        (x.var(1, False), [2 / 3, 2 / 3]), (x.var(False), 35 / 12), (x.var(True), 3.5),
        (x.var(unbiased=False), 35 / 12), (x.var(0, True, keepdim=True), [[4.5, 4.5, 4.5]]),
        (x.var(0, True, True), [[4.5, 4.5, 4.5]]), (x.var(correction=None), 3.5),
        (x.var((0, 1), False), 35 / 12), (x.var(None, False), 35 / 12),
        (x.std(False), math.sqrt(35 / 12)), (x.std(1, False), [math.sqrt(2 / 3)] * 2),
        (x.std(0, keepdim=True, correction=0), [[1.5, 1.5, 1.5]]),
    ):  # fmt: skip
        same([y.tolist()], [expected], rtol=1e-6)


def test_the_type_to_compute_in_may_be_given():
    x = tg.arange(3.0)
    assert x.sum(dtype=tg.int32).dtype == x.cumsum(0, dtype=tg.int32).dtype == tg.int32
    assert tg.tensor([100, 100], dtype=tg.int8).sum(dtype=tg.int8).item() == -56
    for y, expected in (
        (tg.arange(3).mean(dtype=tg.float64), 1.0),
        (x.softmax(0, dtype=tg.float64), np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()),
        (
            tg.arange(3).log_softmax(0, dtype=tg.float64),
            [-2.4076059644, -1.4076059644, -0.4076059644],
        ),
    ):
        assert y.dtype == tg.float64
        np.testing.assert_allclose(y.data, expected, rtol=1e-8)


def test_numpys_words_for_an_axis():
    x = tg.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert x.sum(axis=0, keepdims=True).tolist() == [[4, 7]]
    assert tg.argmax(x, axis=1).tolist() == [1, 1]
    with pytest.raises(TypeError, match="axis"):
        x.sum(dim=0, axis=1)


def test_where_and_powers_of_truths():
    m = tg.tensor([True, False])
    chosen = tg.where(m, True, False)
    assert (chosen.dtype, chosen.tolist()) == (tg.bool, [True, False])
    assert tg.where(m, 1, 2.0).dtype == tg.float32
    for y, expected in ((m**True, [True, False]), (m**False, [True, True])):
        assert (y.dtype, y.tolist()) == (tg.bool, expected)
    assert (m**2).tolist() == [1, 0]


def test_settings_of_windows_as_pytorch_reads_them():
    x, w = tg.ones(1, 1, 4, 4), tg.ones(1, 1, 2, 2)
    expected = tg.conv2d(x, w, stride=2, padding=1).tolist()
    assert tg.conv2d(x, w, stride=(2,), padding=[1]).tolist() == expected
    assert tg.conv2d(x, w, stride=np.array([2, 2]), padding=np.int64(1)).tolist() == expected
    assert tg.max_pool2d(x, (2,)).shape == tg.avg_pool2d(x, [2], np.array(2)).shape


# --- views and copies ---------------------------------------------------------------------------


def test_flip_is_a_copy_even_where_nothing_moves():
    x = tg.ones(1, 3)
    for y in (tg.flip(x, 0), tg.flip(x, ())):
        y[0, 0] = 7.0
    assert x.tolist() == [[1, 1, 1]]


def test_an_index_changed_later_changes_no_gradient():
    for read in (
        lambda x, i: x[i], lambda x, i: x[i.data], lambda x, i: tg.gather(x, 0, i),
        lambda x, i: F.nll_loss(x.reshape(1, 3), i) * -1,
    ):  # fmt: skip
        x, i = tg.ones(3, requires_grad=True), tg.tensor([0])
        y = read(x, i)
        i[0] = 2
        y.sum().backward()
        assert x.grad.tolist() == [1, 0, 0]
    x, v, i = tg.zeros(3), tg.ones(1, requires_grad=True), tg.tensor([0])
    x[i] = v
    i[0] = 2
    (x * tg.arange(1.0, 4.0)).sum().backward()
    assert v.grad.tolist() == [1]


def test_the_condition_of_where_is_watched():
    x, c = tg.ones(2, requires_grad=True), tg.tensor([True, False])
    y = tg.where(c, x, 0.0)
    c[0] = False
    with pytest.raises(InPlaceError, match="where"):
        y.sum().backward()


def test_assigning_into_a_tensor_without_axes():
    x, v = tg.tensor(2.0, requires_grad=True), tg.tensor(5.0, requires_grad=True)
    y = x * 1
    y[()] = v
    (y * 3).backward()  # gradients of 0-d tensors may be NumPy scalars on the way
    assert (y.item(), x.grad.item(), v.grad.item()) == (5.0, 0.0, 3.0)


def test_assigning_a_value_with_more_axes_of_length_one():
    for shape in ((1,), (1, 1)):
        x, v = tg.zeros(3), tg.full(shape, 5.0, requires_grad=True)
        x[1] = v
        (x * 2).sum().backward()
        assert x.tolist() == [0, 5, 0]
        assert v.grad.tolist() == tg.full(shape, 2.0).tolist()
    x[:] = tg.ones(1, 1, 3)
    assert x.tolist() == [1, 1, 1]


def test_a_backward_pass_that_is_recorded_gives_each_leaf_its_own_gradient():
    a, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    start = tg.ones(2)
    c = a + b
    c.retain_grad()
    c.backward(start, create_graph=True)
    with tg.no_grad():
        a.grad[0] = 9.0
    assert a.grad.tolist() == [9, 1]
    assert b.grad.tolist() == c.grad.tolist() == start.tolist() == [1, 1]


def test_a_recorded_backward_pass_from_weights_of_another_type():
    x = tg.ones(2, dtype=tg.float32, requires_grad=True)
    w = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(x * x, x, w, create_graph=True)
    g.sum().backward()
    assert g.dtype == tg.float32
    assert w.grad.dtype == tg.float64
    assert w.grad.tolist() == [2, 2]


# --- numbers of NumPy's as axes and lengths -----------------------------------------------------


def test_axes_may_be_integers_of_numpy():
    x, one = tg.tensor([[1.0, 5.0], [7.0, 0.0]]), np.int64(1)
    assert x.sum(one).tolist() == [6, 7]
    assert x.max(one).values.tolist() == [5, 7]  # not maximum(x, 1)
    assert x.min(dim=one).indices.tolist() == [0, 1]
    assert tg.flip(x, one).tolist() == [[5, 1], [0, 7]]
    assert tg.squeeze(tg.ones(2, 1), one).shape == (2,)
    assert [p.shape for p in tg.split(x, one)] == [(1, 2), (1, 2)]
    assert x[one, np.int8(0)].item() == 7
    assert x.reshape(one, np.int32(-1)).shape == (1, 4)


# --- other edges --------------------------------------------------------------------------------


def test_empty_reductions():
    nothing = tg.zeros(0, 3)
    assert nothing.sum().item() == 0
    assert math.isnan(nothing.mean().item())
    assert np.isnan(nothing.mean(0).data).all()
    assert nothing.amax(1).shape == (0,)
    assert nothing.max(1).indices.shape == nothing.argmax(1).shape == (0,)
    assert nothing.min(1, keepdim=True).indices.shape == nothing.argmin(1, True).shape == (0, 1)
    assert nothing.argmax(1).dtype == tg.int64
    assert math.isnan(tg.tensor([1.0]).var().item())
    assert tg.log_softmax(tg.zeros(2, 0), 1).shape == (2, 0)


def test_all_labels_ignored():
    x = tg.zeros(2, 3, requires_grad=True)
    with np.errstate(invalid="ignore"):
        assert math.isnan(F.nll_loss(x, tg.tensor([-100, -100])).item())
    loss = F.cross_entropy(x, tg.tensor([-100, -100]), reduction="sum")
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.data.any()


def test_one_hot():
    assert tg.one_hot(tg.tensor([[1], [0]]), 3).tolist() == [[[0, 1, 0]], [[1, 0, 0]]]
    assert tg.one_hot(tg.tensor([2, 0])).shape == (2, 3)
    assert tg.one_hot(tg.tensor([], dtype=tg.int64), 4).shape == (0, 4)


def test_slope_of_a_remainder_where_the_quotient_rounds_up():
    a, b = (tg.tensor(np.array(v), requires_grad=True) for v in ([1.0, 6.0, -1.0], [0.1] * 3))
    y = tg.remainder(a, b)
    y.sum().backward()
    np.testing.assert_array_equal(b.grad.data, -tg.floor_divide(a, b).data)
    np.testing.assert_array_equal(b.grad.data, np.rint((y.data - a.data) / b.data))


def test_a_border_keeps_the_order_of_memory():
    x = tg.from_numpy(np.ones((3, 5, 5, 4), np.float32).transpose(3, 0, 1, 2))
    y = tg.pad(x, (0, 1, 0, 1)).data
    assert y.transpose(1, 2, 3, 0).flags.c_contiguous
    assert tg.pad(tg.ones(2, 3), (1, 1)).data.flags.c_contiguous


def test_nothing_to_flatten():
    x = tg.zeros(2, 3)
    assert x.flatten(1, 1) is x
    assert x.flatten(-2, 0) is x
    assert x[0, 0].flatten().shape == (1,)


def test_split_and_chunk_lengths():
    def lengths(pieces):
        return [len(p) for p in pieces]

    x = tg.arange(7)
    assert lengths(tg.split(x, 3)) == [3, 3, 1]
    assert lengths(tg.split(x, 9)) == [7]
    assert lengths(tg.split(x, [2, 0, 5])) == [2, 0, 5]
    assert lengths(tg.chunk(x, 3)) == [3, 3, 1]
    assert lengths(tg.chunk(x, 6)) == [2, 2, 2, 1]
    assert [t.shape for t in tg.zeros(2, 0).chunk(3, 1)] == [(2, 0)] * 3  # as in PyTorch
    assert lengths(tg.split(x[:0], 2)) == [0]


def test_dropout_keeps_the_expected_value_and_repeats():
    x = tg.ones(4000, requires_grad=True)
    y = F.dropout(x, 0.25, generator=tg.Generator(1))
    y.sum().backward()
    assert set(y.tolist()) == {0.0, y.max().item()}
    assert y.max().item() == pytest.approx(4 / 3)
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)
    assert x.grad.tolist() == y.tolist()
    assert F.dropout(x, 0.25, generator=tg.Generator(1)).tolist() == y.tolist()
    assert F.dropout(x, 0.25, training=False) is x
    assert F.dropout(x, 0.0) is x
