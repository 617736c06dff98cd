"""Write tests/goldens/ops_torch.json.gz: PyTorch's answers for every case of tests/opcases.py.

    python benchmarks/make_op_goldens.py

Run it, with PyTorch installed (``pip install -e ".[oracle]"``), after adding or changing a case.
Each case has its value and the gradients that `tests/test_ops_goldens.py` compares, in float64; the
inputs are drawn from ``numpy.random.RandomState``, whose stream NumPy keeps frozen.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import oracle
from opcases import CASES, VALUES


def main() -> None:
    cases = {}
    for case in CASES + VALUES:
        if case.torch is not None:
            value, gradients = oracle.asked(case)
            cases[case.name] = [oracle.packed(np.asarray(a)) for a in (value, *gradients)]
    document = {"torch": torch.__version__, "cases": cases}
    text = json.dumps(document, separators=(",", ":"))
    # without a time of writing, so that the same answers are the same file
    oracle.GOLDENS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{oracle.GOLDENS}: {len(cases)} cases")


if __name__ == "__main__":
    main()
