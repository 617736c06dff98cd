"""Products with the Jacobian and the Hessian, and both in full: the names of PyTorch's module.

`tg.func` has the same for functions of nested arguments, as functions of functions.  Here
arguments are a Tensor or a tuple of Tensors, results come at once, and they can be differentiated
again only with ``create_graph=True``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from .graph import Variable
from .mode import mode, recording
from .transforms import Traced, filled, hessian_product

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Func = Callable[..., Any]


def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""Return the value of `func`, and :math:`v^\top J`.

    Parameters
    ----------
    func : callable
        Takes Tensors, returns a Tensor or a tuple of Tensors.
    inputs : Tensor or tuple of Tensor
        Its arguments.
    v : Tensor or tuple of Tensor, optional
        The vector, like the output; may be left out for an output of one element.
    create_graph : bool
        Let the results depend on the inputs, if these need a gradient.
    strict : bool
        Whether an output that depends on no input, or an input that no output depends on, is an
        error.  Derivatives are zero otherwise.

    Returns
    -------
    output : Tensor or tuple of Tensor
        What `func` returned.
    product : Tensor or tuple of Tensor
        Like `inputs`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        If an argument or output is not a floating Tensor, or `v` is not like the output.
    GraphError
        If `strict` is broken.

    See Also
    --------
    tinygrad_adam.func.vjp : for several vectors.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.autograd.functional.vjp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with _results(create_graph):
        traced = _traced("vjp", func, inputs, strict)
        vector = _vector("vjp", v, traced.value, "the output")
        return traced.value, traced.pull(vector, keep=False)


def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""Return the value of `func`, and :math:`J v`; how, and what it costs, is said in `func.jvp`.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    v : Tensor or tuple of Tensor, optional
        The vector, like `inputs`; may be left out for an input of one element.

    Returns
    -------
    output, product : Tensor or tuple of Tensor
        What `func` returned, and its derivative in the direction `v`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError, GraphError
        As `vjp`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.autograd.functional.jvp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with _results(create_graph):
        traced = _traced("jvp", func, inputs, strict)
        return traced.value, traced.push(_vector("jvp", v, inputs, "the input"))


def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""Return the value of `func`, and :math:`v^\top H` with its Hessian :math:`H`.

    Parameters
    ----------
    func : callable
        Takes Tensors, returns a Tensor of one element.
    inputs, create_graph, strict
        As in `vjp`.
    v : Tensor or tuple of Tensor, optional
        The vector, like `inputs`; may be left out for an input of one element.

    Returns
    -------
    output : Tensor
        What `func` returned.
    product : Tensor or tuple of Tensor
        Like `inputs`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError, GraphError
        As `vjp`; ShapeError if the output has more elements than one.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x, v = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0])
    >>> tg.autograd.functional.vhp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([  6., 120.]))
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    r"""Return the value of `func`, and :math:`H v` with its Hessian :math:`H`.

    It is :math:`v^\top H`: where second derivatives are continuous, :math:`H` is symmetric.

    Parameters
    ----------
    func, inputs, v, create_graph, strict
        As in `vhp`.

    Returns
    -------
    output, product
        As from `vhp`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError, GraphError
        As `vhp`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x, v = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 10.0])
    >>> tg.autograd.functional.hvp(lambda x: x[0] * x[1] ** 2, x, v)
    (tensor(4.), tensor([40., 24.]))
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def jacobian(func: Func, inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    r"""Return all partial derivatives of `func`, :math:`J_{ij} = \partial f_i / \partial x_j`.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.

    Returns
    -------
    Tensor or tuple
        Of shape ``(*output.shape, *input.shape)``; where the output or `inputs` is a tuple, a tuple
        of them, for both a tuple for each output.

    Raises
    ------
    ArgumentError, DTypeError, GraphError
        As `vjp`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.autograd.functional.jacobian(lambda x: x[:2] * x[2], tg.tensor([1.0, 2.0, 3.0]))
    tensor([[3., 0., 1.],
            [0., 3., 2.]])
    """
    with _results(create_graph):
        return _traced("jacobian", func, inputs, strict).jacobian()


def hessian(func: Func, inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    r"""Return all second derivatives of `func`, :math:`\partial^2 f / \partial x_i \partial x_j`.

    Parameters
    ----------
    func : callable
        Takes Tensors, returns a Tensor of one element.
    inputs, create_graph, strict
        As in `vjp`.

    Returns
    -------
    Tensor or tuple of tuple of Tensor
        Of shape ``(*first.shape, *second.shape)``; where `inputs` is a tuple, a tuple for each.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError, GraphError
        As `vhp`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.autograd.functional.hessian(lambda x: x[0] ** 2 * x[1], tg.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """

    def gradient(*args: Any) -> Any:
        single = isinstance(inputs, Variable)
        return _traced("hessian", func, args[0] if single else args, strict).gradient()

    with _results(create_graph):
        return _traced("hessian", gradient, inputs, strict).jacobian()


def _hessian_product(
    name: str, func: Func, inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    args, argnums = _arguments(name, inputs)
    with _results(create_graph):
        vector = _vector(name, v, inputs, "the input")
        return hessian_product(name, func, args, argnums, vector, strict)


def _results(create_graph: bool) -> Any:
    return recording(create_graph and mode.recording)


def _arguments(name: str, inputs: Any) -> tuple[tuple[Any, ...], int | tuple[int, ...]]:
    if isinstance(inputs, Variable):
        return (inputs,), 0
    if not isinstance(inputs, tuple):
        raise ArgumentError(
            f"{name}: inputs is a Tensor or a tuple of Tensors, got {type(inputs).__name__}; "
            "tg.func takes containers"
        )
    return inputs, tuple(range(len(inputs)))


def _traced(name: str, func: Func, inputs: Any, strict: bool) -> Traced:
    return Traced(name, func, *_arguments(name, inputs), strict=strict)


def _vector(name: str, v: Any, like: Any, whose: str) -> Any:
    """Return `v`, or 1 where it is left out and `like` is one number."""
    if v is not None:
        return v
    if not isinstance(like, Variable) or like._data.size != 1:
        raise ArgumentError(f"{name}: v may be left out only where {whose} has one element")
    return filled(like, 1)
