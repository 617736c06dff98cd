"""PyTorch's values and gradients for every case of the table, stored: no PyTorch is needed."""

from __future__ import annotations

import oracle
import pytest
from opcases import CASES, VALUES

TABLE = [case for case in CASES + VALUES if case.torch is not None]
STORED = oracle.stored()


@pytest.mark.parametrize("case", [case for case in TABLE if case.name in STORED], ids=str)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_case(case):
    oracle.agree(case, oracle.here(case), STORED[case.name])


def test_what_is_stored_are_cases():
    left_over = sorted(set(STORED) - {case.name for case in TABLE})
    assert not left_over, f"{left_over} are no cases; run python benchmarks/make_op_goldens.py"
    assert len(STORED) > 500


@pytest.mark.oracle  # who has no PyTorch can add an operation, but not store its answers
def test_every_case_is_stored():
    missing = sorted({case.name for case in TABLE} - set(STORED))
    assert not missing, (
        f"{missing} not stored; run python benchmarks/make_op_goldens.py, "
        "or give the case torch=None if PyTorch has no such operation"
    )
