"""How tensors show: the text that PyTorch gives wherever the two agree, and where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.autograd.memory import change_time
from tinygrad_adam.errors import DTypeError

NAN, INF = math.nan, math.inf

# What PyTorch prints; the oracle test below asks it.
NUMBERS = [
    ([1.0, 2.0], "tensor([1., 2.])"),
    ([0.0, 0.0], "tensor([0., 0.])"),
    ([-0.0], "tensor([-0.])"),
    ([1.5], "tensor([1.5000])"),
    ([1.23456, -2.0], "tensor([ 1.2346, -2.0000])"),
    (0.5, "tensor(0.5000)"),
    (3.0, "tensor(3.)"),
    (-2.25, "tensor(-2.2500)"),
    # with an exponent where four decimals would not do
    ([1e-10], "tensor([1.0000e-10])"),
    (1e-8, "tensor(1.0000e-08)"),
    ([9e-5], "tensor([9.0000e-05])"),
    ([3e-5, -2.0], "tensor([ 3.0000e-05, -2.0000e+00])"),
    ([1e-5, 1e-3], "tensor([1.0000e-05, 1.0000e-03])"),
    ([0.5, 600.0], "tensor([5.0000e-01, 6.0000e+02])"),
    ([0.5, 400.0], "tensor([  0.5000, 400.0000])"),
    ([0.0, 2e-4, 0.3], "tensor([0.0000e+00, 2.0000e-04, 3.0000e-01])"),
    ([12345.5, 1.0], "tensor([1.2346e+04, 1.0000e+00])"),
    ([1000000.5], "tensor([1000000.5000])"),
    ([1e10, 1.0], "tensor([1.0000e+10, 1.0000e+00])"),
    (123456789.0, "tensor(1.2346e+08)"),
    ([999999.0], "tensor([999999.])"),
    ([0.0, 1e-10], "tensor([0.0000e+00, 1.0000e-10])"),
    # what is no number
    ([NAN], "tensor([nan])"),
    (NAN, "tensor(nan)"),
    ([INF, -1.5], "tensor([    inf, -1.5000])"),
    ([NAN, 0.25, -INF], "tensor([   nan, 0.2500,   -inf])"),
    # axes
    ([], "tensor([])"),
    ([[]], "tensor([], size=(1, 0))"),
    ([[1.0, 2.0], [3.5, -4.0]], "tensor([[ 1.0000,  2.0000],\n        [ 3.5000, -4.0000]])"),
    (
        [[[0.0], [1.0]], [[2.0], [10.0]]],
        "tensor([[[ 0.],\n         [ 1.]],\n\n        [[ 2.],\n         [10.]]])",
    ),
]
TYPED = [
    ([1, 2], "int64", "tensor([1, 2])"),
    ([[1, -20]], "int64", "tensor([[  1, -20]])"),
    (3, "int64", "tensor(3)"),
    (True, "bool", "tensor(True)"),
    ([True, False], "bool", "tensor([ True, False])"),
    ([1, 2], "int32", "tensor([1, 2], dtype=int32)"),
    ([1, 2], "int16", "tensor([1, 2], dtype=int16)"),
    ([1, 2], "int8", "tensor([1, 2], dtype=int8)"),
    ([1, 2], "uint8", "tensor([1, 2], dtype=uint8)"),
    ([1.0, 2.0], "float64", "tensor([1., 2.], dtype=float64)"),
    ([1.0, 2.0], "float16", "tensor([1., 2.], dtype=float16)"),
    (0.5, "float64", "tensor(0.5000, dtype=float64)"),
    ([], "float64", "tensor([], dtype=float64)"),
    ([[]], "float64", "tensor([], size=(1, 0), dtype=float64)"),
]


@pytest.mark.parametrize(("values", "text"), NUMBERS)
def test_numbers(values, text):
    assert repr(tg.tensor(values)) == text


@pytest.mark.parametrize(("values", "dtype", "text"), TYPED)
def test_the_type_is_named_unless_it_goes_without_saying(values, dtype, text):
    assert repr(tg.tensor(values, dtype=dtype)) == text


def test_which_type_goes_without_saying_follows_the_default():
    tg.set_default_dtype("float64")
    assert repr(tg.tensor([1.0])) == "tensor([1.])"
    assert repr(tg.tensor([1.0], dtype="float32")) == "tensor([1.], dtype=float32)"


@pytest.mark.oracle
def test_pytorch_prints_the_same():
    import torch

    table = [*((v, "float32", text) for v, text in NUMBERS), *TYPED]
    for values, dtype, text in table:
        theirs = repr(torch.tensor(values, dtype=getattr(torch, dtype)))
        assert theirs.replace("torch.", "") == text


def test_where_the_text_is_not_pytorchs():
    for values, text in (
        ([1.0, 2000.0], "tensor([   1., 2000.])"),  # with an exponent in PyTorch
        ([1e6], "tensor([1.0000e+06])"),  # in full in PyTorch
        ([NAN, 1.0], "tensor([nan,  1.])"),
        ([True, True], "tensor([ True,  True])"),
    ):
        assert repr(tg.tensor(values)) == text


def test_how_it_came_about():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<mul>)"
    assert repr(x.detach()) == "tensor([1., 2.])"
    assert repr(x.double() + 0.5) == "tensor([1.5000, 2.5000], dtype=float64, grad_fn=<add>)"
    empty = tg.zeros(2, 0, dtype=tg.float64, requires_grad=True)
    assert repr(empty) == "tensor([], size=(2, 0), dtype=float64, requires_grad=True)"


def test_long_ones_are_shortened():
    assert repr(tg.arange(1000.0)) == "tensor([  0.,   1.,   2., ..., 997., 998., 999.])"
    assert repr(tg.arange(1000)) == "tensor([  0,   1,   2, ..., 997, 998, 999])"
    rows = repr(tg.arange(400.0).reshape(20, 20)).splitlines()
    assert rows[0] == "tensor([[  0.,   1.,   2., ...,  17.,  18.,  19.],"
    assert rows[3] == "        ...,"
    assert rows[-1] == "        [380., 381., 382., ..., 397., 398., 399.]])"
    assert len(rows) == 7
    # the width is that of what is shown
    x = tg.zeros(1000)
    x[500] = -123456.0
    assert repr(x) == "tensor([0., 0., 0., ..., 0., 0., 0.])"
    # 200 elements are not many
    assert "..." not in repr(tg.zeros(200))
    assert "..." in repr(tg.zeros(201))


def test_printing_changes_nothing():
    x = tg.tensor(np.array([1.23456789, 2e-5]), requires_grad=True)
    before, version = x.data.copy(), change_time(x.data)
    with np.printoptions(precision=1, threshold=1):
        assert repr(x) == "tensor([1.2346e+00, 2.0000e-05], dtype=float64, requires_grad=True)"
    np.testing.assert_array_equal(x.data, before)
    assert change_time(x.data) == version


def test_a_number_is_formatted_as_one():
    assert f"{tg.tensor(1.23456):.2f}" == "1.23"
    assert f"{tg.tensor([[0.5]]):6.1f}|" == "   0.5|"
    assert f"{tg.tensor(7):04d}" == "0007"
    assert f"{tg.ones(2)}" == str(tg.ones(2)) == repr(tg.ones(2))
    with pytest.raises(DTypeError, match=r"\.2f.*\(2,\)"):
        f"{tg.ones(2):.2f}"
