"""How each library does the work of a case: an adapter each, and the rows of the tables.

``build(case)`` returns, by label, what to time and what to run untimed before each time (or None).
What is timed returns something whose ``number`` is the loss, or the sum of the output.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import FORMULAS, Case

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
Timed = dict[str, tuple[Callable[[], Any], Callable[[], Any] | None]]


class Peer:
    """What the adapters have in common."""

    def number(self, result: Any) -> float:
        """Return a loss, or the sum of an output; Adam alone has none."""
        return 0.0 if result is None else float(np.asarray(result).sum())

    def wait(self, result: Any) -> None:
        """Return when the result is there; most libraries compute at once."""


# PyTorch's names
LAYERS: dict[str, Callable[..., Any]] = {
    "linear": lambda nn, i, o: nn.Linear(i, o),
    "conv": lambda nn, i, o, padding: nn.Conv2d(i, o, 3, padding=padding),
    "relu": lambda nn: nn.ReLU(),
    "sigmoid": lambda nn: nn.Sigmoid(),
    "pool": lambda nn: nn.MaxPool2d(2),
    "flatten": lambda nn: nn.Flatten(),
}
LOSSES = {
    "mse": "mse_loss",
    "bce": "binary_cross_entropy_with_logits",
    "ce": "cross_entropy",
}


class TorchLike(Peer):
    """PyTorch, and this package: the same code for both."""

    def __init__(self, module: str, threads: int = 0, **adam: Any) -> None:
        self.lib = importlib.import_module(module)
        importlib.import_module(f"{module}.nn.functional")
        self.adam = adam
        if threads:
            self.lib.set_num_threads(threads)

    def model(self, case: Case) -> Any:
        """Return the layers as one module, with the parameters of the case."""
        nn = self.lib.nn
        model = nn.Sequential(*(LAYERS[kind](nn, *args) for kind, *args in case.layers))
        arrays = map(self.lib.tensor, case.parameters())
        model.load_state_dict(dict(zip(model.state_dict(), arrays, strict=True)))
        return model

    def loss(self, case: Case) -> tuple[Callable[[], Any], list[Any]]:
        """Return a function that computes the loss, and the parameters."""
        lib = self.lib
        if not case.layers:
            params = [lib.tensor(p, requires_grad=True) for p in case.parameters()]
            return functools.partial(FORMULAS[case.loss], case, *params), params
        x, y = map(lib.tensor, case.batch())
        model, criterion = self.model(case), getattr(lib.nn.functional, LOSSES[case.loss])
        return lambda: criterion(model(x), y), list(model.parameters())

    def build(self, case: Case) -> Timed:
        """Return what to time."""
        if case.part == "ops":
            return self.ops(case.x)
        if case.part == "forward":
            model, x = self.model(case), self.lib.tensor(case.batch()[0])

            def infer() -> Any:
                with self.lib.no_grad():
                    return model(x)

            return {"": (infer, None)}
        loss, params = self.loss(case)
        if case.part == "gradient":

            def gradient() -> Any:
                value = loss()
                value.backward()
                for p in params:
                    p.grad = None
                return value

            return {"": (gradient, None)}
        optimizer = self.lib.optim.Adam(params, lr=LR, **self.adam)

        def gradients() -> Any:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        def step() -> Any:
            value = gradients()
            optimizer.step()
            return value

        return {"": (optimizer.step, gradients) if case.part == "adam" else (step, None)}

    def ops(self, shape: tuple[int, ...]) -> Timed:
        """Return single operations: recorded, and with their backward pass."""
        rng = np.random.default_rng(0)
        x, w = (self.lib.tensor(rng.random(shape, dtype=np.float32) + 0.5) for _ in "xw")
        x.requires_grad = w.requires_grad = True
        operations: dict[str, Callable[[], Any]] = {
            "add": lambda: x + w,
            "mul": lambda: x * w,
            "mul by a number": lambda: x * 2.0,
            "div": lambda: x / w,
            "square": lambda: x**2,
            "matmul": lambda: x @ w,
            "exp": lambda: x.exp(),
            "relu": lambda: x.relu(),
            "sigmoid": lambda: x.sigmoid(),
            "sum": lambda: x.sum(),
            "mean of rows": lambda: x.mean(1),
            "max of rows": lambda: x.amax(1),
            "log_softmax": lambda: x.log_softmax(1),
            "reshape": lambda: x.reshape(-1),
            "transpose": lambda: x.transpose(0, 1),
            "element": lambda: x[0],
            "linear": lambda: self.lib.nn.functional.linear(x, w),
        }

        def with_backward(forward: Callable[[], Any]) -> Callable[[], Any]:
            g = self.lib.ones_like(forward().detach())

            def both() -> Any:
                y = forward()
                y.backward(g)
                x.grad = w.grad = None
                return y

            return both

        timed: Timed = {}
        for name, forward in operations.items():
            timed[name] = (forward, None)
            timed[f"{name} + backward"] = (with_backward(forward), None)
        return timed

    def number(self, result: Any) -> float:
        """Return a loss, or the sum of an output; Adam alone has none."""
        return 0.0 if result is None else float(result.detach().sum())


class Functional(Peer):
    """A library without these layers: runs the list itself, on functions its subclass names."""

    def forward(self, case: Case, params: Any, x: Any) -> Any:
        """Return the output of the last layer."""
        left = iter(params)
        for kind, *sizes in case.layers:
            if kind == "linear":
                x = x @ next(left).T + next(left)
            elif kind == "conv":
                x = self.conv(x, next(left), sizes[2]) + next(left).reshape(1, -1, 1, 1)
            elif kind == "flatten":
                x = x.reshape(x.shape[0], -1)
            else:
                x = getattr(self, kind)(x)
        return x

    def loss(self, case: Case, params: Any, x: Any, y: Any) -> Any:
        """Return the loss."""
        if not case.layers:
            return FORMULAS[case.loss](case, *params)
        return getattr(self, case.loss)(self.forward(case, params, x), y)

    def mse(self, z: Any, y: Any) -> Any:
        """Return the mean squared difference."""
        return ((z - y) ** 2).mean()


class Jax(Functional):
    """JAX: the whole step, Adam included, is one compiled function that reuses its arguments."""

    def __init__(self) -> None:
        import jax

        self.jax, self.np = jax, jax.numpy
        self.relu, self.sigmoid = jax.nn.relu, jax.nn.sigmoid

    def conv(self, x: Any, w: Any, padding: int) -> Any:
        """Convolve images (N, C, H, W)."""
        return self.jax.lax.conv(x, w, (1, 1), [(padding, padding)] * 2)

    def pool(self, x: Any) -> Any:
        """Take the largest of each 2 by 2."""
        size = (1, 1, 2, 2)
        return self.jax.lax.reduce_window(x, -self.np.inf, self.jax.lax.max, size, size, "VALID")

    def bce(self, z: Any, y: Any) -> Any:
        """Return the binary cross-entropy of logits."""
        return (self.np.logaddexp(0, z) - y * z).mean()

    def ce(self, z: Any, y: Any) -> Any:
        """Return the cross-entropy of logits."""
        return -self.jax.nn.log_softmax(z)[self.np.arange(len(y)), y].mean()

    def update(self, params: Any, state: Any, grads: Any) -> Any:
        """Return parameters and state after Adam's update."""
        m, v, t = state
        t = t + 1
        m = [BETA1 * a + (1 - BETA1) * g for a, g in zip(m, grads, strict=True)]
        v = [BETA2 * a + (1 - BETA2) * g * g for a, g in zip(v, grads, strict=True)]
        rate, scale = LR / (1 - BETA1**t), 1 - BETA2**t
        new = [
            p - rate * a / (self.np.sqrt(b / scale) + EPS)
            for p, a, b in zip(params, m, v, strict=True)
        ]
        return new, (m, v, t)

    def build(self, case: Case) -> Timed:
        """Return what to time."""
        jax = self.jax
        params: Any = [self.np.asarray(p) for p in case.parameters()]
        x, y = map(self.np.asarray, case.batch())
        loss = functools.partial(self.loss, case)
        if case.part == "forward":
            infer = jax.jit(functools.partial(self.forward, case))
            return {"": (lambda: infer(params, x), None)}
        gradient = jax.jit(jax.value_and_grad(loss))
        if case.part == "gradient":
            return {"": (lambda: gradient(params, x, y)[0], None)}
        zeros = [[self.np.zeros_like(p) for p in params] for _ in "mv"]
        now: Any = [params, (*zeros, self.np.zeros(()))]

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def step(params: Any, state: Any, x: Any, y: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(params, x, y)
            return *self.update(params, state, grads), value

        def whole() -> Any:
            now[0], now[1], value = step(*now, x, y)
            return value

        if case.part == "step":
            return {"": (whole, None)}
        update, grads = jax.jit(self.update, donate_argnums=(0, 1)), []

        def prepare() -> None:
            grads[:] = [jax.block_until_ready(gradient(now[0], x, y)[1])]

        def alone() -> None:
            now[:] = jax.block_until_ready(update(*now, grads[0]))

        return {"": (alone, prepare)}

    def wait(self, result: Any) -> None:
        """Return when the result is there."""
        self.jax.block_until_ready(result)


class OnNumpy(Functional):
    """A library on NumPy arrays without an Adam of its own: this one works in place."""

    def start(self, arrays: list[np.ndarray]) -> None:
        """Keep the parameters and two moments of each."""
        self.arrays = arrays
        self.moments = [(np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in arrays]
        self.t = 0

    def update(self, grads: Any) -> None:
        """Do Adam's update."""
        self.t += 1
        rate, root = LR / (1 - BETA1**self.t), (1 - BETA2**self.t) ** 0.5
        for p, g, (m, v, s) in zip(self.arrays, grads, self.moments, strict=True):
            m *= BETA1
            m += np.multiply(g, 1 - BETA1, out=s)
            v *= BETA2
            np.multiply(g, g, out=s)
            s *= 1 - BETA2
            v += s
            np.sqrt(v, out=s)
            s /= root
            s += EPS
            np.divide(m, s, out=s)
            s *= rate
            p -= s

    def build(self, case: Case) -> Timed:
        """Return what to time."""
        self.start(case.parameters())
        x, y = case.batch()
        if case.part == "forward":
            return {"": (lambda: self.infer(case, x), None)}

        def gradient() -> Any:
            value, self.grads = self.gradient(case, x, y)
            return value

        def step() -> Any:
            value = gradient()
            self.update(self.grads)
            return value

        return {
            "step": {"": (step, None)},
            "gradient": {"": (gradient, None)},
            "adam": {"": (lambda: self.update(self.grads), gradient)},
        }[case.part]


class Autograd(OnNumpy):
    """HIPS autograd."""

    def __init__(self) -> None:
        import autograd.numpy
        from autograd.scipy.signal import convolve

        self.np, self.lib, self.convolve = autograd.numpy, autograd, convolve

    def relu(self, x: Any) -> Any:
        """Return the positive part."""
        return self.np.maximum(x, 0)

    def sigmoid(self, x: Any) -> Any:
        """Return the logistic function."""
        return 1 / (1 + self.np.exp(-x))

    def conv(self, x: Any, w: Any, padding: int) -> Any:
        """Convolve images (N, C, H, W)."""
        if padding:
            x = self.np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], "constant")
        return self.convolve(
            x, w[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid"
        )

    def pool(self, x: Any) -> Any:
        """Take the largest of each 2 by 2."""
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))

    def bce(self, z: Any, y: Any) -> Any:
        """Return the binary cross-entropy of logits."""
        return self.np.mean(self.np.logaddexp(0, z) - y * z)

    def ce(self, z: Any, y: Any) -> Any:
        """Return the cross-entropy of logits."""
        z = z - z.max(axis=1, keepdims=True)
        z = z - self.np.log(self.np.sum(self.np.exp(z), axis=1, keepdims=True))
        return -self.np.mean(z[self.np.arange(len(y)), y])

    def gradient(self, case: Case, x: Any, y: Any) -> Any:
        """Return the loss and the gradients."""
        loss = self.lib.value_and_grad(lambda params: self.loss(case, params, x, y))
        return loss(self.arrays)

    def infer(self, case: Case, x: Any) -> Any:
        """Return the output."""
        return self.forward(case, self.arrays, x)


class MyGrad(OnNumpy):
    """MyGrad, its memory guard off as its documentation advises for speed."""

    def __init__(self) -> None:
        import mygrad
        from mygrad import nnet

        self.lib, self.nnet = mygrad, nnet
        mygrad.turn_memory_guarding_off()
        self.sigmoid, self.ce = nnet.activations.sigmoid, nnet.losses.softmax_crossentropy

    def relu(self, x: Any) -> Any:
        """Return the positive part."""
        return self.nnet.activations.relu(x)

    def conv(self, x: Any, w: Any, padding: int) -> Any:
        """Convolve images (N, C, H, W)."""
        return self.nnet.layers.conv_nd(x, w, stride=1, padding=padding)

    def pool(self, x: Any) -> Any:
        """Take the largest of each 2 by 2."""
        return self.nnet.layers.max_pool(x, (2, 2), 2)

    def bce(self, z: Any, y: Any) -> Any:
        """Return the binary cross-entropy of logits."""
        return (self.lib.logaddexp(0, z) - y * z).mean()

    def start(self, arrays: list[np.ndarray]) -> None:
        """Keep the parameters, as tensors too."""
        super().start(arrays)
        self.params = [self.lib.tensor(p, copy=False) for p in arrays]

    def gradient(self, case: Case, x: Any, y: Any) -> Any:
        """Return the loss and the gradients."""
        value = self.loss(case, self.params, x, y)
        value.backward()
        return value.data, [p.grad for p in self.params]

    def infer(self, case: Case, x: Any) -> Any:
        """Return the output."""
        with self.lib.no_autodiff:
            return self.forward(case, self.params, x)


class Tinygrad(Functional):
    """tinygrad, the whole step under its JIT."""

    def __init__(self) -> None:
        import tinygrad
        from tinygrad.helpers import Context

        self.lib = tinygrad
        self.training = Context(TRAINING=1)
        self.relu, self.sigmoid = tinygrad.Tensor.relu, tinygrad.Tensor.sigmoid
        self.pool = tinygrad.Tensor.max_pool2d
        self.bce = tinygrad.Tensor.binary_crossentropy_logits
        self.ce = tinygrad.Tensor.sparse_categorical_crossentropy

    def conv(self, x: Any, w: Any, padding: int) -> Any:
        """Convolve images (N, C, H, W)."""
        return x.conv2d(w, padding=padding)

    def build(self, case: Case) -> Timed:
        """Return what to time."""
        lib = self.lib
        params = [lib.Tensor(p).realize() for p in case.parameters()]
        x, y = (lib.Tensor(a.astype(np.int32) if a.dtype == np.int64 else a) for a in case.batch())
        x, y = x.realize(), y.realize()
        if case.part == "forward":
            return {"": (lib.TinyJit(lambda: self.forward(case, params, x).realize()), None)}
        optimizer = lib.nn.optim.Adam(params, lr=LR, b1=BETA1, b2=BETA2, eps=EPS)

        @lib.TinyJit
        def step() -> Any:
            optimizer.zero_grad()
            value = self.loss(case, params, x, y)
            value.backward()
            return value.realize(*optimizer.schedule_step())

        def whole() -> Any:
            with self.training:
                return step()

        return {"": (whole, None)}

    def number(self, result: Any) -> float:
        """Return a loss, or the sum of an output."""
        return float(result.numpy().sum())

    def wait(self, result: Any) -> None:
        """Return when the result is there."""
        self.lib.Device[self.lib.Device.DEFAULT].synchronize()


@dataclass(frozen=True)
class Row:
    """A line of the tables: a library in one configuration, always in a process of its own."""

    name: str
    module: str
    adapter: Callable[[], Any]
    environment: dict[str, str] = field(default_factory=dict)
    skips: str = "ops|chain.+"  # cases it does not take part in, as a pattern

    def takes(self, case: Case) -> bool:
        """Whether it is installed and the case is for it."""
        if importlib.util.find_spec(self.module) is None or re.fullmatch(self.skips, case.name):
            return False
        # Without an optimiser in the case, PyTorch's differ in nothing.
        return case.part in ("step", "adam") or "torch f" not in self.name


def _torch(name: str, threads: int, **adam: Any) -> Row:
    return Row(
        f"torch {name} x{threads}",
        "torch",
        functools.partial(TorchLike, "torch", threads, **adam),
        skips="",
    )


_OURS = functools.partial(TorchLike, "tinygrad_adam")
OURS = ("ours", "ours, NumPy alone")
OTHERS = ("jax jit", "tinygrad jit", "mygrad", "autograd")
ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(OURS[0], "tinygrad_adam", _OURS, skips=""),
        Row(OURS[1], "tinygrad_adam", _OURS, {"TINYGRAD_ADAM_FAST": "0"}, skips=""),
        *(
            _torch(name, threads, **adam)
            for threads in sorted({1, os.cpu_count() or 1})
            for name, adam in (
                ("plain", {"foreach": False}),
                ("foreach", {"foreach": True}),
                ("fused", {"fused": True}),
            )
        ),
        Row("jax jit", "jax", Jax),
        Row("mygrad", "mygrad", MyGrad),
        # a step of the VGG-like net takes it a quarter of a minute
        Row("autograd", "autograd", Autograd, skips="ops|chain.+|vgg.*"),
        # its scheduler does not come to an end on long chains; its Adam is part of the step
        Row("tinygrad jit", "tinygrad", Tinygrad, {"DEV": "CPU"}, skips="ops|chain.*|adam.*"),
    )
}
