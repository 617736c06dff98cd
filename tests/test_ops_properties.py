"""What must hold for any shapes, indices and geometries, drawn by hypothesis."""

from __future__ import annotations

import itertools
from unittest import mock

import numpy as np
import pytest
from backwards import close, value_and_gradients, weights
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, gradcheck
from tinygrad_adam.errors import OutOfRangeError, ShapeError, TinygradError
from tinygrad_adam.kernels import cpu, sums
from tinygrad_adam.ops.conv import Geometry

F = tg.nn.functional
few = settings(max_examples=60)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def numbers(shape, seed=0, low=0.5):
    """Return distinct numbers from `low` to 2.5, the same for the same shape and seed."""
    rng = np.random.default_rng([seed, *shape])
    n = int(np.prod(shape))
    return (low + (2.5 - low) * (rng.permutation(n) + 0.5) / max(n, 1)).reshape(shape)


def unbroadcast(g, shape):
    """Sum `g` over the axes along which `shape` was repeated, in another way than the engine."""
    while g.ndim > len(shape):
        g = g.sum(0)
    for axis, n in enumerate(shape):
        if n != g.shape[axis]:
            g = g.sum(axis, keepdims=True)
    return g


# --- broadcasting -------------------------------------------------------------------------------

BINARY = {
    # value, and slopes in both operands
    "add": (np.add, lambda a, b: (1.0, 1.0)),
    "sub": (np.subtract, lambda a, b: (1.0, -1.0)),
    "mul": (np.multiply, lambda a, b: (b, a)),
    "div": (np.divide, lambda a, b: (1 / b, -a / b**2)),
    "pow": (np.power, lambda a, b: (b * a ** (b - 1), a**b * np.log(a))),
    "maximum": (np.maximum, lambda a, b: (np.heaviside(a - b, 0.5), np.heaviside(b - a, 0.5))),
    "minimum": (np.minimum, lambda a, b: (np.heaviside(b - a, 0.5), np.heaviside(a - b, 0.5))),
}


@pytest.mark.parametrize("name", BINARY)
@few
@given(st.data())
def test_broadcasting(name, data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0))
    a, b = (numbers(s, i) for i, s in enumerate(shapes.input_shapes))
    function, slopes = BINARY[name]
    y, gradients = value_and_gradients(getattr(tg, name), [a, b], [0, 1])
    assert y.shape == shapes.result_shape
    np.testing.assert_array_equal(y, function(a, b))
    w = weights(y.shape)
    for operand, g, slope in zip((a, b), gradients, slopes(a, b), strict=True):
        close(g, unbroadcast(w * slope, operand.shape), name, rtol=1e-12, atol=1e-13)


@few
@given(SHAPES, SHAPES)
def test_shapes_that_do_not_broadcast(a, b):
    x, y = tg.zeros(a), tg.zeros(b)
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError) as error:
            tg.add(x, y)
        assert str(a) in str(error.value)
        assert str(b) in str(error.value)
    else:
        tg.add(x, y)


@few
@given(st.data())
def test_expand(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0))
    shape = shapes.input_shapes[0]
    x = numbers(shape)
    y, (g,) = value_and_gradients(lambda t: t.expand(shapes.result_shape), [x], [0])
    np.testing.assert_array_equal(y, np.broadcast_to(x, shapes.result_shape))
    close(g, unbroadcast(weights(y.shape), shape), "expand", rtol=1e-12)


# --- indexing -----------------------------------------------------------------------------------

BOUND = st.none() | st.integers(-4, 4)
STEP = st.sampled_from([None, 1, 2, -1, -2])


@st.composite
def indices(draw, shape):
    """Any index of an array of `shape`: mostly valid, of every kind and mixture."""
    parts, axis = [], 0
    used = draw(st.integers(0, len(shape)))
    while axis < used:
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "slice", "array", "mask", "none"]))
        if kind == "none":
            parts.append(None)
            continue
        if kind == "int":
            parts.append(draw(st.integers(-n - (n == 0), n)))  # n itself is out of range
        elif kind == "slice":
            parts.append(slice(draw(BOUND), draw(BOUND), draw(STEP)))
        elif kind == "array" and n:
            lengths = draw(st.sampled_from([(), (2,), (1,), (2, 1), (0,)]))
            parts.append(draw(hnp.arrays(np.int64, lengths, elements=st.integers(-n, n - 1))))
        else:
            parts.append(draw(hnp.arrays(np.bool_, (n,))))
        axis += 1
    if any(isinstance(p, np.ndarray) and p.ndim for p in parts):  # NumPy reads integers otherwise
        parts = [np.atleast_1d(p) if isinstance(p, (int, np.ndarray)) else p for p in parts]
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    return tuple(parts)


ARRAYS_AND_INDICES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=3).flatmap(
    lambda shape: st.tuples(st.just(shape), indices(shape))
)


def as_ours(index):
    """Return `index` with its arrays as tensors."""
    return tuple(tg.tensor(i) if isinstance(i, np.ndarray) else i for i in index)


@settings(max_examples=120)
@given(ARRAYS_AND_INDICES)
def test_getitem(drawn):
    shape, index = drawn
    x = numbers(shape)
    try:
        expected = x[index]
    except IndexError:
        with pytest.raises(TinygradError):
            tg.tensor(x)[as_ours(index)]
        return
    y, (g,) = value_and_gradients(lambda t: t[as_ours(index)], [x], [0])
    np.testing.assert_array_equal(y, expected)
    added = np.zeros(shape)
    np.add.at(added, index, weights(y.shape))
    close(g, added, "getitem", rtol=1e-12)
    gradcheck(lambda t: t[index] * t[as_ours(index)], tg.tensor(x, requires_grad=True))


@settings(max_examples=120)
@given(ARRAYS_AND_INDICES, st.integers(0, 3), st.data())
def test_setitem(drawn, fewer, data):
    shape, index = drawn
    x = numbers(shape)
    try:
        part = x[index].shape
    except IndexError:
        t = tg.tensor(x)
        with pytest.raises(TinygradError):
            t[as_ours(index)] = 1.0
        np.testing.assert_array_equal(t.data, x)
        return
    value_shape = tuple(1 if data.draw(st.booleans()) else n for n in part)[min(fewer, len(part)) :]
    v = numbers(value_shape, seed=1)
    expected = x.copy()
    expected[index] = v

    def assigned(t, value):
        y = t * 1.0
        y[as_ours(index)] = value
        return y

    y, (in_x, in_v) = value_and_gradients(assigned, [x, v], [0, 1])
    np.testing.assert_array_equal(y, expected)
    places = np.arange(x.size).reshape(shape)[index].ravel()
    if len(set(places)) < len(places):
        return  # which of two values stays is not defined
    w = weights(shape)
    kept = w.copy()
    kept[index] = 0
    close(in_x, kept, "setitem, what was there", rtol=1e-12)
    close(in_v, unbroadcast(w[index], value_shape), "setitem, value", rtol=1e-12)
    gradcheck(assigned, [tg.tensor(a, requires_grad=True) for a in (x, v)])


@few
@given(ARRAYS_AND_INDICES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
def test_setitem_of_a_value_that_does_not_fit(drawn, value_shape):
    shape, index = drawn
    x = numbers(shape)
    v = numbers(value_shape, seed=1)
    expected = x.copy()
    try:
        spare = max(v.ndim - x[index].ndim, 0)  # one element fits whatever axes it comes with
        expected[index] = v.reshape(v.shape[spare:]) if set(v.shape[:spare]) <= {1} else v
    except (ValueError, IndexError):
        t = tg.tensor(x)
        with pytest.raises(TinygradError):
            t[as_ours(index)] = tg.tensor(v)
        np.testing.assert_array_equal(t.data, x)
    else:
        t = tg.tensor(x)
        t[as_ours(index)] = tg.tensor(v)
        np.testing.assert_array_equal(t.data, expected)


@few
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), st.data())
def test_gather(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    length = data.draw(st.integers(0, 4))
    lengths = tuple(length if d == axis % len(shape) else n for d, n in enumerate(shape))
    n = shape[axis]
    at = data.draw(hnp.arrays(np.int64, lengths, elements=st.integers(0, n - 1)))
    x = numbers(shape)
    y, (g,) = value_and_gradients(lambda t: tg.gather(t, axis, tg.tensor(at)), [x], [0])
    np.testing.assert_array_equal(y, np.take_along_axis(x, at, axis))
    picks = np.expand_dims(at, -1) == np.arange(n)  # (..., n): which element each output read
    total = np.moveaxis((picks * weights(lengths)[..., None]).sum(axis % len(shape)), -1, axis)
    close(g, total, "gather", rtol=1e-12)


# --- shapes -------------------------------------------------------------------------------------


def returns(there, back, x):
    """Check that `back` undoes `there`, for values and for gradients."""
    y, (g,) = value_and_gradients(lambda t: back(there(t)), [x], [0])
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(g, weights(x.shape))


@few
@given(SHAPES, st.data())
def test_reshape_returns(shape, data):
    x = numbers(shape)
    lengths = [n for n in range(1, x.size + 1) if x.size % n == 0] or [0]
    first = data.draw(st.sampled_from(lengths))
    new = (0, 5) if not x.size else data.draw(st.sampled_from([(first, -1), (-1, first, 1)]))
    returns(lambda t: t.reshape(new), lambda t: t.reshape(shape), x)
    np.testing.assert_array_equal(tg.tensor(x).reshape(new).data, x.reshape(new))


@few
@given(SHAPES, st.data())
def test_permute_returns(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    back = np.argsort(order).astype(int)
    x = numbers(shape)
    returns(lambda t: t.permute(*order), lambda t: t.permute(*back), x)
    np.testing.assert_array_equal(tg.permute(tg.tensor(x), order).data, x.transpose(order))


@few
@given(SHAPES, st.data())
def test_flip_returns(shape, data):
    axes = data.draw(st.sets(st.integers(0, max(len(shape) - 1, 0)))) if shape else set()
    x = numbers(shape)
    returns(lambda t: t.flip(tuple(axes)), lambda t: t.flip(tuple(axes)), x)
    np.testing.assert_array_equal(tg.flip(tg.tensor(x), tuple(axes)).data, np.flip(x, tuple(axes)))


@few
@given(SHAPES, st.data())
def test_pad_returns(shape, data):
    widths = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), max_size=len(shape)))
    flat = [n for pair in widths for n in pair]
    x = numbers(shape)
    returns(lambda t: F.pad(t, flat, value=7.0), lambda t: F.pad(t, [-n for n in flat]), x)
    by_axis = [(0, 0)] * (len(shape) - len(widths)) + widths[::-1]
    expected = np.pad(x, by_axis, constant_values=7.0) if shape else x
    np.testing.assert_array_equal(F.pad(tg.tensor(x), flat, value=7.0).data, expected)


@few
@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_split_and_cat_return(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = data.draw(st.integers(1, 5))
    x = numbers(shape)
    returns(lambda t: tg.cat(tg.split(t, size, axis), axis), lambda t: t, x)
    returns(lambda t: tg.cat(t.chunk(size, axis), axis), lambda t: t, x)
    returns(lambda t: tg.stack(list(t), 0), lambda t: t, x)


@few
@given(SHAPES, st.data())
def test_squeeze_and_movedim(shape, data):
    x = numbers(shape)
    at = data.draw(st.integers(-len(shape) - 1, len(shape)))
    returns(lambda t: t.unsqueeze(at), lambda t: t.squeeze(at), x)
    assert tg.tensor(x).squeeze().shape == x.squeeze().shape
    if shape:
        a, b = data.draw(st.tuples(*[st.integers(-len(shape), len(shape) - 1)] * 2))
        returns(lambda t: t.movedim(a, b), lambda t: t.movedim(b, a), x)
        np.testing.assert_array_equal(tg.movedim(tg.tensor(x), a, b).data, np.moveaxis(x, a, b))
        returns(lambda t: t.transpose(a, b), lambda t: t.transpose(a, b), x)


# --- reductions and products --------------------------------------------------------------------

REDUCTIONS = {
    "sum": np.sum, "mean": np.mean, "amax": np.max, "amin": np.min,
    "var": lambda x, **k: np.var(x, ddof=1, **k), "std": lambda x, **k: np.std(x, ddof=1, **k),
    "logsumexp": lambda x, **k: np.log(np.sum(np.exp(x), **k)),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
@few
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=3), data=st.data())
def test_reductions(name, shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    dims = tuple(a - len(shape) if data.draw(st.booleans()) else a for a in axes)
    keepdim = data.draw(st.booleans())
    if name in ("var", "std"):
        assume(np.prod([shape[a] for a in axes]) > 1)
    x = numbers(shape)
    ours = getattr(tg, name)(tg.tensor(x), dims if len(dims) > 1 else dims[0], keepdim=keepdim).data
    expected = REDUCTIONS[name](x, axis=tuple(axes), keepdims=keepdim)
    assert ours.shape == np.shape(expected)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    if name == "sum":
        _, (g,) = value_and_gradients(lambda t: tg.sum(t, dims, keepdim), [x], [0])
        w = weights(np.shape(expected))
        w = w if keepdim else np.expand_dims(w, tuple(axes))
        np.testing.assert_array_equal(g, np.broadcast_to(w, shape))


@few
@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=7),
    keepdim=st.booleans(),
    many=st.integers(1, 20),
    block=st.integers(1, 40),
    data=st.data(),
)
def test_sums_in_blocks_of_rows(shape, keepdim, many, block, data):
    axes = tuple(range(data.draw(st.integers(1, len(shape)))))
    x = np.round(numbers(shape).astype(np.float32) * 64)  # whole numbers: any order is exact
    with mock.patch.multiple(sums, MANY_ROWS=many, BLOCK=block):
        y = tg.sum(tg.tensor(x), axes, keepdim)
    assert y.dtype == tg.float32
    np.testing.assert_array_equal(y.data, x.astype(int).sum(axes, keepdims=keepdim))


@few
@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_along_an_axis(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = numbers(shape, low=-2.0)
    t = tg.tensor(x)
    p = tg.softmax(t, axis)
    np.testing.assert_allclose(p.sum(axis).data, 1.0, rtol=1e-12)
    np.testing.assert_allclose(tg.softmax(t + 1000.0, axis).data, p.data, rtol=1e-9)
    np.testing.assert_allclose(tg.log_softmax(t, axis).data, np.log(p.data), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(tg.cumsum(t, axis).data, np.cumsum(x, axis), rtol=1e-12)
    np.testing.assert_array_equal(t.max(axis).values.data, x.max(axis))
    np.testing.assert_array_equal(t.min(axis).indices.data, x.argmin(axis))
    assert t.argmax(axis, keepdim=True).shape == x.argmax(axis, keepdims=True).shape


MATRICES = hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3)


@few
@given(MATRICES)
def test_matmul(shapes):
    a, b = (numbers(s, i, low=-2.0) for i, s in enumerate(shapes.input_shapes))
    expected = np.matmul(a, b)
    y, (in_a, in_b) = value_and_gradients(tg.matmul, [a, b], [0, 1])
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    # d<w, ab> in direction (u, v) is <w, ub + av>
    w, u, v = weights(y.shape), weights(a.shape, seed=1), weights(b.shape, seed=2)
    np.testing.assert_allclose((in_a * u).sum(), (w * np.matmul(u, b)).sum(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((in_b * v).sum(), (w * np.matmul(a, v)).sum(), rtol=1e-9, atol=1e-9)


# --- convolution and pooling --------------------------------------------------------------------


class Plain:
    """NumPy's functions under another identity: operations take their plain way on it."""

    def __getattr__(self, name):
        return getattr(np, name)


@st.composite
def convolutions(draw):
    """Return x, w, b and how the kernel moves; small and of any geometry."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride = draw(pairs), draw(pairs)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    groups, n = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    c, o = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 4))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    x = numbers((n, c, *size), low=-2.0)
    if draw(st.booleans()):
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    w = numbers((o, c // groups, *kernel), seed=1, low=-2.0)
    b = numbers((o,), seed=2) if draw(st.booleans()) else None
    return x, w, b, Geometry(stride, padding, dilation, groups)


def direct_conv2d(x, w, b, geo):
    """The definition, one output position at a time."""
    (py, px), (sy, sx), (dy, dx) = geo.padding, geo.stride, geo.dilation
    x = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    k, l = w.shape[2:]
    p, q = ((x.shape[2] - dy * (k - 1) - 1) // sy + 1, (x.shape[3] - dx * (l - 1) - 1) // sx + 1)
    y = np.zeros((x.shape[0], w.shape[0], p, q))
    c, per_group = w.shape[1], w.shape[0] // geo.groups
    for o, i, j in itertools.product(range(w.shape[0]), range(p), range(q)):
        first = o // per_group * c
        rows = slice(i * sy, i * sy + dy * (k - 1) + 1, dy)
        columns = slice(j * sx, j * sx + dx * (l - 1) + 1, dx)
        patch = x[:, first : first + c, rows, columns]
        y[:, o, i, j] = (patch * w[o]).sum((1, 2, 3)) + (0 if b is None else b[o])
    return y


@settings(max_examples=100)
@given(convolutions(), st.sampled_from([1, 200, 1 << 20]), st.sampled_from([1, 4, 1000]))
def test_convolution_fast_plain_and_direct(drawn, block_bytes, thin):
    x, w, b, geo = drawn
    expected = direct_conv2d(x, w, b, geo)
    v = weights(expected.shape)
    calls = [
        ("conv2d", (x, w, b), {"geo": geo}),
        ("conv2d_input", (v, w), {"x_size": x.shape, "geo": geo}),
        ("conv2d_weight", (x, v), {"w_size": w.shape, "geo": geo}),
    ]
    found = {}
    with (
        mock.patch.object(cpu, "BLOCK_BYTES", block_bytes),
        mock.patch.object(cpu, "THIN", thin),
    ):
        for name, operands, how in calls:
            found[name] = OPS[name].on_numpy.value(np, *operands, **how)
    for name, operands, how in calls:
        plain = OPS[name].forward(Plain(), *operands, **how)
        assert found[name].shape == plain.shape
        assert found[name].dtype == plain.dtype
        np.testing.assert_allclose(found[name], plain, rtol=1e-11, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(found["conv2d"], expected, rtol=1e-11, atol=1e-11)
    # <v, conv(x, w)> is linear in x and in w: both gradients give it back
    whole = (v * direct_conv2d(x, w, None, geo)).sum()
    np.testing.assert_allclose((found["conv2d_input"] * x).sum(), whole, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((found["conv2d_weight"] * w).sum(), whole, rtol=1e-9, atol=1e-9)


def test_blocks_smaller_than_the_image_are_used():
    geo = Geometry((1, 1), (1, 1), (1, 1), 1)
    x, w = numbers((2, 2, 6, 5)), numbers((3, 2, 3, 3), seed=1)
    seen = []
    blocks = cpu._blocks

    def spy(patches, span, thin):
        for columns, some in blocks(patches, span, thin):
            seen.append(columns)
            yield columns, some

    row = 2 * 9 * 5 * 2 * 8  # bytes of patches of one output row
    for rows, expected in ((1, 6), (2, 3), (4, 2), (6, 1), (100, 1)):
        seen.clear()
        with (
            mock.patch.object(cpu, "BLOCK_BYTES", rows * row),
            mock.patch.object(cpu, "_blocks", spy),
        ):
            y = OPS["conv2d"].on_numpy.value(np, x, w, None, geo=geo)
        assert len(seen) == expected
        np.testing.assert_allclose(y, direct_conv2d(x, w, None, geo), rtol=1e-12)


@settings(max_examples=100)
@given(st.data())
def test_pooling_is_what_it_says(data):
    small = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride = data.draw(small), data.draw(small)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(
        max(1, k - 2 * p) + data.draw(st.integers(0, 4))
        for k, p in zip(kernel, padding, strict=True)
    )
    x = numbers((data.draw(st.integers(0, 2)), 2, *size), low=-2.0)
    if data.draw(st.booleans()):
        x = np.round(x)  # with ties
    (py, px), (sy, sx), (k, l) = padding, stride, kernel
    border = ((0, 0), (0, 0), (py, py), (px, px))
    low, zero = np.pad(x, border, constant_values=-np.inf), np.pad(x, border)
    inside = np.pad(np.ones_like(x), border)
    p, q = ((n + 2 * pad - m) // s + 1 for n, pad, m, s in
            zip(size, padding, kernel, stride, strict=True))  # fmt: skip
    top, mean, partial = (np.zeros((*x.shape[:2], p, q)) for _ in range(3))
    in_low = np.zeros_like(low)
    w = weights(top.shape)
    for n, c, i, j in np.ndindex(top.shape):
        at = (n, c, slice(i * sy, i * sy + k), slice(j * sx, j * sx + l))
        top[n, c, i, j], mean[n, c, i, j] = low[at].max(), zero[at].mean()
        partial[n, c, i, j] = zero[at].sum() / inside[at].sum()
        first = np.unravel_index(low[at].argmax(), (k, l))
        in_low[n, c, i * sy + first[0], j * sx + first[1]] += w[n, c, i, j]
    y, (g,) = value_and_gradients(lambda t: F.max_pool2d(t, kernel, stride, padding), [x], [0])
    np.testing.assert_array_equal(y, top)
    close(g, in_low[:, :, py : py + size[0], px : px + size[1]], "max_pool2d", rtol=1e-12)
    t = tg.tensor(x)
    for whole, expected in ((True, mean), (False, partial)):
        y = F.avg_pool2d(t, kernel, stride, padding, count_include_pad=whole)
        np.testing.assert_allclose(y.data, expected, atol=1e-12)


# --- out of range -------------------------------------------------------------------------------


@few
@given(SHAPES, st.integers(-6, 6))
def test_an_axis_is_in_range_or_refused(shape, dim):
    t = tg.zeros(shape)
    n = max(len(shape), 1)
    for function in (
        lambda: t.sum(dim), lambda: t.softmax(dim), lambda: t.cumsum(dim), lambda: t.squeeze(dim),
        lambda: t.transpose(dim, 0), lambda: t.flatten(dim, dim), lambda: t.flip(dim),
    ):  # fmt: skip
        if -n <= dim < n:
            function()
        else:
            with pytest.raises(OutOfRangeError, match=f"dim {dim} is out of range"):
                function()
