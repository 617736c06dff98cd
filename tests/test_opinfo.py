"""PyTorch's own samples of its operators (OpInfo): values, types, gradients of both orders, errors.

For every name that PyTorch has samples of and this package has too.  What is left out stands in
the tables below, each with the reason.
"""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tinygrad_adam as tg

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's samples import it")
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # PyTorch's
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # NumPy's
]

# --- which operations, under which name ---------------------------------------------------------

# PyTorch's entry takes its operands in another way than the function of that name.
CALLED = {
    "__getitem__": operator.getitem,
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "where": lambda x, condition, other: x.where(condition, other),
    "zero_": lambda x: x.clone().zero_(),
    "item": lambda x: x.item(),
}
# The values are not PyTorch's: shapes and types are.
FREE = {
    "empty": "not initialized",
    "empty_like": "not initialized",
    "nn.functional.dropout": "random numbers",
    "rand_like": "random numbers",
    "randint": "random numbers",
    "randn": "random numbers",
    "randn_like": "random numbers",
}
# How far from PyTorch's digits, relative to the largest, where its own are not good to the last.
TOLERANCES = {
    ("nn.functional.binary_cross_entropy", 2): 1e-6,  # its second derivative adds 1e-12 inside
}
# PyTorch records them, and has no derivative; here nothing is recorded.
UNRECORDED = {"nextafter"}
# Of more samples than these, float32 takes every sixteenth (max_pool2d has 1440).
MANY = 400
# All their samples are of something that tensors here do not have.
ONLY_ELSEWHERE = {
    "to": "each names an order of memory",
}
DTYPES = {"float64": 1e-12, "float32": 1e-5}


def ours(name):
    """Return what this package has under the name of an entry of PyTorch's, or None."""
    if name in CALLED:
        return CALLED[name]
    *place, last = name.split(".")
    if place == ["nn", "functional"]:
        return getattr(tg.nn.functional, last, None)
    if place:
        return None
    found = getattr(tg, last, None)
    return (
        found if callable(found) and not isinstance(found, type) else getattr(tg.Tensor, last, None)
    )


def title(entry):
    return entry.name + (f".{entry.variant_test_name}" if entry.variant_test_name else "")


ENTRIES = [entry for entry in op_db if ours(entry.name) is not None]


# --- from there to here -------------------------------------------------------------------------


class NotHere(Exception):
    """A sample of something that tensors of this package do not have; says what."""


def here(value):
    if isinstance(value, torch.Tensor):
        if value.dtype.is_complex or value.dtype == torch.bfloat16:
            raise NotHere(str(value.dtype))
        if value.ndim > 64:
            raise NotHere("more axes than NumPy has")
        t = tg.from_numpy(value.detach().numpy())
        return t.requires_grad_() if value.requires_grad else t
    if isinstance(value, torch.dtype):
        if not hasattr(tg, str(value).removeprefix("torch.")):
            raise NotHere(str(value))
        return getattr(tg, str(value).removeprefix("torch."))
    if isinstance(value, torch.memory_format):
        raise NotHere("memory_format")
    if isinstance(value, (list, tuple)):
        return type(value)(map(here, value))
    if isinstance(value, dict):
        if "out" in value:
            raise NotHere("out=")
        return {k: here(v) for k, v in value.items()}
    return str(value) if isinstance(value, torch.device) else value


def flat(value):
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in flat(part)]
    return [value]


def numbers(t):
    return (t.detach() + 0).numpy() if isinstance(t, torch.Tensor) else t.data


def alike(what, found, expected, tol, free=False):
    if not isinstance(expected, torch.Tensor):
        assert free or found == expected, what
        return
    assert found.shape == tuple(expected.shape), what
    assert str(found.dtype) == str(expected.dtype).removeprefix("torch."), what
    if free:
        return
    expected = numbers(expected)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(numbers(found), expected, tol, tol * largest, err_msg=what)


def weights(tensors, seed):
    rng = np.random.RandomState(seed)
    return [rng.uniform(-1, 1, tuple(t.shape)).astype(str(t.dtype).removeprefix("torch."))
            for t in tensors]  # fmt: skip


def derivatives(library, outputs, inputs, second):
    """Return the gradients, and those of the gradients in the inputs and in the weights."""
    make = torch.tensor if library is torch else tg.tensor
    outputs = [y for y in outputs if hasattr(y, "requires_grad") and y.requires_grad]
    w = [make(a, requires_grad=True) for a in weights(outputs, 0)]
    first = library.autograd.grad(outputs, inputs, w, create_graph=second, allow_unused=True)
    if not second:
        return first, ()
    onward = [g for g in first if g is not None and g.requires_grad]
    us = [make(a) for a in weights(onward, 1)]
    again = library.autograd.grad(onward, [*inputs, *w], us, allow_unused=True) if onward else ()
    zeros = [library.zeros_like(x) for x in (*inputs, *w)]
    return first, [z if g is None else g for g, z in zip(again, zeros, strict=False)]


def compare(entry, sample, tol):
    """Raise unless a sample gives here what it gives in PyTorch."""
    mine = [here(v) for v in (sample.input, sample.args, sample.kwargs)]
    expected = flat(entry(sample.input, *sample.args, **sample.kwargs))
    found = flat(ours(entry.name)(mine[0], *mine[1], **mine[2]))
    free = entry.name in FREE
    for i, (y, e) in enumerate(zip(found, expected, strict=True)):
        alike(f"value {i}", y, e, tol, free)
        recorded = getattr(e, "requires_grad", False) and entry.name not in UNRECORDED
        assert getattr(y, "requires_grad", False) == recorded, i
    if free or not any(getattr(y, "requires_grad", False) for y in found):
        return
    theirs = [t for t in flat([sample.input, *sample.args, *sample.kwargs.values()])
              if isinstance(t, torch.Tensor) and t.requires_grad]  # fmt: skip
    own = [t for t in flat([mine[0], *mine[1], *mine[2].values()])
           if isinstance(t, tg.Tensor) and t.requires_grad]  # fmt: skip
    second = entry.supports_gradgrad
    pairs = zip(
        derivatives(tg, found, own, second),
        derivatives(torch, expected, theirs, second),
        strict=True,
    )
    for order, (gs, es) in enumerate(pairs, 1):
        if order == 2 and not es:  # no graph in PyTorch: a derivative that is 0
            es = [torch.zeros(g.shape, dtype=getattr(torch, str(g.dtype))) for g in gs]
        assert [g is None for g in gs] == [e is None for e in es], f"which gradients, order {order}"
        limit = TOLERANCES.get((entry.name, order), 10**order * tol)
        for i, (g, e) in enumerate(zip(gs, es, strict=True)):
            if g is not None:
                alike(f"gradient {i} of order {order}", g, e, limit)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entry", ENTRIES, ids=title)
def test_samples(entry, dtype):
    kind = getattr(torch, dtype)
    if not entry.supports_dtype(kind, "cpu"):
        pytest.skip("PyTorch has no samples of this type")
    compared, wrong = 0, []
    for i, sample in enumerate(entry.sample_inputs("cpu", kind, entry.supports_autograd)):
        if i >= MANY and dtype == "float32" and i % 16:
            continue
        try:
            compare(entry, sample, DTYPES[dtype])
            compared += 1
        except NotHere:
            pass
        except Exception as error:
            wrong.append(f"sample {i}, {sample.summary()}: {type(error).__name__}: {error}")
    assert not wrong, f"{len(wrong)} of {compared + len(wrong)} differ: " + "\n".join(wrong[:5])
    assert compared or title(entry) in ONLY_ELSEWHERE


def test_nothing_else_is_left_out():
    """The tables name entries that exist, and what `here` refuses is what it says."""
    names = {e.name for e in ENTRIES}
    assert set(CALLED) | set(FREE) | UNRECORDED | {n for n, _ in TOLERANCES} <= names
    assert len(ENTRIES) > 120
    kept = {torch.float64, torch.float32, torch.int64, torch.bool}
    for dtype in kept | {torch.complex64, torch.bfloat16}:
        try:
            here(torch.zeros(1, dtype=dtype))
        except NotHere:
            assert dtype not in kept
        else:
            assert dtype in kept


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.error_inputs_func], ids=title)
def test_errors(entry):
    wrong = []
    for i, bad in enumerate(entry.error_inputs("cpu")):
        sample = bad.sample_input
        if not bad.error_regex and any(isinstance(v, int) for v in (sample.input, *sample.args)):
            continue  # a number where PyTorch wants a tensor: it is welcome here
        try:
            mine = [here(v) for v in (sample.input, sample.args, sample.kwargs)]
        except NotHere:
            continue
        try:
            ours(entry.name)(mine[0], *mine[1], **mine[2])
        except tg.errors.TinygradError:
            continue
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        else:
            got = "no error"
        wrong.append(f"{i}, {sample.summary()}, {bad.error_regex!r}: {got}")
    assert not wrong, "\n".join(wrong)
