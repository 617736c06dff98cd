"""The picture of a graph: what it lists, in which language, and where it stops."""

from __future__ import annotations

import re
import stat
import sys

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn
from tinygrad_adam.autograd import Graph, detect_anomaly, picture
from tinygrad_adam.errors import ArgumentError, GraphError, MissingPackageError


def loss_of(model, n=4):
    return nn.functional.mse_loss(model(tg.ones(n, 2)), tg.zeros(n, 1))


def lines(graph):
    """Return the lines of a graph's text, one space between words."""
    return [" ".join(line.split()) for line in str(graph).splitlines()]


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))


@pytest.fixture
def without_dot(monkeypatch):
    monkeypatch.setattr(picture.shutil, "which", lambda name: None)


def test_text(model):
    assert loss_of(model).graph(model).text() == (
        "graph of 4 operations and 4 leaves, newest first\n"
        "  4  mse_loss  ()      float32  from 3, constant\n"
        "  3  linear    (4, 1)  float32  from 2, 2.weight, 2.bias\n"
        "  2  tanh      (4, 3)  float32  from 1\n"
        "  1  linear    (4, 3)  float32  from constant, 0.weight, 0.bias\n"
        "     2.weight  (1, 3)  float32  leaf\n"
        "     2.bias    (1,)    float32  leaf\n"
        "     0.weight  (3, 2)  float32  leaf\n"
        "     0.bias    (3,)    float32  leaf"
    )


def test_shared_nodes_are_listed_once():
    x = tg.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(50):
        y = y + y
    text = lines(y.graph())
    assert len(text) == 52
    assert text[1:3] == [
        "50 add (1,) float32 from 49, 49",
        "49 add (1,) float32 from 48, 48 used 2 times",
    ]
    assert text[-1] == "leaf 1 (1,) float32 leaf used 2 times"


def test_every_node_and_edge_is_in_each_language(model):
    loss = loss_of(model)
    graph = loss.graph(model)
    edges = {
        ("op1", "op2"), ("op2", "op3"), ("op3", "op4"),
        ("leaf1", "op3"), ("leaf2", "op3"), ("leaf3", "op1"), ("leaf4", "op1"),
    }  # fmt: skip
    mermaid, dot = graph.mermaid(), graph.dot()
    assert set(re.findall(r'(\w+) -->(?:\|"\w+"\|)? (\w+)', mermaid)) == edges
    assert set(re.findall(r"(\w+) -> (\w+)", dot)) == edges
    boxes = {"op1", "op2", "op3", "op4", "leaf1", "leaf2", "leaf3", "leaf4"}
    assert set(re.findall(r"^ +(\w+)\(?\[", mermaid, re.M)) == boxes
    assert set(re.findall(r"^ +(\w+) \[label=", dot, re.M)) == boxes
    assert mermaid.startswith("flowchart TD\n")
    assert '    op3["linear<br/>(4, 1)"]\n' in mermaid
    assert '    leaf1(["2.weight<br/>(1, 3)"])\n' in mermaid
    assert '    leaf1 -->|"w"| op3\n' in mermaid
    assert dot.startswith("digraph {\n")
    assert dot.endswith("\n}")
    assert '    op3 [label="linear\\n(4, 1)"]\n' in dot
    assert '    leaf1 -> op3 [label="w"]\n' in dot


def test_names():
    x, w, b = (tg.ones(2, requires_grad=True) for _ in range(3))
    h = x * w
    out = h + b
    text = lines(out.graph({"w": w, "hidden": h, "1": x}))
    assert text[1:3] == [
        "2 add (2,) float32 from 1, leaf 1",
        "1 mul = hidden (2,) float32 from 1', w",
    ]
    assert lines(out.graph([("w", w), ("hidden", h), ("1", x)])) == text
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, shared)
    text = lines(twice(tg.ones(1, 2)).graph(twice))
    assert text[1] == "2 linear (1, 2) float32 from 1, 0.weight, 0.bias"
    assert text[3] == "0.weight (2, 2) float32 leaf used 2 times"
    with pytest.raises(GraphError, match="names: 'w' is a float, not a Tensor"):
        out.graph({"w": 1.0})


def test_names_that_mean_something_in_the_languages():
    x = tg.ones(1, requires_grad=True)
    graph = (x * 2).graph({'a"b\\n<i>#|\n]': x})
    (label,) = re.findall(r'leaf1\(\["(.*)"\]\)', graph.mermaid())
    assert label == "a#34;b\\n#60;i#62;#35;#124; ]<br/>(1,)"
    assert 'leaf1 [label="a\\"b\\\\n<i>#| ]\\n(1,)", style=rounded]' in graph.dot()
    clash = (x * 2).graph({"constant": x})
    assert "from constant', constant" in str(clash)
    assert "leaf1 --> " not in clash.mermaid()
    assert 'leaf1 -->|"a"| op1' in clash.mermaid()


def test_a_leaf_alone_and_what_has_no_graph():
    w = tg.ones(2, requires_grad=True)
    assert str(w.graph()) == (
        "graph of 0 operations and 1 leaf, newest first\n  leaf 1  (2,)  float32  leaf"
    )
    with pytest.raises(GraphError, match=r"of shape \(2,\) was not made from one that requires"):
        tg.ones(2).graph()
    with pytest.raises(GraphError, match="expected a Tensor, got int"):
        Graph([w, 1])
    with pytest.raises(ArgumentError, match="limit must be at least 1, or None for all, got 0"):
        w.graph(limit=0)


def test_several_outputs():
    w = tg.ones(2, requires_grad=True)
    h = w * 2
    assert str(Graph([h.sum(), h.mean()])).startswith("graph of 3 operations and 1 leaf")


def test_a_deep_graph_is_cut_and_does_not_recurse():
    w, v = tg.ones(1, requires_grad=True), tg.ones(1, requires_grad=True)
    y = w * v
    depth = 20 * sys.getrecursionlimit()
    for _ in range(depth):
        y = y + w
    graph = y.graph({"w": w}, limit=3)
    assert lines(graph) == [
        f"graph of {depth + 1} operations and 2 leaves, newest first",
        f"{depth + 1} add (1,) float32 from {depth}, w",
        f"{depth} add (1,) float32 from {depth - 1}, w",
        f"{depth - 1} add (1,) float32 from older, w",
        "w (1,) float32 leaf used 3 times",
        f"... {depth - 2} older operations and 1 leaf left out; limit=None shows all",
    ]
    assert f'older["... {depth - 2} older operations and 1 leaf"]' in graph.mermaid()
    assert f'older -.->|"a"| op{depth - 1}' in graph.mermaid()
    assert f'older -> op{depth - 1} [label="a", style=dashed]' in graph.dot()
    assert len(str(y.graph()).splitlines()) == 203
    assert len(str(y.graph(limit=None)).splitlines()) == depth + 4


def test_lines_are_shown_where_they_are_known():
    w = tg.ones(1, requires_grad=True)
    with detect_anomaly():
        y = w * 2
    text = str(y.graph())
    number = sys._getframe().f_lineno - 2
    assert text.splitlines()[1].endswith(f"from leaf 1, constant  test_picture.py:{number}")


def test_it_keeps_nothing_of_the_graph():
    import weakref

    w = tg.ones(1, requires_grad=True)
    y = w * 2
    graph, node = y.graph(), weakref.ref(y._node)
    del y
    assert node() is None
    assert "mul" in str(graph)
    assert repr(graph) == str(graph)


# --- drawn --------------------------------------------------------------------------------------


def program(folder, text):
    """Put a program ``dot`` into `folder`, with this script."""
    path = folder / "dot"
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(sys.platform == "win32", reason="makes a program of a script")
def test_svg_is_what_dot_makes(tmp_path, monkeypatch, model):
    program(
        tmp_path,
        "import sys\nassert sys.argv[1:] == ['-Tsvg']\nn = sys.stdin.read().count('->')\n"
        "print('<?xml?><!DOCTYPE svg>\\n<svg>%d</svg>' % n)",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = loss_of(model).graph()
    assert graph.svg() == "<svg>7</svg>\n"
    shown = graph._repr_mimebundle_()
    assert shown == {"text/plain": str(graph), "text/html": "<svg>7</svg>\n"}
    program(tmp_path, "import sys\nsys.exit('no font')")
    with pytest.raises(GraphError, match="dot failed: no font"):
        graph.svg()


@pytest.mark.usefixtures("without_dot")
def test_without_graphviz(model):
    graph = loss_of(model).graph()
    with pytest.raises(MissingPackageError, match="Graphviz's program dot, which is not on"):
        graph.svg()
    assert graph._repr_mimebundle_() == {
        "text/plain": str(graph),
        "text/markdown": f"```mermaid\n{graph.mermaid()}\n```",
    }


@pytest.mark.skipif(picture.shutil.which("dot") is None, reason="needs Graphviz")
def test_graphviz_draws_it(model):
    svg = loss_of(model).graph(model).svg()
    assert svg.startswith("<svg")
    assert svg.count('class="node"') == 8
    assert svg.count('class="edge"') == 7
    assert "2.weight" in svg


def test_on_float64():
    x = tg.tensor(np.ones(2), requires_grad=True)
    assert "float64" in str((x * 2).graph())
