"""autograd.Function: values, derivatives of every order, what is kept, and what is refused."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.autograd import Function, once_differentiable
from tinygrad_adam.errors import (
    AnomalyError,
    DTypeError,
    GraphError,
    GraphFreedError,
    InPlaceError,
    ShapeError,
)


def T(value, requires_grad=False):
    return tg.tensor(value, dtype=tg.float64, requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.RandomState([seed, *shape]).normal(size=shape)


def made(Function, once_differentiable):
    """Return Functions that can be derived from ours as well as from PyTorch's."""

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class ProductAndRatio(Function):
        @staticmethod
        def forward(ctx, a, power, b):
            product, ratio = a * b, a / b
            ctx.power = power
            ctx.save_for_backward(a, None, b, ratio)
            return product**power, ratio

        @staticmethod
        def backward(ctx, g, h):
            a, nothing, b, ratio = ctx.saved_tensors
            assert nothing is None
            g = g * ctx.power * (a * b) ** (ctx.power - 1)
            return g * b + h / b, None, g * a - h * ratio / b

    class Kinds(Function):  # an output of integers, one marked, and one that is no tensor
        @staticmethod
        def forward(ctx, x, y):
            larger, weight = (x > y), (x * 0 + 2.0)
            ctx.mark_non_differentiable(larger, weight)
            return x * 2, larger, "text", weight, y * 3

        @staticmethod
        def backward(ctx, g, larger, nothing, weight, h):
            assert nothing is None
            assert not larger.any()
            assert not weight.any()
            weight.add_(1.0)
            return g * 2, h * 3

    class Partly(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g is None, h is None))
            return (0 if g is None else g * 2) + (0 if h is None else h * 3)

    class Constant(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + 0.0, y + 0.0

        @staticmethod
        def backward(ctx, g, h):
            return g, None

    class Outer(Function):  # gradients that broadcast to their arguments' shapes
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g, g

    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert not (g * x).requires_grad
            return g * x.cos()

    seen = []
    return SimpleNamespace(**{k: v for k, v in locals().items() if k[0].isupper()}, seen=seen)


OURS = made(Function, once_differentiable)
Cube, Exp, ProductAndRatio = OURS.Cube, OURS.Exp, OURS.ProductAndRatio


def close(t, expected):
    expected = np.asarray(expected)
    assert t.shape == expected.shape
    np.testing.assert_allclose(t.data, expected, rtol=1e-12, atol=1e-12)


# --- derivatives --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_every_order(shape):
    x = T(normal(*shape), requires_grad=True)
    g = Cube.apply(x)
    close(g, x.data**3)
    for factor, power in ((3, 2), (6, 1), (6, 0)):
        (g,) = tg.autograd.grad(g.sum(), x, create_graph=True)
        close(g, factor * x.data**power)


def test_a_saved_output_can_be_differentiated():
    x = T(normal(3), requires_grad=True)
    w = T(normal(3, seed=1), requires_grad=True)
    y = Exp.apply(x * w)
    (g,) = tg.autograd.grad(y.sum(), w, create_graph=True)
    close(g, x.data * y.data)
    (h,) = tg.autograd.grad(g.sum(), x, create_graph=True)
    close(h, y.data * (1 + x.data * w.data))
    (third,) = tg.autograd.grad(h.sum(), w)
    close(third, y.data * x.data * (2 + x.data * w.data))


def test_several_inputs_and_outputs():
    a, b = T(normal(2, 3), True), T(np.abs(normal(2, 3, seed=1)) + 1, True)

    def mine(a, b):
        p, r = ProductAndRatio.apply(a, 2, b)
        return (p * r.sin()).sum()

    def plain(a, b):
        return ((a * b) ** 2 * (a / b).sin()).sum()

    found, expected = (
        [*tg.func.grad(f, (0, 1))(a, b), *sum(tg.func.hessian(f, (0, 1))(a, b), ())]
        for f in (mine, plain)
    )
    for f, e in zip(found, expected, strict=True):
        close(f, e.data)


@pytest.mark.parametrize("k", [0, 1])
def test_one_of_several(k):
    for wanted in ([0], [1], [0, 1]):
        arrays = normal(2) + 3, normal(2, seed=1) + 3
        a, b = (T(x, i in wanted) for i, x in enumerate(arrays))
        found = tg.autograd.grad(
            ProductAndRatio.apply(a, 3, b)[k].sum(), [(a, b)[i] for i in wanted]
        )
        plain = ((a * b) ** 3, a / b)[k].sum()
        expected = tg.autograd.grad(plain, [(a, b)[i] for i in wanted])
        for f, e in zip(found, expected, strict=True):
            close(f, e.data)


def test_mixed_types_keep_theirs():
    class Both(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * 1.0, b * 1.0

        @staticmethod
        def backward(ctx, g, h):
            assert (g.dtype, h.dtype) == (np.float32, np.float64)
            return g + h.float(), g.double() + h

    a, b = tg.tensor([0.1], requires_grad=True), T([1 / 3], True)
    x, y = Both.apply(a, b)
    assert (x.dtype, y.dtype) == (np.float32, np.float64)
    (x.double() * (1 / 7) + y / 3).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    close(b.grad, [float(np.float32(1 / 7)) + 1 / 3])


def test_arguments_of_any_kind_and_which_need_a_gradient():
    seen = []

    class Mixed(Function):
        @staticmethod
        def forward(ctx, *args):
            seen.append(ctx.needs_input_grad)
            assert not tg.is_grad_enabled()
            return args[0] * args[3]

        @staticmethod
        def backward(ctx, g):
            assert not tg.is_grad_enabled()
            seen.append(ctx.needs_input_grad)
            return g, None, None, None, None

    x, labels = T([1.0], True), tg.tensor([1])
    Mixed.apply(x, labels, {"any": "thing"}, T([2.0]), None).backward()
    assert seen == [(True, False, False, False, False)] * 2
    close(x.grad, [1.0])
    assert not Mixed.apply(T([1.0]), labels, None, 2.0).requires_grad
    with tg.no_grad():
        assert not Mixed.apply(x, labels, None, 2.0).requires_grad
    assert seen[2:] == [(False,) * 4, (True, False, False, False)]


def test_backward_runs_once_for_all_inputs():
    runs = []

    class Sum(Function):
        @staticmethod
        def forward(ctx, a, b, c):
            return a + b + c, a - b

        @staticmethod
        def backward(ctx, g, h):
            runs.append(g.tolist())
            return g + h, g - h, g

    a, b, c = (T([1.0], True) for _ in range(3))
    y, z = Sum.apply(a, b, c)
    (y + 2 * z).sum().backward(retain_graph=True)
    assert runs == [[1.0]]
    assert [t.grad.tolist() for t in (a, b, c)] == [[3.0], [-1.0], [1.0]]
    tg.autograd.grad(y, b, retain_graph=True)
    tg.autograd.grad(y, [a, c], [T([5.0])])
    assert runs == [[1.0], [1.0], [5.0]]


def test_gradients_that_are_not_wanted_or_not_given():
    a, b = T([1.0], True), T([2.0], True)
    x, y = OURS.Constant.apply(a, b)
    (x + y).sum().backward()
    close(a.grad, [1.0])
    close(b.grad, [0.0])

    class Nothing(OURS.Outer):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return None

    y = Nothing.apply(a)
    assert y.grad_fn.op.name == "Nothing.apply"
    for create_graph in (False, True):
        (g,) = tg.autograd.grad(y, a, retain_graph=True, create_graph=create_graph)
        close(g, [0.0])
        with tg.no_grad():
            g.add_(1.0)  # memory of its own


def test_outputs_that_need_no_gradient():
    x, y = T([1.0, 5.0], True), T([2.0, 2.0], True)
    first, larger, text, weight, last = OURS.Kinds.apply(x, y)
    assert text == "text"
    assert [t.requires_grad for t in (first, larger, weight, last)] == [True, False, False, True]
    assert larger.tolist() == [False, True]
    (first + last).sum().backward()
    close(x.grad, [2.0, 2.0])
    close(y.grad, [3.0, 3.0])


def test_a_saved_output_that_needs_no_gradient():
    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            scale = x.abs().sum()
            ctx.mark_non_differentiable(scale)
            ctx.save_for_backward(scale)
            return x / scale, scale

        @staticmethod
        def backward(ctx, g, _):
            (scale,) = ctx.saved_tensors
            assert not scale.requires_grad
            return g / scale

    x = T([1.0, 3.0], True)
    (g,) = tg.autograd.grad((Scaled.apply(x)[0] ** 2).sum(), x, create_graph=True)
    close(g, [0.125, 0.375])
    (h,) = tg.autograd.grad(g.sum(), x)
    close(h, [0.125, 0.125])


def test_none_instead_of_zeros():
    x = T([1.0], True)
    for outputs, expected in (((0,), 2.0), ((1,), 3.0), ((0, 1), 5.0), ((0,), 2.0)):
        OURS.seen.clear()
        y = OURS.Partly.apply(x)
        (g,) = tg.autograd.grad([y[k] for k in outputs], x)
        close(g, [expected])
        assert OURS.seen == [(0 not in outputs, 1 not in outputs)]
    y = OURS.Partly.apply(x)
    OURS.seen.clear()
    for k in (0, 1):
        tg.autograd.grad(y[k], x, retain_graph=True)
    assert OURS.seen == [(False, True), (True, False)]


def test_gradients_are_summed_over_what_was_broadcast():
    a, b = T(normal(3), True), T(normal(2, 1), True)
    OURS.Outer.apply(a, b).sum().backward()
    close(a.grad, [2.0] * 3)
    close(b.grad, [[3.0], [3.0]])


def test_outputs_share_no_memory_with_arguments_or_each_other():
    class Views(Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            return x, x[:1], y, y[:1]

        @staticmethod
        def backward(ctx, a, b, c, d):
            g = a + 2 * c
            first = b + 2 * d
            return g + tg.cat([first, tg.zeros(1, dtype=tg.float64)])

    x = T([1.0, 2.0], True)
    outputs = Views.apply(x)
    arrays = [x.data, *(t.data for t in outputs)]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    outputs[0].add_(1.0)
    close(x, [1.0, 2.0])
    sum(t.sum() for t in outputs).backward()
    close(x.grad, [6.0, 3.0])
    with tg.no_grad():
        assert Views.apply(x)[0] is not x


def test_gradients_do_not_alias():
    class Same(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a)
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g, ctx.saved_tensors[0]

    a, b = T([1.0], True), T([2.0], True)
    for _ in range(2):
        (Same.apply(a, b) + Same.apply(b, b)).backward()
    close(a, [1.0])
    close(a.grad, [2.0])
    close(b.grad, [2 * (1.0 + 1.0 + 2.0)])


def test_a_backward_that_walks_itself():
    """A checkpoint: the forward pass is run again, recorded, inside backward."""

    class Checkpoint(Function):
        @staticmethod
        def forward(ctx, function, x):
            ctx.function = function
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with tg.enable_grad():
                y = ctx.function(x)
            y.backward(g)
            return None, x.grad

    w = T(2.0, True)
    x = T(normal(3), True)
    Checkpoint.apply(lambda x: (w * x).sin(), x).sum().backward()
    close(x.grad, 2 * np.cos(2 * x.data))
    close(w.grad, (x.data * np.cos(2 * x.data)).sum())


def test_in_float32_and_transforms():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32
    total = lambda x: Cube.apply(x).sum()  # noqa: E731
    close(tg.func.hessian(total)(T([1.0, 2.0])), [[6.0, 0.0], [0.0, 12.0]])
    close(tg.func.jvp(Exp.apply, (T([0.0]),), (T([2.0]),))[1], [2.0])


# --- memory and in-place changes ----------------------------------------------------------------


@pytest.mark.parametrize("which", ["input", "output"])
def test_changes_of_saved_tensors_are_noticed_before_the_walk(which):
    x = T([1.0, 2.0], True)
    z = x * 1.0
    y = (Cube if which == "input" else Exp).apply(z)
    other = (x * x).sum()
    loss = y.sum() + other
    (z if which == "input" else y).mul_(2.0)
    with pytest.raises(InPlaceError, match=r"(Cube|Exp)\.saved .*'saved'"):
        loss.backward()
    assert x.grad is None
    other.backward()  # nothing was freed
    close(x.grad, [2.0, 4.0])


def test_other_changes_are_allowed():
    x = T([1.0, 2.0], True)
    z = x * 1.0
    y = Exp.apply(z)
    z.mul_(2.0)
    c = Cube.apply(x)
    c.add_(1.0)
    (y.sum() + c.sum() + z.sum()).backward()
    close(x.grad, np.exp([1.0, 2.0]) + np.array([5.0, 14.0]))


def test_a_second_pass_needs_to_be_announced():
    x = T([1.0], True)
    y = Cube.apply(x)
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, [6.0])
    with pytest.raises(GraphFreedError, match=r"Cube.*retain_graph=True"):
        y.backward()
    y = OURS.Outer.apply(x, T([1.0]))  # saves nothing
    y.backward()
    y.backward()
    close(x.grad, [8.0])


def test_graphs_die():
    refs = []

    class Watched(Function):
        @staticmethod
        def forward(ctx, x, w):
            y = x * w
            refs.append(weakref.ref(ctx))
            ctx.save_for_backward(x, w, y)
            ctx.kept = y
            return y, y.sin()

        @staticmethod
        def backward(ctx, g, h):
            x, w, y = ctx.saved_tensors
            g = g + h * y.cos()
            return g * w, g * x

    x, w = T([1.0], True), T([2.0], True)
    gc.collect()
    gc.disable()
    try:
        y, z = Watched.apply(x * 1.0, w)
        assert refs[-1]() is not None
        del y, z
        assert refs[-1]() is None
        y, z = Watched.apply(x, w)
        (y + z).backward()
        assert refs[-1]() is None  # freed by the walk
        y, z = Watched.apply(x, w)
        (g,) = tg.autograd.grad((y * z).sum(), x, create_graph=True)
        (h,) = tg.autograd.grad(g, w, create_graph=True)
        assert refs[-1]() is not None
        del y, z, g, h
        assert refs[-1]() is None
        z = x * 1.0
        y = Cube.apply(z)
        last = weakref.ref(y.grad_fn)
        z.add_(y)  # z, which was saved, is made of y now
        del y, z
        assert last() is None
        with pytest.raises(GraphError):
            Watched.apply(T([1.0]), T([1.0]))[0].backward()
        assert refs[-1]() is None
    finally:
        gc.enable()


def test_no_more_is_kept_than_was_saved():
    refs = []

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            refs.append(weakref.ref(x.data))
            y = x * 2
            return y

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = T(normal(4), True)
    y = Double.apply(x + 1.0)
    assert refs[0]() is None
    kept = weakref.ref(y.data)
    loss = y.sum()
    del y
    assert kept() is None
    loss.backward()
    close(x.grad, [2.0] * 4)


# --- errors -------------------------------------------------------------------------------------


def returning(result):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, a, n, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return result(g)

    return Wrong


@pytest.mark.parametrize(
    ("result", "error", "says"),
    [
        (lambda g: g, GraphError, "Wrong: backward returned 1 gradients for the 3 arguments"),
        (lambda g: (g, None), GraphError, "returned 2 gradients"),
        (lambda g: (g, None, g, g), GraphError, "returned 4 gradients"),
        (lambda g: (g, g, g), GraphError, "gradient for argument 1, which is no Tensor"),
        (lambda g: (g, None, 1.0), DTypeError, "gradient 2 is a float"),
        (lambda g: (g.data, None, g), DTypeError, "gradient 0 is a ndarray"),
        (lambda g: (g[:1], None, g), ShapeError, r"Wrong: .*0 has shape \(1,\), .*0 has \(2,\)"),
        (lambda g: (g, None, g.sum()), ShapeError, r"2 has shape \(\), but argument 2 has \(2,\)"),
        (lambda g: (g, None, tg.ones(3, 3)), ShapeError, r"shape \(3, 3\)"),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_wrong_gradients(result, error, says, create_graph):
    a, b = T([1.0, 2.0], True), T([3.0, 4.0], True)
    loss = returning(result).apply(a, 3, b).sum()
    with pytest.raises(error, match=says):
        loss.backward(create_graph=create_graph)
    assert a.grad is None
    assert b.grad is None
    assert tg.is_grad_enabled()


def test_what_a_gradient_may_be_besides():
    for result in (lambda g: (g, None, g, None), lambda g: (tg.ones(2), None, tg.tensor([1, 1]))):
        a, b = T([1.0, 2.0], True), T([3.0, 4.0], True)
        returning(result).apply(a, 3, b).sum().backward()
        close(a.grad, [1.0, 1.0])
        close(b.grad, [1.0, 1.0])
        assert b.grad.dtype == np.float64


def test_a_derivative_of_a_once_differentiable_one():
    x = T([1.0, 2.0], True)
    y = OURS.Once.apply(x)
    (g,) = tg.autograd.grad(y.sum(), x, retain_graph=True)
    close(g, np.cos(x.data))
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    close(g, np.cos(x.data))
    with pytest.raises(GraphError, match="Once: its backward is marked once_differentiable"):
        g.sum().backward()
    assert x.grad is None
    with pytest.raises(GraphError, match="Once"):
        tg.func.hessian(lambda x: OURS.Once.apply(x).sum())(x)


def test_misuse():
    with pytest.raises(GraphError, match=r"call Cube.apply"):
        Cube()
    with pytest.raises(NotImplementedError, match="forward"):
        type("Bare", (Function,), {}).apply(T([1.0], True))
    half = type("Half", (Function,), {"forward": staticmethod(lambda ctx, x: x * 2)})
    with pytest.raises(NotImplementedError, match="backward"):
        half.apply(T([1.0], True)).backward()

    for result, name in ((lambda x: [x], "list"), (lambda x: (x, x.data), "ndarray")):
        wrong = type("Wrong", (Function,), {"forward": staticmethod(lambda ctx, x, r=result: r(x))})
        with pytest.raises(DTypeError, match=f"Wrong: forward returns Tensors.*not {name}"):
            wrong.apply(T([1.0]))

    class Saves(Function):
        @staticmethod
        def forward(ctx, x, what):
            ctx.save_for_backward(x)
            if what == "read":
                _ = ctx.saved_tensors
            ctx.save_for_backward(what)

    with pytest.raises(DTypeError, match="Saves: save_for_backward takes Tensors"):
        Saves.apply(T([1.0]), 3)
    with pytest.raises(GraphError, match="Saves: saved_tensors"):
        Saves.apply(T([1.0]), "read")


def test_an_error_in_backward_leaves_gradients_alone():
    class Raises(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            contexts.append(ctx)
            raise ZeroDivisionError

    contexts = []
    x = T([1.0], True)
    with pytest.raises(ZeroDivisionError):
        (Raises.apply(x) + x).sum().backward()
    assert x.grad is None
    with pytest.raises(GraphError):
        _ = contexts[0].saved_tensors


def test_the_nodes_of_a_call_have_its_name():
    x = T([1.0], True)
    lines = str(Cube.apply(x).graph())
    for name in ("Cube.apply", "Cube.backward", "Cube.saved", "Cube.inputs"):
        assert name in lines

    class Bad(OURS.Cube):
        @staticmethod
        def backward(ctx, g):
            return tg.from_numpy(g.data * np.inf)

    with tg.autograd.detect_anomaly():
        y = Bad.apply(x).sum()
        with pytest.raises(AnomalyError, match=r"(?s)derivative of Bad.backward.*<call of Bad>"):
            y.backward()


# --- PyTorch ------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_as_pytorch():
    import torch

    theirs = made(torch.autograd.Function, torch.autograd.function.once_differentiable)

    def results(functions, tensor, grad):
        a, b = tensor(normal(2, 3)), tensor(np.abs(normal(2, 3, seed=1)) + 1)
        out = []
        for f in (
            lambda: functions.Cube.apply(a).sum(),
            lambda: (functions.Exp.apply(a * b) * b).sum(),
            lambda: sum(y.sum() for y in functions.ProductAndRatio.apply(a, 3, b)),
            lambda: functions.ProductAndRatio.apply(a, 3, b)[1].sum(),
            lambda: functions.Outer.apply(a, b[0]).exp().sum(),
            lambda: functions.Kinds.apply(a, b)[0].sum() + functions.Kinds.apply(a, b)[4].sum(),
            lambda: functions.Partly.apply(a)[1].exp().sum() + b.sum(),
        ):
            y = f()
            gs = grad(y, (a, b), create_graph=True, allow_unused=True)
            out += [y, *gs]
            total = sum((g * g).sum() for g in gs if g is not None)
            second = total.requires_grad
            out += grad(total, (a, b), allow_unused=True) if second else (None, None)
        return [None if t is None else t.detach().numpy() for t in out]

    ours = results(OURS, lambda x: T(x, True), tg.autograd.grad)
    expected = results(theirs, lambda x: torch.tensor(x, requires_grad=True), torch.autograd.grad)
    assert len(ours) == len(expected)
    for f, e in zip(ours, expected, strict=True):
        if e is None:  # a gradient of None counts as zeros here
            assert f is None or not f.any()
        else:
            np.testing.assert_allclose(f, e, rtol=1e-12, atol=1e-12)
