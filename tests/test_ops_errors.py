"""Bad operands: the right error, with both sides in its message, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.autograd.memory import change_time
from tinygrad_adam.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    InPlaceError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)

F = tg.nn.functional
HALF, DOUBLE = {"dtype": tg.float16}, {"dtype": tg.float64}


def f(*shape, **settings):
    return tg.ones(shape, **settings)


def i(*values):
    return tg.tensor(list(values))


def assign(index, value):
    def write(x):
        x[index] = value

    return write


# name: operands, call, error, what the message must hold
BAD = {
    # element by element
    "add shapes": ([f(2, 3), f(4)], tg.add, ShapeError, ["add", "(2, 3)", "(4,)"]),
    "where shapes": ([f(2), f(3)], lambda a, b: tg.where(a > 0, a, b), ShapeError,
                     ["where", "(2,)", "(3,)"]),
    "where condition": ([f(2), f(2)], lambda a, b: tg.where(a, a, b), DTypeError,
                        ["where", "bool", "float32"]),
    "add text": ([f(2)], lambda a: a + "1", DTypeError, ["add", "str"]),
    "add list": ([f(2)], lambda a: [1, 2] * a, DTypeError, ["mul", "list"]),
    "no tensor": ([], lambda: tg.add(1, 2), DTypeError, ["add", "Tensor"]),
    "bool minus": ([i(True)], lambda a: a - a, DTypeError, ["sub", "bool"]),
    "integer power": ([i(2)], lambda a: a**-1, ArgumentError, ["pow", "int64 (1,)", "-1"]),
    "power of truths": ([i(True)], lambda a: a**a, DTypeError, ["pow", "bool (1,)"]),
    "power of a truth": ([i(True)], lambda a: True**a, DTypeError, ["pow", "True"]),
    "number too large": ([tg.ones(1, dtype=tg.int8)], lambda a: a + 2**70, ArgumentError,
                         ["add", str(2**70), "int8"]),
    "neg truth": ([i(True)], tg.neg, DTypeError, ["neg", "booleans", "logical_not"]),
    "relu truth": ([i(True)], tg.relu, DTypeError, ["relu", "booleans", ".float()"]),
    "alpha": ([i(1), i(2)], lambda a, b: tg.add(a, b, alpha=0.5), DTypeError,
              ["add", "alpha 0.5", "int64"]),
    "alpha list": ([f(2)], lambda a: a.sub(a, alpha=[1]), DTypeError, ["sub", "alpha", "list"]),
    "clamp nothing": ([f(2)], lambda a: a.clamp(), ArgumentError, ["clamp", "min", "max"]),
    "clamp shapes": ([f(2), f(3)], tg.clamp, ShapeError, ["clamp", "(2,)", "(3,)"]),
    "exp of a list": ([], lambda: tg.exp([1.0]), DTypeError, ["exp", "list"]),
    "and of floats": ([f(2)], lambda a: a & a, DTypeError, ["&", "float32"]),
    "not of floats": ([f(2)], lambda a: ~a, DTypeError, ["~", "float32"]),
    "cast": ([f(2)], lambda a: a.to("float31"), DTypeError, ["float31"]),
    "cast to complex": ([f(2)], lambda a: a.to(np.complex64), DTypeError, ["complex64"]),
    "dropout": ([f(2)], lambda a: F.dropout(a, 1.5), ArgumentError, ["dropout", "1.5"]),
    # products
    "matmul lengths": ([f(2, 3), f(2, 3)], tg.matmul, ShapeError,
                       ["matmul", "(2, 3) @ (2, 3)", "3 against 2"]),
    "matmul batches": ([f(2, 2, 3), f(3, 3, 1)], tg.matmul, ShapeError,
                       ["matmul", "(2, 2, 3)", "(3, 3, 1)"]),
    "matmul 0-d": ([f(), f(2)], tg.matmul, ShapeError, ["matmul", "()", "(2,)"]),
    "matmul types": ([f(2), f(2, **DOUBLE)], tg.matmul, DTypeError,
                     ["matmul", "float32", "float64"]),
    "matmul list": ([f(2)], lambda a: tg.matmul(a, [1.0, 2.0]), DTypeError, ["matmul", "list"]),
    "linear lengths": ([f(4, 3), f(2, 5)], F.linear, ShapeError, ["linear", "(4, 3)", "(2, 5)"]),
    "linear bias": ([f(4, 3), f(2, 3), f(3)], F.linear, ShapeError, ["linear", "(3,)", "(2, 3)"]),
    "linear weight": ([f(4, 3), f(3)], F.linear, ShapeError, ["linear", "(3,)"]),
    "linear types": ([f(4, 3), f(2, 3, **HALF)], F.linear, DTypeError,
                     ["linear", "float32", "float16"]),
    # reductions
    "sum axis": ([f(2, 3)], lambda a: a.sum(2), OutOfRangeError, ["sum", "2", "(2, 3)"]),
    "sum axis twice": ([f(2, 3)], lambda a: a.sum((0, -2)), ArgumentError, ["sum", "(2, 3)"]),
    "sum axis type": ([f(2, 3)], lambda a: a.sum((0.5,)), DTypeError, ["sum", "float"]),
    "sum axis bool": ([f(2, 3)], lambda a: a.sum(True), DTypeError, ["sum", "bool"]),
    "sum axes bool": ([f(2, 3)], lambda a: a.sum((True,)), DTypeError, ["sum", "bool"]),
    "mean as integers": ([f(2)], lambda a: a.mean(dtype=tg.int64), DTypeError, ["mean", "int64"]),
    "var both": ([f(2)], lambda a: a.var(0, True, correction=0), ArgumentError,
                 ["var", "correction=0", "unbiased=True"]),
    "std bool twice": ([f(2)], lambda a: a.std(True, False), ArgumentError, ["std", "True"]),
    "softmax as integers": ([f(2)], lambda a: a.softmax(0, dtype=tg.int64), DTypeError,
                            ["softmax", "int64"]),
    "mean of integers": ([i(1, 2)], tg.mean, DTypeError, ["mean", "int64"]),
    "var of integers": ([i(1, 2)], tg.var, DTypeError, ["var", "int64"]),
    "amax of nothing": ([f(2, 0)], lambda a: a.amax(1), ShapeError, ["amax", "(2, 0)"]),
    "max of nothing": ([f(0)], lambda a: a.max(0), ShapeError, ["max", "(0,)"]),
    "max of nothing at all": ([f(0)], tg.max, ShapeError, ["max", "(0,)"]),
    "argmax along nothing": ([f(0, 3)], lambda a: a.argmax(0), ShapeError, ["argmax", "(0, 3)"]),
    "argmin of nothing at all": ([f(0, 3)], tg.argmin, ShapeError, ["argmin", "(0, 3)"]),
    "argmax of nothing": ([f(0)], tg.argmax, ShapeError, ["argmax", "(0,)"]),
    "max axis": ([f(2)], lambda a: a.max(1), OutOfRangeError, ["max", "1", "(2,)"]),
    "argmax axis": ([f(2)], lambda a: a.argmax(-2), OutOfRangeError, ["argmax", "-2", "(2,)"]),
    "softmax axis": ([f(2, 2)], lambda a: a.softmax(2), OutOfRangeError, ["softmax", "(2, 2)"]),
    "cumsum axis": ([f(2)], lambda a: a.cumsum(1), OutOfRangeError, ["cumsum", "(2,)"]),
    "logsumexp axis": ([f(2)], lambda a: a.logsumexp(3), OutOfRangeError, ["logsumexp", "(2,)"]),
    # shapes
    "reshape": ([f(2, 3)], lambda a: a.reshape(4, 2), ShapeError, ["(2, 3)", "6", "(4, 2)"]),
    "reshape -1": ([f(2, 3)], lambda a: a.reshape(4, -1), ShapeError, ["(2, 3)", "(4, -1)"]),
    "reshape -1 twice": ([f(2, 3)], lambda a: a.reshape(-1, -1), ShapeError, ["(-1, -1)"]),
    "reshape -2": ([f(2, 3)], lambda a: a.reshape(-2, -3), ShapeError, ["(-2, -3)"]),
    "reshape 0 and -1": ([f(0)], lambda a: a.reshape(0, -1), ShapeError, ["(0, -1)"]),
    "reshape type": ([f(2)], lambda a: a.reshape(2.0), DTypeError, ["reshape", "2.0"]),
    "flatten order": ([f(2, 3)], lambda a: a.flatten(1, 0), ArgumentError, ["flatten", "(2, 3)"]),
    "flatten axis": ([f(2, 3)], lambda a: a.flatten(2), OutOfRangeError, ["flatten", "(2, 3)"]),
    "permute": ([f(2, 3)], lambda a: a.permute(0, 0), ShapeError, ["permute", "(0, 0)", "(2, 3)"]),
    "permute few": ([f(2, 3)], lambda a: a.permute(0), ShapeError, ["permute", "(2, 3)"]),
    "transpose": ([f(2, 3)], lambda a: a.transpose(0, 2), OutOfRangeError, ["transpose", "(2, 3)"]),
    "movedim": ([f(2, 3)], lambda a: a.movedim(0, 2), OutOfRangeError, ["movedim", "(2, 3)"]),
    "mT": ([f(2)], lambda a: a.mT, ShapeError, ["mT", "(2,)"]),
    "t": ([f(2, 2, 2)], lambda a: a.t(), ShapeError, ["t:", "(2, 2, 2)"]),
    "squeeze": ([f(2, 1)], lambda a: a.squeeze(2), OutOfRangeError, ["squeeze", "(2, 1)"]),
    "unsqueeze": ([f(2)], lambda a: a.unsqueeze(3), OutOfRangeError, ["unsqueeze", "(2,)"]),
    "expand": ([f(2, 3)], lambda a: a.expand(4, 3), ShapeError, ["expand", "(2, 3)", "(4, 3)"]),
    "expand fewer": ([f(2, 3)], lambda a: a.expand(3), ShapeError, ["expand", "(2, 3)", "(3,)"]),
    "expand new -1": ([f(3)], lambda a: a.expand(-1, 3), ShapeError, ["expand", "(-1, 3)"]),
    "cat shapes": ([f(2, 3), f(2, 4)], lambda a, b: tg.cat([a, b]), ShapeError,
                   ["cat", "(2, 3)", "(2, 4)"]),
    "cat axes": ([f(2, 3), f(2)], lambda a, b: tg.cat([a, b]), ShapeError, ["(2, 3)", "(2,)"]),
    "cat nothing": ([], lambda: tg.cat([]), ShapeError, ["cat"]),
    "cat 0-d": ([f()], lambda a: tg.cat([a]), ShapeError, ["cat", "stack"]),
    "cat arrays": ([], lambda: tg.cat([np.ones(2)]), DTypeError, ["cat", "ndarray"]),
    "cat axis": ([f(2)], lambda a: tg.cat([a], 1), OutOfRangeError, ["cat", "(2,)"]),
    "stack shapes": ([f(2), f(3)], lambda a, b: tg.stack([a, b]), ShapeError,
                     ["stack", "(2,)", "(3,)"]),
    "split lengths": ([f(5)], lambda a: a.split([2, 2]), ShapeError, ["split", "[2, 2]", "5"]),
    "split negative": ([f(5)], lambda a: a.split([6, -1]), ShapeError, ["split", "[6, -1]"]),
    "split 0": ([f(5)], lambda a: a.split(0), ArgumentError, ["split", "0"]),
    "split 0-d": ([f()], lambda a: a.split(1), ShapeError, ["split", "0-d"]),
    "chunk 0": ([f(5)], lambda a: a.chunk(0), ArgumentError, ["chunk", "0"]),
    "flip axis": ([f(2)], lambda a: a.flip(1), OutOfRangeError, ["flip", "(2,)"]),
    "flip twice": ([f(2)], lambda a: a.flip((0, -1)), ArgumentError, ["flip", "(0, -1)"]),
    "pad odd": ([f(2)], lambda a: F.pad(a, (1,)), ArgumentError, ["pad", "1"]),
    "pad axes": ([f(2)], lambda a: F.pad(a, (1, 1, 1, 1)), ShapeError, ["pad", "2", "(2,)"]),
    "pad cut": ([f(3)], lambda a: F.pad(a, (-2, -2)), ShapeError, ["pad", "(-2, -2)", "(3,)"]),
    "pad cut and more": ([f(3)], lambda a: F.pad(a, (-4, 2)), ShapeError, ["(-4, 2)", "(3,)"]),
    "pad mode": ([f(2)], lambda a: tg.pad(a, (1, 1), mode="mirror"), ArgumentError,
                 ["pad", "mirror", "reflect"]),
    "pad reflect value": ([f(2)], lambda a: tg.pad(a, (1, 1), "reflect", 1.0), ArgumentError,
                  ["pad", "reflect", "1.0"]),
    "pad reflect": ([f(2, 3)], lambda a: tg.pad(a, (1, 3), "reflect"), ShapeError,
                    ["pad", "(1, 3)", "(2, 3)"]),
    "pad circular": ([f(3)], lambda a: tg.pad(a, (4, 0), "circular"), ShapeError,
                     ["pad", "(4, 0)", "length 3"]),
    "pad nothing": ([f(2, 0)], lambda a: tg.pad(a, (1, 0), "replicate"), ShapeError,
                    ["pad", "length 0"]),
    "div mode": ([f(2)], lambda a: tg.div(a, 2, rounding_mode="up"), ArgumentError,
                 ["div", "rounding_mode", "'up'"]),
    "div by 0": ([i(2), i(0)], lambda a, b: tg.div(a, b, rounding_mode="floor"), ArgumentError,
                 ["div", "int64 (1,)", "divided by 0"]),
    "round integers": ([i(2)], lambda a: tg.round(a, decimals=1), DTypeError,
                       ["round", "decimals=1", "int64"]),
    "pool divisor": ([f(1, 1, 2, 2)], lambda x: F.avg_pool2d(x, 2, divisor_override=0),
                     ArgumentError, ["avg_pool2d", "divisor_override"]),
    "arange away": ([f(2)], lambda a: tg.arange(0, 3, -1), ArgumentError, ["arange", "-1", "3"]),
    "arange of infinity": ([f(2)], lambda a: tg.arange(float("inf")), ArgumentError, ["arange"]),
    "pad value": ([i(1)], lambda a: F.pad(a, (1, 1), value=0.5), DTypeError, ["0.5", "int64"]),
    # indexing
    "index range": ([f(2, 3)], lambda a: a[2], OutOfRangeError, ["getitem", "2", "(2, 3)"]),
    "index many": ([f(2)], lambda a: a[0, 0], OutOfRangeError, ["getitem", "(2,)"]),
    "index array": ([f(3)], lambda a: a[i(0, 3)], OutOfRangeError, ["getitem", "3", "(3,)"]),
    "index mask": ([f(3)], lambda a: a[i(True, False)], OutOfRangeError, ["getitem", "3", "2"]),
    "index shapes": ([f(3, 3)], lambda a: a[i(0, 1), i(0, 1, 2)], OutOfRangeError,
                     ["getitem", "(2,)", "(3,)"]),
    "index float": ([f(3)], lambda a: a[f(1)], DTypeError, ["getitem", "float32"]),
    "index text": ([f(3)], lambda a: a["0"], DTypeError, ["getitem", "str"]),
    "index ragged": ([f(3)], lambda a: a[[[0], [1, 2]]], ShapeError, ["getitem", "rectangular"]),
    "assign range": ([f(2)], assign(2, 1.0), OutOfRangeError, ["setitem", "2", "(2,)"]),
    "assign shape": ([f(2, 3)], assign(0, f(2)), ShapeError, ["setitem", "(2,)", "(3,)"]),
    "assign axes": ([f(2)], assign(..., f(2, 2)), ShapeError, ["setitem", "(2, 2)", "(2,)"]),
    "assign text": ([f(2)], assign(0, "a"), DTypeError, ["<U1"]),
    "assign None": ([f(2)], assign(0, None), DTypeError, ["object"]),
    "assign ragged": ([f(2)], assign(0, [[1], [1, 2]]), ShapeError, ["setitem"]),
    "assign large": ([tg.ones(2, dtype=tg.int8)], assign(0, 300), ArgumentError, ["300", "int8"]),
    "assign to a leaf": ([f(2, requires_grad=True)], assign(0, 1.0), InPlaceError,
                         ["setitem", "no_grad", "clone"]),
    "assign to a repeat": ([f(1)], lambda a: assign(0, 1.0)(a.expand(3)), InPlaceError,
                           ["setitem", "(3,)", "clone"]),
    "gather axes": ([f(2, 3), i(0)], lambda a, b: tg.gather(a, 1, b), ShapeError,
                    ["gather", "(2, 3)", "(1,)"]),
    "gather shape": ([f(2, 3), i(0, 1, 0)], lambda a, b: tg.gather(a, 1, b.reshape(3, 1)),
                     ShapeError, ["gather", "(2, 3)", "(3, 1)"]),
    "gather range": ([f(3), i(0, 3)], lambda a, b: tg.gather(a, 0, b), OutOfRangeError,
                     ["gather", "3"]),
    "gather negative": ([f(3), i(-1)], lambda a, b: tg.gather(a, 0, b), OutOfRangeError,
                        ["gather", "-1", "3"]),
    "gather type": ([f(3), f(3)], lambda a, b: tg.gather(a, 0, b), DTypeError,
                    ["gather", "float32"]),
    "gather dim": ([f(3), i(0)], lambda a, b: tg.gather(a, 1, b), OutOfRangeError,
                   ["gather", "1", "(3,)"]),
    "one_hot type": ([f(2)], tg.one_hot, DTypeError, ["one_hot", "float32"]),
    "one_hot range": ([i(0, 3)], lambda a: tg.one_hot(a, 3), DataError, ["one_hot", "3", "(1,)"]),
    "one_hot negative": ([i(0, -1)], tg.one_hot, DataError, ["one_hot", "-1"]),
    "one_hot nothing": ([tg.zeros(0).long()], tg.one_hot, DataError, ["one_hot", "num_classes"]),
    # images
    "conv2d channels": ([f(2, 1, 5, 5), f(4, 3, 3, 3)], F.conv2d, ShapeError,
                        ["conv2d", "3 input channels", "x has 1", "(2, 1, 5, 5)", "(4, 3, 3, 3)"]),
    "conv2d axes": ([f(5, 5), f(4, 1, 3, 3)], F.conv2d, ShapeError, ["(5, 5)", "(4, 1, 3, 3)"]),
    "conv2d weight": ([f(1, 1, 5, 5), f(3, 3)], F.conv2d, ShapeError, ["(1, 1, 5, 5)", "(3, 3)"]),
    "conv2d size": ([f(1, 1, 2, 5), f(1, 1, 3, 3)], F.conv2d, ShapeError,
                    ["conv2d", "(3, 3)", "(2, 5)"]),
    "conv2d bias": ([f(1, 1, 3, 3), f(2, 1, 3, 3), f(3)], F.conv2d, ShapeError, ["(2,)", "(3,)"]),
    "conv2d types": ([f(1, 1, 3, 3), f(1, 1, 3, 3, **DOUBLE)], F.conv2d, DTypeError,
                     ["conv2d", "float32", "float64"]),
    "conv2d integers": ([f(1, 1, 3, 3).long()] * 2, F.conv2d, DTypeError, ["conv2d", "int64"]),
    "conv2d groups": ([f(1, 3, 3, 3), f(2, 1, 3, 3)], lambda x, w: F.conv2d(x, w, groups=2),
                      ArgumentError, ["groups=2", "3 input", "2 output"]),
    "conv2d groups type": ([f(1, 3, 3, 3), f(2, 1, 3, 3)],
                           lambda x, w: F.conv2d(x, w, groups="a"), DTypeError, ["'a'"]),
    "conv2d no kernel": ([f(1, 1, 3, 3), f(1, 1, 0, 2)], F.conv2d, ShapeError,
                         ["conv2d", "(1, 1, 0, 2)"]),
    "conv2d padding array": ([f(1, 1, 3, 3), f(1, 1, 3, 3)],
                             lambda x, w: F.conv2d(x, w, padding=np.ones((2, 2))), DTypeError,
                             ["padding"]),
    "conv2d stride bool": ([f(1, 1, 3, 3), f(1, 1, 3, 3)],
                           lambda x, w: F.conv2d(x, w, stride=True), DTypeError, ["stride"]),
    "conv2d stride": ([f(1, 1, 3, 3), f(1, 1, 3, 3)], lambda x, w: F.conv2d(x, w, stride=0),
                      ArgumentError, ["stride", "0"]),
    "conv2d padding": ([f(1, 1, 3, 3), f(1, 1, 3, 3)],
                       lambda x, w: F.conv2d(x, w, padding=(1, -1)), ArgumentError,
                       ["padding", "-1"]),
    "conv2d padding name": ([f(1, 1, 3, 3), f(1, 1, 3, 3)],
                            lambda x, w: F.conv2d(x, w, padding="full"), ArgumentError, ["full"]),
    "conv2d same": ([f(1, 1, 3, 3), f(1, 1, 2, 2)], lambda x, w: F.conv2d(x, w, None, 2, "same"),
                    ArgumentError, ["same", "(2, 2)"]),
    "conv2d dilation": ([f(1, 1, 3, 3), f(1, 1, 3, 3)],
                        lambda x, w: F.conv2d(x, w, dilation=(1, 2, 3)), ArgumentError,
                        ["dilation", "(1, 2, 3)"]),
    "max_pool2d axes": ([f(3, 3)], lambda x: F.max_pool2d(x, 2), ShapeError,
                        ["max_pool2d", "(3, 3)"]),
    "max_pool2d size": ([f(1, 1, 2, 2)], lambda x: F.max_pool2d(x, 3), ShapeError,
                        ["(3, 3)", "(2, 2)"]),
    "any dim": ([f(2, 3)], lambda x: tg.any(x, dim=2), OutOfRangeError, ["any", "dim 2", "(2, 3)"]),
    "all number": ([], lambda: tg.all(1.0), DTypeError, ["all", "float"]),
    "sub truths": ([f(2)], lambda x: x - (x > 0), DTypeError, ["sub", "logical_not"]),
    "max_pool2d padding": ([f(1, 1, 4, 4)], lambda x: F.max_pool2d(x, 2, padding=2), ArgumentError,
                           ["(2, 2)", "padding"]),
    "max_pool2d integers": ([f(1, 1, 2, 2).long()], lambda x: F.max_pool2d(x, 2), DTypeError,
                            ["max_pool2d", "int64"]),
    "avg_pool2d kernel": ([f(1, 1, 2, 2)], lambda x: F.avg_pool2d(x, 0), ArgumentError,
                          ["avg_pool2d", "kernel_size", "0"]),
    "avg_pool2d stride": ([f(1, 1, 2, 2)], lambda x: F.avg_pool2d(x, 2, "1"), DTypeError,
                          ["avg_pool2d", "stride"]),
}  # fmt: skip

PAIRED = {
    "mse_loss": F.mse_loss, "l1_loss": F.l1_loss, "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}  # fmt: skip
for name, loss in PAIRED.items():
    BAD |= {
        f"{name} shapes": ([f(3, 1), f(3)], loss, ShapeError, [name, "(3, 1)", "(3,)"]),
        f"{name} types": ([f(3), f(3, **DOUBLE)], loss, DTypeError, [name, "float32", "float64"]),
        f"{name} integers": ([i(1), i(1)], loss, DTypeError, [name, "int64"]),
        f"{name} target": ([f(3)], lambda x, loss=loss: loss(x, [1.0] * 3), DTypeError,
                           [name, "list"]),
    }  # fmt: skip
BAD["binary_cross_entropy range"] = (
    [f(2) * 1.5, f(2)], F.binary_cross_entropy, DataError, ["1.5", "sigmoid", "with_logits"]
)  # fmt: skip
for name, loss in {"nll_loss": F.nll_loss, "cross_entropy": F.cross_entropy}.items():
    BAD |= {
        f"{name} label": ([f(2, 3), i(0, 3)], loss, DataError,
                          [name, "label 3", "(1,)", "3 classes"]),
        f"{name} label -1": ([f(2, 3), i(-1, 0)], loss, DataError, [name, "label -1", "(0,)"]),
        f"{name} labels": ([f(2, 3), i(0, 1, 2)], loss, ShapeError,
                           [name, "(2, 3)", "(2,)", "(3,)"]),
        f"{name} label list": ([f(2, 3)], lambda x, loss=loss: loss(x, [0, 1]), DTypeError,
                               [name, "list"]),
        f"{name} weight": ([f(2, 3), i(0, 1), f(2)], loss, ShapeError, [name, "(3,)", "(2,)"]),
        f"{name} 0-d": ([f(), tg.tensor(0)], loss, ShapeError, [name, "()"]),
    }  # fmt: skip
BAD |= {
    "nll_loss float labels": ([f(2, 3), f(2)], F.nll_loss, DTypeError, ["nll_loss", "float32"]),
    "cross_entropy integers": ([i(1), i(1)], F.cross_entropy, DTypeError, ["int64"]),
    "cross_entropy probabilities": ([f(2, 3), f(2, 4)], F.cross_entropy, ShapeError,
                                    ["(2, 3)", "(2, 4)"]),
    "cross_entropy smoothing": ([f(2, 3), i(0, 1)],
                                lambda x, t: F.cross_entropy(x, t, label_smoothing=1.5),
                                ArgumentError, ["label_smoothing", "1.5"]),
}  # fmt: skip
for name, loss in {**PAIRED, "nll_loss": F.nll_loss, "cross_entropy": F.cross_entropy}.items():
    target = f(2, 3) if name in PAIRED else i(0, 1)
    BAD[f"{name} reduction"] = (
        [f(2, 3), target], lambda x, t, loss=loss: loss(x, t, reduction="average"), ArgumentError,
        [name, "'average'", "'mean'"],
    )  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_error(name):
    operands, function, error, parts = BAD[name]
    if not name.startswith("assign"):
        for t in operands:
            t.requires_grad_(t.dtype.kind == "f")
    before = [(t.data.tobytes(), t.shape, change_time(t.data), t.requires_grad) for t in operands]
    with pytest.raises(TinygradError) as caught:
        function(*operands)
    assert type(caught.value) is error
    message = str(caught.value)
    assert all(part in message for part in parts), message
    for t, b in zip(operands, before, strict=True):
        assert (t.data.tobytes(), t.shape, change_time(t.data), t.requires_grad) == b
        assert t.grad is None


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ShapeError, ValueError), (DTypeError, TypeError), (OutOfRangeError, IndexError),
        (ArgumentError, ValueError), (DataError, ValueError), (InPlaceError, RuntimeError),
    ],
)  # fmt: skip
def test_errors_are_what_python_would_raise(error, builtin):
    assert issubclass(error, builtin)
    assert issubclass(error, TinygradError)


def test_a_recorded_assignment_that_fails_leaves_no_node():
    x, v = tg.zeros(3), tg.ones(2, requires_grad=True)
    with pytest.raises(ShapeError):
        x[:] = v
    assert x.is_leaf
    assert x.tolist() == [0, 0, 0]
    x[:2] = v
    assert not x.is_leaf


def test_a_failed_operation_leaves_the_graph_as_it_was():
    x = tg.ones(3, requires_grad=True)
    y = x * 2
    with pytest.raises(ShapeError):
        y @ tg.ones(4)
    with pytest.raises(OutOfRangeError):
        y[5] = 1.0
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "mean",
        "var",
        "std",
        "max",
        "min",
        "amax",
        "amin",
        "argmax",
        "argmin",
        "softmax",
        "logsumexp",
        "cumsum",
        "reshape",
        "flatten",
        "permute",
        "transpose",
        "squeeze",
        "unsqueeze",
        "flip",
        "split",
        "pad",
        "gather",
        "one_hot",
        "exp",
        "relu",
    ],
)
def test_what_is_no_tensor_is_refused_by_name(name):
    with pytest.raises(DTypeError, match=rf"{name}: expected a Tensor, got list"):
        getattr(tg, name)([1.0, 2.0])
