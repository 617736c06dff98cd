"""Data sets, the IDX reader and the loader."""

from __future__ import annotations

import gzip
import itertools
import os
import struct
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam.cuda import is_available as cuda_is_available
from tinygrad_adam.data import (
    DataLoader,
    Dataset,
    Shifted,
    Subset,
    TensorDataset,
    breast_cancer,
    collate,
    datasets,
    linear_regression,
    load_mnist_folder,
    mnist,
    normalize_images,
    random_split,
    read_idx,
)
from tinygrad_adam.data import dataset as dataset_module
from tinygrad_adam.data import loader as loader_module
from tinygrad_adam.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    MissingPackageError,
    OutOfRangeError,
    ShapeError,
)
from tinygrad_adam.random import Generator, default_generator

IDX_CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, IDX_CODES[array.dtype.name], array.ndim])
    header += struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


# --- the bundled subset -------------------------------------------------------------------------


def test_bundled_shapes_types_and_exact_class_counts():
    split = mnist()
    for (images, labels), n in ((split.train, 10_000), (split.test, 2_000)):
        assert images.shape == (n, 28, 28)
        assert images.dtype == np.uint8
        assert labels.shape == (n,)
        assert labels.dtype == np.int64
        assert images.max(axis=(1, 2)).min() > 150  # no image is blank
    # The full sets have 5923 6742 5958 6131 5842 5421 5918 6265 5851 5949 and
    # 980 1135 1032 1010 982 892 958 1028 974 1009: a sixth and a fifth of each, rounded.
    train = [987, 1124, 993, 1022, 974, 904, 986, 1044, 975, 991]
    test = [196, 227, 206, 202, 196, 178, 192, 206, 195, 202]
    assert np.bincount(split.train[1]).tolist() == train
    assert np.bincount(split.test[1]).tolist() == test


def test_bundled_images_are_distinct_and_look_like_mnist():
    (images, _), (test_images, _) = mnist()
    rows = {image.tobytes() for image in itertools.chain(images, test_images)}
    assert len(rows) == 12_000
    # 0.1307 and 0.3081 are the well-known mean and deviation of the full training set.
    scaled = normalize_images(images)
    assert scaled.mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-3)
    assert scaled.std(dtype=np.float64) == pytest.approx(0.3081, abs=1e-3)


def test_bundled_arrays_are_new_at_every_call():
    images, labels = mnist().train
    images[:], labels[:] = 0, 0
    fresh_images, fresh_labels = mnist().train
    assert fresh_images.any()
    assert fresh_labels.any()


def test_licence_lies_beside_the_subset():
    text = datasets._BUNDLED.with_name("LICENSE-MNIST.txt").read_text()
    for words in ("Yann LeCun", "Corinna Cortes", "Attribution-ShareAlike 3.0", "subset, repacked"):
        assert words in text


def saved(path: Path, **changes: np.ndarray | None) -> Path:
    arrays = {n: np.zeros(s, np.uint8) for n, s in datasets._BUNDLED_CONTENT.items()} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_a_well_formed_bundle_loads(tmp_path):
    assert datasets._load_bundled(saved(tmp_path / "m.npz")).test[0].shape == (2000, 28, 28)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "train_labels"),
        ({"test_images": np.zeros((2000, 28, 27), np.uint8)}, r"\(2000, 28, 28\).*28, 27"),
        ({"test_labels": np.zeros(2000, np.int64)}, "expected test_labels uint8.*int64"),
        ({"train_labels": np.full(10_000, 10, np.uint8)}, "0 to 9, got a 10"),
        ({"train_labels": np.array([{}] * 10_000)}, "missing or corrupt"),  # a pickle
    ],
)
def test_a_bundle_with_wrong_content_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        datasets._load_bundled(saved(tmp_path / "m.npz", **changes))


@pytest.mark.parametrize("keep", [0, 3, 1000, 1_000_000, -30, -1])
def test_a_truncated_bundle_is_refused(tmp_path, keep):
    path = tmp_path / "m.npz"
    path.write_bytes(datasets._BUNDLED.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"m\.npz is missing or corrupt.*reinstall"):
        datasets._load_bundled(path)


@pytest.mark.parametrize("position", [4, 8, 18, 26, 40, 60, 5_000, 1_000_000, -1000, -40, -10])
def test_a_flipped_bit_in_the_bundle_never_gives_wrong_data(tmp_path, position):
    content = bytearray(datasets._BUNDLED.read_bytes())
    content[position] ^= 1
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    try:
        split = datasets._load_bundled(path)
    except DataError:
        return
    for part, reference in zip(split, mnist(), strict=True):
        for array, expected in zip(part, reference, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_a_missing_bundle_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.npz is missing"):
        datasets._load_bundled(tmp_path / "gone.npz")


# --- IDX ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", IDX_CODES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_round_trip(tmp_path, dtype, shape, packed):
    rng = np.random.default_rng(3)
    if dtype.startswith("float"):
        array = rng.standard_normal(shape).astype(dtype)
    else:
        info = np.iinfo(dtype)
        array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    array = np.asarray(array)
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    back = read_idx(str(path))
    np.testing.assert_array_equal(back, array, strict=True)
    assert back.dtype.isnative
    assert back.flags.writeable
    assert back.flags.c_contiguous


GOOD = idx_bytes(np.arange(24, dtype=np.int16).reshape(2, 3, 4))  # 16 bytes header, 48 of data
PACKED = gzip.compress(GOOD, mtime=0)
BROKEN = {
    "empty": (b"", "expected at least 4 bytes, got 0"),
    "three bytes": (GOOD[:3], "expected at least 4 bytes, got 3"),
    "web page": (b"<!DOCTYPE html>", "expected it to start with 00 00, got 3c 21 44 4f"),
    "magic": (b"\x00\x01" + GOOD[2:], "expected it to start with 00 00, got 00 01 0b 03"),
    "element type": (b"\x00\x00\x0a" + GOOD[3:], "element type 0x0a; expected one of 0x08"),
    "no sizes": (GOOD[:12], "a header of 3 dimensions takes 16 bytes, got 12"),
    "one short": (GOOD[:-1], r"truncated.*\(2, 3, 4\) of int16, expected 64 bytes, got 63"),
    "no data": (GOOD[:16], "truncated.*expected 64 bytes, got 16"),
    "one more": (GOOD + b"\x00", "trailing bytes.*expected 64 bytes, got more"),
    "huge": (bytes([0, 0, 8, 2]) + b"\xff" * 8, "expected 18446744065119617037 bytes, got 12"),
    "huge and empty": (bytes([0, 0, 8, 4]) + b"\xff" * 12 + bytes(4), "NumPy cannot hold shape"),
    "70 dimensions": (bytes([0, 0, 8, 70]) + bytes(280), "NumPy cannot hold shape"),
    "gzip cut": (PACKED[:-5], "corrupt or truncated gzip"),
    "gzip header cut": (PACKED[:6], "corrupt or truncated gzip"),
    "gzip and junk": (PACKED + b"junk", "corrupt or truncated gzip"),
    "gzip checksum": (PACKED[:-8] + b"\x00" * 4 + PACKED[-4:], "corrupt or truncated gzip"),
    "gzip data": (PACKED[:10] + b"\xff" * 20, "corrupt or truncated gzip"),
    "gzip of a short file": (gzip.compress(GOOD[:-1], mtime=0), "expected 64 bytes, got 63"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_idx_file_is_refused(tmp_path, name):
    content, message = BROKEN[name]
    path = tmp_path / "digits.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_no_more_is_unpacked_than_the_header_says(tmp_path):
    # 60 kB that unpack to 60 MB behind a header of 24 numbers.
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(60_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"trailing bytes.*expected 64 bytes, got more"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_no_more_memory_is_taken_than_the_file_has(tmp_path):
    path = tmp_path / "promises.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2]) + b"\x7f" * 8))
    with pytest.raises(DataError, match=r"truncated.*got 12"):
        read_idx(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", os.devnull):
        with pytest.raises(DataError, match=r"cannot read .*: not a regular file"):
            read_idx(path)


def test_a_path_that_is_none():
    with pytest.raises(DataError, match=r"cannot read 'a\\x00b': embedded null"):
        read_idx("a\0b")
    for read in (read_idx, load_mnist_folder, mnist):
        with pytest.raises(ArgumentError, match=r"is a string or a pathlib\.Path, got 3"):
            read(3)


def test_idx_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*nothing"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot read"):
        read_idx(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- a folder of four files ---------------------------------------------------------------------


NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


@pytest.fixture
def four():
    rng = np.random.default_rng(5)
    return {
        "train_images": rng.integers(0, 256, (12, 5, 6), dtype=np.uint8),
        "train_labels": rng.integers(0, 10, 12, dtype=np.uint8),
        "test_images": rng.integers(0, 256, (4, 5, 6), dtype=np.uint8),
        "test_labels": rng.integers(0, 10, 4, dtype=np.uint8),
    }


def write_folder(folder: Path, arrays: dict[str, np.ndarray], *, dot=False, packed=False) -> Path:
    for key, array in arrays.items():
        name = NAMES[key].replace("-idx", ".idx") if dot else NAMES[key]
        content = idx_bytes(array)
        if packed:
            name, content = f"{name}.gz", gzip.compress(content)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_folder_with_every_spelling(tmp_path, four, dot, packed):
    folder = write_folder(tmp_path, four, dot=dot, packed=packed)
    for split in (load_mnist_folder(folder), mnist(str(folder))):
        np.testing.assert_array_equal(split.train[0], four["train_images"], strict=True)
        np.testing.assert_array_equal(split.test[0], four["test_images"], strict=True)
        for labels, key in ((split.train[1], "train_labels"), (split.test[1], "test_labels")):
            np.testing.assert_array_equal(labels, four[key].astype(np.int64), strict=True)


def test_folder_prefers_the_unpacked_file_and_skips_a_folder_of_that_name(tmp_path, four):
    write_folder(tmp_path, four)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"broken")
    assert len(load_mnist_folder(tmp_path).train[0]) == 12
    write_folder(tmp_path, four, packed=True)
    (tmp_path / NAMES["test_images"]).unlink()
    (tmp_path / NAMES["test_images"]).mkdir()
    assert len(load_mnist_folder(tmp_path).test[0]) == 4


@pytest.mark.parametrize("key", NAMES)
def test_folder_names_the_missing_file(tmp_path, four, key):
    del four[key]
    write_folder(tmp_path, four)
    dotted = NAMES[key].replace("-idx", ".idx")
    with pytest.raises(DataError, match="no such file") as caught:
        load_mnist_folder(tmp_path)
    assert str(tmp_path / NAMES[key]) in str(caught.value)
    assert f"one of {NAMES[key]}, {dotted}, {NAMES[key]}.gz, {dotted}.gz" in str(caught.value)


def test_missing_folder_names_the_four_files(tmp_path):
    with pytest.raises(DataError, match="no such folder") as caught:
        load_mnist_folder(tmp_path / "none")
    assert all(name in str(caught.value) for name in NAMES.values())


def test_what_is_no_readable_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"not a folder: .*file; expected one with train"):
        load_mnist_folder(tmp_path / "file")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=f"cannot read {tmp_path}: Permission denied"):
        load_mnist_folder(tmp_path)


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("train_labels", np.zeros(11, np.uint8), "train: 12 images but 11 labels"),
        ("test_labels", np.array([1, 2, 10, 3], np.uint8), "t10k: labels must be 0 to 9, got a 10"),
        ("test_labels", np.zeros(4, np.int32), "t10k labels: expected uint8.*got int32"),
        ("test_labels", np.zeros((4, 1), np.uint8), r"1 dimension.*\(4, 1\)"),
        ("train_images", np.zeros((12, 30), np.uint8), r"3 dimension.*\(12, 30\)"),
        ("train_images", np.zeros((12, 5, 6), np.float32), "train images: expected uint8.*float32"),
        ("test_images", np.zeros((4, 0, 6), np.uint8), "there are no test images"),
        ("test_images", np.zeros((4, 6, 5), np.uint8), r"\(5, 6\) but t10k images are \(6, 5\)"),
    ],
)
def test_folder_with_content_that_does_not_fit_is_refused(tmp_path, four, key, array, message):
    with pytest.raises(DataError, match=message):
        load_mnist_folder(write_folder(tmp_path, four | {key: array}))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_without_images_is_refused(tmp_path, four, part):
    none = {
        f"{part}_images": np.zeros((0, 5, 6), np.uint8),
        f"{part}_labels": np.zeros(0, np.uint8),
    }
    with pytest.raises(DataError, match=rf"no {part}(ing)? images, their shape is \(0, 5, 6\)"):
        mnist(write_folder(tmp_path, four | none))


def test_repacking_picks_even_steps_with_exact_class_shares(tmp_path, monkeypatch):
    script = Path(__file__).parents[1] / "benchmarks" / "repack_mnist.py"
    if not script.exists():
        pytest.skip("benchmarks/ is not part of an installed package")
    monkeypatch.syspath_prepend(str(script.parent))
    import repack_mnist

    labels = np.array([0] * 5 + [1] * 3 + [2] * 2)
    assert repack_mnist.class_quotas(labels, 5).tolist() == [3, 1, 1]  # ties to the smaller digit
    assert repack_mnist.pick(labels, 5).tolist() == [0, 1, 3, 5, 8]
    for path in (tmp_path / "a.npz", tmp_path / "b.npz"):
        repack_mnist.write_npz(str(path), {"x": labels})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["x"], labels)


# --- scaling ------------------------------------------------------------------------------------


def test_normalize_images_equals_the_correctly_rounded_quotient():
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    scaled = normalize_images(images)
    assert scaled.shape == (4, 1, 8, 8)
    expected = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_array_equal(scaled.ravel(), expected, strict=True)
    assert images[0, 0, 1] == 1


@pytest.mark.oracle
def test_normalize_images_equals_torch():
    torch = pytest.importorskip("torch")
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    # What torchvision's ToTensor does, image by image.
    expected = torch.from_numpy(images)[:, None].to(torch.float32).div(255).numpy()
    np.testing.assert_array_equal(normalize_images(images), expected, strict=True)


def test_normalize_images_refuses_other_types_and_shapes():
    with pytest.raises(DTypeError, match="expects uint8 images, got float32"):
        normalize_images(np.zeros((2, 28, 28), np.float32))
    with pytest.raises(ShapeError, match=r"expects images \(N, H, W\), got shape \(28, 28\)"):
        normalize_images(np.zeros((28, 28), np.uint8))
    for images in (tg.tensor(np.zeros((2, 28, 28), np.uint8)), [[[0]]], None):
        with pytest.raises(DTypeError, match=f"a NumPy or CuPy array, got {type(images).__name__}"):
            normalize_images(images)


# --- tables -------------------------------------------------------------------------------------


def test_breast_cancer_scales_by_the_training_rows_only():
    pytest.importorskip("sklearn")
    (x, y), (x_test, y_test) = breast_cancer()
    assert (x.shape, y.shape) == ((455, 30), (455, 1))
    assert (x_test.shape, y_test.shape) == ((114, 30), (114, 1))
    assert all(array.dtype == np.float64 for array in (x, y, x_test, y_test))
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-12)
    assert abs(x_test.mean(axis=0)).max() > 0.01
    assert set(np.unique(y)) == {0.0, 1.0}
    assert 1 - y_test.mean() == pytest.approx(43 / 114)


def test_breast_cancer_leaky_is_the_usual_tutorial_to_the_bit():
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    expected = train_test_split(
        StandardScaler().fit_transform(data.data),
        data.target.reshape(-1, 1),
        test_size=0.2,
        random_state=42,
    )
    (x, y), (x_test, y_test) = breast_cancer(leaky=True)
    for array, reference in zip((x, x_test, y, y_test), expected, strict=True):
        np.testing.assert_array_equal(array, reference)
    # The same rows are in the same part either way.
    np.testing.assert_array_equal(breast_cancer().test[1], y_test)


def test_breast_cancer_seed_and_size():
    pytest.importorskip("sklearn")
    assert len(breast_cancer(test_size=0.5).train[0]) == 284
    assert not np.array_equal(breast_cancer(seed=1).test[0], breast_cancer(seed=2).test[0])


@pytest.mark.parametrize("seed", [-1, 2**32, "a", 1.5, True, None])
def test_breast_cancer_refuses_a_seed_that_is_none(seed):
    with pytest.raises(ArgumentError, match=r"seed must be an integer between 0 and 2\*\*32 - 1"):
        breast_cancer(seed=seed)


@pytest.mark.parametrize("test_size", [0, 1, -0.1, 1.5, 0.9999, float("nan"), "a", None, [0.2]])
def test_breast_cancer_refuses_an_empty_part(test_size):
    pytest.importorskip("sklearn")
    with pytest.raises(ArgumentError, match="test_size must be between 0 and 1"):
        breast_cancer(test_size=test_size)


def test_linear_regression_has_the_known_least_squares_solution():
    pytest.importorskip("sklearn")
    x, y = linear_regression()
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((1000, 20), (1000, 1), np.float64, np.float64)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-12)
    assert y.var() == pytest.approx(37910.28625786797, rel=1e-12)
    design = np.hstack([x, np.ones((1000, 1))])
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    assert np.square(design @ weights - y).mean() == pytest.approx(0.010183269710035418, rel=1e-9)
    assert (abs(weights[:20]) > 1).sum() == 10


@pytest.mark.parametrize("function", [breast_cancer, linear_regression])
def test_tables_without_scikit_learn(monkeypatch, function):
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    words = f"{function.__name__} needs the scikit-learn package; .*pip install scikit-learn"
    with pytest.raises(MissingPackageError, match=words):
        function()


def test_importing_data_loads_no_scikit_learn():
    code = (
        "import sys, tinygrad_adam.data; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'sklearn', 'scipy', 'cupy'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- TensorDataset ------------------------------------------------------------------------------


def test_dataset_indexing():
    x = np.arange(12.0).reshape(6, 2)
    y = np.arange(6, dtype=np.int32)
    dataset = TensorDataset(x, tg.tensor(y))
    assert len(dataset) == 6
    assert str(dataset.device) == "cpu"
    for index in (2, -1, -6, np.int64(3), slice(1, 5, 2), [4, 0, -2], np.array([5, 5]), []):
        xs, ys = dataset[index]
        rows = np.array(index, np.int64) if isinstance(index, list) else index
        assert isinstance(xs, tg.Tensor)
        np.testing.assert_array_equal(xs.numpy(), x[rows], strict=True)
        np.testing.assert_array_equal(ys.numpy(), y.astype(np.int64)[rows])
        assert ys.dtype == np.int64
    np.testing.assert_array_equal(dataset[tg.tensor([1, 3])][0].numpy(), x[[1, 3]])
    assert len(list(dataset)) == 6  # the sequence protocol stops at IndexError


@pytest.mark.parametrize("index", [6, -7, [0, 6], np.array([-7])])
def test_dataset_index_out_of_range(index):
    with pytest.raises(OutOfRangeError, match="out of range: the data set has 6 samples"):
        TensorDataset(np.zeros(6))[index]


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (1.0, DTypeError),
        (True, DTypeError),
        ("a", DTypeError),
        (np.ones(6, bool), DTypeError),
        (np.zeros((2, 2), int), ShapeError),
        (np.array(3), ShapeError),
        ([1, [2]], ShapeError),
        (slice("a", 2), DTypeError),
        (slice(1.5), DTypeError),
        (slice(None, None, 0), ArgumentError),
    ],
)
def test_dataset_index_of_the_wrong_kind(index, error):
    with pytest.raises(error):
        TensorDataset(np.zeros(6))[index]


def test_lists_become_what_tensor_makes_of_them():
    x, y = TensorDataset([[0.5, 1], [2, 3]], [1, 2])[:]
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    assert x.tolist() == [[0.5, 1.0], [2.0, 3.0]]


def test_dataset_takes_a_parameter_without_its_gradient():
    weight = tg.tensor([1.0, 2.0], requires_grad=True)
    (item,) = TensorDataset(weight)[[1]]
    assert item.tolist() == [2.0]
    assert not item.requires_grad


def test_dataset_shares_memory_and_hands_out_copies():
    x = np.arange(6.0)
    dataset = TensorDataset(x)
    assert np.shares_memory(dataset.arrays[0], x)
    tensor = tg.tensor(x)
    assert np.shares_memory(TensorDataset(tensor).arrays[0], tensor.data)
    for index in (1, slice(None), [0, 1]):
        (item,) = dataset[index]
        item.data[...] = 99
    np.testing.assert_array_equal(x, np.arange(6.0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.zeros(3, np.float16), np.float16),
        (np.zeros(3, np.float32), np.float32),
        (np.zeros(3, ">f8"), np.float64),
        (np.zeros(3, bool), np.bool_),
        (np.zeros(3, np.uint8), np.int64),
        (np.zeros((3, 4, 4), np.uint8), np.uint8),
        (np.zeros((3, 2), np.int16), np.int64),
        (np.zeros(3, ">u4"), np.int64),
    ],
)
def test_element_types(given, expected):
    (item,) = TensorDataset(given)[:]
    assert item.dtype == np.dtype(expected)
    assert item.data.dtype.isnative


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ((), ArgumentError, "at least one array"),
        ((np.zeros(3), np.zeros((4, 2))), ShapeError, r"\[3, 4\] \(shapes \(3,\), \(4, 2\)\)"),
        ((np.zeros(3), np.float32(1)), ShapeError, "item 1 of the data set is 0-d"),
        ((np.zeros(3), 5), ShapeError, "item 1 of the data set is 0-d"),
        ((np.array(["a", "b"]),), DTypeError, "item 0 .*expected a float, bool"),
        ((np.zeros(3, complex),), DTypeError, "complex128"),
        ((np.zeros(3, np.uint64),), DTypeError, "uint64"),
        (([[1, 2], [3]],), ShapeError, "inhomogeneous"),
    ],
)
def test_dataset_refuses(arrays, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*arrays)


# --- DataLoader ---------------------------------------------------------------------------------


@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)
def test_an_epoch_visits_each_sample_once(n, batch_size, shuffle, drop_last, seed):
    x = np.arange(n, dtype=np.float32).reshape(n, 1) * 2
    y = np.arange(n)
    x_before, y_before = x.copy(), y.copy()

    def make() -> DataLoader:
        return DataLoader(
            (x, y), batch_size, shuffle, drop_last=drop_last, generator=Generator(seed)
        )

    if drop_last and batch_size > n:
        with pytest.raises(ArgumentError, match=f"batch_size is {batch_size} .* {n} samples"):
            make()
        return
    loader = make()
    batches = list(loader)
    assert len(batches) == len(loader) == (n // batch_size if drop_last else -(-n // batch_size))
    sizes = [len(yb) for _, yb in batches]
    assert set(sizes[:-1]) <= {batch_size}
    assert sizes[-1] == (batch_size if drop_last else (n - 1) % batch_size + 1)
    visited = np.concatenate([yb.numpy() for _, yb in batches])
    assert len(visited) == (n // batch_size * batch_size if drop_last else n)
    assert max(Counter(visited.tolist()).values()) == 1
    for xb, yb in batches:  # rows stay together
        assert xb.shape == (len(yb), 1)
        np.testing.assert_array_equal(xb.numpy()[:, 0], 2 * yb.numpy())
    if not shuffle:
        np.testing.assert_array_equal(visited, np.arange(len(visited)))
    again = np.concatenate([yb.numpy() for _, yb in make()])
    np.testing.assert_array_equal(again, visited)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


def order(loader: DataLoader) -> list[int]:
    return [i for (batch,) in loader for i in batch.tolist()]


def test_epochs_differ_and_a_seed_fixes_all_of_them():
    def epochs(seed: int) -> list[list[int]]:
        loader = DataLoader((np.arange(50),), 8, shuffle=True, generator=Generator(seed))
        return [order(loader) for _ in range(4)]

    first = epochs(3)
    assert len({tuple(epoch) for epoch in first}) == 4
    assert epochs(3) == first
    assert epochs(4) != first


def test_manual_seed_fixes_the_default_order():
    loader = DataLoader((np.arange(50),), 8, shuffle=True)
    tg.manual_seed(11)
    first = order(loader), order(loader)
    tg.manual_seed(11)
    assert (order(loader), order(loader)) == first
    assert order(loader) not in first
    own = DataLoader((np.arange(50),), 8, shuffle=True, generator=Generator(11))
    assert (order(own), order(own)) == first


def test_the_order_of_a_seed_is_fixed_for_good():
    # Changing this changes every published run; it depends on NumPy's Philox and permutation only.
    loader = DataLoader((np.arange(8),), 8, shuffle=True, generator=Generator(0))
    expected = np.random.Generator(np.random.Philox(key=0)).permutation(8).tolist()
    assert order(loader) == expected


def test_resuming_from_the_generator_state_is_exact():
    generator = Generator(5)
    loader = DataLoader((np.arange(50),), 8, shuffle=True, generator=generator)
    order(loader)
    state = loader.generator.get_state()
    rest = order(loader), order(loader)
    fresh = DataLoader((np.arange(50),), 8, shuffle=True, generator=Generator(99))
    fresh.generator.set_state(state)
    assert (order(fresh), order(fresh)) == rest


def test_without_shuffle_no_random_number_is_drawn():
    state = default_generator().get_state()
    list(DataLoader(np.arange(5), 2))
    assert default_generator().get_state() == state


def test_two_epochs_at_once_do_not_disturb_each_other():
    loader = DataLoader(np.arange(20), 3, shuffle=True, generator=Generator(1))
    a, b = iter(loader), iter(loader)
    pairs = list(zip(a, b, strict=True))
    for side in (0, 1):
        visited = [i for pair in pairs for i in pair[side].tolist()]
        assert sorted(visited) == list(range(20))


def test_what_a_batch_is():
    x, y = np.zeros((5, 2)), np.arange(5)
    for one in (x, tg.tensor(x)):  # a Tensor alone
        assert [(type(b), b.shape) for b in DataLoader(one, 5)] == [(tg.Tensor, (5, 2))]
    for many in ((x,), [x], TensorDataset(x)):
        assert [[type(b) for b in batch] for batch in DataLoader(many, 5)] == [[tg.Tensor]]
    for pair in ((x, y), [tg.tensor(x), y], TensorDataset(x, y)):
        ((xb, yb),) = DataLoader(pair, 5)
        assert (xb.shape, xb.dtype, yb.shape, yb.dtype) == ((5, 2), np.float64, (5,), np.int64)
        assert not xb.requires_grad
    images, labels = next(iter(DataLoader(mnist().test, 7)))
    assert (images.shape, images.dtype, labels.dtype) == ((7, 28, 28), np.uint8, np.int64)


@pytest.mark.parametrize("shuffle", [False, True])
def test_changing_a_batch_in_place_leaves_the_data_alone(shuffle):
    x = np.arange(20.0)
    for batch in DataLoader(x, 6, shuffle):
        batch.data[...] = -1
    np.testing.assert_array_equal(x, np.arange(20.0))


def test_a_loader_reads_arrays_that_are_read_only_or_strided():
    x = np.arange(40.0).reshape(4, 10).T[::2]
    x.flags.writeable = False
    batches = [batch.numpy() for batch in DataLoader(x, 2)]
    np.testing.assert_array_equal(np.concatenate(batches), x)


@pytest.mark.oracle
@pytest.mark.parametrize("settings", [{"requires_grad": True}, {"dtype": "bfloat16"}])
def test_a_torch_tensor_that_is_no_array_is_named(settings):
    torch = pytest.importorskip("torch")
    if "dtype" in settings:
        settings = {"dtype": getattr(torch, settings["dtype"])}
    values = torch.ones(3, **settings)
    for take in (DataLoader, TensorDataset, lambda v: DataLoader((np.zeros(3), v)), tg.tensor):
        with pytest.raises(DTypeError, match=r"torch.Tensor cannot be read.*\.detach\(\)"):
            take(values)


@pytest.mark.oracle
def test_a_loader_batches_as_torch_does():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader as TorchLoader
    from torch.utils.data import TensorDataset as TorchDataset

    x, y = np.random.default_rng(0).standard_normal((11, 3)), np.arange(11)
    for drop_last in (False, True):
        theirs = TorchLoader(
            TorchDataset(torch.from_numpy(x), torch.from_numpy(y)), 4, drop_last=drop_last
        )
        ours = DataLoader((x, y), 4, drop_last=drop_last)
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            for a, b in zip(mine, other, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "4", None, True, np.arange(3)])
def test_bad_batch_size(batch_size):
    with pytest.raises(ArgumentError, match="batch_size must be an integer of at least 1"):
        DataLoader(np.arange(3), batch_size)


def test_other_bad_arguments():
    with pytest.raises(DataError, match=r"empty: its arrays have shapes \(0, 3\), \(0,\)"):
        DataLoader((np.zeros((0, 3)), np.zeros(0)), 4)
    with pytest.raises(ShapeError, match=r"equally long, got first lengths \[3, 2\]"):
        DataLoader((np.zeros(3), np.zeros(2)), 1)
    with pytest.raises(ArgumentError, match="at least one array"):
        DataLoader((), 1)
    with pytest.raises(ArgumentError, match="must be a tinygrad_adam Generator, got Generator"):
        DataLoader(np.zeros(3), 1, shuffle=True, generator=np.random.default_rng(0))
    with pytest.raises(DeviceError, match="'tpu' is unknown"):
        DataLoader(np.zeros(3), 1, device="tpu")


def test_the_data_moves_once_and_then_only_the_order(monkeypatch):
    moved = []

    def spied(function):
        def spy(array, *args, **kwargs):
            moved.append(array.shape)
            return function(array, *args, **kwargs)

        return spy

    for module, name in ((loader_module, "to_device"), (dataset_module, "as_tensor")):
        monkeypatch.setattr(module, name, spied(getattr(module, name)))
    loader = DataLoader((np.zeros((100, 2)), np.arange(100)), 10, shuffle=True, device="cpu")
    assert moved == [(100, 2), (100,)]
    for _ in range(2):
        assert len(list(loader)) == 10
    assert moved == [(100, 2), (100,), (100,), (100,)]


@pytest.mark.skipif(cuda_is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_named():
    with pytest.raises(DeviceError, match="'cuda"):
        DataLoader(np.zeros(3), 1, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_is_available(), reason="needs a GPU")
def test_on_a_gpu_the_data_moves_once_and_the_order_is_the_same():
    x, y = np.random.default_rng(0).standard_normal((1000, 3)), np.arange(1000)
    here = DataLoader((x, y), 64, shuffle=True, generator=Generator(2))
    there = DataLoader((x, y), 64, shuffle=True, generator=Generator(2), device="cuda")
    assert str(there.dataset.device) == "cuda:0"
    kept = [array.data.ptr for array in there.dataset.arrays]
    for _ in range(2):
        for mine, other in zip(here, there, strict=True):
            for a, b in zip(mine, other, strict=True):
                assert str(b.device) == "cuda:0"
                np.testing.assert_array_equal(a.numpy(), b.cpu().numpy(), strict=True)
    assert [array.data.ptr for array in there.dataset.arrays] == kept
    again = DataLoader(there.dataset, 64, device="cuda")
    assert [array.data.ptr for array in again.dataset.arrays] == kept
    with pytest.raises(IndexError, match="sample 1000 is out of range"):
        there.dataset[[0, 1000]]
    with pytest.raises(DeviceError, match="are on cuda:0, cpu; name one place"):
        TensorDataset(there.dataset.arrays[0], y)
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    on_gpu = normalize_images(tg.tensor(images, device="cuda").data)
    np.testing.assert_array_equal(on_gpu.get(), normalize_images(images), strict=True)


# --- data sets with samples of their own --------------------------------------------------------


class Named(NamedTuple):
    image: object
    label: object


class Pictures:
    """Samples by number, without an end: reading on past the length never stops."""

    def __init__(self, n, sample=lambda i: (np.full((2, 3), i, np.float32), i)):
        self.n, self.sample, self.asked = n, sample, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        assert type(index) is int
        assert 0 <= index < 10**6, "NumPy reads on until an IndexError"
        self.asked.append(index)
        return self.sample(index)


def test_a_data_set_is_read_by_number_up_to_its_length():
    pictures = Pictures(5)
    loader = DataLoader(pictures, batch_size=2)
    assert (len(loader), loader.dataset, pictures.asked) == (3, pictures, [])
    batches = list(loader)
    assert pictures.asked == [0, 1, 2, 3, 4]
    assert [x.shape for x, _ in batches] == [(2, 2, 3), (2, 2, 3), (1, 2, 3)]
    assert [(y.tolist(), y.dtype) for _, y in batches[1:]] == [([2, 3], np.int64), ([4], np.int64)]
    assert all(type(batch) is tuple for batch in batches)
    np.testing.assert_array_equal(batches[2][0].numpy(), np.full((1, 2, 3), 4, np.float32))
    assert len(list(DataLoader(pictures, 2, drop_last=True))) == 2


def test_a_data_set_is_shuffled_as_arrays_are():
    mine = DataLoader(Pictures(20), 6, shuffle=True, generator=Generator(3))
    arrays = DataLoader((np.zeros(20), np.arange(20)), 6, shuffle=True, generator=Generator(3))
    for _ in range(2):
        expected = [y.tolist() for _, y in arrays]
        assert [y.tolist() for _, y in mine] == expected


def test_shifted_takes_a_data_set_of_samples():
    def loader(data):
        return Shifted(DataLoader(data, 4, shuffle=True, generator=Generator(1)), 1)

    rows = np.arange(6 * 4 * 4, dtype=np.float32).reshape(6, 4, 4)
    samples = Pictures(6, lambda i: (rows[i], i))
    for one, other in zip(loader(samples), loader((rows, np.arange(6))), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)


def test_what_samples_become():
    weight = tg.tensor([1.0, 2.0], requires_grad=True)
    batch = collate(
        [
            Named({"x": weight, "deep": [1.5, (True, "cat")]}, np.int32(3)),
            Named({"deep": [2.5, (False, "dog")], "x": tg.zeros(2)}, 4),
        ]
    )
    assert type(batch) is Named
    assert (batch.label.tolist(), batch.label.dtype) == ([3, 4], np.int64)
    x, (number, (flag, text)) = batch.image["x"], batch.image["deep"]
    assert (x.tolist(), x.requires_grad) == ([[1.0, 2.0], [0.0, 0.0]], False)
    assert (number.tolist(), number.dtype) == ([1.5, 2.5], np.float32)
    assert (flag.tolist(), text) == ([True, False], ["cat", "dog"])
    images = collate([np.zeros((4, 4), np.uint8)] * 3)
    assert (images.shape, images.dtype) == ((3, 4, 4), np.uint8)


def test_a_batch_of_one_is_a_copy():
    row = np.zeros(3, np.float32)
    for data in (Pictures(1, lambda i: row), Pictures(1, lambda i: tg.tensor(row))):
        (batch,) = DataLoader(data)
        batch.data[...] = 1
        assert not row.any()


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], DataError, "no sample"),
        (
            [(np.zeros(2), 0), (np.zeros(3), 0)],
            ShapeError,
            r"at \[0\]: .*\(2,\), sample 1 .*\(3,\)",
        ),
        ([(0, 1), (0, 1, 2)], DataError, "sample 0 has length 2, sample 1 has length 3"),
        ([{"a": 0}, {"b": 0}], DataError, r"has keys \['a'\], sample 1 has keys \['b'\]"),
        ([{"a": 0}, {"a": "b"}], DataError, r"agree at \['a'\]: .*kind number.*kind text"),
        ([None], DTypeError, "a sample is a NoneType, of which no batch"),
        ([(0, {1})], DTypeError, r"a sample\[1\] is a set"),
        ([np.complex64(0)], DTypeError, "a batch of samples has element type complex64"),
    ],
)
def test_samples_that_make_no_batch(samples, error, message):
    with pytest.raises(error, match=message):
        collate(samples)


def test_what_is_no_data_set():
    class NoLength:
        def __getitem__(self, index):
            return index

    class Stream(Dataset):
        def __iter__(self):
            return iter([1])

    for data, missing in ((NoLength(), "__len__"), (iter([1]), "__len__ and no __getitem__")):
        with pytest.raises(ArgumentError, match=f"a {type(data).__name__} has no {missing}$"):
            DataLoader(data)
    with pytest.raises(ArgumentError, match="a Stream has no __len__"):
        DataLoader(Stream())
    with pytest.raises(DataError, match="the length of the Pictures is 0"):
        DataLoader(Pictures(0))


def test_a_data_set_says_which_method_it_lacks():
    class Half(Dataset):
        def __len__(self):
            return 3

    with pytest.raises(NotImplementedError, match="Half does not define __getitem__"):
        list(DataLoader(Half()))


def test_a_tensor_data_set_that_changes_its_samples_is_asked_for_each():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            (x,) = super().__getitem__(index)
            return 2 * x

    (batch,) = DataLoader(Doubled(np.arange(3.0)), 3)
    assert batch.tolist() == [0.0, 2.0, 4.0]
    (batch,) = DataLoader(Subset(Doubled(np.arange(3.0)), [1, 2]), 3)
    assert batch.tolist() == [2.0, 4.0]


def test_a_subset_of_arrays_is_read_without_code_per_sample(monkeypatch):
    dataset = TensorDataset(np.arange(10.0), np.arange(10))
    subset = Subset(Subset(dataset, [1, 3, 5, -1]), range(1, 4))
    assert (len(subset), subset[-1][1].item(), subset[0][1].item()) == (3, 9, 3)
    monkeypatch.setattr(dataset_module, "collate", None)
    (batch,) = DataLoader(subset, 3, device="cpu")
    assert [t.tolist() for t in batch] == [[3.0, 5.0, 9.0], [3, 5, 9]]
    with pytest.raises(OutOfRangeError, match="sample 10 is out of range"):
        Subset(dataset, [10])
    with pytest.raises(DTypeError, match="indexed by integers"):
        Subset(dataset, [0.5])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([7, 0, 3], [7, 0, 3]), ([0.7, 0.3], [7, 3]), ([0.35, 0.35, 0.3], [4, 3, 3])],
)
def test_a_random_split_deals_out_every_sample_once(lengths, sizes):
    parts = random_split(Pictures(10), lengths, Generator(2))
    assert [len(part) for part in parts] == sizes
    rows = np.concatenate([part.indices for part in parts]).tolist()
    assert sorted(rows) == list(range(10))
    assert rows != list(range(10))
    again = random_split(Pictures(10), lengths, Generator(2))
    assert np.concatenate([part.indices for part in again]).tolist() == rows


def test_a_list_of_samples_is_no_list_of_arrays():
    samples = [(np.zeros(2), 1), (np.ones(2), 0)]
    with pytest.raises(ShapeError, match=r"item 0 .*Subset\(samples, range\(len\(samples\)\)\)$"):
        DataLoader(samples)
    (batch,) = DataLoader(Subset(samples, range(len(samples))), 2)
    assert [t.tolist() for t in batch] == [[[0.0, 0.0], [1.0, 1.0]], [1, 0]]


@pytest.mark.parametrize("lengths", [3, [5, 4], [11, -1], [0.5, 0.4], [1.5, -0.5], []])
def test_a_random_split_that_does_not_add_up(lengths):
    with pytest.raises((ArgumentError, DTypeError), match="random_split"):
        random_split(Pictures(10), lengths)


@pytest.mark.oracle
def test_samples_are_batched_as_torch_batches_them():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader as TorchLoader
    from torch.utils.data import random_split as torch_split

    def sample(i):
        return {"x": np.full((2, 3), i, np.float32), "pair": (i, f"name {i}"), "n": np.float64(i)}

    for ours, theirs in zip(
        DataLoader(Pictures(7, sample), 3), TorchLoader(Pictures(7, sample), 3), strict=True
    ):
        assert list(ours) == list(theirs)
        assert list(ours["pair"][1]) == list(theirs["pair"][1])
        pairs = [(ours["x"], theirs["x"]), (ours["n"], theirs["n"])]
        for a, b in [*pairs, (ours["pair"][0], theirs["pair"][0])]:
            np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)
    # torch tensors in samples are arrays like any others
    (batch,) = DataLoader(Pictures(2, lambda i: (torch.full((3,), float(i)), i)), 2)
    assert [t.tolist() for t in batch] == [[[0.0] * 3, [1.0] * 3], [0, 1]]
    for shares in ([0.7, 0.3], [0.35, 0.35, 0.3], [0.19, 0.19, 0.62]):
        sizes = [len(part) for part in torch_split(Pictures(10), shares)]
        assert [len(part) for part in random_split(Pictures(10), shares)] == sizes


# --- what they look like ------------------------------------------------------------------------


def test_what_is_shown_fits_on_a_line():
    split = mnist()
    assert repr(split) == (
        "Split(train=Pair(inputs=uint8 (10000, 28, 28), targets=int64 (10000,)), "
        "test=Pair(inputs=uint8 (2000, 28, 28), targets=int64 (2000,)))"
    )
    loader = DataLoader(split.test, 64, shuffle=True, drop_last=True)
    dataset = "TensorDataset(uint8 (2000, 28, 28), int64 (2000,))"
    settings = "batch_size=64, shuffle=True, drop_last=True"
    assert repr(loader) == f"DataLoader({dataset}, {settings})  # 31 batches"
    assert repr(Subset(loader.dataset, [1, 2])) == f"Subset(2 of the 2000 of {dataset})"
