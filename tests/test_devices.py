"""Tensors on "cuda" devices, run on a stand-in for CuPy: the same numbers, in the right place.

The current device is 0 throughout, as in any program that never mentions it, and nearly everything
here runs on "cuda:1": whatever forgets to say where it works fails.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import pickle
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devicecases import (
    FACTS,
    HOST_ONLY,
    LAYERS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    TABLE,
    check_alike,
    default_device,
    layer_outcome,
    outcome,
    trained,
    transformed,
)
from opcases import CASES

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.autograd import vocabulary
from tinygrad_adam.device import CPU, Device, asarray, device_of
from tinygrad_adam.errors import AnomalyError, DeviceError, InPlaceError

STANDIN = Path(__file__).with_name("standin_cupy.py")
STANDIN_CODE = compile(STANDIN.read_text(encoding="utf-8"), str(STANDIN), "exec")


def fresh_standin():
    module = types.ModuleType("cupy")
    exec(STANDIN_CODE, module.__dict__)
    return module


@pytest.fixture
def cp(monkeypatch):
    """A machine with two GPUs."""
    module = fresh_standin()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.delitem(vocabulary.ON_MODULES, "cupy", raising=False)
    yield module
    vocabulary.ON_MODULES.pop("cupy", None)
    assert module.cuda.runtime.getDevice() == 0, "the current device was not put back"


# --- the stand-in is as strict as it says -------------------------------------------------------


@pytest.mark.parametrize("name", FACTS)
def test_the_standin_does_what_cupy_does(cp, name):
    """`test_gpu.py` asks the same of CuPy."""
    FACTS[name](cp)


def test_the_standin_is_stricter_than_cupy(cp):
    x, a = cp.asarray([1.0, 2.0]), np.ones(2)
    for mixed in (
        lambda: x == a,
        lambda: x < np.array(1.0),
        lambda: x.__setitem__(0, a[0:1]),
        lambda: x[a.astype(int)],
        lambda: x[[0, 1]],
        lambda: np.exp(x),
        lambda: np.sum(x),
        lambda: np.add.at(a, [0], x),
        lambda: cp.add.at(cp.zeros(3, "int16"), cp.arange(3), 1),
    ):
        with pytest.raises(TypeError):
            mixed()
    assert np.isnan(cp.empty(2).get()).all()


def test_the_standin_keeps_devices_apart(cp):
    with cp.cuda.Device(1):
        x = cp.arange(6.0).reshape(2, 3)
    assert x.device.id == 1
    assert x.T.device.id == x[0].device.id == x.reshape(-1).device.id == 1
    for foreign in (
        lambda: x + 1,
        lambda: x.sum(),
        lambda: x.fill(0),
        lambda: x.__setitem__(0, 1.0),
        lambda: x[cp.arange(2)],
        lambda: x.astype("float32"),
        lambda: cp.concatenate([x, x]),
        lambda: cp.arange(6.0).reshape(2, 3) + x,
    ):
        with pytest.raises(ValueError, match="different from the current device"):
            foreign()
    assert x.copy().device.id == 0
    assert cp.asarray(x).device.id == 0
    with pytest.raises(NotImplementedError, match="non-contiguous"):
        cp.asarray(x[:, ::2])
    with pytest.raises(cp.CUDARuntimeError), cp.cuda.Device(2):
        pass


def test_the_standin_counts(cp):
    y = cp.asarray([2.0, 0.0, 1.0])
    cp.traffic.clear()
    _ = float(y[0]), bool(y[0] > 1), y[y > 0], cp.nonzero(y), cp.asarray(np.ones(2))
    _ = cp.asarray(1.0), y * 2, y[cp.arange(2)], cp.where(y > 0, y, 1)
    assert (len(cp.traffic.uploads), len(cp.traffic.downloads), len(cp.traffic.waits)) == (1, 2, 4)


# --- where tensors are made, and moving them ----------------------------------------------------

MAKERS = {
    "zeros": lambda **k: tg.zeros(2, 3, **k),
    "ones": lambda **k: tg.ones(2, 3, **k),
    "empty": lambda **k: tg.empty(2, 3, **k),
    "full": lambda **k: tg.full((2,), 7, **k),
    "arange": lambda **k: tg.arange(5, **k),
    "linspace": lambda **k: tg.linspace(0, 1, 4, **k),
    "eye": lambda **k: tg.eye(3, **k),
    "rand": lambda **k: tg.rand(2, 3, **k),
    "randn": lambda **k: tg.randn(2, 3, **k),
    "randint": lambda **k: tg.randint(9, size=(4,), **k),
    "randperm": lambda **k: tg.randperm(5, **k),
    "tensor": lambda **k: tg.tensor([[1.0, 2.0]], **k),
    "number": lambda **k: tg.tensor(3, **k),
    "array": lambda **k: tg.tensor(np.arange(3), **k),
    "as_tensor": lambda **k: tg.as_tensor(np.arange(3), **k),
    "Linear": lambda **k: nn.Linear(2, 3, **k).weight,
    "Conv2d": lambda **k: nn.Conv2d(1, 2, 3, **k).weight,
}


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
@pytest.mark.parametrize("name", MAKERS)
def test_tensors_are_made_where_they_are_wanted(cp, name, device):
    index = int(device[-1]) if device[-1].isdigit() else 0
    tg.manual_seed(0)
    here = MAKERS[name]()
    tg.manual_seed(0)
    there = MAKERS[name](device=device)
    tg.set_default_device(device)
    tg.manual_seed(0)
    by_default = MAKERS[name]()
    for t in (there, by_default):
        assert isinstance(t.data, cp.ndarray)
        assert t.device == Device("cuda", index) == f"cuda:{index}"
        assert (t.dtype, t.shape) == (here.dtype, here.shape)
        if name != "empty":
            np.testing.assert_array_equal(t.detach().cpu().numpy(), here.detach().numpy())


def test_likes_stay_beside_what_they_are_like(cp):
    x = tg.ones(2, 3, device="cuda:1")
    likes = [
        tg.zeros_like(x),
        tg.ones_like(x),
        tg.empty_like(x),
        tg.full_like(x, 2),
        tg.rand_like(x),
        tg.randn_like(x),
        tg.tensor(x),
        tg.tensor(x, dtype=tg.float64),
        tg.as_tensor(x),
        copy.deepcopy(x),
        x.clone(),
        x.detach(),
        x.contiguous(),
        x.double(),
        x.to(tg.float16),
    ]
    assert {str(t.device) for t in likes} == {"cuda:1"}
    assert tg.zeros_like(x, device="cpu").device == CPU
    assert tg.tensor(x).data is not x.data
    assert tg.as_tensor(x.data).data is x.data
    assert not cp.may_share_memory(tg.tensor(x.data).data, x.data)
    assert tg.tensor([x[0, 0], 2.0], device="cuda").device == "cuda:0"


def test_moving_there_and_back(cp):
    x = tg.tensor([1.0, 2.0, 3.0])
    assert str(x.cuda().device) == "cuda:0"
    assert str(x.cuda(1).device) == "cuda:1"
    assert str(x.to("cuda:1").device) == "cuda:1"
    assert str(x.to(device="cuda", dtype=tg.float64).device) == "cuda:0"
    there = x.to(Device("cuda", 1))
    assert there.to("cuda:1") is there
    assert x.to(there).device == there.device
    assert there.cuda("cuda:0").device == "cuda:0"
    assert there.to("cuda:0").cpu().tolist() == there.tolist() == [1.0, 2.0, 3.0]
    assert x.cpu() is x
    strided = tg.arange(12.0, device="cuda:1").reshape(3, 4)[:, ::2]
    assert strided.to("cuda:0").tolist() == [[0, 2], [4, 6], [8, 10]]
    assert strided.T.cpu().tolist() == [[0, 4, 8], [2, 6, 10]]
    with pytest.raises(DeviceError, match=r"on cuda:1; use \.cpu\(\)\.numpy\(\)"):
        there.numpy()
    with pytest.raises(DeviceError, match="cpu"):
        np.asarray(there)


@pytest.mark.parametrize(("a", "b"), [("cpu", "cuda:1"), ("cuda:1", "cpu"), ("cuda:1", "cuda:0")])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_flow_back_to_where_they_came_from(cp, a, b, create_graph):
    x = tg.tensor([1.0, -2.0, 3.0], device=a, requires_grad=True)
    once, again = x.to(b), x.to(b)  # two gradients to add up, on the device of x
    y = (once * again * once).sum().to(a) + x.sum()
    y.backward(create_graph=create_graph)
    assert str(x.grad.device) == str(x.device)
    assert x.grad.tolist() == [4.0, 13.0, 28.0]
    if create_graph:
        (second,) = tg.autograd.grad(x.grad.sum(), x)
        assert str(second.device) == str(x.device)
        assert second.tolist() == [6.0, -12.0, 18.0]


def test_conversions_stay_on_the_device(cp):
    x = tg.tensor([1.0, 2.0], device="cuda:1")
    for array in (asarray(x.data, "float64"), asarray(x.data, "int8", "cuda:1")):
        assert device_of(array) == "cuda:1"
    assert asarray(x.data, device="cpu").tolist() == [1.0, 2.0]
    values, indices = tg.zeros(0, 3, device="cuda:1").max(1)
    assert values.shape == indices.shape == (0,)
    assert values.device == indices.device == "cuda:1"
    assert tg.argmax(tg.tensor(3.0, device="cuda:1")).device == "cuda:1"


def test_reading_a_tensor(cp):
    x = tg.tensor([[1.5, -2.0], [0.0, 4.0]], device="cuda:1")
    assert repr(x) == ("tensor([[ 1.5000, -2.0000],\n        [ 0.0000,  4.0000]], device='cuda:1')")
    assert x[1, 1].item() == float(x[1, 1]) == 4.0
    assert int(x[1, 1]) == 4
    assert f"{x[0, 0]:.2f}" == "1.50"
    assert bool(x.any()) is True
    assert bool(x.all()) is False
    assert 4.0 in x
    assert 5.0 not in x
    assert [row.tolist() for row in x] == [[1.5, -2.0], [0.0, 4.0]]
    assert len(x) == 2
    assert [10, 20, 30][tg.tensor(2, device="cuda:1")] == 30
    assert x[: tg.tensor(1, device="cuda:1")].tolist() == [[1.5, -2.0]]


def test_writing_into_a_tensor(cp):
    x = tg.zeros(2, 3, device="cuda:1")
    x.fill_(2)
    assert x.tolist() == [[2, 2, 2]] * 2
    x.zero_()
    x.copy_([1, 2, 3])
    x.copy_(tg.tensor([[4.0], [5.0]]))  # another device's values are fetched
    x[0, 1:] = 7.0
    x[tg.tensor([1]), 0] = tg.tensor(9.0)  # so is a number
    x[1, [1, 2]] = tg.tensor([1.0, 2.0], device="cuda:1")
    assert x.tolist() == [[4, 7, 7], [9, 1, 2]]
    x.copy_(cp.zeros(3))
    assert x.sum().item() == 0
    x[x == 0] = 1.0
    x[True] = 3.0
    assert x.tolist() == [[3] * 3] * 2
    assert str(x.device) == "cuda:1"


def test_gradients_through_changes_in_place(cp):
    found = {}
    for device in ("cpu", "cuda:1"):
        x = tg.tensor([1.5, -2.0], device=device, requires_grad=True)
        m = tg.zeros(3, 2, device=device)
        row = m[2]
        m[2] += x
        row *= x
        m[1] -= row
        m[1, 0] /= 2
        m[0].fill_(x.sum())
        m[:, 1] **= 2
        flat = x * 2.0
        flat[0] += x[1]
        flat.copy_(flat * 3)
        ((m * m).sum() + (flat * flat).sum()).backward()
        with tg.no_grad():
            x -= 0.5 * x.grad
        assert str(m.device) == str(x.grad.device) == device
        found[device] = m.tolist(), flat.tolist(), x.grad.tolist(), x.tolist()
    assert found["cpu"] == found["cuda:1"]


def test_a_repeated_view_cannot_be_written_to(cp):
    """CuPy would write, to all repetitions at once; NumPy refuses."""
    for device in ("cpu", "cuda:1"):
        view = tg.zeros(3, device=device).expand(2, 3)
        for write in (
            lambda view=view: view.fill_(1),
            lambda view=view: view.copy_([1, 2, 3]),
            lambda view=view: view.__setitem__(0, 1.0),
        ):
            with pytest.raises(InPlaceError, match="read-only view"):
                write()
        assert view.tolist() == [[0] * 3] * 2


# --- what cannot be -----------------------------------------------------------------------------


def labels(device):
    return tg.tensor([0, 1], device=device)


MIXED = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "pow": lambda a, b: a**b,
    "lt": lambda a, b: a < b,
    "eq": lambda a, b: a == b,
    "maximum": tg.maximum,
    "where": lambda a, b: tg.where(a > 0, a, b),
    "clamp": lambda a, b: a.clamp(min=b),
    "matmul": lambda a, b: a @ b,
    "linear": nn.functional.linear,
    "linear bias": lambda a, b: nn.functional.linear(a, a, b[0]),
    "conv2d": lambda a, b: nn.functional.conv2d(a[None, None], b[None, None]),
    "cat": lambda a, b: tg.cat([a, a, b]),
    "cat of stack": lambda a, b: tg.stack([a, b]),
    "setitem": lambda a, b: a.__setitem__(0, b[0]),
    "gather": lambda a, b: tg.gather(a, 1, b.long() * 0),
    "mse_loss": nn.functional.mse_loss,
    "binary_cross_entropy": lambda a, b: nn.functional.binary_cross_entropy(a / 9, b / 9),
    "nll_loss": lambda a, b: nn.functional.nll_loss(a, labels(b.device)),
    "cross_entropy": lambda a, b: nn.functional.cross_entropy(a, labels(b.device)),
    "cross_entropy weight": lambda a, b: nn.functional.cross_entropy(a, labels(a.device), b[0]),
    "cross_entropy probabilities": nn.functional.cross_entropy,
    "backward": lambda a, b: (a * 1).backward(b),
}


@pytest.mark.parametrize(("a", "b"), [("cuda:1", "cpu"), ("cpu", "cuda:1"), ("cuda:1", "cuda:0")])
@pytest.mark.parametrize("name", MIXED)
def test_operands_on_different_devices_are_refused(cp, name, a, b):
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=a, requires_grad=name != "setitem")
    y = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=b)
    with pytest.raises(DeviceError) as caught:
        MIXED[name](x, y)
    message = str(caught.value)
    assert message.startswith(name.split()[0]), message
    assert {a, b} <= set(re.findall(r"cuda:\d|cpu", message.partition(";")[0])), message
    assert re.search(r"move .*\.to\(", message), message
    assert (x.grad, x.tolist()) == (None, [[1.0, 2.0], [3.0, 4.0]])


def test_arrays_of_the_other_kind_are_refused(cp):
    x, a = tg.ones(2, device="cuda:1"), np.ones(2)
    for mixed in (
        lambda: x + a,
        lambda: a + x,
        lambda: x == a,
        lambda: a < x,
        lambda: x @ a,
        lambda: a @ x,
        lambda: tg.ones(2) * x.data,
        lambda: x.data * tg.ones(2),
    ):
        with pytest.raises(DeviceError, match=r"cuda:1 \(2,\)"):
            mixed()


def test_arrays_of_the_same_kind_are_welcome(cp):
    x = tg.tensor([1.0, 2.0], device="cuda:1")
    assert (x + x.data).tolist() == (x.data + x).tolist() == [2.0, 4.0]
    assert (x.data - x * 2).tolist() == [-1.0, -2.0]
    assert (x.data @ x).item() == 5.0
    assert (x.data == x).tolist() == (x.data <= x).tolist() == [True, True]
    assert (np.float32(2) * x).tolist() == (x * np.float64(2)).tolist() == [2.0, 4.0]
    assert isinstance(x.data + x, tg.Tensor)


def test_a_gradient_left_behind_is_noticed_before_anything_changes(cp):
    a = tg.ones(2, device="cuda:1", requires_grad=True)
    b = tg.ones(2, device="cuda:1", requires_grad=True)
    (a * b).sum().backward()
    b.data = b.data.copy()  # to the current device, as CuPy copies
    assert str(b.device) == "cuda:0"
    with pytest.raises(DeviceError, match=r"backward.*cuda:0.*cuda:1"):
        (a.sum().to("cuda:0") + b.sum()).backward()
    assert a.grad.tolist() == b.grad.tolist() == [1.0, 1.0]


def test_devices_that_are_not_there(cp):
    for call in (
        lambda: tg.zeros(2, device="cuda:2"),
        lambda: tg.ones(2).to("cuda:2"),
        lambda: tg.set_default_device("cuda:2"),
        lambda: tg.cuda.synchronize("cuda:2"),
        lambda: nn.Linear(2, 2).cuda(2),
    ):
        with pytest.raises(DeviceError, match=r"'cuda:2'.*2 GPU\(s\): cuda:0 to cuda:1"):
            call()
    assert tg.get_default_device() == CPU
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "CUDA", "", 0):
        with pytest.raises(DeviceError, match='use "cpu", "cuda" or "cuda:<index>"'):
            tg.zeros(2, device=name)


def test_availability(cp, monkeypatch):
    assert tg.cuda.is_available()
    assert tg.cuda.device_count() == 2
    tg.cuda.synchronize("cuda:1")
    tg.cuda.synchronize("cpu")
    assert cp.traffic.waits == ["synchronize"]
    cp.gpus = 0
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    with pytest.raises(DeviceError, match="CuPy sees no GPU"):
        tg.zeros(2, device="cuda")
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if not installed
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    with pytest.raises(DeviceError, match=r"not installed; install it with pip install"):
        tg.zeros(2, device="cuda")
    with pytest.raises(DeviceError, match="not installed"):
        tg.set_default_device("cuda:1")
    assert tg.get_default_device() == CPU


# --- every operation and layer ------------------------------------------------------------------

# How many elements a mask picks, and which a tensor of one integer, the device only knows.
WAITS = {c.name for c in TABLE if "mask" in c.name} | {"one_hot:counted", "getitem:0d-apart"}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_operation_gives_on_a_gpu_what_it_gives_on_the_cpu(cp, case):
    """Values, first and second derivatives; nothing leaves the device or waits for it."""
    expected = outcome(case, "cpu")
    found = outcome(case, "cuda:1", ready=cp.traffic.uploads.clear)
    if "first 0" in found:
        assert not cp.traffic.uploads
    if case.name not in WAITS:
        assert not cp.traffic.downloads
        assert not cp.traffic.waits
    check_alike(found, expected, "cuda:1", 1e-12)


def test_hardly_an_operation_is_left_out():
    assert {c.name for c in CASES} >= HOST_ONLY
    assert {c.op for c in CASES if c.name in HOST_ONLY} == {"to_device", "put", "put_along"}


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES])
def test_every_layer_gives_on_a_gpu_what_it_gives_on_the_cpu(cp, name):
    expected = layer_outcome(name, "cpu")
    found = layer_outcome(name, "cuda:1", ready=cp.traffic.uploads.clear)
    assert not cp.traffic.uploads
    assert not cp.traffic.downloads
    assert not cp.traffic.waits
    check_alike(found, expected, "cuda:1", 1e-12)


def test_transforms_and_functions_of_ones_own(cp):
    found = transformed("cuda:1", ready=cp.traffic.clear)
    assert not cp.traffic.uploads
    assert not cp.traffic.downloads
    assert not cp.traffic.waits
    check_alike(found, transformed("cpu"), "cuda:1", 1e-12, ulps=2)


def test_a_gradient_of_ones_own_from_elsewhere(cp):
    class Lost(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g.cpu()

    x = tg.ones(2, device="cuda:1", requires_grad=True)
    with pytest.raises(DeviceError, match=r"Lost: backward's gradient 0.*cpu.*cuda:1"):
        Lost.apply(x).sum().backward()
    assert x.grad is None


def test_no_layer_is_left_out():
    modules = {n for n in nn.__all__ if isinstance(getattr(nn, n), type)}
    layers = {n for n in modules if issubclass(getattr(nn, n), nn.Module)}
    assert layers - {"Module", "ModuleList", "Sequential"} == {*LAYERS, *LOSSES}


# --- training -----------------------------------------------------------------------------------


@contextlib.contextmanager
def silence(cp):
    """Nothing may pass between host and device meanwhile, or wait for it."""
    before = cp.traffic.total
    yield
    assert cp.traffic.total == before, cp.traffic


@pytest.mark.parametrize(
    ("model", "rule"), [("deck", "adam"), *(("perceptron", o) for o in OPTIMIZERS)]
)
def test_training_gives_on_a_gpu_what_it_gives_on_the_cpu(cp, model, rule):
    """Parameters, losses and moments after four steps, in which the host sends orders only."""
    _, _, expected = trained(model, rule, "cpu", np.float64, 4)
    _, _, found = trained(model, rule, "cuda:1", np.float64, 4, step=lambda: silence(cp))
    check_alike(found, expected, "cuda:1", 1e-12)


def test_training_in_half_precision(cp):
    _, _, expected = trained("perceptron", "adam", "cpu", np.float16, 4)
    _, _, found = trained("perceptron", "adam", "cuda:1", np.float16, 4, step=lambda: silence(cp))
    check_alike(found, expected, "cuda:1", 2e-3)


def test_a_seed_means_the_same_everywhere(cp):
    drawn = {}
    for device in ("cpu", "cuda:1"):
        tg.manual_seed(5)
        net = MODELS["deck"][0]().to(device)
        data = np.arange(10.0)
        loader = tg.data.DataLoader(data, 4, shuffle=True, device=device)
        x = tg.ones(50, device=device)
        draws = [
            *net.parameters(),
            nn.functional.dropout(x, 0.5),
            nn.Dropout(0.2)(x),
            tg.rand(3, device=device),
            tg.randn(3, device=device),
            tg.randint(100, size=(5,), device=device),
            tg.randperm(20, device=device),
            *loader,
            *loader,
            nn.init.kaiming_normal_(tg.zeros(3, 3, device=device)),
        ]
        assert {str(t.device) for t in draws} == {device}
        drawn[device] = [t.tolist() for t in draws]
    assert drawn["cpu"] == drawn["cuda:1"]
    assert drawn["cpu"][-2] != drawn["cpu"][-5]  # another order each epoch


def test_an_epoch_uploads_its_order_and_nothing_else(cp):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20)
    loader = tg.data.DataLoader((x, y), 8, shuffle=True, device="cuda:1")
    cp.traffic.clear()
    seen = list(loader)
    assert cp.traffic.uploads == ["int64 (20,)"]
    assert not cp.traffic.downloads
    assert not cp.traffic.waits
    for a, b in seen:
        assert str(a.device) == str(b.device) == "cuda:1"
        assert (a[:, 0] == b * 2).all()
    cp.traffic.clear()
    assert len(list(tg.data.DataLoader(loader.dataset, 8))) == 3
    assert cp.traffic.total == 0


def test_a_data_set_that_is_on_the_device_already(cp):
    images = tg.tensor(np.arange(24, dtype=np.uint8).reshape(6, 2, 2), device="cuda:1")
    classes = tg.tensor(np.arange(6, dtype=np.int32), device="cuda:1")
    cp.traffic.clear()
    scaled = tg.data.normalize_images(images.data)
    loader = tg.data.DataLoader((images, classes, scaled), 4)
    for x, y, z in loader:
        assert (str(x.dtype), str(y.dtype), str(z.dtype)) == ("uint8", "int64", "float32")
        assert {str(t.device) for t in (x, y, z)} == {"cuda:1"}
        assert (x.float() / 255 == z[:, 0]).all()
    assert not cp.traffic.uploads
    assert str(tg.data.DataLoader(classes, 2, device="cuda:0").dataset.device) == "cuda:0"
    x, _ = tg.data.TensorDataset(images, classes)[[5, -6]]
    assert x.tolist() == [[[20, 21], [22, 23]], [[0, 1], [2, 3]]]
    with pytest.raises(IndexError, match="sample 6 is out of range"):
        _ = loader.dataset[tg.tensor([6], device="cuda:1")]


def test_samples_are_batched_where_they_are_or_where_asked(cp):
    class Samples(tg.data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return tg.full((2,), index, device="cuda:1"), np.full(3, index)

    (batch,) = tg.data.DataLoader(Samples(), 5)
    assert [str(t.device) for t in batch] == ["cuda:1", "cpu"]
    (batch,) = tg.data.DataLoader(Samples(), 5, device="cuda:0")
    assert [str(t.device) for t in batch] == ["cuda:0", "cuda:0"]
    assert [t[4].tolist() for t in batch] == [[4, 4], [4, 4, 4]]
    with pytest.raises(DeviceError, match="sample 0 has device cpu, sample 1 has device cuda:0"):
        tg.data.collate([tg.zeros(1), tg.zeros(1, device="cuda:0")])
    arrays = tg.data.TensorDataset(np.arange(6.0), device="cuda:1")
    for device, place in ((None, "cuda:1"), ("cpu", "cpu")):
        ((x,),) = tg.data.DataLoader(tg.data.Subset(arrays, [5, 1]), 2, device=device)
        assert (x.tolist(), str(x.device)) == ([5.0, 1.0], place)
    assert repr(arrays) == "TensorDataset(float64 (6,), device='cuda:1')"


def test_zeroing_gradients_on_the_device(cp):
    net = nn.Linear(2, 1, device="cuda:1")
    rule = optim.SGD(net.parameters())
    for zero_grad in (net.zero_grad, rule.zero_grad):
        net(tg.ones(3, 2, device="cuda:1")).sum().backward()
        zero_grad(set_to_none=False)
        assert net.weight.grad.tolist() == [[0.0, 0.0]]
        assert str(net.weight.grad.device) == "cuda:1"


def test_a_model_moves_in_the_middle_of_training(cp):
    """Optimiser state follows; accumulated gradients too."""

    def parameters_after(places):
        tg.manual_seed(1)
        net = MODELS["perceptron"][0]().double()
        rule = optim.Adam(net.parameters(), lr=0.01, amsgrad=True)
        for i, place in enumerate(places):
            net.to(place)
            x = tg.tensor(np.linspace(-1, 1, 24).reshape(4, 6) + i, device=place)
            rule.zero_grad(set_to_none=i % 2 == 0)
            net(x).sum().backward()
            net.to("cpu").to(place)  # with its gradients
            rule.step()
            assert {
                str(device_of(a)) for s in rule.state.values() for a in list(s.values())[1:]
            } == {place}
        return [p.tolist() for p in net.parameters()]

    a = parameters_after(["cpu"] * 5)
    b = parameters_after(["cuda:1", "cuda:1", "cpu", "cuda:0", "cuda:1"])
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("a", "b"), [("cpu", "cuda:1"), ("cuda:1", "cpu"), ("cuda:1", "cuda:0")])
def test_states_go_from_device_to_device(cp, a, b):
    source, rule, _ = trained("perceptron", "adam", a, np.float64, 3)
    target = MODELS["perceptron"][0]().to(b, np.float64)
    target.load_state_dict(source.state_dict())
    resumed = OPTIMIZERS["adam"](target.parameters())
    saved = rule.state_dict()
    arrays = [v for s in saved["state"].values() for v in s.values() if not isinstance(v, int)]
    assert all(type(v) is np.ndarray for v in arrays)
    resumed.load_state_dict(pickle.loads(pickle.dumps(saved)))
    for net, optimizer in ((source, rule), (target, resumed)):
        x = tg.ones(2, 6, dtype=tg.float64, device=next(net.parameters()).device)
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()
    here = dict(source.cpu().named_parameters())
    check_alike(dict(target.named_parameters()), here, b, 1e-13)
    for p in target.parameters():
        state = resumed.state[p]
        assert state["step"] == 4
        assert str(device_of(state["exp_avg"])) == str(device_of(state["exp_avg_sq"])) == b


def test_states_go_through_files(cp, tmp_path):
    pytest.importorskip("safetensors")
    net, _, _ = trained("perceptron", "sgd", "cuda:1", np.float32, 1)
    path = tmp_path / "net.safetensors"
    tg.save(net.state_dict(), path)
    for device in ("cpu", "cuda:0", "cuda:1"):
        loaded = tg.load(path, device=device)
        assert {str(t.device) for t in loaded.values()} == {device}
        other = MODELS["perceptron"][0]().to("cuda:0")
        other.load_state_dict(loaded)
        assert {str(p.device) for p in other.parameters()} == {"cuda:0"}
        for p, q in zip(net.parameters(), other.parameters(), strict=True):
            assert p.tolist() == q.tolist()


def test_an_optimiser_refuses_a_gradient_from_elsewhere(cp):
    w = tg.ones(2, device="cuda:1", requires_grad=True)
    rule = optim.SGD([w], lr=1.0)
    with pytest.raises(DeviceError, match=r"cuda:1 \(2,\), cuda:0"):
        w.grad = tg.ones(2, device="cuda:0")
    w.grad = tg.ones_like(w)
    w.grad.data = tg.ones(2, device="cuda:0").data
    with pytest.raises(DeviceError, match=r"cuda:1 but its gradient on cuda:0"):
        rule.step()
    assert w.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["Adam", "AdamWithDecay", "SGD", "RMSprop"])
def test_optimisers_on_plain_arrays(cp, name):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(4, 3, 4))
    here, there = start.copy(), tg.tensor(start, device="cuda:1").data
    on_cpu, on_gpu = getattr(tg.optim.arrays, name)(), getattr(tg.optim.arrays, name)()
    for g in gradients:
        on_cpu.update(here, g)
        on_device = tg.tensor(g, device="cuda:1").data
        with silence(cp):
            assert on_gpu.update(there, on_device) is there
    np.testing.assert_allclose(there.get(), here, rtol=1e-13)
    with pytest.raises(DeviceError, match="cuda:1 but its gradient on cpu"):
        on_gpu.update(there, gradients[0])


def test_hooks_and_kept_gradients_stay_on_the_device(cp):
    x = tg.tensor([1.0, 2.0], device="cuda:1", requires_grad=True)
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: g + 1)
    for _ in range(2):
        (y * 3).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [26.0, 50.0]
    assert y.grad.tolist() == [12.0, 12.0]
    assert str(x.grad.device) == str(y.grad.device) == "cuda:1"
    (g,) = tg.autograd.grad(y, x, [tg.ones(2, device="cuda:1")])
    assert g.tolist() == [5.0, 9.0]
    y = x * 1
    y.backward([1.0, 2.0])  # a list goes where the output is
    assert x.grad.tolist() == [28.0, 53.0]
    y = x.double()
    y.backward(tg.ones(2, dtype=tg.float16, device="cuda:1"))  # so does one of another type
    assert x.grad.tolist() == [30.0, 55.0]


def test_with_default_device_everything_is_there(cp):
    """A program that only says where to work, once."""
    with default_device("cuda:1"):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
        x, y = tg.rand(5, 1, 4, 4), tg.randint(3, size=(5,))
        rule = optim.SGD(net.parameters(), lr=0.1)
        first = None
        for _ in range(5):
            rule.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            rule.step()
            first = loss.item() if first is None else first
        assert loss.item() < first
        assert str(loss.device) == "cuda:1"
        assert tg.tensor([1, 2]).device == "cuda:1"
        assert tg.one_hot(y, 3).argmax(1).tolist() == y.tolist()
        assert tg.from_numpy(np.ones(2)).device == CPU


# --- what is asked of CuPy, held against CuPy itself --------------------------------------------

PACKAGE = Path(tg.__file__).parent
ARRAY_MODULES = {"xp", "_xp", "cupy"}
GIVERS = {"load_cupy", "usable_cupy", "array_module"}


def module_uses():
    """Yield file, name, and call (or None) of everything taken from an array module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            owner = node.value
            if isinstance(owner, ast.Call):
                owner, names = owner.func, GIVERS
            else:
                names = ARRAY_MODULES
            name = getattr(owner, "id", None) or getattr(owner, "attr", None)
            if name in names and not node.attr.startswith("__"):
                yield f"{path.name}:{node.lineno}", node.attr, calls.get(id(node))


def test_the_standin_offers_what_is_used(cp):
    uses = list(module_uses())
    assert {name for _, name, _ in uses} >= {"matmul", "where", "maximum", "add", "zeros", "cuda"}
    missing = {f"{place} {name}" for place, name, _ in uses if not hasattr(cp, name)}
    assert not missing


@pytest.fixture(scope="module")
def real_cupy():
    return pytest.importorskip("cupy", minversion="14")


def test_cupy_takes_what_it_is_given(real_cupy):
    for place, name, call in module_uses():
        assert hasattr(real_cupy, name), f"{place}: there is no cupy.{name}"
        function = getattr(real_cupy, name)
        if call is None or name == "ndarray" or inspect.ismodule(function):
            continue
        keywords = {k.arg for k in call.keywords}
        assert None not in keywords, f"{place}: what **{name} passes is not known here"
        starred = any(isinstance(a, ast.Starred) for a in call.args)
        if isinstance(function, real_cupy.ufunc):
            assert keywords <= {"out", "casting", "dtype"}, f"{place}: cupy.{name}({keywords})"
            assert starred or len(call.args) == function.nin, f"{place}: cupy.{name}"
        elif name == "matmul":
            assert keywords <= {"out"}, f"{place}: cupy.matmul({keywords})"
        elif not starred:
            signature = inspect.signature(function)
            try:
                signature.bind(*call.args, **dict.fromkeys(keywords))
            except TypeError as error:
                pytest.fail(f"{place}: cupy.{name}{signature}: {error}")


def test_the_standin_has_cupys_parameters(real_cupy):
    standin = fresh_standin()
    for name, function in vars(standin).items():
        if name.startswith("_") or getattr(function, "__module__", None) != "cupy":
            continue
        if inspect.isfunction(function):
            real = getattr(real_cupy, name)
            if inspect.isbuiltin(real):  # its docstring begins with its signature
                made: dict[str, Any] = {}
                exec(f"def real{real.__doc__[len(name) :].splitlines()[0]}: ...", made)
                real = made["real"]
            theirs = list(inspect.signature(real).parameters.items())
            ours = list(inspect.signature(function).parameters.items())
            if name == "matmul":
                assert {n for n, _ in ours} <= {n for n, _ in theirs}
            else:
                assert [(n, p.kind) for n, p in ours] == [(n, p.kind) for n, p in theirs], name
        elif isinstance(function, standin.ufunc):
            real = getattr(real_cupy, name)
            assert isinstance(real, real_cupy.ufunc), name
            assert real.nin == function._function.nin, name
    for name, method in vars(standin.ndarray).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            theirs = re.match(
                rf"(?:_ndarray_base|ndarray)\.{name}\(self(?:, )?(.*)\)",
                getattr(real_cupy.ndarray, name).__doc__,
            ).group(1)
            known = re.findall(r"(\w+)(?=[=,]|$)(?:=[^,]*)?", theirs)
            ours = [n.lstrip("*") for n in inspect.signature(method).parameters][1:]
            assert ours == known, (name, theirs)
        elif isinstance(method, property):
            assert hasattr(real_cupy.ndarray, name), name
    assert standin.ndarray.__array_priority__ == real_cupy.ndarray.__array_priority__
    assert not hasattr(real_cupy.ndarray, "__index__")


# --- seeing inside ------------------------------------------------------------------------------


def test_anomalies_are_found_and_explained_on_a_gpu(cp):
    x = tg.tensor([0.0, 4.0], device="cuda:1", requires_grad=True)
    with tg.autograd.detect_anomaly():
        y = x.sqrt()
        with pytest.raises(AnomalyError) as info:
            y.sum().backward()
        with pytest.raises(
            AnomalyError, match=r"log made an infinity(.*\n)*  x: float32 \(2,\) on"
        ):
            x.log()
    assert "y: float32 (2,) on cuda:1, 0 to 2" in str(info.value)
    assert "gradient of x: float32 (2,) on cuda:1, 0.25 to 0.25, 1 of 2 infinite" in str(info.value)
    told = tg.explain((x * x).sum(), {"x": x})
    assert told.leaves == {"x": ((2,), 8.0)}
    assert "mul  (2,)  float32  from x, x" in str((x * x).graph({"x": x}))
