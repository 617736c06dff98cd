"""Groups, gradients that are missing or wrong, hooks, and saving."""

import copy
import dataclasses
import json
import math
import re

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import optim
from tinygrad_adam.errors import ArgumentError, DTypeError, ShapeError, StateDictError
from tinygrad_adam.optim import schedules


def param(values, dtype=np.float64):
    return tg.Tensor(np.array(values, dtype=dtype), requires_grad=True)


def feed(params, seed):
    rs = np.random.RandomState(seed)
    for p in params:
        p.grad = tg.Tensor(rs.standard_normal(p.shape).astype(p.dtype))


OPTIMIZERS = [
    pytest.param(optim.SGD, {"momentum": 0.9, "dampening": 0.3}, id="sgd"),
    pytest.param(optim.RMSprop, {"centered": True, "momentum": 0.5}, id="rmsprop"),
    pytest.param(optim.Adam, {"amsgrad": True}, id="adam"),
    pytest.param(optim.AdamW, {}, id="adamw"),
    pytest.param(optim.AdamWithDecay, {"decay_steps": 3}, id="decay"),
    pytest.param(optim.Adam, {"lr": schedules.Exponential(0.1, 0.5, 3)}, id="scheduled"),
]


def frozen(params, optimizer):
    """Return everything an update could change, as comparable copies."""
    state = [
        {k: np.array(v).tolist() for k, v in optimizer.state.get(p, {}).items()} for p in params
    ]
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    return copy.deepcopy(([p.tolist() for p in params], state, groups))


# --- settings changed midway ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "changed", "words"),
    [
        (optim.Adam, {"betas": (1.0, 0.9)}, r"Adam: group 1: betas\[0\] must be .* < 1, got 1.0"),
        (optim.Adam, {"betas": 0.9}, "betas must be two numbers, got 0.9"),
        (optim.Adam, {"eps": "x"}, "eps must be a finite number >= 0, got 'x'"),
        (optim.AdamW, {"weight_decay": math.nan}, "weight_decay .* got nan"),
        (optim.RMSprop, {"alpha": 2.0}, "alpha .* got 2.0"),
        (optim.SGD, {"momentum": np.array([0.1, 0.2])}, "momentum must be a finite number"),
        (optim.SGD, {"momentum": -3}, "momentum .* got -3"),
    ],
)
def test_settings_are_checked_when_they_change(cls, changed, words):
    params = [param([1.0]), param([2.0])]
    optimizer = cls([{"params": [p]} for p in params], lr=0.1)
    feed(params, 0)
    optimizer.step()
    kept = {key: optimizer.param_groups[1][key] for key in changed}
    before = frozen(params, optimizer)
    optimizer.param_groups[1].update(changed)
    with pytest.raises(ArgumentError, match=words):
        optimizer.step()
    optimizer.param_groups[1].update(kept)
    assert frozen(params, optimizer) == before
    optimizer.step()


def test_a_changed_setting_becomes_a_plain_number():
    p = param([1.0])
    optimizer = optim.Adam([p])
    optimizer.param_groups[0].update(betas=[0, np.float32(0.5)], eps=np.array(1))
    feed([p], 0)
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.0, 0.5)
    assert type(optimizer.param_groups[0]["eps"]) is float


# --- gradients ----------------------------------------------------------------------------------


def test_no_gradient_is_not_a_zero_gradient():
    moved, rested = param([1.0]), param([1.0])
    for p, second in [(moved, np.zeros(1)), (rested, None)]:
        optimizer = optim.Adam([p], lr=0.1)
        p.grad = tg.Tensor(np.ones(1))
        optimizer.step()
        p.grad = None if second is None else tg.Tensor(second)
        before = frozen([p], optimizer)
        optimizer.step()
        if second is None:
            assert frozen([p], optimizer) == before
        else:
            assert optimizer.state[p]["step"] == 2
    assert rested.item() == pytest.approx(0.9)
    assert moved.item() == pytest.approx(0.9 - 0.067, abs=1e-3)


def test_state_is_made_at_the_first_gradient():
    a, b = param([1.0]), param([2.0])
    optimizer = optim.Adam([a, b])
    assert optimizer.state == {}
    feed([b], 0)
    optimizer.step()
    assert list(optimizer.state) == [b]
    assert optimizer.state[b]["step"] == 1
    assert optimizer.state_dict()["state"].keys() == {1}


def test_steps_are_counted_per_parameter():
    a, b = param([1.0]), param([1.0])
    optimizer = optim.Adam([a, b], lr=0.1, eps=0.0)
    a.grad = tg.Tensor(np.ones(1))
    optimizer.step()
    b.grad = tg.Tensor(np.ones(1))
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in (a, b)] == [2, 1]
    assert b.item() == pytest.approx(0.9, rel=1e-14)  # a first step, with its bias correction


def test_sgd_without_momentum_has_no_state():
    p = param([1.0])
    optimizer = optim.SGD([p])
    feed([p], 0)
    optimizer.step()
    assert optimizer.state == {}


@pytest.mark.parametrize(
    ("gradient", "error", "words"),
    [
        (np.ones(3), ShapeError, ["(2,)", "(3,)"]),
        (np.ones((2, 1)), ShapeError, ["(2,)", "(2, 1)"]),
        (np.ones(2, np.float32), DTypeError, ["float64", "float32"]),
    ],
)
def test_wrong_gradients_change_nothing(gradient, error, words):
    params = [param([1.0, 2.0]), param([3.0, 4.0])]
    optimizer = optim.Adam([("first", params[0]), ("second", params[1])])
    feed(params, 0)
    optimizer.step()
    before = frozen(params, optimizer)
    params[1].grad.data = gradient
    with pytest.raises(error) as caught:
        optimizer.step()
    for word in ["Adam", "group 0", "params[1]", "'second'", *words]:
        assert word in str(caught.value)
    assert frozen(params, optimizer) == before


def test_wrong_gradient_in_a_later_group_changes_nothing_in_an_earlier_one():
    a, b = param([1.0]), param([1.0, 2.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], momentum=0.9)
    a.grad, b.grad = tg.Tensor(np.ones(1)), tg.Tensor(np.ones(2))
    b.grad.data = np.ones(1)
    with pytest.raises(ShapeError, match="group 1"):
        optimizer.step()
    assert a.tolist() == [1.0]
    assert optimizer.state == {}
    assert optimizer.param_groups[0]["updates"] == 0


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adam])
def test_extreme_gradients_do_not_stop_an_update_halfway(cls):
    params = [param([1.0]), param([1.0])]
    optimizer = cls(params, lr=0.1)
    params[0].grad, params[1].grad = tg.Tensor(np.array([1.0])), tg.Tensor(np.array([1e-200]))
    with np.errstate(all="raise"):
        optimizer.step()
        params[1].grad = tg.Tensor(np.array([1e300]))
        optimizer.step()
    assert params[0].item() == pytest.approx(0.8)


def test_read_only_memory_is_found_before_anything_changes():
    params = [param([1.0]), param([2.0])]
    optimizer = optim.Adam(params, lr=0.1)
    feed(params, 0)
    optimizer.step()
    before = frozen(params, optimizer)
    params[1].data.flags.writeable = False
    with pytest.raises(ArgumentError, match=r"params\[1\] is on read-only memory; use a copy"):
        optimizer.step()
    assert frozen(params, optimizer) == before


def test_a_refused_step_leaves_the_state_of_earlier_parameters():
    """State is made, widened or moved for an update, and only if that takes place."""
    params = [param([1.0]), param([2.0])]
    optimizer = optim.RMSprop(params, lr=0.1)
    feed(params, 0)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.9
    params[0].data = params[0].data.astype(np.float32)
    params[0].grad = tg.Tensor(np.ones(1, np.float32))
    params[1].grad.data = np.ones((2, 2))
    with pytest.raises(ShapeError):
        optimizer.step()
    assert list(optimizer.state[params[0]]) == ["step", "square_avg"]
    assert optimizer.state[params[0]]["square_avg"].dtype == np.float64
    params[1].grad = tg.Tensor(np.ones(1))
    optimizer.step()
    assert optimizer.state[params[0]]["square_avg"].dtype == np.float32
    assert list(optimizer.state[params[1]]) == ["step", "square_avg", "momentum_buffer"]


def test_zero_grad():
    p, q = param([1.0]), param([1.0])
    optimizer = optim.SGD([p, q])
    held = p.grad = tg.Tensor(np.ones(1))
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]
    assert q.grad is None
    assert held.tolist() == [1.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_runs_once_before_the_update_with_gradients_on():
    p = param([3.0])
    optimizer = optim.SGD([p], lr=0.5)
    seen = []

    def closure():
        seen.append((p.item(), tg.is_grad_enabled()))
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        loss = optimizer.step(closure)
    assert seen == [(3.0, True)]
    assert loss.item() == 9.0
    assert p.item() == 0.0
    assert optimizer.step() is None


def test_a_closure_that_raises_changes_nothing():
    p = param([3.0])
    optimizer = optim.SGD([p])
    feed([p], 0)

    def closure():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        optimizer.step(closure)
    assert p.tolist() == [3.0]


def test_state_follows_a_parameter_that_is_converted():
    p = param([1.0, 2.0], np.float32)
    optimizer = optim.Adam([p])
    feed([p], 0)
    optimizer.step()
    first = optimizer.state[p]["exp_avg"]
    p.data = p.data.astype(np.float64)
    feed([p], 1)
    optimizer.step()
    second = optimizer.state[p]["exp_avg"]
    assert (first.dtype, second.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(second, 0.9 * first + 0.1 * p.grad.data)


def test_a_parameter_of_a_new_shape_is_refused():
    p, q = param([1.0, 2.0]), param([1.0])
    optimizer = optim.Adam([q, p])
    feed([p, q], 0)
    optimizer.step()
    p.data = np.ones(3)
    feed([p, q], 1)
    before = frozen([p, q], optimizer)
    with pytest.raises(ShapeError, match=r"exp_avg.*\(2,\)"):
        optimizer.step()
    assert frozen([p, q], optimizer) == before


# --- groups -------------------------------------------------------------------------------------


def test_groups_have_their_own_settings():
    a, b = param([0.0]), param([0.0])
    optimizer = optim.SGD([{"params": a}, {"params": (q for q in [b]), "lr": 0.5}], lr=0.1)
    a.grad = b.grad = tg.Tensor(np.ones(1))
    optimizer.step()
    assert [a.item(), b.item()] == [-0.1, -0.5]


def test_splitting_into_groups_changes_no_bit():
    shapes = [(3,), (2, 2), (9000,)]
    one = [param(np.ones(s)) for s in shapes]
    two = [param(np.ones(s)) for s in shapes]
    together = optim.Adam(one)
    apart = optim.Adam([{"params": two[:1]}])
    apart.add_param_group({"params": two[1:]})
    for seed in range(5):
        feed(one, seed)
        feed(two, seed)
        together.step()
        apart.step()
    for p, q in zip(one, two, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_names():
    a, b = param([0.0]), param([0.0])
    optimizer = optim.SGD({"w": a, "b": b}.items())
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    optimizer = optim.SGD([{"params": [("w", a)]}, {"params": [("b", b)]}])
    assert [g["param_names"] for g in optimizer.param_groups] == [["w"], ["b"]]


def test_frozen_parameters_are_accepted_and_left_alone():
    p = tg.Tensor(np.ones(2))
    optimizer = optim.Adam([p])
    optimizer.step()
    assert p.tolist() == [1.0, 1.0]


def leaf(name="p"):
    return param([1.0])


shared = leaf()
result = leaf() * 2
readonly = tg.Tensor(np.broadcast_to(np.ones(1), (3,)))


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ([], ArgumentError, "empty"),
        (iter([]), ArgumentError, "empty"),
        ({shared}, ArgumentError, "a set"),
        (shared, ArgumentError, "single Tensor"),
        ({"w": shared}, ArgumentError, r"\.items\(\)"),
        ("weights", ArgumentError, "str"),
        (3, ArgumentError, "int"),
        ([shared, shared], ArgumentError, "repeats a parameter"),
        ([{"params": [shared]}, {"params": [shared]}], ArgumentError, "group 1 repeats"),
        ([np.ones(2)], ArgumentError, r"params\[0\] must be a Tensor, got ndarray"),
        ([shared, None], ArgumentError, r"params\[1\] must be a Tensor, got NoneType"),
        ([tg.tensor([1, 2])], DTypeError, "int64"),
        ([shared, result], ArgumentError, r"params\[1\] is the result of an operation"),
        ([readonly], ArgumentError, "read-only"),
        ([{"params": []}], ArgumentError, "group 0 has no parameters"),
        ([{"lr": 1.0}], ArgumentError, '"params"'),
        ([{"params": {shared}}], ArgumentError, "a set"),
        ([{"params": [shared]}, leaf()], ArgumentError, "mixes"),
        ([("w", shared), leaf()], ArgumentError, "every entry"),
        ([("w", shared), ("w", leaf())], ArgumentError, "repeats a parameter name"),
        ([{"params": [("w", shared)]}, {"params": [leaf()]}], ArgumentError, "name the param"),
        ([{"params": [shared], "learning_rate": 1}], ArgumentError, "learning_rate.*'lr'"),
        ([{"params": [shared], "lr": -1}], ArgumentError, "group 0: lr must.*-1"),
    ],
)
def test_parameter_errors(params, error, words):
    with pytest.raises(error, match=words):
        optim.SGD(params)


@pytest.mark.parametrize(
    ("cls", "settings", "words"),
    [
        (optim.SGD, {"lr": -0.1}, "lr must be a finite number >= 0, got -0.1"),
        (optim.SGD, {"lr": math.nan}, "lr"),
        (optim.SGD, {"lr": math.inf}, "lr"),
        (optim.SGD, {"lr": "0.1"}, "lr"),
        (optim.SGD, {"lr": None}, "lr"),
        (optim.SGD, {"momentum": -0.1}, "momentum"),
        (optim.SGD, {"dampening": 1.5}, "dampening must be a finite number >= 0 and <= 1"),
        (optim.SGD, {"weight_decay": -1}, "weight_decay"),
        (optim.SGD, {"nesterov": True}, "nesterov needs momentum"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        (optim.RMSprop, {"lr": -1}, "lr"),
        (optim.RMSprop, {"alpha": 1.0}, "alpha must be a finite number >= 0 and < 1, got 1.0"),
        (optim.RMSprop, {"alpha": -0.1}, "alpha"),
        (optim.RMSprop, {"eps": -1e-8}, "eps"),
        (optim.RMSprop, {"eps_root": -1e-8}, "eps_root"),
        (optim.RMSprop, {"momentum": -1}, "momentum"),
        (optim.RMSprop, {"weight_decay": -1}, "weight_decay"),
        (optim.Adam, {"lr": -1}, "lr"),
        (optim.Adam, {"betas": (1.0, 0.999)}, r"betas\[0\] must be a finite number >= 0 and < 1"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"betas\[1\]"),
        (optim.Adam, {"betas": (-0.1, 0.9)}, r"betas\[0\]"),
        (optim.Adam, {"betas": 0.9}, "betas must be two numbers, got 0.9"),
        (optim.Adam, {"betas": (0.9,)}, "betas must be two numbers"),
        (optim.Adam, {"eps": -1.0}, "eps"),
        (optim.Adam, {"eps_root": -1.0}, "eps_root"),
        (optim.Adam, {"weight_decay": -1.0}, "weight_decay"),
        (optim.AdamW, {"weight_decay": math.nan}, "weight_decay"),
        (optim.AdamWithDecay, {"decay_rate": 0.0}, "decay_rate must be a finite number > 0"),
        (optim.AdamWithDecay, {"decay_steps": 0}, "decay_steps"),
    ],
)
def test_setting_errors(cls, settings, words):
    with pytest.raises(ArgumentError, match=words):
        cls([leaf()], **settings)
    with pytest.raises(ArgumentError, match=words):
        cls([{"params": [leaf()]} | settings])


def test_a_failed_add_param_group_changes_nothing():
    optimizer = optim.SGD([shared])
    for group in [{"params": [shared]}, {"params": [leaf()], "lr": -1}, [leaf()], {}]:
        with pytest.raises(ArgumentError):
            optimizer.add_param_group(group)
        assert len(optimizer.param_groups) == 1


def test_numbers_of_any_kind_become_plain_ones():
    optimizer = optim.Adam([leaf()], lr=np.float32(0.5), betas=[np.float64(0.9), 0], eps=0)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.9, 0.0), 0.0)
    assert {type(x) for x in (group["lr"], *group["betas"], group["eps"])} == {float}


def test_repr():
    text = repr(optim.Adam([{"params": [leaf(), leaf()]}, {"params": [leaf()], "lr": 0.5}]))
    assert text.startswith("Adam (\nParameter Group 0 (2 tensors)\n")
    assert "Parameter Group 1 (1 tensors)" in text
    assert "    lr: 0.5\n" in text
    scheduled = optim.SGD([leaf()], lr=schedules.Exponential(0.25, 0.5, 1))
    assert "    lr: 0.25 (scheduled)\n" in repr(scheduled)


# --- hooks --------------------------------------------------------------------------------------


def test_hooks_run_around_the_step_until_removed():
    p = param([1.0])
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = tg.Tensor(np.ones(1))
    calls = []
    before = optimizer.register_step_pre_hook(lambda o, a, k: calls.append(("pre", o, p.item())))
    after = optimizer.register_step_post_hook(lambda o, a, k: calls.append(("post", o, p.item())))
    optimizer.step()
    assert calls == [("pre", optimizer, 1.0), ("post", optimizer, 0.0)]
    before.remove()
    before.remove()
    optimizer.step()
    assert calls[2:] == [("post", optimizer, -1.0)]
    after.remove()
    optimizer.step()
    assert len(calls) == 3


def test_a_pre_hook_may_replace_the_arguments():
    p = param([1.0])
    optimizer = optim.SGD([p])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: "other",), {}))
    assert optimizer.step(lambda: "mine") == "other"
    assert optimizer.step() == "other"


def test_no_post_hook_after_a_failed_step():
    p = param([1.0])
    optimizer = optim.SGD([p])
    calls = []
    optimizer.register_step_post_hook(lambda *args: calls.append(args))
    p.grad = tg.Tensor(np.ones(1))
    p.grad.data = np.ones(2)
    with pytest.raises(ShapeError):
        optimizer.step()
    assert calls == []


# --- saving -------------------------------------------------------------------------------------

SHAPES = [(3,), (2, 2), (), (9000,), (70_000,)]


@pytest.mark.parametrize(("cls", "settings"), OPTIMIZERS)
def test_resuming_changes_no_bit(cls, settings):
    straight = [param(np.ones(s)) for s in SHAPES]
    optimizer = cls(straight, **settings)
    for seed in range(9):
        feed(straight, seed)
        if seed == 4:
            resumed = [param(p.data) for p in straight]
            saved = optimizer.state_dict()
        optimizer.step()
    again = cls(resumed, **(settings if "lr" in settings else settings | {"lr": 0.77}))
    again.load_state_dict(saved)
    for seed in range(4, 9):
        feed(resumed, seed)
        again.step()
    for p, q in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_layout_is_that_of_torch():
    a, b, c = param([1.0]), param([2.0, 3.0]), param([4.0])
    optimizer = optim.Adam([{"params": [("a", a)]}, {"params": [("b", b), ("c", c)], "lr": 0.5}])
    feed([a, c], 0)
    optimizer.step()
    saved = optimizer.state_dict()
    assert list(saved) == ["state", "param_groups"]
    assert list(saved["state"]) == [0, 2]
    assert list(saved["state"][2]) == ["step", "exp_avg", "exp_avg_sq"]
    assert type(saved["state"][2]["step"]) is int
    assert [g["params"] for g in saved["param_groups"]] == [[0], [1, 2]]
    assert [g["param_names"] for g in saved["param_groups"]] == [["a"], ["b", "c"]]
    assert saved["param_groups"][1]["lr"] == 0.5


@pytest.mark.parametrize(
    ("cls", "before", "after"),
    [
        (optim.SGD, {"momentum": 0.9}, {"momentum": 0.0}),
        (optim.SGD, {"momentum": 0.0}, {"momentum": 0.9}),
        (optim.RMSprop, {"centered": True, "momentum": 0.5}, {"centered": False, "momentum": 0.0}),
        (optim.RMSprop, {"centered": False}, {"centered": True, "momentum": 0.5}),
        (optim.Adam, {"amsgrad": True}, {"amsgrad": False}),
        (optim.Adam, {"amsgrad": False}, {"amsgrad": True}),
    ],
)
def test_state_loads_after_settings_were_switched(cls, before, after):
    """Whether or not each parameter has been updated since."""
    params = [param([1.0]), param([2.0])]
    optimizer = cls(params, lr=0.1, **before)
    feed(params, 0)
    optimizer.step()
    optimizer.param_groups[0].update(after)
    feed(params[:1], 1)
    params[1].grad = None
    optimizer.step()
    twins = [param(p.data) for p in params]
    again = cls(twins, lr=0.1, **before)
    again.load_state_dict(optimizer.state_dict())
    for seed in (2, 3):
        for ps, o in ((params, optimizer), (twins, again)):
            feed(ps, seed)
            o.step()
    assert [p.tolist() for p in params] == [p.tolist() for p in twins]


@pytest.mark.parametrize(
    ("cls", "settings", "lacks"),
    [
        (optim.Adam, {"amsgrad": True}, ["eps_root", "updates"]),
        (optim.AdamW, {}, ["eps_root", "updates"]),
        (optim.RMSprop, {"momentum": 0.9}, ["eps_root", "updates"]),
        (optim.SGD, {"momentum": 0.9}, ["updates"]),
    ],
)
def test_state_without_what_torch_lacks_is_read(cls, settings, lacks):
    p = param([1.0, 2.0])
    optimizer = cls([p], lr=0.1, **settings)
    for seed in range(3):
        feed([p], seed)
        optimizer.step()
    saved = optimizer.state_dict()
    for key in lacks:
        del saved["param_groups"][0][key]
    saved["param_groups"][0].update(foreach=None, fused=True, capturable=False)
    q = param(p.data)
    again = cls([q], lr=0.7, **settings)
    again.load_state_dict(saved)
    counted = cls is not optim.SGD
    assert again.param_groups[0]["updates"] == (3 if counted else 0)
    for o, x in ((optimizer, p), (again, q)):
        feed([x], 9)
        o.step()
    np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
        ("AdamW", {}),
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
    ],
)
def test_we_read_the_state_of_torch(name, settings):
    torch = pytest.importorskip("torch")
    starts = [np.arange(6.0).reshape(2, 3), np.ones(4)]
    theirs = [torch.tensor(s, requires_grad=True) for s in starts]
    twin = getattr(torch.optim, name)(theirs, lr=0.1, **settings)
    rs = np.random.RandomState(0)

    def give(params, make, grads):
        for p, g in zip(params, grads, strict=True):
            p.grad = make(g)

    for _ in range(4):
        give(theirs, torch.tensor, [rs.standard_normal(s.shape) for s in starts])
        twin.step()
    ours = [param(q.detach().numpy()) for q in theirs]
    optimizer = getattr(optim, name)(ours, lr=0.5, **settings)
    optimizer.load_state_dict(twin.state_dict())
    for _ in range(4):
        grads = [rs.standard_normal(s.shape) for s in starts]
        give(theirs, torch.tensor, grads)
        give(ours, tg.Tensor, grads)
        twin.step()
        optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), atol=1e-13, rtol=1e-12)


@pytest.mark.oracle
def test_torch_reads_our_state():
    torch = pytest.importorskip("torch")
    ours = [param(np.ones(3)), param(np.ones(2))]
    optimizer = optim.Adam(ours, lr=0.1)
    for seed in range(3):
        feed(ours, seed)
        optimizer.step()
    saved = optimizer.state_dict()
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]
    twin = torch.optim.Adam(theirs)
    state = {
        i: {k: torch.tensor(float(v) if k == "step" else v) for k, v in entry.items()}
        for i, entry in saved["state"].items()
    }
    twin.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    feed(ours, 9)
    for p, q in zip(ours, theirs, strict=True):
        q.grad = torch.tensor(p.grad.data)
    optimizer.step()
    twin.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), atol=1e-13, rtol=1e-12)


def test_nothing_is_shared_with_the_saved_state():
    p = param([1.0, 2.0])
    optimizer = optim.Adam([p])
    feed([p], 0)
    optimizer.step()
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved)
    optimizer.step()
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"], kept["state"][0]["exp_avg"])
    optimizer.load_state_dict(saved)
    assert optimizer.state[p]["step"] == 1
    optimizer.step()
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"], kept["state"][0]["exp_avg"])
    assert saved["state"][0]["step"] == 1


def test_loading_converts_to_the_type_of_the_parameter():
    p = param([1.0, 2.0])
    optimizer = optim.Adam([p])
    feed([p], 0)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = np.float32(1.0)
    saved["state"][0]["exp_avg"] = tg.Tensor(saved["state"][0]["exp_avg"])
    for dtype, kept in [(np.float32, np.float32), (np.float16, np.float32)]:
        q = param([1.0, 2.0], dtype)
        other = optim.Adam([q])
        other.load_state_dict(saved)
        assert other.state[q]["exp_avg"].dtype == kept
        assert other.state[q]["step"] == 1
        assert type(other.state[q]["step"]) is int


@pytest.mark.parametrize(
    "lr", [schedules.Constant(0.3), schedules.Exponential(0.1, 0.5, 2, staircase=True)]
)
def test_schedules_are_saved(lr):
    p = param([1.0])
    optimizer = optim.SGD([p], lr=lr)
    for seed in range(3):
        feed([p], seed)
        optimizer.step()
    saved = json.loads(json.dumps(optimizer.state_dict()["param_groups"][0]))
    for here in (0.7, schedules.Constant(0.7), lambda k: 0.7):
        other = optim.SGD([p], lr=here)
        other.load_state_dict({"state": {}, "param_groups": [saved]})
        assert other.param_groups[0]["lr"] == lr
        assert other.current_lrs() == optimizer.current_lrs() == [lr(3)]


def test_schedules_of_users_are_saved():
    @dataclasses.dataclass(frozen=True)
    class Halving(schedules.Schedule):
        lr: float

        def __call__(self, k):
            return self.lr / 2**k

    try:
        optimizer = optim.SGD([param([1.0])], lr=Halving(0.5))
        other = optim.SGD([param([1.0])])
        other.load_state_dict(optimizer.state_dict())
        assert other.param_groups[0]["lr"] == Halving(0.5)
    finally:
        del schedules.Schedule.kinds["Halving"]


def test_functions_are_not_saved_but_their_position_is():
    p = param([1.0])
    optimizer = optim.SGD([p], lr=lambda k: 0.5**k)
    feed([p], 0)
    optimizer.step()
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["lr"] is None
    assert saved["param_groups"][0]["updates"] == 2
    other = optim.SGD([p], lr=lambda k: 0.1**k)
    other.load_state_dict(saved)
    assert other.current_lrs() == [pytest.approx(0.01)]
    fixed = optim.SGD([p], lr=0.1)
    with pytest.raises(StateDictError, match="lr was a function"):
        fixed.load_state_dict(saved)
    other.load_state_dict(fixed.state_dict())
    assert other.current_lrs() == [0.1]


def _edit(path, value):
    def edit(saved):
        place = saved
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return edit


def _drop(path):
    def drop(saved):
        place = saved
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return drop


GROUP = ("param_groups", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _edit(("state", 0, "exp_avg"), np.ones(3)),
            r"params\[0\] \('w'\): exp_avg.*\(3,\).*\(2,\)",
        ),
        (_edit(("state", 1, "exp_avg_sq"), np.ones(1)), r"\('b'\): exp_avg_sq"),
        (_edit(("state", 0, "exp_avg"), np.ones(2, int)), "exp_avg is int64"),
        (_edit(("state", 0, "exp_avg"), ["x", "y"]), "exp_avg"),
        (_edit(("state", 0, "exp_avg"), [[1.0], [1.0, 2.0]]), "exp_avg"),
        (_edit(("state", 0, "step"), -1), "step must be a count, got -1"),
        (_edit(("state", 0, "step"), 1.5), "step must be a count, got 1.5"),
        (_edit(("state", 0, "step"), None), "step"),
        (_edit(("state", 0, "step"), math.inf), "step"),
        (_drop(("state", 0, "step")), "the state has"),
        (_drop(("state", 1, "exp_avg")), "the state has"),
        (_edit(("state", 0, "max_exp_avg_sq"), np.ones(2)), "the state has"),
        (_edit(("state", 0), None), "the state has"),
        (_edit(("state", 7), {}), r"in no group: \[7\]"),
        (_edit((*GROUP, "params"), [0]), r"parameters per group: saved \[1\], here \[2\]"),
        (_edit((*GROUP, "params"), 3), "it must be a dict"),
        (_edit((*GROUP, "params"), [0, 0]), "distinct numbers"),
        (_edit((*GROUP, "params"), [[0], 1]), "distinct numbers"),
        (_edit((*GROUP, "param_names"), ["w", "bias"]), r"saved state \['b'\]|\['bias'\].*\['b'\]"),
        (_edit((*GROUP, "param_names"), ["b", "w"]), "another order"),
        (_drop((*GROUP, "betas")), r"settings missing: \['betas'\]"),
        (_edit((*GROUP, "momentum"), 0.9), r"does not have: \['momentum'\]"),
        (_edit((*GROUP, "betas"), (0.9, 2.0)), r"group 0: betas\[1\]"),
        (_edit((*GROUP, "lr"), -1.0), "group 0: lr"),
        (_edit((*GROUP, "lr"), None), "lr was a function when saved.* not with 0.123"),
        (_edit((*GROUP, "lr"), {"schedule": "Cosine"}), "no schedule is called 'Cosine'"),
        (_edit((*GROUP, "lr"), {"schedule": "Constant"}), "schedule Constant: .*'lr'"),
        (_edit((*GROUP, "lr"), {"schedule": "Constant", "lr": -1}), "Constant: lr must be"),
        (_edit((*GROUP, "updates"), -2), "updates must be a count"),
        (_edit((*GROUP, "amsgrad"), True), "the state has"),
        (_drop(("state",)), "it must be a dict"),
        (_edit(("param_groups",), []), r"saved \[\], here \[2\]"),
        (_edit(("param_groups",), None), "it must be a dict"),
    ],
)
def test_loading_is_all_or_nothing(change, words):
    params = [param([1.0, 2.0]), param([[3.0]])]
    optimizer = optim.Adam([("w", params[0]), ("b", params[1])])
    feed(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.param_groups[0]["lr"] = 0.123
    feed(params, 1)
    optimizer.step()
    change(saved)
    before = frozen(params, optimizer)
    arrays = [optimizer.state[p]["exp_avg"] for p in params]
    with pytest.raises(StateDictError, match=words):
        optimizer.load_state_dict(saved)
    assert frozen(params, optimizer) == before
    for p, array in zip(params, arrays, strict=True):
        assert optimizer.state[p]["exp_avg"] is array


def test_a_load_error_lists_everything():
    a, b = param([1.0]), param([2.0])
    optimizer = optim.Adam([("a", a), ("b", b)])
    feed([a, b], 0)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"] = np.ones(5)
    saved["state"][1]["step"] = "three"
    saved["state"][4] = {}
    saved["param_groups"][0]["param_names"] = ["a", "c"]
    with pytest.raises(StateDictError) as caught:
        optimizer.load_state_dict(saved)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for word in ["'c'", r"(5,)", "'three'", "[4]"]:
        assert len([line for line in lines if word in line]) == 1
    with pytest.raises(StateDictError):
        optimizer.load_state_dict(None)


def test_names_matter_only_where_both_sides_have_them():
    p = param([1.0])
    saved = optim.SGD([("w", p)], lr=0.5).state_dict()
    optimizer = optim.SGD([p])
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert "param_names" not in optimizer.param_groups[0]


def test_state_of_another_optimizer_is_refused():
    p = param([1.0])
    with pytest.raises(StateDictError, match=re.escape("['dampening', 'nesterov']")):
        optim.RMSprop([p]).load_state_dict(optim.SGD([p]).state_dict())
