"""`detect_anomaly` names the operation that made a NaN or an infinity, and the line that ran it."""

from __future__ import annotations

import _thread
import linecache
import math
import re
import sys
import threading

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import (
    OPS,
    Op,
    anomaly,
    apply,
    detect_anomaly,
    differentiate,
    engine,
    op,
)
from tinygrad_adam.autograd.registry import Bound
from tinygrad_adam.autograd.vocabulary import ON_NUMPY
from tinygrad_adam.errors import AnomalyError, GraphFreedError, InPlaceError, ShapeError

# outside the blocks NumPy says so itself
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def line(back=1):
    """Return the number of the line that called, less `back`."""
    return sys._getframe(1).f_lineno - back


def leaf(*values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype), requires_grad=True)


def caught(function, *args):
    """Return the error that `function` raises while anomalies are watched."""
    with detect_anomaly(), pytest.raises(AnomalyError) as info:
        function(*args)
    return info.value


def assert_at(error, operation, source, number=None):
    assert (error.operation, error.source) == (operation, source)
    assert error.filename == __file__
    assert number in (None, error.lineno)
    assert f"{__file__}:{error.lineno}, in " in str(error)
    assert source in str(error)


class Planted(nn.Module):
    """A layer whose output has a NaN where its input is largest."""

    def forward(self, x):
        return (x - x.max() - 1e-3).log() + x


class Net(nn.Module):
    """Ten layers in a row; the fifth is bad."""

    def __init__(self, bad):
        super().__init__()
        layers = [layer for _ in range(5) for layer in (nn.Linear(6, 6), nn.Tanh())]
        self.layers = nn.Sequential(*layers[:4], bad, *layers[5:])

    def forward(self, x):
        return self.layers(x)


def test_a_nan_in_the_middle_of_ten_layers():
    net, x = Net(Planted()), tg.randn(4, 6)
    assert tg.isnan(net(x)).any()
    error = caught(net, x)
    assert_at(error, "log", "return (x - x.max() - 1e-3).log() + x")
    assert "log made NaN from finite operands" in str(error)
    assert "in Net, layers.4 (Planted)" in str(error)
    assert "x: float32 (4, 6), " in str(error)
    assert "output: float32 (4, 6), 24 of 24 NaN" in str(error)


def test_a_module_alone_and_one_that_is_no_part_of_the_other():
    class Outer(nn.Module):
        def forward(self, x):
            return Planted()(x)

    x = tg.randn(4, 6)
    assert caught(Planted(), x).args[0].splitlines()[2] == "    in Planted"
    assert caught(Outer(), x).args[0].splitlines()[2] == "    in Outer, Planted"


def test_a_nan_weight_in_the_middle_is_named_as_given():
    net, x = Net(nn.Linear(6, 6)), tg.randn(4, 6)
    with tg.no_grad():
        net.layers[4].weight[2, 3] = math.nan
    error = caught(net, x)
    assert_at(error, "linear", "return self.layers(x)")
    assert "linear was given NaN in w: a leaf's data" in str(error)
    assert "in Net, layers.4 (Linear)" in str(error)
    assert "w: float32 (6, 6), " in str(error)
    assert "1 of 36 NaN" in str(error)


def test_a_line_of_a_function():
    def bad(x):
        y = x * 2
        return y / (y - y)

    error = caught(bad, leaf(0.0, 1.0))
    assert_at(error, "div", "return y / (y - y)", line(3))
    assert "a: float64 (2,), 0 to 2" in str(error)
    assert "b: float64 (2,), 0 to 0" in str(error)
    assert "output: float64 (2,), 1 of 2 NaN, 1 of 2 infinite" in str(error)


@pytest.mark.parametrize(
    ("values", "function", "operation"),
    [
        ([800.0], lambda x: x.exp(), "exp"),
        ([1e200], lambda x: x * x, "mul"),
        ([1e308], lambda x: x + x, "add"),
        ([1e60], lambda x: x.float(), "cast"),
        ([1e308, 1e308], lambda x: x.sum(), "sum"),
        ([0.0], lambda x: 1 / x, "div"),
        ([0.0], lambda x: x.log(), "log"),
    ],
)
def test_overflow_is_an_infinity(values, function, operation):
    for x in (leaf(*values), tg.tensor(np.array(values))):
        error = caught(function, x)
        assert error.operation == operation
        assert f"{operation} made an infinity from finite operands" in str(error)
        assert "infinite" in str(error).splitlines()[-1]
        with detect_anomaly(check_inf=False):
            assert not tg.isfinite(function(x)).all()


def test_a_nan_made_of_infinities_is_told_from_one_that_was_given():
    x = leaf(math.inf, 1.0)
    with detect_anomaly(check_inf=False):
        with pytest.raises(AnomalyError, match="sub made NaN from infinite operands"):
            x - x
        with pytest.raises(AnomalyError, match="mul was given NaN in a: a leaf's data"):
            leaf(math.nan) * 2
        with pytest.raises(AnomalyError, match="mul was given NaN in b"):
            leaf(1.0) * math.nan
        with pytest.raises(AnomalyError, match=r"cat was given NaN in arrays\[1\]|cat was given"):
            tg.cat([leaf(1.0), leaf(math.nan)])
    with detect_anomaly(), pytest.raises(AnomalyError, match="mul was given an infinity in a"):
        x * 2
    with detect_anomaly(check_nan=False, check_inf=False):
        assert tg.isnan(x - x).any()


def test_what_makes_no_use_of_it_is_no_anomaly():
    x = leaf(math.nan, 1.0)
    with detect_anomaly():
        assert tg.where(tg.isnan(x), 0.0, 1.0).tolist() == [0.0, 1.0]
        assert not tg.isfinite(x).all()


def test_infinities_written_as_numbers_are_meant():
    scores = leaf(1.0, 2.0, 3.0)
    keep = tg.tensor([True, False, True])
    with detect_anomaly():
        masked = tg.where(keep, scores, -math.inf)
        shown = masked.reshape(1, 3)[:, 1:] * 2
        shown.softmax(-1).sum().backward()
        assert shown.tolist() == [[-math.inf, 6.0]]
        assert tg.nn.functional.pad(scores, (1, 0), value=-math.inf).exp().tolist()[0] == 0.0
        with pytest.raises(AnomalyError, match="sub made NaN from infinite operands"):
            masked - masked


# --- backward -----------------------------------------------------------------------------------


def test_a_nan_of_the_backward_pass_alone():
    x = leaf(0.0, 1.0)

    def run():
        y = (x * 1.0).sqrt()
        (y * 0.0).sum().backward()

    error = caught(run)
    assert_at(error, "sqrt", "y = (x * 1.0).sqrt()", line(4))
    assert "the derivative of sqrt in x made NaN" in str(error)
    assert "gradient: float64 (2,), 0 to 0" in str(error)
    assert "y: float64 (2,), 0 to 1" in str(error)
    assert "gradient of x: float64 (2,), 0 to 0, 1 of 2 NaN" in str(error)
    assert x.grad is None


def test_an_infinity_of_the_backward_pass():
    x = leaf(0.0, 4.0)
    error = caught(lambda: x.sqrt().sum().backward())
    assert_at(error, "sqrt", "error = caught(lambda: x.sqrt().sum().backward())")
    assert "made an infinity" in str(error)
    with detect_anomaly(check_inf=False):
        x.sqrt().sum().backward()
    assert x.grad.tolist() == [math.inf, 0.25]


def test_a_module_s_backward_names_the_module():
    class Root(nn.Module):
        def forward(self, x):
            return x.abs().sqrt()

    net = Net(Root())
    x = tg.zeros(2, 6)
    with tg.no_grad():
        for p in net.parameters():
            p.zero_()
    error = caught(lambda: (net(x) * 0.0).sum().backward())
    assert_at(error, "sqrt", "return x.abs().sqrt()")
    assert "in Net, layers.4 (Root)" in str(error)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("watched", [True, False])
def test_a_backward_pass_alone_is_watched_too(watched):
    x = leaf(0.0)
    with detect_anomaly() if watched else tg.enable_grad():
        y = x.sqrt()
    error = caught(y.backward)
    assert error.operation == "sqrt"
    assert ("y = x.sqrt()" in str(error)) == watched
    assert ("recorded where nobody watched: run the forward pass inside" in str(error)) != watched


def test_under_create_graph():
    x = leaf(0.0)

    def first():
        y = x.sqrt()
        tg.autograd.grad(y, x, create_graph=True)

    error = caught(first)
    assert_at(error, "sqrt", "y = x.sqrt()", line(4))

    def second():
        y = (x + 1e-250) ** 0.5
        (g,) = tg.autograd.grad(y, x, create_graph=True)
        assert tg.isfinite(g)
        tg.autograd.grad(g, x)

    error = caught(second)
    text = str(error)
    assert "(g,) = tg.autograd.grad(y, x, create_graph=True)" in text
    assert "by the derivative of pow, recorded at" in text
    assert "y = (x + 1e-250) ** 0.5" in text


def test_a_gradient_that_was_given():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        y = x * 2
        with pytest.raises(AnomalyError, match=r"started at mul with a gradient .* not finite"):
            y.backward(tg.tensor([1.0, math.nan]))
        assert x.grad is None
        y.backward(tg.ones(2))


def test_a_hook_and_a_sum_of_gradients():
    x = leaf(1.0)
    y = x * 2
    z = y * 3
    y.register_hook(lambda g: g.detach().clone().fill_(math.nan))
    error = caught(z.backward)
    assert error.operation == "mul"
    assert "the gradient that reached mul is not finite" in str(error)
    x = leaf(1e-300)
    error = caught(lambda: (x * 1e308 + x * 1e308).sum().backward())
    assert "the gradient of a leaf is not finite" in str(error)
    assert x.grad is None


def test_errors_of_the_backward_pass_show_the_forward_line():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        y = x.exp()
        loss = y.sum()
        loss.backward()
        with pytest.raises(GraphFreedError, match=r"recorded at .*: loss = y.sum\(\)|y = x.exp"):
            loss.backward()
        y = x.exp()
        with tg.no_grad():
            y.mul_(2)
        with pytest.raises(InPlaceError) as info:
            y.sum().backward()
    assert "recorded at" in str(info.value)
    assert "y = x.exp()" in str(info.value)


@pytest.mark.usefixtures("registry")
def test_a_rule_that_raises_keeps_its_error_and_gets_a_note():
    def broken(F, g, x):
        raise ShapeError("broken")

    bad = op("test_broken", lambda xp, x: x * 2, x=broken)
    with detect_anomaly():
        y = apply(bad, (leaf(1.0),))
        with pytest.raises(ShapeError) as info:
            y.backward()
    assert str(info.value) == "broken"
    (note,) = info.value.__notes__
    assert "in the derivative of test_broken in x, recorded at" in note
    assert "y = apply(bad, (leaf(1.0),))" in note


class Root(tg.autograd.Function):
    """A square root in NumPy, whose derivative is NaN at 0."""

    @staticmethod
    def forward(ctx, x):
        y = tg.tensor(np.sqrt(x.data))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @tg.autograd.once_differentiable
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return tg.tensor(g.data / y.data * (y.data / y.data))


def test_functions_of_one_s_own():
    def run(value):
        y = Root.apply(leaf(value) * 1)
        y.backward()
        return y

    assert run(4.0).item() == 2.0
    before = state()
    error = caught(run, -1.0)
    assert_at(error, "Root.apply", "y = Root.apply(leaf(value) * 1)")
    error = caught(run, 0.0)
    assert_at(error, "Root.backward", "y = Root.apply(leaf(value) * 1)")
    assert "the derivative of Root.backward in" in str(error)
    assert "made NaN" in str(error)
    assert run(4.0).item() == 2.0
    assert state() == before


def test_a_change_in_place_that_fails_changes_nothing():
    x = leaf(1.0, 2.0)
    y = x * 3
    node = y._node
    with detect_anomaly():
        with pytest.raises(AnomalyError, match="div made an infinity"):
            y /= 0
        assert y.tolist() == [3.0, 6.0]
        assert y._node is node
        y[0] = math.nan
        with pytest.raises(AnomalyError, match=r"exp was given NaN in x: .* an assignment's"):
            y.exp()


HARMLESS = [
    "h = h.tanh()",
    "h = h * 0.5 + h",
    "h = h.exp().log1p()",
    "h = (h @ w).sigmoid()",
    "h = h.reshape(12).flip(0).reshape(4, 3)",
    "h = h - h.mean(0)",
    "h = h.softmax(1)",
    "h = h.clone(); h[1] = h[0]",
    "h = h.clone(); h[:, 1:] *= 2.0",
    "h = h.clone(); h.T.add_(1.0)",
    "h = tg.cat([h[2:], h[:2]])",
    "h = tg.where(h > 0, h, -h)",
    "h = h.T.clone().T",
    "with tg.no_grad(): h.sum()",
    "h = h / (1 + h * h).sqrt()",
]
PLANTED = {
    "h = h + (h * 0 - 1).log()": ("log", "log made NaN from finite operands"),
    "h = h / (h - h)": ("div", "div made "),
    "h = h + (h * 0 + 800).exp()": ("exp", "exp made an infinity from finite operands"),
    "h = h + (h * 0).sqrt() * 0": ("sqrt", "the derivative of sqrt in x made NaN"),
    "h = h + tg.where(h > 1e9, (h * 0).log1p() / (h * 0), 0)": ("div", "div made NaN"),
    "h = h + (h * 0).abs() ** 0.5": ("pow", "the derivative of pow in a made "),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_in_random_programs_the_planted_line_is_found(planted):
    operation, message = PLANTED[planted]
    for seed in range(25):
        rng = np.random.default_rng([seed, len(planted)])
        lines = [*rng.choice(HARMLESS, rng.integers(5, 30)).tolist()]
        where = int(rng.integers(len(lines) + 1))
        program = ["h = x * 1.0", *lines[:where], planted, *lines[where:], "h.sum().backward()"]
        name = f"<program {operation} {seed}>"
        text = "\n".join(program)
        linecache.cache[name] = (len(text), None, [f"{row}\n" for row in program], name)
        x = tg.tensor(rng.standard_normal((4, 3)), requires_grad=True)
        names = {"tg": tg, "x": x, "w": tg.tensor(rng.standard_normal((3, 3)))}
        clean = "\n".join(row for row in program if row != planted)
        with detect_anomaly():
            exec(compile(clean, name, "exec"), dict(names))
            x.grad = None
            with pytest.raises(AnomalyError) as info:
                exec(compile(text, name, "exec"), dict(names))
        error = info.value
        assert (error.operation, error.source) == (operation, planted), text
        assert (error.filename, error.lineno) == (name, where + 2)
        assert str(error).startswith(message)
        assert x.grad is None


# a program of L and a leaf whose gradient, and nothing before, is NaN
GONE_WRONG = {
    "sqrt": lambda L, x: x.sqrt() * 0,
    "rsqrt": lambda L, x: L.where(x > 1, x.rsqrt(), 0.0),
    "div": lambda L, x: L.where(x > 1, (x + 1) / x, 0.0),
    "log": lambda L, x: L.where(x > 1, x.log(), 0.0),
    "exp": lambda L, x: L.where(x > 1e4, (x + 1e3).exp(), 0.0),
    "mul": lambda L, x: (x.sqrt() * (x * 0)).sqrt(),
    "pow": lambda L, x: (x**0.5) * 0,
    "matmul": lambda L, x: (x.reshape(1, 2) @ L.ones(2, 1).double()).sqrt() * 0,
}


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", GONE_WRONG)
def test_pytorch_blames_the_same_derivative(name):
    torch = pytest.importorskip("torch")
    program = GONE_WRONG[name]
    theirs = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    loss = program(torch, theirs).sum()
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="nan values") as info:
        loss.backward()
    blamed = re.search(r"Function '(\w+)Backward\d'", str(info.value))[1].lower()
    ours = leaf(0.0, 0.0)
    with detect_anomaly(check_inf=False), pytest.raises(AnomalyError) as found:
        program(tg, ours).sum().backward()
    assert found.value.operation == blamed


# --- on and off ---------------------------------------------------------------------------------


def state():
    mul = OPS["mul"]
    bound = mul.on_numpy, mul.on("numpy")
    return [Op.on, differentiate.walk, *map(type, bound), mul.on_numpy.value, bound]


def test_nothing_is_left_behind():
    x = leaf(2.0)
    x * x
    before = state()
    assert before[1:4] == [engine.walk, Bound, Bound]
    with detect_anomaly():
        assert state() != before
        (x * x).gather(0, tg.tensor([0])).sum().backward()
    assert state() == before
    with pytest.raises(AnomalyError), detect_anomaly():
        leaf(-1.0).log()
    assert state() == before
    assert (x * x)._node.plan is (x * x)._node.plan
    for _ in range(2):
        kept = [f.func for name, f in vars(ON_NUMPY).items() if name != "xp"]
        assert not any(isinstance(f, anomaly._Value) for f in kept)
        (x * x).reshape(1).gather(0, tg.tensor([0])).sum().backward()
    assert kept


def test_nesting():
    x = leaf(math.inf)
    with detect_anomaly():
        assert tg.autograd.is_anomaly_enabled()
        with detect_anomaly(check_inf=False):
            x * 2
            with tg.autograd.set_detect_anomaly(False):
                assert not tg.autograd.is_anomaly_enabled()
                x - x
            with pytest.raises(AnomalyError):
                x - x
        with pytest.raises(AnomalyError):
            x * 2
    assert not tg.autograd.is_anomaly_enabled()
    x - x


def test_the_same_block_inside_itself():
    x, block = leaf(math.inf), detect_anomaly()
    with block, block:
        pass
    assert not tg.autograd.is_anomaly_enabled()
    x - x


def test_switching():
    x = leaf(math.inf)
    tg.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(AnomalyError):
            x - x
        tg.autograd.set_detect_anomaly(True, check_inf=False)
        x * 2
    finally:
        tg.autograd.set_detect_anomaly(False)
    x - x


def in_thread(function):
    """Return what `function` returns or raises in a thread of its own."""
    found = []

    def run():
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_each_thread_watches_for_itself():
    def bad():
        return leaf(-1.0).log()

    def watched():
        with detect_anomaly():
            return bad()

    assert_at(in_thread(watched), "log", "return leaf(-1.0).log()")
    with np.errstate(all="ignore"):
        bad()
    with detect_anomaly():
        with np.errstate(all="ignore"):
            y = in_thread(lambda: apply(OPS["log"], (tg.tensor(np.float64(2)),)) * math.nan)
        assert math.isnan(y.item())
        assert_at(in_thread(watched), "log", "return leaf(-1.0).log()")
        with pytest.raises(AnomalyError):  # still
            bad()


def test_where_nothing_is_outside_the_package_the_outermost_line_is_shown():
    text = """
def run():
    try:
        with detect_anomaly():
            x.log()
    except AnomalyError as error:
        found.append(error)
    done.set()
"""
    names = {"detect_anomaly": detect_anomaly, "AnomalyError": AnomalyError, "x": leaf(-1.0)}
    names |= {"found": [], "done": threading.Event()}
    file = anomaly._PACKAGE + "script.py"
    exec(compile(text, file, "exec"), names)
    _thread.start_new_thread(names["run"], ())
    assert names["done"].wait(10)
    (error,) = names["found"]
    assert (error.filename, error.lineno) == (file, 5)


def test_threads_that_watch_at_the_same_time():
    both, failures = threading.Barrier(2), []

    def work(bad):
        both.wait()
        for _ in range(200):
            with detect_anomaly():
                x = leaf(0.0, 1.0)
                try:
                    (x.sqrt() if bad else x.exp()).sum().backward()
                    failures.append(bad)
                except AnomalyError as error:
                    failures.append(not bad or error.operation != "sqrt")

    threads = [threading.Thread(target=work, args=(bad,)) for bad in (True, False)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(failures) == 0
    assert len(failures) == 400
    assert state()[1:4] == [engine.walk, Bound, Bound]


def test_a_graph_is_freed_as_without():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        with detect_anomaly():
            x = leaf(1.0, 2.0)
            y = (x * 2).exp().sum()
            y.backward(retain_graph=True)
            node = weakref.ref(y._node)
            del y
            assert node() is None
    finally:
        gc.enable()


def test_every_result_is_what_it_is_without():
    def run():
        tg.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                              nn.Linear(27, 5))  # fmt: skip
        loss = nn.functional.cross_entropy(model(tg.randn(4, 1, 8, 8)), tg.tensor([0, 1, 2, 3]))
        loss.backward()
        return [loss.item(), *(p.grad.tolist() for p in model.parameters())]

    plain = run()
    with detect_anomaly():
        assert run() == plain
