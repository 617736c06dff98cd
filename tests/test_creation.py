"""Making tensors from data, constants and ranges; `test_random.py` has the random ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import ArgumentError, DTypeError, ShapeError, TinygradError

BIG_ENDIAN = np.ones(2, ">f4")


def i(*values):
    return tg.tensor(list(values))


def same(t, values, dtype):
    """Raise unless `t` is a new leaf of these elements, of this type."""
    expected = np.asarray(values, dtype)
    assert (t.dtype, t.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(t.data, expected)
    assert t.is_leaf
    assert not t.requires_grad


# --- from data ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (0.5, "float32"), (3, "int64"), (True, "bool"), ([1.0, 2.0], "float32"), ([1, 2], "int64"),
        ([True, False], "bool"), ([1, 2.5], "float32"), ([True, 2], "int64"), ((1, (2)), "int64"),
        ([[1, 2], [3, 4]], "int64"), ([], "float32"), ([[], []], "float32"),
        (np.arange(3, dtype="int8"), "int8"), (np.float64(2), "float64"), (np.int32(2), "int32"),
        (np.ones((2, 1), "float16"), "float16"), ([np.float64(1), 2.0], "float32"),
        (-(2**63), "int64"), (2**63 - 1, "int64"),
    ],
)  # fmt: skip
def test_tensor_reads(data, dtype):
    for make in (tg.tensor, tg.as_tensor):
        same(make(data), data, dtype)


def test_items_are_read_up_to_the_length():
    class Endless:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            assert i < 10**5, "NumPy reads on until an IndexError"
            return [i, 2.5]

    for read in (tg.tensor, tg.as_tensor, lambda x: tg.tensor([x, x])[0]):
        assert read(Endless()).tolist() == [[0.0, 2.5], [1.0, 2.5], [2.0, 2.5]]
    assert len(tg.data.TensorDataset(Endless())) == 3


def test_types_of_what_tensors_are_made_from():
    big = np.array([1.0, 2.0], ">f4")
    for t in (tg.tensor(big), tg.as_tensor(big), tg.tensor([1.0, 2.0], dtype=">f4")):
        assert t.dtype.isnative
        assert (t.dtype, t.tolist()) == (tg.float32, [1, 2])
    assert tg.tensor([np.ones(2)]).dtype == tg.float64
    assert tg.tensor([np.ones(2, np.float32), [1.0, 2.0]]).dtype == tg.float32
    assert tg.tensor([tg.tensor(1.0), 2.0]).dtype == tg.float32
    assert tg.tensor([tg.tensor(1.0, dtype=tg.float64), 2.0]).dtype == tg.float64
    # decimals are cut off, and negative numbers wrap in an unsigned type, as in PyTorch
    assert tg.tensor([1.7, -1.7], dtype=tg.int64).tolist() == [1, -1]
    assert tg.tensor([-1, 255], dtype=tg.uint8).tolist() == [255, 255]
    assert tg.tensor([2**63], dtype=tg.float64).tolist() == [2.0**63]
    assert tg.tensor([-(2.0**63)], dtype=tg.int64).tolist() == [-(2**63)]
    same(tg.tensor([0, 2], dtype=bool), [False, True], "bool")
    same(tg.tensor(np.array([1.5, -2.5]), dtype=tg.int32), [1, -2], "int32")


def test_the_default_type_is_that_of_floats_only():
    tg.set_default_dtype(tg.float64)
    same(tg.tensor([1.0]), [1], "float64")
    same(tg.tensor([]), [], "float64")
    same(tg.tensor([1]), [1], "int64")
    same(tg.tensor(np.ones(1, np.float32)), [1], "float32")
    for t in (tg.zeros(1), tg.ones(1), tg.empty(1), tg.full((1,), 1.0), tg.arange(1.0), tg.eye(1),
              tg.linspace(0, 1, 2)):  # fmt: skip
        assert t.dtype == tg.float64
    assert tg.zeros_like(tg.zeros(1, dtype=tg.float32)).dtype == tg.float32


def test_a_tensor_is_a_copy():
    a = np.arange(3.0)
    source = tg.tensor(a, requires_grad=True)
    for data in (a, source, source * 1, a[::-1], [source, source]):
        t = tg.tensor(data)
        assert not np.shares_memory(t.data, a)
        assert t.is_leaf
        assert not t.requires_grad
    assert tg.tensor(a, requires_grad=True).requires_grad
    same(tg.tensor(source), [0, 1, 2], "float64")
    same(tg.tensor([source[1], source[2]]), [1, 2], "float64")


def test_as_tensor_shares_what_need_not_change():
    a = np.arange(3.0)
    assert tg.as_tensor(a).data is a
    assert tg.as_tensor(a, dtype=tg.float64).data is a
    changed = tg.as_tensor(a, dtype=tg.float32)
    assert not np.shares_memory(changed.data, a)
    same(changed, a, "float32")
    x = tg.tensor(a, requires_grad=True)
    assert tg.as_tensor(x) is x
    # gradients flow through a change of a tensor's type
    (tg.as_tensor(x, dtype=tg.float32) * 3).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_from_numpy_is_the_array():
    a = np.arange(4, dtype=np.int16)[::2]
    t = tg.from_numpy(a)
    assert t.data is a
    a[0] = 7
    assert t.tolist() == [7, 2]
    t[1] = 5
    assert a.tolist() == [7, 5]


# --- constants ----------------------------------------------------------------------------------

CONSTANTS = {"zeros": 0, "ones": 1}


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_shapes_types_and_gradients(name):
    make = getattr(tg, name)
    for t in (make(2, 3), make((2, 3)), make([2, 3]), make(size=(2, 3)), make(np.int64(2), 3)):
        assert (t.shape, t.dtype) == ((2, 3), tg.float32)
        if name in CONSTANTS:
            same(t, np.full((2, 3), CONSTANTS[name]), "float32")
    assert make().shape == make(()).shape == ()
    assert make(0, 2).shape == (0, 2)
    assert make(2, requires_grad=True).requires_grad
    for dtype in ("bool", "uint8", "int32", "float16", "float64"):
        assert make(2, dtype=dtype).dtype == dtype
    with pytest.raises(DTypeError, match="requires_grad"):
        make(2, dtype=tg.int64, requires_grad=True)


def test_full():
    same(tg.full((2, 1), 7), [[7], [7]], "int64")
    same(tg.full((2,), 0.5), [0.5, 0.5], "float32")
    same(tg.full((), True), True, "bool")
    same(tg.full(3, -1.5, dtype=tg.float64), [-1.5] * 3, "float64")
    same(tg.full((2,), 1.9, dtype=tg.int32), [1, 1], "int32")
    same(tg.full((1,), -1, dtype=tg.uint8), [255], "uint8")
    same(tg.full((2,), math.nan), [math.nan] * 2, "float32")
    same(tg.full(size=(2,), fill_value=tg.tensor(2.0)), [2, 2], "float32")
    assert tg.full((1,), 1.0, requires_grad=True).requires_grad


def test_likes():
    x = tg.ones(2, 3, dtype=tg.float64, requires_grad=True)
    same(tg.zeros_like(x), np.zeros((2, 3)), "float64")
    same(tg.ones_like(x), np.ones((2, 3)), "float64")
    same(tg.full_like(x, 2.5), np.full((2, 3), 2.5), "float64")
    assert (tg.empty_like(x).shape, tg.empty_like(x).dtype) == ((2, 3), tg.float64)
    same(tg.full_like(i(1, 2), 2.5), [2, 2], "int64")
    for make in (
        tg.zeros_like,
        tg.ones_like,
        tg.empty_like,
        lambda t, **k: tg.full_like(t, 3, **k),
    ):
        assert make(x, dtype=tg.int32).dtype == tg.int32
        assert make(x, requires_grad=True).requires_grad
        assert not np.shares_memory(make(x).data, x.data)
    same(tg.zeros_like(tg.ones(3)[::2]), [0, 0], "float32")


# --- ranges and matrices ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "values", "dtype"),
    [
        ((3,), [0, 1, 2], "int64"), ((1, 4), [1, 2, 3], "int64"), ((1, 6, 2), [1, 3, 5], "int64"),
        ((3, 0, -1), [3, 2, 1], "int64"), ((0,), [], "int64"), ((3, 3), [], "int64"),
        ((3.0,), [0, 1, 2], "float32"), ((1, 2, 0.25), [1, 1.25, 1.5, 1.75], "float32"),
        ((-0.5, 1), [-0.5, 0.5], "float32"),
    ],
)  # fmt: skip
def test_arange(arguments, values, dtype):
    same(tg.arange(*arguments), values, dtype)


def test_arange_by_name_and_type():
    same(tg.arange(end=3), [0, 1, 2], "int64")
    same(tg.arange(0, end=3), [0, 1, 2], "int64")
    same(tg.arange(start=1, end=4, step=2), [1, 3], "int64")
    same(tg.arange(3, dtype=tg.float64), [0, 1, 2], "float64")
    same(tg.arange(tg.tensor(3.0)), [0, 1, 2], "float32")
    same(tg.arange(tg.tensor(3)), [0, 1, 2], "int64")
    assert tg.arange(2.0, requires_grad=True).requires_grad


def test_linspace():
    same(tg.linspace(0, 1, 5), [0, 0.25, 0.5, 0.75, 1], "float32")
    same(tg.linspace(1, -1, 3), [1, 0, -1], "float32")
    same(tg.linspace(2, 7, 1), [2], "float32")
    same(tg.linspace(0, 1, 0), [], "float32")
    fine = tg.linspace(-1, 1, 7, dtype=tg.float64)
    np.testing.assert_allclose(fine.data, [k / 3 - 1 for k in range(7)], rtol=1e-15, atol=1e-16)
    assert fine.data[-1] == 1.0
    assert tg.linspace(0, 1, 2, requires_grad=True).requires_grad


def test_eye():
    same(tg.eye(2), [[1, 0], [0, 1]], "float32")
    same(tg.eye(2, 3), [[1, 0, 0], [0, 1, 0]], "float32")
    same(tg.eye(3, 2), [[1, 0], [0, 1], [0, 0]], "float32")
    same(tg.eye(2, m=1, dtype=tg.int64), [[1], [0]], "int64")
    same(tg.eye(2, 0), np.zeros((2, 0)), "float32")
    assert tg.eye(2, requires_grad=True).requires_grad


# --- errors -------------------------------------------------------------------------------------

# name: call, error, what the message must hold
BAD = {
    "tensor ragged": (lambda: tg.tensor([[1, 2], [3]]), ShapeError, ["tensor"]),
    "tensor complex": (lambda: tg.tensor(np.ones(2) * 1j), DTypeError, ["complex128"]),
    "tensor text": (lambda: tg.tensor(["a"]), DTypeError, ["<U1"]),
    "tensor text as int": (lambda: tg.tensor(["a"], dtype=tg.int64), DTypeError, ["<U1"]),
    "tensor None": (lambda: tg.tensor(None), DTypeError, ["object"]),
    "tensor wide": (lambda: tg.tensor(np.ones(2, np.longdouble)), DTypeError, ["float64"]),
    "tensor type": (lambda: tg.tensor([1], dtype="foo"), DTypeError, ["foo"]),
    "tensor range": (lambda: tg.tensor([0, 300], dtype=tg.uint8), ArgumentError,
                     ["tensor", "300", "uint8"]),
    "tensor low": (lambda: tg.tensor([-300], dtype=tg.uint8), ArgumentError, ["-300"]),
    "tensor NaN": (lambda: tg.tensor([math.nan], dtype=tg.int64), ArgumentError,
                   ["tensor", "nan", "int64"]),
    "tensor float": (lambda: tg.tensor([2.0**63], dtype=tg.int64), ArgumentError, ["int64"]),
    "tensor int": (lambda: tg.tensor([1, 2**63]), ArgumentError, ["tensor", "int64"]),
    "tensor longer int": (lambda: tg.tensor([-1, 2**70]), ArgumentError, ["int64"]),
    "tensor gradient": (lambda: tg.tensor([1], requires_grad=True), DTypeError,
                        ["requires_grad", "int64"]),
    "as_tensor ragged": (lambda: tg.as_tensor([[1, 2], [3]]), ShapeError, ["tensor"]),
    "from_numpy list": (lambda: tg.from_numpy([1.0]), DTypeError, ["from_numpy", "list"]),
    "from_numpy tensor": (lambda: tg.from_numpy(i(1)), DTypeError, ["from_numpy", "Tensor"]),
    "from_numpy order": (lambda: tg.from_numpy(BIG_ENDIAN), DTypeError, [">f4", "tensor("]),
    "zeros size": (lambda: tg.zeros(-1), ShapeError, ["zeros", "(-1,)"]),
    "ones size": (lambda: tg.ones(2, -1), ShapeError, ["ones", "(2, -1)"]),
    "empty size": (lambda: tg.empty(-1), ShapeError, ["empty", "(-1,)"]),
    "full size": (lambda: tg.full((-1,), 1), ShapeError, ["full", "(-1,)"]),
    "eye size": (lambda: tg.eye(2, -1), ShapeError, ["eye", "(2, -1)"]),
    "zeros size float": (lambda: tg.zeros(2.5), DTypeError, ["zeros", "2.5"]),
    "zeros size array": (lambda: tg.zeros(np.array([2, 3])), DTypeError, ["zeros", "[2, 3]"]),
    "zeros size twice": (lambda: tg.zeros(2, size=3), ArgumentError, ["zeros", "(2,)", "3"]),
    "zeros type": (lambda: tg.zeros(2, dtype="foo"), DTypeError, ["foo"]),
    "ones wide": (lambda: tg.ones(2, dtype=np.longdouble), DTypeError, ["float64"]),
    "zeros_like": (lambda: tg.zeros_like([1]), DTypeError, ["zeros_like", "list"]),
    "ones_like": (lambda: tg.ones_like(1.0), DTypeError, ["ones_like", "float"]),
    "empty_like": (lambda: tg.empty_like(None), DTypeError, ["empty_like", "NoneType"]),
    "full_like": (lambda: tg.full_like([1], 2), DTypeError, ["full_like", "list"]),
    "zeros_like type": (lambda: tg.zeros_like(i(1), dtype="foo"), DTypeError, ["foo"]),
    "full range": (lambda: tg.full((1,), 300, dtype=tg.uint8), ArgumentError,
                   ["full", "300", "uint8", "255"]),
    "full NaN": (lambda: tg.full((1,), math.nan, dtype=tg.int64), ArgumentError,
                 ["full", "nan", "int64"]),
    "full int": (lambda: tg.full((1,), 2**63), ArgumentError, ["full", "int64"]),
    "full list": (lambda: tg.full((1,), [1, 2]), DTypeError, ["full", "list"]),
    "full tensor": (lambda: tg.full((1,), i(1, 2)), DTypeError, ["full", "(2,)"]),
    "full_like range": (lambda: tg.full_like(i(1), 300, dtype=tg.int8), ArgumentError,
                        ["full_like", "300", "int8"]),
    "arange nothing": (lambda: tg.arange(), DTypeError, ["arange", "NoneType"]),
    "arange text": (lambda: tg.arange("3"), DTypeError, ["arange", "str"]),
    "arange axes": (lambda: tg.arange(tg.ones(2)), DTypeError, ["arange", "(2,)"]),
    "arange step": (lambda: tg.arange(0, 3, 0), ArgumentError, ["arange", "step"]),
    "linspace steps": (lambda: tg.linspace(0, 1, -1), ArgumentError, ["linspace", "-1"]),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "parts"), BAD.values(), ids=BAD)
def test_error(call, error, parts):
    with pytest.raises(TinygradError) as caught:
        call()
    assert type(caught.value) is error
    assert all(part in str(caught.value) for part in parts), str(caught.value)
