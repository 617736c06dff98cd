"""The compiled loops (numba): one pass over memory each, where NumPy takes several.

Imported by `tinygrad_adam.kernels.loops` at the first array worth it, never before; called through
`tinygrad_adam.kernels.compiled`, which checks what they take for granted: arrays of one floating
type, contiguous, flat where no axis is named, images with the batch innermost (C, H, W, N).

What keeps them fast: no branch on data (a choice of two values that are both at hand becomes a
select), no bounds that could be negative, sums and products that may be reordered but never assume
numbers to be finite.  Each gives what its plain version gives, to rounding.
"""

from __future__ import annotations

import numba
import numpy as np

if numba.config.DISABLE_JIT:
    raise ImportError("numba does not compile: NUMBA_DISABLE_JIT is set")

jit = numba.njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"contract", "reassoc", "nsz", "arcp"},
)

# --- element by element -------------------------------------------------------------------------


@jit
def relu(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        v = x[i]
        y[i] = zero if v <= zero else v


@jit
def relu_slope(g, y, out):
    zero = g.dtype.type(0)
    for i in range(g.size):
        v = g[i]
        out[i] = v if y[i] != zero else zero


@numba.njit(inline="always")
def _exp(v):
    """Return e**v for v <= 0 in float32, within two units of the last place; 0 below -87.3."""
    f = np.float32
    inside = v >= f(-87.3)  # not of a NaN either, which no integer can hold
    t = v if inside else f(-87.3)
    k = np.floor(t * f(1.44269504) + f(0.5))
    r = t - k * f(0.693359375) + k * f(2.12194440e-4)
    q = f(1.9875691500e-4)
    q = q * r + f(1.3981999507e-3)
    q = q * r + f(8.3334519073e-3)
    q = q * r + f(4.1665795894e-2)
    q = q * r + f(1.6666665459e-1)
    q = q * r + f(5.0000001201e-1)
    q = q * r * r + r + f(1)
    q *= np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return q if inside else (v if v != v else f(0))


@jit
def sigmoid(x, y):
    one, zero = np.float32(1), np.float32(0)
    for i in range(x.size):
        v = x[i]
        e = _exp(-abs(v))
        y[i] = (one if v >= zero else e) / (one + e)


@jit
def sigmoid_slope(g, y, out):
    one = g.dtype.type(1)
    for i in range(g.size):
        out[i] = g[i] * (y[i] * (one - y[i]))


@jit
def add_to_rows(y, b):
    rows, columns = y.shape
    for i in range(rows):
        for j in range(columns):
            y[i, j] += b[j]


# --- losses -------------------------------------------------------------------------------------


@jit
def cross_entropy(x, labels, e, sums):
    """Return the summed loss of (N, C) logits; `e` becomes e**(x - max), `sums` (N,) its sums."""
    rows, classes = x.shape
    for i in range(rows):
        m = x[i, 0]
        for j in range(1, classes):
            m = m if m > x[i, j] else x[i, j]
        for j in range(classes):
            e[i, j] = x[i, j] - m
    loss = 0.0
    for i in range(rows):
        loss -= e[i, labels[i]]
    flat = e.reshape(-1)
    for i in range(flat.size):
        flat[i] = _exp(flat[i])
    for i in range(rows):
        s = np.float32(0)
        for j in range(classes):
            s += e[i, j]
        sums[i] = s
        loss += np.log(s)
    return loss


@jit
def cross_entropy_slope(e, sums, labels, g, out):
    rows, classes = e.shape
    for i in range(rows):
        share = g / sums[i]
        for j in range(classes):
            out[i, j] = e[i, j] * share
        out[i, labels[i]] -= g


@numba.njit(inline="always")
def _log1p(v):
    """Return ln(1 + v) for v from 0 to 1 in float32: the series of 2 artanh(v / (2 + v))."""
    f = np.float32
    s = v / (v + f(2))
    t = s * s
    q = f(1 / 13)
    q = q * t + f(1 / 11)
    q = q * t + f(1 / 9)
    q = q * t + f(1 / 7)
    q = q * t + f(1 / 5)
    q = q * t + f(1 / 3)
    return f(2) * (s + s * t * q)


@jit
def logit_bce(x, t, p):
    """Return the summed loss of logits; `p` becomes their sigmoid."""
    one, zero = np.float32(1), np.float32(0)
    loss = 0.0
    for i in range(x.size):
        v = x[i]
        e = _exp(-abs(v))
        p[i] = (one if v >= zero else e) / (one + e)
        # not max(v, 0) - v * t, which is infinity less infinity
        loss += (one - t[i]) * v - (v if v <= zero else zero) + _log1p(e)
    return loss


@jit
def difference(p, t, g, out):
    for i in range(p.size):
        out[i] = (p[i] - t[i]) * g


# --- pooling ------------------------------------------------------------------------------------


@jit
def max_pool_2x2(x, y, code):
    """Pool by 2 x 2 in steps of 2; `code` is which of the four was chosen, row by row."""
    channels, rows, columns, images = y.shape
    first, second, third, fourth = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(3)
    for c in range(channels):
        for p in range(rows):
            for q in range(columns):
                for n in range(images):
                    a, b = x[c, 2 * p, 2 * q, n], x[c, 2 * p, 2 * q + 1, n]
                    d, e = x[c, 2 * p + 1, 2 * q, n], x[c, 2 * p + 1, 2 * q + 1, n]
                    # a NaN is larger than all before it, and nothing is larger than a NaN
                    later = (b > a) | (b != b)
                    k = second if later else first
                    m = b if later else a
                    later = (d > m) | (d != d)
                    k = third if later else k
                    m = d if later else m
                    later = (e > m) | (e != e)
                    y[c, p, q, n] = e if later else m
                    code[c, p, q, n] = fourth if later else k


@jit
def max_pool(x, y, code, kernel, stride, padding):
    """Pool by any window; `code` is the chosen position in it, row by row."""
    channels, rows, columns, images = y.shape
    height, width = x.shape[1], x.shape[2]
    for c in range(channels):
        for p in range(rows):
            for q in range(columns):
                top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
                first = max(0, -top) * kernel[1] + max(0, -left)
                for n in range(images):
                    y[c, p, q, n] = x[c, max(0, top), max(0, left), n]
                    code[c, p, q, n] = first
                for k in range(max(0, -top), min(kernel[0], height - top)):
                    for l in range(max(0, -left), min(kernel[1], width - left)):
                        here = np.uint8(k * kernel[1] + l)
                        for n in range(images):
                            v, m, chosen = (
                                x[c, top + k, left + l, n],
                                y[c, p, q, n],
                                code[c, p, q, n],
                            )
                            later = (v > m) | (v != v)
                            y[c, p, q, n] = v if later else m
                            code[c, p, q, n] = here if later else chosen


@jit
def max_pool_slope(g, code, out, kernel, stride, padding):
    channels, rows, columns, images = g.shape
    height, width = out.shape[1], out.shape[2]
    zero = g.dtype.type(0)
    out[:] = zero
    for c in range(channels):
        for p in range(rows):
            for q in range(columns):
                top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
                for k in range(max(0, -top), min(kernel[0], height - top)):
                    for l in range(max(0, -left), min(kernel[1], width - left)):
                        here = k * kernel[1] + l
                        for n in range(images):
                            v = g[c, p, q, n]
                            out[c, top + k, left + l, n] += v if code[c, p, q, n] == here else zero


# --- convolution by 3 x 3, pooling by 2 x 2, relu -----------------------------------------------

DEAD = 4  # the code of a window whose largest element is negative or 0, so that relu gives 0


@numba.njit(inline="always")
def _four(x, w, c, h, v, n):
    """Return the convolution of one channel at the four pixels of one window."""
    x00, x01, x02, x03 = x[c, h, v, n], x[c, h, v + 1, n], x[c, h, v + 2, n], x[c, h, v + 3, n]
    h += 1
    x10, x11, x12, x13 = x[c, h, v, n], x[c, h, v + 1, n], x[c, h, v + 2, n], x[c, h, v + 3, n]
    h += 1
    x20, x21, x22, x23 = x[c, h, v, n], x[c, h, v + 1, n], x[c, h, v + 2, n], x[c, h, v + 3, n]
    h += 1
    x30, x31, x32, x33 = x[c, h, v, n], x[c, h, v + 1, n], x[c, h, v + 2, n], x[c, h, v + 3, n]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w
    s0 = w0 * x00 + w1 * x01 + w2 * x02 + w3 * x10 + w4 * x11
    s1 = w0 * x01 + w1 * x02 + w2 * x03 + w3 * x11 + w4 * x12
    s2 = w0 * x10 + w1 * x11 + w2 * x12 + w3 * x20 + w4 * x21
    s3 = w0 * x11 + w1 * x12 + w2 * x13 + w3 * x21 + w4 * x22
    s0 += w5 * x12 + w6 * x20 + w7 * x21 + w8 * x22
    s1 += w5 * x13 + w6 * x21 + w7 * x22 + w8 * x23
    s2 += w5 * x22 + w6 * x30 + w7 * x31 + w8 * x32
    s3 += w5 * x23 + w6 * x31 + w7 * x32 + w8 * x33
    return s0, s1, s2, s3


@numba.njit(inline="always")
def _kernel(w, o, c):
    k = w[o, c]
    return k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]


@jit
def conv_pool_relu(x, w, b, y, code, sums):
    """Convolve (C, H, W, N) with (O, C, 9), pool by 2 x 2, add the bias, and cut at 0.

    `sums` is scratch (4, N), of zeros.
    """
    last = x.shape[0] - 1
    outs, rows, columns, images = y.shape
    zero = x.dtype.type(0)
    one, two, three, dead = np.uint8(1), np.uint8(2), np.uint8(3), np.uint8(DEAD)
    for p in range(rows):
        for q in range(columns):
            for o in range(outs):
                bias = b[o]
                if last:
                    sums[:] = zero
                for c in range(last):
                    kernel = _kernel(w, o, c)
                    for n in range(images):
                        s0, s1, s2, s3 = _four(x, kernel, c, 2 * p, 2 * q, n)
                        sums[0, n] += s0
                        sums[1, n] += s1
                        sums[2, n] += s2
                        sums[3, n] += s3
                kernel = _kernel(w, o, last)
                for n in range(images):
                    s0, s1, s2, s3 = _four(x, kernel, last, 2 * p, 2 * q, n)
                    s0 += sums[0, n]
                    s1 += sums[1, n]
                    s2 += sums[2, n]
                    s3 += sums[3, n]
                    later = (s1 > s0) | (s1 != s1)
                    k = one if later else np.uint8(0)
                    m = s1 if later else s0
                    later = (s2 > m) | (s2 != s2)
                    k = two if later else k
                    m = s2 if later else m
                    later = (s3 > m) | (s3 != s3)
                    k = three if later else k
                    m = (s3 if later else m) + bias
                    code[o, p, q, n] = dead if m <= zero else k
                    y[o, p, q, n] = zero if m <= zero else m


@jit
def conv_pool_relu_weight(x, g, code, dw):
    """Write the gradient in the kernels (O, C, 9), given that of the pooled output."""
    channels = x.shape[0]
    outs, rows, columns, images = g.shape
    z = g.dtype.type(0)
    for o in range(outs):
        for c in range(channels):
            d0 = d1 = d2 = d3 = d4 = d5 = d6 = d7 = d8 = z
            for p in range(rows):
                for q in range(columns):
                    h, v = 2 * p, 2 * q
                    for n in range(images):
                        u, k = g[o, p, q, n], code[o, p, q, n]
                        g0 = u if k == 0 else z
                        g1 = u if k == 1 else z
                        g2 = u if k == 2 else z
                        g3 = u if k == 3 else z
                        x00, x01 = x[c, h, v, n], x[c, h, v + 1, n]
                        x02, x03 = x[c, h, v + 2, n], x[c, h, v + 3, n]
                        x10, x11 = x[c, h + 1, v, n], x[c, h + 1, v + 1, n]
                        x12, x13 = x[c, h + 1, v + 2, n], x[c, h + 1, v + 3, n]
                        x20, x21 = x[c, h + 2, v, n], x[c, h + 2, v + 1, n]
                        x22, x23 = x[c, h + 2, v + 2, n], x[c, h + 2, v + 3, n]
                        x30, x31 = x[c, h + 3, v, n], x[c, h + 3, v + 1, n]
                        x32, x33 = x[c, h + 3, v + 2, n], x[c, h + 3, v + 3, n]
                        d0 += g0 * x00 + g1 * x01 + g2 * x10 + g3 * x11
                        d1 += g0 * x01 + g1 * x02 + g2 * x11 + g3 * x12
                        d2 += g0 * x02 + g1 * x03 + g2 * x12 + g3 * x13
                        d3 += g0 * x10 + g1 * x11 + g2 * x20 + g3 * x21
                        d4 += g0 * x11 + g1 * x12 + g2 * x21 + g3 * x22
                        d5 += g0 * x12 + g1 * x13 + g2 * x22 + g3 * x23
                        d6 += g0 * x20 + g1 * x21 + g2 * x30 + g3 * x31
                        d7 += g0 * x21 + g1 * x22 + g2 * x31 + g3 * x32
                        d8 += g0 * x22 + g1 * x23 + g2 * x32 + g3 * x33
            dw[o, c, 0], dw[o, c, 1], dw[o, c, 2] = d0, d1, d2
            dw[o, c, 3], dw[o, c, 4], dw[o, c, 5] = d3, d4, d5
            dw[o, c, 6], dw[o, c, 7], dw[o, c, 8] = d6, d7, d8


@jit
def conv_pool_relu_bias(g, code, db):
    outs, rows, columns, images = g.shape
    zero = g.dtype.type(0)
    for o in range(outs):
        s = zero
        for p in range(rows):
            for q in range(columns):
                for n in range(images):
                    s += g[o, p, q, n] if code[o, p, q, n] != DEAD else zero
        db[o] = s


# --- optimisers ---------------------------------------------------------------------------------
# Flat arrays, and in `c` the numbers of the step in the order of the rule's named tuple.


@numba.njit(inline="always")
def _objective(g, p, penalty, sign):
    """Return the gradient of what is minimised: negated to climb, plus that of an L2 penalty."""
    g = g * sign
    return g + penalty * p if penalty != 0 else g


@jit
def adam(p, g, m, v, c):
    beta1, gain1, beta2, gain2, step_size = c[0], c[1], c[2], c[3], c[4]
    eps, eps_root, shrink, penalty = c[5], c[6], c[7], c[8]
    sign = g.dtype.type(1) - (c[9] + c[9])
    for i in range(p.size):
        d = _objective(g[i], p[i], penalty, sign)
        m[i] = beta1 * m[i] + gain1 * d
        v[i] = beta2 * v[i] + gain2 * (d * d)
        p[i] = shrink * p[i] - m[i] / (np.sqrt(v[i] + eps_root) + eps) * step_size


@jit
def amsgrad(p, g, m, v, top, c):
    beta1, gain1, beta2, gain2, step_size = c[0], c[1], c[2], c[3], c[4]
    eps, eps_root, shrink, penalty = c[5], c[6], c[7], c[8]
    sign = g.dtype.type(1) - (c[9] + c[9])
    for i in range(p.size):
        d = _objective(g[i], p[i], penalty, sign)
        m[i] = beta1 * m[i] + gain1 * d
        u = beta2 * v[i] + gain2 * (d * d)
        v[i] = u
        t = top[i]
        t = t if (t >= u) | (t != t) else u  # a NaN on either side stays
        top[i] = t
        p[i] = shrink * p[i] - m[i] / (np.sqrt(t + eps_root) + eps) * step_size


@jit
def sgd(p, g, c):
    lr, penalty = c[0], c[5]
    sign = g.dtype.type(1) - (c[6] + c[6])
    for i in range(p.size):
        p[i] -= lr * _objective(g[i], p[i], penalty, sign)


@jit
def sgd_momentum(p, g, b, c):
    lr, momentum, keep, gain, nesterov, penalty = c[0], c[1], c[2], c[3], c[4], c[5]
    sign = g.dtype.type(1) - (c[6] + c[6])
    for i in range(p.size):
        d = _objective(g[i], p[i], penalty, sign)
        u = keep * b[i] + gain * d
        b[i] = u
        p[i] -= lr * (d + momentum * u if nesterov != 0 else u)


@jit
def rmsprop(p, g, v, c):
    lr, alpha, gain, eps, eps_root, penalty = c[0], c[1], c[2], c[3], c[4], c[7]
    sign = g.dtype.type(1) - (c[8] + c[8])
    for i in range(p.size):
        d = _objective(g[i], p[i], penalty, sign)
        v[i] = alpha * v[i] + gain * (d * d)
        p[i] -= d / (np.sqrt(v[i] + eps_root) + eps) * lr
