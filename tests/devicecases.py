"""What is run on two devices and compared: operations, layers, and a few training steps.

Also `FACTS`, what the package relies on where CuPy differs from NumPy: held against the stand-in
everywhere, and against CuPy where there is a GPU.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from backwards import weights
from opcases import CASES, VALUES, Case

import tinygrad_adam as tg
from tinygrad_adam import nn, optim

# Their settings hold NumPy arrays, or the CPU itself; the operations are reached through others.
HOST_ONLY = {"to_device", "put:duplicates", "put:mask", "put_along"}
TABLE = [c for c in (*CASES, *VALUES) if c.name not in HOST_ONLY]


@contextlib.contextmanager
def default_device(device: str) -> Iterator[None]:
    before = tg.get_default_device()
    tg.set_default_device(device)
    try:
        yield
    finally:
        tg.set_default_device(before)


def outcome(
    case: Case, device: str, dtype: Any = np.float64, ready: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return the value of a case on `device`, its first and second derivatives, by name.

    `ready` is called when all inputs of the derivatives are on the device.
    """
    with default_device(device):
        inputs = [tg.tensor(a) for a in case.arrays(dtype)]
        wanted = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"]
        y = case(*inputs)
        results = {"value": y}
        if not y.requires_grad:
            return results
        w = tg.tensor(weights(y.shape), dtype=y.dtype, requires_grad=True)
        us = [tg.tensor(weights(t.shape, seed=1), dtype=t.dtype) for t in wanted]
        ready()
        grad = functools.partial(tg.autograd.grad, allow_unused=True)
        first = grad(y, wanted, w, retain_graph=True)
        recorded = grad(y, wanted, w, create_graph=True)
        for _ in range(2):
            y.backward(w.detach(), retain_graph=True)
        for i, (t, g, r) in enumerate(zip(wanted, first, recorded, strict=True)):
            results |= {f"first {i}": g, f"recorded {i}": r, f"accumulated {i}": t.grad}
        terms = [(g * u).sum() for g, u in zip(recorded, us, strict=True) if g is not None]
        if terms and any(t.requires_grad for t in terms):
            second = grad(functools.reduce(tg.add, terms), [*wanted, w])
            results |= {f"second {i}": g for i, g in enumerate(second)}
        return results


def check_alike(
    found: dict[str, Any], expected: dict[str, Any], device: str, tol: float, ulps: int = 0
) -> None:
    """Raise unless the tensors in `found` lie on `device` and equal those in `expected`.

    To `tol` relative to the largest element, or `ulps` roundings of their type if that is more.
    """
    assert found.keys() == expected.keys()
    for what, there in found.items():
        here = expected[what]
        assert (there is None) == (here is None), what
        if there is None:
            continue
        assert str(there.device) == device, what
        assert there.dtype == here.dtype, what
        a, b = there.detach().cpu().numpy(), here.detach().numpy()
        assert a.shape == b.shape, what
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=what)
            continue
        largest = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        limit = max(tol, ulps * np.finfo(b.dtype).eps)
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * largest, err_msg=what)


# --- transforms, and a Function -----------------------------------------------------------------


class Ratio(tg.autograd.Function):
    """Two outputs, of two types; keeps an input and an output."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        y = a / b
        ctx.save_for_backward(b, y)
        return y, (a * 2).float(), (a > b)

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any, _: Any) -> Any:
        b, y = ctx.saved_tensors
        return g / b + 2 * h.double(), -g * y / b


def transformed(device: str, ready: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return what transforms give of a function with a `Function` in it, by name."""

    def many(p: Any, x: Any) -> Any:
        y, twice, _ = Ratio.apply(p["a"], x)
        return {"y": y.exp(), "twice": twice, "constant": x.detach()}

    def one(p: Any, x: Any) -> Any:
        out = many(p, x)
        return (out["y"] * x).sum() + (out["twice"] ** 2).sum().double()

    with default_device(device):
        p, q = ({"a": tg.tensor(weights((2, 3), seed=s))} for s in (1, 2))
        x, v = (tg.tensor(weights((2, 3), seed=s)) for s in (3, 4))
        a = p["a"].clone().requires_grad_()
        ready()
        F = tg.func
        one_by_all = F.hessian(one, (0, 1))(p, x)
        (y, aux), g = F.value_and_grad(lambda p, x: (one(p, x), many(p, x)), has_aux=True)(p, x)
        blocks = F.jacobian(many)(p, x)
        value, slope = F.jvp(many, (p, x), (q, v))
        Ratio.apply(a, x)[0].sum().backward()
        return {
            "value": y, "aux": aux["twice"], "gradient": g["a"], "accumulated": a.grad,
            **{f"block {k}": block["a"] for k, block in blocks.items()},
            **{f"value {k}": t for k, t in value.items()},
            **{f"slope {k}": t for k, t in slope.items()},
            "hessian": one_by_all[0]["a"][1], "hessian of x": one_by_all[1][1],
            "product": F.hvp(one, (p, x), (q, v))[0]["a"],
        }  # fmt: skip


# --- layers -------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(3, 2), (4, 3)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 2, 5, 5)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, 1), (2, 2, 5, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 2, 4, 4)),
    "Flatten": (nn.Flatten, (2, 3, 2)),
    "Identity": (nn.Identity, (2, 3)),
    "Dropout": (lambda: nn.Dropout(0.4), (5, 5)),
    "ReLU": (nn.ReLU, (4, 3)),
    "Sigmoid": (nn.Sigmoid, (4, 3)),
    "Tanh": (nn.Tanh, (4, 3)),
    "Softmax": (lambda: nn.Softmax(dim=1), (4, 3)),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=1), (4, 3)),
}
LOSSES = {
    "MSELoss": nn.MSELoss,
    "L1Loss": nn.L1Loss,
    "BCELoss": nn.BCELoss,
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss,
    "NLLLoss": nn.NLLLoss,
    "CrossEntropyLoss": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
}


def layer_outcome(name: str, device: str, ready: Callable[[], None] = lambda: None) -> Any:
    """Return the output of a layer or loss and all gradients, on `device` in float64."""
    with default_device(device):
        rng = np.random.default_rng(7)
        tg.manual_seed(3)
        if name in LAYERS:
            make, shape = LAYERS[name]
            rest: list[Any] = []
        else:
            make, shape = LOSSES[name], (4, 3)
            labels = name in ("NLLLoss", "CrossEntropyLoss")
            rest = [tg.tensor(rng.integers(3, size=4) if labels else rng.uniform(size=shape))]
        layer = make().double()
        x = tg.tensor(rng.uniform(0.1, 0.9, shape), requires_grad=True)
        y = layer(x, *rest)
        w = tg.tensor(weights(y.shape))
        ready()
        y.backward(w)
        gradients = {name: p.grad for name, p in layer.named_parameters()}
        return {"value": y, "input": x.grad} | gradients


# --- training -----------------------------------------------------------------------------------


class DeckNet(nn.Module):
    """The convolutional network of the course's slide 12."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(32 * 13 * 13, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(tg.relu(self.conv1(x)))
        x = x.view(-1, 32 * 13 * 13)
        x = tg.relu(self.fc1(x))
        return self.fc2(x)


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 10))


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "deck": (DeckNet, (1, 28, 28)),
    "perceptron": (perceptron, (6,)),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adam": lambda p: optim.Adam(p, lr=1e-3),
    "adam-everything": lambda p: optim.Adam(
        p, lr=1e-3, amsgrad=True, weight_decay=0.01, maximize=True, eps_root=1e-8
    ),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3),
    "adam-decay": lambda p: optim.AdamWithDecay(p, lr=1e-3, decay_steps=1),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3),
    "rmsprop-centred": lambda p: optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.9),
}


def trained(
    model: str,
    optimizer: str,
    device: str,
    dtype: Any,
    steps: int,
    step: Callable[[], Any] = contextlib.nullcontext,
) -> tuple[Any, Any, dict[str, Any]]:
    """Train on random data; return model, optimiser, and all parameters, losses and moments.

    Every step runs inside ``with step():``.
    """
    make, shape = MODELS[model]
    tg.manual_seed(11)
    net = make().to(device, dtype)
    rng = np.random.default_rng(5)
    batch = 4
    x = rng.normal(size=(batch * steps, *shape)).astype(dtype)
    y = rng.integers(10, size=batch * steps)
    loader = tg.data.DataLoader((x, y), batch, shuffle=True, device=device)
    rule = OPTIMIZERS[optimizer](net.parameters())
    criterion = nn.CrossEntropyLoss()
    results: dict[str, Any] = {}
    for i, (images, labels) in enumerate(loader):
        with step():
            rule.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            rule.step()
        results[f"loss {i}"] = loss
    results |= dict(net.named_parameters())
    for i, (p, state) in enumerate(rule.state.items()):
        results |= {
            f"state {i} {key}": tg.Tensor(value) for key, value in state.items() if key != "step"
        }
        assert p.device == device
    return net, rule, results


# --- what CuPy does -----------------------------------------------------------------------------

FACTS: dict[str, Callable[[Any], None]] = {}


def fact(function: Callable[[Any], None]) -> Callable[[Any], None]:
    FACTS[function.__name__] = function
    return function


def refused(*calls: Callable[[], Any]) -> None:
    for call in calls:
        with pytest.raises(TypeError):
            call()


@fact
def arrays_do_not_mix_with_numpys(cp: Any) -> None:
    x, a = cp.asarray([1.0, 2.0]), np.ones(2)
    refused(
        lambda: x + a,
        lambda: a + x,
        lambda: x - np.array(1.0),
        lambda: cp.maximum(x, a),
        lambda: cp.where(x > 1, x, a),
        lambda: x.__iadd__(a),
        lambda: np.asarray(x),
        lambda: cp.concatenate([x, a]),
    )


@fact
def there_are_no_scalars(cp: Any) -> None:
    x = cp.asarray([1.0, 2.0])
    for y in (
        x.sum(),
        x[0],
        x.max(),
        cp.any(x > 1),
        x[0] + 1,
        cp.sum(x, axis=0),
        x[0].sum(axis=()),
    ):
        assert isinstance(y, cp.ndarray)
        assert y.shape == ()
    assert not hasattr(x[0], "__index__")


@fact
def python_numbers_are_weak_and_numpys_are_not(cp: Any) -> None:
    x = cp.asarray([1.0, 2.0], dtype="float32")
    for y in (x * 2.5, 2 / x, x**2, cp.maximum(x, 0), cp.where(x > 1, x, 0.0), cp.clip(x, 0, None)):
        assert y.dtype == np.float32
    for y in (x * np.float64(2), np.float64(2) * x, x * cp.asarray(2.0)):
        assert isinstance(y, cp.ndarray)
        assert y.dtype == np.float64
    assert cp.where(cp.asarray([True]), cp.asarray([1]), 0).dtype == np.int64


@fact
def results_are_c_ordered_and_copies_need_not_be(cp: Any) -> None:
    x = cp.asarray(np.arange(6.0).reshape(2, 3)).T
    assert x.flags.f_contiguous
    assert not x.flags.c_contiguous
    assert (x + 1).flags.c_contiguous
    assert (x > 1).flags.c_contiguous
    for y in (x.copy(order="K"), x.astype("float32"), cp.empty_like(x), cp.array(x)):
        assert y.flags.f_contiguous
    for y in (x.copy(), cp.array(x, order="C"), cp.ascontiguousarray(x)):
        assert y.flags.c_contiguous
    refused(lambda: cp.max(x, initial=0.0))


@fact
def arrays_know_what_they_are_views_of(cp: Any) -> None:
    x = cp.arange(6.0)
    for y in (x[1:], x.reshape(2, 3), x.reshape(2, 3).T, cp.broadcast_to(x, (2, 6)), x[::-1]):
        assert y.base is x
        assert cp.may_share_memory(x, y)
    for y in (x + 1, x[cp.asarray([1])], x.copy(), x.reshape(2, 3).T.reshape(6)):
        assert not cp.may_share_memory(x, y)
    assert x.base is None
    assert not hasattr(x.flags, "writeable")


@fact
def indices_out_of_range_wrap(cp: Any) -> None:
    assert cp.arange(3)[cp.asarray([4, -1])].tolist() == [1, 2]
    y = cp.zeros(3)
    cp.add.at(y, cp.asarray([0, 0, 5]), cp.asarray([1.0, 2.0, 4.0]))
    assert y.tolist() == [3, 0, 4]
    y = cp.zeros((2, 3))
    cp.add.at(y, (slice(None), cp.asarray([1, 1])), cp.ones((2, 2)))
    assert y.tolist() == [[0, 2, 0]] * 2
    for dtype in ("float16", "float32", "float64", "int32"):
        y = cp.zeros(2, dtype)
        cp.add.at(y, cp.asarray([1, 1]), cp.ones(2, dtype))
        assert y.tolist() == [0, 2]


@fact
def repeated_views_can_be_written_to(cp: Any) -> None:
    base = cp.zeros(1)
    cp.broadcast_to(base, (3,)).fill(1)
    assert base.tolist() == [1]


@fact
def masks_have_a_size_of_their_own(cp: Any) -> None:
    x = cp.arange(6.0).reshape(2, 3)
    assert x[x > 3].tolist() == [4, 5]
    assert x[cp.asarray(True)].shape == (1, 2, 3)
    x[x > 3] = 0.0
    x[cp.asarray([True, False])] = cp.asarray([7.0, 8.0, 9.0])
    assert x.tolist() == [[7, 8, 9], [3, 0, 0]]


@fact
def memory_is_taken_over_without_a_sign_of_its_owner(cp: Any) -> None:
    x = cp.arange(3.0)
    y = cp.from_dlpack(x)
    assert x.__dlpack_device__() == (2, 0)
    assert (y.base, y.data.ptr, y.strides) == (None, x.data.ptr, x.strides)
    y += 1
    assert x.tolist() == [1, 2, 3]
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(5, 0))


@fact
def an_operand_without_ufuncs_has_its_turn(cp: Any) -> None:
    class Other:
        __array_ufunc__ = None

        def __radd__(self, other: Any) -> str:
            return "mine"

        __rmatmul__ = __rpow__ = __gt__ = __eq__ = __radd__
        __hash__ = None

    x, other = cp.ones(2), Other()
    assert x + other == x @ other == x**other == "mine"
    assert (x < other) == (x == other) == "mine"
    refused(lambda: x - other)


@fact
def empty_arrays_are_no_trouble(cp: Any) -> None:
    x = cp.zeros((0, 3))
    assert x.sum(axis=0).tolist() == [0, 0, 0]
    assert x.max(axis=1).shape == (0,)
    assert cp.matmul(cp.ones((2, 0)), x).tolist() == [[0, 0, 0]] * 2
    assert cp.matmul(cp.ones((0, 2, 3)), cp.ones((3, 4))).shape == (0, 2, 4)
    assert cp.concatenate((x, cp.ones((1, 3)))).tolist() == [[1, 1, 1]]
    assert x[:, cp.asarray([2, 0])].shape == (0, 2)
