"""Functional transforms: closed forms, finite differences, PyTorch, nesting, memory and errors."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import differentiate
from tinygrad_adam.autograd.mode import recording
from tinygrad_adam.errors import ArgumentError, DTypeError, GraphError, InPlaceError, ShapeError

Pair = namedtuple("Pair", "a b")


def T(value, requires_grad=False):
    return tg.tensor(value, dtype=tg.float64, requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.RandomState([seed, *shape]).normal(size=shape)


def assert_close(found, expected, rtol=1e-12):
    """Compare Tensors, or containers of them, with arrays in the same containers."""
    assert type(found) is type(expected) or isinstance(found, tg.Tensor)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_close(found[key], expected[key], rtol)
    elif isinstance(found, (list, tuple)):
        for f, e in zip(found, expected, strict=True):
            assert_close(f, e, rtol)
    else:
        expected = np.asarray(getattr(expected, "data", expected))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.data, expected, rtol=rtol, atol=rtol)


X, Y = normal(20, 3), (normal(20, seed=1) > 0).astype(float)


def logistic(w):
    return nn.functional.binary_cross_entropy_with_logits(T(X) @ w, T(Y), reduction="sum")


# --- closed forms -------------------------------------------------------------------------------


def test_logistic_regression():
    w, v = normal(3, seed=2), normal(3, seed=3)
    p = 1 / (1 + np.exp(-X @ w))
    gradient, hessian = X.T @ (p - Y), X.T * (p * (1 - p)) @ X
    assert_close(tg.func.grad(logistic)(T(w)), gradient)
    assert_close(tg.func.hessian(logistic)(T(w)), hessian)
    assert_close(tg.func.hvp(logistic, (T(w),), (T(v),)), (hessian @ v,))
    value, slope = tg.func.jvp(logistic, (T(w),), (T(v),))
    assert_close(slope, gradient @ v)
    assert_close(value, logistic(T(w)))
    assert_close(tg.func.jvp(tg.func.grad(logistic), (T(w),), (T(v),)), (gradient, hessian @ v))


def test_linear_maps():
    A, x, u = normal(4, 3), normal(3), normal(4)

    def f(x):
        return T(A) @ x

    assert_close(tg.func.jacobian(f)(T(x)), A)
    y, pull = tg.func.vjp(f, T(x))
    assert_close(y, A @ x)
    assert_close(pull(T(u)), (u @ A,))
    assert_close(pull(T(2 * u)), (2 * u @ A,))
    assert_close(tg.func.jvp(f, (T(x),), (T(x),)), (A @ x, A @ x))
    assert_close(tg.func.hessian(f)(T(x)), np.zeros((4, 3, 3)))


def test_jacobian_of_matrices():
    A, B = normal(2, 3), normal(3, 4)

    def f(a, b):
        return a @ b

    da, db = tg.func.jacrev(f, (0, 1))(T(A), T(B))
    assert_close(da, np.einsum("ik,lj->ijkl", np.eye(2), B))
    assert_close(db, np.einsum("jl,ik->ijkl", np.eye(4), A))


def test_any_order():
    def f(x):
        return x**5

    for order in range(1, 5):
        f = tg.func.grad(f)
        assert f(T(2.0)).item() == np.prod(range(6 - order, 6)) * 2.0 ** (5 - order)


# --- arguments ----------------------------------------------------------------------------------


def test_containers_come_back_as_they_are():
    params = {"b": [T(2.0), (T(3.0),)], "a": Pair(T(4.0), T([5.0, 6.0]))}

    def f(p, x):
        return p["b"][0] * p["b"][1][0] * x + p["a"].a * p["a"].b.sum()

    found = tg.func.grad(f)(params, T(10.0))
    assert list(found) == ["b", "a"]
    assert_close(found, {"b": [30.0, (20.0,)], "a": Pair(11.0, [4.0, 4.0])})
    assert type(found["a"]) is Pair
    ordered = tg.func.grad(lambda p: p["x"] ** 2)(OrderedDict(x=T(3.0)))
    assert_close(dict(ordered), {"x": 6.0})
    assert tg.func.grad(lambda p, x: x * x)({}, T(1.0)) == {}


def test_outputs_in_containers():
    def f(x):
        return {"twice": 2 * x, "both": (x.sum(), x * x)}

    x = normal(3)
    y, pull = tg.func.vjp(f, T(x))
    assert_close(y, {"twice": 2 * x, "both": (x.sum(), x * x)})
    # a dict is read by its keys, in any order
    weights = {"both": (T(5.0), T([1.0, 2.0, 3.0])), "twice": T(np.ones(3))}
    assert_close(pull(weights), (2 + 5 + 2 * x * [1, 2, 3],))
    assert_close(
        tg.func.jacobian(f)(T(x)),
        {"twice": 2 * np.eye(3), "both": (np.ones(3), 2 * np.diag(x))},
    )
    _, pushed = tg.func.jvp(f, (T(x),), (T(np.ones(3)),))
    assert_close(pushed, {"twice": 2 * np.ones(3), "both": (3.0, 2 * x)})


def test_jacobian_nests_outputs_around_inputs():
    def f(p):
        return [p["a"] * p["b"], p["b"]]

    found = tg.func.jacobian(f)({"a": T([1.0, 2.0]), "b": T(3.0)})
    assert_close(
        found,
        [{"a": 3 * np.eye(2), "b": [1.0, 2.0]}, {"a": np.zeros(2), "b": 1.0}],
    )
    second = tg.func.hessian(lambda p: (p["a"] ** 2).sum() * p["b"])(
        {"a": T([1.0, 2.0]), "b": T(3.0)}
    )
    assert_close(
        second,
        {"a": {"a": 6 * np.eye(2), "b": [2.0, 4.0]}, "b": {"a": [2.0, 4.0], "b": 0.0}},
    )


def test_argnums():
    def f(a, b, c=1.0):
        return a**2 * b * c

    args = T(2.0), T(3.0)
    assert_close(tg.func.grad(f)(*args), 12.0)
    assert_close(tg.func.grad(f, 1)(*args), 4.0)
    assert_close(tg.func.grad(f, -1)(*args), 4.0)
    assert_close(tg.func.grad(f, (1, 0))(*args), (4.0, 12.0))
    assert_close(tg.func.grad(f, (0,))(*args, c=2.0), (24.0,))
    assert_close(tg.func.hessian(f, (0, 1))(*args), ((6.0, 4.0), (4.0, 0.0)))


def test_has_aux():
    def f(x):
        return (x * x).sum(), {"double": 2 * x, "name": "f", "n": 3}

    x = T([1.0, 2.0])
    for transform in (tg.func.grad, tg.func.jacobian):
        g, aux = transform(f, has_aux=True)(x)
        assert_close(g, [2.0, 4.0])
        assert_close(aux["double"], [2.0, 4.0])
        assert not aux["double"].requires_grad
        assert (aux["name"], aux["n"]) == ("f", 3)
    (value, aux), g = tg.func.value_and_grad(f, has_aux=True)(x)
    assert_close((value, g, aux["double"]), (5.0, [2.0, 4.0], [2.0, 4.0]))
    value, pull, aux = tg.func.vjp(f, x, has_aux=True)
    assert_close((value, *pull(T(1.0))), (5.0, [2.0, 4.0]))
    assert aux["name"] == "f"
    value, slope, aux = tg.func.jvp(f, (x,), (x,), has_aux=True)
    assert_close((value, slope), (5.0, 10.0))
    assert aux["name"] == "f"


def test_integer_arguments_and_outputs():
    labels = tg.tensor([2, 0])

    def f(z, labels):
        return nn.functional.cross_entropy(z, labels, reduction="sum")

    z = normal(2, 3)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert_close(tg.func.grad(f)(T(z), labels), p - np.eye(3)[[2, 0]])
    found = tg.func.jacobian(lambda x: (x.argmax(), x))(T([1.0, 3.0]))
    assert_close(found, ([0.0, 0.0], np.eye(2)))
    found = tg.func.jvp(lambda x: (x.argmax(), x), (T([1.0, 3.0]),), (T([1.0, 2.0]),))
    assert found[0][0].dtype == np.int64
    assert_close(found[1][1], [1.0, 2.0])


def test_what_does_not_matter_has_a_derivative_of_zero():
    a, b = T([1.0, 2.0]), T(3.0)

    def f(a, b):
        return (b * b, T(7.0))

    zeros = np.zeros(2)
    assert_close(tg.func.grad(lambda a, b: b * b, (0, 1))(a, b), (zeros, 6.0))
    assert_close(tg.func.grad(lambda a: T(7.0))(a), zeros)
    assert_close(tg.func.jacobian(f, (0, 1))(a, b), ((zeros, 6.0), (zeros, 0.0)))
    assert_close(tg.func.jvp(f, (a, b), (a, b))[1], (18.0, 0.0))
    assert_close(tg.func.hvp(lambda a, b: b * b, (a, b), (a, b)), (zeros, 6.0))
    assert_close(tg.func.hessian(lambda a: a.sum())(a), np.zeros((2, 2)))
    assert_close(tg.func.vjp(f, a, b)[1]((b, b)), (zeros, 18.0))
    w = T([5.0, 5.0], requires_grad=True)
    assert_close(tg.func.grad(lambda a: w.sum())(a), zeros)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,), (2, 3)])
def test_shapes_of_jacobians(shape):
    x = T(normal(*shape))
    assert_close(tg.func.jacobian(lambda x: x * 2)(x), 2 * np.eye(x.data.size).reshape(shape * 2))
    assert tg.func.hessian(lambda x: (x**3).sum())(x).shape == shape * 2


def test_float32_stays():
    x = tg.tensor([1.0, 2.0])

    def f(x):
        return (x**3).sum()

    for found in (
        tg.func.grad(f)(x), tg.func.hessian(f)(x), *tg.func.hvp(f, (x,), (x,)),
        *tg.func.jvp(f, (x,), (x,)), tg.func.jacobian(lambda x: x.double())(x),
    ):  # fmt: skip
        assert found.dtype == np.float32


# --- nothing else changes -----------------------------------------------------------------------


def test_arguments_and_their_gradients_stay():
    x = T([1.0, 2.0], requires_grad=True)
    x.grad = T([7.0, 7.0])
    w = T([3.0, 3.0], requires_grad=True)

    def f(x):
        y = x + w
        y += 1
        x.mul_(2)  # into a copy
        x[0] = 0.0
        return (x * y).sum()

    assert_close(tg.func.grad(f)(x), [0.0, 16.0])
    assert_close(tg.func.hessian(f)(x), [[0, 0], [0, 4]])
    assert_close(tg.func.jvp(f, (x,), (x,))[1], 32.0)
    assert_close(x, [1.0, 2.0])
    assert_close(x.grad, [7.0, 7.0])
    assert x.is_leaf
    assert w.grad is None


def test_a_result_is_nobody_elses_memory():
    x, v = T([1.0, 2.0]), T([3.0, 4.0])
    y, pull = tg.func.vjp(lambda x: x, x)
    results = [y, *pull(v), *pull(v), *tg.func.jvp(lambda x: x, (x,), (v,))]
    results += tg.func.grad(lambda a, b: (a + b).sum(), (0, 1))(x, v)
    for t in results:
        t.fill_(9.0)
    assert_close((x, v), ([1.0, 2.0], [3.0, 4.0]))
    for t in results:
        assert_close(t, [9.0, 9.0])


def test_changing_what_vjp_returned_is_noticed():
    y, pull = tg.func.vjp(lambda x: x.exp(), T([1.0]))
    y.zero_()
    with pytest.raises(InPlaceError):
        pull(T([1.0]))


@pytest.mark.parametrize("outside", [True, False])
def test_recording_outside_and_inside(outside):
    x = T([1.0, 2.0], requires_grad=True)
    w = T(1.0, requires_grad=True)

    def f(x):
        return (w * x**3).sum()

    with recording(outside):
        g, h = tg.func.grad(f)(x), tg.func.hessian(f)(x)
        value, slope = tg.func.jvp(f, (x,), (x,))
        y, pull = tg.func.vjp(f, x)
        (back,) = pull(T(1.0))
    assert_close((g, h, slope, back), ([3.0, 12.0], np.diag([6.0, 12.0]), 27.0, [3.0, 12.0]))
    for t in (g, h, value, slope, y, back):
        assert t.requires_grad == outside
    assert tg.is_grad_enabled()

    def halted(x):
        with tg.no_grad():
            held = x * x
        return (held * x).sum()

    assert_close(tg.func.grad(halted)(x), [1.0, 4.0])


def test_results_can_be_differentiated_where_something_needs_it():
    w = T(3.0, requires_grad=True)
    x = T([1.0, 2.0])

    def f(x):
        return (w * x**3).sum()

    g = tg.func.grad(f)(x)
    assert_close(tg.autograd.grad(g.sum(), w), (15.0,))
    value, slope = tg.func.jvp(f, (x,), (x,))
    assert_close(tg.autograd.grad(value + slope, w), (9.0 + 27.0,))
    _, pull = tg.func.vjp(f, x)
    assert_close(tg.autograd.grad(pull(T(1.0))[0].sum(), w), (15.0,))
    h = tg.func.hessian(f)(x)
    h.sum().backward()
    assert_close(w.grad, 18.0)
    # of two results only the one that depends on it
    (value, aux), g = tg.func.value_and_grad(lambda x: (x.sum(), w * x), has_aux=True)(x)
    assert [t.requires_grad for t in (value, aux, g)] == [False, True, False]
    assert_close(tg.autograd.grad(aux.sum(), w), (3.0,))

    def shared(x):
        y = x.exp()
        return y.sum(), y * w

    w.grad = None
    _, aux = tg.func.grad(shared, has_aux=True)(x)
    aux.sum().backward()  # the walk for the gradient has freed nothing of it
    assert_close(w.grad, np.exp([1.0, 2.0]).sum())
    y, pull = tg.func.vjp(lambda x: w * x, x)
    y.mul_(5.0)
    assert_close(pull(x), ([3.0, 6.0],))
    # a tangent or cotangent that needs a gradient is enough
    v = T([1.0, 1.0], requires_grad=True)

    def square(x):
        return x * x

    assert_close(tg.autograd.grad(tg.func.jvp(square, (x,), (v,))[1].sum(), v), ([2.0, 4.0],))
    assert_close(tg.autograd.grad(tg.func.vjp(square, x)[1](v)[0].sum(), v), ([2.0, 4.0],))

    def total(x):
        return (x**3).sum()

    assert_close(tg.autograd.grad(tg.func.hvp(total, (x,), (v,))[0].sum(), v), ([6.0, 12.0],))


def test_an_inner_transform_by_another_variable_leaves_no_graph():
    x, w = T([1.0, 2.0]), T(3.0)

    def penalty(w):
        return (tg.func.grad(lambda x: (w * x**2).sum())(x) ** 2).sum()

    g = tg.func.grad(penalty)(w)  # (2 w x)^2 by w
    assert_close(g, 2 * 3.0 * 4 * 5)
    assert not g.requires_grad
    g, h = tg.func.value_and_grad(penalty)(w)
    assert not g.requires_grad
    assert not h.requires_grad


def test_nesting():
    x, v = T(normal(3)), T(normal(3, seed=5))

    def f(x):
        return (x.sin() * x.flip(0) ** 2).sum() + x[0] * x[1] * x[2]

    full = tg.func.hessian(f)(x).data
    assert_close(tg.func.jvp(tg.func.grad(f), (x,), (v,))[1], full @ v.data)
    assert_close(tg.func.grad(lambda x: tg.func.jvp(f, (x,), (v,))[1])(x), full @ v.data)
    assert_close(tg.func.jacobian(tg.func.grad(f))(x), full)
    assert_close(tg.func.vjp(tg.func.grad(f), x)[1](v), (v.data @ full,))
    assert_close(tg.func.jacobian(lambda v: tg.func.hvp(f, (x,), (v,))[0])(v), full)
    third = tg.func.jacobian(tg.func.hessian(f))(x).data

    def twice(x):
        return tg.func.jvp(lambda x: tg.func.jvp(f, (x,), (v,))[1], (x,), (v,))[1]

    assert_close(twice(x), v.data @ full @ v.data)
    assert_close(tg.func.grad(twice)(x), np.einsum("ijk,i,j", third, v.data, v.data), 1e-10)

    def along(x):
        return (tg.func.hvp(f, (x,), (v,))[0] * v).sum()

    assert_close(along(x), v.data @ full @ v.data)
    assert_close(tg.func.grad(along)(x), np.einsum("ijk,i,j", third, v.data, v.data), 1e-10)
    fourth = tg.func.jacobian(tg.func.jacobian(tg.func.hessian(f)))(x).data
    expected = np.einsum("ijkl,i,j,k", fourth, v.data, v.data, v.data)
    assert_close(tg.func.hvp(along, (x,), (v,)), (expected,), 1e-10)


def test_finite_differences():
    w1, w2 = T(normal(3, 4)), T(normal(4, 2))

    def f(x):
        return ((x @ w1).tanh() @ w2).softmax(-1)

    x, v, eps = normal(5, 3), normal(5, 3, seed=7), 1e-6
    slope = (f(T(x + eps * v)).data - f(T(x - eps * v)).data) / (2 * eps)
    assert_close(tg.func.jvp(f, (T(x),), (T(v),))[1], slope, 1e-8)
    assert_close(np.tensordot(tg.func.jacobian(f)(T(x)).data, v, 2), slope, 1e-8)


# --- memory and cost ----------------------------------------------------------------------------


def test_graphs_die():
    x = T(normal(3))
    seen = []

    def f(x):
        y = x.exp()
        seen.append(weakref.ref(y.grad_fn))
        return (y * x).sum()

    gc.collect()
    gc.disable()
    try:
        kept = [
            tg.func.grad(f)(x), tg.func.value_and_grad(f)(x), tg.func.hessian(f)(x),
            tg.func.jvp(f, (x,), (x,)), tg.func.hvp(f, (x,), (x,)), tg.func.jacobian(f)(x),
            tg.func.vjp(f, x)[0],
        ]  # fmt: skip
        assert len(seen) == len(kept)
        assert not any(ref() for ref in seen)
        _, pull = tg.func.vjp(f, x)
        assert seen[-1]() is not None
        del pull
        assert seen[-1]() is None
        w = T(2.0, requires_grad=True)
        made = x * w
        with tg.no_grad():  # the argument's own graph is not kept either
            _, pull = tg.func.vjp(f, made)
        seen.append(weakref.ref(made.grad_fn))
        del made
        assert seen[-1]() is None
        del pull
        g = tg.func.grad(lambda x: f(x * w))(x)
        assert seen[-1]() is not None
        g = g.detach()
        assert seen[-1]() is None
    finally:
        gc.enable()


def walks(monkeypatch, call):
    """Return, for each walk that `call` makes, how many nodes it passed and whether recorded."""
    found = []

    def counted(seeds, way, keep, create_graph):
        found.append((len(way.order), create_graph))
        return walk(seeds, way, keep, create_graph)

    walk = differentiate.walk
    with monkeypatch.context() as patch:
        patch.setattr(differentiate, "walk", counted)
        call()
    return found


def test_cost_in_walks(monkeypatch):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(27, 10))  # fmt: skip
    params = {name: p.detach() for name, p in model.named_parameters()}
    x, labels = tg.randn(2, 1, 8, 8), tg.tensor([1, 2])

    def loss(params):
        z = tg.func.functional_call(model, params, x)
        return nn.functional.cross_entropy(z, labels)

    assert [r for _, r in walks(monkeypatch, lambda: tg.func.grad(loss)(params))] == [False]
    ((alone, _),) = walks(monkeypatch, lambda: tg.func.grad(loss)(params))
    found = walks(monkeypatch, lambda: tg.func.hvp(loss, (params,), (params,)))
    assert [recorded for _, recorded in found] == [True, False]
    assert found[1][0] < 5 * alone
    found = walks(monkeypatch, lambda: tg.func.jvp(loss, (params,), (params,)))
    assert [recorded for _, recorded in found] == [True, False]
    w = T(normal(3))
    found = walks(monkeypatch, lambda: tg.func.hessian(logistic)(w))
    assert [recorded for _, recorded in found] == [True, False, False, False]
    found = walks(monkeypatch, lambda: tg.func.jacobian(lambda x: x[:2])(w))
    assert [recorded for _, recorded in found] == [False, False]


# --- modules ------------------------------------------------------------------------------------


def test_functional_call():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    before = dict(model.named_parameters())
    x = T(normal(4, 3))
    params = {name: p.detach() * 2 for name, p in before.items()}
    found = tg.func.functional_call(model, params, (x,))
    other = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    other.load_state_dict(params)
    assert_close(found, other(x))
    assert not found.requires_grad
    assert all(p is before[name] for name, p in model.named_parameters())
    assert all(p.grad is None for p in before.values())
    assert_close(tg.func.functional_call(model, {}, x), model(x))
    only = {"0.bias": params["0.bias"]}
    assert not np.allclose(tg.func.functional_call(model, only, x).data, model(x).data)


def test_hessian_of_a_modules_parameters():
    model = nn.Linear(3, 1).double()
    x = normal(5, 3)
    params = {name: p.detach() for name, p in model.named_parameters()}

    def f(params):
        return (tg.func.functional_call(model, params, T(x)) ** 2).sum()

    found = tg.func.hessian(f)(params)
    assert_close(found["weight"]["weight"].reshape(3, 3), 2 * x.T @ x)
    assert_close(found["weight"]["bias"].reshape(3), 2 * x.sum(0))
    assert_close(found["bias"]["bias"].reshape(()), 10.0)


def test_functional_call_with_shared_parameters_buffers_and_keywords():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2, bias=False)
            self.second = nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight
            self.register_buffer("scale", tg.tensor(1.0))

        def forward(self, x, shift=0.0):
            return self.second(self.first(x)) * self.scale + shift

    net = Net()
    eye = tg.tensor(np.eye(2, dtype=np.float32))
    new = {"second.weight": 3 * eye, "scale": tg.tensor(10.0)}
    found = tg.func.functional_call(net, new, tg.ones(1, 2), {"shift": 1.0})
    assert_close(found, [[91.0, 91.0]])
    assert net.first.weight is net.second.weight
    assert net.scale.item() == 1.0


def test_functional_call_puts_back_what_it_replaced():
    class Net(nn.Linear):
        def forward(self, x):
            super().forward(x)
            self.weight = nn.Parameter(tg.zeros(1, 2))
            raise RuntimeError("here")

    net = Net(2, 1)
    weight = net.weight
    with pytest.raises(RuntimeError, match="here"):
        tg.func.functional_call(net, {"weight": tg.ones(1, 2)}, tg.ones(1, 2))
    assert net.weight is weight
    with pytest.raises(ArgumentError, match=r"no parameter or buffer named 'wieght'.*'weight'"):
        tg.func.functional_call(net, {"wieght": tg.ones(1, 2)}, tg.ones(1, 2))
    with pytest.raises(DTypeError, match="'bias' must be a Tensor, got float"):
        tg.func.functional_call(net, {"weight": tg.ones(1, 2), "bias": 1.0}, tg.ones(1, 2))
    assert net.weight is weight


x2 = T([1.0, 2.0])


def f2(x):
    return x * x


# --- autograd.functional --------------------------------------------------------------------------


def test_the_names_of_autograd_functional():
    F = tg.autograd.functional
    w, v = normal(3, seed=2), normal(3, seed=3)
    hessian = tg.func.hessian(logistic)(T(w)).data
    gradient = tg.func.grad(logistic)(T(w)).data
    value = logistic(T(w)).data
    assert_close(F.hessian(logistic, T(w)), hessian)
    assert_close(F.hvp(logistic, T(w), T(v)), (value, hessian @ v))
    assert_close(F.vhp(logistic, (T(w),), (T(v),)), (value, (hessian @ v,)))
    assert_close(F.vjp(logistic, T(w)), (value, gradient))
    assert_close(F.jvp(logistic, T(w), T(v)), (value, gradient @ v))
    assert_close(F.jvp(lambda x: (x, x * x), T([3.0])), (([3.0], [9.0]), ([1.0], [6.0])))
    assert_close(F.jacobian(logistic, (T(w),)), (gradient,))
    two = F.jacobian(lambda a, b: (a * b, b), (T([1.0, 2.0]), T(3.0)))
    assert_close(two, ((3 * np.eye(2), [1.0, 2.0]), (np.zeros(2), 1.0)))
    second = F.hessian(lambda a, b: (a * a).sum() * b, (T([1.0, 2.0]), T(3.0)))
    assert_close(second, ((6 * np.eye(2), [2.0, 4.0]), ([2.0, 4.0], 0.0)))


def test_functional_records_only_where_it_is_asked_to():
    F = tg.autograd.functional
    x, v = T([1.0, 2.0], requires_grad=True), T([1.0, 1.0])

    def f(x):
        return (x**3).sum()

    def calls(**settings):
        yield from F.vjp(f, x, **settings)
        for product in (F.jvp, F.hvp, F.vhp):
            yield from product(f, x, v, **settings)
        yield F.jacobian(f, x, **settings)
        yield F.hessian(f, x, **settings)

    assert not any(t.requires_grad for t in calls())
    assert all(t.requires_grad for t in calls(create_graph=True))
    assert x.grad is None
    assert_close(tg.autograd.grad(F.hessian(f, x, create_graph=True).sum(), x), ([6.0, 6.0],))
    with tg.no_grad():
        assert not any(t.requires_grad for t in calls(create_graph=True))
    x = x.detach()
    assert not any(t.requires_grad for t in calls(create_graph=True))


@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp", "jacobian", "hessian"])
def test_functional_refuses(name):
    function = getattr(tg.autograd.functional, name)
    v = {"v": T([1.0, 1.0])} if name in ("jvp", "vhp", "hvp") else {}
    both = {"v": (v["v"], v["v"])} if v else {}
    with pytest.raises(ArgumentError, match=rf"{name}: inputs is .* got list; tg.func"):
        function(lambda x: x.sum(), [x2])
    with pytest.raises(GraphError, match=rf"{name}: no output depends on input 1"):
        function(lambda a, b: (a**3).sum(), (x2, x2), strict=True, **both)
    with pytest.raises(GraphError, match=rf"{name}: output 0 depends on no input"):
        function(lambda a: x2.sum(), x2, strict=True, **v)
    if name in ("vhp", "hvp", "hessian"):
        with pytest.raises(ShapeError, match=f"{name}: .*one element"):
            function(f2, x2, **v)
        with pytest.raises(GraphError, match=rf"{name}: "):  # the gradient is constant
            function(lambda a: a.sum(), x2, strict=True, **v)
    if name in ("vjp", "jvp", "vhp", "hvp"):
        with pytest.raises(ArgumentError, match=f"{name}: v may be left out"):
            function(f2 if name == "vjp" else lambda x: (x * x).sum(), x2)
        with pytest.raises(ShapeError, match=rf"{name}: .*shape \(3,\)"):
            function(f2 if name == "vjp" else lambda x: (x * x).sum(), x2, T([1.0] * 3))


# --- PyTorch ------------------------------------------------------------------------------------


def both(call):
    """Return what `call` gives here and in PyTorch, as nested arrays."""
    import torch

    def arrays(tree):
        if isinstance(tree, dict):
            return {key: arrays(branch) for key, branch in tree.items()}
        if isinstance(tree, (list, tuple)):
            return tuple(map(arrays, tree))
        return tree.detach().numpy() if hasattr(tree, "detach") else tree

    ours = arrays(call(tg, T))
    theirs = arrays(call(torch, lambda a: torch.tensor(a, dtype=torch.float64)))
    return ours, theirs


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        assert_same(tuple(ours.values()), tuple(theirs.values()))
    elif isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for o, t in zip(ours, theirs, strict=True):
            assert_same(o, t)
    elif isinstance(ours, np.ndarray):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    else:
        assert ours == theirs


def network(lib):
    def f(p, x):
        hidden = (x @ p["layers"][0] + p["bias"]).tanh()
        out = hidden @ p["layers"][1]
        return (out.exp().sum(), {"out": out})

    return f


def arguments(make):
    params = {"layers": [make(normal(3, 4)), make(normal(4, 2))], "bias": make(normal(4))}
    return params, make(normal(2, 3, seed=4))


def tangents(make):
    params = {"layers": [make(normal(3, 4, seed=6)), make(normal(4, 2, seed=6))],
              "bias": make(normal(4, seed=6))}  # fmt: skip
    return params, make(normal(2, 3, seed=7))


ORACLE = {
    "grad": lambda lib, f, x, v: lib.func.grad(f, has_aux=True)(*x),
    "grad by 1": lambda lib, f, x, v: lib.func.grad(f, argnums=1, has_aux=True)(*x),
    "grad by -1, 0": lambda lib, f, x, v: lib.func.grad(f, argnums=(-1, 0), has_aux=True)(*x),
    "vjp": lambda lib, f, x, v: (lambda y, pull, aux: (y, aux, pull(y), pull(2 * y)))(
        *lib.func.vjp(f, *x, has_aux=True)
    ),
    "vjp of containers": lambda lib, f, x, v: (
        lambda y, pull: (y, pull((y[0], {"out": y[1]["out"]})))
    )(*lib.func.vjp(lambda *x: (f(*x)[0], {"out": f(*x)[1]["out"]}), *x)),
    "jacrev": lambda lib, f, x, v: lib.func.jacrev(lambda *x: f(*x)[1]["out"])(*x),
    "jacrev by 0, 1": lambda lib, f, x, v: lib.func.jacrev(
        lambda *x: (f(*x)[1]["out"], [f(*x)[0]]), argnums=(0, 1)
    )(*x),
    "jacrev with aux": lambda lib, f, x, v: lib.func.jacrev(f, argnums=1, has_aux=True)(*x),
    "hessian": lambda lib, f, x, v: lib.func.hessian(lambda *x: f(*x)[0])(*x),
    "hessian by 1, 0": lambda lib, f, x, v: lib.func.hessian(lambda *x: f(*x)[0], argnums=(1, 0))(
        *x
    ),
    "hessian of several": lambda lib, f, x, v: lib.func.hessian(
        lambda *x: f(*x)[1]["out"], argnums=1
    )(*x),
    "jvp": lambda lib, f, x, v: lib.func.jvp(f, x, v, has_aux=True),
    "jvp of grad": lambda lib, f, x, v: lib.func.jvp(
        lib.func.grad(lambda *x: f(*x)[0], (0, 1)), x, v
    ),
    "grad of jvp": lambda lib, f, x, v: lib.func.grad(
        lambda *x: lib.func.jvp(lambda *x: f(*x)[0], x, v)[1], (0, 1)
    )(*x),
    "grad of norm of grad": lambda lib, f, x, v: lib.func.grad(
        lambda p, x: (lib.func.grad(lambda x: f(p, x)[0])(x) ** 2).sum()
    )(*x),
}


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own jvp
@pytest.mark.parametrize("name", ORACLE)
def test_as_torch_func(name):
    assert_same(*both(lambda lib, make: ORACLE[name](
        lib, network(lib), arguments(make), tangents(make)
    )))  # fmt: skip


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own jvp
def test_functional_call_as_pytorch():
    def call(lib, make):
        model = lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.Tanh(), lib.nn.Linear(2, 1))
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        params = {name: make(normal(*shape, seed=8)) for name, shape in shapes.items()}
        x = make(normal(5, 3))

        def loss(params):
            return (lib.func.functional_call(model, params, (x,)) ** 2).sum()

        return lib.func.grad(loss)(params), lib.func.hessian(loss)(params)

    assert_same(*both(call))


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own jvp
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_as_autograd_functional(single, create_graph):
    def f(a, b=None):
        b = a if b is None else b
        return ((a * b).sin().sum() * (a**2).sum()).reshape(1)

    def many(a, b=None):
        b = a if b is None else b
        return a * b.sum(), (b * b).exp()

    def call(lib, make):
        x, v = (make(normal(3, seed=s)).requires_grad_() for s in (1, 2))
        args, vectors = (x, v) if single else ((x, v), (v, x))
        F = lib.autograd.functional
        settings = {"create_graph": create_graph}
        results = [
            F.vjp(f, args, **settings), F.vjp(many, args, (x, v), **settings),
            F.jvp(f, args, vectors, **settings), F.jvp(many, args, vectors, **settings),
            F.vhp(f, args, vectors, **settings), F.hvp(f, args, vectors, **settings),
            F.jacobian(f, args, **settings), F.jacobian(many, args, **settings),
            F.hessian(f, args, **settings),
        ]  # fmt: skip
        last = results[-1] if single else results[-1][0][1]
        assert last.requires_grad == create_graph
        return results

    assert_same(*both(call))


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: tg.func.grad(f2)(x2), ShapeError, r"grad: .*of one element, got shape \(2,\)"),
        (lambda: tg.func.hvp(f2, (x2,), (x2,)), ShapeError, r"hvp: .*of one element"),
        (lambda: tg.func.grad(lambda x: (x, x))(x2), ShapeError, "got a tuple of 2"),
        (lambda: tg.func.grad(lambda x: x.argmax())(x2), DTypeError, "output is int64"),
        (lambda: tg.func.grad(lambda x: 1.0)(x2), DTypeError, "must return Tensors.*float"),
        (lambda: tg.func.vjp(lambda x: [x, None], x2), DTypeError, "NoneType.*has_aux"),
        (lambda: tg.func.grad(f2)(1.0), DTypeError, "not by float; make it a tg.tensor"),
        (lambda: tg.func.grad(f2)({"a": [None]}), DTypeError, "not by NoneType"),
        (lambda: tg.func.grad(f2)(tg.tensor([1])), DTypeError, r"not int64 \(1,\)"),
        (lambda: tg.func.grad(f2, 1)(x2), ArgumentError, "argument 1, but there are 1"),
        (lambda: tg.func.grad(f2, (0, -2))(x2), ArgumentError, "argument -2"),
        (lambda: tg.func.grad(f2, "x")(x2), ArgumentError, "argument 'x'"),
        (lambda: tg.func.grad(f2, (0, -1))(x2), ArgumentError, "an argument twice"),
        (lambda: tg.func.grad(f2, has_aux=True)(x2), ArgumentError, r"returns \(output, aux\)"),
        (lambda: tg.func.vjp(f2, x2)[1](T(1.0)), ShapeError, r"shape \(\) where the output.*\(2,"),
        (lambda: tg.func.vjp(f2, x2)[1]((x2,)), ArgumentError, "expected a Tensor, got a tuple"),
        (lambda: tg.func.vjp(f2, x2)[1](1.0), DTypeError, "expected Tensors, got float"),
        (lambda: tg.func.jvp(f2, x2, (x2,)), ArgumentError, r"write \(x,\)"),
        (lambda: tg.func.jvp(f2, (x2,), x2), ArgumentError, r"write \(x,\)"),
        (lambda: tg.func.jvp(f2, (x2,), (T(1.0),)), ShapeError, r"shape \(\) where the input"),
        (lambda: tg.func.jvp(f2, (x2,), (x2, x2)), ArgumentError, "a tuple of 1, got a tuple of 2"),
        (
            lambda: tg.func.jvp(lambda p: p["a"], ({"a": x2},), ({"b": x2},)),
            ArgumentError,
            r"keys \['a'\], got a dict with the keys \['b'\]",
        ),
        (
            lambda: tg.func.jvp(lambda a, b: a * 2, (x2, x2), (x2, x2), strict=True),
            GraphError,
            "no output depends on input 1",
        ),
        (
            lambda: tg.func.jvp(lambda a: (a, x2), (x2,), (x2,), strict=True),
            GraphError,
            "output 1 depends on no input",
        ),
    ],
)
def test_errors(call, error, says):
    with pytest.raises(error, match=says):
        call()
    assert tg.is_grad_enabled()


def test_an_error_in_the_function_leaves_everything():
    x = T([1.0], requires_grad=True)
    with tg.no_grad():
        with pytest.raises(ZeroDivisionError):
            tg.func.grad(lambda x: x.sum() / (1 // 0))(x)
        assert not tg.is_grad_enabled()
    assert x.grad is None
    assert x.requires_grad


def test_strict_lets_through_what_depends():
    _, slope = tg.func.jvp(lambda a, b: a * b, (x2, x2), (x2, x2), strict=True)
    assert_close(slope, [2.0, 8.0])


def test_names():
    for name in tg.func.__all__:
        assert getattr(tg.func, name).__doc__
    assert tg.func.jacrev is tg.func.jacobian
    assert tg.func.grad(logistic).__name__ == "logistic"
    model = nn.Linear(2, 1)
    jacobian = tg.func.jacobian(model)  # a callable without a name
    assert_close(jacobian(tg.ones(2)), model.weight.data)
    assert not hasattr(jacobian, "weight")
