"""No operation without a case: the registry and the public names against the table."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from backwards import nodes, weights
from opcases import CASES, VALUES, Case, R, raw

import tinygrad_adam as tg
from tinygrad_adam import ops
from tinygrad_adam.autograd import OPS, apply, op


def uncovered(operations, cases):
    """Return what is missing: per derivative, whether a case named for its operation records it."""
    missing = []
    for operation in operations:
        smooth = {i for i, rule in enumerate(operation.rules) if rule is not None}
        mine = [c for c in cases if c.op == operation.name]
        if smooth and not mine:
            missing.append(f"{operation.name}: no case")
            continue
        for case in mine:
            tensors = [tg.from_numpy(a) for a in case.arrays()]
            for i in case.wanted:
                tensors[i].requires_grad_()
            for node in nodes(case(*tensors)):
                if node.op is operation:
                    smooth -= {0} if operation.variadic else {i for i, *_ in node.plan.steps}
        unseen = [operation.inputs[i] for i in sorted(smooth)]
        missing += [f"{operation.name}: no case records its derivative in {n}" for n in unseen]
    return missing


def test_every_derivative_has_a_case():
    assert uncovered(OPS.values(), CASES) == []


@pytest.mark.usefixtures("registry")
def test_an_operation_without_a_case_is_reported():
    cube = op("cube", lambda xp, a, b: a**3 + b, a=lambda F, g, a: g * 3 * a * a, b=lambda F, g: g)
    sign = op("quiet", lambda xp, a: a)  # has no derivative, so it needs none
    assert uncovered([cube, sign], CASES) == ["cube: no case"]
    elsewhere = Case("cube", lambda L, a: a * a * a, (R(2),))
    half = Case("cube:half", lambda L, a: apply(cube, (a, 1.0)), (R(2),))
    full = Case("cube:full", raw("cube"), (R(2), R(2)))
    assert uncovered([cube], [elsewhere]) == [
        "cube: no case records its derivative in a",
        "cube: no case records its derivative in b",
    ]
    assert uncovered([cube], [elsewhere, half]) == ["cube: no case records its derivative in b"]
    assert uncovered([cube], [elsewhere, half, full]) == []


@pytest.mark.usefixtures("registry")
def test_a_missing_case_turns_the_real_check_red():
    op("forgotten", lambda xp, x: x, x=lambda F, g: g)
    with pytest.raises(AssertionError, match="forgotten: no case"):
        test_every_derivative_has_a_case()


# --- shapes that break things -------------------------------------------------------------------

# Only derivatives and rows of modules use these, so PyTorch has no such function.
INSIDE = {
    "to_device", "put", "put_along", "relu_slope", "conv2d_input", "conv2d_weight",
    "max_pool2d_grad", "max_pool2d_pick", "avg_pool2d_grad", "conv_pool_relu",
}  # fmt: skip
# These need an axis: a 0-d tensor is refused, or handed on to a tensor with one.
WITH_AXES = {
    "mT", "transpose", "cat", "contiguous", "matmul", "linear", "conv2d", "max_pool2d",
    "avg_pool2d",
}  # fmt: skip
WITH_ELEMENTS = {"max", "min"}
# More than one operand, and yet not element by element.
OF_ONE_SHAPE = {
    "matmul", "linear", "conv2d", "cat", "setitem", "mse_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
}  # fmt: skip


def unreached(operations, cases):
    """Return what no case has: PyTorch's answer, no axes, no elements, an operand spread."""
    missing = []
    for operation in operations:
        wanted = [i for i, rule in enumerate(operation.rules) if rule is not None]
        if not wanted or operation.name in INSIDE:
            continue
        mine = [c for c in cases if c.op == operation.name]
        shapes = [[a.shape for a in c.arrays()] for c in mine]
        has = {
            "PyTorch's answer": any(c.torch is not None for c in mine),
            "no axes": operation.name in WITH_AXES or any(() in s for s in shapes),
            "no elements": operation.name in WITH_ELEMENTS
            or any(0 in shape for s in shapes for shape in s),
        }
        if len(wanted) > 1 and operation.name not in OF_ONE_SHAPE:
            full = [(s, np.broadcast_shapes(*s)) for s in shapes if len(s) == len(operation.inputs)]
            for i in wanted:
                spread = any(s[i] != whole for s, whole in full)
                has[f"{operation.inputs[i]} spread"] = spread
        missing += [f"{operation.name}: {what}" for what, there in has.items() if not there]
    return missing


def test_every_operation_has_the_shapes_that_break_things():
    assert unreached(list(OPS.values()), CASES) == []
    known = {operation.name for operation in OPS.values()}
    assert known >= INSIDE | WITH_AXES | WITH_ELEMENTS | OF_ONE_SHAPE


@pytest.mark.usefixtures("registry")
def test_missing_shapes_are_reported():
    both = op("both", lambda xp, a, b: a * b, a=lambda F, g, b: g * b, b=lambda F, g, a: g * a)
    plain = Case("both", raw("both"), (R(2, 3), R(2, 3)), torch=None)
    few = ["no axes", "no elements", "a spread", "b spread"]
    assert unreached([both], [plain]) == [f"both: {w}" for w in ["PyTorch's answer", *few]]
    others = [
        Case("both:x", raw("both"), (R(), R(0, 3))),
        Case("both:y", raw("both"), (R(2), R(1))),
    ]
    assert unreached([both], [plain, *others]) == []


# --- what derivatives take from their vocabulary F ----------------------------------------------


def taken_from_F(tree):
    """Return every name that the functions with a parameter F read from it."""
    return {
        found.attr
        for function in ast.walk(tree)
        if isinstance(function, (ast.Lambda, ast.FunctionDef))
        and "F" in [a.arg for a in function.args.args]
        for found in ast.walk(function)
        if isinstance(found, ast.Attribute) and getattr(found.value, "id", None) == "F"
    }


def test_derivatives_name_only_what_is_registered():
    files = sorted(Path(tg.__file__).parent.rglob("*.py"))
    found = {f.name: taken_from_F(ast.parse(f.read_text(encoding="utf-8"))) for f in files}
    assert len(set().union(*found.values())) > 20
    assert {name: unknown for name, names in found.items() if (unknown := names - set(OPS))} == {}
    # and F is what all of them call it
    rules = [rule for operation in OPS.values() for rule in operation.rules if rule is not None]
    assert {rule.__code__.co_varnames[0] for rule in rules} == {"F"}


def test_a_misspelt_name_is_found_wherever_it_stands():
    text = """
op("a", f, x=lambda F, g: F.one(g))
def slope(F, g):
    def inner():
        return [F.two(p) for p in F.three(g)]
    return other.five(inner)
F.six
"""
    assert taken_from_F(ast.parse(text)) == {"one", "two", "three"}


# --- the public names ---------------------------------------------------------------------------


class Spy:
    """Stands for the library and notes which of its names a case uses."""

    def __init__(self, library, seen):
        self._library, self._seen = library, seen

    def __getattr__(self, name):
        self._seen.add(name)
        found = getattr(self._library, name)
        return Spy(found, self._seen) if name in ("nn", "functional") else found


def test_every_public_function_has_a_case():
    seen = set()
    for case in CASES + VALUES:
        case.function(Spy(tg, seen), *(tg.from_numpy(a) for a in case.arrays()))
    seen |= {c.op for c in CASES}  # what the cases reach by methods and operators
    families = {found.name for found in pkgutil.iter_modules(ops.__path__)}
    families -= {"arguments", "move", "window"}
    public = {
        name for f in families for name in importlib.import_module(f"{ops.__name__}.{f}").__all__
    }
    assert len(public) > 60
    assert public - seen - {"pair"} == set()


def test_names_are_unique():
    names = [c.name for c in CASES + VALUES]
    assert len(names) == len(set(names))


def test_inputs_are_the_same_every_time_and_away_from_zero():
    for case in CASES:
        for source, a, b in zip(case.inputs, case.arrays(), case.arrays(), strict=True):
            assert a.tobytes() == b.tobytes()
            if isinstance(source, R) and a.size:
                assert abs(a).min() >= 0.05
    assert abs(weights((5,))).min() >= 0.25
