"""Make the bundled MNIST subset again from the four original files.

    python benchmarks/repack_mnist.py FOLDER_WITH_THE_IDX_FILES OUTPUT.npz

Each class keeps its share of the original set (largest remainder, ties to the smaller digit), and
its images are picked at even steps through the originals: no random numbers, and the easier and
harder writers, who come in blocks, stay in proportion.  The picked images stay in their order.
"""

from __future__ import annotations

import io
import sys
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_adam.data import load_mnist_folder

SIZES = {"train": 10_000, "test": 2_000}


def class_quotas(labels: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Share `size` among the classes in proportion to their counts in `labels`."""
    counts = np.bincount(labels)
    quotas, remainders = np.divmod(counts * size, len(labels))
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    return quotas


def pick(labels: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the rows of the subset, ascending."""
    rows = [
        np.flatnonzero(labels == digit)[np.arange(quota) * (labels == digit).sum() // quota]
        for digit, quota in enumerate(class_quotas(labels, size))
    ]
    return np.sort(np.concatenate(rows))


def write_npz(path: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Like ``numpy.savez_compressed``, but the same bytes at every run: no dates inside."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> None:
    """Read, pick, write, and show the class counts."""
    folder, output = sys.argv[1:]
    full = load_mnist_folder(folder)
    arrays = {}
    for part, size in SIZES.items():
        images, labels = getattr(full, part)
        rows = pick(labels, size)
        arrays[f"{part}_images"] = images[rows]
        arrays[f"{part}_labels"] = labels[rows].astype(np.uint8)
        print(part, np.bincount(labels[rows]).tolist())
    write_npz(output, arrays)


if __name__ == "__main__":
    main()
