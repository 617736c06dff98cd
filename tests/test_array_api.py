"""The array API standard on tensors: array_api_strict's answers, and gradients through it."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from test_devices import cp as _cp

import tinygrad_adam as tg
from tinygrad_adam import array_api as xp
from tinygrad_adam.autograd import gradcheck
from tinygrad_adam.errors import ArgumentError, ExchangeError, ShapeError

cp = _cp  # a machine with two GPUs

# What the standard has and this package has not, or has otherwise.
ABSENT = {
    **dict.fromkeys(("complex64", "complex128", "real", "imag", "conj"), "no complex numbers"),
    **dict.fromkeys(("linalg", "fft"), "an extension, optional in the standard"),
}
UNLIKE = {
    "sign of NaN": "0, as in PyTorch",
    "size": "a method, as in PyTorch",
    "integers and floats together": "the float's type, as in PyTorch; the standard leaves it open",
}


@pytest.fixture(scope="module")
def strict():
    module = pytest.importorskip("array_api_strict")
    module.set_array_api_strict_flags(api_version=xp.__array_api_version__)
    yield module
    module.reset_array_api_strict_flags()


def test_a_tensor_says_where_its_namespace_is():
    x = tg.ones(2)
    assert x.__array_namespace__() is xp
    assert x.__array_namespace__(api_version="2022.12") is xp
    assert x.to_device("cpu") is x
    with pytest.raises(ArgumentError, match=r"2019\.01.*2024\.12"):
        x.__array_namespace__(api_version="2019.01")


def names(strict):
    """Return the standard's names: what the oracle adds of its own has a word of its own in it."""
    own = ("strict", "Strict", "ModuleType", "broadcast_shapes", "isin")  # the last two: 2025.12
    return [n for n in dir(strict) if not n.startswith("_") and not any(o in n for o in own)]


def test_every_name_of_the_standard_is_here_or_excused(strict):
    found = set(names(strict))
    assert len(found) > 150
    assert {n for n in found if not hasattr(xp, n)} == found & ABSENT.keys()
    assert not [n for n in ABSENT if hasattr(xp, n)]


def test_arguments_are_the_standards(strict):
    for name in names(strict):
        theirs = getattr(strict, name)
        if name in ABSENT or not inspect.isfunction(theirs):
            continue
        wanted, ours = (inspect.signature(f).parameters for f in (theirs, getattr(xp, name)))
        assert [p.kind for p in wanted.values()] == [p.kind for p in ours.values()], name
        for theirs, mine in zip(wanted.values(), ours.values(), strict=True):
            free = theirs.default is theirs.empty or type(theirs.default).__name__ == "Undef"
            assert free or theirs.default == mine.default, name
        keywords = [n for n, p in ours.items() if p.kind is not p.POSITIONAL_ONLY]
        assert [n for n, p in wanted.items() if p.kind is not p.POSITIONAL_ONLY] == keywords, name


# --- values -------------------------------------------------------------------------------------

A = np.array([[2.5, -1.0, 0.0], [3.0, 2.0, -4.0]])
U = np.array([[0.5, 0.25, 0.75], [0.1, 0.9, 0.3]])
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, 2.5, np.inf, -np.inf, np.nan])
I, J = np.array([[2, -1, 0], [3, 2, -4]]), np.array([[5, 1, 7], [-2, 4, 3]])
B, C = I > 0, J > 3
V = np.arange(24.0).reshape(2, 3, 4)

CALLS: list[tuple[str, tuple, dict]] = []


def calls(names, *args, **settings):
    CALLS.extend((name, args, settings) for name in names.split())


FLOATING = """acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan
log log10 log1p log2 negative positive reciprocal round signbit sin sinh sqrt square tan tanh trunc
abs"""
for array in (U, U.astype(np.float32), SPECIAL, np.array(0.5), np.zeros((0, 2))):
    calls(FLOATING, array)
calls("sign", A)
for array in (I, I.astype(np.int8), J.astype(np.uint16)):
    calls("abs ceil floor round trunc square isfinite isnan isinf bitwise_invert sign", array)
calls("negative positive", I)
calls("bitwise_invert logical_not", B)

ARITHMETIC = "add subtract multiply maximum minimum equal not_equal less greater_equal"
for a, b in itertools.product((A, A[0], A[:, :1], np.array(1.5)), repeat=2):
    calls(ARITHMETIC + " less_equal greater divide hypot logaddexp copysign atan2", a, b)
for a, b in ((A.astype(np.float32), np.array(2.0)), (A, np.float32(2) * U.astype(np.float32))):
    calls("add multiply maximum", a, b)
for a, b in ((I, J), (I.astype(np.int8), np.array(3)), (I.astype(np.int16), J.astype(np.uint8))):
    calls(ARITHMETIC + " bitwise_and bitwise_or bitwise_xor", a, b)
calls("floor_divide remainder", I, J)
calls("floor_divide remainder", A, np.array([2.0, -1.5, 0.7]))
calls("bitwise_left_shift bitwise_right_shift", I, abs(J))
calls("logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor equal", B, C)
calls("pow", U, A)
calls("pow", I, abs(J))
calls("nextafter", A, U)
calls("add multiply pow maximum less", A, 2)
calls("add multiply pow less", 2.5, U)
calls("add subtract bitwise_and", I.astype(np.int8), 3)
for bounds in ({}, {"min": -1.0}, {"max": 0}, {"min": -1, "max": 1}):
    calls("clip", A, **bounds)
calls("clip", A, min=U)
calls("where", B, A, U)
calls("where", B, A.astype(np.float32), np.array(0.5))
calls("where", B, I, J.astype(np.int8))

for axis, keep in itertools.product((None, 0, -1, (0, 2), ()), (False, True)):
    calls("sum prod mean var std max min all any count_nonzero", V, axis=axis, keepdims=keep)
calls("var std", V, axis=1, correction=1.0)
for small in (I.astype(np.int8), J.astype(np.uint8) % 5, I.astype(np.int32)):
    calls("sum prod cumulative_sum cumulative_prod", small, axis=1)
calls("sum prod cumulative_sum", A.astype(np.float32), axis=0)
calls("sum prod", A, dtype="float32")
calls("sum prod all any", np.zeros((0, 3)), axis=0)
for more in ({}, {"include_initial": True}, {"dtype": "float32"}):
    calls("cumulative_sum cumulative_prod", V, axis=1, **more)
calls("cumulative_sum cumulative_prod", A[0])
calls("argmax argmin", V, axis=1)
calls("argmax argmin", V, axis=-1, keepdims=True)
calls("argmax argmin", V)
TIES = np.array([[3, 1, 3, 1, 2], [0, 0, 1, 0, 1]])
for axis, down in itertools.product((0, -1), (False, True)):
    calls("sort argsort", TIES, axis=axis, descending=down)
    calls("sort", A, axis=axis, descending=down)
calls("nonzero", A)
calls("unique_values unique_counts unique_inverse unique_all", TIES)
calls("searchsorted", np.arange(5.0), U * 4)
calls("searchsorted", np.arange(5.0), np.array([1.0, 2.0]), side="right")
calls("searchsorted", np.array([3.0, 1.0, 2.0]), U, sorter=np.array([1, 2, 0]))
calls("take", V, np.array([2, 0, 0]), axis=1)
calls("take", A[0], np.array([1, 1]))
calls("take_along_axis", A, np.array([[0, 2], [1, 1]]), axis=1)
calls("take_along_axis", A, np.array([[0, 1, 1]]), axis=0)
calls("diff", V)
calls("diff", V, axis=1, n=2)
calls("diff", A, prepend=U, append=A)

calls("reshape", V, (4, -1))
calls("permute_dims", V, (2, 0, 1))
calls("moveaxis", V, (0, 1), (-1, 0))
for axis in (None, 1, (0, -1)):
    calls("flip", V, axis=axis)
for axis in (0, -1, (0, 2), (1, -1)):
    calls("expand_dims", A, axis=axis)
calls("squeeze", V[None, :, :1], (0, 2))
calls("broadcast_to", A, (4, 2, 3))
calls("tile", A, (2, 3))
calls("tile", A, (2, 1, 2))
calls("tile", A, (2,))
calls("repeat", A, 3)
calls("repeat", A, np.array([1, 0, 2]), axis=1)
calls("roll", V, 5)
calls("roll", V, (1, -2), axis=(0, 2))
calls("roll", V, -1, axis=1)
calls("unstack", V, axis=1)
calls("matrix_transpose", V)
calls("matmul", A, U.T)
calls("matmul", V, np.ones((4, 2)))
calls("matmul", A.astype(np.float32), U.T)
calls("vecdot", A, U)
calls("vecdot", V, np.ones((3, 4), np.float32))
calls("vecdot", V, np.ones((3, 1)), axis=-2)
calls("vecdot", I.astype(np.int8), J.astype(np.int8))
for axes in (0, 1, 2, ((1,), (1,)), ((0, 1), (0, 1)), ((1, 0), (1, 0))):
    calls("tensordot", A, np.ones((3, 2)) if axes == 1 else U, axes=axes)
for k in (-1, 0, 1):
    calls("tril triu", V, k=k)
calls("astype", A, "int32")
calls("arange", 5)
calls("arange", 1, 10, 3)
calls("arange", 0.0, 1.0, 0.25, dtype="float64")
calls("linspace", 0.0, 1.0, 5, dtype="float64", endpoint=False)
calls("linspace", 0.0, 1.0, 5, dtype="float64")
calls("eye", 3, 4, k=1, dtype="float64")
calls("eye", 2, dtype="int8")
calls("zeros ones", (2, 3), dtype="uint32")
calls("full", (2,), 7)
calls("full_like", A, 3.5)
calls("zeros_like ones_like", I.astype(np.int8))
calls("zeros_like", I, dtype="float32")
for indexing in ("xy", "ij"):
    calls("meshgrid", A[0], U[:, 0], np.arange(2.0), indexing=indexing)
calls("broadcast_arrays", A, U[0], np.array(1.0))

LISTS = [("concat", {"axis": 0}), ("concat", {"axis": None}), ("stack", {"axis": -1})]


def on(module, value):
    """Return an argument with arrays, and names of types, of `module`."""
    if isinstance(value, np.ndarray):
        return module.asarray(value)
    if isinstance(value, str) and value not in ("xy", "ij", "right"):
        return getattr(module, value)
    return value


def answers(module, name, args, settings):
    settings = {k: on(module, v) for k, v in settings.items()}
    found = getattr(module, name)(*[on(module, v) for v in args], **settings)
    return list(found) if isinstance(found, (tuple, list)) else [found]


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert type(x) is tg.Tensor
        assert (x.shape, str(x.dtype)) == (y.shape, str(y.dtype._np_dtype))
        np.testing.assert_allclose(x.numpy(), np.asarray(y), rtol=1e-6, atol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted({name for name, *_ in CALLS}))
def test_values_and_types(strict, name):
    for _, args, settings in [c for c in CALLS if c[0] == name]:
        same(answers(xp, name, args, settings), answers(strict, name, args, settings))


@pytest.mark.parametrize(("name", "settings"), LISTS)
def test_joining(strict, name, settings):
    for arrays in ([A, U], [A.astype(np.float32), U], [I, J.astype(np.int8)]):
        ours, theirs = (
            getattr(m, name)([m.asarray(a) for a in arrays], **settings) for m in (xp, strict)
        )
        same([ours], [theirs])


def test_every_function_is_called():
    here = {n for n, f in vars(xp).items() if inspect.isfunction(f) and n[0] != "_"}
    here = {n for n in here if getattr(xp, n).__module__ == xp.__name__}
    apart = {
        *("asarray", "empty", "empty_like", "from_dlpack", "finfo", "iinfo", "isdtype", "can_cast"),
        *("result_type", "concat", "stack"),
    }
    assert here - {name for name, *_ in CALLS} == apart


# --- types and devices ----------------------------------------------------------------------------


def test_types(strict):
    kinds = ("bool", "integral", "numeric", "real floating", ("signed integer", "bool"))
    for name in map(str, xp.__array_namespace_info__().dtypes().values()):
        ours, theirs = getattr(xp, name), getattr(strict, name)
        for kind in kinds:
            assert xp.isdtype(ours, kind) == strict.isdtype(theirs, kind)
        for other in ("int8", "uint8", "float32", "bool"):
            assert xp.isdtype(ours, getattr(xp, other)) == (name == other)
    with pytest.raises(ArgumentError, match="no kind"):
        xp.isdtype(xp.int8, "whole")


def test_promotion(strict):
    groups = (
        ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), ("float32", "float64"),
    )  # fmt: skip
    for a, b in [pair for group in groups for pair in itertools.product(group, repeat=2)]:
        ours = xp.result_type(getattr(xp, a), getattr(xp, b))
        theirs = strict.result_type(getattr(strict, a), getattr(strict, b))
        assert str(ours) == str(theirs._np_dtype), (a, b)
        assert xp.can_cast(getattr(xp, a), getattr(xp, b)) == strict.can_cast(
            getattr(strict, a), getattr(strict, b)
        )
    assert not xp.can_cast(xp.int8, xp.float64)
    assert xp.result_type(tg.ones(2), 1) == xp.float32
    assert xp.result_type(tg.tensor(1.0, dtype=tg.float64), tg.ones(2)) == xp.float64
    assert xp.result_type(xp.int8, 1.5) == tg.get_default_dtype()
    assert xp.result_type(1, 2.0) == tg.get_default_dtype()


def test_limits():
    info = xp.finfo(tg.ones(2))
    assert (info.bits, info.eps, info.dtype) == (32, 2.0**-23, xp.float32)
    assert type(info.max) is float
    assert info.smallest_normal == 2.0**-126
    assert (xp.iinfo(xp.int8).min, xp.iinfo(xp.uint16).max) == (-128, 65535)


def test_inspection(cp):
    info = xp.__array_namespace_info__()
    assert info.default_device() == "cpu"
    assert [str(d) for d in info.devices()] == ["cpu", "cuda:0", "cuda:1"]
    assert info.default_dtypes()["real floating"] == xp.float32
    assert info.dtypes(kind="unsigned integer").keys() == {"uint8", "uint16", "uint32", "uint64"}
    assert info.capabilities()["boolean indexing"]
    assert set(info.dtypes()) >= {"bool", "float64", "int8"}


def test_asarray():
    a = np.ones(2)
    t = tg.ones(2, requires_grad=True)
    assert xp.asarray(a).data is a
    assert xp.asarray(t) is t
    assert not np.shares_memory(xp.asarray(a, copy=True).data, a)
    (g,) = tg.autograd.grad(xp.asarray(t, copy=True).sum(), t)
    assert g.tolist() == [1, 1]
    assert xp.asarray([1, 2]).dtype == xp.int64
    assert xp.asarray(2.0, dtype=xp.float64).shape == ()
    for never in (
        lambda: xp.asarray([1.0], copy=False),
        lambda: xp.asarray(t, dtype=xp.float64, copy=False),
    ):
        with pytest.raises(ExchangeError, match="copy is False"):
            never()
    assert xp.from_dlpack(a).data is a
    assert (xp.empty((2, 3)).shape, xp.empty_like(tg.ones(2)).dtype) == ((2, 3), xp.float32)


def test_copies_of_reshape():
    x = tg.from_numpy(A.copy())
    assert np.shares_memory(xp.reshape(x, (3, 2), copy=False).data, x.data)
    assert not np.shares_memory(xp.reshape(x, (3, 2), copy=True).data, x.data)
    with pytest.raises(ExchangeError, match="copy is False"):
        xp.reshape(x.T, (6,), copy=False)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda x: xp.squeeze(x, 0), ShapeError),
        (lambda x: xp.take(x, tg.tensor([0])), ArgumentError),
        (lambda x: xp.cumulative_sum(x), ArgumentError),
        (lambda x: xp.cumulative_prod(x), ArgumentError),
        (lambda x: xp.vecdot(x, x, axis=0), ArgumentError),
        (lambda x: xp.vecdot(x, x[:, :2]), ShapeError),
        (lambda x: xp.tensordot(x, x, axes=1), ShapeError),
        (lambda x: xp.tril(x[0]), ShapeError),
        (lambda x: xp.expand_dims(x, (0, 0)), ArgumentError),
        (lambda x: xp.meshgrid(x[0], indexing="yx"), ArgumentError),
    ],
)
def test_what_does_not_fit_is_said(wrong, error):
    with pytest.raises(error):
        wrong(tg.ones(2, 3))


# --- gradients ------------------------------------------------------------------------------------

ZEROS = np.array([[2.0, 0.0, 3.0, -1.5], [1.0, 0.0, 0.0, 2.0]])
SMOOTH = {
    "prod": lambda x: xp.prod(x, axis=1),
    "prod:all": xp.prod,
    "prod:odd": lambda x: xp.prod(x[:, 1:], axis=1, keepdims=True),
    "cumulative_prod": lambda x: xp.cumulative_prod(x, axis=1, include_initial=True),
    "cumulative_sum": lambda x: xp.cumulative_sum(x, axis=0, include_initial=True),
    "sort": lambda x: xp.sort(x + tg.from_numpy(np.arange(8.0).reshape(2, 4)[::-1] * 0.1)),
    "tile": lambda x: xp.tile(x, (2, 1, 3)),
    "repeat": lambda x: xp.repeat(x, 2, axis=1),
    "roll": lambda x: xp.roll(x, (1, 2), axis=(0, 1)),
    "diff": lambda x: xp.diff(x, n=2, prepend=x),
    "tensordot": lambda x: xp.tensordot(x, x, axes=((0,), (0,))),
    "vecdot": lambda x: xp.vecdot(x, x, axis=-1),
    "tril": lambda x: xp.tril(x, k=1) * x,
    "triu": lambda x: xp.triu(x) * x,
    "meshgrid": lambda x: xp.meshgrid(x[0], x[1])[0] * 2,
    "take_along_axis": lambda x: xp.take_along_axis(x, tg.tensor([[0, 0], [3, 1]])),
    "take": lambda x: xp.take(x, tg.tensor([1, 1, 0]), axis=1),
    "unstack": lambda x: xp.unstack(x, axis=1)[2] ** 2,
    "where": lambda x: xp.where(x > 1.2, x * x, x),
    "clip": lambda x: xp.clip(x, min=-1.0, max=2.5) * x,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_what_is_made_of_several(name):
    x = tg.tensor(ZEROS, requires_grad=True)
    assert gradcheck(SMOOTH[name], (x,))


@pytest.mark.parametrize(
    "name", [n for n in FLOATING.split() if not n.startswith("is") and n != "signbit"]
)
def test_functions_of_one_have_gradients(name):
    # 0.5 is where `round` jumps
    x = tg.tensor(U + {"acosh": 1.0, "round": 0.1}.get(name, 0.0), requires_grad=True)
    assert gradcheck(lambda x: getattr(xp, name)(x) + x, (x,))


def test_a_gpu_computes_the_same(cp):
    x, g = tg.tensor(TIES * 0.5), tg.tensor(TIES * 0.5, device="cuda:1")
    for function in (
        lambda t: xp.sort(t, descending=True),
        lambda t: xp.argsort(t, axis=0),
        lambda t: xp.unique_values(t),
        lambda t: xp.nonzero(t)[1],
        lambda t: xp.prod(t, axis=1),
        lambda t: xp.tril(t),
        lambda t: xp.roll(t, 2, axis=1),
        lambda t: xp.repeat(t, 2),
        lambda t: xp.searchsorted(xp.sort(t[0]), t[1]),
    ):
        y = function(g)
        assert y.device == "cuda:1"
        assert y.tolist() == function(x).tolist()


# --- code that others wrote for the standard ------------------------------------------------------


@pytest.fixture(scope="module")
def extra():
    return pytest.importorskip("array_api_extra")


OTHERS = {
    "kron": lambda m, x: m.kron(x, x),
    "cov": lambda m, x: m.cov(x),
    "atleast_nd": lambda m, x: m.atleast_nd(x, ndim=3),
    "create_diagonal": lambda m, x: m.create_diagonal(x[0]),
    "pad": lambda m, x: m.pad(x, 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_code_has_gradients(extra, name):
    function = OTHERS[name]
    ours = function(extra, tg.tensor(A))
    np.testing.assert_allclose(ours.numpy(), function(extra, A), rtol=1e-12)
    x = tg.tensor(A, requires_grad=True)
    assert gradcheck(lambda x: function(extra, x), (x,))
