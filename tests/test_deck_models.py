"""The deck's models through autograd and `tg.optim`, against numbers from the deck's formulas.

tests/goldens/deck_models.json and convnet_losses.json say how their numbers were made.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, train

GOLDENS = Path(__file__).parent / "goldens"
MODELS = json.loads((GOLDENS / "deck_models.json").read_text(encoding="utf-8"))
CONVNET = json.loads((GOLDENS / "convnet_losses.json").read_text(encoding="utf-8"))
PAGE = Path(__file__).parents[1] / "docs" / "deck.md"


def sigmoid_network(weights, biases, last=True):
    """Return the deck's network; its weights are (in, out), those of Linear (out, in)."""
    layers = []
    for w, b in zip(weights, biases, strict=True):
        layer = nn.Linear(*w.shape, dtype=tg.float64)
        layer.weight.data[...], layer.bias.data[...] = w.T, b
        layers += [layer, nn.Sigmoid()]
    return nn.Sequential(*layers if last else layers[:-1])


# --- slides 3 and 4: linear regression -----------------------------------------------------------

REGRESSION = MODELS["linear_regression"]


def regress(lr, epochs):
    """Return the losses before each update, the last loss, and the model."""
    x, y = (tg.tensor(a) for a in data.linear_regression())
    model = nn.Linear(20, 1, dtype=tg.float64)
    model.weight.data[...] = np.random.RandomState(0).randn(1, 20) * 0.01
    model.bias.data[...] = 0.0
    optimizer = optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        loss = nn.functional.mse_loss(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss / 2).backward()  # the deck's gradient
        optimizer.step()
    with tg.no_grad():
        return losses, nn.functional.mse_loss(model(x), y).item(), model


def test_least_squares():
    x, y = data.linear_regression()
    columns = np.hstack([x, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(columns, y)[0][:, 0]
    np.testing.assert_allclose(solution[:20], REGRESSION["ols_w"], rtol=0, atol=1e-8)
    assert solution[20] == pytest.approx(REGRESSION["ols_b"], rel=1e-8)
    error = columns @ solution - y[:, 0]
    assert np.mean(error**2) == pytest.approx(REGRESSION["ols_mse"], rel=1e-8)


def test_two_optimizers_as_the_deck_meant():
    losses, _, _ = regress(0.001, 100)
    for epoch, loss in REGRESSION["literal_two_optimizers"].items():
        assert losses[int(epoch)] == pytest.approx(loss, rel=1e-12)
    assert losses[-1] == pytest.approx(REGRESSION["lr0.001_N100"]["last"], rel=1e-12)


@pytest.mark.parametrize(
    ("lr", "epochs"),
    [(0.001, 1000), (0.01, 100), (0.01, 1000), (0.1, 100), (0.1, 1000), (1.0, 100)],
)
def test_linear_regression_on_its_way(lr, epochs):
    golden = REGRESSION[f"lr{lr}_N{epochs}"]
    losses, _, model = regress(lr, epochs)
    assert losses[0] == pytest.approx(golden["first"], rel=1e-12)
    assert losses[-1] == pytest.approx(golden["last"], rel=1e-8)
    away = np.abs(model.weight.data[0] - REGRESSION["ols_w"]).max()
    assert away == pytest.approx(golden["max_abs_param_err"], rel=1e-8)


def test_linear_regression_reaches_least_squares():
    losses, last, model = regress(1.0, 1000)
    assert last == pytest.approx(REGRESSION["ols_mse"], rel=1e-8)
    np.testing.assert_allclose(model.weight.data[0], REGRESSION["ols_w"], rtol=0, atol=1e-8)
    reached = train.steps_to_target(losses[1:], 1.01 * REGRESSION["ols_mse"])
    assert reached == REGRESSION["lr1_steps_to_within_1pct_of_ols"]


# --- slide 6: forward and backward ---------------------------------------------------------------

SLIDE6 = MODELS["slide6"]


def slide6_network(last=True):
    weights, biases = ([np.array(a) for a in SLIDE6[k]] for k in "Wb")
    return sigmoid_network(weights, biases, last)


def slide6_data():
    return tg.tensor(np.array(SLIDE6["X"])), tg.tensor(np.array(SLIDE6["y"], np.float64))


def deck_loss(probabilities, y):
    """Return slide 8's loss, with its 1e-8 inside the logarithms."""
    terms = y * (probabilities + 1e-8).log() + (1 - y) * (1 - probabilities + 1e-8).log()
    return -terms.mean()


def test_activations_and_losses():
    x, y = slide6_data()
    outputs = []
    for layer in slide6_network():
        x = layer(x)
        if isinstance(layer, nn.Sigmoid):
            outputs.append(x)
    for ours, golden in zip(outputs, SLIDE6["activations"], strict=True):
        np.testing.assert_allclose(ours.detach(), golden, rtol=1e-14)
    assert deck_loss(x, y).item() == pytest.approx(SLIDE6["loss_with_1e8"], rel=1e-14)
    loss = nn.functional.binary_cross_entropy(x, y)
    assert loss.item() == pytest.approx(SLIDE6["bce_exact"], rel=1e-14)


@pytest.mark.parametrize(
    ("last", "loss", "atol"),
    [
        (True, nn.functional.binary_cross_entropy, 1e-15),
        (False, nn.functional.binary_cross_entropy_with_logits, 1e-15),
        (True, deck_loss, 3e-8),
    ],
)
def test_gradients_are_those_of_the_cross_entropy(last, loss, atol):
    model, (x, y) = slide6_network(last), slide6_data()
    loss(model(x), y).backward()
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer, dw, db in zip(linear, SLIDE6["dW"], SLIDE6["db"], strict=True):
        np.testing.assert_allclose(layer.weight.grad.data.T, dw, rtol=0, atol=atol)
        np.testing.assert_allclose(layer.bias.grad.data, db[0], rtol=0, atol=atol)


@pytest.mark.parametrize("lr", SLIDE6["trajectory"])
def test_trajectory(lr):
    model, (x, y) = slide6_network(last=False), slide6_data()
    optimizer = optim.Adam(model.parameters(), lr=float(lr))
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for update in range(1, 1001):
        logits = model(x)
        before = deck_loss(logits.detach().sigmoid(), y).item()
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits, y).backward()
        optimizer.step()
        golden = SLIDE6["trajectory"][lr].get(str(update))
        if golden:
            assert before == pytest.approx(golden["loss_before_update"], rel=1e-12)
            for layer, w, b in zip(linear, golden["W"], golden["b"], strict=True):
                np.testing.assert_allclose(layer.weight.data.T, w, rtol=1e-12, atol=1e-13)
                np.testing.assert_allclose(layer.bias.data, b[0], rtol=1e-12, atol=1e-13)


# --- slides 7 to 9: breast cancer ----------------------------------------------------------------

CANCER = MODELS["breast_cancer"]


@cache
def table(split=42, leaky=True):
    if split == 42:
        (x, y), (x_test, y_test) = data.breast_cancer(leaky=leaky)
        return x, y, x_test, y_test
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    x, x_test, y, y_test = train_test_split(
        x, y.reshape(-1, 1).astype(float), test_size=0.2, random_state=split
    )
    return x, y, x_test, y_test


def diagnose(seed, init, lr, epochs, batch=None, split=42, leaky=True):
    """Train 30-16-8-1 as the recipe in the golden file says; return its metrics."""
    x, y, x_test, y_test = table(split, leaky)
    draws, sizes = np.random.RandomState(seed), [30, 16, 8, 1]
    weights = [
        draws.randn(a, b) * (0.01 if init == "small" else np.sqrt(2 / (a + b)))
        for a, b in pairwise(sizes)
    ]
    model = sigmoid_network(weights, [np.zeros(b) for b in sizes[1:]], last=False)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    order, accuracies = np.random.RandomState(seed + 1000), []
    for _ in range(epochs):
        rows = np.arange(len(x)) if batch is None else order.permutation(len(x))
        for start in range(0, len(x), batch or len(x)):
            part = rows[start : start + (batch or len(x))]
            logits, target = model(tg.tensor(x[part])), tg.tensor(y[part])
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
            optimizer.step()
        accuracies.append(np.mean((logits.data > 0) == target.data))
    with tg.no_grad():
        p, p_test = (model(tg.tensor(rows)).sigmoid().numpy() for rows in (x, x_test))
        precision, recall, _ = precision_recall_curve(y_test, p_test)
        return {
            "train_loss": deck_loss(tg.tensor(p), tg.tensor(y)).item(),
            "test_loss": deck_loss(tg.tensor(p_test), tg.tensor(y_test)).item(),
            "train_acc": np.mean((p > 0.5) == y),
            "test_acc": np.mean((p_test > 0.5) == y_test),
            "roc_auc": roc_auc_score(y_test, p_test),
            "pr_auc": auc(recall, precision),
        }, accuracies


@pytest.mark.parametrize("name", CANCER["runs"])
def test_breast_cancer(name):
    golden = CANCER["runs"][name]
    settings = {k: golden[k] for k in ("init", "lr", "epochs", "batch")}
    seeds = 5 if settings["batch"] is None else 2  # in batches a run has up to 1500 updates
    results = [diagnose(seed, **settings)[0] for seed in range(seeds)]
    for metric, mean in golden["mean"].items():
        values = [result[metric] for result in results]
        expected = [result[metric] for result in golden["per_seed"]]
        assert values == pytest.approx(expected[:seeds], abs=1e-6)
        assert np.mean(values + expected[seeds:]) == pytest.approx(mean, abs=1e-6)


def test_the_larger_class():
    assert table()[3].mean() == pytest.approx(CANCER["majority_class_test_acc"])


def test_when_the_deck_would_have_learned():
    golden = CANCER["small_lr0.001_seed0"]
    result, accuracies = diagnose(0, "small", 0.001, 1500)
    for share in ("0_64", "0_9", "0_97"):
        bar = float(share.replace("_", "."))
        first = next(epoch for epoch, a in enumerate(accuracies) if a > bar)
        assert first == golden[f"epoch_first_acc_gt_{share}"]
    for metric, value in golden["at_1500"].items():
        assert result[metric] == pytest.approx(value, abs=1e-6)


def test_the_leak_changes_nothing():
    results = [diagnose(seed, "xavier", 0.01, 200, leaky=False)[0] for seed in range(5)]
    for metric, value in CANCER["xavier_lr0.01_200ep_no_leak_mean"].items():
        assert np.mean([result[metric] for result in results]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("split", range(5))
def test_other_splits(split):
    result, _ = diagnose(0, "xavier", 0.01, 200, split=split)
    golden = CANCER["xavier_lr0.01_200ep_seed0_other_splits"][split]
    assert result["test_acc"] == pytest.approx(golden["acc"])
    assert result["roc_auc"] == pytest.approx(golden["auc"])


def test_logistic_regression_is_about_as_good():
    x, y, x_test, y_test = table()
    model = LogisticRegression(max_iter=1000).fit(x, y[:, 0])
    golden = CANCER["logistic_regression"]
    assert model.score(x_test, y_test[:, 0]) == pytest.approx(golden["test_acc"])
    scores = model.decision_function(x_test)
    assert roc_auc_score(y_test, scores) == pytest.approx(golden["roc_auc"], abs=1e-3)


# --- slide 10: decay -----------------------------------------------------------------------------


def test_decayed_rates():
    schedule = optim.schedules.Exponential(0.001, 0.95, 1000)
    w = tg.zeros(1, requires_grad=True)
    optimizer = optim.AdamWithDecay([w], lr=0.001, decay_rate=0.95)
    for update, rate in MODELS["slide10"]["lr_used_at_update"].items():
        assert schedule(int(update) - 1) == pytest.approx(rate, rel=1e-15)
        optimizer.param_groups[0]["updates"] = int(update) - 1
        assert optimizer.current_lrs() == [schedule(int(update) - 1)]


# --- slides 11 and 13: Rosenbrock ----------------------------------------------------------------

ROSENBROCK = MODELS["rosenbrock"]
RULES = {
    "adam_lr0.001": lambda p: optim.Adam(p, lr=0.001),
    "adam_lr0.01": lambda p: optim.Adam(p, lr=0.01),
    "adam_lr0.1": lambda p: optim.Adam(p, lr=0.1),
    "sgd_lr0.0001": lambda p: optim.SGD(p, lr=0.0001),
    "sgd_lr0.0001_mom0.9": lambda p: optim.SGD(p, lr=0.0001, momentum=0.9),
    "sgd_lr0.001": lambda p: optim.SGD(p, lr=0.001),
    "rmsprop_lr0.001_alpha0.99": lambda p: optim.RMSprop(p, lr=0.001),
    "rmsprop_lr0.001_alpha0.9": lambda p: optim.RMSprop(p, lr=0.001, alpha=0.9),
}


@pytest.mark.parametrize("name", ROSENBROCK["runs"])
def test_rosenbrock(name):
    golden = ROSENBROCK["runs"][name]
    point = tg.tensor(ROSENBROCK["start"], dtype=tg.float64, requires_grad=True)
    optimizer = RULES[name]([point])
    history = []
    for update in range(1001):
        x, y = point
        value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        history.append(value.item())
        at = golden["at"].get(str(update))
        if at and update <= golden["trust_until"]:
            np.testing.assert_allclose(point.detach(), [at["x"], at["y"]], rtol=0, atol=1e-9)
            assert value.item() == pytest.approx(at["f"], rel=1e-6)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert history[0] == ROSENBROCK["f0"]
    assert int(np.argmin(history[1:])) == golden["argmin_1000"] == 999
    first = golden["first_f_below_1e_3"]
    expected = first if first is not None and first <= 1000 else None
    assert train.steps_to_target(history[1:], 1e-3) == expected


# --- slide 12: the convolutional network ---------------------------------------------------------


def convnet(torch_like, nn_like):
    """Run slide 12's class body as printed, and draw its weights as the golden file says."""
    code = PAGE.read_text(encoding="utf-8").partition("class ConvNet")[2].partition("# Load")[0]
    names = {"torch": torch_like, "nn": nn_like}
    exec(f"class ConvNet{code}", names)
    draws, model = np.random.RandomState(0), names["ConvNet"]()
    weights = [0.05 * draws.standard_normal(tuple(p.shape)) for p in model.parameters()]
    return model, weights


def batches(dtype):
    (images, labels), _ = data.mnist()
    for k in range(0, 640, 32):
        yield (images[k : k + 32, None] / 255).astype(dtype), labels[k : k + 32]


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
def test_convnet_losses(dtype, rtol):
    model, weights = convnet(tg, nn)
    model.to(dtype=np.dtype(dtype))
    for parameter, values in zip(model.parameters(), weights, strict=True):
        parameter.data[...] = values
    optimizer = optim.Adam(model.parameters())
    losses = []
    for x, labels in batches(dtype):
        loss = nn.CrossEntropyLoss()(model(tg.tensor(x)), tg.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, CONVNET[dtype], rtol=rtol)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.oracle
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 1e-12)])
def test_convnet_golden_is_pytorch(dtype, rtol):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # several are slower where other tests share the cores
    model, weights = convnet(torch, torch.nn)
    model.to(getattr(torch, dtype))
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(values))
    optimizer = torch.optim.Adam(model.parameters())
    losses = []
    for x, labels in batches(dtype):
        loss = torch.nn.CrossEntropyLoss()(model(torch.from_numpy(x)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, CONVNET[dtype], rtol=rtol)
