"""Checks of gradients: planted mistakes are found, kinks told apart, right gradients let pass."""

from __future__ import annotations

import warnings

import numpy as np
import plantedmistakes as planted
import pytest
from smoothcases import smooth_case

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import check_gradient, gradcheck, gradgradcheck
from tinygrad_adam.errors import (
    ArgumentError,
    DTypeError,
    GradcheckError,
    KinkError,
    KinkWarning,
)

pytestmark = pytest.mark.usefixtures("registry")
F = nn.functional
both_modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["full", "fast"])


def leaf(data):
    return tg.tensor(data, dtype=tg.float64, requires_grad=True)


# --- planted mistakes ---------------------------------------------------------------------------


def test_there_are_enough_planted_mistakes():
    names = [str(p) for p in planted.FIRST + planted.SECOND] + [row[0] for row in planted.BY_HAND]
    assert len(names) == len(set(names)) >= 70


def pointed_at(error):
    """Return the inputs an error names, as `input i` where they have no other name."""
    return tuple(name.partition(" (")[0] for name in error.inputs)


@both_modes
@pytest.mark.parametrize("case", planted.FIRST, ids=str)
def test_planted_mistakes(case, fast_mode):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(case.make(), case.tensors(), fast_mode=fast_mode)
    assert pointed_at(caught.value) == case.fault
    assert all(name in str(caught.value) for name in caught.value.inputs)


WHAT_IT_SAYS = {
    "not a number": "6 of 6 entries of the gradient of input 0 are not finite",
    "changes its input": "the backward pass changes input 0 in place",
    "changes the gradient it is given": "to input 0 changes the gradient it is given",
    "wrong shape": "the backward pass to input 0 raised ",
    "computed in float32": "the gradient of input 0 has only the digits of float32",
    "another each time": "two runs gave different gradients for input 0",
    "no rule": "no gradient came back for it",
    "one entry of many": "1 of 50 entries wrong",
}


@pytest.mark.parametrize("name", WHAT_IT_SAYS)
def test_planted_mistakes_are_called_by_their_name(name):
    (case,) = [p for p in planted.FIRST if p.name == name]
    with pytest.raises(GradcheckError, match=WHAT_IT_SAYS[name]):
        gradcheck(case.make(), case.tensors())


@both_modes
@pytest.mark.parametrize("case", planted.SECOND, ids=str)
def test_planted_mistakes_of_the_second_order(case, fast_mode):
    assert gradcheck(case.make(), case.tensors(), fast_mode=fast_mode)
    with pytest.raises(GradcheckError) as caught:
        gradgradcheck(case.make(), case.tensors(), fast_mode=fast_mode)
    assert set(pointed_at(caught.value)) <= {*case.fault, "gradient of output 0"}


def test_recording_a_backward_pass_must_not_change_it():
    (case,) = [p for p in planted.SECOND if p.name == "another rule when recorded"]
    with pytest.raises(GradcheckError, match="recorded with create_graph=True differs from the"):
        gradgradcheck(case.make(), case.tensors())


@both_modes
@pytest.mark.parametrize("row", planted.BY_HAND, ids=lambda row: row[0])
def test_planted_mistakes_by_hand(row, fast_mode):
    _, f, grad_f, x, fault, upstream = row
    with pytest.raises(GradcheckError) as caught:
        check_gradient(f, grad_f, x, upstream=upstream, fast_mode=fast_mode)
    assert caught.value.inputs == fault


# --- kinks --------------------------------------------------------------------------------------

KINKS = {
    "relu": (tg.relu, [[0.0, 1.0, -1.0]], [0]),
    "relu in one place of many": (lambda x: tg.relu(x - 1), [[0.5, 1.0, 2.0, 1.0]], [1, 3]),
    "hinge": (lambda x: tg.relu(1 - x).sum(), [[1.0, 0.3]], [0]),
    "abs": (tg.abs, [[2.0, 0.0]], [1]),
    "distance": (lambda x: (x - 0.25).abs() ** 1 + x, [[0.25, 1.0]], [0]),
    "max": (lambda x: x.max(), [[3.0, 1.0, 3.0]], [0, 2]),
    "min": (lambda x: x.min(), [[1.0, 3.0, 1.0]], [0, 2]),
    "amax": (lambda x: tg.amax(x, dim=0), [[2.0, 2.0]], [0, 1]),
    "maximum": (
        lambda x: tg.maximum(x, tg.tensor([1.0, 2.0], dtype=tg.float64)),
        [[1.0, 0.5]],
        [0],
    ),
    "minimum": (lambda x: tg.minimum(x, x * 2), [[0.0, 0.5]], [0]),
    "clip from below": (lambda x: x.clamp(min=-1.0), [[-1.0, 0.5]], [0]),
    "clip from above": (lambda x: x.clamp(max=1.0), [[0.5, 1.0]], [1]),
    "max pooling": (
        lambda x: F.max_pool2d(x.reshape(1, 1, 2, 2), 2),
        [[1.0, 1.0, 0.0, -1.0]],
        [0, 1],
    ),
    "l1 loss": (lambda x: F.l1_loss(x, tg.ones(2, dtype=tg.float64)), [[1.0, 2.0]], [0]),
    "leaky relu": (lambda x: tg.where(x > 0, x, 0.1 * x), [[0.0, 1.0]], [0]),
    "two that cancel": (lambda x: (tg.relu(x), -0.5 * x.abs()), [[0.0, 1.0]], [0]),
}


def entries_of(message):
    return [int(part.partition(",")[0]) for part in message.split("entry (")[1:]]


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_reported_as_kinks(name):
    function, inputs, entries = KINKS[name]
    with pytest.warns(KinkWarning, match="kink at input 0") as caught:
        assert gradcheck(function, [leaf(a) for a in inputs])
    (warning,) = caught
    assert entries_of(str(warning.message)) == entries
    assert len(warning.message.inputs) == 1
    assert warning.filename == __file__


@pytest.mark.parametrize("name", KINKS)
def test_kinks_can_be_errors_or_nothing(name):
    function, inputs, entries = KINKS[name]
    with pytest.raises(KinkError) as caught:
        gradcheck(function, [leaf(a) for a in inputs], kinks="raise")
    assert entries_of(str(caught.value)) == entries
    assert not gradcheck(function, [leaf(a) for a in inputs], kinks="raise", raise_exception=False)
    assert gradcheck(function, [leaf(a) for a in inputs], kinks="ignore")


@pytest.mark.parametrize("name", KINKS)
def test_beside_a_kink_there_is_none(name):
    function, inputs, _ = KINKS[name]
    for far in (1e-3, 1e-7):
        shifted = np.array(inputs[0]) + far * np.array([1.0, -2.0, 3.0, -4.0])[: len(inputs[0])]
        assert gradcheck(function, leaf(shifted), kinks="raise")


def test_a_gradient_outside_the_slopes_of_a_kink_is_wrong():
    def slope(value):
        return lambda z: np.where(z > 0, 1.0, np.where(z < 0, 0.0, value))

    z = np.array([0.0, 1.0])
    for value in (0.0, 0.5, 1.0):
        with pytest.warns(KinkWarning):
            assert check_gradient(lambda z: np.maximum(z, 0), slope(value), z)
    for value in (-0.01, 1.01, 3.0):
        with pytest.raises(GradcheckError, match="1 of 2 entries wrong"):
            check_gradient(lambda z: np.maximum(z, 0), slope(value), z)


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (lambda x: tg.relu(x) ** 2, 0.0),
        (lambda x: x**2, 0.0),
        (lambda x: 1 + x**2, 0.0),
        (lambda x: x * x.abs(), 0.0),
        (lambda x: (1000 * x).cos(), 0.0),
        (lambda x: x**3, 1e-9),
        (lambda x: (x * x + 1e-8).sqrt(), 0.0),
    ],
)
def test_a_sharp_bend_is_no_kink(function, at):
    assert gradcheck(function, leaf([at, 0.5]), kinks="raise")


# --- no false alarms ----------------------------------------------------------------------------


def test_random_smooth_functions():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", KinkWarning)
        for number in range(60):
            function, inputs = smooth_case(number)
            for check in (gradcheck, gradgradcheck):
                assert check(function, inputs, seed=number)
                assert check(function, inputs, seed=number, fast_mode=True)


@both_modes
@pytest.mark.parametrize(
    ("function", "at"),
    [
        (tg.log, [1e-12, 1.0, 1e9]),
        (lambda x: 1 / x, [1e-6, -1e6]),
        (tg.sin, [1e8, 1e3, 1e-8]),
        (lambda x: (1e8 + x) - 1e8, [1.0, 2.0]),
        (lambda x: 1e6 + x, [1e-3, 1e-7]),
        (lambda x: x.float().exp(), [0.3, 1.0]),
        (lambda x: x.float().exp().double(), [0.3, 1.0]),
        (lambda x: x.softmax(0).sum(), [1.0, 2.0]),
        (lambda x: 1e-30 * x**2, [1.0, 2.0]),
        (lambda x: 1e30 * x**2, [1e-9, 2.0]),
    ],
)
def test_hard_but_right(function, at, fast_mode):
    assert gradcheck(function, leaf(at), fast_mode=fast_mode, kinks="raise")
    assert gradgradcheck(function, leaf(at), fast_mode=fast_mode, kinks="raise")


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_the_step_fits_the_scale(scale):
    """A mistake is found, and a right gradient let pass, in numbers of every size."""
    x = leaf(np.array([0.3, -1.1, 1.7]) * scale)
    assert gradcheck(lambda x: (x / scale).sin(), x)
    assert gradcheck(lambda x: (x / scale).sin() * scale, x)
    with pytest.raises(GradcheckError, match="3 of 3"):
        gradcheck(lambda x: (x / scale) * (x.detach() / scale).sin(), x)


# --- what is refused, and what else is wrong with a function ------------------------------------


def test_float32_is_refused_with_advice():
    x = tg.ones(3, requires_grad=True)
    with pytest.raises(DTypeError, match=r"input 0 \(x\) is float32.*x\.double\(\)"):
        gradcheck(lambda x: x * 2, x)
    with pytest.raises(DTypeError, match=r"0\.weight is float32.*module\.double\(\)"):
        gradcheck(nn.Sequential(nn.Linear(2, 2)), leaf([1.0, 2.0]))
    with pytest.raises(DTypeError, match="input 0 is float32"):
        check_gradient(np.sin, np.cos, np.ones(3, np.float32))


def test_something_must_require_a_gradient():
    with pytest.raises(ArgumentError, match="no input requires a gradient"):
        gradcheck(lambda x: x * 2, tg.ones(3, dtype=tg.float64))
    with pytest.raises(ArgumentError, match="no floating output"):
        gradcheck(lambda x: x > 0, leaf([1.0, 2.0]))
    with pytest.raises(ArgumentError, match="no floating array"):
        check_gradient(np.sin, np.cos, np.arange(3))
    with pytest.raises(ArgumentError, match=r"expected a Tensor.*got float"):
        gradcheck(lambda x: 1.0, leaf([1.0]))
    with pytest.raises(ArgumentError, match="is a Tensor; use gradcheck"):
        check_gradient(np.sin, np.cos, leaf([1.0]))


def test_a_function_that_is_not_deterministic():
    noise = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="different values for output 0 by up to"):
        gradcheck(lambda x: x + float(noise.normal()), leaf([1.0]))
    assert gradcheck(lambda x: x + 1e-14 * float(noise.normal()), leaf([1.0]), nondet_tol=1e-12)
    dropout = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5)).double()
    with pytest.raises(GradcheckError, match=r"not deterministic.*eval\(\)"):
        gradcheck(dropout, leaf(np.ones((2, 4))))
    assert gradcheck(dropout.eval(), leaf(np.ones((2, 4))))


def test_a_function_may_round_otherwise_when_it_is_not_recorded():
    def fused(x):
        return x * 3 if tg.is_grad_enabled() else x * (3 * (1 + 1e-15))

    def other(x):
        return x * 3 if tg.is_grad_enabled() else x * 3.001

    assert gradcheck(fused, leaf([1.0, -2.0]))
    with pytest.raises(GradcheckError, match=r"different values for output 0 by up to 0\.002"):
        gradcheck(other, leaf([1.0, -2.0]))


def test_a_function_that_changes_its_inputs():
    def spoils(x):
        x *= 2
        return x.sum()

    with pytest.raises(GradcheckError, match=r"the function changes input 0 \(x\) in place"):
        check_gradient(spoils, np.ones_like, np.ones(3))


def test_outputs_that_are_not_finite():
    with pytest.raises(GradcheckError, match="output 0 is not finite"):
        gradcheck(tg.log, leaf([0.0, 1.0]))


@pytest.mark.parametrize("slope", [1.0, 3.0])
def test_a_function_too_rough_to_measure(slope):
    """Noise of a hundredth, the same at the same place, under a slope of 1."""

    def rough(x):
        noise = np.random.default_rng(np.frombuffer(x.tobytes(), np.uint32).tolist())
        return x + 0.01 * noise.normal(size=x.shape)

    with pytest.raises(GradcheckError, match="its slopes cannot be measured well enough to tell"):
        check_gradient(rough, lambda x: np.full_like(x, slope), np.array([0.3131, 1.2345]))


def test_nothing_is_changed():
    model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()).double()
    x = leaf(np.ones((2, 3)))
    arrays = [p.data for p in model.parameters()]
    before = [a.copy() for a in (*arrays, x.data)]
    assert gradcheck(model, x)
    assert gradgradcheck(model, x, fast_mode=True)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x.detach(), x)
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))
    assert all(p.grad is None for p in (*model.parameters(), x))
    for a, b in zip((*arrays, x.data), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_it_is_called_with():
    a, b = leaf([[1.0, 2.0]]), leaf([0.5])
    assert gradcheck(lambda a, b: {"sum": a + b, "both": a * b}, {"a": a, "b": b})
    assert gradcheck(lambda a, n, b: (a**n, b.sin()), [a, 3, b])
    assert gradcheck(lambda a, labels: F.cross_entropy(a, labels), (a, tg.tensor([1])))
    assert gradcheck(nn.Linear(2, 1).double(), a.detach())
    assert gradcheck(lambda a: a.sum(), a * 2), "not a leaf"
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda a, b: a * b.detach(), {"b": b, "a": a})
    assert caught.value.inputs == ("b",)


def test_parameters_of_a_module_are_checked_under_their_names():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tg.ones(2, dtype=tg.float64))
            self.shift = nn.Parameter(tg.ones(2, dtype=tg.float64))

        def forward(self, x):
            return x * self.scale.detach() + self.shift

    with pytest.raises(GradcheckError) as caught:
        gradcheck(Wrong(), leaf([1.0, 2.0]))
    assert caught.value.inputs == ("parameter scale",)
    assert "no gradient came back for it" in str(caught.value)


def test_a_failure_says_all_there_is_to_know():
    """The number of wrong entries, and of the worst: gradient, slopes, and the seed."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]])

    def function(x):
        return (x**2).sum() + (3 * x.detach()[1, 0] * x.detach()[0, 1])

    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, x, seed=17)
    lines = str(caught.value).splitlines()
    assert lines[1] == "  input 0 (x), float64 (2, 2): 2 of 4 entries wrong:"
    assert lines[2].split() == [
        "entry", "analytic", "numeric", "from", "left", "from", "right", "error/tolerance",
    ]  # fmt: skip
    for line, expected in ((lines[3], [0, 1, 4, 13, 13, 13]), (lines[4], [1, 0, 6, 12, 12, 12])):
        found = [float(word.strip("(,)")) for word in line.split()]
        assert found[:6] == pytest.approx(expected, rel=1e-5)
        assert found[6] > 1e5
    assert lines[-1] == "  seed 17, rtol 1e-06, atol 0"
    assert "random weight" not in str(caught.value)
    assert caught.value.seed == 17
    (name, entry), _ = sorted(caught.value.entries, key=lambda pair: -pair[1].off)
    assert (name, entry.where) == ("input 0 (x)", "(0, 1)")
    assert (entry.analytic, entry.numeric) == (pytest.approx(4), pytest.approx(13))
    assert not gradcheck(function, x, raise_exception=False)
    with pytest.raises(GradcheckError, match="100 outputs, each times a random weight"):
        gradcheck(lambda x: (x * x.detach()).expand(25, 2, 2), x)


@both_modes
def test_a_failure_names_the_output_and_its_own_slopes(fast_mode):
    x = leaf([1.0, 2.0, 3.0])

    def function(x):  # the derivative of the second output by the last entry is 3, and should be 6
        return x.sin(), (x[:2] * 2).sum() + x[2] * x.detach()[2]

    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, x, fast_mode=fast_mode)
    ((_, entry),) = caught.value.entries
    assert entry.where == "(2,) of output 1 ()"
    assert entry.at == (2,)
    assert (entry.analytic, entry.numeric) == (pytest.approx(3), pytest.approx(6))
    assert "random weight" not in str(caught.value)


def test_tolerances():
    x = leaf([1.0, 2.0])

    def off(x):  # by a thousandth
        return x**2 + 0.001 * x.detach() ** 2

    with pytest.raises(GradcheckError):
        gradcheck(off, x)
    assert gradcheck(off, x, rtol=2e-3)
    assert gradcheck(off, x, atol=1e-2)
    assert gradcheck(lambda x: x**2, x, eps=1e-3)


def test_random_numbers_come_from_the_seed():
    def seen(seed):
        weights = []

        def grad_f(x, dout):
            weights.append(dout.copy())
            return dout * np.cos(x)

        check_gradient(np.sin, grad_f, np.ones(3), upstream="dout", seed=seed)
        return weights[0]

    np.testing.assert_array_equal(seen(1), seen(1))
    assert not np.array_equal(seen(1), seen(2))


# --- second order -------------------------------------------------------------------------------


def test_gradients_of_outputs_can_be_given():
    x, g = leaf([0.5, 2.0]), tg.tensor([1.0, -3.0], dtype=tg.float64)
    assert gradgradcheck(tg.exp, x, g)
    assert gradgradcheck(lambda x: (x.sin(), x**2), x, [g, g])
    with pytest.raises(ArgumentError, match="grad_outputs of shapes"):
        gradgradcheck(tg.exp, x, tg.ones(3, dtype=tg.float64))


def test_piecewise_linear_functions_have_second_derivatives():
    assert gradgradcheck(lambda x: tg.relu(x) * 2, leaf([1.0, -1.0]))


# --- by hand ------------------------------------------------------------------------------------


@both_modes
def test_slide_6_is_right(fast_mode):
    assert check_gradient(planted.network, planted.backward, planted.NETWORK, fast_mode=fast_mode)


def test_several_outputs_by_hand():
    def f(x):
        return np.sin(x), (x > 0).astype(int), x.sum()

    def grad_f(x, douts):
        return douts[0] * np.cos(x) + douts[2]

    assert check_gradient(f, grad_f, np.ones((2, 3)), upstream="douts")


def test_the_function_runs_right_before_its_gradient():
    class Layer:
        def forward(self, x):
            self.kept = np.tanh(x)
            return self.kept

        def backward(self, x, dout):
            return dout * (1 - self.kept**2)

    layer = Layer()
    assert check_gradient(layer.forward, layer.backward, np.ones(3), upstream="dout")


# --- time ---------------------------------------------------------------------------------------


def test_evaluations_in_fast_mode_do_not_depend_on_size():
    calls = []

    def counted(x):
        calls.append(1)
        return (x.sin() * x).sum()

    counts = []
    for size in (3, 3000):
        calls.clear()
        assert gradcheck(counted, leaf(np.linspace(0.1, 2, size)), fast_mode=True)
        counts.append(len(calls))
    assert max(counts) <= 15


def test_the_convnet_of_the_deck():
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    layers += [nn.Linear(5408, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers).double()
    assert sum(p.numel() for p in model.parameters()) == 693_962
    images = tg.randn(4, 1, 28, 28, dtype=tg.float64, requires_grad=True)
    with tg.no_grad():
        for _ in range(3):
            model(images)  # by now compiled loops, if there are any, do several layers at once
    assert gradcheck(model, images, fast_mode=True)


def test_the_network_of_the_deck():
    layers = [nn.Linear(30, 16), nn.Sigmoid(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 1)]
    model = nn.Sequential(*layers, nn.Sigmoid()).double()
    assert gradcheck(model, tg.randn(8, 30, dtype=tg.float64, requires_grad=True))
