"""Modules in a row that `nn.Sequential` runs at once.

ReLU and max pooling commute, gradients included: where the largest of a window is negative or 0,
none passes either way.  Pooled first, there is a quarter of the work left for the ReLU.  (Only a
window with a NaN may pass on the gradient of its NaN where it would have been cut off.)

A convolution whose output is pooled and cut at 0 need not write it: one loop makes what is left
of each window and a byte that says which pixel it was.  The gradients in kernel and bias are made
from the pooled gradient and these bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..autograd.faster import faster
from ..autograd.graph import Variable, apply
from ..autograd.mode import is_grad_enabled
from ..autograd.registry import op
from ..autograd.vocabulary import on_arrays
from ..buffers import empty
from ..device import Array
from ..nn.container import TOGETHER
from ..ops.conv import Geometry
from ..ops.window import Window
from . import compiled

__all__ = ["CONV_POOL_RELU"]

PAIRS = Window((2, 2), (2, 2), (0, 0))
# With more channels, convolution is work enough to be done by itself, in registers.
FEW_CHANNELS = 4


def pool_then_relu(relu: nn.ReLU, pool: nn.MaxPool2d, x: Any) -> Any:
    """Return ``pool(relu(x))``."""
    return NotImplemented if pool.return_indices else relu(pool(x))


# --- convolution, pooling by 2 x 2, relu --------------------------------------------------------


def _value(xp: Any, x: Array, w: Array, b: Any, *, geo: Geometry, memo: list[Array]) -> Array:
    F: Any = on_arrays(x)
    y: Array = F.relu(F.max_pool2d(F.conv2d(x, w, b, geo=geo, memo=None), win=PAIRS, memo=None))
    return y


def _before(F: Any, g: Any, x: Any, w: Any, b: Any, y: Any, geo: Geometry) -> Any:
    """Return the gradient in the output of the convolution, which is made again."""
    conv = F.conv2d(x, w, b, geo=geo, memo=None)
    code = F.max_pool2d_code(conv, win=PAIRS)
    return F.max_pool2d_grad(F.relu_slope(g, y), code, x_size=conv.shape, win=PAIRS)


CONV_POOL_RELU = op(
    "conv_pool_relu",
    _value,
    x=lambda F, g, x, w, b, y, x_shape, geo: F.conv2d_input(
        _before(F, g, x, w, b, y, geo), w, x_size=x_shape, geo=geo
    ),
    w=lambda F, g, x, w, b, y, w_shape, geo: F.conv2d_weight(
        x, _before(F, g, x, w, b, y, geo), w_size=w_shape, geo=geo
    ),
    # a window's gradient goes to one of its pixels, whichever that is
    b=lambda F, g, y: F.sum(F.relu_slope(g, y), axis=(0, 2, 3), keepdims=False),
)


def value(xp: Any, x: Array, w: Array, b: Any, *, geo: Geometry, memo: list[Array]) -> Any:
    """Return the block of few channels; to `memo` go the images and which pixels were chosen."""
    k = _loops(x, w, geo)
    if k is None:
        return NotImplemented
    (n, c, h, wide), (py, px) = x.shape, geo.padding
    seen = x.transpose(1, 2, 3, 0)
    if py or px:
        padded = empty((c, h + 2 * py, wide + 2 * px, n), x.dtype)
        padded[...] = 0
        padded[:, py : py + h, px : px + wide] = seen
        seen = padded
    seen = np.ascontiguousarray(seen)
    shape = (len(w), (seen.shape[1] - 2) // 2, (seen.shape[2] - 2) // 2, n)
    y, code = empty(shape, x.dtype), empty(shape, np.uint8)
    bias = np.zeros(len(w), x.dtype) if b is None else b
    k.conv_pool_relu(seen, w.reshape(len(w), c, 9), bias, y, code, np.zeros((4, n), x.dtype))
    memo[:] = seen, code
    return y.transpose(3, 0, 1, 2)


def weight_slope(F: Any, g: Array, memo: list[Array], w_shape: tuple[int, ...]) -> Any:
    """Return the gradient in the kernels."""
    k = compiled.loops(g.size) if memo else None
    if k is None:
        return NotImplemented
    seen, code = memo
    dw = np.empty((*w_shape[:2], 9), g.dtype)
    k.conv_pool_relu_weight(seen, _pooled(g), code, dw)
    return dw.reshape(w_shape)


def bias_slope(F: Any, g: Array, memo: list[Array]) -> Any:
    """Return the gradient in the bias."""
    k = compiled.loops(g.size) if memo else None
    if k is None:
        return NotImplemented
    db = np.empty(g.shape[1], g.dtype)
    k.conv_pool_relu_bias(_pooled(g), memo[1], db)
    return db


def _pooled(g: Array) -> Array:
    return np.ascontiguousarray(g.transpose(1, 2, 3, 0))


def _loops(x: Array, w: Array, geo: Geometry) -> Any:
    """Return the compiled loops if they serve this block."""
    fits = (
        x.dtype in compiled.FLOATS
        and x.size >= compiled.LEAST
        and w.shape[1] <= FEW_CHANNELS
        and w.shape[2:] == (3, 3)
        and geo._replace(padding=(0, 0)) == Geometry((1, 1), (0, 0), (1, 1), 1)
        and min(PAIRS.out_size(geo.out_size(x.shape[2:], (3, 3)))) > 0
    )
    return compiled.loops(x.size) if fits else None


faster("conv_pool_relu", value=value, w=weight_slope, b=bias_slope)


def conv_pool_relu(conv: nn.Conv2d, relu: nn.ReLU, pool: nn.MaxPool2d, x: Any) -> Any:
    """Return ``pool(relu(conv(x)))`` where one loop can do it and `x` needs no gradient."""
    padding = conv.padding
    if isinstance(padding, str):
        padding = (1, 1) if padding == "same" else (0, 0)
    window = Window(pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    w = conv.weight._data
    if (
        window != PAIRS
        or pool.ceil_mode
        or pool.return_indices
        or not isinstance(x, Variable)
        or type(x._data) is not np.ndarray
        or x._data.ndim != 4
        or x._data.dtype != w.dtype
        or x._data.shape[1] != conv.in_channels
        or (is_grad_enabled() and (x._requires_grad or x._node is not None))
    ):
        return NotImplemented
    geo = Geometry(conv.stride, padding, conv.dilation, conv.groups)
    if _loops(x._data, w, geo) is None:
        return NotImplemented
    return apply(CONV_POOL_RELU, (x, conv.weight, conv.bias), {"geo": geo, "memo": []})


TOGETHER[nn.Conv2d] = [((nn.Conv2d, nn.ReLU, nn.MaxPool2d), conv_pool_relu)]
TOGETHER[nn.ReLU] = [((nn.ReLU, nn.MaxPool2d), pool_then_relu)]
