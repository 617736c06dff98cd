"""The pytest plugin of tinygrad_adam: fixtures for checking gradients, and for every backend.

pytest imports this file at its start, whatever it is to test.  So it is no part of the package, and
imports that, and NumPy with it, only in a test that asks for a fixture.  See
docs/checking-gradients.md.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

__all__ = ["Backend", "Checks"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gradcheck-seed``."""
    parser.getgroup("gradcheck", "checking gradients (tinygrad_adam)").addoption(
        "--gradcheck-seed",
        type=_seed,
        metavar="N",
        help="seed of the fixture gradcheck: a number (default 0), or 'random' to draw one",
    )


def _seed(text: str) -> int:
    return random.SystemRandom().randrange(10**6) if text == "random" else int(text)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Show the seed where one was asked for; an unrelated run stays as it is."""
    seed = config.getoption("gradcheck_seed")
    return None if seed is None else f"gradcheck seed: {seed}"


class Checks:
    """What the fixture `gradcheck` gives: the checks of tinygrad_adam, with the seed of the run."""

    def __init__(self, seed: int, test: str) -> None:
        self.seed, self._test = seed, test

    def __call__(self, func: Callable[..., Any], inputs: Any = (), **settings: Any) -> bool:
        """Check the gradients of a function of Tensors; see `tinygrad_adam.autograd.gradcheck`."""
        __tracebackhide__ = True
        return self._run("gradcheck", func, inputs, **settings)

    def second_order(
        self,
        func: Callable[..., Any],
        inputs: Any = (),
        grad_outputs: Any = None,
        **settings: Any,
    ) -> bool:
        """Check gradients of gradients; see `tinygrad_adam.autograd.gradgradcheck`."""
        __tracebackhide__ = True
        return self._run("gradgradcheck", func, inputs, grad_outputs, **settings)

    def by_hand(
        self, f: Callable[..., Any], grad_f: Callable[..., Any], x: Any, **settings: Any
    ) -> bool:
        """Check a gradient of arrays; see `tinygrad_adam.autograd.check_gradient`."""
        __tracebackhide__ = True
        return self._run("check_gradient", f, grad_f, x, **settings)

    def _run(self, check: str, *args: Any, **settings: Any) -> bool:
        __tracebackhide__ = True
        from tinygrad_adam import autograd
        from tinygrad_adam.errors import GradcheckError

        settings.setdefault("seed", self.seed)
        try:
            return bool(getattr(autograd, check)(*args, **settings))
        except GradcheckError as error:
            failed = error
        command = f"pytest {shlex.quote(self._test)} --gradcheck-seed={settings['seed']}"
        failed.add_note(f"run it again: {command}")
        raise failed.with_traceback(None)  # to show the line of the test, and none of ours


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Checks:
    """Check gradients with the seed of the run: of Tensors, of second order, or by hand."""
    return Checks(request.config.getoption("gradcheck_seed") or 0, request.node.nodeid)


class Backend(NamedTuple):
    """Where a test runs.

    Attributes
    ----------
    name : str
        ``"numpy"`` or ``"cupy"``.
    xp : module
        That library.
    device : str
        What tinygrad_adam calls the place: ``"cpu"`` or ``"cuda"``.
    """

    name: str
    xp: Any
    device: str


@pytest.fixture(params=["numpy", "cupy"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Run the test once on NumPy, and once on CuPy where there is a GPU; tensors are made there."""
    import tinygrad_adam as tg

    name = request.param
    if name == "cupy" and not tg.cuda.is_available():
        pytest.skip("needs CuPy and a GPU")
    xp = pytest.importorskip(name)
    before = tg.get_default_device()
    chosen = Backend(name, xp, "cuda" if name == "cupy" else "cpu")
    tg.set_default_device(chosen.device)
    try:
        yield chosen
    finally:
        tg.set_default_device(before)
