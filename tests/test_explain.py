"""`explain` tells what a backward pass did: rules, shapes, norms, sums; and changes nothing."""

from __future__ import annotations

import math
import sys
import weakref

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import OPS, Op, apply, detect_anomaly, op
from tinygrad_adam.autograd.chain import rule_text
from tinygrad_adam.errors import AnomalyError, ArgumentError, GraphError, GraphFreedError


def leaf(*values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype), requires_grad=True)


def norm(array):
    return float(np.sqrt((np.asarray(array, np.float64) ** 2).sum()))


def rows(explanation):
    """Return the lines of the table, one space between words."""
    return [" ".join(line.split()) for line in str(explanation).splitlines()]


def test_a_chain_by_hand():
    x = leaf(0.3, -1.2, 2.0)
    told = tg.explain(x.tanh().exp().sum(), {"x": x})
    t = np.tanh(x.data)
    gradients = [np.ones(()), np.ones(3), np.exp(t), np.exp(t) * (1 - t * t)]
    assert [(s.number, s.operation, s.input, s.to) for s in told.steps] == [
        (3, "sum", "x", "2"), (2, "exp", "x", "1"), (1, "tanh", "x", "x"),
    ]  # fmt: skip
    assert [s.rule for s in told.steps[1:]] == ["g * y", "g * (1 - y * y)"]
    for step, g, given in zip(told.steps, gradients, gradients[1:], strict=False):
        assert (step.shape, step.given_shape) == (g.shape, given.shape)
        assert step.norm == pytest.approx(norm(g), rel=1e-12)
        assert step.given_norm == pytest.approx(norm(given), rel=1e-12)
        assert step.notes == ()
    assert told.leaves == {"x": ((3,), pytest.approx(norm(gradients[-1]), rel=1e-12))}
    x.tanh().exp().sum().backward()
    assert norm(x.grad.data) == pytest.approx(told.leaves["x"][1], rel=1e-12)


def test_the_table():
    x, b = leaf(3.0, 4.0), tg.tensor(np.float64(1.0), requires_grad=True)
    h = x * x
    assert rows(tg.explain((h + h + b).exp().log().sum(), {"x": x, "b": b, "square": h})) == [
        "operation g norm to rule gives norm",
        "6 sum () 1 x: 5 _spread(F, g, x_shape, axis) (2,) 1.414",
        "5 log (2,) 1.414 x: 4 g / x (2,) 5.603e-09",
        "4 exp (2,) 5.603e-09 x: 3 g * y (2,) 1.414",
        "3 add (2,) 1.414 a: 2 g (2,) 1.414",
        "b: b g (2,) 1.414 summed to ()",
        "2 add (2,) 1.414 a: 1 g (2,) 1.414",
        "b: 1 g (2,) 1.414",
        "1 mul = square (2,) 2.828 a: x g * b (2,) 10 sum of 2",
        "b: x g * a (2,) 10",
        "b () 2 leaf",
        "x (2,) 20 leaf sum of 2",
    ]


def test_every_gradient_of_a_model():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3)
    )
    x, labels = tg.randn(4, 1, 8, 8), tg.tensor([0, 1, 2, 0])
    loss = nn.functional.cross_entropy(model(x), labels)
    told = tg.explain(loss, model)
    loss.backward()
    for name, p in model.named_parameters():
        assert told.leaves[name] == (p.shape, pytest.approx(norm(p.grad.data), rel=1e-6))
    assert {s.to for s in told.steps} >= set(told.leaves)
    (table,) = [s for s in told.steps if s.to == "4.weight"]
    assert (table.operation, table.input, table.rule) == ("linear", "w", "F.matmul(F.mT(g), x)")
    faster = {(s.operation, s.input): "a faster version was asked" in s.notes for s in told.steps}
    assert faster["cross_entropy", "x"]
    assert not faster["linear", "b"]


def test_no_faster_version_is_said_to_have_run_that_may_have_refused():
    (step, _) = tg.explain(leaf(1.0, -2.0).relu().sum()).steps[::-1]
    assert (step.operation, step.notes) == ("relu", ("a faster version was asked",))


def test_casts_and_variadic_operations():
    x, y = leaf(1.0, dtype=np.float32), leaf(2.0, 3.0)
    told = tg.explain((tg.cat([x.double(), y]) * 2.0).sum(), {"x": x, "y": y})
    cats = [s for s in told.steps if s.operation == "cat"]
    assert [(s.input, s.given_shape) for s in cats] == [("tensors[0]", (1,)), ("tensors[1]", (2,))]
    assert all(s.rule.startswith("F.getitem(g, part=") for s in cats)
    z = leaf(1.0, 2.0, dtype=np.float32)
    told = tg.explain((y * z).sum(), {"y": y, "z": z})
    (into_z,) = [s for s in told.steps if s.to == "z"]
    assert into_z.notes == ("cast to float32",)


def test_nothing_changes():
    x = leaf(1.0, 2.0)
    x.grad = tg.tensor(np.array([5.0, 6.0]))
    before = x.grad
    h = x * x
    h.retain_grad()
    h.grad = None
    loss = h.sum()
    plans = [n.plan for n in (h._node, loss._node)]
    first = tg.explain(loss, {"x": x})
    assert str(tg.explain(loss, {"x": x})) == str(first)
    assert x.grad is before
    assert x.grad.tolist() == [5.0, 6.0]
    assert h.grad is None
    assert h.retains_grad
    assert [n.plan for n in (h._node, loss._node)] == plans
    loss.backward()
    assert x.grad.tolist() == [7.0, 10.0]
    assert h.grad.tolist() == [1.0, 1.0]
    with pytest.raises(GraphFreedError):
        tg.explain(loss)
    assert [n.plan for n in (h._node, loss._node)] == plans
    assert h.retains_grad


def test_hooks_are_part_of_it():
    x = leaf(1.0, 2.0)
    h = x * 3
    h.register_hook(lambda g: g * 10)
    told = tg.explain(h.sum(), {"x": x})
    assert told.steps[-1].norm == pytest.approx(10 * math.sqrt(2))
    assert told.steps[-1].notes == ("after its hooks",)
    assert told.leaves["x"][1] == pytest.approx(30 * math.sqrt(2))
    h.register_hook(lambda g: 1 / 0)
    plan = h._node.plan
    with pytest.raises(ZeroDivisionError):
        tg.explain(h.sum())
    assert h._node.plan is plan


def test_where_to_start_and_what_cannot_be_explained():
    x = leaf(1.0, 2.0)
    told = tg.explain(x * 3, {"x": x}, gradient=tg.tensor(np.array([3.0, 4.0])))
    assert (told.steps[0].norm, told.leaves["x"][1]) == (5.0, 15.0)
    with pytest.raises(GraphError, match=r"only a scalar has a gradient by itself"):
        tg.explain(x * 3)
    with pytest.raises(GraphError, match=r"explain: this tensor .* was not made from one that"):
        tg.explain(tg.ones(1))
    with pytest.raises(ArgumentError, match="explain: limit must be at least 1"):
        tg.explain(x.sum(), limit=0)
    w = leaf(2.0)
    assert rows(tg.explain(w, {"w": w})) == [
        "operation g norm to rule gives norm",
        "w (1,) 1 leaf",
    ]


def test_a_deep_graph_is_cut():
    x = leaf(1.0)
    y, depth = x, 5 * sys.getrecursionlimit()
    for _ in range(depth):
        y = -y
    told = tg.explain(y, {"x": x}, limit=2)
    assert len(told.steps) == depth
    assert rows(told) == [
        "operation g norm to rule gives norm",
        f"{depth} neg (1,) 1 x: {depth - 1} -g (1,) 1",
        f"{depth - 1} neg (1,) 1 x: {depth - 2} -g (1,) 1",
        "x (1,) 1 leaf",
        f"... {depth - 2} older operations left out; limit=None shows all",
    ]
    assert len(rows(tg.explain(y))) == 203
    assert len(rows(tg.explain(y, limit=None))) == depth + 2


def test_norms_of_large_and_small_and_no_gradients():
    for g, expected in (
        ([3e200, 4e200], 5e200),
        ([3e-200, 4e-200], 5e-200),
        ([0.0, 0.0], 0.0),
        ([math.inf, 1.0], math.inf),
    ):
        told = tg.explain(leaf(1.0, 2.0) * 1, {}, tg.tensor(np.array(g)))
        assert told.leaves["leaf 1"][1] == pytest.approx(expected, rel=1e-14)
    assert math.isnan(tg.explain(leaf(1.0) * 1, {}, tg.tensor([math.nan])).leaves["leaf 1"][1])
    empty = tg.tensor(np.empty((0, 3)), requires_grad=True)
    assert tg.explain(empty.sum()).leaves == {"leaf 1": ((0, 3), 0.0)}


def test_a_long_rule_is_cut_in_the_table():
    told = tg.explain(leaf(1.0, 2.0).std())
    (step,) = told.steps
    assert len(step.rule) > 100
    assert f" {step.rule[:57]}...  (2,)" in str(told)


def test_numbers_are_those_of_the_picture():
    x = leaf(1.0)
    loss = (x.exp() + x.sin() * x).sum()
    listed = [row.split()[:2] for row in rows(loss.graph()) if row[0].isdigit()]
    told = tg.explain(loss)
    assert listed == [
        list(p) for p in dict.fromkeys((f"{s.number}", s.operation) for s in told.steps)
    ]


def test_in_a_notebook():
    x = leaf(1.0)
    html = tg.explain((x * x).sum(), {"<x>": x})._repr_html_()
    assert html.count("<tr>") == 5
    assert ">g * b</td>" in html
    assert "a: &lt;x&gt;" in html
    assert repr(tg.explain(x.exp())) == str(tg.explain(x.exp()))


def test_while_anomalies_are_watched():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        y = x.exp()
        loss = y.sum()
        told = tg.explain(loss)
        assert told.steps[1].notes == (f"test_explain.py:{sys._getframe().f_lineno - 3}",)
        bad = x.sqrt()
        with pytest.raises(AnomalyError, match="the derivative of sqrt in x made an infinity"):
            tg.explain(bad.sum())
    with np.errstate(all="ignore"):
        assert tg.explain(bad.sum()).leaves["leaf 1"] == ((2,), math.inf)


def test_it_keeps_nothing_of_the_graph():
    x = leaf(1.0)
    y = x.exp()
    told, node = tg.explain(y), weakref.ref(y._node)
    del y
    assert node() is None
    assert "exp" in str(told)


# --- derivatives in words -----------------------------------------------------------------------


RULES = [(o, i) for o in OPS.values() for i, rule in enumerate(o.rules) if rule is not None]


@pytest.mark.parametrize(("operation", "i"), RULES, ids=lambda v: getattr(v, "name", v))
def test_every_derivative_has_words(operation, i):
    text = rule_text(operation, i)
    assert "lambda" not in text
    assert "\n" not in text


def test_derivatives_on_one_line_are_told_apart():
    def words(name):
        return [rule_text(OPS[name], i) for i in range(len(OPS[name].inputs))]

    assert words("sub") == ["g", "-g"]
    assert words("mul") == ["g * b", "g * a"]
    assert words("div") == ["g / b", "-g * y / b"]
    assert words("matmul") == ["F.matmul(g, F.mT(b))", "F.matmul(F.mT(a), g)"]


def test_a_source_that_has_changed_since_is_not_quoted():
    rules = {"here": lambda F, g, odd: 2 * g}
    rules["gone"] = eval(compile("lambda F, g, odd: 3 * g", __file__, "eval"))
    words = [
        rule_text(Op(name, lambda xp, odd: odd, {"odd": rule}, False), 0)
        for name, rule in rules.items()
    ]
    assert words == ["2 * g", "<lambda>(g, odd)"]


@pytest.mark.usefixtures("registry")
def test_derivatives_of_other_kinds():
    def short(F, g, x):
        """Give one expression."""
        return 2 * g

    def long(F, g, x):
        """Give more than one expression.

        At some length.
        """
        twice = 2 * g
        return twice

    def bare(F, g):
        g = 2 * g
        return g

    def value(xp, x):
        return 2 * x

    made = {}
    exec("rule = lambda F, g, x: 2 * g", made)
    rules = {"short": short, "long": long, "bare": bare, "made": made["rule"]}
    expected = {
        "short": "2 * g",
        "long": "long(g, x): Give more than one expression.",
        "bare": "bare(g)",
        "made": "<lambda>(g, x)",
    }
    for name, rule in rules.items():
        double = op(f"test_{name}", value, x=rule)
        assert rule_text(double, 0) == expected[name]
        x = leaf(1.0)
        assert tg.explain(apply(double, (x,))).steps[0].rule == expected[name]
