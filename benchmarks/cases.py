"""The work that is timed, written once: data, layers and loss of each case.

A case is found by its name, and its size is part of it: ``case("convnet256")``.  Every library
starts from the same parameters and sees the same batch, so that the losses of the first steps show
whether they do the same work.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Case:
    """What one library has to do.

    Attributes
    ----------
    name, about : str
        As printed.
    part : str
        What is timed: ``step`` (gradients set to zero, forward, loss, backward, Adam), ``adam``
        (its update alone), ``gradient`` (forward and backward, no update), ``forward`` (inference)
        or ``ops`` (single operations on small arrays).
    loss : str
        ``mse``, ``bce`` (with logits), ``ce`` (cross-entropy), or a name in `FORMULAS`.
    x : tuple of int
        Shape of the batch.
    layers : tuple of tuple
        Kind and sizes of each layer; none where the loss is a formula of the parameters.
    length : int
        Number of operations of a chain.
    """

    name: str
    about: str
    part: str = "step"
    loss: str = "ce"
    x: tuple[int, ...] = ()
    layers: tuple[tuple[Any, ...], ...] = ()
    length: int = 0

    def parameters(self) -> Arrays:
        """Return the parameters to start from: weight and bias of each layer in turn."""
        if not self.layers:
            start = {
                "rosenbrock": [[-1.0, 1.0]],
                "chain": [np.ones((4, 4)), np.full((4, 4), 0.5)],
            }
            return [np.array(p, np.float32) for p in start[self.loss]]
        rng = np.random.default_rng(0)
        arrays = []
        for kind, *sizes in self.layers:
            if kind in ("linear", "conv"):
                i, o = sizes[:2]
                shape = (o, i) if kind == "linear" else (o, i, 3, 3)
                bound = 1 / math.sqrt(math.prod(shape[1:]))
                arrays += [rng.uniform(-bound, bound, s).astype(np.float32) for s in (shape, (o,))]
        return arrays

    def batch(self) -> Arrays:
        """Return inputs and targets."""
        rng = np.random.default_rng(1)
        n = self.x[0] if self.x else 0
        x = rng.random(self.x, dtype=np.float32)
        if self.loss == "ce":
            return [x, rng.integers(0, 10, n)]
        if self.loss == "bce":
            return [x, (rng.random((n, 1)) > 0.5).astype(np.float32)]
        return [x, rng.standard_normal((n, 1), dtype=np.float32)]

    def flops(self) -> int:
        """Count the multiplications and additions of the products in what is timed.

        A product costs as much again for each of its two gradients; the first layer needs no
        gradient of its input.
        """
        if self.part not in ("step", "forward"):
            return 0
        total, first = 0, True
        for (kind, *sizes), shape in zip(self.layers, self.shapes(), strict=True):
            if kind in ("linear", "conv"):
                times = 1 if self.part == "forward" else 2 if first else 3
                inner = sizes[0] * (9 if kind == "conv" else 1)
                total += 2 * math.prod(shape) * inner * times
                first = False
        return total

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Yield the shape of each layer's output."""
        shape = self.x
        for kind, *sizes in self.layers:
            if kind == "linear":
                shape = (shape[0], sizes[1])
            elif kind == "conv":
                lost = 2 - 2 * sizes[2]
                shape = (shape[0], sizes[1], shape[2] - lost, shape[3] - lost)
            elif kind == "pool":
                shape = (*shape[:2], shape[2] // 2, shape[3] // 2)
            elif kind == "flatten":
                shape = (shape[0], math.prod(shape[1:]))
            yield shape


def rosenbrock(case: Case, p: Any) -> Any:
    a, b = p[0], p[1]
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def chain(case: Case, a: Any, b: Any) -> Any:
    z = a
    for _ in range(case.length // 2):
        z = z * b + a
    return z.sum()


# Losses made of operators alone: the same code on every library.
FORMULAS: dict[str, Callable[..., Any]] = {"rosenbrock": rosenbrock, "chain": chain}

_SIGMOID = ("sigmoid",)
_RELU, _POOL, _FLATTEN = ("relu",), ("pool",), ("flatten",)


def _dense(*sizes: int, between: tuple[str, ...]) -> tuple[tuple[Any, ...], ...]:
    layers: list[tuple[Any, ...]] = []
    for i, o in itertools.pairwise(sizes):
        layers += [("linear", i, o), between]
    return tuple(layers[:-1])


# kind, inputs, outputs, padding; kernels are 3 by 3
_CONVNET = (("conv", 1, 32, 0), _RELU, _POOL, _FLATTEN, *_dense(5408, 128, 10, between=_RELU))
_VGG = (
    *(("conv", 3, 32, 1), _RELU, ("conv", 32, 32, 1), _RELU, _POOL),
    *(("conv", 32, 64, 1), _RELU, ("conv", 64, 64, 1), _RELU, _POOL),
    *(_FLATTEN, ("linear", 4096, 10)),
)


def _images(n: int, part: str = "step") -> dict[str, Any]:
    doing = {"step": "step", "adam": "Adam alone", "forward": "inference"}[part]
    about = f"ConvNet of slide 12, {doing}, batch {n}"
    return {"about": about, "part": part, "x": (n, 1, 28, 28), "layers": _CONVNET}


# The size a family has when its name stands alone, and what a case of a size is.
FAMILIES: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
    "linreg": (1000, lambda n: {
        "about": f"linear regression, {n} x 20",
        "loss": "mse", "x": (n, 20), "layers": (("linear", 20, 1),),
    }),
    "mlp": (455, lambda n: {
        "about": f"30-16-8-1 network of slide 5, batch {n}",
        "loss": "bce", "x": (n, 30), "layers": _dense(30, 16, 8, 1, between=_SIGMOID),
    }),
    "rosenbrock": (2, lambda n: {
        "about": f"Rosenbrock's function of {n} numbers",
        "loss": "rosenbrock",
    }),
    "convnet": (64, _images),
    "adam_convnet": (64, lambda n: _images(n, "adam")),
    "infer": (64, lambda n: _images(n, "forward")),
    "mlp_wide": (1000, lambda n: {
        "about": f"784-{n}-{n}-10 network, batch 128",
        "x": (128, 784), "layers": _dense(784, n, n, 10, between=_RELU),
    }),
    "vgg": (32, lambda n: {
        "about": f"VGG-like net, batch {n}",
        "x": (n, 3, 32, 32), "layers": _VGG,
    }),
    "chain": (500, lambda n: {
        "about": f"chain of {n} operations on 4 x 4, no update",
        "part": "gradient", "loss": "chain", "length": n,
    }),
    "ops": (4, lambda n: {
        "about": f"single operations on {n} x {n}",
        "part": "ops", "x": (n, n),
    }),
}  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "steps": (
        *("chain", "rosenbrock", "linreg", "mlp", "convnet64", "convnet256", "adam_convnet"),
        *("mlp_wide", "vgg32"),
    ),
    "inference": ("infer1", "infer64"),
    "ops": ("ops",),
    "batch": tuple(f"convnet{n}" for n in (32, 64, 128, 256, 512, 1024)),
    "width": tuple(f"mlp_wide{n}" for n in (32, 100, 320, 1000, 3200)),
    "depth": tuple(f"chain{n}" for n in (1000, 10_000, 100_000)),
}


def case(name: str) -> Case:
    """Return the case of this name: a family, and its size if not the usual one."""
    found = re.fullmatch(r"([a-z_]+?)(\d*)", name)
    if found is None or found[1] not in FAMILIES:
        raise ValueError(f"no case {name!r}; families are {', '.join(FAMILIES)}")
    usual, make = FAMILIES[found[1]]
    return Case(name, **make(int(found[2] or usual)))
