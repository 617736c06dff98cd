"""The tensor as a Python object: what it is, becomes and gives out, its operators and methods.

That each operator and method is the function of its name, `test_ops_cases.py` has; here are values.
"""

from __future__ import annotations

import copy
import itertools
import operator
import pickle

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import (
    DTypeError,
    GraphError,
    InPlaceError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)


def leaf(values, dtype=np.float64):
    return tg.tensor(np.asarray(values, dtype), requires_grad=True)


def is_tensor(t, values, dtype):
    expected = np.asarray(values, dtype)
    assert isinstance(t, tg.Tensor)
    assert (t.dtype, t.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(t.data, expected)


# --- what it is ---------------------------------------------------------------------------------


def test_a_tensor_is_around_an_array():
    a = np.arange(6.0).reshape(2, 3)
    t = tg.Tensor(a)
    assert t.data is a
    assert (t.shape, t.ndim, t.dtype, t.device) == ((2, 3), 2, np.float64, "cpu")
    assert (t.grad, t.grad_fn, t.is_leaf, t.requires_grad) == (None, None, True, False)
    assert tg.Tensor(a, requires_grad=True).requires_grad
    scalar = tg.Tensor(np.float32(2))
    assert type(scalar.data) is np.ndarray
    assert (scalar.shape, scalar.dtype, scalar.item()) == ((), np.float32, 2.0)


@pytest.mark.parametrize("data", [[1.0], 1.0, "a", None, tg.ones(1)], ids=str)
def test_a_tensor_is_around_nothing_else(data):
    with pytest.raises(DTypeError, match=rf"{type(data).__name__}.*tg\.tensor"):
        tg.Tensor(data)


def test_sizes():
    t = tg.zeros(2, 3, 4)
    assert t.size() == (2, 3, 4)
    assert [t.size(d) for d in (0, 1, 2, -1, -3)] == [2, 3, 4, 4, 2]
    assert (t.numel(), t.dim()) == (24, 3)
    number = tg.tensor(1.0)
    assert (number.size(), number.numel(), number.dim()) == ((), 1, 0)
    assert tg.zeros(0, 3).numel() == 0
    for bad, dim in ((t, 3), (t, -4), (number, 0), (number, 1)):
        with pytest.raises(OutOfRangeError, match="size"):
            bad.size(dim)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("bool", 1), ("uint8", 1), ("int8", 1), ("int16", 2), ("int32", 4), ("int64", 8),
     ("float16", 2), ("float32", 4), ("float64", 8)],
)  # fmt: skip
def test_element_size_is_in_bytes(dtype, size):
    t = tg.zeros(3, dtype=dtype)
    assert t.element_size() == size
    assert t.numel() * t.element_size() == t.data.nbytes


def test_data_may_be_replaced():
    t, other = tg.ones(2), np.arange(3)
    t.data = other
    assert t.data is other
    t.data = tg.zeros(1)
    is_tensor(t, [0], "float32")
    t.data = np.float64(3)
    is_tensor(t, 3, "float64")
    for bad, message in (([1.0], "list"), (np.array("a"), "<U1"), (np.array(1j), "complex")):
        with pytest.raises(DTypeError, match=message):
            t.data = bad
    is_tensor(t, 3, "float64")


def test_asking_for_a_gradient():
    t = tg.ones(2)
    assert t.requires_grad_() is t
    assert t.requires_grad
    assert not t.requires_grad_(False).requires_grad
    t.requires_grad = True
    y = t * 2
    assert (y.is_leaf, y.requires_grad, y.grad_fn.op.name) == (False, True, "mul")
    assert y.requires_grad_() is y
    with pytest.raises(GraphError, match="detach"):
        y.requires_grad_(False)
    for dtype in ("int64", "bool", "uint8"):
        with pytest.raises(DTypeError, match=rf"requires_grad.*{dtype}"):
            tg.ones(2, dtype=dtype).requires_grad_()
    assert not tg.ones(2, dtype=tg.int64).requires_grad_(False).requires_grad


def test_detached_it_is_a_leaf_on_the_same_memory():
    x = leaf([1.0, 2.0])
    y = x * 1
    d = y.detach()
    assert (d.is_leaf, d.requires_grad) == (True, False)
    assert d.data is y.data


def test_it_is_found_by_identity():
    a, b = tg.ones(1), tg.ones(1)
    table = {a: "a", b: "b"}
    assert (table[a], table[b], len({a, b, a})) == ("a", "b", 2)


# --- as what, and where -------------------------------------------------------------------------

CONVERSIONS = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32",
    "bool": "bool",
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions(name):
    dtype = CONVERSIONS[name]
    for source in ([0.0, 1.5, -2.5, 1.0], [0, 3, -1], [True, False]):
        t = tg.tensor(source)
        is_tensor(getattr(t, name)(), np.asarray(source).astype(dtype), dtype)
        is_tensor(t.to(dtype), np.asarray(source).astype(dtype), dtype)
    ready = tg.tensor([1, 0], dtype=dtype)
    assert getattr(ready, name)() is ready


def test_to():
    x = leaf([1.5, -2.0], np.float32)
    for same in (x.to(tg.float32), x.to("cpu"), x.to(x), x.to(None), x.to(), x.cpu()):
        assert same is x
    for y in (
        x.to(tg.float64),
        x.to("float64"),
        x.to(dtype=tg.float64),
        x.to("cpu", tg.float64),
        x.to(tg.float64, device="cpu:0"),
        x.to(tg.zeros(1, dtype=tg.float64)),
        x.type_as(tg.zeros(3, dtype=tg.float64)),
    ):
        is_tensor(y, [1.5, -2], "float64")
        x.grad = None
        (y * y).sum().backward()
        is_tensor(x.grad, [3, -4], "float32")
    copied = x.to(tg.float32, copy=True)
    assert not np.shares_memory(copied.data, x.data)
    is_tensor(copied, [1.5, -2], "float32")
    assert copied.grad_fn is not None
    is_tensor(x.to(tg.int64), [1, -2], "int64")
    assert x.to(tg.int64).grad_fn is None
    with pytest.raises(DTypeError, match="float31"):
        x.to("float31")
    with pytest.raises(DTypeError, match="int"):
        x.type_as(5)


# --- out of the framework -----------------------------------------------------------------------


def test_as_a_number():
    for value in (2.5, -3, True):
        t = tg.tensor([[value]])
        assert t.item() == value
        assert type(t.item()) is type(value)
    assert (float(tg.tensor(3)), int(tg.tensor(2.9)), int(tg.tensor([-2.9]))) == (3.0, 2, -2)
    assert [10, 20, 30][tg.tensor(2)] == [10, 20, 30][tg.tensor([True])] + 10
    assert list(range(5))[tg.tensor(1) : tg.tensor(3)] == [1, 2]
    assert [bool(tg.tensor(v)) for v in (0, 0.0, False, 2, -0.5, True)] == [False] * 3 + [True] * 3
    for many in (tg.ones(2), tg.ones(0)):
        for read in (tg.Tensor.item, float, int):
            with pytest.raises(ShapeError, match=r"item.*\("):
                read(many)
        with pytest.raises(ShapeError, match="neither true nor false"):
            bool(many)
    with pytest.raises(DTypeError, match=r"index.*float32"):
        [1, 2][tg.tensor(1.0)]


def test_as_lists_and_arrays():
    t = tg.tensor([[1.5, 2.0], [3.0, 4.0]])
    assert t.tolist() == [[1.5, 2], [3, 4]]
    assert type(t.tolist()[0][0]) is float
    assert tg.tensor(3).tolist() == 3
    assert t.numpy() is t.data
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, np.int64).tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(np.array(t, copy=True), t.data)
    x = leaf([1.0])
    for tensor in (x, x * 2):
        for read in (tg.Tensor.numpy, np.asarray):
            with pytest.raises(GraphError, match=r"\.detach\(\)\.numpy\(\)"):
                read(tensor)


@pytest.mark.parametrize(
    ("values", "some", "every"),
    [
        ([0, 2], True, False), ([1, 2], True, True), ([0.0, 0.0], False, False),
        ([True, False], True, False), ([], False, True), (0.5, True, True), (0, False, False),
        ([[0.0, float("nan")]], True, False),
    ],
)  # fmt: skip
def test_any_and_all(values, some, every):
    t = tg.tensor(values)
    is_tensor(t.any(), some, "bool")
    is_tensor(t.all(), every, "bool")


# --- as a sequence ------------------------------------------------------------------------------


def test_length_and_rows():
    x = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(x) == 3
    rows = list(x)
    assert [row.tolist() for row in rows] == [[1, 2], [3, 4], [5, 6]]
    (rows[1] * 2).sum().backward()
    assert x.grad.tolist() == [[0, 0], [2, 2], [0, 0]]
    a, b = tg.tensor([7, 8])
    assert (a.item(), b.item()) == (7, 8)
    assert list(tg.zeros(0, 2)) == []
    for read in (len, iter):
        with pytest.raises(ShapeError, match="0-d"):
            read(tg.tensor(1.0))


def test_membership():
    x = tg.tensor([1.0, 2.0])
    assert 2 in x
    assert 3 not in x
    assert tg.tensor(3.0) not in x
    assert np.float32(1) in x
    for nonsense in ("a", None):
        with pytest.raises(DTypeError, match=type(nonsense).__name__):
            nonsense in x  # noqa: B015


# --- operators ----------------------------------------------------------------------------------

ARITHMETIC = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "**": operator.pow,
}  # fmt: skip
COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest.mark.parametrize("symbol", [*ARITHMETIC, *COMPARISONS])
def test_binary_operators(symbol):
    function = (ARITHMETIC | COMPARISONS)[symbol]
    left, right = [1.5, 2.0, 4.0], [2.0, 2.0, 0.5]
    a, b = tg.tensor(np.array(left)), tg.tensor(np.array(right))
    dtype = "bool" if symbol in COMPARISONS else "float64"
    expected = [function(p, q) for p, q in zip(left, right, strict=True)]
    is_tensor(function(a, b), expected, dtype)
    is_tensor(function(a, b.data), expected, dtype)
    is_tensor(function(a.data, b), expected, dtype)
    is_tensor(function(a, 2.0), [function(p, 2.0) for p in left], dtype)
    is_tensor(function(2.0, a), [function(2.0, p) for p in left], dtype)
    is_tensor(function(np.float64(2), a), [function(2.0, p) for p in left], dtype)


def test_products_of_matrices():
    a, b = tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([[0.0, 1.0], [1.0, 1.0]])
    for product in (a @ b, a @ b.data, a.data @ b):
        is_tensor(product, [[2, 3], [4, 7]], "float32")
    is_tensor(b @ a, [[3, 4], [4, 6]], "float32")
    with pytest.raises(DTypeError, match="list"):
        a @ [[1.0], [2.0]]


def test_signs():
    a = tg.tensor([1.5, -2.0, 0.0])
    is_tensor(-a, [-1.5, 2, 0], "float32")
    is_tensor(abs(a), [1.5, 2, 0], "float32")
    assert +a is a


def test_truths():
    a, b = map(tg.tensor, zip(*itertools.product([True, False], repeat=2), strict=True))
    is_tensor(a & b, [True, False, False, False], "bool")
    is_tensor(a | b, [True, True, True, False], "bool")
    is_tensor(~a, [False, False, True, True], "bool")
    is_tensor(a & True, a.data, "bool")
    is_tensor(a | b.data, [True, True, True, False], "bool")
    is_tensor(a ^ b, [False, True, True, False], "bool")
    is_tensor(True & a, a.data, "bool")
    floats = tg.ones(2)
    for refused in (
        lambda x: x & x, lambda x: x | x, lambda x: x ^ x, lambda x: ~x, lambda x: x << 1,
        lambda x: 1 >> x, lambda x: x.int() & 1.5,
    ):  # fmt: skip
        with pytest.raises(DTypeError, match=r"(float32|1\.5); compare first"):
            refused(floats)
    with pytest.raises(DTypeError, match="float32"):
        a & tg.ones(4)


def test_bits_and_whole_parts():
    a = tg.tensor([6, -7])
    is_tensor(a & 3, [2, 1], "int64")
    is_tensor(1 | a, [7, -7], "int64")
    is_tensor(a ^ a, [0, 0], "int64")
    is_tensor(~a, [-7, 6], "int64")
    is_tensor(a << 1, [12, -14], "int64")
    is_tensor(a >> 1, [3, -4], "int64")
    is_tensor(1 << tg.tensor([2, 0]), [4, 1], "int64")
    is_tensor(9 >> tg.tensor([2, 0]), [2, 9], "int64")
    is_tensor(a // 4, [1, -2], "int64")
    is_tensor(a % 4, [2, 1], "int64")
    is_tensor(7 // tg.tensor([2.0, -2.0]), [3, -4], "float32")
    is_tensor(7 % tg.tensor([2.0, -2.0]), [1, -1], "float32")
    is_tensor(np.array([7, 8]) // a, [1, -2], "int64")


def test_what_cannot_be_compared_is_different():
    t = tg.ones(2)
    for other in ("a", None, [1.0, 1.0], object()):
        assert (t == other) is False
        assert (t != other) is True
        with pytest.raises(TypeError, match="not supported"):
            t < other  # noqa: B015


def test_booleans_are_not_subtracted():
    b = tg.tensor([True, False])
    for subtract in (
        lambda: b - 1,
        lambda: 1 - b,
        lambda: b - 1.5,
        lambda: b - tg.ones(2),
        lambda: tg.sub(b, b),
    ):
        with pytest.raises(DTypeError, match="bool"):
            subtract()


def test_what_is_no_operand():
    t = tg.ones(2)
    for symbol, function in ARITHMETIC.items():
        for other in ("1", None, [1.0, 2.0]):
            with pytest.raises(TinygradError) as caught:
                function(t, other)
            assert type(caught.value) is DTypeError, symbol
            assert type(other).__name__ in str(caught.value)


# --- methods that are no functions --------------------------------------------------------------


def test_where_as_a_method():
    x = leaf([1.0, -2.0])
    y = x.where(x > 0, 5.0)
    assert y.tolist() == [1.0, 5.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]


def test_transposes():
    t = tg.arange(6).reshape(2, 3)
    for turned in (t.T, t.t(), t.mT, t.transpose(0, 1)):
        is_tensor(turned, [[0, 3], [1, 4], [2, 5]], "int64")
        assert np.shares_memory(turned.data, t.data)
    for few in (tg.arange(3), tg.tensor(1)):
        assert few.t().tolist() == few.T.tolist() == few.tolist()
    assert tg.zeros(2, 3, 4).mT.shape == (2, 4, 3)
    assert tg.zeros(2, 3, 4).T.shape == (4, 3, 2)
    with pytest.raises(ShapeError, match=r"t: .*\(2, 2, 2\)"):
        tg.ones(2, 2, 2).t()


def test_views():
    t = tg.arange(6)
    for view in (
        t.view(2, 3),
        t.view((2, 3)),
        t.view(2, -1),
        t.view(size=(2, 3)),
        t.view_as(tg.zeros(2, 3)),
        t.reshape(2, 3),
    ):
        is_tensor(view, [[0, 1, 2], [3, 4, 5]], "int64")
        assert np.shares_memory(view.data, t.data)
    # a copy where the layout allows no view
    assert t.view(2, 3).T.view(6).tolist() == [0, 3, 1, 4, 2, 5]
    wide = tg.tensor([[1], [2]]).expand_as(tg.zeros(2, 3))
    is_tensor(wide, [[1, 1, 1], [2, 2, 2]], "int64")
    for name in ("view_as", "expand_as"):
        with pytest.raises(DTypeError, match=rf"{name}.*tuple"):
            getattr(t, name)((2, 3))
    with pytest.raises(ShapeError, match=r"\(6,\)"):
        t.view(4, 2)


# --- copies and pickles -------------------------------------------------------------------------


@pytest.mark.parametrize("again", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles(again):
    net = tg.nn.Linear(2, 1)
    net.weight.grad = tg.ones(1, 2)
    net.tied = net.weight
    kept = net.state_dict()  # shares the memory
    twin = again(net)
    assert type(twin.weight) is tg.nn.Parameter
    assert twin.tied is twin.weight
    assert twin.weight.requires_grad
    assert twin.weight.tolist() == kept["weight"].tolist()
    assert twin.weight.grad.tolist() == [[1.0, 1.0]]
    with tg.no_grad():
        twin.weight.zero_()
        twin.weight.grad.zero_()
    assert net.weight.grad.tolist() == [[1.0, 1.0]]
    assert net.weight.any()
    frozen = again(tg.tensor(3)[...])
    assert (frozen.item(), frozen.shape, frozen.requires_grad) == (3, (), False)
    with pytest.raises(GraphError, match="detach"):
        again(net.weight * 2)


def test_a_subclass_keeps_its_attributes():
    class Named(tg.Tensor):
        pass

    t = Named(np.ones(2), requires_grad=True)
    t.name = ["w"]
    deep, shallow = copy.deepcopy(t), copy.copy(t)
    assert (type(deep), deep.name, shallow.name) == (Named, ["w"], ["w"])
    assert deep.name is not t.name


def test_a_shallow_copy_shares_memory_and_its_version():
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    twin = copy.copy(w)
    assert twin.data is w.data
    assert twin.requires_grad
    with tg.no_grad():
        twin += 1.0
    with pytest.raises(InPlaceError):
        y.backward()


@pytest.mark.parametrize("name", ["exp", "sign", "logical_not", "isnan", "floor", "bitwise_not"])
def test_functions_of_one_tensor_take_it_by_name(name):
    x = tg.tensor([1, 0, 2])
    assert getattr(tg, name)(input=x).tolist() == getattr(tg, name)(x).tolist()
