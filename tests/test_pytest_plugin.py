"""The plugin for pytest: its fixtures and option, what a failure looks like, and what it costs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "gradients_by_hand"
pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that writes a test file and runs pytest on it, with the plugin alone."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def runs(code, *options):
        pytester.makepyfile(test_user="import numpy as np\nimport tinygrad_adam as tg\n" + code)
        return pytester.runpytest_subprocess("-p", "tinygrad_adam_pytest", *options)

    return runs


RIGHT = """
def test_tensors(gradcheck):
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    assert gradcheck(tg.sin, x)
    assert gradcheck.second_order(tg.sin, x, fast_mode=True)

def test_by_hand(gradcheck):
    assert gradcheck.by_hand(np.sin, np.cos, np.array([1.0, 2.0]))
"""
WRONG = """
def test_by_hand(gradcheck):
    x = np.array([1.0, 2.0])
    gradcheck.by_hand(np.sin, np.sin, x)
"""


def test_right_gradients_pass(run):
    run(RIGHT).assert_outcomes(passed=2)


def test_a_failure_shows_the_line_the_table_and_how_to_repeat_it(run):
    result = run(WRONG, "--gradcheck-seed=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "gradcheck seed: 5",
            ">*gradcheck.by_hand(np.sin, np.sin, x)",
            "E*GradcheckError: check_gradient: wrong gradient",
            "E*input 0*, float64 (2,): 2 of 2 entries wrong:",
            "E*entry*analytic*numeric*from left*from right*error/tolerance",
            "E*(0,)*0.841*0.540*",
            "E*seed 5, rtol*",
            "E*run it again: pytest test_user.py::test_by_hand --gradcheck-seed=5",
        ]
    )
    text = result.stdout.str()
    assert text.count("\n>") == 1, "one line of code: the test's"
    assert "examine.py" not in text


def test_the_cause_of_a_failed_backward_pass_is_shown(run):
    code = """
def grad(x):
    raise ValueError("not written yet")

def test_by_hand(gradcheck):
    gradcheck.by_hand(np.sin, grad, np.array([1.0]))
"""
    run(code).stdout.fnmatch_lines(["*raise ValueError*", "E*ValueError: not written yet"])


SEEN = """
def test_seed(gradcheck):
    print("weights", gradcheck.seed)
"""


@pytest.mark.parametrize(("option", "seed"), [([], 0), (["--gradcheck-seed=12"], 12)])
def test_the_seed_is_that_of_the_run(run, option, seed):
    result = run(SEEN, "-s", *option)
    result.stdout.fnmatch_lines([f"*weights {seed}"])
    assert ("gradcheck seed:" in result.stdout.str()) == bool(option)


def test_a_random_seed_is_shown(run):
    result = run(SEEN, "-s", "--gradcheck-seed=random")
    drawn = re.search(r"gradcheck seed: (\d+)", result.stdout.str())[1]
    result.stdout.fnmatch_lines([f"*weights {drawn}"])


def test_a_seed_that_is_none(run):
    result = run(SEEN, "--gradcheck-seed=often")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gradcheck-seed: invalid*'often'*"])


def test_a_test_can_choose_its_own_seed(run):
    code = WRONG.replace("np.sin, x)", "np.sin, x, seed=99)")
    run(code).stdout.fnmatch_lines(["*--gradcheck-seed=99"])


def test_kinks_are_warnings_at_the_line_of_the_test(run):
    code = """
def test_kink(gradcheck):
    gradcheck.by_hand(np.abs, np.sign, np.array([0.0, 1.0]))
"""
    result = run(code)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_user.py:5: KinkWarning*", "*kink at input 0 * (0,)*"])
    run(code, "-W", "error").assert_outcomes(failed=1)


BACKENDS = """
import pytest

def test_takes_it(backend):
    assert backend.xp.asarray([1.0]).sum() == 1
    assert backend.xp.__name__ == backend.name
    assert tg.zeros(2).device == tg.get_default_device() == backend.device

@pytest.mark.usefixtures("backend")
def test_uses_it():
    tg.get_default_device()

def test_afterwards():
    assert tg.get_default_device() == "cpu"
"""


def test_every_backend(run):
    result = run(BACKENDS, "-v", "-rs")
    if result.parseoutcomes().get("skipped"):  # no GPU here
        result.assert_outcomes(passed=3, skipped=2)
        result.stdout.fnmatch_lines(["*needs CuPy and a GPU"])
    else:
        result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*test_takes_it[[]numpy[]] PASSED*"])


def test_fixtures_of_the_same_name_are_the_users_own(run):
    code = """
import pytest

@pytest.fixture
def backend():
    return "mine"

def test_mine(backend):
    assert backend == "mine"
"""
    run(code).assert_outcomes(passed=1)


def test_the_example_project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = pytester.runpytest_subprocess(
        EXAMPLE, "-p", "tinygrad_adam_pytest", "-p", "no:cacheprovider"
    )
    outcomes = result.parseoutcomes()
    assert outcomes.pop("passed") + outcomes.pop("skipped", 0) == 10
    assert not outcomes


def test_the_example_notices_mistakes(pytester, monkeypatch):
    """A factor left out of any of the gradients fails a test of the project."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for file in EXAMPLE.glob("*.py"):
        (pytester.path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    layers = pytester.path / "layers.py"
    right = layers.read_text("utf-8")
    for old, new in [
        ("dout.sum(axis=0)", "dout.sum(axis=0) / 2"),
        ("dout * a * (1 - a)", "dout * a"),
        ("dout * (z > 0)", "dout"),
        ("(sigmoid(z) - y) / z.size", "sigmoid(z) - y"),
    ]:
        assert old in right
        layers.write_text(right.replace(old, new), "utf-8")
        result = pytester.runpytest_subprocess(
            "-p", "tinygrad_adam_pytest", "-x", "-k", "not learns"
        )
        result.assert_outcomes(failed=1, passed=result.parseoutcomes().get("passed", 0),
                               skipped=result.parseoutcomes().get("skipped", 0))  # fmt: skip


# --- what it costs ------------------------------------------------------------------------------


def test_the_plugin_is_light():
    """It must import nothing that pytest has not imported; a test pays for what it asks for."""
    code = (
        "import sys, pytest; before = set(sys.modules); import tinygrad_adam_pytest;"
        "print(*sorted(set(sys.modules) - before - {'tinygrad_adam_pytest'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded = done.stdout.split()
    assert not {"numpy", "tinygrad_adam", "cupy"} & {name.partition(".")[0] for name in loaded}
    assert set(loaded) <= set(sys.stdlib_module_names) | {m for m in loaded if "." in m}
    assert len(loaded) <= 12, loaded


def test_an_unrelated_run_imports_neither_numpy_nor_the_package(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        "import sys\ndef test_other():\n"
        "    assert not {'numpy', 'tinygrad_adam'} & set(sys.modules)\n"
        "    assert 'tinygrad_adam_pytest' in sys.modules\n"
    )
    result = pytester.runpytest_subprocess("-p", "tinygrad_adam_pytest")
    result.assert_outcomes(passed=1)
    assert "gradcheck" not in result.stdout.str()


def test_the_project_brings_the_plugin_along():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {
        "tinygrad_adam_pytest": "tinygrad_adam_pytest"
    }
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert "tinygrad_adam_pytest.py" in packed
    ast.parse((ROOT / "tinygrad_adam_pytest.py").read_text("utf-8"))
