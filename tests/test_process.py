"""How many threads compute, and how memory is given back: what is set for the whole process."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
import threadpoolctl

import tinygrad_adam as tg
from tinygrad_adam import process
from tinygrad_adam.errors import ArgumentError, MissingPackageError
from tinygrad_adam.kernels import products

LARGE, SMALL = 1e9, 1e6


def blas():
    """Return the threads of each BLAS library, by threadpoolctl; NumPy's before SciPy's."""
    info = [entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "blas"]
    info.sort(key=lambda entry: "scipy.libs" in entry["filepath"])
    return [entry["num_threads"] for entry in info]


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    before = blas()
    monkeypatch.setattr(process, "_limit", None)
    monkeypatch.setattr(process, "_next_look", 0.0)
    monkeypatch.setattr(process, "_handed_out", 1)
    yield
    tg.set_num_threads(max(before))


@pytest.fixture
def machine(monkeypatch):
    """Let a machine have so many processors, and so many threads running, ours included."""

    def make(processors, running):
        monkeypatch.setattr(process.os, "cpu_count", lambda: processors)
        monkeypatch.setattr(process, "_running", lambda: running)
        monkeypatch.setattr(process, "_next_look", 0.0)

    return make


def test_the_number_reaches_the_library():
    for n in (1, 2):
        tg.set_num_threads(n)
        assert tg.get_num_threads() == n
        assert set(blas()) == {n}


def test_any_thread_may_set_it():
    tg.set_num_threads(1)
    thread = threading.Thread(target=tg.set_num_threads, args=(2,))
    thread.start()
    thread.join()
    assert set(blas()) == {2}


def test_left_alone_it_is_the_librarys():
    assert tg.get_num_threads() == blas()[0]


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None])
def test_nonsense_changes_nothing(n):
    tg.set_num_threads(1)
    with pytest.raises(ArgumentError, match="set_num_threads: n must be an integer"):
        tg.set_num_threads(n)
    assert tg.get_num_threads() == 1


def test_without_threadpoolctl(monkeypatch):
    process._numpys.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "threadpoolctl", None)
        with pytest.raises(MissingPackageError, match="pip install threadpoolctl"):
            tg.set_num_threads(1)
        assert tg.get_num_threads() >= 1
        assert process.product(SMALL, np.add, 1, 2) == 3
    process._numpys.cache_clear()


def test_threads_that_pay(machine):
    tg.set_num_threads(4)
    machine(processors=8, running=1)
    assert process.threads_for(SMALL) == 1
    assert process.threads_for(LARGE) == 4
    machine(processors=8, running=9)  # four of them ours
    assert process.threads_for(LARGE) == 3
    machine(processors=8, running=30)
    assert process.threads_for(LARGE) == 1
    assert process.threads_for(LARGE, most=1) == 1


def test_our_own_threads_are_no_neighbours(machine):
    tg.set_num_threads(2)
    machine(processors=2, running=1)
    assert process.threads_for(LARGE) == 2
    machine(processors=2, running=2)
    assert process.threads_for(LARGE) == 2
    machine(processors=2, running=3)
    assert process.threads_for(LARGE) == 1
    # The second thread sleeps now: the other one that runs is the neighbour.
    machine(processors=2, running=2)
    assert process.threads_for(LARGE) == 1
    machine(processors=2, running=1)
    assert process.threads_for(LARGE) == 2


def test_the_machine_is_looked_at_now_and_then(machine, monkeypatch):
    looks, clock = [], iter((1.0, 1.01, 1.02, 1.03, 1.04, 1.06))
    machine(processors=2, running=1)
    monkeypatch.setattr(process.time, "monotonic", lambda: looks.append(0) or next(clock))
    monkeypatch.setattr(process, "_running", lambda: looks.append(1) or 1)
    for _ in range(6):
        process.threads_for(LARGE, most=2)
    assert looks == [0, 1, 0, 0, 0, 1, 0, 0, 1]


def test_a_product_has_the_threads_that_pay_and_leaves_the_rest_alone(machine):
    tg.set_num_threads(2)
    machine(processors=2, running=1)
    assert process.product(SMALL, blas)[0] == 1
    assert process.product(LARGE, blas)[0] == 2
    machine(processors=2, running=5)
    assert process.product(LARGE, blas)[0] == 1
    assert set(blas()) == {2}
    with pytest.raises(ValueError, match="matmul"):
        process.product(SMALL, np.matmul, np.ones((2, 3)), np.ones((2, 3)))
    assert set(blas()) == {2}
    out = np.empty((1, 1))
    assert process.product(SMALL, np.matmul, np.ones((1, 2)), np.ones((2, 1)), out=out) is out
    assert out.item() == 2


@pytest.mark.parametrize(
    ("a", "b", "guarded"),
    [
        ((64, 64), (64, 63), False),
        ((64, 64), (64, 64), True),
        ((3, 50, 50), (50, 50), True),
        ((90, 100), (100, 1), False),
        ((1, 100), (100, 100), True),
        ((100, 100), (100, 1), True),
    ],
)
def test_products_that_the_library_may_share_are_guarded(a, b, guarded, monkeypatch):
    shared = []

    def product(flops, function, *operands):
        shared.append(flops)
        return function(*operands)

    monkeypatch.setattr(products, "product", product)
    a, b = np.random.default_rng(0).random(a), np.random.default_rng(1).random(b)
    y = tg.matmul(tg.tensor(a), tg.tensor(b))
    np.testing.assert_array_equal(y.data, a @ b)
    assert shared == ([2 * a.size * b.shape[1]] if guarded else [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_thread_that_runs_is_counted():
    assert 1 <= process._running() < 10_000


def test_a_system_that_does_not_say_what_runs(monkeypatch):
    def missing(*_):
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", missing)
        assert process._running() == 0


FAULTS = """
import resource, sys
import numpy as np
import tinygrad_adam as tg
if sys.argv[1] == "tuned":
    assert tg.tune_malloc()
def faults(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        arrays = [np.ones(4 << 20, np.uint8) for _ in range(8)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
print(faults(5))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_tuned_memory_is_used_again():
    counts = [
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], capture_output=True, check=True
            ).stdout
        )
        for how in ("plain", "tuned")
    ]
    assert counts[0] > 1000
    assert counts[1] < 100


def test_another_c_library(monkeypatch):
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    assert tg.tune_malloc() is False


def test_importing_changes_nothing():
    code = (
        "import numpy, threadpoolctl as t; a = t.threadpool_info(); import tinygrad_adam; "
        "assert a == t.threadpool_info()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
