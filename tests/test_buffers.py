"""Memory that is used again: never while anything still refers to it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam import buffers

LARGE = (256, 256)


@pytest.fixture(autouse=True)
def _own_blocks(monkeypatch):
    monkeypatch.setattr(buffers, "_blocks", {})
    monkeypatch.setattr(buffers, "_owners", {})


def place(a):
    return a.__array_interface__["data"][0]


def test_memory_is_used_again_when_its_array_is_gone():
    a = buffers.empty(LARGE, np.float32)
    assert place(a) % buffers.LINE == 0
    first = place(a)
    b = buffers.empty(LARGE, np.float32)
    assert place(b) != first
    del a
    assert place(buffers.empty((512, 128), np.int32)) == first
    assert not np.shares_memory(buffers.empty(LARGE, np.float32), b)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[3:5],
        lambda a: a.T[::-1],
        lambda a: a.reshape(-1).view(np.int32)[7:8],
        lambda a: memoryview(a)[0:1],
        lambda a: tg.Tensor(a)[0],
        lambda a: np.lib.stride_tricks.as_strided(a, (2,), (4,)),
        lambda a: np.frombuffer(a, np.uint8),
    ],
)
def test_memory_with_a_view_is_not_free(view):
    a = buffers.empty(LARGE, np.float32)
    first = place(a)
    part = view(a)
    del a
    b = buffers.empty(LARGE, np.float32)
    assert place(b) != first
    del part
    assert place(buffers.empty(LARGE, np.float32)) == first


def test_small_arrays_are_numpys():
    assert buffers.empty((3, 4), np.float32).base is None
    assert buffers.empty((), np.float64).shape == ()
    assert buffers.empty((0, 1 << 20), np.float64).shape == (0, 1 << 20)
    assert buffers._blocks == {}


orders = st.permutations(range(3))


@given(st.tuples(*[st.integers(0, 70)] * 3), orders, st.sampled_from(["f4", "f8", "u1"]))
def test_the_memory_order_is_numpys(shape, order, dtype):
    x = np.empty([shape[i] for i in order], "f4").transpose(np.argsort(order))
    like, numpys = buffers.empty_like(x, dtype), np.empty_like(x, dtype)
    assert (like.shape, like.dtype) == (numpys.shape, numpys.dtype)
    if x.size and 1 not in shape:
        assert like.strides == numpys.strides
    assert like.flags.writeable
    assert buffers.empty_like(x, shape=(5, 6, 7)).shape == (5, 6, 7)


def test_only_a_sole_array_is_as_good_as_an_owner():
    a = buffers.empty(LARGE, np.float32)
    assert buffers.is_sole(a)
    b = a[:3]
    assert not buffers.is_sole(a)
    assert not buffers.is_sole(b)
    del a
    assert buffers.is_sole(b)
    assert not buffers.is_sole(np.zeros(LARGE)[1:])
    assert not buffers.is_sole(np.zeros(LARGE))


def test_what_nobody_wants_for_long_is_given_back(monkeypatch):
    monkeypatch.setattr(buffers, "PATIENCE", 3)
    kept = buffers.empty((300, 300), np.float32)
    del kept
    for _ in range(5):
        a = None
        a = buffers.empty(LARGE, np.float32)
    assert len(buffers._owners) == 2
    b = buffers.empty(LARGE, np.float32)  # a second one: a new block
    assert [len(blocks) for blocks in buffers._blocks.values()] == [0, 2]
    assert not np.shares_memory(a, b)


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(number):
        for _ in range(300):
            a = buffers.empty(LARGE, np.int64)
            a.fill(number)
            if not (a == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
