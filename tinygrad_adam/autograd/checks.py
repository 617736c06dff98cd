"""Checking gradients: `gradcheck`, `gradgradcheck`, and `check_gradient` for code without tensors.

All three make a :class:`~tinygrad_adam.autograd.examine.Problem` of what they are given: arrays of
their own, how to compute outputs from them, and the gradient of the weighted sum of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..device import Array, array_module, copied, device_guard
from ..errors import ArgumentError, DTypeError, GradcheckError
from .differentiate import grad
from .examine import (
    Input,
    Kinks,
    Options,
    Problem,
    check,
    host,
    largest_gap,
    random_weights,
    scale_of,
)
from .graph import Variable, variable
from .mode import recording

__all__ = ["check_gradient", "gradcheck", "gradgradcheck"]

# --- for functions of tensors -------------------------------------------------------------------


def gradcheck(
    func: Callable[..., Any],
    inputs: Any = (),
    *,
    eps: float | None = None,
    atol: float = 0.0,
    rtol: float = 1e-6,
    raise_exception: bool = True,
    fast_mode: bool = False,
    nondet_tol: float = 0.0,
    kinks: Kinks = "warn",
    seed: int = 0,
) -> bool:
    r"""Compare the gradients of `func` with differences of its values.

    With random weights :math:`w` it takes :math:`s(x) = \sum_j w_j f_j(x)`, and holds each entry of
    the gradient against :math:`(s(x + h e_i) - s(x - h e_i)) / 2h`; in fast mode, its product with
    a random direction :math:`u` against :math:`(s(x + h u) - s(x - h u)) / 2h`, which takes a few
    evaluations per input whatever their size.  The steps fit the scale of each entry, and are
    varied wherever the first does not confirm the gradient.

    It also asks whether `func` gives the same twice, changes its inputs, or gives what is not
    finite, and whether each gradient has memory, shape and element type of its own input.

    Parameters
    ----------
    func : callable or Module
        A function of tensors that returns a Tensor or several; of a Module every parameter that
        requires a gradient is checked too, under its name.
    inputs : Tensor, or tuple, list or dict
        What to call it with: a tuple or list as positional, a dict as keyword arguments.  Tensors
        that require a gradient, in float64, are checked, around where they are; anything else is
        handed on.  None of them is changed.
    eps : float, optional
        The first step.  Default: 6e-6 times the scale of the entry.
    atol, rtol : float
        Wrong is what differs by more than ``atol + rtol * |slope|`` and the slope's own error.
    raise_exception : bool
        Raise when the check fails; else return False.
    fast_mode : bool
        Check along three random directions per input instead of entry by entry.  A wrong entry is
        searched for by halving, and one is named.
    nondet_tol : float
        By how much a second run may differ from the first.
    kinks : {"warn", "raise", "ignore"}
        At a kink any gradient between the one-sided slopes is right.  What to do about having found
        one: warn with KinkWarning, raise KinkError, or nothing.  A warning, by default: nothing is
        wrong, but the point tests less than one beside it would.
    seed : int
        Of the weights and directions; a failure names it.

    Returns
    -------
    bool
        True, or with ``raise_exception=False`` False for a check that failed.

    Raises
    ------
    GradcheckError
        If the check fails.  It says at which inputs and entries, what the gradient is there and
        what the slopes are, from the left and the right too; `inputs`, `entries`, `seed` hold it.
    KinkError
        At a kink, with ``kinks="raise"``.
    DTypeError
        If an input that requires a gradient is not float64: differences of float32 values have
        three digits.
    ArgumentError
        If nothing requires a gradient, or `func` returns nothing that has one.

    Notes
    -----
    PyTorch's check of this name has one step (1e-6) and wide tolerances (1e-5, 1e-3), takes kinks
    for errors, and names no entry in its fast mode.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([0.5, -2.0], dtype=tg.float64, requires_grad=True)
    >>> gradcheck(lambda x: (x * x.exp()).sum(), x)
    True
    >>> gradcheck(tg.nn.Linear(2, 3).double(), x, fast_mode=True)
    True
    >>> gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
    False
    """
    __tracebackhide__ = True
    options = Options(eps, atol, rtol, fast_mode, nondet_tol, kinks, seed)
    call = _Call("gradcheck", func, inputs)
    with call.in_place():
        return check(call.first_order(), options, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any = (),
    grad_outputs: Any = None,
    *,
    eps: float | None = None,
    atol: float = 0.0,
    rtol: float = 1e-6,
    raise_exception: bool = True,
    fast_mode: bool = False,
    nondet_tol: float = 0.0,
    kinks: Kinks = "warn",
    seed: int = 0,
) -> bool:
    r"""Compare the gradients of the gradients of `func` with differences of them.

    What is checked as in `gradcheck` is the function from `inputs` and the gradients
    :math:`\bar y` of the outputs to :math:`\sum_j \bar y_j \, \partial y_j / \partial x_i`.  Its
    values come from a plain backward pass, its gradients from one recorded with
    ``create_graph=True``; that both give the same is checked as well.

    Parameters
    ----------
    func, inputs
        As in `gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        One per floating output, around which to check; random if left out.
    eps, atol, rtol, raise_exception, fast_mode, nondet_tol, kinks, seed
        As in `gradcheck`.

    Returns
    -------
    bool
        True, or with ``raise_exception=False`` False for a check that failed.

    Raises
    ------
    GradcheckError, KinkError, DTypeError, ArgumentError
        As in `gradcheck`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([0.5, 2.0], dtype=tg.float64, requires_grad=True)
    >>> gradgradcheck(tg.log, x)
    True
    """
    __tracebackhide__ = True
    options = Options(eps, atol, rtol, fast_mode, nondet_tol, kinks, seed)
    call = _Call("gradgradcheck", func, inputs)
    with call.in_place():
        return check(call.second_order(grad_outputs, seed), options, raise_exception)


class _Call:
    """A function of tensors and what to call it with, on arrays of our own."""

    def __init__(self, what: str, func: Callable[..., Any], inputs: Any) -> None:
        self.what, self.func = what, func
        self.parameters: list[Any] = []
        self.inputs: list[Input] = []
        self.others: list[Array] = []
        self.args, self.kwargs, arguments = _arguments(func, inputs)
        self.places: list[tuple[Any, Any, Array, bool]] = []  # of tensors; whether to be checked
        for name, holder, key in arguments:
            value = holder[key]
            if isinstance(value, Variable):
                wanted = value._requires_grad or value._node is not None
                data = _own(what, name, value._data, wanted)
                self.places.append((holder, key, data, wanted))
                if wanted:
                    self.inputs.append(Input(name, data))
                else:
                    self.others.append(data)
        for name, p in getattr(func, "named_parameters", dict)() or ():
            if p._requires_grad:
                self.parameters.append(p)
                self.inputs.append(Input(f"parameter {name}", _own(what, name, p._data, True)))
        if not self.inputs:
            raise ArgumentError(
                f"{what}: no input requires a gradient; make those to be checked with "
                "requires_grad=True, in float64"
            )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module's parameters be our copies, for as long as the check takes."""
        before = [p._data for p in self.parameters]
        own = self.inputs[len(self.inputs) - len(before) :]
        try:
            for p, x in zip(self.parameters, own, strict=True):
                p._data = x.data
            yield
        finally:
            for p, data in zip(self.parameters, before, strict=True):
                p._data = data

    def run(self) -> tuple[list[Variable], list[Variable]]:
        """Call the function; return its floating outputs, and the leaves by which to derive."""
        leaves = []
        for holder, key, data, wanted in self.places:
            holder[key] = t = variable(data)
            if wanted:
                t._requires_grad = True
                leaves.append(t)
        outputs = _several(self.what, self.func(*self.args, **self.kwargs), Variable, "Tensor")
        floating = [y for y in outputs if y._data.dtype.kind == "f"]
        return floating, [*leaves, *self.parameters]

    def values(self) -> list[Array]:
        """Return the outputs; recording is off."""
        return [y._data for y in self.run()[0]]

    def gradients(self, weights: list[Array]) -> tuple[list[Array], list[Array | None]]:
        """Return the outputs and the gradients of the inputs; recording is on."""
        outputs, leaves = self.run()
        found = _grads(outputs, leaves, weights, False)
        return [y._data for y in outputs], [None if g is None else g._data for g in found]

    def first_order(self) -> Problem:
        return Problem(self.what, self.inputs, self.others, self.values, self.gradients)

    def second_order(self, grad_outputs: Any, seed: int) -> Problem:
        with recording(False):
            outputs = self.values()
        if grad_outputs is None:
            rng = np.random.default_rng([seed, 2])
            above = [random_weights(rng, y) for y in outputs]
        else:
            given = _several(self.what, grad_outputs, Variable, "Tensor")
            if [g._data.shape for g in given] != [y.shape for y in outputs]:
                raise ArgumentError(
                    f"{self.what}: grad_outputs of shapes {[g._data.shape for g in given]} for "
                    f"floating outputs of shapes {[y.shape for y in outputs]}"
                )
            above = [copied(g._data) for g in given]
        inputs = [
            *self.inputs,
            *(Input(f"gradient of output {i}", g) for i, g in enumerate(above)),
        ]

        plain: list[Array] = []  # the first values there were, at the inputs themselves

        def values() -> list[Array]:
            found = [
                np.zeros(x.data.shape) if g is None else g
                for x, g in zip(self.inputs, self.gradients(above)[1], strict=True)
            ]
            if not plain:
                plain.extend(found)
            return found

        def gradients(weights: list[Array]) -> tuple[list[Array], list[Array | None]]:
            outs, leaves = self.run()
            seeds = [variable(g) for g in above]
            for t in seeds:
                t._requires_grad = True
            firsts = _grads(outs, leaves, seeds, True)
            for x, p, g in zip(self.inputs, plain, firsts, strict=True):
                apart = 0.0 if g is None else largest_gap(p, g._data)
                if apart > 1e-12 * max(1.0, float(np.abs(host(p)).max(initial=0.0))):
                    raise GradcheckError(
                        f"{self.what}: the gradient of {x.name} recorded with "
                        f"create_graph=True differs from the plain one by {apart:.3g}",
                        [x.name],
                    )
            found = [(g, w) for g, w in zip(firsts, weights, strict=True) if g is not None]
            seconds = _grads([g for g, _ in found], [*leaves, *seeds], [w for _, w in found], False)
            return plain, [None if g is None else g._data for g in seconds]

        # A gradient is of the order of outputs over inputs, although cancellation may leave less
        most = max(
            (
                float(np.abs(host(y * g)).max(initial=0.0))
                for y, g in zip(outputs, above, strict=True)
            ),
            default=0.0,
        )
        natural = most / min(scale_of(x.data) for x in self.inputs)
        return Problem(self.what, inputs, self.others, values, gradients, True, True, natural)


def _grads(
    outputs: list[Any], leaves: list[Any], weights: list[Any], create_graph: bool
) -> list[Any]:
    """Return the gradients of the leaves; None for those that no output depends on."""
    some = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    if not some:
        return [None] * len(leaves)
    ys, ws = zip(*some, strict=True)
    return list(grad(ys, leaves, ws, create_graph=create_graph, allow_unused=True))


def _own(what: str, name: str, data: Array, wanted: bool) -> Array:
    """Return a copy of an input, laid out alike; one that is checked must be float64."""
    if wanted and data.dtype != np.float64:
        raise DTypeError(
            f"{what}: {name} is {data.dtype}; differences of {data.dtype} values have too few "
            "digits to check a gradient, so give float64: x.double(), dtype=tg.float64, "
            "module.double()"
        )
    with device_guard(data):
        return array_module(data).array(data, order="K")


# --- what it is called with ---------------------------------------------------------------------


def _arguments(
    func: Callable[..., Any], inputs: Any
) -> tuple[list[Any], dict[str, Any], list[tuple[str, Any, Any]]]:
    """Return positional and keyword arguments, and of each its name and where it is kept."""
    if isinstance(inputs, dict):
        kwargs = dict(inputs)
        return [], kwargs, [(str(key), kwargs, key) for key in kwargs]
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    known = _positional(func)
    names = [
        f"input {i} ({known[i]})" if i < len(known) else f"input {i}" for i in range(len(args))
    ]
    return args, {}, [(name, args, i) for i, name in enumerate(names)]


def _positional(func: Callable[..., Any]) -> list[str]:
    """Return the names of the positional parameters of a function, a method or a module."""
    target = getattr(func, "forward", func)
    code = getattr(target, "__code__", None)
    if code is None:  # something written in C, or an object that can be called
        return []
    bound = getattr(target, "__self__", None) is not None
    return list(code.co_varnames[bound : code.co_argcount])


def _several(what: str, found: Any, kind: Any, name: str) -> list[Any]:
    """Return what a function returned as a list."""
    if isinstance(found, kind):
        return [found]
    items = list(found.values()) if isinstance(found, dict) else found
    if isinstance(items, (tuple, list)) and all(isinstance(y, kind) for y in items):
        return list(items)
    raise ArgumentError(
        f"{what}: expected a {name}, or a tuple, list or dict of them, got {type(found).__name__}"
    )


# --- for functions of arrays --------------------------------------------------------------------


def check_gradient(
    f: Callable[..., Any],
    grad_f: Callable[..., Any],
    x: Any,
    *,
    upstream: str | None = None,
    eps: float | None = None,
    atol: float = 0.0,
    rtol: float = 1e-6,
    raise_exception: bool = True,
    fast_mode: bool = False,
    nondet_tol: float = 0.0,
    kinks: Kinks = "warn",
    seed: int = 0,
) -> bool:
    r"""Compare a gradient that was written by hand with differences of the function.

    Neither needs a Tensor: both work on plain NumPy or CuPy arrays.

    Parameters
    ----------
    f : callable
        Returns a number or an array, or a tuple, list or dict of arrays.
    grad_f : callable
        Takes what `f` takes and returns the gradient of the sum of its outputs: an array like `x`,
        or a tuple or list with one for each array in a tuple or list `x`, or a dict with the keys
        of a dict `x`.  It is called right after `f` with the same arrays, so it may use what `f`
        has put by.
    x : array, or tuple, list or dict
        Where to check, float64: a tuple or list is handed over as positional, a dict as keyword
        arguments.  Anything in it that is no floating array (labels, settings) is handed on and
        needs no gradient.  It is copied, not changed.
    upstream : str, optional
        The name under which `grad_f` takes the gradient of the output of `f`, shaped like that; a
        tuple of them if `f` returns several.  Then `grad_f` returns
        :math:`\sum_j \bar y_j \, \partial y_j / \partial x`, and is checked with random
        :math:`\bar y`: for an `f` with an array as output, far more than its sum can show.
    eps, atol, rtol, raise_exception, fast_mode, nondet_tol, kinks, seed
        As in `gradcheck`.

    Returns
    -------
    bool
        True, or with ``raise_exception=False`` False for a check that failed.

    Raises
    ------
    GradcheckError, KinkError, DTypeError, ArgumentError
        As in `gradcheck`.

    Examples
    --------
    >>> import numpy as np
    >>> def sigmoid(z):
    ...     return 1 / (1 + np.exp(-z))
    >>> def sigmoid_backward(z, dout):
    ...     a = sigmoid(z)
    ...     return dout * a * (1 - a)
    >>> check_gradient(sigmoid, sigmoid_backward, np.array([-1.0, 0.5, 3.0]), upstream="dout")
    True
    >>> check_gradient(np.sin, np.cos, 0.5)
    True
    """
    __tracebackhide__ = True
    options = Options(eps, atol, rtol, fast_mode, nondet_tol, kinks, seed)
    problem = _by_hand(f, grad_f, x, upstream)
    return check(problem, options, raise_exception)


def _by_hand(
    f: Callable[..., Any], grad_f: Callable[..., Any], x: Any, upstream: str | None
) -> Problem:
    what = "check_gradient"
    args, kwargs, arguments = _arguments(f, x)
    inputs, others = [], []
    for name, holder, key in arguments:
        value = np.asarray(holder[key]) if isinstance(holder[key], float) else holder[key]
        if isinstance(value, Variable):
            raise ArgumentError(
                f"{what}: {name} is a Tensor; use gradcheck, or hand over its .data"
            )
        if hasattr(value, "dtype"):
            smooth = value.dtype.kind == "f"
            holder[key] = own = _own(what, name, value, smooth)
            if smooth:
                inputs.append(Input(name, own))
            else:
                others.append(own)
    if not inputs:
        raise ArgumentError(f"{what}: there is no floating array to differentiate by")

    def whole() -> tuple[list[Array], bool]:
        y = f(*args, **kwargs)
        several = isinstance(y, (tuple, list, dict))
        items = (list(y.values()) if isinstance(y, dict) else list(y)) if several else [y]
        return [_array(a) for a in items], several

    def outputs() -> list[Array]:
        return [y for y in whole()[0] if y.dtype.kind == "f"]

    def gradients(weights: list[Array]) -> tuple[list[Array], list[Array | None]]:
        ys, several = whole()
        given: dict[str, Any] = {}
        if upstream is not None:
            left = iter(weights)
            all_weights = [next(left) if y.dtype.kind == "f" else np.zeros(y.shape) for y in ys]
            given[upstream] = tuple(all_weights) if several else all_weights[0]
        floating = [y for y in ys if y.dtype.kind == "f"]
        return floating, _listed(grad_f(*args, **kwargs, **given))

    def _listed(found: Any) -> list[Array | None]:
        names = [x.name for x in inputs]
        if isinstance(found, dict):
            missing = [n for n in names if n not in found]
            if missing:
                raise GradcheckError(
                    f"{what}: the gradient of {missing[0]} is missing; the function returned a "
                    f"dict with {sorted(found)}",
                    missing,
                )
            items = [found[n] for n in names]
        elif isinstance(found, (tuple, list)):
            items = list(found)
        else:
            items = [found]
        if len(items) != len(names):
            raise GradcheckError(
                f"{what}: {len(items)} gradients came back for {len(names)} inputs "
                f"({', '.join(names)})",
                names[len(items) :],
            )
        for name, g in zip(names, items, strict=True):
            if g is None:
                raise GradcheckError(f"{what}: the gradient of {name} is None", [name])
        return [_array(g) for g in items]

    return Problem(what, inputs, others, outputs, gradients, False, upstream is not None)


def _array(value: Any) -> Array:
    """Return an array as it is, and anything else as NumPy's."""
    known = hasattr(value, "dtype") and not isinstance(value, np.generic)
    return value if known else np.asarray(value)
