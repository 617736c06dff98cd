"""Indexing as PyTorch has it: where the axes go, what is a view, what is refused, how it is spelt.

Expected values are PyTorch 2.13's, worked out by hand or printed by it; the random programs at the
end are run by both.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import (
    ArgumentError,
    DTypeError,
    InPlaceError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)

F = tg.nn.functional
S = np.s_
A = np.array


def leaf(values):
    return tg.tensor(values, dtype=tg.float64, requires_grad=True)


# --- where the axes go --------------------------------------------------------------------------

BLOCK = np.arange(60).reshape(3, 4, 5)
MASK = np.zeros((3, 4), bool)
MASK[0, 3] = MASK[1, 2] = MASK[2, 1] = True
AXES = {
    "int, slice, list": (S[0, :, [0, 1]], (4, 2), [0, 1, 5, 6, 10, 11, 15, 16]),
    "0-d array": (S[A(1), :, [0, 1]], (4, 2), [20, 21, 25, 26, 30, 31, 35, 36]),
    "numpy integer": (S[np.int64(1), :, [0, 1]], (4, 2), [20, 21, 25, 26, 30, 31, 35, 36]),
    "int between lists": (S[[0, 2], 0, [1, 1]], (2,), [1, 41]),
    "int and None": (S[:2, [0, 1], None, 0], (2, 2, 1), [0, 5, 20, 25]),
    "None between lists": (S[[0, 1], None, [0, 1]], (2, 1, 5), [*range(5), *range(25, 30)]),
    "int after ...": (S[[0, 1], ..., 3], (2, 4), [3, 8, 13, 18, 23, 28, 33, 38]),
    "... of no axes": (S[[0, 1], ..., [0, 1], [1, 2]], (2,), [1, 27]),
    "mask and int": (S[MASK, 0], (3,), [15, 30, 45]),
    "None, mask and int": (S[None, MASK, 2], (1, 3), [17, 32, 47]),
    "mask and list": (S[MASK, [0, 1, 2]], (3,), [15, 31, 47]),
    "mask, slice, int": (S[[True, False, True], 3:, 0], (2, 1), [15, 55]),
    "true and int": (S[:, True, 0, :1], (3, 1, 1), [0, 20, 40]),
    "true between": (S[[0, 1], True, 0, :2], (2, 2), [0, 1, 20, 21]),
    "false": (S[False], (0, 3, 4, 5), []),
    "tuples": (S[(0, 1), (0, 1)], (2, 5), [*range(5), *range(25, 30)]),
    "lists": (S[[0, 1], [0, 1]], (2, 5), [*range(5), *range(25, 30)]),
    "nested lists": (S[[[0], [1]], [0, 1], 0], (2, 2), [0, 5, 20, 25]),
    "nested empty list": (S[[[]], 0], (1, 0, 5), []),
}


def with_tensors(library, index):
    if isinstance(index, tuple):
        return tuple(library.tensor(i) if isinstance(i, np.ndarray) else i for i in index)
    return library.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("name", AXES)
def test_integers_choose_first(name):
    index, shape, values = AXES[name]
    index = with_tensors(tg, index)
    x = tg.tensor(BLOCK)
    assert x[index].shape == shape
    assert x[index].flatten().tolist() == values
    # what is written goes where it would be read, and gradients with it
    numbers = tg.arange(math.prod(shape)).reshape(shape) - 1000
    x[index] = numbers
    assert x[index].tolist() == numbers.tolist()
    assert (x.data != BLOCK).sum() == math.prod(shape)
    y, w = leaf(BLOCK), np.cos(numbers.data)
    (y[index] * tg.tensor(w)).sum().backward()
    placed = tg.zeros(3, 4, 5, dtype=tg.float64)
    placed[index] = tg.tensor(w)
    assert y.grad.tolist() == placed.tolist()


def test_writing_beside_an_integer_is_not_transposed():
    y = tg.zeros(1, 2, 2)
    y[0, :, [0, 1]] = [[1, 2], [3, 4]]
    assert y.tolist() == [[[1, 2], [3, 4]]]


def test_lists_may_hold_tensors():
    x = tg.tensor(BLOCK)
    one, pair = tg.tensor(1), tg.tensor([0, 2])
    assert x[[one, tg.tensor(2)], 0, 0].tolist() == [20, 40]
    assert x[[pair, pair], 0, 0].tolist() == [[0, 40], [0, 40]]
    assert x[0, 0, one:].tolist() == [1, 2, 3, 4]


# --- views --------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, -3, S[0, ...], (0,), tg.tensor(0), np.int64(0), A(0)])
def test_an_element_is_a_view(index):
    x = tg.zeros(3)
    x[index].fill_(5.0)
    assert x.tolist() == [5, 0, 0]


def test_elements_of_views_are_views():
    y = tg.zeros(2, 2)
    y[0][1].fill_(2.0)
    y[1, 0].copy_(3.0)
    z = y[1][1]
    y[1, 1] = 4.0
    assert y.tolist() == [[0, 2], [3, 4]]
    assert z.item() == 4
    for element in y[0]:
        element.zero_()
    assert y.tolist() == [[0, 0], [3, 4]]


def test_places_are_a_copy():
    x = tg.zeros(3)
    for index in ([0], [True, False, False], True):
        x[index].fill_(5.0)
    assert x.tolist() == [0, 0, 0]


def test_a_change_through_an_element_makes_the_graph_stale():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.detach()[0].fill_(9.0)
    with pytest.raises(InPlaceError, match="changed in place"):
        loss.backward()


def test_an_expand_that_repeats_nothing_may_be_written_to():
    x = tg.zeros(3)
    x.expand(3)[0] = 1.0
    x.expand(-1)[1] = 2.0
    x.broadcast_to(1, 3)[0, 2] = 3.0
    assert x.tolist() == [1, 2, 3]
    for repeated in (x.expand(2, 3), x[:1].expand(3)):
        with pytest.raises(InPlaceError, match="read-only"):
            repeated[0] = 1.0


# --- assignment and gradients -------------------------------------------------------------------


def test_retain_grad_stays_with_the_tensor():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    y.retain_grad()
    y[0] = 7.0
    y[[1]] = y[2] + 1.0
    (y * y).sum().backward()
    assert y.grad.tolist() == [14, 14, 12]
    assert x.grad.tolist() == [0, 0, 2 * (14 + 12)]


def test_hooks_stay_with_the_old_value():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y[0] = 7.0
    (y * y).sum().backward()
    assert seen == [[0, 8, 12]]  # of what y was, as in PyTorch


@pytest.mark.parametrize("index", [0, [0], S[:1]])
def test_an_infinite_gradient_of_what_was_overwritten_is_none(index):
    x = leaf([4.0, 9.0])
    y = x.clone()
    y[index] = 0.0
    with np.errstate(all="ignore"):
        (g,) = tg.autograd.grad(tg.sqrt(y).sum(), x, create_graph=True)
        (h,) = tg.autograd.grad(g.sum(), x, create_graph=True)
        (i,) = tg.autograd.grad(h.sum(), x)
    assert g.tolist() == [0, 1 / 6]
    np.testing.assert_allclose(h.tolist(), [0, -1 / 108])
    np.testing.assert_allclose(i.tolist(), [0, 1 / 648])


# --- spellings ----------------------------------------------------------------------------------


def test_shapes_by_name():
    x = tg.arange(6).reshape(2, 3)
    assert x.reshape(shape=(3, 2)).shape == tg.reshape(x, shape=(3, 2)).shape == (3, 2)
    assert x.view(size=(6,)).shape == (6,)
    assert x.permute(dims=(1, 0)).tolist() == tg.permute(x, dims=(1, 0)).tolist() == x.T.tolist()
    assert x.expand(size=(4, 2, 3)).shape == x.expand(size=(4, -1, -1)).shape == (4, 2, 3)
    assert x.broadcast_to(size=(1, 2, 3)).shape == (1, 2, 3)
    for function in (x.flip, lambda *a, **k: tg.flip(x, *a, **k)):
        for flipped in (function(0, 1), function((0, -1)), function([1, 0]), function(dims=(0, 1))):
            assert flipped.tolist() == [[5, 4, 3], [2, 1, 0]]
        assert function(1).tolist() == function(dims=1).tolist() == [[2, 1, 0], [5, 4, 3]]
    with pytest.raises(ArgumentError, match="by name"):
        x.reshape(6, shape=(6,))
    with pytest.raises(ArgumentError, match="needs the axes"):
        x.flip()


def test_split_by_name():
    x = tg.arange(5)
    for pieces in (
        x.split(2), x.split(split_size=2), tg.split(x, split_size_or_sections=2),
        tg.split(x, [2, 2, 1]), x.split(split_size=(2, 2, 1), dim=0),
    ):  # fmt: skip
        assert [p.tolist() for p in pieces] == [[0, 1], [2, 3], [4]]
    with pytest.raises(ArgumentError, match="once"):
        x.split()
    with pytest.raises(ArgumentError, match="once"):
        x.split(2, split_size=2)


def test_movedim_of_several_axes():
    x = tg.tensor(BLOCK)
    y = x.movedim((0, 1), (2, 0))
    assert y.shape == (4, 5, 3)
    assert y.flatten()[:6].tolist() == [0, 20, 40, 1, 21, 41]
    assert x.movedim([-1], [0]).shape == x.movedim(-1, 0).shape == (5, 3, 4)
    assert x.movedim((), ()).shape == (3, 4, 5)
    assert tg.tensor(1.0).movedim(0, 0).item() == tg.tensor(1.0).movedim((), ()).item() == 1


def test_cat_ignores_empty_vectors():
    e, y = tg.zeros(0), tg.ones(2, 3)
    assert tg.cat([e, y]).shape == tg.cat([y, e], 0).shape == tg.cat([e, y], -2).shape == (2, 3)
    assert tg.cat([y, e, y], 1).shape == (2, 6)
    assert tg.cat([e, e]).shape == (0,)
    assert tg.cat([e, tg.ones(3)]).tolist() == [1, 1, 1]
    assert tg.cat([tg.zeros(0, dtype=tg.float64), y]).dtype == tg.float64
    x = leaf(np.ones((2, 3)))
    (tg.cat([tg.zeros(0, dtype=tg.float64), x, x], 1) * tg.arange(6)).sum().backward()
    assert x.grad.tolist() == [[3, 5, 7]] * 2
    with pytest.raises(ShapeError):
        tg.cat([tg.zeros(1, 0), y])


def test_integers_of_any_type_are_integers():
    x, one = tg.zeros(2, 3), tg.tensor(1)
    for i in (np.int8(1), A(1), one):
        assert x.transpose(i, 0).shape == (3, 2)
        assert x.unsqueeze(i).shape == (2, 1, 3)
        assert x.flip(i).shape == (2, 3)
        assert x.size(i) == 3
        assert len(x.split(i)) == len(x.chunk(i + i)) == 2
        assert F.pad(x, (i, 0)).shape == (2, 4)


# --- what is refused ----------------------------------------------------------------------------

X, V, N = tg.ones(2, 3), tg.ones(3), tg.tensor([1, 2, 3])
REFUSED = {
    "slice of float": (lambda: V[1.5:], DTypeError, ["getitem", "start", "float"]),
    "slice of float tensor": (lambda: V[: tg.tensor(1.5)], DTypeError, ["getitem", "stop"]),
    "slice to text": (lambda: V.__setitem__(S[:"1"], 0.0), DTypeError, ["setitem", "stop"]),
    "step 0": (lambda: V[::0], ArgumentError, ["getitem", "step"]),
    "assign step 0": (lambda: V.__setitem__(S[::0], 1.0), ArgumentError, ["setitem", "step"]),
    "two ...": (lambda: X[..., ..., [0]], OutOfRangeError, ["getitem", "..."]),
    "too many": (lambda: X[0, [0], :, 0], OutOfRangeError, ["getitem", "4", "(2, 3)"]),
    "ragged in the index": (lambda: X[0, [[0], [0, 1]]], ShapeError, ["getitem", "rectangular"]),
    "list of floats": (lambda: X[0, (0.5, 1.0)], DTypeError, ["getitem", "float64"]),
    "gather list": (lambda: V.gather(0, [0]), DTypeError, ["gather", "index", "list"]),
    "gather dim": (lambda: V.gather(0.0, N), DTypeError, ["gather", "dim", "float"]),
    "size": (lambda: X.size(5), OutOfRangeError, ["size", "5", "(2, 3)"]),
    "size of float": (lambda: X.size(0.5), DTypeError, ["size", "float"]),
    "size 0-d": (lambda: tg.tensor(1.0).size(0), OutOfRangeError, ["size", "0-d"]),
    "pad inf": (lambda: F.pad(N, (1, 0), value=math.inf), DTypeError, ["pad", "inf", "int64"]),
    "pad nan": (lambda: F.pad(N, (1, 0), value=math.nan), DTypeError, ["pad", "nan", "int64"]),
    "pad text": (lambda: F.pad(V, (1, 0), value="0"), DTypeError, ["pad", "value", "str"]),
    "pad array": (lambda: F.pad(V, (1, 0), value=np.ones(2)), DTypeError, ["pad", "ndarray"]),
    "pad huge": (lambda: F.pad(N, (1, 0), value=10**400), ArgumentError, ["pad"]),
    "pad number": (lambda: F.pad(V, 1), ArgumentError, ["pad", "pairs"]),
    "pad float": (lambda: F.pad(V, (1.9, 0)), DTypeError, ["pad", "width", "1.9"]),
    "unsqueeze": (lambda: V.unsqueeze(1.5), DTypeError, ["unsqueeze", "dim", "1.5"]),
    "transpose": (lambda: X.transpose(0.0, 1), DTypeError, ["transpose", "dim", "float"]),
    "squeeze": (lambda: X.squeeze("a"), DTypeError, ["squeeze", "dim", "'a'"]),
    "squeeze float": (lambda: X.squeeze(0.5), DTypeError, ["squeeze", "dim", "0.5"]),
    "squeeze twice": (lambda: X.squeeze((0, -2)), ArgumentError, ["squeeze", "(0, -2)"]),
    "flip": (lambda: X.flip("a"), DTypeError, ["flip", "dim", "'a'"]),
    "flatten": (lambda: X.flatten("a"), DTypeError, ["flatten", "dim", "'a'"]),
    "movedim": (lambda: X.movedim("a", 0), DTypeError, ["movedim", "dim", "'a'"]),
    "movedim twice": (lambda: X.movedim((0, 0), (0, 1)), ArgumentError, ["movedim", "(0, 0)"]),
    "movedim number": (lambda: X.movedim((0, 1), 0), ArgumentError, ["movedim", "(0, 1)"]),
    "cat dim": (lambda: tg.cat([V, V], "a"), DTypeError, ["cat", "dim", "'a'"]),
    "cat tensor": (lambda: tg.cat(X), DTypeError, ["cat", "list", "Tensor"]),
    "cat number": (lambda: tg.cat(5), DTypeError, ["cat", "list", "int"]),
    "stack tensor": (lambda: tg.stack(X), DTypeError, ["stack", "list", "Tensor"]),
    "split": (lambda: V.split(2.5), DTypeError, ["split", "2.5"]),
    "split lengths": (lambda: V.split([1.5, 1.5]), DTypeError, ["split", "1.5"]),
    "chunk": (lambda: V.chunk(2.5), DTypeError, ["chunk", "2.5"]),
    "expand_as": (lambda: V.expand_as(5), DTypeError, ["expand_as", "int"]),
    "view_as": (lambda: V.view_as((3,)), DTypeError, ["view_as", "tuple"]),
    "reshape": (lambda: V.reshape(3.0), DTypeError, ["reshape", "size", "float"]),
    "one_hot": (lambda: F.one_hot(N, -5), ArgumentError, ["one_hot", "-5", "-1"]),
    "one_hot float": (lambda: F.one_hot(N, 4.0), DTypeError, ["one_hot", "num_classes"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    function, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        function()
    for word in words:
        assert word in str(caught.value)
    assert X.tolist() == [[1, 1, 1]] * 2
    assert V.tolist() == [1, 1, 1]


# --- random programs, run by PyTorch too --------------------------------------------------------


LENGTHS = (1, 2, 3, 3, 4)


def random_shape(rng):
    shape = [int(rng.choice(LENGTHS)) for _ in range(rng.choice([0, 1, 2, 3, 3, 4, 4]))]
    if shape and rng.random() < 0.05:
        shape[rng.integers(len(shape))] = 0
    return tuple(shape)


def random_index(rng, shape):
    """Return a random index of an array of `shape`, mostly valid, with NumPy arrays as tensors."""
    items, axis = [], 0
    used = int(rng.integers(0, len(shape) + 1))
    common = [(2,), (3,), (2, 3), (1,), (2, 1)][rng.integers(5)]
    kinds = ["int", "slice", "slice", "array", "mask", "none", "int0d", "list", "bool"]
    odds = np.array([4, 3, 3, 5, 1.5, 1, 1, 1, 0.4]) * (rng.random(len(kinds)) < 0.6)
    odds[0] += not odds.any()
    while axis < used:
        n = shape[axis]
        kind = rng.choice(kinds, p=odds / odds.sum())
        low, high = (-n, n) if n else (0, 1)
        if kind in ("none", "bool"):  # takes no axis
            choices = [None] if kind == "none" else [True, np.array(True), True, False]
            items.append(choices[rng.integers(len(choices))])
            odds[kinds.index(kind)] = 0
            odds[0] += not odds.any()
            continue
        if kind == "int":
            items.append(int(rng.integers(low, high + (rng.random() < 0.02))))
        elif kind == "int0d":
            items.append(np.array(rng.integers(low, high)))
        elif kind == "slice":
            bound = [None if rng.random() < 0.4 else int(rng.integers(-4, 5)) for _ in "ab"]
            items.append(slice(*bound, [None, 1, 2][rng.integers(3)]))
        elif kind == "mask":
            taken = int(rng.integers(1, len(shape) - axis + 1))
            mask = np.zeros(shape[axis : axis + taken], bool)
            count = min(mask.size, int(rng.choice([common[-1], 1, 0, 2])))
            mask.reshape(-1)[rng.permutation(mask.size)[:count]] = True
            items.append(mask)
            axis += taken - 1
        else:
            lengths = common[int(rng.integers(len(common))) :]
            lengths = tuple(1 if rng.random() < 0.2 else k for k in lengths)
            array = rng.integers(low, high, lengths)
            items.append(array.tolist() if kind == "list" else array)
        axis += 1
    if rng.random() < 0.4:
        items.insert(int(rng.integers(len(items) + 1)), Ellipsis)
    if rng.random() < 0.2:
        items.append(None)
    alone = len(items) == 1 and not isinstance(items[0], list)  # PyTorch reads that as a tuple
    return items[0] if alone and rng.random() < 0.5 else tuple(items)


def run_program(library, x, steps, v):
    """Run a program: each step reads a part, or writes `v` into it.

    Returns the value, whether any place was written twice, and the gradients of `x` and `v`.
    """
    x, v = (library.tensor(a, requires_grad=True) for a in (x, v))
    y, double = x * 1.0, False
    for kind, index, shape in steps:
        if kind == "read":
            y = y[with_tensors(library, index)]
            continue
        places = library.arange(y.numel()).reshape(y.shape)
        where = places[with_tensors(library, index)]
        values = v[: int(np.prod(shape))].reshape(shape)
        y = y * 1.0
        y[with_tensors(library, index)] = values
        named = where.reshape(-1).tolist()
        double |= len(set(named)) < len(named)
    weights = library.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))
    (y * y * weights).sum().backward()
    gradients = [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in (x, v)]
    return y.detach().numpy(), double, gradients


def random_program(rng, read):
    """Return an array, the steps, and whether a part is empty; `read` gives a part's shape."""
    shape = random_shape(rng)
    x = rng.standard_normal(shape)
    steps, empty = [], 0 in shape
    for _ in range(int(rng.integers(1, 4))):
        index = random_index(rng, shape)
        part = read(shape, index)
        if part is None:  # it does not fit, which both must say
            return x, [*steps, ("read" if rng.random() < 0.5 else "write", index, ())], empty
        empty |= 0 in part
        if rng.random() < 0.5:
            steps.append(("read", index, ()))
            shape = part
        else:
            given = tuple(1 if rng.random() < 0.25 else n for n in part)
            given = given[int(rng.integers(len(given) + 1)) if rng.random() < 0.4 else 0 :]
            if rng.random() < 0.1:
                given = (1, *given)
            steps.append(("write", index, given))
    return x, steps, empty


@pytest.mark.oracle
@pytest.mark.parametrize("seeds", [range(i, i + 100) for i in range(0, 500, 100)], ids=str)
def test_random_programs(seeds):
    torch = pytest.importorskip("torch")
    refusals = {torch: (IndexError, RuntimeError, ValueError, TypeError), tg: TinygradError}

    def read(shape, index):
        try:
            return tuple(torch.zeros(shape)[with_tensors(torch, index)].shape)
        except refusals[torch]:
            return None

    def outcome(library, *program):
        try:
            return run_program(library, *program)
        except refusals[library]:
            return None

    compared = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x, steps, empty = random_program(rng, read)
        v = rng.standard_normal(2000)
        theirs, ours = outcome(torch, x, steps, v), outcome(tg, x, steps, v)
        what = f"seed {seed}: {x.shape} {steps}"
        if theirs is None or ours is None:
            # where nothing is picked, the two are not equally strict about what is out of range
            assert (theirs is None) == (ours is None) or empty, what
            continue
        (y, double, gradients), (expected, _, their_gradients) = ours, theirs
        assert y.shape == expected.shape, what
        if double:  # which of two values stays is not defined
            continue
        compared += 1
        np.testing.assert_array_equal(y, expected, err_msg=what)
        for g, h in zip(gradients, their_gradients, strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-12, atol=1e-13, err_msg=what)
    assert compared > 70
