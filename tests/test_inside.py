"""The example that looks inside a network finds its mistake."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "inside.py"


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
