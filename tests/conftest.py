"""What all tests share: repeatable property tests, skipped markers, and defaults put back."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import settings

import tinygrad_adam as tg
import tinygrad_adam.nn
from tinygrad_adam.autograd import OPS
from tinygrad_adam.device import cuda_is_available, default_generator

pytest.register_assert_rewrite("devicecases", "gradients", "opcases", "oracle")

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not cuda_is_available():
        pytest.skip("needs a GPU and CuPy")
    if item.get_closest_marker("oracle") and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")


@pytest.fixture(autouse=True)
def _defaults():
    """Put back the default element type, device and random stream, whatever a test did to them."""
    dtype, device, draws = tg.get_default_dtype(), tg.get_default_device(), default_generator()
    state = draws.get_state()
    yield
    tg.set_default_dtype(dtype)
    tg.set_default_device(device)
    draws.set_state(state)


@pytest.fixture
def registry():
    """Forget the operations that a test adds to the registry."""
    before = set(OPS)
    yield
    for name in set(OPS) - before:
        del OPS[name]
