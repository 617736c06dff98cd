"""Data sets ready to train on: MNIST, and the two tables of the classic Adam exercises.

Everything comes back as NumPy arrays; :class:`~tinygrad_adam.data.DataLoader` makes Tensors and
batches of them.
"""

from __future__ import annotations

import numbers
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..device import Array, device_guard
from ..errors import ArgumentError, DataError, DTypeError, ShapeError
from ..packages import needed
from .dataset import in_short
from .idx import as_path, read_idx

__all__ = [
    "Pair", "Split", "breast_cancer", "linear_regression", "load_mnist_folder", "mnist",
    "normalize_images",
]  # fmt: skip

_BUNDLED = Path(__file__).parent / "_bundled" / "mnist.npz"
_BUNDLED_CONTENT = {
    "train_images": (10_000, 28, 28),
    "train_labels": (10_000,),
    "test_images": (2_000, 28, 28),
    "test_labels": (2_000,),
}


class Pair(NamedTuple):
    """Inputs and targets, equally long; shown by their types and shapes."""

    inputs: NDArray[Any]
    targets: NDArray[Any]

    def __repr__(self) -> str:
        return f"Pair(inputs={in_short(self.inputs)}, targets={in_short(self.targets)})"


class Split(NamedTuple):
    """A data set in two parts, each a pair (inputs, targets).

    Unpacks as ``(x_train, y_train), (x_test, y_test) = split``.
    """

    train: Pair
    test: Pair


# --- MNIST --------------------------------------------------------------------------------------


def mnist(folder: str | os.PathLike[str] | None = None) -> Split:
    """Return the MNIST handwritten digits [1]_.

    Parameters
    ----------
    folder : str or path-like, optional
        Where the four original IDX files are, for the full 60 000 + 10 000 images (see
        `load_mnist_folder`).  When left out, the subset that comes with the package: 10 000 +
        2 000 images spread evenly over the originals, each digit as frequent as there.

    Returns
    -------
    Split
        ``train`` and ``test``, each (images, labels): uint8 (N, 28, 28) and int64 (N,).  The
        arrays are new at every call.

    Raises
    ------
    DataError
        If a file is missing or corrupt.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
       recognition", Proc. IEEE 86(11), 1998.

    Examples
    --------
    >>> mnist().test
    Pair(inputs=uint8 (2000, 28, 28), targets=int64 (2000,))
    >>> (x, y), (x_test, y_test) = mnist()
    >>> x.shape, x.dtype, y[:5]
    ((10000, 28, 28), dtype('uint8'), array([5, 0, 4, 1, 9]))
    """
    return _load_bundled(_BUNDLED) if folder is None else load_mnist_folder(folder)


def _load_bundled(path: Path) -> Split:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in _BUNDLED_CONTENT:
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        NotImplementedError,  # a damaged entry may name a compression or version unknown to us
        RuntimeError,  # or claim to be encrypted
        MemoryError,  # or to be huge
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"the bundled MNIST subset {path} is missing or corrupt ({error!r}); "
            "reinstall tinygrad-adam"
        ) from error
    for name, shape in _BUNDLED_CONTENT.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.uint8:
            raise DataError(
                f"the bundled MNIST subset {path} is corrupt: expected {name} uint8 {shape}, "
                f"got {array.dtype} {array.shape}; reinstall tinygrad-adam"
            )
    return Split(
        _checked_pair(arrays["train_images"], arrays["train_labels"], f"{path} train"),
        _checked_pair(arrays["test_images"], arrays["test_labels"], f"{path} test"),
    )


def load_mnist_folder(folder: str | os.PathLike[str]) -> Split:
    """Read the four MNIST files, or those of a drop-in such as Fashion-MNIST, from `folder`.

    Parameters
    ----------
    folder : str or path-like
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same two with
        ``t10k``; each may end in ``.gz`` and may have a dot for the dash before ``idx``.  Where a
        file is there unpacked and packed, the unpacked one is read.

    Returns
    -------
    Split
        ``train`` and ``test``, each (images, labels): uint8 (N, H, W) and int64 (N,).

    Raises
    ------
    DataError
        If a file is missing or corrupt, is not uint8 of the right number of dimensions, there
        are no images, the numbers of images and labels differ, a label is not 0 to 9, or train
        and test images differ in size.

    Examples
    --------
    >>> load_mnist_folder("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    tinygrad_adam.errors.DataError: no such folder: no/such/folder; expected ...
    """
    folder = as_path(folder)
    train, test = (
        _checked_pair(
            read_idx(_find(folder, f"{part}-images", "idx3-ubyte")),
            read_idx(_find(folder, f"{part}-labels", "idx1-ubyte")),
            f"{folder} {part}",
        )
        for part in ("train", "t10k")
    )
    for part, (images, _) in (("training", train), ("test", test)):
        if not images.size:
            raise DataError(f"{folder}: there are no {part} images, their shape is {images.shape}")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"{folder}: train images are {train[0].shape[1:]} but t10k images are "
            f"{test[0].shape[1:]}; the four files must be of one data set"
        )
    return Split(train, test)


def _find(folder: Path, stem: str, suffix: str) -> Path:
    """Return the first of the usual spellings of a file name that is there."""
    names = [f"{stem}{dot}{suffix}{gz}" for gz in ("", ".gz") for dot in "-."]
    try:
        for name in names:
            if (folder / name).is_file():
                return folder / name
        present = folder.is_dir()
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror or error}") from error
    if not present:
        problem = "not a folder" if folder.exists() else "no such folder"
        raise DataError(
            f"{problem}: {folder}; expected one with train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, "
            "each with or without .gz"
        )
    raise DataError(f"no such file: {folder / names[0]}; expected one of {', '.join(names)}")


def _checked_pair(images: NDArray[Any], labels: NDArray[Any], where: str) -> Pair:
    for what, array, ndim in (("images", images, 3), ("labels", labels, 1)):
        if array.dtype != np.uint8 or array.ndim != ndim:
            raise DataError(
                f"{where} {what}: expected uint8 with {ndim} dimension(s), "
                f"got {array.dtype} of shape {array.shape}"
            )
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images)} images but {len(labels)} labels")
    if (labels > 9).any():
        raise DataError(f"{where}: labels must be 0 to 9, got a {labels.max()}")
    return Pair(images, labels.astype(np.int64))


def normalize_images(images: Array) -> Array:
    r"""Scale grey images to [0, 1] and give them a channel axis: :math:`x / 255`.

    The same values, to the last bit, as torchvision's ``ToTensor``.

    Parameters
    ----------
    images : numpy.ndarray or cupy.ndarray
        uint8 of shape (N, H, W).

    Returns
    -------
    numpy.ndarray or cupy.ndarray
        New float32 array (N, 1, H, W), on the device of `images`.

    Raises
    ------
    DTypeError
        If `images` is no array or not uint8; dividing by 255 twice is a common silent mistake.
    ShapeError
        If `images` has not three dimensions.

    Examples
    --------
    >>> normalize_images(np.array([[[0, 51], [102, 255]]], dtype=np.uint8))
    array([[[[0. , 0.2],
             [0.4, 1. ]]]], dtype=float32)
    """
    if not isinstance(images, np.ndarray) and not hasattr(images, "__cuda_array_interface__"):
        raise DTypeError(
            f"normalize_images expects a NumPy or CuPy array, got {type(images).__name__}; "
            "of a Tensor it is .data"
        )
    if images.dtype != np.uint8:
        raise DTypeError(
            f"normalize_images expects uint8 images, got {images.dtype} of shape "
            f"{images.shape}; float images are taken to be scaled already"
        )
    if images.ndim != 3:
        raise ShapeError(f"normalize_images expects images (N, H, W), got shape {images.shape}")
    with device_guard(images):
        scaled = images[:, None].astype(np.float32)
        scaled /= 255
    return scaled


# --- tables from scikit-learn -------------------------------------------------------------------


def _sklearn(caller: str, *modules: str) -> list[Any]:
    return [needed(f"sklearn.{module}", caller) for module in modules]


def breast_cancer(test_size: float = 0.2, seed: int = 42, *, leaky: bool = False) -> Split:
    r"""Return the Wisconsin breast cancer table, standardised: 30 features, two classes.

    Each feature becomes :math:`(x - \mu) / \sigma`, with mean and deviation of the training rows.

    Parameters
    ----------
    test_size : float
        Share of the 569 rows that goes to the test part, between 0 and 1.
    seed : int
        Fixes which rows these are; 0 to 2**32 - 1.
    leaky : bool
        Take mean and deviation over all rows, the test rows too.  Many tutorials do; it lets
        the test part leak into training, so use it only to repeat their numbers.

    Returns
    -------
    Split
        ``train`` and ``test``, each (features, targets): float64 (N, 30) and float64 (N, 1),
        where 1 is benign.

    Raises
    ------
    ArgumentError
        If `test_size` is not between 0 and 1 or leaves a part empty, or `seed` is out of range.
    MissingPackageError
        If scikit-learn is not installed.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = breast_cancer()
    >>> x.shape, y.shape, x_test.shape
    ((455, 30), (455, 1), (114, 30))
    """
    if not isinstance(test_size, numbers.Real):
        raise ArgumentError(f"test_size must be between 0 and 1, got {test_size!r}")
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise ArgumentError(f"seed must be an integer between 0 and 2**32 - 1, got {seed!r}")
    datasets, preprocessing, selection = _sklearn(
        "breast_cancer", "datasets", "preprocessing", "model_selection"
    )
    x, y = datasets.load_breast_cancer(return_X_y=True)
    # scikit-learn rounds the test part up.
    if not 0 < test_size < 1 or int(np.ceil(test_size * len(x))) >= len(x):
        raise ArgumentError(
            f"test_size must be between 0 and 1 and leave rows to train on, got {test_size}"
        )
    y = y.reshape(-1, 1).astype(np.float64)
    x_train, x_test, y_train, y_test = selection.train_test_split(
        x, y, test_size=test_size, random_state=seed
    )
    scaler = preprocessing.StandardScaler().fit(x if leaky else x_train)
    train, test = Pair(scaler.transform(x_train), y_train), Pair(scaler.transform(x_test), y_test)
    return Split(train, test)


def linear_regression() -> Pair:
    """Return a made-up linear regression: 20 standardised features, noise of deviation 0.1.

    ``make_regression(1000, 20, noise=0.1, random_state=42)`` of scikit-learn; 10 of the 20
    features have a weight.

    Returns
    -------
    Pair
        ``inputs``, float64 (1000, 20), each column of mean 0 and deviation 1; and ``targets``,
        float64 (1000, 1).

    Raises
    ------
    MissingPackageError
        If scikit-learn is not installed.

    Examples
    --------
    >>> x, y = linear_regression()
    >>> x.shape, y.shape
    ((1000, 20), (1000, 1))
    """
    datasets, preprocessing = _sklearn("linear_regression", "datasets", "preprocessing")
    x, y = datasets.make_regression(n_samples=1000, n_features=20, noise=0.1, random_state=42)
    return Pair(preprocessing.StandardScaler().fit_transform(x), y.reshape(-1, 1))
