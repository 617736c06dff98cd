"""Functional transforms: functions in, functions of their derivatives out.

They take any function of Tensors, run it once on copies of its arguments, and walk the graph it
leaves.  Arguments may be Tensors, and dicts, lists and tuples of them; results come in the same
containers.  No ``.grad`` is touched and no graph is kept.  Inside another transform, or where
something needs a gradient and operations are recorded, results can be differentiated again.

The names are those of ``torch.func``, of which this has what one walk backwards can give: there is
no forward mode, and no ``vmap``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from .autograd.transforms import Traced, hessian_product
from .errors import ArgumentError, DTypeError
from .nn.module import Module
from .nn.state import nearest
from .tensor import Tensor

__all__ = [
    "functional_call", "grad", "hessian", "hvp", "jacobian", "jacrev", "jvp", "value_and_grad",
    "vjp",
]  # fmt: skip

Argnums = int | tuple[int, ...]


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes the gradient of `func`.

    Its value at :math:`x` is :math:`\nabla f(x) = \partial f / \partial x`.

    Parameters
    ----------
    func : callable
        Returns a Tensor of one element; with `has_aux`, a pair of that and anything else.
    argnums : int or tuple of int
        The positional arguments to differentiate by.
    has_aux : bool
        Whether `func` returns a pair, of which only the first is differentiated.

    Returns
    -------
    callable
        Takes what `func` takes.  Returns the gradient, shaped like the argument (a tuple of them
        if `argnums` is a tuple); with `has_aux`, a pair of that and what `func` returned second.
        What the output does not depend on has a gradient of zeros.

    Raises
    ------
    ArgumentError
        When called, if `argnums` names no argument, or there is no pair where `has_aux` says so.
    DTypeError
        When called, if an argument to differentiate by, or the output, is not a floating Tensor.
    ShapeError
        When called, if the output has more elements than one.

    See Also
    --------
    value_and_grad : gives the value too.
    tinygrad_adam.autograd.grad : differentiates by tensors rather than functions.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> cube = lambda x: x**3
    >>> x = tg.tensor(2.0)
    >>> tg.func.grad(cube)(x)
    tensor(12.)
    >>> tg.func.grad(tg.func.grad(cube))(x)
    tensor(12.)
    >>> loss = lambda w, x: ((w["slope"] * x + w["shift"]) ** 2).sum()
    >>> tg.func.grad(loss)({"slope": tg.tensor(1.0), "shift": tg.tensor(2.0)}, tg.ones(3))
    {'slope': tensor(18.), 'shift': tensor(18.)}
    """

    @wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        traced = Traced("grad", func, args, argnums, kwargs, has_aux)
        return (traced.gradient(), traced.aux) if has_aux else traced.gradient()

    return gradient


def value_and_grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return the function that computes the value of `func` and its gradient.

    Parameters
    ----------
    func, argnums, has_aux
        As in `grad`.

    Returns
    -------
    callable
        Takes what `func` takes, returns ``(value, gradient)``; with `has_aux`,
        ``((value, aux), gradient)``.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        As `grad`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.func.value_and_grad(lambda x: (x * x).sum())(tg.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """

    @wraps(func, updated=())
    def both(*args: Any, **kwargs: Any) -> Any:
        traced = Traced("value_and_grad", func, args, argnums, kwargs, has_aux)
        gradient = traced.gradient()
        return (traced.value, traced.aux) if has_aux else traced.value, gradient

    return both


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    r"""Return the value of `func`, and the function that multiplies vectors by its Jacobian.

    That function is :math:`\bar y \mapsto \bar y^\top J` with :math:`J = \partial f / \partial x`
    at the `primals`; each call is one walk backwards.

    Parameters
    ----------
    func : callable
        Returns Tensors, alone or in containers; with `has_aux`, a pair of that and anything else.
    *primals : Tensor or container of Tensor
        Its arguments; it is differentiated by all of them.
    has_aux : bool
        Whether `func` returns a pair, of which only the first is differentiated.

    Returns
    -------
    output : Tensor or container of Tensor
        What `func` returned.
    vjp_fn : callable
        Takes weights like `output`, returns a tuple with the product for each of `primals`.  It
        holds the graph, and can be called as often as you like.
    aux : object
        What `func` returned second; only with `has_aux`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        If an argument or output is not a floating Tensor, or `vjp_fn` gets what is not like the
        output.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> y, pull = tg.func.vjp(lambda a, b: a * b, tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    >>> pull(tg.tensor([1.0, 10.0]))
    (tensor([ 3., 40.]), tensor([ 1., 20.]))
    """
    traced = Traced("vjp", func, primals, tuple(range(len(primals))), None, has_aux)
    return (traced.value, traced.pull, traced.aux) if has_aux else (traced.value, traced.pull)


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    r"""Return the value of `func`, and its derivative in the direction `tangents`, :math:`J v`.

    The product with a vector on the left, :math:`u^\top J`, is linear in :math:`u`; walking
    backwards through *its* graph multiplies by :math:`J` from the other side.  So this costs the
    function, one recorded walk, and one more walk: two to three gradients, whatever the
    sizes, and twice the memory of one.  It is right for every order.

    Parameters
    ----------
    func : callable
        Returns Tensors, alone or in containers; with `has_aux`, a pair of that and anything else.
    primals : tuple
        Its arguments.
    tangents : tuple
        The direction: what `primals` are, with the same shapes.
    strict : bool
        Whether an output that depends on no input, or an input that nothing depends on, is an
        error.  The derivative is zero otherwise.
    has_aux : bool
        Whether `func` returns a pair, of which only the first is differentiated.

    Returns
    -------
    output, jvp_out : Tensor or container of Tensor
        The value, and the derivative like it.
    aux : object
        What `func` returned second; only with `has_aux`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        If an argument or output is not a floating Tensor, or `tangents` are not like `primals`.
    GraphError
        If `strict` is broken.

    References
    ----------
    .. [1] J. Townsend, "A new trick for calculating Jacobian vector products", 2017.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.func.jvp(lambda x: x**2, (tg.tensor([1.0, 3.0]),), (tg.tensor([1.0, 0.5]),))
    (tensor([1., 9.]), tensor([2., 3.]))
    """
    _check_tuples("jvp", primals, tangents)
    argnums = tuple(range(len(primals)))
    traced = Traced("jvp", func, primals, argnums, None, has_aux, strict)
    pushed = traced.push(tangents)
    return (traced.value, pushed, traced.aux) if has_aux else (traced.value, pushed)


def hvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, ...]:
    r"""Return the Hessian of `func` times a vector, without the Hessian.

    :math:`H v` with :math:`H = \partial^2 f / \partial x^2`, as the gradient's derivative pulled
    back, :math:`v^\top H`: where second derivatives are continuous, :math:`H` is symmetric.  It
    costs the function, a recorded walk and one walk over both: three to five gradients, whatever
    the number of elements.

    Parameters
    ----------
    func : callable
        Returns a Tensor of one element.
    primals : tuple
        Its arguments.
    tangents : tuple
        The vector: what `primals` are, with the same shapes.

    Returns
    -------
    tuple
        The product, like `primals`.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
        As `grad`; and if `tangents` are not like `primals`.

    References
    ----------
    .. [1] B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6,
       1994.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.func.hvp(lambda x: (x**3).sum(), (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 10.0]),))
    (tensor([  6., 120.]),)
    """
    _check_tuples("hvp", primals, tangents)
    argnums = tuple(range(len(primals)))
    product: tuple[Any, ...] = hessian_product("hvp", func, primals, argnums, tangents)[1]
    return product


def jacobian(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes all partial derivatives of `func`.

    :math:`J_{ij} = \partial f_i / \partial x_j`, where :math:`i` and :math:`j` run over all axes
    of an output and an input.  The function is run once, and walked once for each element of its
    outputs.

    Parameters
    ----------
    func : callable
        Returns Tensors, alone or in containers; with `has_aux`, a pair of that and anything else.
    argnums : int or tuple of int
        The positional arguments to differentiate by.
    has_aux : bool
        Whether `func` returns a pair, of which only the first is differentiated.

    Returns
    -------
    callable
        Takes what `func` takes.  Returns, in the containers of the output, those of the argument (a
        tuple if `argnums` is one), with Tensors of shape ``(*output.shape, *input.shape)``; with
        `has_aux`, a pair of that and what `func` returned second.

    Raises
    ------
    ArgumentError, DTypeError
        When called, as `grad`.

    See Also
    --------
    jacrev : the same function, under its name in ``torch.func``.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.func.jacobian(lambda x: x[:2] * x[2])(tg.tensor([1.0, 2.0, 3.0]))
    tensor([[3., 0., 1.],
            [0., 3., 2.]])
    """

    @wraps(func, updated=())
    def derivatives(*args: Any, **kwargs: Any) -> Any:
        traced = Traced("jacobian", func, args, argnums, kwargs, has_aux)
        return (traced.jacobian(), traced.aux) if has_aux else traced.jacobian()

    return derivatives


jacrev = jacobian


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    r"""Return the function that computes all second derivatives of `func`.

    :math:`H_{ij} = \partial^2 f / \partial x_i \partial x_j`: the Jacobian of the Jacobian.  For
    one output and :math:`n` inputs that is one recorded walk, and :math:`n` walks over it; a
    single product is cheaper by `hvp`.

    Parameters
    ----------
    func : callable
        Returns Tensors, usually one of one element.
    argnums : int or tuple of int
        The positional arguments to differentiate by.

    Returns
    -------
    callable
        Takes what `func` takes.  Returns, in the containers of the output, those of the argument,
        in them those of the argument again, with Tensors of shape
        ``(*output.shape, *first.shape, *second.shape)``.

    Raises
    ------
    ArgumentError, DTypeError
        When called, as `grad`.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.func.hessian(lambda x: x[0] ** 2 * x[1])(tg.tensor([1.0, 3.0]))
    tensor([[6., 2.],
            [2., 0.]])
    """
    return jacobian(jacobian(func, argnums), argnums)


def functional_call(
    module: Module,
    parameters: Mapping[str, Tensor],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Return ``module(*args, **kwargs)`` with other parameters and buffers, leaving it as it was.

    Parameters
    ----------
    module : Module
        What to call.
    parameters : mapping of str to Tensor
        By the names of `named_parameters` and `named_buffers`; those left out stay as they are.  A
        tensor that the module has under several names is replaced under all of them.
    args : tuple or object
        The arguments; what is not a tuple is the only one.
    kwargs : mapping, optional
        Arguments by name.

    Returns
    -------
    object
        What the module returns.

    Raises
    ------
    ArgumentError
        If a name is none of the module's.
    DTypeError
        If a value is not a Tensor.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> model = tg.nn.Linear(2, 1, bias=False)
    >>> tg.func.functional_call(model, {"weight": tg.tensor([[1.0, 10.0]])}, tg.ones(1, 2))
    tensor([[11.]])
    """
    places = {
        f"{path}.{name}" if path else name: (owner, name)
        for path, owner in module.named_modules()
        for kind in ("parameter", "buffer")
        for name, _ in owner._own(kind)
    }
    instead: dict[Tensor, Tensor] = {}
    for name, tensor in parameters.items():
        if name not in places:
            near = nearest(name, list(places))
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ArgumentError(
                f"functional_call: {type(module).__name__} has no parameter or buffer named "
                f"{name!r}{hint}"
            )
        if not isinstance(tensor, Tensor):
            raise DTypeError(
                f"functional_call: {name!r} must be a Tensor, got {type(tensor).__name__}"
            )
        owner, attribute = places[name]
        instead[owner.__dict__[attribute]] = tensor
    before = [
        (owner, name, held)
        for owner, name in places.values()
        if (held := owner.__dict__[name]) in instead
    ]
    try:
        for owner, name, held in before:
            owner.__dict__[name] = instead[held]
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for owner, name, held in before:
            owner.__dict__[name] = held


def _check_tuples(name: str, *given: Any) -> None:
    for what in given:
        if not isinstance(what, tuple):
            raise ArgumentError(
                f"{name}: primals and tangents are tuples with an item per argument, "
                f"got {type(what).__name__}; write (x,) for one"
            )
