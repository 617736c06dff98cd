"""The package as a whole: what importing it loads, and which names it has."""

import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_adam as tg


def run(code: str) -> str:
    """Return what a fresh interpreter prints, which has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_numpy_and_no_other_library():
    code = (
        "import sys, numpy; before = set(sys.modules); import tinygrad_adam;"
        "roots = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(*(roots - set(sys.stdlib_module_names)))"
    )
    assert run(code) == "tinygrad_adam"


def test_what_looks_inside_is_read_at_its_first_use():
    code = (
        "import sys, tinygrad_adam as tg; tg.autograd;"
        "rooms = lambda: [n for n in sys.modules if n.startswith('tinygrad_adam.autograd.')];"
        "before = rooms(); tg.autograd.detect_anomaly; tg.autograd.Graph; tg.explain;"
        "print(*sorted(name.rpartition('.')[2] for name in set(rooms()) - set(before)))"
    )
    assert run(code) == "anomaly chain observe picture"


def test_data_figures_and_training_are_read_at_their_first_use():
    code = (
        "import sys, tinygrad_adam as tg; later = ['data', 'func', 'plot', 'train'];"
        "print(*(n for n in later if f'tinygrad_adam.{n}' in sys.modules), tg.plot.__name__)"
    )
    assert run(code) == "tinygrad_adam.plot"


@pytest.mark.parametrize(
    "first",
    [
        "import tinygrad_adam.tensor",
        "import tinygrad_adam.device",
        "import tinygrad_adam.nn",
        "from tinygrad_adam.tensor import Tensor",
        "from tinygrad_adam.device import Device",
        "from tinygrad_adam import cuda",
        "from tinygrad_adam import *",
    ],
)
def test_files_do_not_hide_the_function_and_the_class_of_their_name(first):
    code = (
        f"{first}\nimport tinygrad_adam as tg\n"
        "print(tg.tensor([1.0]).tolist(), tg.device('cpu').type, tg.cuda.is_available.__name__)"
    )
    assert run(code) == "[1.0] cpu is_available"


def test_every_name_is_there_and_listed():
    names = {}
    exec("from tinygrad_adam import *", names)
    assert set(tg.__all__) <= set(names)
    assert set(tg.__all__) <= set(dir(tg))
    for name in tg.__all__:
        value = getattr(tg, name)
        assert inspect.ismodule(value) == (name in ["autograd", "cuda", "errors", "nn", "optim"])


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'tinygrad_adam' has no attribute 'tensr'"):
        _ = tg.tensr
    with pytest.raises(ImportError, match="tensr"):
        exec("from tinygrad_adam import tensr")


def test_names_can_be_replaced_and_put_back(monkeypatch):
    original = tg.tensor
    with monkeypatch.context() as patch:
        patch.setattr(tg, "tensor", len)
        assert tg.tensor is len
    assert tg.tensor is original


def test_the_typed_program_runs():
    # its types are checked by mypy: see `files` in pyproject.toml
    runpy.run_path(str(Path(__file__).parent / "typing_program.py"), run_name="__main__")
