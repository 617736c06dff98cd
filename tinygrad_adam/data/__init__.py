"""Data sets and mini-batches.

:func:`mnist`, :func:`breast_cancer` and :func:`linear_regression` give NumPy arrays;
:class:`DataLoader` turns any arrays into batches of Tensors, on the CPU or kept on a GPU.
"""

from .augment import Mapped, Shifted
from .datasets import breast_cancer, linear_regression, load_mnist_folder, mnist, normalize_images
from .idx import read_idx
from .loader import DataLoader, TensorDataset

__all__ = [
    "DataLoader", "Mapped", "Shifted", "TensorDataset", "breast_cancer", "linear_regression",
    "load_mnist_folder", "mnist", "normalize_images", "read_idx",
]  # fmt: skip
