"""Two blocks of a convolution that keep their sums in vector registers, and the loops over them.

Numba cannot say "this stays in a register".  So the two innermost loops are written as LLVM code
for one block of sums, whose size fits the registers of this processor, and everything around them
is ordinary compiled Python.  Vectors run along a row of pixels and the images of a batch, which lie
side by side in memory (see `tinygrad_adam.kernels.direct`), so that nothing is gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

__all__ = ["BIG", "LANES", "ROWS", "SMALL", "TAPS", "convolve_rows", "correlate_rows"]


if config.DISABLE_JIT:
    raise ImportError("numba does not compile: NUMBA_DISABLE_JIT is set")


def _features() -> dict[str, bool]:
    if config.CPU_FEATURES is None:
        return dict(binding.get_host_cpu_features())
    return {flag[1:]: flag[0] == "+" for flag in config.CPU_FEATURES.split(",") if flag}


def _registers() -> tuple[int, int]:
    """Return float32 lanes of a vector, and vectors of sums that fit the registers, over 6."""
    has = _features()
    if has.get("avx512f"):
        return 16, 4
    if has.get("avx2") and has.get("fma"):
        return 8, 2
    return 4, 4 if has.get("neon") else 2


LANES, UNIT = _registers()
# Output channels of a block of the convolution, two vectors wide; two sizes reach most channels.
BIG, SMALL = 3 * UNIT, 2 * UNIT
# Output channels and kernel positions of a block of the gradient in the kernel.
ROWS, TAPS = 2 * UNIT, 3

_FLOAT, _INT, _WORD = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_POINTER = _VECTOR.as_pointer()
_MASK = ir.VectorType(ir.IntType(1), LANES)


def _int(value: int) -> Any:
    return ir.Constant(_INT, value)


class _Code:
    """Writes the instructions of one block."""

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        self.context, self.builder, self.types = context, builder, signature.args

    def start(self, args: Any, k: int, offset: Any = None) -> Any:
        """Return the address of element `offset` of the array that argument `k` is."""
        data = cgutils.create_struct_proxy(self.types[k])(self.context, self.builder, args[k]).data
        return data if offset is None else self.at(data, offset)

    def at(self, address: Any, offset: Any) -> Any:
        return self.builder.gep(address, [offset])

    def item(self, address: Any, offset: Any) -> Any:
        return self.builder.load(self.at(address, offset))

    def sums(self, rows: int, columns: int) -> list[list[Any]]:
        return [
            [cgutils.alloca_once(self.builder, _VECTOR) for _ in range(columns)]
            for _ in range(rows)
        ]

    def spread(self, value: Any, lanes: int = LANES) -> Any:
        empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(_WORD, 0))
        zeros = ir.Constant(ir.VectorType(_WORD, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def below(self, count: Any) -> Any:
        """Return the mask of the lanes 0 ... count - 1."""
        lanes = ir.Constant(ir.VectorType(_INT, LANES), list(range(LANES)))
        return self.builder.icmp_signed("<", lanes, self.spread(count))

    def load(self, address: Any, offset: Any, mask: Any = None) -> Any:
        where = self.builder.bitcast(self.at(address, offset), _POINTER)
        if mask is None:
            return self.builder.load(where, align=4)
        kind = ir.FunctionType(_VECTOR, [_POINTER, _WORD, _MASK, _VECTOR])
        zeros = ir.Constant(_VECTOR, [0.0] * LANES)
        return self.call("llvm.masked.load", kind, where, ir.Constant(_WORD, 4), mask, zeros)

    def store(self, value: Any, address: Any, offset: Any, mask: Any = None) -> None:
        where = self.builder.bitcast(self.at(address, offset), _POINTER)
        if mask is None:
            self.builder.store(value, where, align=4)
            return
        kind = ir.FunctionType(ir.VoidType(), [_VECTOR, _POINTER, _WORD, _MASK])
        self.call("llvm.masked.store", kind, value, where, ir.Constant(_WORD, 4), mask)

    def call(self, name: str, kind: Any, *args: Any) -> Any:
        full = f"{name}.v{LANES}f32.p0"
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, full), args
        )

    def add_product(self, total: Any, a: Any, b: Any) -> None:
        """Add a b to a sum: one instruction where the processor has it."""
        b_ = self.builder
        product = b_.fmul(a, b, flags=("contract",))
        b_.store(b_.fadd(b_.load(total), product, flags=("contract",)), total)

    def total(self, vector: Any) -> Any:
        """Return the sum of all lanes."""
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [_FLOAT(0.0), vector], fastmath=("reassoc",))

    @contextmanager
    def loop(self, stop: Any, step: int = 1) -> Iterator[Any]:
        with cgutils.for_range_slice(self.builder, _int(0), stop, _int(step)) as (index, _):
            yield index


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _convolve(
    typing: Any, rows: Any, x: Any, j: Any, at: Any, w: Any, i: Any, b: Any, o: Any,
    last: Any, y: Any, m: Any, pitch: Any, left: Any,
) -> tuple[Any, Callable[..., Any]]:  # fmt: skip
    """Write y[m + r pitch + lanes] = b[o + r] + sum_d w[i + d rows + r] x[j + at[d] + lanes].

    Two vectors of lanes, of which `left` are stored; for r = 0 ... rows - 1, where rows beyond
    `last` repeat it.
    """
    count = rows.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature)
        last, pitch, left = args[8], args[11], args[12]
        x, at, w = code.start(args, 1, args[2]), code.start(args, 3), code.start(args, 4, args[5])
        b, y = code.start(args, 6, args[7]), code.start(args, 9, args[10])
        sums = code.sums(count, 2)
        for r, row in enumerate(sums):
            start = code.spread(code.item(b, _int(r)))
            for total in row:
                builder.store(start, total)
        depth = cgutils.create_struct_proxy(signature.args[3])(context, builder, args[3]).nitems
        with code.loop(depth) as d:
            pixel = code.at(x, code.item(at, d))
            pixels = [code.load(pixel, _int(0)), code.load(pixel, _int(LANES))]
            weights = code.at(w, builder.mul(d, _int(count)))
            for r, row in enumerate(sums):
                weight = code.spread(code.item(weights, _int(r)))
                for total, some in zip(row, pixels, strict=True):
                    code.add_product(total, some, weight)

        def store(*masks: Any) -> None:
            for r, row in enumerate(sums):
                k = builder.select(builder.icmp_signed("<", _int(r), last), _int(r), last)
                address = code.at(y, builder.mul(k, pitch))
                for h, mask in enumerate(masks):
                    code.store(builder.load(row[h]), address, _int(h * LANES), mask)

        whole = builder.icmp_signed(">=", left, _int(2 * LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                store(None, None)
            with otherwise:
                store(code.below(left), code.below(builder.sub(left, _int(LANES))))
        return context.get_dummy_value()

    n = types.intp
    return types.none(rows, x, n, at, w, n, b, n, n, y, n, n, n), generate


@intrinsic  # type: ignore[untyped-decorator]
def _correlate(
    typing: Any, x: Any, j: Any, at: Any, d: Any, g: Any, h: Any, rows: Any, o: Any,
    height: Any, x_step: Any, g_step: Any, count: Any, sums: Any, m: Any, begin: Any, end: Any,
    out: Any, place: Any, pitch: Any,
) -> tuple[Any, Callable[..., Any]]:  # fmt: skip
    """Sum g[h + rows[o + r] + i] x[j + at[d + k] + i] over i < count and `height` rows.

    The steps lead from row to row.  The sums are vectors, lane l with the terms i = l modulo LANES.
    They go on from what the call before kept in (ROWS, TAPS, LANES) from m, from zero at the
    `begin`; at the `end` their totals are written to out[place + r pitch + k].
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature)
        height, x_step, g_step, count = args[8:12]
        begin, end, pitch = args[14], args[15], args[18]
        x, at = code.start(args, 0, args[1]), code.start(args, 2, args[3])
        g, rows = code.start(args, 4, args[5]), code.start(args, 6, args[7])
        kept, out = code.start(args, 12, args[13]), code.start(args, 16, args[17])
        sums = code.sums(ROWS, TAPS)
        each = [(r, k, total) for r, row in enumerate(sums) for k, total in enumerate(row)]
        with builder.if_else(begin) as (then, otherwise):
            with then:
                for *_, total in each:
                    builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
            with otherwise:
                for r, k, total in each:
                    builder.store(code.load(kept, _int((r * TAPS + k) * LANES)), total)
        pixels = [code.at(x, code.item(at, _int(k))) for k in range(TAPS)]
        gradients = [code.at(g, code.item(rows, _int(r))) for r in range(ROWS)]

        whole = builder.and_(count, _int(-LANES))
        left = builder.sub(count, whole)

        def step(x_at: Any, g_at: Any, mask: Any = None) -> None:
            seen = [code.load(pixel, x_at, mask) for pixel in pixels]
            for r, row in enumerate(sums):
                gradient = code.load(gradients[r], g_at, mask)
                for total, some in zip(row, seen, strict=True):
                    code.add_product(total, gradient, some)

        with code.loop(height) as p:
            x_row, g_row = builder.mul(p, x_step), builder.mul(p, g_step)
            with code.loop(whole, LANES) as i:
                step(builder.add(x_row, i), builder.add(g_row, i))
            with builder.if_then(builder.icmp_signed(">", left, _int(0)), likely=False):
                step(builder.add(x_row, whole), builder.add(g_row, whole), code.below(left))
        with builder.if_else(end) as (then, otherwise):
            with then:
                for r, k, total in each:
                    cell = code.at(out, builder.add(builder.mul(_int(r), pitch), _int(k)))
                    builder.store(code.total(builder.load(total)), cell)
            with otherwise:
                for r, k, total in each:
                    code.store(builder.load(total), kept, _int((r * TAPS + k) * LANES))
        return context.get_dummy_value()

    n = types.intp
    flag = types.boolean
    inputs = (x, n, at, n, g, n, rows, n, n, n, n, n)
    return types.none(*inputs, sums, n, flag, flag, out, n, n), generate


_compiled = numba.njit(nogil=True, error_model="numpy", cache=True)


@_compiled  # type: ignore[untyped-decorator]
def convolve_rows(
    x: Any, at: Any, w: Any, b: Any, y: Any, step: int, size: Any, blocks: Any, rows: Any
) -> None:
    """Write some rows of a convolution.

    Parameters
    ----------
    x : float32 array
        Flat padded images; readable for 2 LANES elements after the last pixel.
    at : int array, (depth,)
        How far from the first pixel of an output row the pixels under each kernel position are.
    w, b : float32 array
        Kernels and biases, packed by blocks of BIG, then SMALL channels: (depth, channels) each.
    y : float32 array
        Output, (O, P, row) flat.
    step : int
        From the pixels of one output row to those of the next.
    size : (int, int, int)
        O, P, and elements of a row.
    blocks : (int, int)
        How many blocks of each size.
    rows : (int, int)
        First row to write, and the one after the last.
    """
    channels, height, row = size
    depth = at.size
    for p in range(rows[0], rows[1]):
        o = 0
        for _ in range(blocks[0]):
            for t in range(0, row, 2 * LANES):
                _convolve(
                    BIG, x, p * step + t, at, w, o * depth, b, o,
                    channels - 1 - o, y, (o * height + p) * row + t, height * row, row - t,
                )  # fmt: skip
            o += BIG
        for _ in range(blocks[1]):
            for t in range(0, row, 2 * LANES):
                _convolve(
                    SMALL, x, p * step + t, at, w, o * depth, b, o,
                    channels - 1 - o, y, (o * height + p) * row + t, height * row, row - t,
                )  # fmt: skip
            o += SMALL


@_compiled  # type: ignore[untyped-decorator]
def correlate_rows(
    x: Any, at: Any, g: Any, rows: Any, steps: Any, size: Any, sums: Any, out: Any, first: int
) -> None:
    """Write a convolution's gradient in its kernels, for ROWS output channels from `first`.

    Parameters
    ----------
    x, at : array
        As for `convolve_rows`; as many positions as a multiple of TAPS.
    g : float32 array
        Gradient of the output, flat.
    rows : int array
        Where the first row of each output channel begins in it.
    steps : (int, int)
        From one row to the next in `x` and in `g`.
    size : (int, int, int)
        P, elements of a row, and how many elements at a time: so many stay in the nearest cache.
    sums : float32 array
        Room for (depth / TAPS, ROWS, TAPS, LANES), if not all elements fit into one time.
    out : float32 array
        The gradient, (ROWS, depth) flat.
    """
    height, row, piece = size
    some = max(1, piece // row)
    for p in range(0, height, some):
        for i in range(0, row, piece):
            begin, end = p == i == 0, p + some >= height and i + piece >= row
            for d in range(0, at.size, TAPS):
                _correlate(
                    x, p * steps[0] + i, at, d, g, p * steps[1] + i, rows, first,
                    min(some, height - p), steps[0], steps[1], min(piece, row - i),
                    sums, d * ROWS * LANES, begin, end, out, d, at.size,
                )  # fmt: skip
