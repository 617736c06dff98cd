"""The deck's slides 3 to 11, executed as they are printed, and the optimisers of plain arrays."""

import copy
import json
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import optim, train
from tinygrad_adam.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_adam.optim import arrays

DECK = json.loads((Path(__file__).parent / "goldens" / "deck.json").read_text())
CLOSE = {"atol": 1e-13, "rtol": 1e-12}

SLIDE_3 = """
import numpy as np
from sklearn.datasets import make_regression
from sklearn.preprocessing import StandardScaler

# Generate synthetic data
X, y = make_regression(n_samples=1000, n_features=20, noise=0.1, random_state=42)
X = StandardScaler().fit_transform(X)
y = y.reshape(-1, 1)

# Linear regression model with Adam optimizer
class LinearRegressionAdam:
    def __init__(self, n_features):
        self.weights = np.random.randn(n_features, 1) * 0.01
        self.bias = np.zeros((1, 1))
        self.optimizer = Adam()

    def forward(self, X):
        return np.dot(X, self.weights) + self.bias

    def compute_gradients(self, X, y, y_pred):
        m = X.shape[0]
        dw = (1/m) * np.dot(X.T, (y_pred - y))
        db = (1/m) * np.sum(y_pred - y)
        return dw, db

    def train_step(self, X, y):
        y_pred = self.forward(X)
        dw, db = self.compute_gradients(X, y, y_pred)
        self.weights = self.optimizer.update(self.weights, dw)
        self.bias = self.optimizer.update(self.bias, db)
        return np.mean((y_pred - y) ** 2)
"""

SLIDE_4 = """
import matplotlib.pyplot as plt

# Training process
model = LinearRegressionAdam(X.shape[1])
losses = []

for epoch in range(100):
    loss = model.train_step(X, y)
    losses.append(loss)
    if epoch % 10 == 0:
        print(f"Epoch {epoch}, Loss: {loss:.4f}")

# Visualization of training progress
plt.plot(losses)
plt.title('Training Loss Over Time')
plt.xlabel('Epoch')
plt.ylabel('MSE Loss')
plt.yscale('log')
plt.grid(True)
plt.show()
"""

SLIDE_5 = """
import numpy as np

class NeuralNetwork:
    def __init__(self, layer_sizes):
        self.weights = []
        self.biases = []
        self.optimizers_w = []
        self.optimizers_b = []

        for i in range(len(layer_sizes)-1):
            self.weights.append(np.random.randn(layer_sizes[i], layer_sizes[i+1]) * 0.01)
            self.biases.append(np.zeros((1, layer_sizes[i+1])))
            self.optimizers_w.append(Adam())
            self.optimizers_b.append(Adam())
"""

SLIDE_6 = """
def forward(self, X):
    self.activations = [X]
    for i in range(len(self.weights)):
        Z = np.dot(self.activations[-1], self.weights[i]) + self.biases[i]
        A = 1 / (1 + np.exp(-Z))  # Sigmoid activation
        self.activations.append(A)
    return self.activations[-1]

def backward(self, X, y, learning_rate):
    m = X.shape[0]
    delta = self.activations[-1] - y

    for i in range(len(self.weights) - 1, -1, -1):
        dW = np.dot(self.activations[i].T, delta) / m
        db = np.sum(delta, axis=0, keepdims=True) / m

        if i > 0:
            delta = np.dot(delta, self.weights[i].T) * (self.activations[i] * (1 - self.activations[i]))

        self.weights[i] = self.optimizers_w[i].update(self.weights[i], dW)
        self.biases[i] = self.optimizers_b[i].update(self.biases[i], db)
"""  # noqa: E501

# Slide 6 prints the two methods outside of the class; the code of slide 8 needs them inside.
ATTACH = """
NeuralNetwork.forward = forward
NeuralNetwork.backward = backward
"""

SLIDE_7 = """
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

# Load and preprocess data
data = load_breast_cancer()
X = StandardScaler().fit_transform(data.data)
y = data.target.reshape(-1, 1)

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)

# Create and train model
model = NeuralNetwork([30, 16, 8, 1])
"""

SLIDE_8 = """
def train_model(model, X_train, y_train, epochs=100):
    losses = []
    for epoch in range(epochs):
        predictions = model.forward(X_train)
        loss = -np.mean(y_train * np.log(predictions + 1e-8) +
                       (1-y_train) * np.log(1-predictions + 1e-8))
        model.backward(X_train, y_train, 0.001)
        losses.append(loss)

        if epoch % 10 == 0:
            accuracy = np.mean((predictions > 0.5) == y_train)
            print(f"Epoch {epoch}, Loss: {loss:.4f}, Accuracy: {accuracy:.4f}")

    return losses

# Train the model
losses = train_model(model, X_train, y_train)

# Evaluate on test set
test_predictions = model.forward(X_test)
test_accuracy = np.mean((test_predictions > 0.5) == y_test)
print(f"Test Accuracy: {test_accuracy:.4f}")
"""

SLIDE_9 = """
import matplotlib.pyplot as plt
from sklearn.metrics import roc_curve, auc, precision_recall_curve

def plot_metrics(model, X_train, y_train, X_test, y_test):
    # Generate predictions
    train_pred = model.forward(X_train)
    test_pred = model.forward(X_test)

    # ROC Curve
    fpr, tpr, _ = roc_curve(y_test, test_pred)
    roc_auc = auc(fpr, tpr)

    # Precision-Recall Curve
    precision, recall, _ = precision_recall_curve(y_test, test_pred)
    pr_auc = auc(recall, precision)

    # Plot
    fig, (ax1, ax2) = plt.subplots(1, 2, figsize=(12, 4))

    ax1.plot(fpr, tpr, label=f'ROC curve (AUC = {roc_auc:.2f})')
    ax1.plot([0, 1], [0, 1], 'k--')
    ax1.set_xlabel('False Positive Rate')
    ax1.set_ylabel('True Positive Rate')
    ax1.set_title('ROC Curve')
    ax1.legend()

    ax2.plot(recall, precision, label=f'PR curve (AUC = {pr_auc:.2f})')
    ax2.set_xlabel('Recall')
    ax2.set_ylabel('Precision')
    ax2.set_title('Precision-Recall Curve')
    ax2.legend()

    plt.tight_layout()
    plt.show()
"""

SLIDE_10 = """
class AdamWithDecay(Adam):
    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999,
                 epsilon=1e-8, decay_rate=0.95):
        super().__init__(learning_rate, beta1, beta2, epsilon)
        self.initial_learning_rate = learning_rate
        self.decay_rate = decay_rate

    def update(self, params, grads):
        # Decay learning rate
        self.learning_rate = self.initial_learning_rate * \\
                            (self.decay_rate ** (self.t / 1000))

        return super().update(params, grads)

# Example usage
optimizer = AdamWithDecay(learning_rate=0.001, decay_rate=0.95)
"""

SLIDE_11 = """
import numpy as np
from typing import Callable, Dict

class OptimizerComparison:
    def __init__(self, optimizers: Dict[str, Callable]):
        self.optimizers = optimizers
        self.histories = {name: [] for name in optimizers.keys()}

    def rosenbrock(self, x, y):
        return (1 - x)**2 + 100 * (y - x**2)**2

    def compare(self, iterations=1000):
        starting_point = np.array([-1.0, 1.0])
        for name, optimizer in self.optimizers.items():
            params = starting_point.copy()
            for _ in range(iterations):
                # Compute gradients
                x, y = params
                dx = -2*(1-x) + 200*(y-x**2)*(-2*x)
                dy = 200*(y-x**2)
                grads = np.array([dx, dy])

                # Update parameters
                params = optimizer.update(params, grads)
                self.histories[name].append(self.rosenbrock(*params))
"""


@pytest.fixture
def slides():
    """Execute slides one after the other, where ``Adam`` is ours instead of slide 2's."""
    namespace = {"Adam": arrays.Adam}

    state = np.random.get_state()  # noqa: NPY002  the slides draw from it

    def run(*texts):
        if len(namespace) == 1:  # the first, however the stream stands when the test begins
            np.random.seed(0)  # noqa: NPY002
        for text in texts:
            exec(compile(text, "<slide>", "exec"), namespace)
        return namespace

    yield run
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture
def figures(monkeypatch):
    """Let slides draw without a screen; lists what was shown."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    yield shown
    plt.close("all")


def test_slides_3_and_4(slides, figures, capsys):
    pytest.importorskip("sklearn")
    names = slides(SLIDE_3, SLIDE_4)
    model, losses = names["model"], names["losses"]
    printed = capsys.readouterr().out
    for epoch, expected in DECK["linear_regression"]["literal_two_optimizers"].items():
        assert losses[int(epoch)] == pytest.approx(expected, rel=1e-12)
        assert f"Epoch {epoch}, Loss: {expected:.4f}\n" in printed
    assert model.weights.shape == (20, 1)
    assert model.bias.shape == (1, 1)
    assert model.optimizer.t == 100
    assert len(figures) == 1


def test_slide_3_needs_state_per_array(slides):
    """One Adam for weights and bias gives what two give, whichever of them comes first."""
    pytest.importorskip("sklearn")
    names = slides(SLIDE_3)
    model = names["LinearRegressionAdam"](20)
    weights, bias = model.weights.copy(), model.bias.copy()
    a, b = arrays.Adam(), arrays.Adam()
    for _ in range(20):
        y_pred = np.dot(names["X"], weights) + bias
        dw, db = model.compute_gradients(names["X"], names["y"], y_pred)
        b.update(bias, db)
        a.update(weights, dw)
        model.train_step(names["X"], names["y"])
    np.testing.assert_array_equal(model.weights, weights)
    np.testing.assert_array_equal(model.bias, bias)


def test_slides_5_to_9(slides, figures, capsys):
    pytest.importorskip("sklearn")
    names = slides(SLIDE_5, SLIDE_6, ATTACH, SLIDE_7)
    model = names["model"]
    before = [*model.weights, *model.biases]
    slides(SLIDE_8, SLIDE_9, "plot_metrics(model, X_train, y_train, X_test, y_test)")
    golden = DECK["breast_cancer"]["deck_literal_100ep"]
    assert names["losses"][0] == pytest.approx(0.6941, abs=1e-4)
    # The golden's loss is that after the last update, the printed one that before it.
    assert golden["train_loss_per_seed"][0] < names["losses"][-1] < 0.6235
    assert names["test_accuracy"] == golden["test_acc_per_seed"][0]
    assert all(a is b for a, b in zip(before, [*model.weights, *model.biases], strict=True))
    curve = figures[0].axes[0].lines[0]
    assert curve.get_label() == f"ROC curve (AUC = {golden['roc_auc_per_seed'][0]:.2f})"
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(golden["roc_auc_per_seed"][0], abs=1e-12)
    assert "Test Accuracy: 0.6228" in capsys.readouterr().out


@pytest.mark.parametrize("rate", ["0.001", "0.05"])
def test_trajectory_of_slide_6(slides, rate):
    golden = DECK["slide6"]
    names = slides(SLIDE_5, SLIDE_6, ATTACH)
    network = names["NeuralNetwork"](golden["sizes"])
    network.weights = [np.array(w) for w in golden["W"]]
    network.biases = [np.array(b) for b in golden["b"]]
    for optimizer in network.optimizers_w + network.optimizers_b:
        optimizer.learning_rate = float(rate)
    X, y = np.array(golden["X"]), np.array(golden["y"])
    for k in range(1, 1001):
        network.forward(X)
        network.backward(X, y, 0.001)
        if expected := golden["trajectory"][rate].get(str(k)):
            for ours, theirs in [(network.weights, expected["W"]), (network.biases, expected["b"])]:
                for a, b in zip(ours, theirs, strict=True):
                    np.testing.assert_allclose(a, b, atol=1e-10, rtol=1e-10)


def test_slide_11(slides):
    names = slides(SLIDE_10, SLIDE_11)
    comparison = names["OptimizerComparison"](
        {
            "adam_lr0.001": arrays.Adam(learning_rate=0.001),
            "adam_lr0.01": arrays.Adam(learning_rate=0.01),
            "sgd_lr0.0001": arrays.SGD(learning_rate=0.0001),
            "sgd_lr0.0001_mom0.9": arrays.SGD(learning_rate=0.0001, momentum=0.9),
            "rmsprop_lr0.001_alpha0.99": arrays.RMSprop(learning_rate=0.001, alpha=0.99),
            "decay": names["optimizer"],
        }
    )
    comparison.compare()
    first = {name: list(history) for name, history in comparison.histories.items()}
    for name, run in DECK["rosenbrock"]["runs"].items():
        if name in first:
            for k in ("1", "10", "100", "1000"):
                assert first[name][int(k) - 1] == pytest.approx(run["at"][k]["f"], abs=1e-8)
            below = run["first_f_below_1e_3"]
            expected = below if below is not None and below <= 1000 else None
            assert train.steps_to_target(first[name], 1e-3) == expected
    # A second comparison starts from fresh copies, and so with fresh state.
    comparison.compare()
    for name, history in comparison.histories.items():
        if name != "decay":  # slide 10 reads t before the new array is known
            assert history[1000:] == first[name]


# --- the deck's numbers -------------------------------------------------------------------------


def deck_id(entry):
    hyper = ",".join(f"{k}={v}" for k, v in entry["hyper"].items())
    return f"{entry['name']}-{entry['shape']}{'-scaled' if entry['scaled'] else ''}{hyper}"


def check_against(entry, optimizer):
    rs = np.random.RandomState(entry["seed"])
    p = rs.standard_normal(entry["shape"])
    scale = 10 ** rs.uniform(-9, 1, entry["shape"]) if entry["scaled"] else 1
    for t in range(1, 1001):
        assert optimizer.update(p, rs.standard_normal(entry["shape"]) * scale) is p
        assert optimizer.t == t
        if expected := entry["at"].get(str(t)):
            np.testing.assert_allclose(p, expected["p"], **CLOSE)
            np.testing.assert_allclose(optimizer.m, expected["m"], **CLOSE)
            np.testing.assert_allclose(optimizer.v, expected["v"], **CLOSE)
            assert optimizer.learning_rate == expected["lr"]


@pytest.mark.parametrize("entry", [e for e in DECK["adam"] if e["name"] != "eps_hat"], ids=deck_id)
def test_adam_of_the_deck(entry, slides):
    hyper = dict(entry["hyper"])
    if entry["name"] == "slide10_decay":
        check_against(entry, arrays.AdamWithDecay(**hyper))
        check_against(entry, slides(SLIDE_10)["AdamWithDecay"](**hyper))
        return
    if entry["name"] == "slide1_eps_inside":
        hyper |= {"epsilon": 0.0, "epsilon_root": hyper.get("epsilon", 1e-8)}
    check_against(entry, arrays.Adam(**hyper))


def test_rates_of_slide_10(slides):
    golden = {int(k): v for k, v in DECK["slide10_lr_used_at_update"].items()}
    p, g = np.zeros(1), np.ones(1)
    ours, theirs = arrays.AdamWithDecay(), slides(SLIDE_10)["optimizer"]
    for t in range(1, 2001):
        for optimizer in (ours, theirs):
            optimizer.update(p, g)
            if t in golden:
                assert optimizer.learning_rate == golden[t]


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (arrays.Adam(learning_rate=0.1), optim.Adam, {"lr": 0.1}),
        (arrays.SGD(), optim.SGD, {}),
        (arrays.SGD(0.1, momentum=0.9), optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (arrays.RMSprop(), optim.RMSprop, {}),
        (arrays.RMSprop(0.1, 0.9, 1e-3), optim.RMSprop, {"lr": 0.1, "alpha": 0.9, "eps": 1e-3}),
        (arrays.AdamWithDecay(decay_rate=0.5), optim.AdamWithDecay, {"decay_rate": 0.5}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_same_bits_as_the_optimizers_on_tensors(ours, theirs, settings, dtype):
    rs = np.random.RandomState(0)
    p = rs.standard_normal((4, 3)).astype(dtype)
    q = tg.Tensor(p.copy(), requires_grad=True)
    optimizer = theirs([q], **settings)
    for _ in range(20):
        g = rs.standard_normal((4, 3)).astype(dtype)
        q.grad = tg.Tensor(g)
        optimizer.step()
        ours.update(p, g)
    np.testing.assert_array_equal(p, q.data)


# --- state per array ----------------------------------------------------------------------------


def test_attributes_are_those_of_the_array_updated_last():
    optimizer = arrays.Adam()
    assert (optimizer.t, optimizer.m, optimizer.v) == (0, None, None)
    a, b = np.zeros(2), np.zeros(3)
    for _ in range(3):
        optimizer.update(a, np.ones(2))
    assert optimizer.t == 3
    optimizer.update(b, np.ones(3))
    assert (optimizer.t, optimizer.m.shape, optimizer.v.shape) == (1, (3,), (3,))
    optimizer.update(a, np.ones(2))
    assert (optimizer.t, optimizer.m.shape) == (4, (2,))


def test_decay_counts_per_array():
    optimizer = arrays.AdamWithDecay(learning_rate=1.0, decay_rate=0.5**1000)
    a, b = np.zeros(1), np.zeros(1)
    rates = []
    for array in (a, b, a, b, a):
        optimizer.update(array, np.ones(1))
        rates.append(optimizer.learning_rate)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_arrays_of_one_shape_do_not_mix():
    """With one state for both, the second array would move by a twentieth of this."""
    optimizer = arrays.Adam(learning_rate=0.1)
    a, b = np.zeros(1), np.zeros(1)
    optimizer.update(a, np.array([1.0]))
    optimizer.update(b, np.array([-1.0]))
    assert (a[0], b[0]) == pytest.approx((-0.1, 0.1))


def test_views_made_anew_are_recognised():
    whole, parts = np.zeros((2, 3)), [np.zeros(3), np.zeros(3)]
    shared, separate = arrays.Adam(), [arrays.Adam(), arrays.Adam()]
    for k in range(5):
        for i in range(2):
            g = np.full(3, (-1.0) ** k * (i + 1))
            shared.update(whole[i], g)
            separate[i].update(parts[i], g)
            assert shared.t == k + 1
    np.testing.assert_array_equal(whole, parts)


def copied_by_pickle(value):
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, copied_by_pickle])
KINDS = [arrays.Adam, arrays.AdamWithDecay, lambda: arrays.SGD(momentum=0.9), arrays.RMSprop]


@COPIES
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("array_first", [False, True])
def test_a_copy_with_its_arrays_goes_on_exactly(copied, make, array_first):
    rng = np.random.default_rng(0)
    optimizer, w, b = make(), rng.standard_normal((3, 2)), rng.standard_normal(2)
    grads = rng.standard_normal((6, 3, 2))
    for g in grads[:3]:
        optimizer.update(w, g)
        optimizer.update(b, g[0])
    if array_first:
        w2, b2, optimizer2 = copied((w, b, optimizer))
    else:
        optimizer2, b2, w2 = copied((optimizer, b, w))
    assert optimizer2.t == 3
    for g in grads[3:]:
        optimizer2.update(w2, g)
        optimizer2.update(b2, g[0])
    assert optimizer2.t == 6
    assert optimizer.t == 3  # the original is on its own
    for g in grads[3:]:
        optimizer.update(w, g)
        optimizer.update(b, g[0])
    np.testing.assert_array_equal(w2, w)
    np.testing.assert_array_equal(b2, b)


@COPIES
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_recognises_views_made_anew(copied, order):
    optimizer, w = arrays.Adam(), np.asarray(np.arange(24.0).reshape(2, 3, 4).copy(), order=order)
    w = w.copy(order="A")  # owns its memory, so that w[0] is a view of w and of nothing before it
    grads = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    for g in grads[:2]:
        optimizer.update(w[0], g[0])
        optimizer.update(w[1, ::-1, 1:], g[1, :, 1:])
    for _ in range(2):  # a copy of a copy, too
        optimizer2, w2 = copied((optimizer, w))
        for g in grads[2:]:
            for o, array in ((optimizer, w), (optimizer2, w2)):
                o.update(array[0], g[0])
                o.update(array[1, ::-1, 1:], g[1, :, 1:])
        np.testing.assert_array_equal(w2, w)
        assert optimizer2.t == optimizer.t
        optimizer, w = copied(copied((optimizer2, w2)))


@COPIES
def test_an_array_that_was_not_copied_along_is_new(copied):
    optimizer, w = arrays.Adam(), np.zeros(3)
    optimizer.update(w, np.ones(3))
    alone = copied(optimizer)
    assert (alone.t, alone.m.tolist()) == (1, optimizer.m.tolist())
    # The copy's keys were the original's addresses: whatever came to lie there met old moments.
    del optimizer
    address = w.ctypes.data
    del w
    for _ in range(100):
        fresh = np.zeros(3)
        if fresh.ctypes.data == address:
            break
    assert alone.update(fresh, np.ones(3)).round(6).tolist() == [-0.001] * 3
    assert alone.t == 1


def test_a_shallow_copy_shares_what_is_known():
    optimizer, w = arrays.Adam(), np.zeros(2)
    optimizer.update(w, np.ones(2))
    other = copy.copy(optimizer)
    other.learning_rate = 0.5
    other.update(w, np.ones(2))
    assert (optimizer.t, other.t, optimizer.learning_rate) == (2, 2, 0.001)
    np.testing.assert_array_equal(optimizer.m, other.m)


def test_a_setting_that_became_an_array_changes_nothing():
    optimizer, w = arrays.Adam(), np.ones(2)
    optimizer.update(w, w.copy())
    before = w.copy()
    optimizer.beta1 = np.array([0.9, 0.8])
    with pytest.raises(ArgumentError, match="beta1 must be a finite number"):
        optimizer.update(w, np.ones(2))
    np.testing.assert_array_equal(w, before)
    assert optimizer.t == 1


def test_a_new_array_in_old_memory_starts_anew():
    optimizer = arrays.Adam()
    for _ in range(50):
        w = np.zeros(4)
        optimizer.update(w, np.ones(4))
        assert optimizer.t == 1
        np.testing.assert_allclose(w, -0.001)


def test_a_number_for_one_element():
    w = np.zeros((1, 1))
    assert arrays.Adam().update(w, np.float64(2.0)) is w
    np.testing.assert_allclose(w, [[-0.001]])
    scalar = np.zeros(())
    arrays.Adam().update(scalar, np.float64(2.0))
    np.testing.assert_allclose(scalar, -0.001)


def test_gradients_are_let_go():
    class Gradient(np.ndarray):
        """An array that can be referred to weakly."""

    optimizer, w, g = arrays.SGD(), np.zeros(2), np.ones(2).view(Gradient)
    optimizer.update(w, g)
    held = weakref.ref(g)
    del g
    assert held() is None


def test_momentum_may_be_switched_on():
    optimizer, w = arrays.SGD(learning_rate=1.0), np.zeros(1)
    optimizer.update(w, np.ones(1))
    optimizer.momentum = 0.5
    optimizer.update(w, np.ones(1))
    optimizer.update(w, np.ones(1))
    assert w[0] == -3.5


# --- errors -------------------------------------------------------------------------------------

f64, f32 = np.ones(5), np.ones(5, np.float32)


@pytest.mark.parametrize("cls", [arrays.Adam, arrays.AdamWithDecay, arrays.SGD, arrays.RMSprop])
@pytest.mark.parametrize(
    ("params", "grads", "error", "words"),
    [
        (f64, np.ones(1), ShapeError, r"\(5,\).*\(1,\)"),
        (f64, np.float64(1), ShapeError, r"\(5,\).*\(\)"),
        (f64, np.ones((5, 1)), ShapeError, r"\(5, 1\)"),
        (np.ones((20, 1)), np.ones((1, 1)), ShapeError, r"\(20, 1\)"),
        (np.arange(5), np.arange(5), DTypeError, "int64.*astype"),
        (np.ones(5, complex), np.ones(5, complex), DTypeError, "complex128"),
        (f32, np.ones(5), DTypeError, "float32.*float64"),
        (f64, np.ones(5, int), DTypeError, "float64.*int64"),
        ([1.0, 2.0], np.ones(2), DTypeError, "params must be .*, got list"),
        (np.float64(1.0), np.float64(1.0), DTypeError, "params must be .*, got float64"),
        (f64, [1.0] * 5, DTypeError, "grads must be .*, got list"),
        (f64, None, DTypeError, "grads must be .*, got NoneType"),
        (np.broadcast_to(1.0, (3,)), np.ones(3), ArgumentError, "read-only"),
    ],
)
def test_bad_operands_change_nothing(cls, params, grads, error, words):
    before = np.array(params)
    optimizer, other = cls(), np.zeros(2)
    optimizer.update(other, np.ones(2))
    kept = other.copy()
    with pytest.raises(error, match=words):
        optimizer.update(params, grads)
    np.testing.assert_array_equal(params, before)
    assert optimizer.t == 1
    optimizer.update(other, np.ones(2))
    assert optimizer.t == 2
    assert (other < kept).all()


def test_a_new_shape_of_an_old_array_is_refused():
    w = np.zeros(4)
    optimizer = arrays.Adam()
    optimizer.update(w, np.ones(4))
    w.resize(2, 2, refcheck=False)
    before = w.copy()
    with pytest.raises(ShapeError, match=r"\(2, 2\).*\(4,\)"):
        optimizer.update(w, np.ones((2, 2)))
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (arrays.Adam, {"learning_rate": -1}),
        (arrays.Adam, {"beta1": 1.0}),
        (arrays.Adam, {"beta2": -0.1}),
        (arrays.Adam, {"epsilon": float("nan")}),
        (arrays.Adam, {"epsilon_root": -1}),
        (arrays.AdamWithDecay, {"decay_rate": 0}),
        (arrays.SGD, {"momentum": -1}),
        (arrays.RMSprop, {"alpha": 1}),
        (arrays.RMSprop, {"epsilon": "small"}),
    ],
)
def test_bad_settings(cls, settings):
    with pytest.raises(ArgumentError):
        cls(**settings)
    optimizer, w = cls(), np.zeros(1)
    for name, value in settings.items():
        setattr(optimizer, name, value)
    with pytest.raises(ArgumentError):
        optimizer.update(w, np.ones(1))
    assert w[0] == 0.0
    assert optimizer.t == 0
