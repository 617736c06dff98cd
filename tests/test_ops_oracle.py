"""Agreement with PyTorch: values and gradients in float64, ties, NaN, infinities, extremes, types.

Nowhere do the two disagree.
"""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
from backwards import value_and_gradients
from opcases import BINARY, CASES, UNARY, VALUES, call, functional, part

import tinygrad_adam as tg

torch = pytest.importorskip("torch")
STORED = oracle.stored()
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:(var|std).*degrees of freedom:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]


@pytest.mark.parametrize("case", [c for c in CASES + VALUES if c.torch], ids=str)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_cases(case):
    theirs = oracle.asked(case)
    oracle.agree(case, oracle.here(case), theirs)
    # so is what is stored for those without PyTorch
    oracle.agree(case, STORED[case.name], theirs)


# --- ties, NaN, infinities, extremes ------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
AWKWARD = [0.0, -0.0, 1.0, -1.0, 2.5, 1e4, -1e4, NAN, INF, -INF]


def agree(function, *arrays, wanted=None, rtol=1e-12):
    arrays = [np.array(a) for a in arrays]
    if wanted is None:
        wanted = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    theirs, their_gradients = oracle.on_torch(lambda *t: function(torch, *t), arrays, wanted)
    with np.errstate(all="ignore"):
        ours, our_gradients = value_and_gradients(lambda *t: function(tg, *t), arrays, wanted)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-15)
    for g, e in zip(our_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(g, e, rtol=rtol, atol=1e-15)


@pytest.mark.parametrize("x", AWKWARD)
@pytest.mark.parametrize("name", [*UNARY, "sign"])
def test_awkward_numbers(name, x):
    agree(call(name), [x])


@pytest.mark.parametrize("name", [*BINARY, "where"])
def test_awkward_pairs(name):
    a, b = map(np.array, zip(*itertools.product(AWKWARD, repeat=2), strict=True))
    if name == "where":
        agree(lambda L, x, y: L.where(x > y, x, y), a, b)
    else:
        agree(call(name), a, b)


def test_remainders_of_quotients_that_round_up():
    agree(call("remainder"), [1.0, 6.0, -1.0, INF], [0.1, 0.1, 0.1, 1.0])


@pytest.mark.parametrize("exponent", [-1.5, -1, 0, 0.5, 1, 2, 3])
def test_awkward_powers(exponent):
    # of a root of a number, PyTorch takes sqrt, which keeps the sign of -0.0 and has none of -inf
    agree(lambda L, x: x**exponent, AWKWARD)
    for shape in ((), (1,), (len(AWKWARD),)):
        agree(lambda L, x, y: x**y, AWKWARD, np.full(shape, float(exponent)))


def test_infinite_gradient_of_a_power_of_0():
    agree(lambda L, x: (x**0 - 1) ** 0.5 + x, [0.0, 1.0, -2.0])
    agree(lambda L, x, y: (x**y - 1) ** 0.5 + x, [0.0, 1.0, -2.0], 0.0, wanted=[0])


@pytest.mark.parametrize("base", [-2.0, 0.0, 1.0, 3])
def test_powers_of_a_number(base):
    agree(lambda L, x: base**x, [0.0, 1.0, -1.0, 2.5, 30.0, -30.0])


@pytest.mark.parametrize("settings", [{"min": -1.0, "max": 1.0}, {"min": 0.0}, {"max": 2.5}])
def test_awkward_clamps(settings):
    agree(call("clamp", **settings), AWKWARD)
    agree(lambda L, x: L.log(L.clamp(x, min=0.0)), [-1.0, 0.0, 2.0])


def test_clamp_between_tied_and_crossed_bounds():
    x, lo, hi = map(np.array, zip(*itertools.product([-1.0, 0.0, 1.0], repeat=3), strict=True))
    agree(call("clamp"), x, lo, hi)


ROWS = [
    [1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4],
    [INF, 1.0, 0.0], [-INF, 1.0, 0.0], [-INF, -INF, -INF], [INF, INF, 0.0], [NAN, 1.0, 2.0],
    [1.0, NAN, NAN], [INF, -INF, NAN], [1e300, 1.0, -1e300], [INF, 1e4, -1e4],
]  # fmt: skip
ROW_FUNCTIONS = {
    **{name: call(name, dim=1) for name in
       ("softmax", "log_softmax", "logsumexp", "cumsum", "sum", "mean", "var", "std", "amax",
        "amin")},
    "max-along": part("values", "max", dim=1),
    "min-along": part("values", "min", dim=1),
    "max": call("max"),
    "min": call("min"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("name", ROW_FUNCTIONS)
def test_awkward_rows(name, row):
    agree(ROW_FUNCTIONS[name], [row])


def test_ties_of_extremes():
    x = [[3.0, 1.0, 3.0, 3.0], [2.0, 2.0, 2.0, 5.0]]
    for name in ("amax", "amin", "max", "min"):
        agree(call(name), x)
    for name in ("amax", "amin"):
        agree(call(name, dim=0), x)
        agree(call(name, dim=(0, 1), keepdim=True), x)
    for name, dim in itertools.product(("max", "min"), (0, 1)):
        agree(part("values", name, dim=dim), x)
    for name in ("maximum", "minimum"):
        agree(call(name), [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
        agree(call(name), x, [3.0, 2.0, 3.0, 5.0])


@pytest.mark.parametrize("settings", [
    {"kernel_size": 2}, {"kernel_size": 2, "stride": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2},
])  # fmt: skip
def test_ties_of_pooling(settings):
    x = np.random.default_rng(0).integers(0, 3, (2, 2, 5, 5)).astype(float)
    agree(functional("max_pool2d", **settings), x)
    agree(functional("max_pool2d", **settings), np.zeros((1, 1, 4, 4)))
    agree(functional("max_pool2d", **settings), np.where(x > 1, INF, x))
    agree(functional("avg_pool2d", **settings), np.where(x > 1, NAN, x))


def test_infinite_windows():
    x = np.random.default_rng(0).choice([-INF, 1.0, INF], (1, 2, 6, 6))
    agree(functional("max_pool2d", kernel_size=3), x)


@pytest.mark.parametrize("settings", [
    {"kernel_size": 2}, {"kernel_size": 3, "padding": 1, "stride": 1},
    {"kernel_size": 2, "dilation": 2, "stride": 1}, {"kernel_size": 2, "ceil_mode": True},
])  # fmt: skip
def test_pooling_of_nan(settings):
    x = np.random.default_rng(0).choice([NAN, -INF, 1.0, INF], (2, 2, 5, 5))
    pool = functional("max_pool2d", **settings, return_indices=True)
    agree(lambda L, x: pool(L, x)[0], x)
    np.testing.assert_array_equal(pool(tg, tg.tensor(x))[1].data, pool(torch, torch.tensor(x))[1])


def test_infinite_gradient_into_relu():
    agree(lambda L, x: L.log(L.relu(x)), [-1.0, 2.0])


LOGITS = [0.0, 1.0, -1.0, 40.0, -40.0, 800.0, -800.0, 1e4, -1e4, INF, -INF, NAN]


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_extreme_logits(t):
    targets = np.full(len(LOGITS), t)
    agree(functional("binary_cross_entropy_with_logits", reduction="none"), LOGITS, targets)
    agree(functional("binary_cross_entropy_with_logits"), LOGITS, targets)
    for weight in (0.5, 2.0):
        agree(lambda L, x, t, w=weight: L.nn.functional.binary_cross_entropy_with_logits(
            x, t, reduction="none", pos_weight=L.tensor(w, dtype=L.float64)),
            LOGITS, targets)  # fmt: skip


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_extreme_probabilities(t):
    x = [0.0, 1.0, 1e-300, 1e-40, 1e-13, 0.5, 1 - 1e-13, 1 - 2**-53]
    # PyTorch rounds its 1e-12 to float32; its slope in the target is that of unclamped logarithms
    loss = functional("binary_cross_entropy", reduction="none")
    agree(loss, x, np.full(len(x), t), wanted=[0], rtol=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_classes(smoothing):
    x = np.array(list(itertools.product([0.0, 1e4, -1e4, 1.0], repeat=3)))
    labels = np.arange(len(x)) % 3
    for reduction in ("none", "mean", "sum"):
        loss = functional("cross_entropy", reduction=reduction, label_smoothing=smoothing)
        agree(loss, x, labels)
        agree(loss, x, np.full(x.shape, 1 / 3))


def test_nothing_but_ignored_labels():
    for reduction in ("none", "mean", "sum"):
        how = {"ignore_index": 1, "reduction": reduction}
        agree(functional("cross_entropy", **how), [[1.0, 2.0]], [1])
        agree(functional("nll_loss", **how), [[1.0, 2.0]], [1])


def test_infinite_weights():
    """Also under the border: an infinity times 0."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 5, 4)), rng.standard_normal((3, 2, 3, 3))
    w[0, 0, 0, 0], w[1, 1, 2, 1] = INF, -INF
    for settings in ({"padding": 1}, {"padding": 1, "stride": 2}, {}):
        agree(functional("conv2d", **settings), x, w, wanted=[1])


def test_losses_of_nothing_and_of_nan():
    for name in ("mse_loss", "l1_loss"):
        agree(functional(name), [1.0, NAN, INF], [0.0, 1.0, INF])
        for reduction in ("mean", "sum", "none"):
            agree(functional(name, reduction=reduction), np.zeros((0, 2)), np.zeros((0, 2)))


def test_empty_reductions():
    nothing = np.zeros((0, 3))
    agree(call("sum"), nothing)
    agree(call("mean"), nothing)
    agree(call("mean", dim=0), nothing)
    agree(call("logsumexp", dim=(0, 1)), nothing)
    agree(call("var", dim=0), nothing)
    agree(call("std", dim=0), [[1.0, 2.0]])


# --- element types ------------------------------------------------------------------------------

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
NUMBERS = [True, 3, 2.5]


def pairs_of(dtype, ndim):
    shape = (2,) * ndim
    return tg.ones(shape, dtype=dtype), torch.ones(shape, dtype=getattr(torch, dtype))


def named(dtype):
    return str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("default", ["float32", "float64"])
def test_result_type(default):
    tg.set_default_dtype(default)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, default))
    operands = [pairs_of(d, n) for d in TYPES for n in (0, 1)] + [(v, v) for v in NUMBERS]
    try:
        for (a, ta), (b, tb) in itertools.product(operands, repeat=2):
            if isinstance(a, tg.Tensor) or isinstance(b, tg.Tensor):
                assert named(tg.result_type(a, b)) == named(torch.result_type(ta, tb)), (a, b)
    finally:
        torch.set_default_dtype(before)


OPERATORS = {
    "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "eq": lambda a, b: a == b, "lt": lambda a, b: a < b,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_give_that_type(name):
    function = OPERATORS[name]
    operands = [pairs_of(d, n) for d in TYPES for n in (0, 1)] + [(v, v) for v in NUMBERS]
    for (a, ta), (b, tb) in itertools.product(operands, repeat=2):
        if isinstance(a, tg.Tensor) or isinstance(b, tg.Tensor):
            ours, theirs = function(a, b), function(ta, tb)
            assert named(ours.dtype) == named(theirs.dtype), (a, b)
            np.testing.assert_allclose(ours.data.astype(float), theirs.double().numpy(), rtol=1e-3)


@pytest.mark.parametrize("name", ["exp", "sqrt", "sin", "sigmoid", "tanh", "rsqrt", "log1p", "abs",
                                  "relu", "neg", "sum", "cumsum", "argmax", "clamp"])  # fmt: skip
@pytest.mark.parametrize("dtype", TYPES)
def test_type_of_one_operand(name, dtype):
    settings = {"cumsum": {"dim": 0}, "clamp": {"min": 0}}.get(name, {})
    if dtype == "bool" and name in ("abs", "relu", "neg", "argmax", "clamp"):
        return
    ours, theirs = (call(name, **settings)(L, x) for L, x in
                    zip((tg, torch), pairs_of(dtype, 1), strict=True))  # fmt: skip
    assert named(ours.dtype) == named(theirs.dtype)
    np.testing.assert_allclose(ours.data.astype(float), theirs.double().numpy(), rtol=1e-3)
