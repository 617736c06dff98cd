"""Random numbers: the generator, and the tensors that are drawn from it.

Every statistic has a fixed seed and bounds of about five standard deviations.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_adam.random import Generator, default_generator

# --- the generator ------------------------------------------------------------------------------


def test_draw_k_is_keyed_by_the_seed_and_k():
    generator = Generator(7)
    for k in range(3):
        key = 7 + k * 2**64  # the two words of a Philox key
        expected = np.random.Generator(np.random.Philox(key=key)).random(4)
        np.testing.assert_array_equal(generator.numpy().random(4), expected)
    assert generator.get_state() == {"seed": 7, "draws": 3}
    assert repr(generator) == "Generator(seed=7, draws=3)"
    assert generator.initial_seed == 7


def test_a_seed_starts_from_the_beginning():
    generator = Generator(3)
    first = [generator.numpy().random() for _ in range(3)]
    assert len(set(first)) == 3
    assert generator.manual_seed(3) is generator
    assert [generator.numpy().random() for _ in range(3)] == first
    assert Generator(4).numpy().random() not in first
    assert Generator(2**64 - 1).initial_seed == 2**64 - 1


def test_without_a_seed_each_is_another():
    seeds = {Generator().initial_seed for _ in range(4)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_a_state_goes_on_from_where_it_was_taken():
    generator = Generator(5)
    generator.numpy()
    state = generator.get_state()
    rest = [generator.numpy().random() for _ in range(3)]
    other = Generator(99)
    other.set_state(state)
    assert [other.numpy().random() for _ in range(3)] == rest
    assert state == {"seed": 5, "draws": 1}  # a copy


SEEDS = ["a", 1.9, 2.0, True, [1], -1, 2**64, np.arange(2), tg.tensor(1.5)]


@pytest.mark.parametrize("seed", SEEDS, ids=str)
def test_a_seed_is_an_integer(seed):
    generator = Generator(5)
    generator.numpy()
    before, default = generator.get_state(), default_generator().get_state()
    for start in (generator.manual_seed, tg.manual_seed, Generator):
        with pytest.raises(ArgumentError, match="seed must be between 0 and 2"):
            start(seed)
    for state in ({"seed": seed, "draws": 0}, {"seed": 0, "draws": seed}):
        with pytest.raises(ArgumentError, match=r"(seed|draws) must be between .* an integer"):
            generator.set_state(state)
    assert (generator.get_state(), default_generator().get_state()) == (before, default)


def test_a_generator_takes_its_own_state_only():
    generator = Generator(5)
    for state in (None, {"seed": 1}, {"draws": 1}, [1, 2], 3):
        with pytest.raises(ArgumentError, match="is what get_state"):
            generator.set_state(state)
    with pytest.raises(ArgumentError, match="seed must be between"):
        tg.manual_seed(None)
    assert generator.get_state() == {"seed": 5, "draws": 0}
    for seed in (np.int64(7), np.uint64(7), tg.tensor(7)):
        assert Generator(seed).initial_seed == 7


# --- what all drawing functions have in common --------------------------------------------------

DRAWS = {
    "rand": lambda **k: tg.rand(50, **k),
    "randn": lambda **k: tg.randn(50, **k),
    "randint": lambda **k: tg.randint(10**6, size=(50,), **k),
    "randperm": lambda **k: tg.randperm(50, **k),
    "rand_like": lambda **k: tg.rand_like(tg.zeros(50), **k),
    "randn_like": lambda **k: tg.randn_like(tg.zeros(50), **k),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_where_the_numbers_come_from(draw):
    assert tg.manual_seed(1) is default_generator()
    first, second = draw().tolist(), draw().tolist()
    assert first != second
    tg.manual_seed(1)
    assert draw().tolist() == first
    state = default_generator().get_state()
    own = Generator(1)
    assert draw(generator=own).tolist() == first
    assert draw(generator=own).tolist() == second
    assert own.get_state() == {"seed": 1, "draws": 2}
    assert default_generator().get_state() == state
    assert draw(generator=Generator(2)).tolist() != first


@pytest.mark.parametrize("make", [tg.rand, tg.randn])
def test_types_and_shapes(make):
    for dtype in (tg.float16, tg.float32, tg.float64):
        assert make(2, 3, dtype=dtype).dtype == dtype
    assert make(2, 3).dtype == tg.float32
    assert make(2, 3).shape == make((2, 3)).shape == make(size=(2, 3)).shape == (2, 3)
    assert make().shape == ()
    assert make(0, 3).shape == (0, 3)
    x = make(4, requires_grad=True)
    assert x.is_leaf
    assert x.requires_grad
    assert not make(4).requires_grad
    # the same numbers in every type, rounded
    wide = make(100, generator=Generator(0), dtype=tg.float64).data
    narrow = make(100, generator=Generator(0)).data
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))
    tg.set_default_dtype(tg.float64)
    assert make(1).dtype == tg.float64


@pytest.mark.parametrize("name", ["rand", "randn"])
def test_likes(name):
    x = tg.zeros(3, 4, dtype=tg.float64, requires_grad=True)
    like = getattr(tg, f"{name}_like")(x, generator=Generator(2))
    expected = getattr(tg, name)(3, 4, dtype=tg.float64, generator=Generator(2))
    assert like.tolist() == expected.tolist()
    assert (like.dtype, like.shape, like.requires_grad) == (tg.float64, (3, 4), False)
    assert not x.data.any()


BAD = {
    "rand size": (lambda: tg.rand(-1), ShapeError, ["rand", "(-1,)"]),
    "randn size": (lambda: tg.randn(-1), ShapeError, ["randn", "(-1,)"]),
    "randint size": (lambda: tg.randint(5, (-1,)), ShapeError, ["randint", "(-1,)"]),
    "rand size type": (lambda: tg.rand(2.0), DTypeError, ["rand", "2.0"]),
    "rand integers": (lambda: tg.rand(2, dtype=tg.int64), DTypeError, ["rand", "int64"]),
    "rand type": (lambda: tg.rand(2, dtype="foo"), DTypeError, ["foo"]),
    "rand_like": (lambda: tg.rand_like(tg.tensor([1])), DTypeError, ["rand", "int64"]),
    "rand_like list": (lambda: tg.rand_like([1.0]), DTypeError, ["rand_like", "list"]),
    "randn_like": (lambda: tg.randn_like(tg.tensor([1])), DTypeError, ["randn", "int64"]),
    "randn_like list": (lambda: tg.randn_like([1.0]), DTypeError, ["randn_like", "list"]),
    "randint nothing": (lambda: tg.randint(0, size=(2,)), ArgumentError, ["randint", "0"]),
    "randint crossed": (lambda: tg.randint(5, 5, (2,)), ArgumentError, ["randint", "5"]),
    "randint type": (lambda: tg.randint(5, dtype="foo"), DTypeError, ["foo"]),
    "randperm type": (lambda: tg.randperm(2, dtype="foo"), DTypeError, ["foo"]),
    "randperm negative": (lambda: tg.randperm(-1), ArgumentError, ["randperm", "-1"]),
}


@pytest.mark.parametrize(("call", "error", "parts"), BAD.values(), ids=BAD)
def test_error(call, error, parts):
    state = default_generator().get_state()
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert default_generator().get_state() == state, "a failed call drew numbers"


# --- the distributions --------------------------------------------------------------------------

N = 20_000


def distance(sample, cdf):
    """Return Kolmogorov and Smirnov's statistic, times the root of the size; 2 is rare (0.07 %)."""
    sample = np.sort(sample)
    expected = np.array([cdf(v) for v in sample])
    steps = np.arange(len(sample) + 1) / len(sample)
    gap = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    return gap * math.sqrt(len(sample))


def test_rand_is_uniform():
    x = tg.rand(N, generator=Generator(0)).data
    assert x.min() >= 0
    assert x.max() < 1
    assert distance(x, lambda v: v) < 2
    # neighbours have nothing to do with each other
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(N)


def test_rand_never_reaches_one():
    class Edge(Generator):
        def numpy(self):
            return self

        def random(self, shape):
            return np.full(shape, np.nextafter(1, 0))

    for dtype in (tg.float16, tg.float32, tg.float64):
        x = tg.rand(3, dtype=dtype, generator=Edge(0))
        assert x.dtype == dtype
        assert (x.data == np.nextafter(np.ones(1, dtype), np.zeros(1, dtype))).all()


def test_randn_is_normal():
    x = tg.randn(N, generator=Generator(0)).data
    assert distance(x, lambda v: (1 + math.erf(v / math.sqrt(2))) / 2) < 2
    assert abs(x.mean()) < 5 / math.sqrt(N)
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / N)
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(N)


def test_randint_draws_evenly_between_its_bounds():
    x = tg.randint(-2, 3, (N,), generator=Generator(0))
    assert x.dtype == tg.int64
    counts = Counter(x.tolist())
    assert set(counts) == {-2, -1, 0, 1, 2}
    spread = math.sqrt(N * 0.2 * 0.8)
    assert all(abs(n - N / 5) < 5 * spread for n in counts.values())
    # one bound is the upper one; the size may come second
    assert set(tg.randint(3, size=(100,), generator=Generator(0)).tolist()) == {0, 1, 2}
    assert tg.randint(3, (4, 5)).shape == tg.randint(3, [4, 5]).shape == (4, 5)
    assert tg.randint(3).shape == ()
    assert tg.randint(0, 1, (3,)).tolist() == [0, 0, 0]
    assert tg.randint(9, size=(2,), dtype=tg.uint8).dtype == tg.uint8
    assert tg.randint(9, size=(2,), dtype=tg.float32).dtype == tg.float32


def test_randperm_gives_every_order_equally_often():
    generator, n = Generator(0), 6000
    counts = Counter(tuple(tg.randperm(3, generator=generator).tolist()) for _ in range(n))
    assert len(counts) == 6
    spread = math.sqrt(n * (1 / 6) * (5 / 6))
    assert all(abs(count - n / 6) < 5 * spread for count in counts.values())
    x = tg.randperm(100, generator=generator)
    assert x.dtype == tg.int64
    assert sorted(x.tolist()) == list(range(100)) != x.tolist()
    assert tg.randperm(5, dtype=tg.int32).dtype == tg.int32
    assert tg.randperm(0).shape == (0,)
