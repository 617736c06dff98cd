"""What a library costs beside its steps: the import, the memory of a run, and loading the batches.

    python benchmarks/footprint.py epoch ROW IMAGES [FOLDER]

trains the deck's ConvNet for one epoch in batches of 64, in a process of its own, and writes how
long that took, how long as many steps take on one batch, and the most memory the process had.
"""

from __future__ import annotations

import gzip
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import peers
from cases import case
from measure import RowFailed, environment

BATCH = 64

# Import and first use: what is loaded lazily counts.
_IMPORT = """
import time
start = time.perf_counter()
import numpy
numpy.ones(2)
middle = time.perf_counter()
import {module} as lib
{use}
print(middle - start, time.perf_counter() - middle)
"""
_USES = {
    "torch": "lib.nn; lib.optim; lib.ones(2)",
    "tinygrad_adam": "lib.nn; lib.optim; lib.ones(2)",
    "jax": "lib.numpy.ones(2)",
    "mygrad": "lib.tensor([1.0])",
    "autograd": "import autograd.numpy",
    "tinygrad": "lib.Tensor([1.0])",
}


def _said(command: list[str], row: peers.Row) -> str:
    done = subprocess.run(
        command, env=environment(row.environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RowFailed((done.stderr.strip().splitlines() or ["no reason given"])[-1][:200])
    return done.stdout.strip().splitlines()[-1]


def import_times(rows: list[peers.Row], times: int) -> dict[str, list[float]]:
    """Return, by module, the median ms that NumPy takes and that the module takes beside it."""
    by_module = {row.module: row for row in rows}
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(times):
        for module, row in by_module.items():
            code = _IMPORT.format(module=module, use=_USES[module])
            numpy, own = map(float, _said([sys.executable, "-c", code], row).split())
            found.setdefault(module, []).append((1e3 * numpy, 1e3 * own))
    return {
        module: [statistics.median(column) for column in zip(*pairs, strict=True)]
        for module, pairs in found.items()
    }


def epoch(row: peers.Row, images: int, folder: str | None) -> dict[str, float]:
    """Return ``epoch`` and ``steps`` in seconds and ``memory`` in MiB of a run in a new process."""
    command = [sys.executable, __file__, "epoch", row.name, str(images)]
    return json.loads(_said(command + ([folder] if folder else []), row))


# --- the process of a run -----------------------------------------------------------------------


def data(images: int, folder: str | None) -> list[np.ndarray]:
    """Return images of MNIST's shape, from IDX files or random, and their labels."""
    if folder is None:
        rng = np.random.default_rng(0)
        return [rng.random((images, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, images)]
    x, y = (_idx(folder, part)[:images] for part in ("images-idx3", "labels-idx1"))
    return [x[:, None].astype(np.float32) / 255, y.astype(np.int64)]


def _idx(folder: str, part: str) -> np.ndarray:
    path = next(Path(folder).glob(f"train-{part}-ubyte*"))
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    sizes = np.frombuffer(raw, ">i4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + sizes.nbytes).reshape(sizes)


def batches(lib: Any, arrays: list[np.ndarray]) -> Any:
    """Return a loader of shuffled batches; PyTorch's in the form that picks a batch at once."""
    from_data = lib.utils.data if lib.__name__ == "torch" else lib.data
    dataset = from_data.TensorDataset(*map(lib.from_numpy, arrays))
    if lib.__name__ != "torch":
        return from_data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
    order = from_data.BatchSampler(from_data.RandomSampler(dataset), BATCH, drop_last=False)
    return from_data.DataLoader(dataset, sampler=order, batch_size=None)


def train(peer: peers.TorchLike, images: int, folder: str | None) -> dict[str, float]:
    """Train one epoch, then as many steps on one batch; return the times and the memory."""
    lib, convnet = peer.lib, case(f"convnet{BATCH}")
    loader = batches(lib, data(images, folder))
    model = peer.model(convnet)
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3, **peer.adam)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        lib.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    one = next(iter(loader))
    for _ in range(5):
        step(*one)
    start = time.perf_counter()
    for x, y in loader:
        step(x, y)
    middle = time.perf_counter()
    for _ in range(math.ceil(images / BATCH)):
        step(*one)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"epoch": middle - start, "steps": end - middle, "memory": peak / unit}


if __name__ == "__main__":
    name, images, *folder = sys.argv[2:]
    found = train(peers.ROWS[name].adapter(), int(images), folder[0] if folder else None)
    print(json.dumps(found))
