"""Data sets and mini-batches.

:func:`mnist`, :func:`breast_cancer` and :func:`linear_regression` give NumPy arrays;
:class:`DataLoader` turns any arrays, or a :class:`Dataset` of one's own, into batches of Tensors,
on the CPU or on a GPU.
"""

from .augment import Mapped, Shifted
from .dataset import Dataset, Subset, TensorDataset, collate, random_split
from .datasets import breast_cancer, linear_regression, load_mnist_folder, mnist, normalize_images
from .idx import read_idx
from .loader import DataLoader

__all__ = [
    "DataLoader", "Dataset", "Mapped", "Shifted", "Subset", "TensorDataset", "breast_cancer",
    "collate", "linear_regression", "load_mnist_folder", "mnist", "normalize_images",
    "random_split", "read_idx",
]  # fmt: skip
