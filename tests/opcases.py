"""The table of operations: what each is called with, for every test that goes over all of them.

One case is one line: a name, a function of a library `L` and tensors, and the inputs.  `L` is
tinygrad_adam or torch, for the names are the same.  The part of the name before ``:`` is the
operation; `test_ops_registry.py` asks for a case of each operation that has a derivative, and
`test_ops_goldens.py` for PyTorch's answer to each case, stored by `benchmarks/make_op_goldens.py`::

    case("exp", call("exp"), R(2, 3))

Inputs lie away from kinks and ties; what happens on them is in `test_ops_fixed.py`.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam.autograd import OPS, apply
from tinygrad_adam.device import CPU
from tinygrad_adam.ops.conv import Geometry
from tinygrad_adam.ops.pool import Share
from tinygrad_adam.ops.window import Window

S = np.s_
SAME = "same"


@dataclass(frozen=True)
class R:
    """A floating input: distinct numbers evenly spread from `low` to `high`, none close to 0."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0

    def __init__(self, *shape: int, low: float = -2.0, high: float = 2.0) -> None:
        for name, value in (("shape", shape), ("low", low), ("high", high)):
            object.__setattr__(self, name, value)

    def array(self, rng: np.random.RandomState) -> np.ndarray:
        n = int(np.prod(self.shape))
        cells = (rng.permutation(n) + rng.uniform(0.25, 0.75, n)) / max(n, 1)
        values = self.low + (self.high - self.low) * cells
        if self.low < 0 < self.high:
            values += np.where(np.abs(values) < 0.05, np.copysign(0.05, values), 0.0)
        return values.reshape(self.shape)


def positive(*shape: int) -> R:
    return R(*shape, low=0.5, high=2.5)


def probability(*shape: int) -> R:
    return R(*shape, low=0.1, high=0.9)


def above_one(*shape: int) -> R:
    return R(*shape, low=1.5, high=2.5)


@dataclass(frozen=True)
class Fixed:
    """An input without a gradient: labels, indices, conditions."""

    values: Any

    def array(self, rng: np.random.RandomState) -> np.ndarray:
        return np.array(self.values)


@dataclass(frozen=True)
class Case:
    """One use of an operation.

    `torch` is the same function under PyTorch, another one, or None; `tol` replaces the tolerance
    of comparing with it; `casts` is the type of a result that does not keep its inputs'.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    torch: Any = SAME
    tol: float | None = None
    casts: Any = None

    @property
    def op(self) -> str:
        return self.name.partition(":")[0]

    def __str__(self) -> str:
        return self.name

    def __call__(self, *tensors: Any) -> Any:
        return self.function(tg, *tensors)

    def arrays(self, dtype: Any = np.float64) -> list[np.ndarray]:
        """Return the inputs, the same each time; the floating ones as `dtype`."""
        # NumPy keeps this stream frozen, which what is stored of PyTorch's answers relies on
        rng = np.random.RandomState(zlib.crc32(self.name.encode()))
        drawn = [i.array(rng) for i in self.inputs]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]

    @property
    def wanted(self) -> list[int]:
        """The positions of the inputs that have a gradient."""
        return [i for i, source in enumerate(self.inputs) if isinstance(source, R)]

    def tensors(self) -> list[Any]:
        """Return the inputs as tensors in float64; those with a gradient require it."""
        return [tg.tensor(a, requires_grad=i in self.wanted) for i, a in enumerate(self.arrays())]

    def on_torch(self, torch: Any) -> Callable[..., Any] | None:
        if self.torch is None:
            return None
        function = self.function if self.torch is SAME else self.torch
        return lambda *tensors: function(torch, *tensors)


CASES: list[Case] = []


def case(name: str, function: Callable[..., Any], *inputs: Any, **options: Any) -> None:
    CASES.append(Case(name, function, inputs, **options))


def call(name: str, **settings: Any) -> Callable[..., Any]:
    """Return a function of `L` and tensors that calls ``L.name`` or ``L.nn.functional.name``."""

    def function(L: Any, *tensors: Any) -> Any:
        found = getattr(L, name, None) or getattr(L.nn.functional, name)
        return found(*tensors, **settings)

    return function


def functional(name: str, **settings: Any) -> Callable[..., Any]:
    """As `call`, for what PyTorch has under both names with different arguments."""
    return lambda L, *tensors: getattr(L.nn.functional, name)(*tensors, **settings)


def part(field: str, name: str, **settings: Any) -> Callable[..., Any]:
    """As `call`, for one field of a named tuple."""
    whole = call(name, **settings)
    return lambda L, *tensors: getattr(whole(L, *tensors), field)


def raw(name: str, **settings: Any) -> Callable[..., Any]:
    """Return a function that runs an operation which only derivatives use."""
    return lambda L, *tensors: apply(OPS[name], tensors, settings)


def block(padding: tuple[int, int]) -> Callable[..., Any]:
    """Return a convolution with pooling and relu, as `nn.Sequential` runs them at once."""
    geo = Geometry((1, 1), padding, (1, 1), 1)
    return lambda L, *tensors: apply(OPS["conv_pool_relu"], tensors, {"geo": geo, "memo": []})


def index_of(L: Any, index: Any) -> Any:
    """Return `index` with its arrays as tensors of `L`."""
    if isinstance(index, tuple):
        return tuple(index_of(L, i) for i in index)
    return L.tensor(index) if isinstance(index, np.ndarray) else index


# --- one tensor, element by element -------------------------------------------------------------

UNARY = {
    "neg": R, "abs": R, "exp": R, "log": positive, "log1p": positive, "sqrt": positive,
    "rsqrt": positive, "sin": R, "cos": R, "tanh": R, "sigmoid": R, "relu": R, "clone": R,
    "tan": probability, "asin": probability, "acos": probability, "atan": R, "sinh": R, "cosh": R,
    "asinh": R, "acosh": above_one, "atanh": probability, "expm1": R, "log2": positive,
    "log10": positive, "reciprocal": positive, "square": R,
}  # fmt: skip
for name, domain in UNARY.items():
    case(name, call(name), domain(2, 3))
    case(f"{name}:0d", call(name), domain())
    case(f"{name}:empty", call(name), domain(0, 3))

for name in ("floor", "ceil", "trunc", "round"):
    case(f"{name}:slope", lambda L, x, name=name: getattr(L, name)(x) + x, R(2, 3))
case("floor_divide:slope", lambda L, x, y: L.floor_divide(x, y) + x * y, R(2, 3),
     positive(3), torch=lambda L, x, y: (x / y).floor() + x * y)  # fmt: skip
case("remainder", call("remainder"), positive(2, 3), R(3, low=0.3, high=0.45))
case("remainder:negative", call("remainder"), R(3), R(2, 3, low=-3.5, high=-3.1))
case("sign:slope", lambda L, x: L.sign(x) + x, R(2, 3))
case("relu_slope", raw("relu_slope"), R(2, 3), R(2, 3), torch=None)
case("log_sigmoid", raw("log_sigmoid"), R(2, 3),
     torch=lambda L, x: L.nn.functional.logsigmoid(x))  # fmt: skip
case("add:alpha", call("add", alpha=0.5), R(2, 3), R(3))
case("add:alpha-number", lambda L, x: L.add(x, 3, alpha=2), R(2, 3))
for mode in ("trunc", "floor"):
    settings = {"rounding_mode": mode}
    case(f"div_{mode}", lambda L, x, y, s=settings: L.div(x, y, **s) + x, R(2, 3), positive(3))
case("sub:alpha", lambda L, x, y: x.sub(y, alpha=-2), R(3), R(2, 3))
case("cast", lambda L, x: x.to(L.float32), R(2, 3), tol=1e-5, casts=np.float32)
case("cast:methods", lambda L, x: x.float().double(), R(3), tol=1e-5, casts=np.float64)
case("to_device", raw("to_device", source=CPU, target=CPU), R(3), torch=None)
case("dropout", lambda L, x: L.nn.functional.dropout(x, 0.4, generator=L.Generator(3)),
     R(3, 4), torch=None)  # fmt: skip
case("dropout:eval", functional("dropout", training=False), R(3))
case("dropout:all", functional("dropout", p=1.0), R(3))

# --- two tensors, element by element ------------------------------------------------------------

BINARY = {
    "add": (R, R), "sub": (R, R), "mul": (R, R), "div": (R, positive), "pow": (positive, R),
    "maximum": (R, R), "minimum": (R, R), "atan2": (positive, R), "hypot": (positive, R),
    "logaddexp": (R, R), "copysign": (positive, R),
}  # fmt: skip
BROADCASTS = [
    ((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((1, 3), (2, 1, 1)),
    ((), (2, 2)), ((2, 2), ()), ((), ()), ((0, 3), (3,)), ((1,), (0,)), ((0, 1), (1, 3)),
]  # fmt: skip
for name, (left, right) in BINARY.items():
    for a, b in BROADCASTS:
        case(f"{name}:{a},{b}".replace(" ", ""), call(name), left(*a), right(*b))
    case(f"{name}:itself", lambda L, x, name=name: getattr(L, name)(x, x), positive(2, 2))

NUMBERS = {
    "add": lambda L, x: (x + 2) + (0.5 + x),
    "sub": lambda L, x: (x - 2) * (0.5 - x),
    "mul": lambda L, x: (x * 2) + (0.5 * x),
    "div": lambda L, x: x / 4 + 3 / x,
    "pow": lambda L, x: x**3 + 2.0**x + x**0.5 + x**-1 + x**2 + x**1 + x**0 + 1**x,
    "maximum": lambda L, x: tg_or_tensor(L, "maximum", x, 1.0),
    "minimum": lambda L, x: tg_or_tensor(L, "minimum", x, 1.0),
}


def tg_or_tensor(L: Any, name: str, x: Any, number: float) -> Any:
    """PyTorch wants a tensor where ours takes a number too."""
    return getattr(L, name)(x, number if L is tg else L.tensor(number))


for name, function in NUMBERS.items():
    case(f"{name}:numbers", function, positive(2, 3))
case("pow:base", lambda L, x: x**2 + x**3 + x**0 + x**-2, R(2, 3))

CONDITION = Fixed([[True, False, True], [False, False, True]])
case("where", call("where"), CONDITION, R(2, 3), R(2, 3))
case("where:rows", call("where"), CONDITION, R(3), R(2, 1))
case("where:wide", call("where"), Fixed([True, False]), R(3, 1), R())
case("where:number", lambda L, c, x: L.where(c, x, 0.0) + L.where(c, 1.0, x), CONDITION, R(2, 3))
case("where:itself", lambda L, c, x: L.where(c, x, x), CONDITION, R(2, 3))
case("clamp", call("clamp", min=-1.0, max=1.0), R(2, 3))
case("clamp:min", call("clamp", min=0.3), R(2, 3))
case("clamp:max", call("clamp", max=0), R(2, 3))
case("clamp:bounds", call("clamp"), R(4), R(4, low=-1.5, high=-0.2), R(4, low=0.1, high=1.5))
case("clamp:rows", call("clamp"), R(2, 3), R(3, low=-1.5, high=-0.2), R(2, 1, low=0.2, high=1))
case("clamp:spread", call("clamp"), R(3), R(2, 1, low=-1.5, high=-0.2), R(2, 3, low=0.2, high=1))
case("clamp:crossed", call("clamp"), R(5), R(5), R(5))
case("clamp:lo", lambda L, x, lo: L.clamp(x, min=lo), R(5), R(5))
case("clamp:hi", lambda L, x, hi: L.clamp(x, max=hi), R(5), R(5))
case("clamp:empty", call("clamp", min=0.0), R(0))

# --- tensors without axes, and without elements --------------------------------------------------

for name, function in {
    "sign": lambda L, x: L.sign(x) + x,
    "div_floor": lambda L, x: L.div(x, x * x + 1, rounding_mode="floor") + x,
    "div_trunc": lambda L, x: L.div(x * 9, x * x + 1, rounding_mode="trunc") + x,
    "clamp": call("clamp", min=-1.0, max=1.0),
    "where": lambda L, x: L.where(x > 0, x, x * 2), "flip": lambda L, x: L.flip(x, dims=()),
    **{n: (lambda L, x, n=n: getattr(L, n)(x) + x) for n in ("floor", "ceil", "trunc", "round")},
    "remainder": lambda L, x: L.remainder(x * 7, x * x + 1) + x,
}.items():  # fmt: skip
    for what, shape in (("no-axes", ()), ("no-elements", (0, 3))):
        case(f"{name}:{what}", function, R(*shape))
for what, shape in (("no-axes", ()), ("no-elements", (0, 3))):
    case(f"log_sigmoid:{what}", raw("log_sigmoid"), R(*shape),
         torch=lambda L, x: L.nn.functional.logsigmoid(x))  # fmt: skip
    case(f"cast:{what}", lambda L, x: x.float(), R(*shape), tol=1e-5, casts=np.float32)
for what, a, b in (("spread", (3,), (2, 3)), ("no-axes", (), ()), ("no-elements", (0, 1), (3,))):
    case(f"floor_divide:{what}", lambda L, x, y: L.floor_divide(x * 3, y) + x, R(*a), positive(*b),
         torch=lambda L, x, y: L.div(x * 3, y, rounding_mode="floor") + x)  # fmt: skip
case("remainder:spread", lambda L, x, y: L.remainder(x * 3, y) + x, R(3), positive(2, 3))
for mode in ("trunc", "floor"):
    case(f"div_{mode}:spread", lambda L, x, y, m=mode: L.div(x, y, rounding_mode=m) + x,
         R(3), positive(2, 3))  # fmt: skip
case("reshape:no-axes", lambda L, x: L.reshape(x, (1, 1)), R())
case("broadcast_to:no-elements", lambda L, x: L.broadcast_to(x, (2, 0)), R(1, 0))
case("mT:no-elements", lambda L, x: x.mT, R(0, 3))
case("contiguous:no-elements", lambda L, x: x.mT.contiguous() * 2, R(0, 3))
case("getitem:no-elements", lambda L, x: x[:, 1:], R(0, 3))
case("gather:no-elements", lambda L, x: L.gather(x, 0, L.tensor(np.zeros((0, 3), int))), R(0, 3))
for name in ("var", "std"):
    case(f"{name}:no-axes", call(name, correction=0), R())
for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
    case(f"{name}:no-axes", functional(name), probability(), probability())
case("amin:empty-other", call("amin", dim=1), R(0, 3))

# --- matrix products ----------------------------------------------------------------------------

PRODUCTS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)), ((2, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 1)), ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)), ((1, 2, 3), (2, 3, 1)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((0,), (0,)),
]  # fmt: skip
for a, b in PRODUCTS:
    case(f"matmul:{a},{b}".replace(" ", ""), call("matmul"), R(*a), R(*b))
case("matmul:operator", lambda L, a, b: a @ b @ a, R(2, 3), R(3, 2))
case("matmul:itself", lambda L, x: x @ x, R(3, 3))
case("matmul:dot-itself", lambda L, x: x @ x, R(3))
case("matmul:transposed-itself", lambda L, x: x @ x.mT, R(2, 3))
for shape in ((2, 3), (3,), (2, 2, 3), (0, 3)):
    case(f"linear:{shape}".replace(" ", ""), functional("linear"), R(*shape), R(2, 3), R(2))
case("linear:no-bias", functional("linear"), R(4, 3), R(2, 3))
case("linear:itself", lambda L, x: L.nn.functional.linear(x, x), R(3, 3))

# --- reductions ---------------------------------------------------------------------------------

DIMS = {"": {}, ":0": {"dim": 0}, ":-1": {"dim": -1, "keepdim": True}, ":02": {"dim": (0, -1)}}
for name in ("sum", "mean", "var", "std", "amax", "amin", "logsumexp"):
    for suffix, settings in DIMS.items():
        if name != "logsumexp" or settings:
            case(f"{name}{suffix}", call(name, **settings), R(2, 3, 2))
for name in ("sum", "mean", "amax", "amin"):
    case(f"{name}:0d", call(name), R())
    case(f"{name}:0d-dim", call(name, dim=-1, keepdim=True), R())
for name in ("sum", "logsumexp"):
    case(f"{name}:empty", call(name, dim=0), R(0, 3))
    case(f"{name}:empty-other", call(name, dim=1, keepdim=True), R(0, 3))
for name in ("mean", "amax", "var", "std"):
    case(f"{name}:empty-other", call(name, dim=1), R(0, 3))
case("sum:typed", lambda L, x: L.sum(x, dim=0, dtype=L.float32), R(2, 2), tol=1e-5,
     casts=np.float32)  # fmt: skip
case("logsumexp:0d", call("logsumexp", dim=0), R())
case("var:correction", call("var", correction=0, dim=1), R(2, 3))
case("std:correction", call("std", correction=2, dim=(0, 1), keepdim=True), R(2, 3))
for name in ("max", "min"):
    case(f"{name}", call(name), R(2, 3))
    case(f"{name}:dim", part("values", name, dim=1), R(2, 3, 2))
    case(f"{name}:keepdim", part("values", name, dim=-2, keepdim=True), R(2, 3))
    case(f"{name}:0d", part("values", name, dim=0), R())
    case(f"{name}:two", call(name), R(2, 3), R(3))
for name in ("softmax", "log_softmax", "cumsum"):
    for dim in (0, 1, -1):
        case(f"{name}:{dim}", call(name, dim=dim), R(2, 3, 2))
    case(f"{name}:0d", call(name, dim=0), R())
    case(f"{name}:empty", call(name, dim=1), R(0, 3))
    case(f"{name}:empty-dim", call(name, dim=1), R(2, 0))

# --- shapes -------------------------------------------------------------------------------------

case("reshape", lambda L, x: L.reshape(x, (3, -1)), R(2, 3, 2))
case("reshape:method", lambda L, x: x.reshape(4, 3), R(2, 3, 2))
case("reshape:0d", lambda L, x: x.reshape(()), R(1, 1))
case("reshape:empty", lambda L, x: x.reshape(0, 5), R(2, 0))
case("reshape:transposed", lambda L, x: x.transpose(0, 1).reshape(6), R(2, 3))
case("view", lambda L, x: x.view(3, 2), R(2, 3))
case("view_as", lambda L, x, y: x.view_as(y) * y, R(2, 3), R(3, 2))
case("flatten", call("flatten"), R(2, 3))
case("flatten:1", call("flatten", start_dim=1), R(2, 3, 2))
case("flatten:middle", call("flatten", start_dim=1, end_dim=-2), R(2, 2, 2, 2))
case("flatten:0d", call("flatten"), R())
case("permute", lambda L, x: L.permute(x, (2, 0, -2)), R(2, 3, 4))
case("permute:method", lambda L, x: x.permute(1, 0), R(2, 3))
case("permute:0d", lambda L, x: L.permute(x, ()), R())
case("transpose", lambda L, x: L.transpose(x, 0, -1), R(2, 3, 2))
case("transpose:empty", lambda L, x: L.transpose(x, 0, 1), R(0, 3))
case("T", lambda L, x: x.T, R(2, 3))
case("t", lambda L, x: x.t(), R(2, 3))
case("mT", lambda L, x: x.mT, R(2, 3, 4))
case("movedim", lambda L, x: L.movedim(x, 0, -1), R(2, 3, 4))
case("movedim:back", lambda L, x: L.movedim(x, -1, 1), R(2, 3, 4))
case("squeeze", call("squeeze"), R(1, 3, 1))
case("squeeze:dim", call("squeeze", dim=0), R(1, 3, 1))
case("squeeze:dims", call("squeeze", dim=(0, 1, -1)), R(1, 3, 1))
case("unsqueeze", call("unsqueeze", dim=1), R(2, 3))
case("unsqueeze:-1", call("unsqueeze", dim=-1), R(2))
case("unsqueeze:0d", call("unsqueeze", dim=0), R())
case("expand", lambda L, x: x.expand(2, -1, 4), R(3, 1))
case("expand:as", lambda L, x, y: x.expand_as(y) * y, R(3), R(2, 3))
case("expand:empty", lambda L, x: x.expand(0, 3), R(3))
case("broadcast_to", lambda L, x: L.broadcast_to(x, (2, 3)), R(2, 1))
case("broadcast_to:0d", lambda L, x: L.broadcast_to(x, (2, 2)), R())
case("contiguous", lambda L, x: x.mT.contiguous(), R(2, 3))
case("contiguous:already", lambda L, x: x.contiguous() * 2, R(2, 3))
case("cat", lambda L, *xs: L.cat(xs), R(2, 2), R(1, 2), R(3, 2))
case("cat:-1", lambda L, *xs: L.cat(xs, dim=-1), R(2, 1), R(2, 0), R(2, 3))
case("cat:one", lambda L, x: L.cat([x]), R(3))
case("cat:itself", lambda L, x: L.cat([x, x, x], dim=1), R(2, 2))
case("stack", lambda L, *xs: L.stack(xs), R(2), R(2))
case("stack:-1", lambda L, *xs: L.stack(xs, dim=-1), R(2, 3), R(2, 3))
case("stack:0d", lambda L, x, y: L.stack([x, y, x]), R(), R())
case("split", lambda L, x: weighted(L, L.split(x, 2)), R(5, 2))
case("split:lengths", lambda L, x: weighted(L, L.split(x, [1, 0, 2], dim=1)), R(2, 3))
case("chunk", lambda L, x: weighted(L, L.chunk(x, 3, dim=-1)), R(2, 7))
case("chunk:few", lambda L, x: weighted(L, x.chunk(4)), R(2, 2))
case("flip", call("flip", dims=(0,)), R(3, 2))
case("flip:both", call("flip", dims=(-1, 0)), R(3, 2))
case("flip:one", call("flip", dims=(0,)), R(1, 3))
case("flip:none", call("flip", dims=()), R(2, 2))
case("pad", functional("pad", pad=(1, 2)), R(2, 3))
case("pad:both", functional("pad", pad=(1, 0, 0, 2), value=1.5), R(2, 2))
case("pad:crop", functional("pad", pad=(-1, 1, 2, -1)), R(3, 3))
for mode in ("reflect", "replicate", "circular"):
    case(f"pad:{mode}", functional("pad", pad=(2, 1), mode=mode), R(2, 2, 3))
    case(f"pad:{mode}-both", functional("pad", pad=(1, 2, 0, 1), mode=mode), R(2, 2, 3))
    case(f"pad:{mode}-crop", functional("pad", pad=(-1, 1, 1, -1), mode=mode), R(1, 2, 3, 4))
case("pad:0d", functional("pad", pad=()), R())
case("pad:empty", functional("pad", pad=(1, 1)), R(2, 0))


def weighted(L: Any, pieces: Any) -> Any:
    """Join pieces, each multiplied by a number of its own, into one vector."""
    return L.cat([(p * (i + 1.5)).reshape(-1) for i, p in enumerate(pieces)])


# --- indexing -----------------------------------------------------------------------------------

A = np.array
INDICES = {
    "int": 1, "negative": -1, "slice": S[0:2], "step": S[::2], "empty": S[2:1], "two": S[1, 2],
    "column": S[:, 1], "ellipsis": S[..., 0], "none": S[None, :, None, 1], "all": S[...],
    "array": A([2, 0]), "duplicates": A([1, 1, -1, 1]), "matrix": A([[0, 2], [1, 1]]),
    "none-picked": A([], dtype=np.int64), "pair": (A([0, 1, 0]), A([2, 2, 2])),
    "outer": (A([[0], [2]]), A([1, 0])), "slice-array": S[:, A([2, 0, 2])],
    "array-slice": S[A([1, 1]), 1:], "split": S[A([0, 1]), :, A([1, 0])],
    "none-array": S[None, A([1, 0])], "int-array": S[0, A([1, 1])],
    "mask": A([True, False, True]), "full-mask": A([[True, False, True]] * 2 + [[False] * 3]),
    "mask-slice": S[A([True, False, True]), 1:], "mask-int": S[A([False, True, True]), 1],
    "mask-nothing": A([False, False, False]), "slice-mask": S[1:, A([True, False, True])],
}  # fmt: skip
NAMED_TWICE = ("duplicates", "matrix", "pair", "slice-array", "array-slice", "int-array")
BACKWARD = {"reversed": S[::-1], "backward": S[:, ::-2], "backward-part": S[2:0:-1, 1]}
for name, index in (INDICES | BACKWARD).items():
    shape = (3, 3, 2) if name in ("split", "ellipsis") else (3, 3)
    read = lambda L, x, i=index: x[index_of(L, i)]  # noqa: E731
    case(f"getitem:{name}", read, R(*shape), torch=None if name in BACKWARD else SAME)
    if name in NAMED_TWICE:
        continue  # which of two values stays is not defined
    written = np.empty(shape)[index].shape

    def write(L: Any, x: Any, v: Any, i: Any = index) -> Any:
        y = x * 1.0
        y[index_of(L, i)] = v
        return y * 2.0

    case(f"setitem:{name}", write, R(*shape), R(*written), torch=None if name in BACKWARD else SAME)


def assigned(x: Any, index: Any, value: Any) -> Any:
    y = x.clone()
    y[index] = value
    return y


case("getitem:0d", lambda L, x: x[()] + x[None], R())
case("getitem:list", lambda L, x: x[[0, 2, 0]], R(3, 2))
APART = S[0, :, A([1, 0])]  # PyTorch's shape (3, 2); NumPy's is (2, 3)
case("getitem:int-apart", lambda L, x: x[index_of(L, APART)], R(3, 3, 2))
case("getitem:0d-apart", lambda L, x: x[L.tensor(1), ..., [1, 0, 1]], R(2, 2, 2))
case("getitem:mixed", lambda L, x: x[None, [[0], [1]], 1:, 0, (1, 0)], R(2, 3, 2, 2))
case("getitem:bool", lambda L, x: x[True, 1:, None, True, 0], R(3, 2))
case("getitem:false", lambda L, x: x[:, False], R(3, 2))
case("setitem:int-apart", lambda L, x, v: assigned(x, index_of(L, APART), v), R(3, 3, 2), R(3, 2))
case("setitem:mixed", lambda L, x, v: assigned(x, S[[[0], [1]], 1:, 0, [1, 0]], v),
     R(2, 3, 2, 2), R(2, 2, 2))  # fmt: skip
case("setitem:bool", lambda L, x, v: assigned(x, S[True, 0], v), R(3, 2), R(2))
case("getitem:rows", lambda L, x: sum(row * i for i, row in enumerate(x)), R(3, 2))
case("setitem:number", lambda L, x: assigned(x, S[1:], 3.0), R(3, 2))
case("setitem:spread", lambda L, x, v: assigned(x, S[1:], v), R(3, 2), R(2))
case("setitem:spread-0d", lambda L, x, v: assigned(x, S[:, 0], v), R(3, 2), R())
case("setitem:in-front", lambda L, x, v: assigned(x, S[0], v), R(3, 2), R(1, 1, 2))
case("setitem:0d", lambda L, x, v: assigned(x * 2, S[()], v) * 3, R(), R())
case("setitem:0d-number", lambda L, x: assigned(x * 2, S[...], 1.0) * 3 + x * 0, R())
case("setitem:constant", lambda L, v: assigned(L.zeros(3, dtype=v.dtype), S[::2], v), R(2))
case("setitem:twice", lambda L, x, v: assigned(assigned(x, 0, v), S[:, 1], v * v), R(2, 2), R(2))
case("put:slice", raw("put", part=S[1:, ...], places=(), shape=(3, 2)), R(2, 2), torch=None)
case(
    "put:duplicates", raw("put", part=(...,), places=(A([1, 1, 0]),), shape=(3,)), R(3), torch=None
)
case(
    "put:mask",
    raw("put", part=(...,), places=(A([True, False, True]),), shape=(3,)),
    R(2),
    torch=None,
)
PICKS = A([[0, 2, 0], [1, 1, 1]])
case("gather", lambda L, x: L.gather(x, 1, L.tensor(PICKS)), R(2, 3))
case("gather:0", lambda L, x: L.gather(x, 0, L.tensor(A([[1, 0, 1]]))), R(2, 3))
case("gather:1d", lambda L, x: L.gather(x, -1, L.tensor(A([2, 2, 0, 1]))), R(3))
case("gather:short", lambda L, x: L.gather(x, 1, L.tensor(A([[2, 2]]))), R(2, 3))
case("gather:shorter", lambda L, x: L.gather(x, 0, L.tensor(A([[[1], [0]]]))), R(2, 3, 2))
case("gather:0d", lambda L, x: L.gather(x, 0, L.tensor(0)), R())
case("gather:0d-row", lambda L, x: L.gather(x, -1, L.tensor([0, 0])), R())
case("gather:0d-index", lambda L, x: L.gather(x, 0, L.tensor(2)), R(3))
case("gather:nothing", lambda L, x: L.gather(x, 0, L.tensor(np.zeros((2, 0), int))), R(3))
case("cat:nothing", lambda L, *xs: L.cat(xs, dim=1), R(0), R(2, 3), R(0), R(2, 1))
case("gather:empty", lambda L, x: L.gather(x, 1, L.tensor(A([[], []], dtype=int))), R(2, 3))
case("put_along", raw("put_along", index=PICKS, axis=1, shape=(2, 3)), R(2, 3), torch=None)

# --- images -------------------------------------------------------------------------------------

CONVOLUTIONS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("plain", ((2, 2, 4, 3), (3, 2, 2, 2), (3,)), {}),
    ("no-bias", ((1, 1, 3, 3), (1, 1, 2, 2)), {}),
    ("one", ((2, 3, 2, 2), (2, 3, 1, 1), (2,)), {}),
    ("one-padded", ((1, 2, 2, 2), (2, 2, 1, 1), (2,)), {"padding": (1, 0)}),
    ("one-strided", ((1, 2, 3, 3), (2, 2, 1, 1)), {"stride": 2}),
    ("stride", ((1, 2, 5, 4), (2, 2, 2, 2), (2,)), {"stride": 2}),
    ("stride-past", ((1, 1, 5, 5), (1, 1, 2, 2)), {"stride": 3}),
    ("padding", ((2, 1, 3, 3), (2, 1, 3, 3), (2,)), {"padding": 1}),
    ("dilation", ((1, 1, 5, 4), (2, 1, 2, 2), (2,)), {"dilation": 2}),
    ("groups", ((2, 4, 3, 3), (2, 2, 2, 2), (2,)), {"groups": 2}),
    ("depthwise", ((1, 2, 3, 3), (4, 1, 2, 2)), {"groups": 2, "padding": 1}),
    ("pairs", ((1, 2, 5, 6), (2, 1, 2, 3), (2,)),
     {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}),
    ("same", ((1, 1, 3, 4), (2, 1, 3, 3), (2,)), {"padding": "same"}),
    ("same-dilated", ((1, 1, 4, 5), (1, 1, 2, 3)), {"padding": "same", "dilation": (2, 1)}),
    ("same-even", ((2, 2, 3, 4), (2, 1, 2, 3), (2,)), {"padding": "same", "groups": 2}),
    ("same-even-dilated", ((1, 1, 5, 4), (1, 1, 2, 4)), {"padding": "same", "dilation": (3, 1)}),
    ("valid", ((1, 1, 3, 3), (1, 1, 2, 2)), {"padding": "valid"}),
    ("single", ((2, 3, 3), (2, 2, 2, 2), (2,)), {"padding": (0, 1)}),
    ("empty", ((0, 1, 3, 3), (2, 1, 2, 2), (2,)), {}),
]  # fmt: skip
for name, shapes, settings in CONVOLUTIONS:
    case(f"conv2d:{name}", functional("conv2d", **settings), *(R(*s) for s in shapes))
case("conv2d:itself", lambda L, x: L.nn.functional.conv2d(x, x, padding=1), R(2, 2, 2, 2))

GEO = Geometry((2, 1), (1, 0), (1, 2), 2)
case("conv2d_input", raw("conv2d_input", x_size=(2, 2, 3, 4), geo=GEO), R(2, 2, 2, 2),
     R(2, 1, 2, 2), torch=None)  # fmt: skip
case("conv2d_weight", raw("conv2d_weight", w_size=(2, 1, 2, 2), geo=GEO), R(2, 2, 3, 4),
     R(2, 2, 2, 2), torch=None)  # fmt: skip

BLOCKS = {"few": (2, (1, 0)), "many": (5, (0, 0))}  # channels and padding; also what no loop serves
for name, (channels, padding) in BLOCKS.items():
    case(f"conv_pool_relu:{name}", block(padding), R(2, channels, 4, 5), R(3, channels, 3, 3), R(3),
         torch=None)  # fmt: skip
case("conv_pool_relu:no-bias", lambda L, x, w: block((0, 0))(L, x, w, None), R(1, 1, 4, 4),
     R(2, 1, 3, 3), torch=None)  # fmt: skip

POOLS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("plain", (2, 2, 4, 4), {"kernel_size": 2}),
    ("rest", (1, 1, 5, 3), {"kernel_size": 2}),
    ("overlap", (1, 2, 4, 4), {"kernel_size": 3, "stride": 1}),
    ("overlap-row", (1, 1, 3, 5), {"kernel_size": (1, 3), "stride": (1, 2)}),
    ("apart", (1, 1, 5, 5), {"kernel_size": 2, "stride": 3}),
    ("padding", (1, 2, 3, 3), {"kernel_size": 2, "padding": 1}),
    ("pairs", (2, 1, 4, 5), {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 0)}),
    ("single", (2, 4, 4), {"kernel_size": 2}),
    ("empty", (0, 1, 2, 2), {"kernel_size": 2}),
    ("ceil", (1, 2, 5, 4), {"kernel_size": 2, "ceil_mode": True}),
    ("ceil-padding", (1, 1, 6, 5), {"kernel_size": 3, "stride": 2, "padding": 1,
                                    "ceil_mode": True}),
    ("ceil-far", (2, 1, 4, 5), {"kernel_size": 3, "stride": (5, 4), "padding": 1,
                                "ceil_mode": True}),
    ("ceil-larger", (1, 1, 2, 2), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("no-stride", (1, 1, 4, 4), {"kernel_size": (2,), "stride": ()}),
]  # fmt: skip
for name, settings in {
    "dilation": {"kernel_size": 2, "dilation": 2},
    "dilation-ceil": {"kernel_size": (2, 3), "dilation": (3, 1), "stride": 2, "padding": 1,
                      "ceil_mode": True},
}.items():  # fmt: skip
    case(f"max_pool2d:{name}", functional("max_pool2d", **settings), R(1, 2, 7, 6))
for name, settings in {
    "divisor": {"divisor_override": 3}, "divisor-ceil": {"divisor_override": -2, "ceil_mode": True},
    "ceil-inside": {"count_include_pad": False, "ceil_mode": True},
}.items():  # fmt: skip
    case(f"avg_pool2d:{name}",
         functional("avg_pool2d", kernel_size=2, padding=1, **settings), R(1, 2, 4, 5))  # fmt: skip
for name, shape, settings in POOLS:
    case(f"max_pool2d:{name}", functional("max_pool2d", **settings), R(*shape))
    case(f"avg_pool2d:{name}", functional("avg_pool2d", **settings), R(*shape))
for name in ("padding", "pairs"):
    shape, settings = next((s, t) for n, s, t in POOLS if n == name)
    case(f"avg_pool2d:inside-{name}",
         functional("avg_pool2d", count_include_pad=False, **settings), R(*shape))  # fmt: skip

for name, win in (("apart", Window((2, 2), (2, 2), (0, 0))),
                  ("overlap", Window((2, 3), (1, 2), (1, 0)))):  # fmt: skip
    images = R(1, 2, 4, 5).array(np.random.RandomState(5))
    codes = OPS["max_pool2d_code"].on_numpy.value(np, images, win=win)
    case(f"max_pool2d_grad:{name}", raw("max_pool2d_grad", x_size=images.shape, win=win),
         R(*codes.shape), Fixed(codes), torch=None)  # fmt: skip
    case(f"max_pool2d_pick:{name}", raw("max_pool2d_pick", win=win), R(*images.shape),
         Fixed(codes), torch=None)  # fmt: skip
    for inside in (True, False):
        case(f"avg_pool2d_grad:{name}-{inside}",
             raw("avg_pool2d_grad", win=win, x_size=images.shape, share=Share(inside)),
             R(*codes.shape), torch=None)  # fmt: skip

# --- losses -------------------------------------------------------------------------------------

LABELS, HOLES = Fixed([2, 0, 1]), Fixed([2, -1, 1])
MAP = Fixed([[[0, 2], [1, 1]], [[2, -1], [0, 2]]])


def weighing(name: str, **settings: Any) -> Callable[..., Any]:
    """Return a loss whose last operand is its weight."""
    return lambda L, x, t, w: getattr(L.nn.functional, name)(x, t, weight=w, **settings)


CLASS_WEIGHT = Fixed([0.5, 2.0, 1.25])
for reduction in ("mean", "sum", "none"):
    how = {"reduction": reduction}
    for name in ("mse_loss", "l1_loss"):
        case(f"{name}:{reduction}", functional(name, **how), R(2, 3), R(2, 3))
    case(f"binary_cross_entropy:{reduction}", functional("binary_cross_entropy", **how),
         probability(2, 3), probability(2, 3))  # fmt: skip
    case(f"binary_cross_entropy:weight-{reduction}",
         weighing("binary_cross_entropy", **how), probability(2, 3), probability(2, 3),
         Fixed([0.5, 2.0, 1.0]))  # fmt: skip
    case(f"binary_cross_entropy_with_logits:{reduction}",
         functional("binary_cross_entropy_with_logits", **how), R(2, 3),
         probability(2, 3))  # fmt: skip
    case(f"binary_cross_entropy_with_logits:weight-{reduction}",
         weighing("binary_cross_entropy_with_logits", **how), R(2, 3), probability(2, 3),
         Fixed([[0.5], [2.0]]))  # fmt: skip
    case(f"nll_loss:{reduction}", functional("nll_loss", **how), R(3, 3), LABELS)
    case(f"nll_loss:weight-{reduction}", weighing("nll_loss", ignore_index=-1, **how),
         R(3, 3), HOLES, CLASS_WEIGHT)  # fmt: skip
    case(f"nll_loss:map-{reduction}", functional("nll_loss", ignore_index=-1, **how),
         R(2, 3, 2, 2), MAP)  # fmt: skip
    case(f"cross_entropy:{reduction}", functional("cross_entropy", **how), R(3, 3), LABELS)
    case(f"cross_entropy:everything-{reduction}",
         weighing("cross_entropy", ignore_index=-1, label_smoothing=0.2, **how),
         R(3, 3), HOLES, CLASS_WEIGHT)  # fmt: skip
    case(f"cross_entropy:map-{reduction}",
         functional("cross_entropy", ignore_index=-1, label_smoothing=0.1, **how),
         R(2, 3, 2, 2), MAP)  # fmt: skip
    case(f"cross_entropy:probabilities-{reduction}", functional("cross_entropy", **how),
         R(2, 3), probability(2, 3))  # fmt: skip
    case(f"cross_entropy:probabilities-everything-{reduction}",
         weighing("cross_entropy", label_smoothing=0.3, **how), R(2, 3, 2), probability(2, 3, 2),
         CLASS_WEIGHT)  # fmt: skip
    case(f"cross_entropy:single-{reduction}",
         functional("cross_entropy", label_smoothing=0.1, **how), R(3), Fixed(1))  # fmt: skip
    case(f"nll_loss:single-{reduction}", functional("nll_loss", **how), R(3), Fixed(2))
case("mse_loss:0d", functional("mse_loss"), R(), R())
case("mse_loss:itself", lambda L, x: L.nn.functional.mse_loss(x, x), R(3))
case("mse_loss:empty", functional("mse_loss", reduction="sum"), R(0, 2), R(0, 2))
case("binary_cross_entropy_with_logits:pos_weight",
     lambda L, x, t, w: L.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=w),
     R(2, 3), probability(2, 3), Fixed([0.5, 2.0, 3.0]))  # fmt: skip
case("binary_cross_entropy_with_logits:pos_weight-slope",
     lambda L, x, t, w: L.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=w),
     R(2, 3), probability(2, 3), positive(3), torch=None)  # fmt: skip
for name in ("mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
    case(f"{name}:nothing", functional(name), R(0, 2), R(0, 2))
for name in ("cross_entropy", "nll_loss"):
    case(f"{name}:nothing", functional(name), R(0, 2), Fixed(np.zeros(0, int)))
case("cross_entropy:labels-map", functional("cross_entropy"), R(2, 3, 2),
     Fixed([[0, 2], [1, 1]]), torch=None)  # fmt: skip
case("cross_entropy:weight", weighing("cross_entropy"), R(3, 3), LABELS, CLASS_WEIGHT)
case("cross_entropy:single-probabilities", functional("cross_entropy"), R(3), probability(3))

# --- no derivative: values only -----------------------------------------------------------------

VALUES: list[Case] = []


def values(name: str, function: Callable[..., Any], *arrays: Any, **options: Any) -> None:
    VALUES.append(Case(name, function, tuple(map(Fixed, arrays)), **options))


AWKWARD = [0.0, -0.0, 1.5, -2.0, np.nan, np.inf, -np.inf]
ROWS = [[3, 1, 3], [0, 5, 5]]
for name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"):
    values(f"{name}:floats", call(name), np.array(AWKWARD)[:, None], AWKWARD)
    values(f"{name}:integers", call(name), ROWS, [3, 5, 3])
    values(f"{name}:mixed", call(name), [[1], [0]], [1.0, 0.5])
for name in ("isnan", "isfinite", "logical_not", "isinf", "signbit"):
    values(name, call(name), AWKWARD)
    values(f"{name}:integers", call(name), [0, 3])
values("logical_xor", call("logical_xor"), np.array(AWKWARD)[:, None], AWKWARD)
values("nextafter", call("nextafter"), [1.0, 1.0, 0.0, -0.0], [2.0, 0.0, -1.0, 0.0])
values("atan2:quadrants", call("atan2"), np.array([1.0, -1.0, 0.0, -0.0])[:, None], [2.0, -2.0])
for name in ("floor", "ceil", "trunc", "round"):
    values(name, call(name), [-0.0, 0.5, 1.5, 2.5, -0.5, -2.7])
    values(f"{name}:integers", call(name), [3, 0, -7])
for name in ("floor_divide", "remainder"):
    values(f"{name}:signs", call(name), np.array([7.0, -7.0, 0.5])[:, None], [2.0, -2.0, 3.5])
    values(f"{name}:integers", call(name), [[7], [-7]], [2, -2, 3])
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    values(name, call(name), [[5], [-3]], [3, 6, -1])
    values(f"{name}:truths", call(name), [[True], [False]], [True, False])
values("bitwise_not", call("bitwise_not"), [5, -3, 0])
values("bitwise_not:truths", call("bitwise_not"), [True, False])
for name in ("bitwise_left_shift", "bitwise_right_shift"):
    values(name, call(name), [[5], [-3]], [0, 1, 3])
values("square:integers", call("square"), [3, -2])
values("sign", call("sign"), [0.0, -0.0, 1.5, -2.0, np.inf, -np.inf])
values("sign:integers", call("sign"), [3, 0, -7])
for name, dim in itertools.product(("argmax", "argmin"), (None, 0, -1)):
    values(f"{name}:{dim}", call(name, dim=dim), ROWS)
    values(f"{name}:{dim}-keep", call(name, dim=dim, keepdim=dim is not None), [[1.0, np.nan, 2]])
for name, dim in itertools.product(("max", "min"), (0, 1)):
    values(f"{name}:at-{dim}", part("indices", name, dim=dim), ROWS)
for name, dim in itertools.product(("any", "all"), (None, 0, (0, 1))):
    values(f"{name}:{dim}", call(name, dim=dim), ROWS)
    values(f"{name}:{dim}-keep", call(name, dim=dim, keepdim=dim is not None), [[0.0, np.nan, 0]])
values("any:none", call("any", dim=0), np.zeros((0, 3)))
values("all:none", call("all", dim=0), np.zeros((0, 3)))
for p in (0.0, 1.0):
    values(f"dropout:{p}", functional("dropout", p=p), [[1.0, -2.0]])
MAPS = np.array([[0, 2, 1, 1, 3], [5, 5, np.nan, 0, 3], [5, -1, 2, np.nan, -np.inf]])[None]
for name, settings in {
    "plain": {"kernel_size": 2}, "ceil": {"kernel_size": 2, "ceil_mode": True},
    "padding": {"kernel_size": 3, "stride": 1, "padding": 1},
    "dilation": {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1},
}.items():  # fmt: skip
    for case_name, images in {"maps": MAPS, "least": np.full((1, 1, 4, 4), -np.inf)}.items():
        values(f"max_pool2d:indices-{name}-{case_name}", lambda L, x, s=settings:
               L.nn.functional.max_pool2d(x, **s, return_indices=True)[1], images)  # fmt: skip
values("one_hot", functional("one_hot", num_classes=4), [[0, 3], [1, 1]])
values("one_hot:counted", functional("one_hot"), [2, 0, 4])
values("add:integers", call("add"), ROWS, [1, 2, 3])
values("div:integers", call("div"), ROWS, [1, 2, 3])
values("pow:integers", call("pow"), ROWS, [1, 2, 3])
values("pow:negative", call("pow"), [[2, 1, -1, 0, -1, 3]], [[-1], [-2], [2]])
values("pow:negative-0d", call("pow"), [2, 1, -1, 0], -3)
values("pow:number-negative", lambda L, x: 2**x, [-1, 2])
for name, function in {
    "add": lambda L, x: x + -1, "sub": lambda L, x: -1 - x, "mul": lambda L, x: x * 300,
}.items():  # fmt: skip
    values(f"{name}:wrapped", function, np.array([5, 200], np.uint8))
for mode in ("trunc", "floor"):
    values(f"div_{mode}:integers", call("div", rounding_mode=mode), [[7], [-7], [6], [0]],
           [2, -2, 3])  # fmt: skip
    values(f"div_{mode}:floats", call("div", rounding_mode=mode), [[7.5], [-7.5]], [2, -2.5, 0.1])
    values(f"div_{mode}:bytes", call("div", rounding_mode=mode), np.array([7, 200], np.uint8), 3)
values("sign:awkward", call("sign"), AWKWARD)
values("sign:booleans", call("sign"), [True, False])
values("sum:integers", call("sum"), ROWS)
values("sum:booleans", call("sum", dim=0), [[True, True], [False, True]])
values("cumsum:integers", call("cumsum", dim=1), ROWS)
values("exp:integers", call("exp"), [0, 1, 2])
values("where:integers", call("where"), [True, False], [1, 2], [3, 4])
values("clamp:integers", call("clamp", min=1, max=4), ROWS)
values("matmul:integers", call("matmul"), ROWS, [1, 2, 3])
values("flip:integers", call("flip", dims=(1,)), ROWS)
values("contiguous:booleans", lambda L, x: x.mT.contiguous(), [[True, False]])
