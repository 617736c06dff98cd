"""The same on a real GPU, through CuPy; everything here is skipped where there is none.

On a machine with an NVIDIA GPU::

    python -m pytest tests/test_gpu.py

Comparisons are with NumPy: to 1e-10 in float64, and in float32 to a few roundings per operation.
What CuPy does not tell from the outside (copies it makes on the way) `test_devices.py` checks on a
stand-in.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from devicecases import (
    FACTS,
    LAYERS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    TABLE,
    check_alike,
    layer_outcome,
    outcome,
    trained,
    transformed,
)

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.device import CPU, device_of
from tinygrad_adam.errors import DeviceError, InPlaceError

if not tg.cuda.is_available():
    pytest.skip("needs CuPy and a GPU", allow_module_level=True)

import cupy as cp

pytestmark = pytest.mark.gpu

# A second GPU, where there is one, finds what forgets to say where it works.
GPUS = [f"cuda:{i}" for i in range(min(tg.cuda.device_count(), 2))]
FARTHEST = GPUS[-1]


@pytest.mark.parametrize("name", FACTS)
def test_cupy_does_what_the_package_relies_on(name):
    FACTS[name](cp)


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_operation_in_float64(case):
    check_alike(outcome(case, FARTHEST), outcome(case, "cpu"), FARTHEST, 1e-10, ulps=64)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_operation_in_float32(case):
    found, expected = (outcome(case, device, np.float32) for device in (FARTHEST, "cpu"))
    check_alike(found, expected, FARTHEST, 2e-5)


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES])
def test_every_layer(name):
    check_alike(layer_outcome(name, FARTHEST), layer_outcome(name, "cpu"), FARTHEST, 1e-10)


def test_transforms_and_functions_of_ones_own():
    check_alike(transformed(FARTHEST), transformed("cpu"), FARTHEST, 1e-10, ulps=4)


CONVOLUTIONS = {
    "deck": ((64, 1, 28, 28), (32, 1, 3, 3), {}),
    "wide": ((8, 16, 20, 20), (24, 16, 3, 3), {"padding": 1}),
    "strided": ((4, 6, 33, 31), (8, 3, 5, 3), {"stride": 2, "padding": (2, 1), "groups": 2}),
    "dilated": ((3, 4, 24, 24), (4, 1, 3, 3), {"dilation": 3, "groups": 4}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_and_pooling_of_full_size(name):
    x_shape, w_shape, settings = CONVOLUTIONS[name]
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1])]
    results = {}
    for device in ("cpu", FARTHEST):
        x, w, b = (tg.tensor(a, device=device, requires_grad=True) for a in arrays)
        y = nn.functional.conv2d(x, w, b, **settings)
        z = nn.functional.max_pool2d(y, 2) + nn.functional.avg_pool2d(y, 2)
        (z * z).mean().backward()
        results[device] = {"y": y, "z": z, "x": x.grad, "w": w.grad, "b": b.grad}
    check_alike(results[FARTHEST], results["cpu"], FARTHEST, 1e-4)


@pytest.mark.parametrize(
    ("model", "rule"), [("deck", "adam"), *(("perceptron", o) for o in OPTIMIZERS)]
)
def test_training_in_float64(model, rule):
    _, _, expected = trained(model, rule, "cpu", np.float64, 20)
    _, _, found = trained(model, rule, FARTHEST, np.float64, 20)
    check_alike(found, expected, FARTHEST, 1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_training_in_float32(model):
    """Compared as a whole: Adam makes a full step of a gradient that is nothing but rounding."""
    _, _, expected = trained(model, "adam", "cpu", np.float32, 20)
    _, _, found = trained(model, "adam", FARTHEST, np.float32, 20)
    for what, there in found.items():
        a, b = there.detach().cpu().numpy(), expected[what].detach().numpy()
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b), what


def test_training_in_half_precision():
    _, _, expected = trained("perceptron", "adam", "cpu", np.float16, 5)
    _, _, found = trained("perceptron", "adam", FARTHEST, np.float16, 5)
    check_alike(found, expected, FARTHEST, 1e-2)


def test_a_seed_means_the_same_everywhere():
    drawn = {}
    for device in ("cpu", *GPUS):
        tg.manual_seed(5)
        x = tg.ones(50, device=device)
        draws = [
            *MODELS["deck"][0]().to(device).parameters(),
            nn.functional.dropout(x, 0.5),
            nn.Dropout(0.25)(x),
            tg.rand(3, device=device),
            tg.randn(3, device=device),
            tg.randint(100, size=(5,), device=device),
            tg.randperm(20, device=device),
            *tg.data.DataLoader(np.arange(10.0), 4, shuffle=True, device=device),
        ]
        assert {str(t.device) for t in draws} == {device}
        drawn[device] = [t.tolist() for t in draws]
    assert all(drawn[device] == drawn["cpu"] for device in GPUS)


# --- waiting ------------------------------------------------------------------------------------

SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


@pytest.mark.parametrize("model", MODELS)
def test_a_training_step_does_not_wait_for_the_gpu(model):
    """The GPU is kept busy for seconds; the host must be through with its step before that."""
    make, shape = MODELS[model]
    net = make().to(FARTHEST)
    rule = optim.Adam(net.parameters())
    x = tg.randn(32, *shape, device=FARTHEST)
    y = tg.randint(10, size=(32,), device=FARTHEST)

    def step():
        rule.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        rule.step()
        return loss

    with cp.cuda.Device(int(FARTHEST[-1])):
        spin = cp.RawKernel(SPIN, "spin")
        spin((1,), (1,), (np.int64(1),))
        for _ in range(4):  # loads all kernels, fills the memory pool, settles the optimiser
            step()
        done = cp.cuda.Event(disable_timing=True)
        tg.cuda.synchronize(FARTHEST)
        spin((1,), (1,), (np.int64(6_000_000_000),))  # 3 s at 2 GHz
        done.record()
        loss = step()
        waited = done.done
        assert np.isfinite(loss.item())
        assert done.done
    assert not waited, "something in the step waited for the GPU"


# --- where things are ---------------------------------------------------------------------------


@pytest.mark.parametrize("device", GPUS)
def test_moving_and_reading(device):
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    there = x.to(device)
    assert isinstance(there.data, cp.ndarray)
    assert str(there.device) == device
    (there.T @ there).sum().cpu().backward()
    assert x.grad.device == CPU
    assert x.grad.tolist() == [[6.0, 6.0], [14.0, 14.0]]
    assert there[1, 1].item() == 4.0
    assert f"device='{device}'" in repr(there)
    assert there.T[:, ::2].cpu().tolist() == [[1.0], [2.0]]
    for other in GPUS:
        assert there.T[:, ::2].to(other).tolist() == [[1.0], [2.0]]
    assert copy.deepcopy(there.detach()).tolist() == there.tolist()
    there = there.detach()
    there[there > 2] = 0.0
    there[:, 1] += 1.0
    assert there.tolist() == [[1.0, 3.0], [0.0, 1.0]]
    with pytest.raises(InPlaceError, match="read-only view"):
        tg.zeros(2, device=device).expand(3, 2).fill_(1)


def test_what_cannot_be():
    x = tg.ones(2, 2, device="cuda")
    count = tg.cuda.device_count()
    for wrong in (
        lambda: x + tg.ones(2, 2),
        lambda: x @ tg.ones(2, 2),
        lambda: x + np.ones((2, 2)),
        lambda: np.ones((2, 2)) + x,
        lambda: x == np.ones((2, 2)),
        lambda: nn.functional.cross_entropy(x, tg.tensor([0, 1])),
        lambda: tg.gather(x, 1, tg.zeros(2, 2, dtype=np.int64)),
        lambda: x.numpy(),
        lambda: tg.ones(2).to(f"cuda:{count}"),
        lambda: tg.set_default_device(f"cuda:{count}"),
    ):
        with pytest.raises(DeviceError, match=r"cuda:\d"):
            wrong()
    assert (x.data + x).tolist() == (x + x.data).tolist() == [[2.0] * 2] * 2
    assert (x.data == x).all()


def test_states_cross_devices(tmp_path):
    net, rule, _ = trained("perceptron", "adam", FARTHEST, np.float64, 3)
    host = MODELS["perceptron"][0]().double()
    host.load_state_dict(net.state_dict())
    resumed = OPTIMIZERS["adam"](host.parameters())
    resumed.load_state_dict(rule.state_dict())
    for n, r in ((net, rule), (host, resumed)):
        x = tg.ones(2, 6, dtype=tg.float64, device=next(n.parameters()).device)
        r.zero_grad()
        n(x).sum().backward()
        r.step()
    check_alike(dict(net.named_parameters()), dict(host.named_parameters()), FARTHEST, 1e-12)
    for place in (*GPUS, "cpu", FARTHEST):  # the optimiser's state follows the model
        host.to(place)
        x = tg.ones(2, 6, dtype=tg.float64, device=place)
        resumed.zero_grad()
        host(x).sum().backward()
        resumed.step()
        places = {str(device_of(s["exp_avg"])) for s in resumed.state.values()}
        assert places == {place}
    pytest.importorskip("safetensors")
    path = tmp_path / "net.safetensors"
    tg.save(net.state_dict(), path)
    for name, t in tg.load(path, device=FARTHEST).items():
        assert str(t.device) == FARTHEST
        assert t.tolist() == net.state_dict()[name].tolist()


@pytest.mark.parametrize("name", ["Adam", "AdamWithDecay", "SGD", "RMSprop"])
def test_optimisers_on_plain_arrays(name):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(4, 3, 4))
    here, there = start.copy(), tg.tensor(start, device=FARTHEST).data
    on_cpu, on_gpu = getattr(tg.optim.arrays, name)(), getattr(tg.optim.arrays, name)()
    for g in gradients:
        on_cpu.update(here, g)
        assert on_gpu.update(there, tg.tensor(g, device=FARTHEST).data) is there
    np.testing.assert_allclose(there.get(), here, rtol=1e-12)
