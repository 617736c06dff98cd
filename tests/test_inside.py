"""What looks inside changes nothing, whatever the operation; and the example finds its mistake."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from devicecases import outcome
from opcases import CASES, VALUES

import tinygrad_adam as tg
from tinygrad_adam.autograd import detect_anomaly

EXAMPLE = Path(__file__).parents[1] / "examples" / "inside.py"


def bits(results):
    """Return the element types, shapes and bytes of what `outcome` gives."""
    return {
        name: None if t is None else (t.dtype, t.shape, t.data.tobytes())
        for name, t in results.items()
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", [*CASES, *VALUES], ids=str)
def test_watching_for_anomalies_changes_no_value_or_derivative(case):
    plain = outcome(case, "cpu")
    arrays = [*case.arrays(), *(t.data for t in plain.values() if t is not None)]
    finite = all(np.isfinite(a).all() for a in arrays)
    with detect_anomaly(check_nan=finite, check_inf=finite):
        assert bits(outcome(case, "cpu")) == bits(plain)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operation_is_drawn_and_explained(case):
    inputs = [tg.tensor(a) for a in case.arrays()]
    wanted = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"]
    y = case(*inputs)
    if not y.requires_grad:
        return
    names = {f"input {i}": t for i, t in enumerate(wanted)}
    g = tg.tensor(np.cos(np.arange(y.numel())).reshape(y.shape))
    told, picture = tg.explain(y, names, g), str(y.graph(names))
    assert all(t.grad is None for t in wanted)
    y.backward(g)
    reached = {name: t.grad for name, t in names.items() if t.grad is not None}
    assert told.leaves.keys() == reached.keys()
    for name, gradient in reached.items():
        shape, norm = told.leaves[name]
        assert shape == gradient.shape
        assert norm == pytest.approx(float(np.sqrt((gradient.data**2).sum())), rel=1e-12)
        assert f"  {name}" in picture
    assert {step.operation for step in told.steps} <= set(picture.replace(",", " ").split())


def test_the_example_finds_its_mistake(capsys):
    error = runpy.run_path(str(EXAMPLE))["main"]()
    printed = capsys.readouterr().out
    assert printed.startswith("graph of 16 operations and 8 leaves, newest first\n")
    assert "16  mse_loss   ()            1  x: 15" in printed
    assert printed.endswith(f"{error}\n")
    assert error.operation == "div"
    assert Path(error.filename) == EXAMPLE
    assert (
        error.source == EXAMPLE.read_text(encoding="utf-8").splitlines()[error.lineno - 1].strip()
    )
    assert error.source.startswith("return centred / ")
    assert "in Sequential, 4 (Normalised)" in str(error)
