"""Random programs, run line by line here and in PyTorch: views, changes in place, any order.

    python tests/test_fuzz.py --programs 10000 --seed 0

prints the shortest form of each program on which the two disagree: on a value, a gradient, an
element type, ``requires_grad``, ``is_leaf``, or on whether a line is refused.  A line that both
refuse has no effect, and the program goes on.  Where PyTorch alone refuses a line the program ends
there; `PYTORCH_ALONE` says for which reasons it may.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam.errors import TinygradError

SHAPES = [(), (3,), (2, 3), (3, 2), (2, 2, 3), (1, 3)]

# What PyTorch says where it refuses what works here, and why that is right here.
PYTORCH_ALONE = {
    "refer to a single memory location": "overlapping operands are read before they are written",
    "a second time": "indices are not freed here, and assignments free nothing",
    "ZeroTensors are immutable": "its own affair",
    "source and destination dtypes match": "values are cast here",
}
# And what is refused here alone.
HERE_ALONE = {
    "read-only view": "NumPy repeats an axis in read-only memory, each row of which is as well",
}


# Changes in place here keep copies of what they need.  So where PyTorch alone finds that something
# it saved was changed, it is asked again, and saves copies of everything.
MODIFIED = "modified by an inplace operation"
COPIES = {"changed in place since": "PyTorch saved copies of everything"}

REASONS = {
    **PYTORCH_ALONE,
    **HERE_ALONE,
    **COPIES,
    "order": "in another memory order, reshape copies, or does not",
}


class Disagreement(Exception):
    """The two libraries did not do the same."""


# --- writing programs ---------------------------------------------------------------------------


class Writer:
    """Writes a program, running it on the way to know the shapes."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.lines, self.names = [], {"L": tg}
        self.count = 0

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def chance(self, p):
        return self.rng.random() < p

    def new(self):
        self.count += 1
        return f"v{self.count}"

    def tensors(self):
        return {n: t for n, t in self.names.items() if isinstance(t, tg.Tensor)}

    def some(self, test=lambda t: True):
        """Return the name of a tensor, more often a late one."""
        found = [n for n, t in self.tensors().items() if t.numel() and test(t)]
        if not found:
            return None
        return found[-1 - int(len(found) * self.rng.random() ** 2)]

    def leaf(self):
        shape = self.pick(*SHAPES)
        values = self.rng.integers(2, 14, shape) / 8 * self.rng.choice([-1, 1], shape)
        dtype = self.pick("float64", "float64", "float64", "float32", "int64")
        if dtype == "int64":
            values = np.round(values * 3).astype(int)
        wants = ", requires_grad=True" if dtype != "int64" and self.chance(0.7) else ""
        return f"{self.new()} = L.tensor({values.tolist()}, dtype=L.{dtype}{wants})"

    def index(self, shape):
        """Return a basic index into a shape."""
        items = []
        for n in shape[: self.rng.integers(len(shape) + 1)]:
            k = int(self.rng.integers(n)) if n else 0
            items.append(self.pick(f"{k}", f"{k - n}", ":", f"{k}:", f":{k + 1}", "::2", "None, :"))
        if self.chance(0.2):
            items.insert(0, "None")
        if not items or self.chance(0.15):
            items.append("...")
        return ", ".join(items)

    def operand(self, shape, integers=False, target=None):
        """Return a number, or a tensor that broadcasts to `shape`."""

        def fits(t):
            try:
                fitting = np.broadcast_shapes(t.shape, shape) == shape
                return fitting and (t.dtype.kind == "i" or not integers)
            except ValueError:
                return False

        name = self.some(fits)
        if name is None or (self.chance(0.25) and not integers):
            return "2" if integers else self.pick("0.5", "-1.25", "2")
        source = self.names[name]
        apart = target is None or not np.shares_memory(source.data, target.data)
        if not apart and source is not target:
            return f"{name} * 1"  # PyTorch refuses some overlaps, and gets others wrong
        if integers:
            return name
        return self.pick(name, name, f"{name} * 0.75", f"{name}.sin()")

    def view(self, name, shape):
        axes = len(shape)
        size = int(np.prod(shape))
        repeated = f".expand(2, {', '.join(map(str, shape))})"
        ways = [f"[{self.index(shape)}]", f"[{self.index(shape)}]", ".reshape(-1)", ".unsqueeze(0)",
                ".squeeze()", repeated, ".detach()"]  # fmt: skip
        if axes:
            ways += [f".unsqueeze({axes})", ".transpose(0, -1)", ".flatten()"]
            ways += [f".permute({', '.join(map(str, self.rng.permutation(axes)))})"]
        if axes > 1:
            ways += [".mT", ".flatten(0, 1)", ".movedim(0, -1)"]
        if size % 2 == 0:
            ways.append(f".reshape(2, {size // 2})")
        if size % 3 == 0:
            ways.append(f".reshape({size // 3}, 3)")
        return f"{self.new()} = {name}{self.pick(*ways)}"

    def value(self, name, shape):
        if self.chance(0.1):
            return f"{self.new()} = L.{self.pick('stack', 'cat')}([{name}, {name}])"
        ways = [".sin()", ".sigmoid()", ".relu()", ".abs()", ".clone()", ".sum()", ".mean()",
                " * 1.5", " + 0.25", ".double()", ".float()", " * 1", " ** 2"]  # fmt: skip
        ways += [f"[{name} > 0.3]"]
        if shape:
            ways += [".sum(0)", ".sum(-1, keepdim=True)", "[[0]]", f"[[{shape[0] - 1}, 0]]"]
        if len(shape) == 2:
            ways += [f" @ {name}.mT", f".mT @ {name}"]
        if self.chance(0.4):
            other = self.operand(shape)
            if self.chance(0.2):
                return f"{self.new()} = L.where({name} > 0.3, {name}, {other})"
            return f"{self.new()} = {name} {self.pick('+', '-', '*')} {other}"
        return f"{self.new()} = {name}{self.pick(*ways)}"

    def change(self, name, shape):
        kind = self.rng.integers(8)
        tensor = self.names[name]
        whole = tensor.dtype.kind == "i"
        if kind < 3:
            other = self.operand(shape, whole, tensor)
            if kind == 2:
                return f"{name} {self.pick('+', '-', '*')}= {other}"
            which = self.pick("add_", "sub_", "mul_", "copy_")
            if which == "copy_" and not other.startswith("v"):
                which = "fill_"
            return f"{name}.{which}({other})"
        if kind == 3:
            # PyTorch takes an integer tensor that is filled from a floating one for a smooth one
            scalar = self.some(lambda t: not t.shape and not whole)
            return self.pick(f"{name}.zero_()", f"{name}.pow_(2)", f"{name}.div_(1.5)",
                             f"{name}.fill_({scalar or 0.5})")  # fmt: skip
        if kind == 4:
            return f"{name}[{name} > 0.3] {self.pick('=', '+=')} {self.operand((), whole, tensor)}"
        if kind == 5 and shape:
            index = self.pick("[0]", f"[{shape[0] - 1}, 0]" if shape[0] > 1 else "[0]")
        else:
            index = self.index(shape)
        at = f"{name}[{index}]"
        part = eval(at, dict(self.names))
        if part.numel() == tensor.numel():
            # PyTorch takes the whole of a view for a leaf, between reading and writing it
            return f"{name}[...] = {self.operand(shape, whole, tensor)}"
        seen = tensor if index.startswith("[") else part
        return f"{at} {self.pick('=', '=', '+=', '*=')} {self.operand(part.shape, whole, seen)}"

    def derivative(self):
        name = self.some(lambda t: t.requires_grad)
        if name is None:
            return None
        leaf = self.some(lambda t: t.requires_grad and t.is_leaf)
        kind = self.rng.integers(6)
        if kind < 3 and leaf is not None:
            keep = self.pick("create_graph=True", "create_graph=True", "retain_graph=True")
            what = self.pick(f"({name} * {name})", name)
            grad = f"L.autograd.grad({what}.sum(), [{leaf}], {keep}, allow_unused=True)"
            # PyTorch's may repeat one element, which is not written to
            return f"{self.new()} = [None if g is None else g * 1 for g in {grad}][0]"
        if kind < 5:  # not of views: in PyTorch a change without recording takes it off
            name = self.some(lambda t: t.requires_grad and not isinstance(t._family, tuple))
            return name and f"{name}.{self.pick('retain_grad()', 'register_hook(lambda g: g * 2)')}"
        return f"{name}.sum().backward({self.pick('', *['retain_graph=True'] * 4)})"

    def line(self):
        """Return the next line."""
        name = self.some()
        if name is None or self.chance(0.1):
            return self.leaf()
        shape = self.names[name].shape
        kind = self.rng.random()
        if kind > 0.5 and not self.names[name].data.flags.writeable and self.chance(0.9):
            kind /= 2
        if kind < 0.3:
            line = self.view(name, shape)
        elif kind < 0.5:
            line = self.value(name, shape)
        elif kind < 0.87:
            line = self.change(name, shape)
        elif kind < 0.97:
            return self.derivative() or self.leaf()
        else:
            return f"del {name}"
        # not of views: PyTorch gives those requires_grad without grad_fn
        return f"with L.no_grad(): {line}" if kind >= 0.3 and self.chance(0.1) else line

    def program(self):
        length = int(self.rng.integers(5, 41))
        self.add(self.leaf())
        while len(self.lines) < length:
            self.add(self.line())
        return self.lines

    def add(self, line):
        self.lines.append(line)
        outcome(line, self.names)


# --- running them -------------------------------------------------------------------------------


def outcome(code, names):
    """Run a line; return what was raised, or None."""
    try:
        exec(code, names)
    except Exception as error:
        return error
    return None


def both_run(line, ours, theirs, copies):
    """Run a line in both; return why the program ends here, or None."""
    code = compile(line, "<program>", "exec")
    for t in theirs.values():
        getattr(t, "grad_fn", None)  # which PyTorch brings up to date when it is asked for
    here, there = outcome(code, ours), outcome(code, theirs)
    if here is None and there is None:
        return None
    for error, refused, reasons in (
        (there, here, [*PYTORCH_ALONE, *([] if copies else [MODIFIED])]),
        (here, there, [*HERE_ALONE, *(COPIES if copies else [])]),
    ):
        if error is not None and refused is None:
            for words in reasons:
                if words in str(error):
                    return words
            who = "PyTorch" if error is there else "here"
            raise Disagreement(f"{line}\n    only {who} refuses: {type(error).__name__}: {error}")
    if not isinstance(here, (TinygradError, NameError, TypeError, AttributeError)):
        raise Disagreement(f"{line}\n    refused here with {type(here).__name__}: {here}")
    if ".backward(" in line:  # PyTorch's may have filled some gradients by then
        for t in (*ours.values(), *theirs.values()):
            if hasattr(t, "backward"):
                t.grad = None
    return None


def same(what, mine, yours):
    """Raise unless two tensors, or two gradients, are the same."""
    if mine is None or yours is None:
        if mine is not yours:
            raise Disagreement(f"{what}: {mine} here, {yours} in PyTorch")
        return
    a, b = mine.detach().numpy(), yours.detach().clone().numpy()
    for name, x, y in (
        ("shape", a.shape, b.shape),
        ("dtype", a.dtype, b.dtype),
        ("requires_grad", mine.requires_grad, yours.requires_grad),
        ("is_leaf", mine.is_leaf, yours.is_leaf),
    ):
        if x != y:
            raise Disagreement(f"{what}.{name}: {x} here, {y} in PyTorch")
    tolerance = 1e-4  # single precision has entered most values
    scale = np.max(np.abs(b[np.isfinite(b)]), initial=1.0) if b.size else 1.0
    if not np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
        raise Disagreement(f"{what}: {a.tolist()} here, {b.tolist()} in PyTorch")


def compare(lines):
    """Run a program in both; return why it ended early, or None.  Raise if they disagree."""
    from torch.autograd.graph import saved_tensors_hooks

    ended = compared(lines)
    if ended == MODIFIED:
        with saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
            ended = compared(lines, copies=True)
    return ended


def compared(lines, copies=False):
    """Do as `compare` does; with `copies`, PyTorch saves copies of everything."""
    import torch

    ours, theirs = {"L": tg}, {"L": torch}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for line in lines:
            ended = both_run(line, ours, theirs, copies)
            if ended:
                return ended
            made = [ours.get(n) for n in line.split(".")[0].split(" = ")]
            if len(made) == 2 and all(isinstance(t, tg.Tensor) for t in made):
                x, y = (theirs[n] for n in line.split(".")[0].split(" = "))
                shared = x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
                if np.shares_memory(made[0].data, made[1].data) != shared:
                    return "order"
        names = [n for n in ours if n.startswith("v")]
        total = " + ".join(
            f"({n} * {0.5 + k / 8}).double().sum()" for k, n in enumerate(names)
            if ours[n] is not None and ours[n].requires_grad
        )  # fmt: skip
        if total:
            ended = both_run(f"({total}).backward()", ours, theirs, copies)
            if ended:
                return ended
        for name in names:
            mine, yours = ours[name], theirs[name]
            same(name, mine, yours)
            if mine is not None and (mine.is_leaf or mine.retains_grad):
                same(f"{name}.grad", mine.grad, yours.grad)
    return None


def shortest(lines):
    """Drop lines of a program that disagrees for as long as it does."""

    def disagrees(some):
        try:
            compare(some)
        except Disagreement:
            return True
        return False

    size = len(lines)
    while size:
        size = (size + 1) // 2 if size > 1 else 1
        at = 0
        changed = False
        while at < len(lines):
            fewer = lines[:at] + lines[at + size :]
            if disagrees(fewer):
                lines, changed = fewer, True
            else:
                at += size
        if size == 1 and not changed:
            break
    return lines


def check(seed):
    """Return why the program of this seed ended early, or None; raise with its shortest form."""
    lines = Writer(seed).program()
    try:
        return compare(lines)
    except Disagreement:
        lines = shortest(lines)
    try:
        compare(lines)
    except Disagreement as error:
        text = "\n    ".join(lines)
        raise Disagreement(f"program {seed}:\n    {text}\n{error}") from None
    raise AssertionError("the shortest program agrees")


@pytest.mark.oracle
@pytest.mark.parametrize("batch", range(8))
def test_random_programs(batch):
    for seed in range(50 * batch, 50 * batch + 50):
        check(seed)


def main():
    """Check as many programs as asked; end with status 1 if one disagrees."""
    parser = argparse.ArgumentParser(description="Random programs, here and in PyTorch.")
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    options = parser.parse_args()
    ended, wrong = Counter(), 0
    for seed in range(options.seed, options.seed + options.programs):
        try:
            reason = check(seed)
        except Disagreement as error:
            wrong += 1
            print(error, end="\n\n")
        else:
            ended[reason] += 1
    print(f"{options.programs - wrong} of {options.programs} agree")
    for reason, n in ended.most_common():
        if reason:
            print(f"{n:6} ended early: {REASONS[reason]}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
