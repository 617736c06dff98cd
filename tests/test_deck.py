"""The deck's slides as printed in docs/deck.md, and every fault that page says they have."""

from __future__ import annotations

import re
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, train
from tinygrad_adam.errors import DTypeError, ShapeError
from tinygrad_adam.optim import arrays

PAGE = Path(__file__).parents[1] / "docs" / "deck.md"
SLIDES = {
    int(number): code
    for number, code in re.findall(
        r"^```python slide-(\d+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
}
TWO_OPTIMIZERS = [
    37903.58334943858, 37892.62798813631, 37881.677916240435, 37870.733711966095,
    37859.79574496672, 37848.86420664939, 37837.93917101418, 37827.02064729749,
    37816.108613475066, 37805.20303427101,
]  # fmt: skip


def perform(names, *slides):
    """Run slides in the namespace `names`."""
    for slide in slides:
        exec(compile(SLIDES[slide], f"slide {slide}", "exec"), names)
    return names


def seed(number):
    np.random.seed(number)  # noqa: NPY002  # the generator that the slides draw from


@pytest.fixture(scope="module")
def show():
    """Let slides call ``plt.show()`` where there is no display."""
    import matplotlib.pyplot as plt

    with pytest.MonkeyPatch.context() as patch:
        plt.switch_backend("Agg")
        patch.setattr(plt, "show", lambda: None)
        yield plt
        plt.close("all")


@pytest.fixture(scope="module")
def deck(show):
    """Slides 3 to 11 as printed, run once, on `arrays.Adam`; what they leave and print."""
    printed = []
    names = {"Adam": arrays.Adam, "print": lambda *args: printed.append(" ".join(map(str, args)))}
    seed(0)
    perform(names, 3, 4)
    regression = {"losses": names["losses"], "printed": printed.copy(), "model": names["model"]}

    printed.clear()
    perform(names, 5, 6)
    names["NeuralNetwork"].forward = names["forward"]
    names["NeuralNetwork"].backward = names["backward"]
    seed(0)
    perform(names, 7, 8, 9)
    names["plot_metrics"](*(names[n] for n in ("model", "X_train", "y_train", "X_test", "y_test")))
    legends = [axes.get_legend().get_texts()[0].get_text() for axes in show.gcf().axes]
    cancer = {"losses": names["losses"], "printed": printed.copy(), "legends": legends}

    perform(names, 10, 11)
    return types.SimpleNamespace(names=names, regression=regression, cancer=cancer)


@pytest.fixture
def slide2():
    """Slide 2's own class."""
    return perform({}, 2)["Adam"]


# --- the slides run -----------------------------------------------------------------------------


def test_the_page_has_the_code_of_every_slide():
    assert sorted(SLIDES) == list(range(1, 14))


def test_slides_3_and_4_run_as_printed_and_rightly(deck):
    losses = deck.regression["losses"]
    np.testing.assert_allclose(losses[::10], TWO_OPTIMIZERS, rtol=1e-12)
    assert deck.regression["printed"][-1] == "Epoch 90, Loss: 37805.2030"
    assert deck.regression["model"].bias.shape == (1, 1)


def test_slides_5_to_9_run_as_printed(deck):
    assert deck.cancer["printed"][0] == "Epoch 0, Loss: 0.6941, Accuracy: 0.3714"
    assert deck.cancer["printed"][-2].endswith("Accuracy: 0.6286")
    assert deck.cancer["printed"][-1] == "Test Accuracy: 0.6228"
    assert len(deck.cancer["losses"]) == 100
    assert deck.cancer["losses"][-1] == pytest.approx(0.62324, abs=5e-6)
    assert deck.cancer["legends"] == ["ROC curve (AUC = 1.00)", "PR curve (AUC = 1.00)"]


def test_slide_10_runs_as_printed(deck):
    optimizer, param = deck.names["optimizer"], np.zeros(2)
    used = []
    for _ in range(1001):
        optimizer.update(param, np.ones(2))
        used.append(optimizer.learning_rate)
    assert used[:2] == [0.001, 0.000999948708021091]
    assert used[99] == pytest.approx(0.0009949348352847635, rel=1e-15)
    assert used[1000] == pytest.approx(0.00095, rel=1e-15)
    ours, twin = arrays.AdamWithDecay(learning_rate=0.001, decay_rate=0.95), np.zeros(2)
    for rate in used:
        ours.update(twin, np.ones(2))
        assert ours.learning_rate == rate
    np.testing.assert_array_equal(param, twin)


def test_slide_11_runs_as_printed(deck):
    optimizers = {
        "Adam": arrays.Adam(0.01),
        "SGD": arrays.SGD(0.001),
        "RMSprop": arrays.RMSprop(0.001),
    }
    comparison = deck.names["OptimizerComparison"](optimizers)
    comparison.compare(iterations=100)
    ends = {name: history[-1] for name, history in comparison.histories.items()}
    assert ends["Adam"] == pytest.approx(1.7857761573336368, rel=1e-12)
    assert ends["SGD"] == pytest.approx(3.6647272288743595, rel=1e-12)
    assert ends["RMSprop"] == pytest.approx(3.621169628515133, rel=1e-12)


def test_slide_13_runs_where_seaborn_is_not_installed(show, monkeypatch):
    monkeypatch.setitem(sys.modules, "seaborn", types.ModuleType("seaborn"))  # it uses nothing
    printed = []
    names = perform({"Dict": dict, "np": np, "print": printed.append}, 13)
    names["plot_training_results"]({"a": [3.0, 1.0, 2.0]})
    assert printed == ["a converged in 1 steps"]


# --- slide 1 ------------------------------------------------------------------------------------


def test_slide_1_warns_about_its_string():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile(SLIDES[1], "slide 1", "exec")
    assert issubclass(caught[0].category, (DeprecationWarning, SyntaxWarning))
    assert r"\h" in str(caught[0].message)


@pytest.mark.parametrize(("scaled", "least", "most"), [(False, 1e-10, 1e-7), (True, 5e-3, 5e-2)])
def test_where_epsilon_stands_matters_for_small_gradients(scaled, least, most):
    draws = np.random.RandomState(0)
    scale = 10.0 ** draws.uniform(-9, 1, 5) if scaled else np.ones(5)
    inside, outside = np.zeros(5), np.zeros(5)
    slide_1, slide_2 = arrays.Adam(epsilon=0.0, epsilon_root=1e-8), arrays.Adam()
    for _ in range(1000):
        gradient = draws.standard_normal(5) * scale
        slide_1.update(inside, gradient)
        slide_2.update(outside, gradient)
    assert least < np.abs(inside - outside).max() < most


# --- slide 2 ------------------------------------------------------------------------------------


def test_both_change_the_array_in_place_and_return_it(slide2):
    for adam in (slide2, arrays.Adam):
        array = np.ones(2)
        assert adam().update(array, np.ones(2)) is array
        assert array[0] == pytest.approx(0.999)


def test_integers(slide2):
    with pytest.raises(TypeError, match="Cannot cast ufunc 'subtract' output"):
        slide2().update(np.array([1, 2]), np.ones(2))
    with pytest.raises(DTypeError, match=r"\.astype\(float\)"):
        arrays.Adam().update(np.array([1, 2]), np.ones(2))


def test_lists(slide2):
    values = [1.0, 2.0]
    assert slide2(0.1).update(values, np.ones(2)) is not values
    assert values == [1.0, 2.0]
    with pytest.raises(DTypeError, match="got list"):
        arrays.Adam().update(values, np.ones(2))


def test_float16(slide2):
    gradient = np.array([0.0, 1e-4], np.float16)
    with np.errstate(all="ignore"):
        broken = slide2().update(np.ones(2, np.float16), gradient)
    assert np.isnan(broken[0])
    assert broken[1] == -np.inf
    right = arrays.Adam().update(np.ones(2, np.float16), gradient)
    np.testing.assert_array_equal(right, np.array([1.0, 0.999], np.float16))
    w = tg.ones(2, dtype=tg.float16, requires_grad=True)
    w.grad = tg.tensor(gradient)
    optimizer = optim.Adam([w])
    optimizer.step()
    np.testing.assert_array_equal(w.data, right)
    assert optimizer.state[w]["exp_avg"].dtype == np.float32


def test_float64_gradients_of_float32_parameters(slide2):
    optimizer = slide2()
    optimizer.update(np.ones(2, np.float32), np.ones(2))
    assert optimizer.m.dtype == np.float64
    with pytest.raises(DTypeError, match="float32 but its gradient float64"):
        arrays.Adam().update(np.ones(2, np.float32), np.ones(2))


def test_a_gradient_of_another_shape(slide2):
    assert slide2(0.1).update(np.ones(5), np.ones(1)).shape == (5,)
    with pytest.raises(ShapeError, match=r"\(5,\).*\(1,\)"):
        arrays.Adam().update(np.ones(5), np.ones(1))


def test_no_gradient(slide2):
    with pytest.raises(TypeError, match="unsupported operand"):
        slide2().update(np.ones(2), None)
    with pytest.raises(DTypeError, match="grads must be"):
        arrays.Adam().update(np.ones(2), None)
    w = tg.ones(2, requires_grad=True)
    optim.Adam([w]).step()
    assert w.tolist() == [1.0, 1.0]


def test_nan_stays(slide2):
    for adam in (slide2(0.1), arrays.Adam(0.1)):
        array = np.ones(2)
        adam.update(array, np.array([np.nan, 1.0]))
        adam.update(array, np.ones(2))
        assert np.isnan(array[0])
        assert array[1] == pytest.approx(0.8)


# --- slides 3 and 4 -----------------------------------------------------------------------------


def test_slide_3_crashes_on_its_own_optimizer(show):
    with pytest.raises(ValueError, match=r"non-broadcastable output operand with shape \(1,1\)"):
        perform({"print": lambda *args: None}, 2, 3, 4)


def test_slide_3_with_the_bias_first_crashes_an_epoch_later(slide2):
    optimizer, weights, bias = slide2(), np.zeros((20, 1)), np.zeros((1, 1))
    optimizer.update(bias, np.ones((1, 1)))
    optimizer.update(weights, np.ones((20, 1)))
    with pytest.raises(ValueError, match="non-broadcastable output"):
        optimizer.update(bias, np.ones((1, 1)))


def test_parameters_of_one_shape_get_mixed_moments(slide2):
    for adam, moved, count in ((slide2(0.1), 0.00526316, 2), (arrays.Adam(0.1), 0.1, 1)):
        first, second = np.zeros(3), np.zeros(3)
        adam.update(first, np.ones(3))
        adam.update(second, -np.ones(3))
        np.testing.assert_allclose(first, -0.1)
        np.testing.assert_allclose(second, moved, rtol=1e-6)
        assert adam.t == count


def test_half_the_loss_is_the_same_to_adam_and_not_to_sgd():
    x, y = (tg.tensor(a) for a in data.linear_regression())

    def trained(make, factor):
        w = tg.zeros(20, 1, dtype=tg.float64, requires_grad=True)
        optimizer = make([w])
        for _ in range(100):
            optimizer.zero_grad()
            (nn.functional.mse_loss(x @ w, y) * factor).backward()
            optimizer.step()
        return w.data

    whole, half = (trained(lambda p: optim.Adam(p, lr=0.1), factor) for factor in (1.0, 0.5))
    np.testing.assert_allclose(whole, half, atol=1e-8)
    whole, half = (trained(lambda p: optim.SGD(p, lr=1e-3), factor) for factor in (1.0, 0.5))
    assert 1.8 < np.linalg.norm(whole) / np.linalg.norm(half) < 2.0


@pytest.mark.parametrize(("lr", "updates"), [(1.0, 298), (0.1, 3027)])
def test_updates_until_linear_regression_is_solved(slide2, lr, updates):
    # lr 0.001 takes 100 550, by the same code.
    x, y = data.linear_regression()
    seed(0)
    weights, bias = np.random.randn(20, 1) * 0.01, np.zeros((1, 1))  # noqa: NPY002
    for_weights, for_bias = slide2(lr), slide2(lr)
    losses = []
    for _ in range(updates + 1):
        error = x @ weights + bias - y
        losses.append(np.mean(error**2))
        for_weights.update(weights, x.T @ error / 1000)
        for_bias.update(bias, np.sum(error) / 1000)
    assert train.steps_to_target(losses[1:], 1.01 * 0.010183269710035418) == updates


# --- slides 5 to 9 ------------------------------------------------------------------------------


def test_slide_8_fails_on_the_functions_of_slide_6():
    names = {"print": lambda *args: None}
    with pytest.raises(AttributeError, match="no attribute 'forward'"):
        perform(names, 2, 5, 6, 7, 8)


@pytest.fixture
def network(deck):
    seed(3)
    return deck.names["NeuralNetwork"]([4, 3, 1])


def test_backward_ignores_its_learning_rate(deck, network):
    rows, targets = np.eye(4), np.ones((4, 1))
    network.forward(rows)
    before = network.weights[0].copy()
    network.backward(rows, targets, 1e6)
    np.testing.assert_allclose(np.abs(network.weights[0] - before), 0.001, rtol=0.02)


def test_forward_on_other_data_changes_the_next_backward(network):
    rows, targets = np.eye(4), np.ones((4, 1))
    network.forward(rows)
    network.forward(np.zeros((4, 4)))
    before = network.weights[0].copy()
    network.backward(rows, targets, 0.001)
    np.testing.assert_array_equal(network.weights[0], before)  # the gradient of other rows: 0


def test_sigmoid_overflows_on_the_slide_only(network):
    network.weights[0][:] = -1000.0
    with pytest.warns(RuntimeWarning, match="overflow encountered in exp"):
        network.forward(np.ones((1, 4)))
    assert tg.sigmoid(tg.tensor([-1000.0, 1000.0])).tolist() == [0.0, 1.0]


def test_every_row_gets_the_same_answer_in_the_right_order(deck):
    from sklearn.metrics import roc_auc_score

    scores, labels = deck.names["test_predictions"], deck.names["y_test"]
    assert 0.60 < scores.min() < scores.max() < 0.67
    assert roc_auc_score(labels, scores) > 0.99
    assert labels.mean() == pytest.approx(0.6228, abs=5e-5)


def test_scaling_before_the_split_leaks(deck):
    leaky, clean = data.breast_cancer(leaky=True), data.breast_cancer()
    np.testing.assert_allclose(leaky.test[0], deck.names["X_test"], rtol=1e-12)
    assert np.abs(clean.train[0].mean(0)).max() < 1e-12 < np.abs(leaky.train[0].mean(0)).max()


# --- slides 10 to 13 ----------------------------------------------------------------------------


def test_a_rate_the_user_sets_is_overwritten_on_the_slide_only(slide2):
    decaying = perform({"Adam": slide2}, 10)["optimizer"]
    decaying.learning_rate = 123.0
    decaying.update(np.zeros(1), np.ones(1))
    assert decaying.learning_rate == 0.001
    w = tg.zeros(1, requires_grad=True)
    ours = optim.AdamWithDecay([w], lr=0.001)
    ours.param_groups[0]["lr"] = 0.5
    w.grad = tg.ones(1)
    ours.step()
    assert w.item() == pytest.approx(-0.5)
    assert ours.current_lrs() == [0.5 * 0.95 ** (1 / 1000)]


def test_comparing_twice_mixes_the_runs(slide2):
    optimizer = slide2(0.01)
    comparison = perform({}, 11)["OptimizerComparison"]({"Adam": optimizer})
    comparison.compare(iterations=200)
    comparison.compare(iterations=200)
    history = comparison.histories["Adam"]
    assert len(history) == optimizer.t == 400
    assert history[0] == pytest.approx(3.9997009999024904)  # after one update; 4.0 is missing
    assert history[200] != history[0]


def test_slide_12_takes_a_large_image_for_several():
    body = SLIDES[12].partition("class ConvNet")
    names = {"torch": tg, "nn": nn}
    exec(body[1] + body[2].partition("# Load MNIST")[0], names)
    model = names["ConvNet"]()
    outputs = model(tg.zeros(2, 1, 54, 54))
    assert outputs.shape == (8, 10)
    with pytest.raises(ShapeError):
        nn.functional.cross_entropy(outputs, tg.tensor([1, 2]))
    with pytest.raises(ShapeError):
        model.fc1(model.pool(model.conv1(tg.zeros(2, 1, 54, 54))).flatten(1))


def test_argmin_is_not_convergence():
    falling = {lr: [4.0 - lr * k for k in range(1000)] for lr in (0.001, 0.0001)}
    assert {int(np.argmin(history)) for history in falling.values()} == {999}
    diverging = [4.0] * 9 + [float("nan")] * 3
    assert np.argmin(diverging) == 9
    assert train.steps_to_target(diverging, 1e-3) is None
    assert train.steps_to_target(falling[0.001], 3.5) == 501
