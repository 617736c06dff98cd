"""The mistakes of a first day, and what each is told to do instead."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import OPS, apply, op
from tinygrad_adam.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    ModuleError,
    ShapeError,
    TinygradError,
)

LOGITS = tg.zeros(4, 3)
LABELS = np.array([0, 1, 2, 0])
ONE_HOT = np.eye(3, dtype=np.int64)[LABELS]
PIXELS = tg.zeros(4, 3, 2, 2)  # logits for each


@pytest.mark.parametrize(
    ("labels", "error", "advice"),
    [
        (LABELS.astype(np.float32), DTypeError, r"use \.long\(\)$"),
        (LABELS[:, None], ShapeError, r"labels of shape \(4,\), got \(4, 1\); use \.squeeze\(1\)$"),
        (LABELS[:, None] * 1.0, DTypeError, r"use \.squeeze\(1\)\.long\(\)$"),
        (ONE_HOT, ShapeError, r"use \.argmax\(1\)$"),
        (LABELS[:3], ShapeError, r"got \(3,\)$"),
    ],
)
def test_labels_of_another_kind(labels, error, advice):
    for loss in (nn.functional.cross_entropy, nn.functional.nll_loss, nn.CrossEntropyLoss()):
        with pytest.raises(error, match=advice):
            loss(LOGITS, tg.tensor(labels))


def test_labels_of_images_and_of_one_sample():
    cross_entropy = nn.functional.cross_entropy
    with pytest.raises(ShapeError, match=r"use \.squeeze\(1\)$"):
        cross_entropy(PIXELS, tg.zeros(4, 1, 2, 2, dtype=tg.int64))
    with pytest.raises(DTypeError, match=r"use \.long\(\)$"):
        cross_entropy(PIXELS, tg.zeros(4, 2, 2))
    with pytest.raises(ShapeError, match=r"use \.argmax\(0\)$"):
        cross_entropy(LOGITS[0], tg.tensor([0, 1, 0]))
    # floats of the input's shape are probabilities, even of a single class
    assert cross_entropy(LOGITS[:, :1], tg.ones(4, 1)).item() == 0.0
    assert cross_entropy(LOGITS, tg.tensor(ONE_HOT).float()).item() == pytest.approx(np.log(3))


@pytest.mark.parametrize("labels", [LABELS, LABELS.tolist(), 0])
def test_labels_that_are_no_tensor(labels):
    for loss in (nn.functional.cross_entropy, nn.functional.nll_loss):
        with pytest.raises(DTypeError, match=r"wrap it with tg\.tensor\(\.\.\.\)$"):
            loss(LOGITS, labels)


def test_an_optimiser_of_the_model_itself_or_of_nothing():
    for model in (nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1))):
        with pytest.raises(ArgumentError, match=r"the model .* pass model\.parameters\(\)$"):
            tg.optim.Adam(model)
        with pytest.raises(ArgumentError, match=r"got \w+; pass its \.parameters\(\)$"):
            tg.optim.Adam([model])
    for empty in ([], nn.ReLU().parameters()):
        with pytest.raises(ArgumentError, match=r"Adam: got an empty list .*model\.parameters\(\)"):
            tg.optim.Adam(empty)


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ([nn.ReLU()], r"Sequential\(\*layers\)$"),
        (nn.functional.relu, r"the function's layer is nn\.ReLU\(\)$"),
        (nn.functional.log_softmax, r"nn\.LogSoftmax\(\)$"),
        (nn.Linear, r"nn\.Linear\(\.\.\.\)$"),
        (lambda x: x, r"derived from nn\.Module"),
        (3, r"a Module instance is expected$"),
    ],
)
def test_what_is_no_layer(entry, advice):
    with pytest.raises(ModuleError, match=advice):
        nn.Sequential(entry)


@pytest.mark.skipif(tg.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_none():
    for use in (nn.Linear(2, 1).to, tg.zeros(2).to, tg.device.parse):
        with pytest.raises(TinygradError, match=r"'gpu' .* this machine has \"cpu\" only"):
            use("gpu")
    with pytest.raises(DeviceError, match="pip install cupy-cuda13x, for CUDA 12 cupy-cuda12x"):
        tg.zeros(2, device="cuda")
    assert tg.zeros(2).device != "gpu"


@pytest.mark.usefixtures("registry")
def test_a_cell_with_an_operation_runs_again():
    def cell(factor):
        return op(
            "scaled",
            lambda xp, x: factor * x,
            x=lambda F, g: F.scaled(g),
        )

    x = tg.ones(1, requires_grad=True)
    for factor in (2.0, 3.0):
        scaled = cell(factor)
        y = apply(scaled, (x,))
        (g,) = tg.autograd.grad(y.sum(), x)
        (recorded,) = tg.autograd.grad(apply(scaled, (x,)).sum(), x, create_graph=True)
        assert y.item() == g.item() == recorded.item() == factor


@pytest.mark.usefixtures("registry")
def test_the_operations_of_others_stay():
    with pytest.raises(TypeError, match=r"registered already, by tinygrad_adam\..*another name"):
        op("mul", lambda xp, a, b: a)
    with pytest.raises(TypeError, match="registered already"):  # not from within the package either
        op("mul", product)
    op("mine", lambda xp, x: x)
    with pytest.raises(TypeError, match=f"op mine .* by {__name__}; choose another name"):
        op("mine", np_like)


def np_like(xp, x):
    return x


def product(xp, a, b):
    return a * b


np_like.__module__ = "another.module"
product.__module__ = OPS["mul"].forward.__module__
