"""PyTorch's answers for the table of operations: asked live, or read from a file.

`benchmarks/make_op_goldens.py` writes what `asked` returns for every case into the file, so that
`test_ops_goldens.py` compares with PyTorch where there is none.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from backwards import close, value_and_gradients, weights

import tinygrad_adam as tg

GOLDENS = Path(__file__).parent / "goldens" / "ops_torch.json.gz"


def on_torch(function, arrays, wanted, w=None):
    """Do in PyTorch what `backwards.value_and_gradients` does here; unused inputs get zeros."""
    import torch

    tensors = [torch.tensor(a) for a in arrays]
    for i in wanted:
        tensors[i].requires_grad_()
    y = function(*tensors)
    if not wanted:
        return y.numpy(), []
    w = weights(tuple(y.shape), y.detach().numpy().dtype) if w is None else w
    y.backward(torch.tensor(w))
    return y.detach().numpy(), [
        np.zeros(tensors[i].shape) if tensors[i].grad is None else tensors[i].grad.numpy()
        for i in wanted
    ]


def here(case):
    """Return the value of a case and its gradients."""
    if not case.wanted:
        return case(*map(tg.from_numpy, case.arrays())).data, []
    return value_and_gradients(case, case.arrays(), case.wanted)


def asked(case):
    """Return PyTorch's value for a case and its gradients."""
    import torch

    return on_torch(case.on_torch(torch), case.arrays(), case.wanted)


def stored():
    """Return what the file holds: per name of a case, the value and the gradients."""
    with gzip.open(GOLDENS, "rt") as file:
        cases = json.load(file)["cases"]
    return {
        name: (unpacked(value), [unpacked(g) for g in gradients])
        for name, (value, *gradients) in cases.items()
    }


def packed(array):
    """Return an array as what JSON can hold, exactly."""
    return {"dtype": str(array.dtype), "shape": array.shape, "data": array.ravel().tolist()}


def unpacked(found):
    return np.array(found["data"], found["dtype"]).reshape(found["shape"])


def agree(case, found, expected):
    """Raise unless value and gradients are those expected, to the last digits but three or so."""
    (value, gradients), (expected_value, expected_gradients) = found, expected
    assert value.dtype == expected_value.dtype
    tol = case.tol or (1e-6 if value.dtype == np.float32 else 1e-12)
    for what, a, b in [
        ("value", value, expected_value),
        *(
            (f"gradient of input {i}", g, e)
            for i, g, e in zip(case.wanted, gradients, expected_gradients, strict=True)
        ),
    ]:
        assert a.shape == b.shape, what
        if a.dtype.kind == "f":
            close(a, b, what, rtol=tol, atol=tol)
        else:
            np.testing.assert_array_equal(a, b, what)
