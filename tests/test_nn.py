"""Modules: registration, state dicts, moving, printing, containers, layers, initial values."""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd.memory import change_time
from tinygrad_adam.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    InPlaceError,
    OutOfRangeError,
    StateDictError,
)

torch = tg  # the deck's class below is written for PyTorch


class ConvNet(nn.Module):
    """Slide 12, word for word."""

    def __init__(self):
        super(ConvNet, self).__init__()  # noqa: UP008
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(32 * 13 * 13, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = x.view(-1, 32 * 13 * 13)
        x = torch.relu(self.fc1(x))
        x = self.fc2(x)
        return x


class Mixed(nn.Module):
    """Every kind of member, in an order that is neither alphabetical nor by kind."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(2, 3)
        self.zeta = nn.Parameter(tg.ones(2))
        self.register_buffer("steps", tg.tensor(0))
        self.first = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU())
        self.alpha = nn.Parameter(tg.zeros(1))
        self.register_buffer("cache", tg.zeros(2), persistent=False)
        self.plain = "text"

    def forward(self, x):
        return self.first(self.second(x)) * self.zeta + self.alpha


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 3, bias=False)
        self.decoder = nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight
        self.again = self.encoder


def snapshot(module):
    """Everything that a failed call must leave as it was."""
    return (
        [(name, id(child)) for name, child in module.named_modules()],
        [
            (name, id(t), id(d := t.data), t.dtype, d.tobytes(), change_time(d), t.requires_grad)
            for name, t in (*module.named_parameters(), *module.named_buffers())
        ],
        [name for name, _ in module.state_dict().items()],
        [child.training for child in module.modules()],
        [(list(child.__dict__), list(child._members.items())) for child in module.modules()],
    )


# --- slide 12 -----------------------------------------------------------------------------------


def test_slide_12_convnet():
    net = ConvNet()
    assert sum(param.numel() for param in net.parameters()) == 693_962
    assert [(name, tuple(t.shape)) for name, t in net.state_dict().items()] == [
        ("conv1.weight", (32, 1, 3, 3)),
        ("conv1.bias", (32,)),
        ("fc1.weight", (128, 5408)),
        ("fc1.bias", (128,)),
        ("fc2.weight", (10, 128)),
        ("fc2.bias", (10,)),
    ]
    out = net(tg.zeros(2, 1, 28, 28))
    assert out.shape == (2, 10)
    nn.CrossEntropyLoss()(out, tg.tensor([3, 4])).backward()
    assert all(param.grad.shape == param.shape for param in net.parameters())


def test_repr_of_slide_12():
    assert repr(ConvNet()) == (
        "ConvNet(\n"
        "  (conv1): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))"
        "  # weight (32, 1, 3, 3), bias (32,): 320 parameters\n"
        "  (pool): MaxPool2d(kernel_size=2, stride=2, padding=0)\n"
        "  (fc1): Linear(in_features=5408, out_features=128, bias=True)"
        "  # weight (128, 5408), bias (128,): 692,352 parameters\n"
        "  (fc2): Linear(in_features=128, out_features=10, bias=True)"
        "  # weight (10, 128), bias (10,): 1,290 parameters\n"
        ")  # total: 693,962 parameters"
    )


def test_repr_nests_and_counts_own_frozen_and_tied_parameters():
    net = Mixed()
    net.first.requires_grad_(False)
    net.none = nn.Identity()
    net.none = None
    assert repr(net) == (
        "Mixed(  # zeta (2,), alpha (1,): 3 parameters\n"
        "  (second): Linear(in_features=2, out_features=3, bias=True)"
        "  # weight (3, 2), bias (3,): 9 parameters\n"
        "  (first): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=2, bias=False)"
        "  # weight (2, 3): 6 parameters (6 frozen)\n"
        "    (1): ReLU()\n"
        "  )  # total: 6 parameters (6 frozen)\n"
        "  (none): None\n"
        ")  # total: 18 parameters (6 frozen)"
    )
    assert repr(Tied()).endswith(")  # total: 9 parameters")
    assert repr(nn.Sequential()) == "Sequential()"
    one = nn.Module()
    one.scale = nn.Parameter(tg.ones(1))
    assert repr(one) == "Module()  # scale (1,): 1 parameter"


# --- registration -------------------------------------------------------------------------------


def test_members_are_kept_in_definition_order():
    net = Mixed()
    parameters = ["zeta", "alpha", "second.weight", "second.bias", "first.0.weight"]
    assert [name for name, _ in net.named_parameters()] == parameters
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["zeta", "alpha"]
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [name for name, _ in net.named_buffers()] == ["steps", "cache"]
    assert [b.shape for b in net.buffers()] == [(), (2,)]
    assert [name for name, _ in net.named_children()] == ["second", "first"]
    modules = ["", "second", "first", "first.0", "first.1"]
    assert [name for name, _ in net.named_modules()] == modules
    assert [name for name, _ in net.named_modules("net")][:2] == ["net", "net.second"]
    assert next(net.named_parameters("net"))[0] == "net.zeta"
    assert list(net.state_dict()) == ["zeta", "alpha", "steps", *parameters[2:]]
    assert next(net.modules()) is net
    assert list(net.children()) == [net.second, net.first]


def test_shared_modules_and_tied_parameters_appear_once():
    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["encoder.weight"]
    assert [name for name, _ in net.named_modules()] == ["", "encoder", "decoder"]
    assert [name for name, _ in net.named_children()] == ["encoder", "decoder"]
    assert list(net.state_dict()) == ["encoder.weight", "decoder.weight", "again.weight"]


def test_assignment_replaces_in_place_and_moves_between_kinds():
    net = Mixed()
    old = net.zeta
    net.zeta = nn.Parameter(tg.full((2,), 5.0))
    assert net.zeta is not old
    assert next(net.named_parameters())[0] == "zeta"
    net.plain = nn.Parameter(tg.ones(3))
    assert net.plain.shape == (3,)
    net.plain = nn.ReLU()
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["zeta", "alpha"]
    assert dict(net.named_children())["plain"] is net.plain
    net.cache = tg.ones(4)
    assert net.cache.tolist() == [1.0] * 4
    assert "cache" not in net.state_dict()
    net.cache = nn.Parameter(tg.ones(4))
    assert "cache" in net.state_dict()
    net.zeta = None
    assert net.zeta is None
    assert "zeta" not in net.state_dict()
    net.zeta = nn.Parameter(tg.ones(1))
    assert next(net.named_parameters())[0] == "zeta"


def test_a_plain_tensor_is_no_parameter():
    net = nn.Module()
    net.x = tg.ones(2)
    assert list(net.parameters()) == []
    assert net.x.shape == (2,)


def test_a_parameter_knows_of_the_tensor_whose_memory_it_shares():
    values = tg.ones(2)
    param = nn.Parameter(values)
    out = (param * param).sum()
    values.zero_()
    with pytest.raises(InPlaceError):
        out.backward()


def test_parameter_takes_tensors_arrays_and_lists():
    array = np.ones(2)
    shared = nn.Parameter(array)
    assert shared.data is array
    assert shared.requires_grad
    assert nn.Parameter(shared, requires_grad=False).data is array
    listed = nn.Parameter([1.0, 2.0])
    assert listed.dtype == tg.float32
    assert isinstance(listed, tg.Tensor)
    assert type(listed + 1) is tg.Tensor
    assert type(listed.detach()) is tg.Tensor
    assert repr(listed).startswith("Parameter containing:\n")
    with pytest.raises(DTypeError):
        nn.Parameter([1, 2])
    assert not nn.Parameter([1, 2], requires_grad=False).requires_grad


@pytest.mark.parametrize(
    "value", [nn.Parameter([1.0]), nn.Linear(1, 1)], ids=["parameter", "module"]
)
def test_assigning_before_init_is_a_clear_error(value):
    class Early(nn.Module):
        def __init__(self):
            self.thing = value
            super().__init__()

    with pytest.raises(AttributeError, match=r"Early.*'thing'.*call super\(\).__init__\(\) first"):
        Early()


def test_reading_before_init_is_a_clear_error():
    class Early(nn.Module):
        def __init__(self):
            self.missing  # noqa: B018

    with pytest.raises(AttributeError, match=r"Early.*has not called super\(\)"):
        Early()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("zeta", tg.ones(2), "Tensor as parameter 'zeta'; Parameter or None"),
        ("zeta", 3.0, "float as parameter"),
        ("steps", 3, "int as buffer 'steps'; Tensor or None"),
        ("second", "x", "str as module 'second'; Module or None"),
    ],
)
def test_assigning_the_wrong_type_changes_nothing(name, value, words):
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(TypeError, match=words):
        setattr(net, name, value)
    assert snapshot(net) == before


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("register_parameter", nn.Parameter([1.0])),
        ("register_buffer", tg.ones(1)),
        ("add_module", nn.ReLU()),
    ],
)
@pytest.mark.parametrize("name", ["", "a.b", 3, "plain", "forward", "to"])
def test_a_bad_name_changes_nothing(method, value, name):
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(ArgumentError, match="Mixed"):
        getattr(net, method)(name, value)
    assert snapshot(net) == before


@pytest.mark.parametrize("name", ["forward", "to", "a.b", "training", "_members"])
@pytest.mark.parametrize("value", [nn.Parameter([1.0]), nn.ReLU()])
def test_an_attribute_that_could_never_be_read_is_refused(name, value):
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(ArgumentError, match=name):
        setattr(net, name, value)
    assert snapshot(net) == before


@pytest.mark.parametrize(
    ("method", "value"),
    [("register_parameter", tg.ones(1)), ("register_buffer", 1.0), ("add_module", len)],
)
def test_registering_the_wrong_type_changes_nothing(method, value):
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(TypeError, match="'new'"):
        getattr(net, method)("new", value)
    assert snapshot(net) == before


def test_registering_by_name_and_none_places():
    net = nn.Module()
    net.register_parameter("w", nn.Parameter([1.0]))
    net.register_parameter("bias", None)
    net.register_buffer("b", None)
    net.add_module("child", None)
    assert (net.bias, net.b, net.child) == (None, None, None)
    assert list(net.state_dict()) == ["w"]
    assert list(net.modules()) == [net]
    net.b = tg.ones(1)
    assert list(net.state_dict()) == ["w", "b"]
    net.register_buffer("b", tg.ones(1), persistent=False)
    assert list(net.state_dict()) == ["w"]
    net.register_buffer("b", tg.ones(1))
    assert list(net.state_dict()) == ["w", "b"]


def test_deleting_members():
    net = Mixed()
    for name in ["zeta", "steps", "first", "plain"]:
        delattr(net, name)
        assert not hasattr(net, name)
    assert list(net.state_dict()) == ["alpha", "second.weight", "second.bias"]
    with pytest.raises(AttributeError):
        del net.zeta


def test_a_module_cannot_contain_itself():
    outer = nn.Sequential(nn.Sequential(nn.ReLU()))
    before = snapshot(outer)
    with pytest.raises(ArgumentError, match="contain itself"):
        outer[0].loop = outer
    with pytest.raises(ArgumentError, match="contain itself"):
        outer.append(outer)
    assert snapshot(outer) == before


def test_a_missing_attribute_names_the_class_and_the_nearest_name():
    with pytest.raises(AttributeError, match=r"ConvNet has no attribute 'conv2'.*'conv1'"):
        ConvNet().conv2  # noqa: B018
    assert getattr(ConvNet(), "nothing_like_it", 5) == 5


def test_protocol_look_ups_skip_the_costly_hint(monkeypatch):
    monkeypatch.setattr("difflib.get_close_matches", None)
    assert not hasattr(ConvNet(), "__array__")


def test_an_error_inside_a_property_is_not_hidden():
    class Net(nn.Module):
        @property
        def size(self):
            return self.wdith

    with pytest.raises(AttributeError, match="wdith"):
        Net().size  # noqa: B018


def test_dir_lists_members():
    assert {"zeta", "steps", "first", "forward"} <= set(dir(Mixed()))


def test_calling_without_forward_is_a_clear_error():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward method"):
        Empty()(1)
    with pytest.raises(NotImplementedError, match="ModuleList"):
        nn.ModuleList()(1)


def test_calling_hands_on_all_arguments():
    class Add(nn.Module):
        def forward(self, x, *, y):
            return x + y

    assert Add()(2, y=3) == 5


def test_deepcopy_is_independent_and_keeps_ties():
    net = Tied()
    twin = copy.deepcopy(net)
    assert twin.decoder.weight is twin.encoder.weight is twin.again.weight
    assert twin.encoder.weight is not net.encoder.weight
    twin.encoder.weight.data[...] = 7.0
    assert not (net.encoder.weight.data == 7.0).any()


# --- modes and gradients ------------------------------------------------------------------------


def test_changing_a_shallow_copy_leaves_the_original():
    class Noted(nn.Linear):
        __slots__ = ("note",)

    net = Noted(2, 2)
    net.note = "kept"
    net.register_buffer("steps", tg.tensor(0))
    before, names = snapshot(net), list(net.state_dict())
    other = copy.copy(net)
    assert type(other) is Noted
    assert (other.weight is net.weight, other.note) == (True, "kept")
    other.extra = nn.Parameter(tg.zeros(1))
    other.register_buffer("steps", tg.tensor(1), persistent=False)
    other.register_buffer("scratch", tg.tensor(1), persistent=False)
    del other.bias
    assert list(other.state_dict()) == ["weight", "extra"]
    assert (snapshot(net), list(net.state_dict())) == (before, names)
    assert copy.copy(nn.Module.__new__(nn.Module)).__dict__ == {}


def test_train_and_eval_reach_every_module():
    net = Mixed()
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.first.train()
    assert [m.training for m in net.modules()] == [False, False, True, True, True]
    before = snapshot(net)
    with pytest.raises(ArgumentError, match="bool"):
        net.train(1)
    assert snapshot(net) == before


def test_apply_goes_bottom_up_and_visits_shared_modules_once():
    seen = []
    net = Mixed()
    assert net.apply(seen.append) is net
    assert seen == [net.second, net.first[0], net.first[1], net.first, net]
    seen.clear()
    tied = Tied()
    tied.apply(seen.append)
    assert seen == [tied.encoder, tied.decoder, tied]


def test_requires_grad_and_zero_grad():
    net = Mixed()
    net.first.requires_grad_(False)
    net(tg.ones(4, 2)).sum().backward()
    assert net.first[0].weight.grad is None
    assert net.zeta.grad is not None
    grad = net.zeta.grad
    net.zero_grad(set_to_none=False)
    assert net.zeta.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    net.zero_grad()
    assert all(param.grad is None for param in net.parameters())
    assert net.requires_grad_() is net
    assert all(param.requires_grad for param in net.parameters())


# --- to -----------------------------------------------------------------------------------------


def test_to_keeps_the_parameter_objects_and_moves_gradients():
    net = Mixed()
    net(tg.ones(4, 2)).sum().backward()
    params = list(net.parameters())
    grads = [param.grad.numpy() for param in params]
    assert net.double() is net
    assert [id(p) for p in net.parameters()] == [id(p) for p in params]
    assert {param.dtype for param in params} == {tg.float64}
    for param, grad in zip(params, grads, strict=True):
        assert param.grad.dtype == tg.float64
        np.testing.assert_array_equal(param.grad.numpy(), grad)
    assert net.steps.dtype == tg.int64
    assert net.cache.dtype == tg.float64
    assert net(tg.ones(1, 2, dtype=tg.float64)).dtype == tg.float64
    assert net.float().zeta.dtype == tg.float32
    assert net.to(tg.float64).zeta.dtype == tg.float64
    assert net.to("cpu", tg.float32).zeta.dtype == tg.float32
    assert net.to(tg.zeros(1, dtype=tg.float64)).zeta.dtype == tg.float64
    assert net.to(dtype="float32", device="cpu").zeta.dtype == tg.float32
    assert net.cpu() is net


def test_to_without_change_touches_nothing():
    net = Mixed()
    before = snapshot(net)
    net.to("cpu").float()
    assert snapshot(net) == before


def test_to_converts_a_tied_parameter_once():
    net = Tied().double()
    assert net.decoder.weight is net.encoder.weight
    assert net.encoder.weight.dtype == tg.float64


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((tg.int64,), DTypeError),
        (("cpu", bool), DTypeError),
        (("tpu",), DTypeError),
        (("cuda:x",), DeviceError),
    ],
)
def test_a_refused_move_changes_nothing(arguments, error):
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(error):
        net.to(*arguments)
    assert snapshot(net) == before


@pytest.mark.skipif(tg.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_changes_nothing():
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(DeviceError):
        net.cuda()
    assert snapshot(net) == before


def test_a_move_that_fails_half_way_changes_nothing(monkeypatch):
    net = Mixed()
    before = snapshot(net)
    calls = []

    def out_of_memory(array, device):
        calls.append(array)
        if len(calls) == 3:
            raise MemoryError
        return array.copy()

    monkeypatch.setattr("tinygrad_adam.nn.module.to_device", out_of_memory)
    with pytest.raises(MemoryError):
        net.to("cuda")
    assert snapshot(net) == before


# --- state dicts --------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_is_detached():
    net = Mixed()
    state = net.state_dict()
    assert not any(tensor.requires_grad for tensor in state.values())
    state["zeta"].data[0] = 42.0
    assert net.zeta.data[0] == 42.0


def test_load_copies_in_place_from_tensors_and_arrays():
    source, target = Mixed(), Mixed()
    source.steps = tg.tensor(5)
    arrays = [t.data for t in target.parameters()]
    state = source.state_dict()
    state["zeta"] = np.array([3, 4])
    state["second.bias"] = source.second.bias.data.astype(np.float64)
    result = target.load_state_dict(state)
    assert result == ([], [])
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert all(t.data is a for t, a in zip(target.parameters(), arrays, strict=True))
    assert target.zeta.dtype == tg.float32
    assert target.zeta.tolist() == [3.0, 4.0]
    assert target.steps.item() == 5
    np.testing.assert_array_equal(target.second.bias.data, source.second.bias.data)
    source.second.weight.data[...] = 0.0
    assert target.second.weight.data.any()


def test_loading_a_swapped_state_dict_reads_before_it_writes():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    first, second = net[0].weight.tolist(), net[1].weight.tolist()
    state = net.state_dict()
    net.load_state_dict({"0.weight": state["1.weight"], "1.weight": state["0.weight"]})
    assert (net[0].weight.tolist(), net[1].weight.tolist()) == (second, first)


def test_loading_under_a_recorded_graph_is_noticed():
    net = nn.Linear(2, 1, bias=False)
    out = net(tg.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict({"weight": np.zeros((1, 2))})
    with pytest.raises(InPlaceError):
        out.backward()


def test_loading_keeps_ties():
    net = Tied()
    names = ("encoder.weight", "decoder.weight", "again.weight")
    net.load_state_dict({name: np.full((3, 3), 2.0) for name in names})
    assert net.decoder.weight is net.encoder.weight
    assert net.decoder.weight.tolist() == [[2.0] * 3] * 3


def test_all_problems_are_reported_together_and_nothing_changes():
    net = ConvNet()
    state = dict(net.state_dict())
    state["fc3.bias"] = state.pop("fc2.bias")
    state["conv1.weight"] = np.zeros((32, 3, 3, 3))
    state["fc1.bias"] = np.zeros(128, dtype=complex)
    state["fc1.weight"] = "text"
    before = snapshot(net)
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    assert snapshot(net) == before
    message = str(caught.value)
    assert "ConvNet.load_state_dict" in message
    assert "'fc2.bias' is missing (near: 'fc3.bias')" in message
    assert "'fc3.bias' is unexpected (near: 'fc2.bias')" in message
    assert "'conv1.weight' has shape (32, 1, 3, 3) here but (32, 3, 3, 3)" in message
    assert "'fc1.bias' has dtype float32 here but complex128" in message
    assert "'fc1.weight'" in message
    assert "strict=False" in message


def test_hints_name_the_missing_key_before_a_nearer_one_that_is_there():
    net = nn.Module()
    net.ab, net.abc = nn.Parameter([1.0]), nn.Parameter([1.0])
    with pytest.raises(StateDictError, match=r"'abd' is unexpected \(near: 'abc'\)"):
        net.load_state_dict({"ab": np.ones(1), "abd": np.ones(1)})
    with pytest.raises(StateDictError, match=r"'abd' is unexpected \(near: 'ab'\)"):
        net.load_state_dict({"ab": np.ones(1), "abc": np.ones(1), "abd": np.ones(1)})


def test_strict_false_loads_what_fits_but_never_a_wrong_shape():
    net = nn.Linear(2, 1)
    result = net.load_state_dict({"weight": np.ones((1, 2)), "extra": np.ones(1)}, strict=False)
    assert result == (["bias"], ["extra"])
    assert net.weight.tolist() == [[1.0, 1.0]]
    before = snapshot(net)
    with pytest.raises(StateDictError, match="shape"):
        net.load_state_dict({"bias": np.ones(1), "weight": np.ones((2, 2))}, strict=False)
    assert snapshot(net) == before


NAMES = list(Mixed().state_dict())


@given(
    dropped=st.sets(st.sampled_from(NAMES)),
    added=st.sets(st.text(min_size=1, max_size=6), max_size=3),
    bent=st.sets(st.sampled_from(NAMES)),
    strict=st.booleans(),
)
def test_any_edit_of_the_keys_loads_or_changes_nothing(dropped, added, bent, strict):
    net = Mixed()
    added -= set(NAMES)
    state = {name: np.asarray(t.numpy() + 1) for name, t in net.state_dict().items()}
    for name in bent:
        state[name] = np.zeros((*state[name].shape, 2))
    for name in dropped:
        del state[name]
    for name in added:
        state[name] = np.zeros(1)
    wrong = set(bent - dropped)
    if strict:
        wrong |= dropped | added
    before = snapshot(net)
    old = {name: t.numpy().copy() for name, t in net.state_dict().items()}
    if wrong:
        with pytest.raises(StateDictError) as caught:
            net.load_state_dict(state, strict=strict)
        assert all(repr(name) in str(caught.value) for name in wrong)
        assert snapshot(net) == before
    else:
        result = net.load_state_dict(state, strict=strict)
        assert set(result.missing_keys) == dropped
        assert set(result.unexpected_keys) == added
        for name, tensor in net.state_dict().items():
            expected = old[name] + (name not in dropped)
            np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("state", [None, [("weight", np.ones((1, 2)))], "model.safetensors"])
def test_a_state_that_is_no_mapping_is_refused(state):
    with pytest.raises(StateDictError, match="mapping"):
        nn.Linear(2, 1).load_state_dict(state)


def test_lossy_conversions_and_read_only_targets_are_refused():
    net = Mixed()
    before = snapshot(net)
    with pytest.raises(StateDictError, match=r"'steps' has dtype int64 here but float64"):
        net.load_state_dict({"steps": np.float64(0.5)}, strict=False)
    assert snapshot(net) == before
    frozen = nn.Module()
    frozen.w = nn.Parameter(np.broadcast_to(np.float32(1.0), (3,)))
    with pytest.raises(StateDictError, match="read-only"):
        frozen.load_state_dict({"w": np.zeros(3)})


def test_keys_that_are_not_strings_are_unexpected():
    with pytest.raises(StateDictError, match="'7' is unexpected"):
        nn.ReLU().load_state_dict({7: np.zeros(1)})


# --- containers ---------------------------------------------------------------------------------


def test_sequential_runs_in_order_and_indexes():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = tg.tensor([[1.0, -2.0]])
    expected = net[2](net[1](net[0](x)))
    assert net(x).tolist() == expected.tolist()
    assert len(net) == 3
    assert list(net) == [net[0], net[1], net[-1]]
    head = net[:2]
    assert isinstance(head, nn.Sequential)
    assert head[0] is net[0]
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]
    assert net.append(nn.Sigmoid()) is net
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    net[-1] = nn.Tanh()
    assert isinstance(net[3], nn.Tanh)
    assert nn.Sequential()(x) is x


def test_sequential_from_names():
    net = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), act=nn.ReLU()))
    assert list(net.state_dict()) == ["hidden.weight", "hidden.bias"]
    assert net.hidden is net[0]


def test_module_list():
    blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(blocks) == 3
    assert list(blocks.state_dict())[-1] == "2.bias"
    assert list(blocks[1:]) == [blocks[1], blocks[2]]
    assert list(blocks[1:].state_dict())[::2] == ["0.weight", "1.weight"]
    assert blocks.extend([nn.ReLU(), nn.Tanh()]) is blocks
    assert isinstance(blocks[-1], nn.Tanh)


CONTAINERS = pytest.mark.parametrize(
    "container", [nn.Sequential, lambda *m: nn.ModuleList(m)], ids=["Sequential", "ModuleList"]
)


@CONTAINERS
def test_containers_change_as_lists_do(container):
    modules = [nn.Linear(n, n) for n in range(1, 7)]
    net, expected = container(*modules[:3]), modules[:3]
    for position in (0, 3, -1, 5):
        assert net.insert(position, modules[3]) is net
        expected.insert(position, modules[3])
        assert [id(m) for m in net] == [id(m) for m in expected]
    before = net
    net += modules[4:]
    expected += modules[4:]
    assert net is before
    for index in (0, -1, slice(1, None, 3), slice(5, 9), slice(0, 2)):
        del net[index]
        del expected[index]
        assert [id(m) for m in net] == [id(m) for m in expected]
        assert list(net._members) == [*map(str, range(len(expected)))]


@CONTAINERS
def test_bad_changes_of_containers_change_nothing(container):
    net = container(nn.ReLU(), nn.Tanh())
    before = snapshot(net)
    for position in (3, -3):
        with pytest.raises(OutOfRangeError, match="out of range for 2 modules"):
            net.insert(position, nn.ReLU())
        with pytest.raises(OutOfRangeError, match="out of range for 2 modules"):
            del net[position]
    with pytest.raises(TypeError, match="got a type"):
        net.insert(0, nn.ReLU)
    with pytest.raises(ArgumentError, match="contain itself"):
        net.insert(0, net)
    with pytest.raises(TypeError):
        net += [nn.ReLU(), 3]
    with pytest.raises(TypeError):
        del net["0"]
    assert snapshot(net) == before


@pytest.mark.oracle
def test_containers_change_as_pytorchs():
    pt = pytest.importorskip("torch")
    names = []
    for L in (tg, pt):
        net = L.nn.Sequential(OrderedDict(a=L.nn.Linear(1, 1), b=L.nn.Linear(2, 2)))
        del net[0]
        blocks = L.nn.ModuleList([L.nn.Linear(1, 1), L.nn.Linear(2, 2), L.nn.Linear(3, 3)])
        blocks.insert(1, L.nn.ReLU())
        blocks += [L.nn.Linear(4, 4)]
        del blocks[::2]
        shapes = [(k, tuple(v.shape)) for m in (net, blocks) for k, v in m.state_dict().items()]
        names.append(shapes)
    assert names[0] == names[1]


@CONTAINERS
def test_containers_take_modules_only(container):
    with pytest.raises(TypeError, match="function"):
        container(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="type"):
        container(nn.ReLU)
    net = container(nn.ReLU())
    before = snapshot(net)
    with pytest.raises(TypeError):
        net.append(3)
    for value in (3, None, nn.Parameter([1.0])):
        with pytest.raises(TypeError):
            net[0] = value
    with pytest.raises(IndexError, match=r"index 1 .* 1 modules"):
        net[1]
    with pytest.raises(IndexError):
        net[-2] = nn.ReLU()
    with pytest.raises(TypeError):
        net["0"]
    assert snapshot(net) == before


def test_failed_extend_and_name_clash_change_nothing():
    blocks = nn.ModuleList([nn.ReLU()])
    before = snapshot(blocks)
    with pytest.raises(TypeError):
        blocks.extend([nn.ReLU(), 3])
    with pytest.raises(ArgumentError, match="contain itself"):
        blocks.extend([nn.ReLU(), blocks])
    assert snapshot(blocks) == before
    net = nn.Sequential({"1": nn.ReLU()})
    before = snapshot(net)
    with pytest.raises(ArgumentError, match="'1'"):
        net.append(nn.ReLU())
    assert snapshot(net) == before


# --- CUDA ---------------------------------------------------------------------------------------


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def cuda(request, monkeypatch):
    """A GPU: the strict stand-in for CuPy everywhere, and the real thing where there is one."""
    if request.param == "stand-in":
        import standin_cupy

        monkeypatch.setitem(sys.modules, "cupy", standin_cupy)
    return "cuda:0"


def on_host(tensor):
    return tensor.detach().cpu().numpy()


def test_a_model_moves_to_a_gpu_and_back(cuda):
    net = Mixed()
    net(tg.ones(4, 2)).sum().backward()
    params = list(net.parameters())
    values = [(on_host(param).copy(), on_host(param.grad).copy()) for param in params]
    net.to(cuda, tg.float64)
    assert [id(p) for p in net.parameters()] == [id(p) for p in params]
    moved = [*params, *(p.grad for p in params), *net.buffers()]
    assert {str(tensor.device) for tensor in moved} == {cuda}
    assert {tensor.dtype for tensor in moved} == {tg.float64, tg.int64}
    net.cpu().float()
    assert {str(tensor.device) for tensor in moved} == {"cpu"}
    for param, (value, grad) in zip(params, values, strict=True):
        np.testing.assert_array_equal(on_host(param), value)
        np.testing.assert_array_equal(on_host(param.grad), grad)


def test_the_same_seed_gives_the_same_model_on_every_device(cuda):
    made = []
    for device in ("cpu", cuda):
        tg.manual_seed(0)
        linear, conv = nn.Linear(3, 4, device=device), nn.Conv2d(2, 3, 3, device=device)
        made.append(nn.Sequential(linear, conv))
    for a, b in zip(*(net.parameters() for net in made), strict=True):
        assert str(b.device) == cuda
        np.testing.assert_array_equal(on_host(a), on_host(b))


def test_states_cross_devices_and_files(cuda, tmp_path):
    host, device = Mixed(), Mixed().cuda()
    arrays = [param.data for param in device.parameters()]
    device.load_state_dict(host.state_dict())
    for a, b, array in zip(host.parameters(), device.parameters(), arrays, strict=True):
        assert b.data is array
        np.testing.assert_array_equal(on_host(a), on_host(b))
    with tg.no_grad():
        device.zeta.fill_(3.0)
    tg.save(device.state_dict(), tmp_path / "x.safetensors")
    loaded = tg.load(tmp_path / "x.safetensors", device=cuda)
    assert {str(tensor.device) for tensor in loaded.values()} == {cuda}
    host.load_state_dict(loaded)
    assert host.zeta.tolist() == [3.0, 3.0]
    assert str(host.zeta.device) == "cpu"
    before = [on_host(param).copy() for param in device.parameters()]
    with pytest.raises(StateDictError, match="shape"):
        device.load_state_dict({"zeta": np.zeros(2), "alpha": np.zeros(9)}, strict=False)
    for param, value in zip(device.parameters(), before, strict=True):
        np.testing.assert_array_equal(on_host(param), value)
