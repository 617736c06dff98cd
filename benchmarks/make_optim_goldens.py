"""Write tests/goldens/optim_torch.json.gz: what PyTorch's optimisers do, for CI without PyTorch.

    python benchmarks/make_optim_goldens.py

Every case runs one optimiser of ``torch.optim`` in float64 over a parameter of six elements, with
gradients drawn beforehand from ``numpy.random.RandomState``, whose stream NumPy keeps frozen.  The
gradients are standard normal, or scaled per element by a power of ten between -9 and 1: only those
show where an epsilon is.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

TARGET = Path(__file__).parents[1] / "tests" / "goldens" / "optim_torch.json.gz"
SHAPE = (2, 3)
STEPS = 12
# The learning rate is cut before this update: momentum that contains the rate would show here.
CUT_BEFORE, CUT = 8, 0.1

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    (
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05, "maximize": True},
    ),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.003, "weight_decay": 0.1}),
    ("RMSprop", {"maximize": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "eps": 1e-3}),
    (
        "RMSprop",
        {
            "centered": True,
            "momentum": 0.5,
            "weight_decay": 0.1,
            "maximize": True,
            "eps": 1e-2,
            "alpha": 0.8,
        },
    ),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.999)}),
    ("Adam", {"betas": (0.9, 0.0)}),
    ("Adam", {"betas": (0.4, 0.5), "eps": 1e-6}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"maximize": True}),
    ("Adam", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {"amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"amsgrad": True, "betas": (0.5, 0.7), "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "lr": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.0}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True, "betas": (0.9, 0.6)}),
    (
        "AdamW",
        {"lr": 0.1, "weight_decay": 0.5, "maximize": True, "amsgrad": True, "betas": (0.3, 0.8)},
    ),
]


def gradients(seed: int, scaled: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the initial parameter and the gradients; the tests repeat this."""
    rs = np.random.RandomState(seed)
    p = rs.standard_normal(SHAPE)
    scale = 10 ** rs.uniform(-9, 1, SHAPE) if scaled else 1.0
    return p, [rs.standard_normal(SHAPE) * scale for _ in range(STEPS)]


def run(name: str, settings: dict[str, Any], seed: int, scaled: bool) -> dict[str, Any]:
    """Return the parameter after every update, and the state after the last."""
    start, grads = gradients(seed, scaled)
    p = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, name)([p], **settings, foreach=False)
    path = []
    for k, g in enumerate(grads, start=1):
        if k == CUT_BEFORE:
            optimizer.param_groups[0]["lr"] *= CUT
        p.grad = torch.tensor(g)
        optimizer.step()
        path.append(p.detach().flatten().tolist())
    state = {
        key: value.item() if key == "step" else value.flatten().tolist()
        for key, value in optimizer.state[p].items()
        if value is not None
    }
    case = {"optimizer": name, "settings": settings, "seed": seed, "scaled": scaled}
    return case | {"path": path, "state": state}


def main() -> None:
    cases = [
        run(name, settings, seed, scaled)
        for seed, (name, settings) in enumerate(CONFIGS)
        for scaled in (False, True)
    ]
    document = {
        "torch": torch.__version__,
        "shape": SHAPE,
        "steps": STEPS,
        "cut_before": CUT_BEFORE,
        "cut": CUT,
        "cases": cases,
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(cases)} cases, {TARGET.stat().st_size} bytes: {TARGET}")


if __name__ == "__main__":
    main()
