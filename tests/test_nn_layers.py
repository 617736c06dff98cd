"""Layers, losses and initial values: settings, bounds, seeds, and agreement with PyTorch."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    InPlaceError,
    ShapeError,
)
from tinygrad_adam.random import Generator, default_generator


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Linear(0, 3), "in_features must be at least 1, got 0"),
        (lambda: nn.Linear(3, 2.0), "out_features must be an integer, got float 2.0"),
        (lambda: nn.Linear(3, True), "out_features"),
        (lambda: nn.Conv2d(-1, 3, 3), "in_channels"),
        (lambda: nn.Conv2d(1, 3, 0), "kernel_size"),
        (lambda: nn.Conv2d(1, 3, (3, 3, 3)), "kernel_size must be an integer or a pair"),
        (lambda: nn.Conv2d(1, 3, (3, "x")), "kernel_size"),
        (lambda: nn.Conv2d(1, 3, 3, stride=0), "stride"),
        (lambda: nn.Conv2d(1, 3, 3, padding=-1), "padding"),
        (lambda: nn.Conv2d(1, 3, 3, padding="full"), "'valid' or 'same'"),
        (lambda: nn.Conv2d(1, 3, 3, stride=2, padding="same"), "needs stride 1"),
        (lambda: nn.Conv2d(1, 3, 2, 2, padding="same"), "stride 1"),
        (lambda: nn.Conv2d(1, 3, 3, dilation=0), "dilation"),
        (lambda: nn.Conv2d(2, 3, 3, groups=2), "groups=2 must divide"),
        (lambda: nn.Conv2d(2, 2, 3, groups=0), "groups"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size"),
        (lambda: nn.MaxPool2d(2, padding=2), "at most half of kernel_size"),
        (lambda: nn.AvgPool2d(2, stride=-1), "AvgPool2d: stride"),
        (lambda: nn.Flatten("x"), "start_dim"),
        (lambda: nn.Softmax(None), "Softmax: dim"),
        (lambda: nn.LogSoftmax(1.5), "LogSoftmax: dim"),
        (lambda: nn.Dropout(1.5), "between 0 and 1"),
        (lambda: nn.Dropout("x"), "between 0 and 1"),
        (lambda: nn.Dropout(math.nan), "between 0 and 1"),
        (lambda: nn.MSELoss(reduction="avg"), "MSELoss: reduction"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), "label_smoothing"),
        (lambda: nn.CrossEntropyLoss(ignore_index=1.5), "ignore_index"),
    ],
)
def test_bad_settings_are_refused_when_the_layer_is_made(make, words):
    with pytest.raises((ArgumentError, DTypeError), match=words):
        make()


@pytest.mark.parametrize(
    "layer", [lambda **k: nn.Linear(2, 2, **k), lambda **k: nn.Conv2d(1, 1, 1, **k)]
)
def test_layers_take_device_and_dtype(layer):
    made = layer(dtype=tg.float64, device="cpu")
    assert {p.dtype for p in made.parameters()} == {tg.float64}
    with pytest.raises(DTypeError, match="must be a floating type"):
        layer(dtype=int)
    with pytest.raises(DTypeError, match="neither an element type"):
        layer(dtype="wide")
    with pytest.raises(DeviceError):
        layer(device="tpu")


@pytest.mark.parametrize(
    ("layer", "function", "settings"),
    [
        (
            nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=2, groups=2),
            "conv2d",
            {"stride": (1, 2), "padding": (2, 1), "dilation": 2, "groups": 2},
        ),
        (nn.Conv2d(4, 2, 3, padding="same"), "conv2d", {"padding": 1}),
        (nn.Conv2d(4, 2, 3, padding="valid"), "conv2d", {}),
        (nn.MaxPool2d((3, 2), 1, 1), "max_pool2d", {"stride": 1, "padding": 1}),
        (nn.MaxPool2d((3, 2)), "max_pool2d", {"stride": (3, 2)}),
        (
            nn.AvgPool2d((3, 2), 1, 1, count_include_pad=False),
            "avg_pool2d",
            {"stride": 1, "padding": 1, "count_include_pad": False},
        ),
        (nn.AvgPool2d((3, 2), 1, 1), "avg_pool2d", {"stride": 1, "padding": 1}),
    ],
)
def test_layers_hand_on_their_settings(layer, function, settings):
    x = tg.tensor(np.random.default_rng(2).standard_normal((2, 4, 6, 7)), dtype=tg.float32)
    args = (x, layer.weight, layer.bias) if function == "conv2d" else (x, (3, 2))
    expected = getattr(nn.functional, function)(*args, **settings)
    np.testing.assert_allclose(layer(x).data, expected.data, rtol=1e-6)


def test_bias_false_registers_no_bias():
    assert list(nn.Linear(2, 3, bias=False).state_dict()) == ["weight"]
    assert list(nn.Conv2d(2, 4, 3, groups=2, bias=False).state_dict()) == ["weight"]
    layer = nn.Linear(2, 3, bias=False)
    assert layer.bias is None
    with pytest.raises(TypeError, match="'bias'"):
        layer.bias = tg.ones(3)
    layer.bias = nn.Parameter(tg.ones(3))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert nn.Conv2d(2, 4, (3, 5), groups=2).weight.shape == (4, 1, 3, 5)


def test_flatten_joins_the_named_dimensions():
    x = tg.zeros(2, 3, 4, 5)
    shapes = [nn.Flatten(*ends)(x).shape for ends in [(), (0,), (1, 2), (-2, -1)]]
    assert shapes == [(2, 60), (120,), (2, 12, 5), (2, 3, 20)]


def test_dropout_follows_the_mode():
    drop = nn.Dropout(0.5)
    x = tg.ones(1000)
    tg.manual_seed(0)
    kept = drop(x).numpy()
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert drop.eval()(x).tolist() == x.tolist()


def test_identity_ignores_its_arguments():
    x = tg.ones(1)
    assert nn.Identity(3, depth=4)(x) is x


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (nn.MSELoss(reduction="sum"), lambda x, y: ((x - y) ** 2).sum()),
        (nn.L1Loss(reduction="none"), lambda x, y: np.abs(x - y)),
        (nn.BCELoss(weight=tg.tensor([1.0, 2.0])),
         lambda x, y: -(np.array([1, 2]) * (y * np.log(x) + (1 - y) * np.log(1 - x))).mean()),
        (nn.BCEWithLogitsLoss(pos_weight=tg.tensor([3.0, 1.0]), reduction="sum"),
         lambda x, y: (np.log1p(np.exp(-x)) * y * [3, 1] + np.log1p(np.exp(x)) * (1 - y)).sum()),
    ],
)  # fmt: skip
def test_elementwise_losses_hand_on_their_settings(loss, reference):
    x = np.array([[0.2, 0.7], [0.9, 0.4]])
    y = np.array([[1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(
        loss.double()(tg.tensor(x), tg.tensor(y)).numpy(), reference(x, y), rtol=1e-6
    )


F = nn.functional
SCORES, MARKS = tg.tensor([0.2, 0.7, 0.9, 0.4]), tg.tensor([1.0, 0.0, 1.0, 1.0])
LOGITS, LABELS = tg.tensor([[0.1, 0.2], [0.3, 0.1]]), tg.tensor([0, 1])
WEIGHTED = {
    "BCELoss": lambda w: F.binary_cross_entropy(SCORES, MARKS, w),
    "BCEWithLogitsLoss": lambda w: F.binary_cross_entropy_with_logits(SCORES, MARKS, w),
    "CrossEntropyLoss": lambda w: F.cross_entropy(LOGITS, LABELS, w),
    "cross entropy of probabilities": lambda w: F.cross_entropy(LOGITS, LOGITS.softmax(1), w),
    "NLLLoss": lambda w: F.nll_loss(LOGITS, LABELS, w),
    "pos_weight": lambda w: F.binary_cross_entropy_with_logits(SCORES, MARKS, pos_weight=w),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_is_a_tensor_of_the_inputs_type(name):
    good = tg.tensor([1.0, 2.0, 3.0, 4.0][: 2 if name[0] in "CNc" else 4])
    assert WEIGHTED[name](good).dtype == tg.float32  # not widened, as it was
    for bad in (good.double(), good.long()):
        with pytest.raises(DTypeError, match=f"weight {bad.dtype}; convert one with"):
            WEIGHTED[name](bad)
    for plain in (good.tolist(), good.numpy(), 2.0):
        with pytest.raises(DTypeError, match=r"weight must be a Tensor.*tg\.tensor"):
            WEIGHTED[name](plain)
        if hasattr(nn, name):
            with pytest.raises(DTypeError, match=rf"{name}: weight must be.*tg\.tensor\(weight"):
                getattr(nn, name)(plain)


@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss", "pos_weight"])
@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (2,), (0,)])
def test_a_weight_that_would_make_the_loss_larger_is_refused(name, shape):
    # (4, 1) against (4,) would weigh every sample with every weight: 16 losses of 4 samples
    with pytest.raises(ShapeError, match=rf"weight {re.escape(str(shape))} does not broadcast"):
        WEIGHTED[name](tg.ones(*shape))
    for fits in ((), (1,), (4,)):
        assert WEIGHTED[name](tg.ones(fits)).item() == pytest.approx(WEIGHTED[name](None).item())


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss])
def test_class_losses_refuse_bad_settings(function):
    for label in ("a", None, 1.0, True):
        with pytest.raises(DTypeError, match=f"{function.__name__}: ignore_index"):
            function(LOGITS, LABELS, ignore_index=label)
    for share in ("a", None, -0.1, math.nan):
        with pytest.raises(ArgumentError, match="cross_entropy: label_smoothing"):
            F.cross_entropy(LOGITS, LABELS, label_smoothing=share)
    with pytest.raises(DTypeError, match=f"{function.__name__}: input must be floats, got int64"):
        function(LOGITS.long(), LABELS)


IMAGE = tg.ones(1, 1, 3, 3)
OPERANDS = {
    "linear: input": lambda v: F.linear(v, tg.ones(2, 2)),
    "linear: weight": lambda v: F.linear(LOGITS, v),
    "conv2d: input": lambda v: F.conv2d(v, IMAGE),
    "conv2d: weight": lambda v: F.conv2d(IMAGE, v),
    "matmul: other": lambda v: tg.matmul(LOGITS, v),
    "mse_loss: input": lambda v: F.mse_loss(v, SCORES),
    "mse_loss: target": lambda v: F.mse_loss(SCORES, v),
    "l1_loss: input": lambda v: F.l1_loss(v, SCORES),
    "binary_cross_entropy: input": lambda v: F.binary_cross_entropy(v, MARKS),
    "binary_cross_entropy_with_logits: target": (
        lambda v: F.binary_cross_entropy_with_logits(SCORES, v)
    ),
    "nll_loss: input": lambda v: F.nll_loss(v, LABELS),
    "nll_loss: target": lambda v: F.nll_loss(LOGITS, v),
    "cross_entropy: input": lambda v: F.cross_entropy(v, LABELS),
    "cross_entropy: target": lambda v: F.cross_entropy(LOGITS, v),
    "dropout: input": F.dropout,
    "dropout: input ": nn.Dropout().eval(),
    "flatten: ": nn.Flatten(),
}


@pytest.mark.parametrize("name", OPERANDS)
def test_an_operand_that_is_no_tensor_is_named(name):
    for value in (None, [[1.0]], np.ones((2, 2)), 3.0):
        with pytest.raises(DTypeError, match=name.strip()) as caught:
            OPERANDS[name](value)
        assert type(value).__name__.replace("Type", "") in str(caught.value)
        if name.strip().endswith("input"):
            assert ("forget to return" in str(caught.value)) == (value is None)


def test_dropout_takes_floats_in_training():
    # scaling by 1 / (1 - p) cannot be done in integers: PyTorch refuses it too
    counts, mask = tg.tensor([10, 20, 30]), tg.tensor([True, False])
    for x in (counts, mask):
        with pytest.raises(DTypeError, match=rf"dropout: .*{x.dtype}.*float\(\)"):
            F.dropout(x, 0.5)
        assert F.dropout(x, 0.5, training=False) is x
        assert F.dropout(x, 0.0) is x
    for p in ("a", None, -0.1, math.nan):
        with pytest.raises(ArgumentError, match="dropout: p must be between 0 and 1"):
            F.dropout(SCORES, p)
    with pytest.raises(ArgumentError, match="dropout: generator"):
        F.dropout(SCORES, 0.5, generator=3)


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_class_losses_hand_on_their_settings(kind):
    x = np.log([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]])
    labels, weight = tg.tensor([1, 2, 0]), tg.tensor([1.0, 2.0, 4.0])
    loss = kind(weight, ignore_index=0, reduction="sum").double()
    value = loss(tg.tensor(x), labels).item()
    assert value == pytest.approx(-2 * math.log(0.5) - 4 * math.log(0.8))
    assert kind(reduction="none")(tg.tensor(x), labels).shape == (3,)
    assert kind(weight).double().weight.dtype == tg.float64
    assert list(loss.state_dict()) == ["weight"]
    if kind is nn.CrossEntropyLoss:
        smooth = kind(label_smoothing=1.0)(tg.tensor(x[:1]), labels[:1]).item()
        assert smooth == pytest.approx(-np.log([0.2, 0.5, 0.3]).mean())


# --- initial values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: nn.Linear(400, 300), 400),
        (lambda: nn.Conv2d(6, 300, (3, 5)), 90),
        (lambda: nn.Conv2d(6, 300, (3, 5), groups=3), 30),
    ],
)
def test_default_start_is_uniform_in_pytorchs_bounds(make, fan_in):
    tg.manual_seed(3)
    layer = make()
    bound = 1 / math.sqrt(fan_in)
    for param in (layer.weight, layer.bias):
        values = param.data / bound
        assert np.abs(values).max() <= 1 + 1e-6
        assert np.abs(values).max() > 0.98
        assert abs(values.mean()) < 0.1
        assert values.var() == pytest.approx(1 / 3, rel=0.15)


def small_net():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(5, 4))


def test_the_same_seed_gives_the_same_parameters():
    nets = []
    for seed in (5, 5, 6):
        tg.manual_seed(seed)
        nets.append(small_net())
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert a.data.tobytes() == b.data.tobytes()
    assert nets[0][1].bias.tolist() != nets[2][1].bias.tolist()


def test_float32_and_float64_draw_the_same_numbers():
    tg.manual_seed(1)
    single = nn.Linear(7, 5)
    tg.manual_seed(1)
    double = nn.Linear(7, 5, dtype=tg.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data.astype(np.float32))


@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (lambda t, g: nn.init.uniform_(t, -2, 2, generator=g), 2 / math.sqrt(3), 2),
        (lambda t, g: nn.init.normal_(t, 0.0, 0.3, generator=g), 0.3, None),
        (lambda t, g: nn.init.xavier_uniform_(t, 2.0, generator=g),
         2 * math.sqrt(2 / 1500), 2 * math.sqrt(6 / 1500)),
        (lambda t, g: nn.init.xavier_normal_(t, generator=g), math.sqrt(2 / 1500), None),
        (lambda t, g: nn.init.kaiming_uniform_(t, generator=g),
         math.sqrt(2 / 1000), math.sqrt(6 / 1000)),
        (lambda t, g: nn.init.kaiming_normal_(t, mode="fan_out", generator=g),
         math.sqrt(2 / 500), None),
        (lambda t, g: nn.init.kaiming_normal_(t, a=1.0, generator=g), math.sqrt(1 / 1000), None),
        (lambda t, g: nn.init.kaiming_normal_(t, nonlinearity="tanh", generator=g),
         5 / 3 / math.sqrt(1000), None),
    ],
)  # fmt: skip
def test_starting_values_have_the_documented_spread(fill, std, bound):
    weight = tg.zeros(100, 200, 5)
    assert fill(weight, Generator(0)) is weight
    values = weight.numpy()
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 0.02 * std
    if bound is not None:
        assert 0.999 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
    first = weight.tolist()
    assert fill(weight, Generator(0)).tolist() == first
    assert fill(weight, Generator(1)).tolist() != first


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("conv2d", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, 2**0.5),
        ("selu", None, 0.75),
        ("leaky_relu", None, (2 / 1.0001) ** 0.5),
        ("leaky_relu", 1, 1.0),
        ("leaky_relu", 0, 2**0.5),
    ],
)
def test_gains(nonlinearity, param, gain):
    assert nn.init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=1e-12)


def test_normal_has_its_mean_and_constants_fill():
    assert nn.init.normal_(tg.zeros(1000), 5.0, 0.1).numpy().mean() == pytest.approx(5, abs=0.1)
    assert nn.init.normal_(tg.zeros(2), 5.0, 0.0).tolist() == [5.0, 5.0]
    assert nn.init.ones_(nn.Parameter([0.0, 0.0])).tolist() == [1.0, 1.0]
    assert nn.init.zeros_(tg.ones(2, dtype=tg.int64)).tolist() == [0, 0]
    assert nn.init.constant_(tg.zeros(()), 3).item() == 3.0
    assert nn.init.kaiming_uniform_(tg.zeros(3, 0)).shape == (3, 0)


def test_filling_is_noticed_by_a_recorded_graph():
    w = nn.Parameter([1.0, 2.0])
    out = (w * w).sum()
    nn.init.zeros_(w)
    assert w.is_leaf
    with pytest.raises(InPlaceError):
        out.backward()


@pytest.mark.parametrize(
    ("fill", "error"),
    [
        (lambda t, g: nn.init.uniform_(t, 1, 0, generator=g), ArgumentError),
        (lambda t, g: nn.init.uniform_(t, 0, math.inf, generator=g), ArgumentError),
        (lambda t, g: nn.init.normal_(t, 0, -1, generator=g), ArgumentError),
        (lambda t, g: nn.init.normal_(t, "x", generator=g), ArgumentError),
        (lambda t, g: nn.init.kaiming_normal_(t, mode="fan", generator=g), ArgumentError),
        (lambda t, g: nn.init.kaiming_uniform_(t, nonlinearity="x", generator=g), ArgumentError),
        (lambda t, g: nn.init.kaiming_uniform_(t, a=math.nan, generator=g), ArgumentError),
        (lambda t, g: nn.init.xavier_uniform_(t[0], generator=g), ShapeError),
        (lambda t, g: nn.init.kaiming_normal_(t[0], generator=g), ShapeError),
        (lambda t, g: nn.init.xavier_normal_(t, gain=math.nan, generator=g), ArgumentError),
        (lambda t, g: nn.init.uniform_(t.long(), generator=g), DTypeError),
        (lambda t, g: nn.init.normal_(t.data, generator=g), ArgumentError),
        (lambda t, g: nn.init.zeros_(t.data), ArgumentError),
        (lambda t, g: nn.init.uniform_(t, -1e308, 1e308, generator=g), ArgumentError),
        (lambda t, g: nn.init.uniform_(t, 0, 1e39, generator=g), ArgumentError),
        (lambda t, g: nn.init.uniform_(t.double(), -1e308, 1e308, generator=g), ArgumentError),
        (lambda t, g: nn.init.normal_(t, 0, 1e38, generator=g), ArgumentError),
        (lambda t, g: nn.init.xavier_uniform_(t, "x", generator=g), ArgumentError),
        (lambda t, g: nn.init.xavier_uniform_(t, None, generator=g), ArgumentError),
        (lambda t, g: nn.init.xavier_normal_(t, [1.0], generator=g), ArgumentError),
        (lambda t, g: nn.init.kaiming_normal_(t, nonlinearity=[], generator=g), ArgumentError),
        (lambda t, g: nn.init.uniform_(t, generator=3), ArgumentError),
        (
            lambda t, g: nn.init.kaiming_normal_(t, generator=np.random.default_rng(0)),
            ArgumentError,
        ),
        (lambda t, g: nn.init.constant_(t, [1, 2, 3]), DTypeError),
        (lambda t, g: nn.init.constant_(t, None), DTypeError),
        (lambda t, g: nn.init.constant_(t, "1"), DTypeError),
        (lambda t, g: nn.init.constant_(t, np.ones(1)), DTypeError),
        (lambda t, g: nn.init.constant_(t, 1e39), ArgumentError),
        (lambda t, g: nn.init.constant_(t.long(), math.nan), ArgumentError),
        (lambda t, g: nn.init.constant_(t.long(), 2**80), ArgumentError),
    ],
)
def test_bad_fills_draw_nothing_and_change_nothing(fill, error):
    tensor, generator = tg.ones(2, 3), Generator(0)
    state = generator.get_state()
    with pytest.raises(error):
        fill(tensor, generator)
    assert generator.get_state() == state
    assert tensor.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize(
    "fill",
    [
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.zeros_,
        nn.init.xavier_uniform_,
        nn.init.kaiming_normal_,
        lambda t: nn.init.constant_(t, 2.0),
    ],
)
def test_read_only_and_expanded_tensors_are_not_filled(fill):
    row, frozen = tg.ones(1, 3), np.ones((2, 3))
    frozen.flags.writeable = False
    state = default_generator().get_state()
    for tensor in (row.expand(2, 3), tg.Tensor(frozen)):
        with pytest.raises(InPlaceError, match=r"_: this \(2, 3\) tensor is a read-only view"):
            fill(tensor)
        assert tensor.tolist() == [[1.0] * 3] * 2
    assert default_generator().get_state() == state


def test_constants_take_every_kind_of_number():
    for value in (2, 2.0, np.float32(2), np.int8(2), tg.tensor(2.0), tg.tensor(2)):
        assert nn.init.constant_(tg.zeros(2), value).tolist() == [2.0, 2.0]
    exact = 2**60 + 1  # float64 would round it
    assert nn.init.constant_(tg.zeros(1).long(), exact).item() == exact
    assert nn.init.constant_(tg.zeros(1), -math.inf).item() == -math.inf


# --- PyTorch ------------------------------------------------------------------------------------

LAYERS = [
    ("Linear", (6, 3), {}, (4, 6)),
    ("Linear", (6, 3, False), {}, (2, 3, 6)),
    ("Conv2d", (4, 6, 3), {}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, (3, 2), 2, (1, 0), 1, 2), {}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": 2, "bias": False}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, 2), {"padding": "same", "dilation": 2}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, (2, 4, 7, 6)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 7)),
    ("MaxPool2d", ((3, 2), (2, 1), (1, 1)), {}, (2, 3, 6, 7)),
    ("AvgPool2d", (2, 2), {}, (2, 3, 6, 7)),
    ("AvgPool2d", (3,), {"stride": 1, "padding": 1}, (2, 3, 6, 7)),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, (2, 3, 6, 7)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("ReLU", (), {}, (2, 3)),
    ("Sigmoid", (), {}, (2, 3)),
    ("Tanh", (), {}, (2, 3)),
    ("Softmax", (), {"dim": 1}, (2, 3)),
    ("LogSoftmax", (-2,), {}, (2, 3)),
    ("Identity", (), {}, (2, 3)),
    ("Dropout", (0.3,), {}, (2, 3)),
]


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layers_agree_with_pytorch(name, args, kwargs, shape):
    pt = pytest.importorskip("torch")
    theirs = getattr(pt.nn, name)(*args, **kwargs).double().eval()
    ours = getattr(nn, name)(*args, **kwargs).double().eval()
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert type(ours)(*args, **kwargs).training is True
    if "Pool" not in name:
        expected = theirs.extra_repr().replace("inplace=False", "").rstrip(", ")
        assert ours.extra_repr().replace("'", "") == expected
    x = np.random.default_rng(0).standard_normal(shape)
    ours_x = tg.tensor(x, requires_grad=True)
    theirs_x = pt.tensor(x, requires_grad=True)
    ours_y, theirs_y = ours(ours_x), theirs(theirs_x)
    np.testing.assert_allclose(ours_y.data, theirs_y.detach().numpy(), rtol=1e-9, atol=1e-12)
    ours_y.sin().sum().backward()
    theirs_y.sin().sum().backward()
    pairs = [(ours_x, theirs_x), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for a, b in pairs:
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "kwargs", "logits"),
    [
        ("MSELoss", {}, False),
        ("L1Loss", {"reduction": "sum"}, False),
        ("BCELoss", {"weight": [1.0, 2.0, 3.0]}, False),
        ("BCEWithLogitsLoss", {"weight": [1.0, 2.0, 3.0], "pos_weight": [2.0, 1.0, 4.0]}, False),
        ("CrossEntropyLoss", {}, True),
        ("CrossEntropyLoss", {"weight": [1.0, 2.0, 3.0], "label_smoothing": 0.1}, True),
        ("CrossEntropyLoss", {"ignore_index": 1, "reduction": "none"}, True),
        ("NLLLoss", {"weight": [1.0, 2.0, 3.0], "ignore_index": 2}, True),
    ],
)
def test_losses_agree_with_pytorch(name, kwargs, logits):
    pt = pytest.importorskip("torch")
    tensors = ("weight", "pos_weight")
    ours, theirs = (
        getattr(L.nn, name)(
            **{k: L.tensor(v) if k in tensors else v for k, v in kwargs.items()}
        ).double()
        for L in (tg, pt)
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 0.9, (4, 3))
    y = np.array([0, 1, 2, 1]) if logits else rng.uniform(0, 1, (4, 3))
    ours_x, theirs_x = tg.tensor(x, requires_grad=True), pt.tensor(x, requires_grad=True)
    ours_loss, theirs_loss = ours(ours_x, tg.tensor(y)), theirs(theirs_x, pt.tensor(y))
    np.testing.assert_allclose(ours_loss.detach().numpy(), theirs_loss.detach().numpy(), rtol=1e-9)
    ours_loss.sum().backward()
    theirs_loss.sum().backward()
    np.testing.assert_allclose(ours_x.grad.numpy(), theirs_x.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.oracle
def test_gains_agree_with_pytorch():
    pt = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        expected = pt.nn.init.calculate_gain(name)
        assert nn.init.calculate_gain(name) == pytest.approx(expected)
    for slope in (0.2, 1):
        expected = pt.nn.init.calculate_gain("leaky_relu", slope)
        assert nn.init.calculate_gain("leaky_relu", slope) == pytest.approx(expected)
