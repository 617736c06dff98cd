"""What all tests share: repeatable property tests, skipped markers, and defaults put back."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import settings

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS
from tinygrad_adam.autograd.registry import LOOKED_UP
from tinygrad_adam.cuda import is_available as cuda_is_available
from tinygrad_adam.random import default_generator

pytest.register_assert_rewrite("backwards", "devicecases", "opcases", "oracle")

# for a type checker to read, not to be run
collect_ignore = ["typing_public.py", "typing_refused.py"]

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not cuda_is_available():
        pytest.skip("needs a GPU and CuPy")
    if item.get_closest_marker("oracle") and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")


@pytest.fixture(autouse=True)
def _defaults():
    """Start every test with the same random stream, and put back what it may leave changed."""
    dtype, device, recording = tg.get_default_dtype(), tg.get_default_device(), tg.is_grad_enabled()
    draws = default_generator().get_state()
    tg.manual_seed(0)
    yield
    tg.set_default_dtype(dtype)
    tg.set_default_device(device)
    tg.set_grad_enabled(recording)
    default_generator().set_state(draws)


@pytest.fixture
def registry():
    """Forget the operations that a test adds to the registry."""
    before = set(OPS)
    yield
    for name in set(OPS) - before:
        del OPS[name]
        for found in LOOKED_UP:
            found.pop(name, None)
