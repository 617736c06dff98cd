"""Tensors among the arrays of others: NumPy's functions, figures, and memory shared by DLPack."""

from __future__ import annotations

import copy
import gc
import sys
import weakref

import numpy as np
import pytest
import test_devices

import tinygrad_adam as tg
from tinygrad_adam import exchange
from tinygrad_adam.errors import (
    DeviceError,
    DTypeError,
    ExchangeError,
    GraphError,
    InPlaceError,
    NoSequenceError,
)


@pytest.fixture
def w():
    return tg.tensor([1.0, 2.0, 3.0], requires_grad=True)


cp = test_devices.cp  # a machine with two GPUs


# --- NumPy's functions --------------------------------------------------------------------------

FUNCTIONS = {
    "exp": (np.exp, "tg.exp"),
    "absolute": (np.abs, "tg.abs"),
    "maximum": (lambda t: np.maximum(t, 2), "tg.maximum"),
    "mean": (np.mean, "tg.mean"),
    "sum": (lambda t: np.sum(t, axis=0), "tg.sum"),
    "clip": (lambda t: np.clip(t, 0, 1), "tg.clamp"),
    "concatenate": (lambda t: np.concatenate([t, t]), "tg.cat"),
    "stack": (lambda t: np.stack((np.ones(3), t)), "tg.stack"),
    "dot": (lambda t: np.dot(t, t), "tg.matmul"),
    "where": (lambda t: np.where(np.arange(3) > 1, t, 0), "tg.where"),
    "add.reduce": (np.add.reduce, "t.detach()"),
    "hypot": (lambda t: np.hypot(t, 1), "tg.hypot"),
    "arctan2": (lambda t: np.arctan2(t, 1), "tg.atan2"),
    "cbrt": (np.cbrt, "t.detach()"),
    "linalg.norm": (np.linalg.norm, "t.detach()"),
    "median": (np.median, "t.detach()"),
    "block": (lambda t: np.block([[t, t], [t, t]]), "t.detach()"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_say_what_keeps_the_gradient(name, w):
    function, ours = FUNCTIONS[name]
    with pytest.raises(GraphError, match=rf"^numpy\.{name}: .* requires a gradient") as error:
        function(w)
    assert ours in str(error.value)
    with pytest.raises(GraphError):
        function(w * 2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_take_a_tensor_without_gradient_as_its_array(name, w):
    function, _ = FUNCTIONS[name]
    got, expected = function(w.detach()), function(w.detach().numpy())
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


def test_every_function_that_is_named_exists():
    for theirs, ours in exchange._OURS.items():
        assert callable(getattr(np, theirs))
        assert callable(getattr(tg, ours))


def test_questions_about_an_array_are_answered(w):
    assert (np.shape(w), np.ndim(w), np.size(w)) == ((3,), 1, 3)


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("grad", [True, False])
def test_an_array_leaves_its_operators_to_the_tensor(name, grad):
    function = OPERATORS[name]
    a, t = np.array([2.0, 5.0]), tg.tensor([3.0, 5.0], dtype=tg.float64, requires_grad=grad)
    y = function(a, t)
    assert type(y) is tg.Tensor
    np.testing.assert_array_equal(y.detach(), function(a, t.detach().numpy()))
    if grad and y.dtype.kind == "f":
        (g,) = tg.autograd.grad(y.sum(), t)
        (h,) = tg.autograd.grad(function(tg.from_numpy(a), t).sum(), t)
        assert g.tolist() == h.tolist()
    if name != "@":
        assert type(function(np.float64(2), t)) is tg.Tensor


def test_an_operator_in_place_stays_in_the_array(w):
    a = before = np.ones(3)
    a += w.detach()
    assert a is before
    assert a.tolist() == [2, 3, 4]
    with pytest.raises(GraphError, match=r"^numpy\.add: "):
        a += w
    assert a.tolist() == [2, 3, 4]


def test_numpys_functions_do_not_write_into_a_tensor(w):
    # a graph that saved it would not notice
    t = w.detach()
    for write in (
        lambda: np.copyto(t, 0),
        lambda: np.exp(np.ones(3), out=t),
        lambda: np.mean(np.ones((2, 3)), axis=0, out=t),
        lambda: np.put(t, [0], 7),
    ):
        with pytest.raises((ValueError, TypeError), match="read-only"):
            write()
    assert t.tolist() == [1, 2, 3]


def test_a_tensor_becomes_an_array(w):
    t = w.detach()
    assert np.asarray(t) is t.data
    assert np.asarray(t, np.float64).dtype == np.float64
    assert np.array([t, t]).shape == (2, 3)
    with pytest.raises(GraphError, match=r"\.detach\(\)\.numpy\(\)"):
        np.asarray(w)


def test_numpy_does_not_reach_a_gpu(cp):
    t = tg.ones(2, device="cuda")
    for function, ours in ((np.exp, "tg.exp"), (np.mean, "tg.mean"), (np.median, "t.cpu()")):
        with pytest.raises(DeviceError, match="cuda:0") as error:
            function(t)
        assert ours in str(error.value)
    assert type(cp.ones(2) + t) is tg.Tensor  # CuPy leaves its turn, too


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax, x: ax.plot(x),
        lambda ax, x: ax.plot(x, x),
        lambda ax, x: ax.scatter(x, x),
        lambda ax, x: ax.hist(x),
        lambda ax, x: ax.bar(x, x),
        lambda ax, x: ax.fill_between(x, x),
        lambda ax, x: ax.imshow(x.reshape(1, 3)),
    ],
)
def test_figures_take_detached_tensors(draw, w):
    from matplotlib.figure import Figure

    draw(Figure().subplots(), w.detach())
    for t in (w, w * 2, tg.nn.Parameter(w.detach())):
        with pytest.raises(GraphError, match=r"requires a gradient.*\.detach\(\)"):
            draw(Figure().subplots(), t)


def test_a_number_is_no_sequence():
    t = tg.tensor(1.0)
    assert not np.iterable(t)
    for ask in (iter, len, list):
        with pytest.raises(NoSequenceError):
            ask(t)


def test_a_shallow_copy_of_a_result_is_made_by_the_same_operation(w):
    y = w * 2
    z = copy.copy(y)
    assert z.data is y.data
    (z * 1).sum().backward()
    assert w.grad.tolist() == [2, 2, 2]
    u = (w * 2).exp()
    with pytest.raises(InPlaceError):
        copy.copy(u).add_(1)  # a write to one is not lost on the other


# --- DLPack -------------------------------------------------------------------------------------

versioned = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy 2.0 takes memory over as read-only"
)

ARRAYS = {
    "plain": np.arange(6.0).reshape(2, 3),
    "float32": np.arange(3, dtype=np.float32),
    "float16": np.arange(3, dtype=np.float16),
    "bool": np.array([True, False]),
    "int64": np.arange(3),
    "uint8": np.arange(3, dtype=np.uint8),
    "0-d": np.array(3.0),
    "empty": np.zeros((0, 3)),
    "columns": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(12.0).reshape(3, 4)[::2, 1::2],
}


class Foreign:
    """An array of another library: its memory says nothing of where it came from."""

    def __init__(self, array, kind=1):
        self.array, self.kind = array, kind

    def __dlpack__(self, **asked):
        return self.array.__dlpack__(**asked)

    def __dlpack_device__(self):
        return self.kind, 0


@versioned
@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back_on_the_same_memory(name):
    a = ARRAYS[name].copy("K")
    t = tg.from_dlpack(Foreign(a))
    assert (t.shape, t.dtype) == (a.shape, a.dtype)
    b = np.from_dlpack(t)
    np.testing.assert_array_equal(b, a)
    assert b.strides == a.strides
    if a.size:
        assert np.shares_memory(b, a)
        t.fill_(1)
        assert (a == 1).all()
        assert (b == 1).all()


def test_an_array_is_used_as_it_is():
    a = np.zeros(2)
    assert tg.from_dlpack(a).data is a
    t = tg.ones(2)
    assert tg.from_dlpack(t).data is t.data


@versioned
def test_copies_where_it_is_asked_to():
    a = np.zeros(2)
    for x in (a, Foreign(a), tg.from_numpy(a)):
        t = tg.from_dlpack(x, copy=True)
        assert not np.shares_memory(t.data, a)
        assert np.shares_memory(tg.from_dlpack(x, copy=False).data, a)
        assert np.shares_memory(tg.from_dlpack(x, device="cpu").data, a)
    assert not np.shares_memory(np.from_dlpack(tg.from_numpy(a), copy=True), a)


def test_what_requires_a_gradient_is_not_handed_out(w):
    for t in (w, w * 2):
        with pytest.raises(ExchangeError, match=r"requires a gradient.*\.detach\(\)"):
            np.from_dlpack(t)
        with pytest.raises(ExchangeError, match=r"requires a gradient.*\.detach\(\)"):
            tg.from_dlpack(t)
    assert np.from_dlpack(w.detach()).tolist() == [1, 2, 3]
    assert isinstance(ExchangeError(), BufferError)  # as the standard says


@versioned
def test_read_only_memory_goes_to_those_who_can_be_told():
    t = tg.ones(2).expand(3, 2)
    assert not np.from_dlpack(t).flags.writeable
    with pytest.raises(ExchangeError, match=r"(?i)readonly.*\.clone\(\)"):
        t.__dlpack__()


def test_memory_that_runs_backwards_is_not_handed_out():
    t = tg.from_numpy(np.arange(3.0)[::-1])
    with pytest.raises(ExchangeError, match=r"backwards.*\.contiguous\(\)"):
        np.from_dlpack(t)
    assert np.from_dlpack(t.contiguous()).tolist() == [2, 1, 0]


def test_what_cannot_be_taken_over():
    with pytest.raises(DTypeError, match=r"list; use tg\.tensor"):
        tg.from_dlpack([1.0])
    with pytest.raises(DTypeError, match="complex128"):
        tg.from_dlpack(np.ones(2, complex))
    with pytest.raises(DTypeError, match="complex128"):
        tg.from_dlpack(Foreign(np.ones(2, complex)))
    with pytest.raises(ExchangeError, match="kind 4"):
        tg.from_dlpack(Foreign(np.ones(2), kind=4))
    with pytest.raises(ExchangeError, match=r"test_exchange.Foreign cannot be taken over"):
        tg.from_dlpack(Foreign(np.ones(2, "M8[s]")))


def test_a_gpu_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="needs CuPy"):
        tg.from_dlpack(Foreign(np.ones(2), kind=2))


@versioned
@pytest.mark.parametrize(
    "again",
    [
        lambda a: tg.from_dlpack(Foreign(a)),
        lambda a: tg.from_dlpack(Foreign(a[1:])),
        lambda a: tg.from_dlpack(Foreign(a[::2])),
        lambda a: tg.from_dlpack(Foreign(a.reshape(2, 2).T)),
        lambda a: tg.from_dlpack(Foreign(a.view(np.int64))),
    ],
)
def test_changes_are_noticed_however_memory_came(again):
    a = np.arange(4.0)
    w = tg.ones(4, dtype=tg.float64, requires_grad=True)
    t = tg.from_dlpack(Foreign(a))
    y = (w * t).sum()
    again(a).fill_(5)
    with pytest.raises(InPlaceError):
        y.backward()


@versioned
def test_changes_are_noticed_of_memory_that_was_handed_out():
    t = tg.arange(4.0)
    w = tg.ones(4, requires_grad=True)
    y = (w * t).sum()
    back = tg.from_dlpack(Foreign(np.from_dlpack(t[1:])))
    back += 1
    assert t.tolist() == [0, 2, 3, 4]
    with pytest.raises(InPlaceError):
        y.backward()


def test_a_strided_array_taken_over_twice_is_the_same():
    a = np.arange(6.0)[::2]
    first, second = tg.from_dlpack(Foreign(a)), tg.from_dlpack(Foreign(a))
    assert first.data is second.data


@versioned
def test_other_memory_changes_for_itself():
    a, b = np.zeros(4), np.zeros(4)
    w = tg.ones(4, dtype=tg.float64, requires_grad=True)
    y = (w * tg.from_dlpack(Foreign(a))).sum()
    other = tg.from_dlpack(Foreign(b))
    other += 1
    y.backward()


@versioned
def test_a_part_of_read_only_memory_is_read_only():
    a = np.zeros(4)
    a.flags.writeable = False
    t = tg.from_dlpack(Foreign(a))
    part = tg.from_dlpack(Foreign(a[1:]))
    assert not t.data.flags.writeable
    assert not part.data.flags.writeable
    b = np.zeros(4)
    assert tg.from_dlpack(Foreign(b)).data.flags.writeable
    kept = tg.from_dlpack(Foreign(b))
    locked = b[:2]
    locked.flags.writeable = False
    assert not tg.from_dlpack(Foreign(locked)).data.flags.writeable
    assert kept.data.flags.writeable


@versioned
def test_memory_may_reach_beyond_what_is_known():
    a = np.arange(4.0)
    for known in (a[:2], a[2:]):
        first = tg.from_dlpack(Foreign(known))
        assert tg.from_dlpack(Foreign(a)).tolist() == [0, 1, 2, 3]
        assert first.tolist() == known.tolist()


@versioned
def test_a_part_of_a_column_that_was_handed_out_is_known():
    t = tg.zeros(3, 2)
    w = tg.ones(3, 2, requires_grad=True)
    y = (w * t).sum()
    back = tg.from_dlpack(Foreign(np.from_dlpack(t[:, 0])[1:]))
    back.fill_(1)
    assert t.tolist() == [[0, 0], [1, 0], [1, 0]]
    with pytest.raises(InPlaceError):
        y.backward()


def test_memory_is_forgotten_with_its_last_tensor():
    a = np.zeros(1000)
    t = tg.from_dlpack(Foreign(a))
    gone = weakref.ref(t.data)
    known = len(exchange._shared)
    del t
    gc.collect()
    assert gone() is None
    assert len(exchange._shared) < known


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_arrays_of_a_gpu(cp, device):
    t = tg.arange(3.0, device=device)
    assert t.__dlpack_device__() == (2, t.device.index)
    x = cp.from_dlpack(t)
    with x.device:
        x += 1
    assert t.tolist() == [1, 2, 3]
    back = tg.from_dlpack(x)
    assert back.device == device
    w = tg.ones(3, device=device, requires_grad=True)
    y = (w * t).sum()
    back += 1
    with pytest.raises(InPlaceError):
        y.backward()
    there = tg.from_dlpack(t, device="cpu")
    assert there.tolist() == [2, 3, 4]
    with pytest.raises(ExchangeError, match="copy is False"):
        tg.from_dlpack(t, device="cpu", copy=False)
    cp.traffic.clear()
    tg.from_dlpack(x)
    assert not cp.traffic.total
    assert tg.from_dlpack(x, copy=True).data.data.ptr != x.data.ptr


def test_an_unknown_device_is_refused_before_anything():
    with pytest.raises(DeviceError, match="gpu"):
        tg.from_dlpack(np.ones(2), device="gpu")


@versioned
@pytest.mark.oracle
@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back_by_pytorch(name):
    import torch

    a = ARRAYS[name].copy("K")
    t = tg.from_dlpack(torch.from_numpy(a))
    assert (t.shape, t.dtype, t.tolist()) == (a.shape, a.dtype, a.tolist())
    u = torch.from_dlpack(t)
    assert u.shape == t.shape
    if a.size:
        t.fill_(1)
        assert (a == 1).all()
        assert u.all()
        u.zero_()
        assert not t.any()


@pytest.mark.oracle
def test_what_pytorch_does_not_hand_out():
    import torch

    with pytest.raises(ExchangeError, match="detach"):
        tg.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(ExchangeError, match=r"torch\.Tensor"):
        tg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(ExchangeError, match="detach"):
        torch.from_dlpack(tg.ones(2, requires_grad=True))


@versioned
@pytest.mark.oracle
def test_a_parameter_that_pytorch_holds_is_trained():
    import torch

    theirs = torch.ones(3)
    p = tg.nn.Parameter(tg.from_dlpack(theirs))
    (p * p).sum().backward()
    tg.optim.SGD([p], lr=0.25).step()
    assert theirs.tolist() == [0.5, 0.5, 0.5]
