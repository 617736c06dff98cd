"""What compiled loops do better than NumPy: each checks what its loop takes for granted.

That is arrays of one floating type and of one dense memory order, large enough for the loop to beat
NumPy; the answer to anything else is ``NotImplemented``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..autograd.faster import faster
from ..buffers import empty, empty_like
from ..device import Array
from . import elementwise as elementwise  # to be asked after what is here
from . import losses as losses
from .pool import CODES
from .products import weighted
from .switch import compiled

__all__: list[str] = []

SINGLE = np.dtype(np.float32)
FLOATS = SINGLE, np.dtype(np.float64)
# From so many elements on the loop is faster than NumPy's passes.
LEAST = 2048


# The compiled loops for an array of so many elements, or None.
loops = partial(compiled, "loops")


def _flat(x: Array) -> Array:
    """Return the memory of `x`, which is dense, in its own order."""
    return x.ravel(order="K")


def _start(x: Array, *others: Array, gain: int = 1) -> tuple[Any, Any]:
    """Return the loops and an array like `x` to write to; None and None if they cannot serve.

    They can where all arrays have one floating type and lie dense in one order of memory; `gain`
    says how many times as many passes as usual they spare NumPy.
    """
    dtype, strides = x.dtype, x.strides
    if x.size * gain >= LEAST and dtype in FLOATS:
        for other in others:
            if other.dtype != dtype or other.strides != strides or other.shape != x.shape:
                return None, None
        k = loops(x.size)
        if k is not None:
            out = empty_like(x)
            if out.strides == strides:
                return k, out
    return None, None


# --- element by element -------------------------------------------------------------------------


def relu(xp: Any, x: Array) -> Any:
    """Return ``max(x, 0)``."""
    k, y = _start(x)
    if k is None:
        return NotImplemented
    k.relu(_flat(x), _flat(y))
    return y


def relu_slope(F: Any, g: Array, y: Array) -> Any:
    """Return ``g`` where `y` is not 0."""
    k, out = _start(g, y)
    if k is None:
        return NotImplemented
    k.relu_slope(_flat(g), _flat(y), _flat(out))
    return out


def sigmoid(xp: Any, x: Array) -> Any:
    """Return ``1 / (1 + exp(-x))`` in float32."""
    k, y = _start(x, gain=8) if x.dtype == SINGLE else (None, None)
    if k is None:
        return NotImplemented
    k.sigmoid(_flat(x), _flat(y))
    return y


def sigmoid_slope(F: Any, g: Array, y: Array) -> Any:
    """Return ``g * y * (1 - y)``."""
    k, out = _start(g, y)
    if k is None:
        return NotImplemented
    k.sigmoid_slope(_flat(g), _flat(y), _flat(out))
    return out


faster("relu", value=relu, x=relu_slope)
faster("sigmoid", value=sigmoid, x=sigmoid_slope)


# --- products -----------------------------------------------------------------------------------


def linear(xp: Any, x: Array, w: Array, b: Array | None, *, memo: list[bool]) -> Any:
    """Return ``x @ w.T + b``, adding the bias in half of NumPy's time."""
    size = len(x) * len(w)
    if b is None or len(w) == 1 or size < LEAST or x.dtype not in FLOATS:
        return NotImplemented
    k = loops(size)
    if k is None:
        return NotImplemented
    y = weighted(x, w, memo)
    if y.flags.c_contiguous:
        k.add_to_rows(y, b)
    else:
        y += b
    return y


faster("linear", value=linear)


# --- pooling ------------------------------------------------------------------------------------


def planes(x: Array, innermost: bool) -> Array:
    """Return (N, C, H, W) as contiguous (planes, H, W, images), of all images or of one."""
    n, c, h, w = x.shape
    if innermost:
        return np.ascontiguousarray(x.transpose(1, 2, 3, 0))
    return np.ascontiguousarray(x).reshape(n * c, h, w, 1)


# Like this one an array has the batch innermost, and yet memory of its own: the engine would copy a
# view before it hands it to a leaf.
_LIKE_THIS = np.empty((2, 2, 2, 2)).transpose(3, 0, 1, 2)


def _empty(shape: tuple[int, ...], innermost: bool, dtype: Any) -> tuple[Array, Array]:
    """Return a new array (N, C, H, W), and its `planes`."""
    new = empty_like(_LIKE_THIS, dtype, shape) if innermost else empty(shape, dtype)
    return new, planes(new, innermost)


def _innermost(x: Array) -> bool:
    return bool(x.transpose(1, 2, 3, 0).flags.c_contiguous)


def max_pool2d(xp: Any, x: Array, *, win: Any, memo: list[Array] | None = None) -> Any:
    """Return the largest of each window; to `memo` goes which position it has, row by row."""
    k = loops(x.size) if x.size >= LEAST and x.dtype in FLOATS else None
    if k is None or win.dilation != (1, 1) or math.prod(win.kernel) > CODES:
        return NotImplemented
    innermost = _innermost(x)
    shape = (*x.shape[:2], *win.out_size(x.shape[2:]))
    y, y_planes = _empty(shape, innermost, x.dtype)
    code, code_planes = _empty(shape, innermost, np.uint8)
    seen = planes(x, innermost)
    if win.kernel == win.stride == (2, 2) and win.bare:
        k.max_pool_2x2(seen, y_planes, code_planes)
    else:
        k.max_pool(seen, y_planes, code_planes, win.kernel, win.stride, win.padding)
    if memo is not None:
        memo[:] = [code]
    return y


def max_pool2d_slope(
    F: Any, g: Array, x_shape: tuple[int, ...], win: Any, memo: list[Array] | None
) -> Any:
    """Return zeros with each element of `g` at its window's chosen place."""
    fits = memo and math.prod(x_shape) >= LEAST and g.dtype in FLOATS and win.dilation == (1, 1)
    k = loops(g.size) if fits else None
    if k is None or not memo:
        return NotImplemented
    innermost = _innermost(memo[0])
    out, out_planes = _empty(x_shape, innermost, g.dtype)
    g, code = planes(g, innermost), planes(memo[0], innermost)
    k.max_pool_slope(g, code, out_planes, win.kernel, win.stride, win.padding)
    return out


def max_pool2d_grad(xp: Any, v: Array, code: Array, *, x_size: tuple[int, ...], win: Any) -> Any:
    """Do the same where it is recorded, for second derivatives."""
    return max_pool2d_slope(xp, v, x_size, win, [code] if code.dtype == np.uint8 else None)


faster("max_pool2d", value=max_pool2d, x=max_pool2d_slope)
faster("max_pool2d_grad", value=max_pool2d_grad)


# --- losses -------------------------------------------------------------------------------------


def cross_entropy(xp: Any, x: Array, *, index: Array, mean: bool, memo: list[Any]) -> Any:
    """Return the loss of (N, C) logits; to `memo` go their exponentials and the sums of those."""
    k = loops(x.size) if x.ndim == 2 and x.dtype == SINGLE else None
    if k is None:
        return NotImplemented
    x = np.ascontiguousarray(x)
    e, sums = np.empty_like(x), np.empty((len(x), 1), SINGLE)
    loss = k.cross_entropy(x, _labels(index), e, sums.reshape(-1))
    memo[:] = e, sums
    return SINGLE.type(loss / len(x) if mean else loss)


def cross_entropy_slope(F: Any, g: Array, index: Array, mean: bool, memo: list[Any]) -> Any:
    """Return the softmax, less 1 at the label, times `g`."""
    k = loops(index.size)
    if k is None or not memo or memo[0].ndim != 2 or memo[0].dtype != SINGLE:
        return NotImplemented
    e, sums = memo
    out = np.empty_like(e)
    share = SINGLE.type(g / len(e) if mean else g)
    k.cross_entropy_slope(e, sums.reshape(-1), _labels(index), share, out)
    return out


def _labels(index: Array) -> Array:
    return np.ascontiguousarray(index, np.int64).reshape(-1)


def logit_bce(xp: Any, x: Array, t: Array, p: Any, *, reduction: str, memo: list[Any]) -> Any:
    """Return the reduced loss of logits; to `memo` goes their sigmoid."""
    if p is not None or reduction == "none" or x.dtype != SINGLE or not x.size:
        return NotImplemented
    k, s = _start(x, t, gain=32)
    if k is None:
        return NotImplemented
    loss = k.logit_bce(_flat(x), _flat(t), _flat(s))
    memo[:] = [s]
    return SINGLE.type(loss / x.size if reduction == "mean" else loss)


def logit_bce_slope(F: Any, g: Array, t: Array, reduction: str, memo: list[Any]) -> Any:
    """Return the sigmoid, less the target, times `g`."""
    if not memo:
        return NotImplemented
    k, out = _start(memo[0], t, gain=32)
    if k is None:
        return NotImplemented
    share = SINGLE.type(g / t.size if reduction == "mean" else g)
    k.difference(_flat(memo[0]), _flat(t), share, _flat(out))
    return out


faster("cross_entropy", value=cross_entropy, x=cross_entropy_slope)
faster("binary_cross_entropy_with_logits", value=logit_bce, x=logit_bce_slope)


# --- optimisers ---------------------------------------------------------------------------------


def update(loop_for: dict[int, str]) -> Any:
    """Return an update by the loop for so many arrays of state, where there is one."""

    def run(p: Array, g: Array, state: tuple[Array, ...], c: Array) -> Any:
        name, k = loop_for.get(len(state)), loops(p.size)
        if name is None or k is None:
            return NotImplemented
        getattr(k, name)(p, g, *state, c)
        return None

    return run


faster("adam", update=update({2: "adam", 3: "amsgrad"}))
faster("sgd", update=update({0: "sgd", 1: "sgd_momentum"}))
faster("rmsprop", update=update({1: "rmsprop"}))
