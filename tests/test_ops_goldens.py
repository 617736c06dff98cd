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


def test_what_is_stored_are_the_cases():
    names = {case.name for case in TABLE}
    missing, left_over = sorted(names - set(STORED)), sorted(set(STORED) - names)
    assert not missing, (
        f"{missing} not stored; run python benchmarks/make_op_goldens.py, which needs PyTorch, "
        "or give the case torch=None if PyTorch has no such operation"
    )
    assert not left_over, f"{left_over} are no cases; run python benchmarks/make_op_goldens.py"
