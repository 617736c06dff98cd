"""The tensor: an array, its gradient, and the node that made it.

Operators and methods hand on to `tinygrad_adam.ops`; nothing is computed here.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex, overload

import numpy as np

from .autograd import differentiate
from .autograd.graph import Node, Variable, variable
from .autograd.memory import changed, leave, origin
from .device import Array, Device, device_of
from .dtypes import element_type, kind
from .errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GraphError,
    NoSequenceError,
    OutOfRangeError,
    ShapeError,
)
from .inplace import add_, copy_, div_, fill_, mul_, pow_, sub_, update, zero_
from .ops import arguments, join
from .ops import elementary as el
from .ops import elementwise as ew
from .ops import reduce as red
from .ops import shape as shp
from .ops import softmax as sft
from .ops.index import gather, getitem, setitem
from .ops.linear import matmul
from .ops.move import cast, moved

if TYPE_CHECKING:
    from .autograd.picture import Graph
    from .types import Binary, DeviceLike, DTypeLike, Operand, Shape, Size, Tensors

__all__ = ["RemovableHandle", "Tensor"]

# The class below has methods of these names.
_builtin_float = float
_builtin_int = int
_builtin_bool = bool


class RemovableHandle:
    """One registration of a hook, put into `hooks`; `remove()` takes it off again."""

    def __init__(self, hooks: dict[object, Any], hook: Any) -> None:
        # A key of its own, since one function may be registered twice; not the handle itself,
        # which holds `hooks`: a cycle would keep both from dying.
        self._hooks, self._key = hooks, object()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take this registration off; doing so twice is harmless."""
        self._hooks.pop(self._key, None)


Operator = Callable[["Tensor", "Operand"], "Tensor"]


def _reflected(function: Callable[[Any, Any], Tensor]) -> Operator:
    return lambda self, other: function(other, self)


def _compared(function: Binary) -> Operator:
    return lambda self, other: function(self, other) if _comparable(other) else NotImplemented


def _comparable(other: Any) -> bool:
    return isinstance(other, (Variable, bool, int, float)) or hasattr(other, "dtype")


class _Ufunc:
    """What NumPy asks the type for, and CuPy the tensor.

    None makes CuPy leave `array + tensor` to `Tensor.__radd__`.  It would do so with NumPy too, but
    then ``numpy.exp(tensor)`` could not say what to do instead.
    """

    def __get__(self, t: Any, owner: type) -> Callable[..., Any] | None:
        return _numpy_ufunc if t is None else None


def _numpy_ufunc(t: Any, function: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
    from .exchange import numpy_ufunc

    return numpy_ufunc(function, method, *inputs, **settings)


class Tensor(Variable):
    r"""An n-dimensional array that remembers how it was made, so that it can be differentiated.

    Parameters
    ----------
    data : numpy.ndarray or cupy.ndarray
        The elements; used as they are, without copying.  `tensor` copies, and reads lists.
    requires_grad : bool
        Whether `backward` should fill `grad`.

    Attributes
    ----------
    data : array
        The array itself.  Replacing it counts as an in-place change.
    grad : Tensor or None
        The gradient accumulated by `backward`.

    Raises
    ------
    DTypeError
        If a gradient is asked of elements that are not floating.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __array_ufunc__: ClassVar[Any] = _Ufunc()
    # Comparison is element-wise, so identity is what a tensor can be looked up by.
    __hash__ = object.__hash__

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        if not hasattr(data, "dtype") or isinstance(data, Variable):
            raise DTypeError(
                f"Tensor: data must be a NumPy or CuPy array, got {type(data).__name__}; "
                "use tg.tensor(...) for anything else"
            )
        kind(data.dtype)
        self._data = np.asarray(data) if isinstance(data, np.generic) else data
        self._grad = None
        self._node = None
        self._requires_grad = False
        self._family = None
        self._hooks = None
        if requires_grad:
            self.requires_grad_()

    # --- what it is ---

    @property
    def data(self) -> Array:
        """The array that holds the elements."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        new = value._data if isinstance(value, Variable) else value
        if not hasattr(new, "dtype"):
            raise DTypeError(f"data must be an array or a Tensor, got {type(value).__name__}")
        kind(new.dtype)
        # Graphs that saved the old array must notice; tensors still on it are on their own.
        changed(self)
        leave(self, variable(self._data, self._node))
        self._data = np.asarray(new) if isinstance(new, np.generic) else new

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` adds to; one that is set must fit this tensor."""
        return self._grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            differentiate.check_gradient("grad", self, value)
        self._grad = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._data.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the elements live."""
        return device_of(self._data)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made it."""
        return self._node

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it."""
        return self._node is not None or self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for a gradient of this leaf, or no longer."""
        if requires_grad and self._data.dtype.kind != "f":
            raise DTypeError(
                f"requires_grad: only floating tensors have gradients, not {self.dtype}; "
                "convert with .float()"
            )
        if not requires_grad and self._node is not None:
            raise GraphError(
                "requires_grad: only a leaf can stop requiring a gradient; use .detach()"
            )
        self._requires_grad = bool(requires_grad) if self._node is None else False
        return self

    @overload
    def size(self, dim: None = None) -> Shape: ...
    @overload
    def size(self, dim: SupportsIndex) -> _builtin_int: ...
    def size(self, dim: Any = None) -> Any:
        """Return the shape, or the length of one axis."""
        if dim is None:
            return self.shape
        axis = arguments.one_axis("size", self.shape, dim)
        if not self.shape:
            raise OutOfRangeError("size: a 0-d tensor has no axes")
        return self.shape[axis]

    def numel(self) -> _builtin_int:
        """Return the number of elements."""
        return _builtin_int(self._data.size)

    def dim(self) -> _builtin_int:
        """Return the number of axes."""
        return _builtin_int(self._data.ndim)

    def element_size(self) -> _builtin_int:
        """Return the number of bytes of one element."""
        return _builtin_int(self._data.itemsize)

    # --- backward ---

    def backward(
        self,
        gradient: Operand | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensors | None = None,
    ) -> None:
        """Add the gradient of this tensor to `grad` of every leaf it depends on.

        Parameters
        ----------
        gradient : Tensor, optional
            Where to start from, shaped like this tensor; 1 for a scalar.
        retain_graph : bool, optional
            Keep what the graph saved, so that it can be walked again.  Default: as `create_graph`.
        create_graph : bool
            Record the walk, so that the gradients can be differentiated.
        inputs : Tensor or iterable of Tensor, optional
            Fill `grad` of these only.

        Raises
        ------
        GraphError
            If this is no scalar and `gradient` is missing, nothing here needs a gradient, or
            `inputs` is empty.
        GraphFreedError
            If what the graph saved was freed, by a walk without ``retain_graph=True``.
        InPlaceError
            If an array that the graph saved was changed in place since.
        ShapeError, DTypeError, DeviceError, InPlaceError
            If a `grad` cannot be added to, because its data or its tensor's were replaced: another
            shape, element type or device, or a read-only view.

        Notes
        -----
        On error no `grad` has changed.  Nothing was freed either, unless it was a hook that
        raised: what the walk had passed by then is freed.

        With `create_graph`, `grad` refers to the graph and the graph to the leaf that holds
        `grad`.  Such a cycle stays in memory until Python's garbage collector runs; set `grad` to
        None after use, or call `autograd.grad` instead, which makes no cycle.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> x = tg.tensor(3.0, requires_grad=True)
        >>> (x**2).backward()
        >>> x.grad.item()
        6.0
        """
        keep = create_graph if retain_graph is None else retain_graph
        differentiate.backward([self], [gradient], inputs, keep, create_graph)

    def graph(self, names: Any = None, limit: _builtin_int | None = 200) -> Graph:
        """Return a picture of how this tensor was made; see `autograd.Graph`.

        Parameters
        ----------
        names : Module, mapping or iterable of (str, Tensor), optional
            What to call parameters and other tensors.
        limit : int or None
            How many operations to show, the newest; None for all.

        Returns
        -------
        Graph
            With `text`, which is also its ``str``, `mermaid`, `dot` and `svg`; a notebook shows it.
        """
        from .autograd.picture import Graph

        return Graph(self, names, limit)

    def detach(self) -> Tensor:
        """Return a tensor on the same memory that gradients do not flow through."""
        return variable(self._data)

    def retain_grad(self) -> None:
        """Have `backward` fill `grad` of this tensor although it is not a leaf."""
        if not self.requires_grad:
            raise GraphError("retain_grad: this tensor does not require a gradient")
        if self._node is not None:
            self._node.keeper = weakref.ref(self)

    @property
    def retains_grad(self) -> _builtin_bool:
        """Whether `backward` fills `grad` although this is not a leaf."""
        keeper = None if self._node is None else self._node.keeper
        return keeper is not None and keeper() is self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook` with the gradient of this tensor during backward.

        Parameters
        ----------
        hook : callable
            May return a tensor to use instead, of the same shape and element type.

        Returns
        -------
        RemovableHandle

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> x = tg.ones(1, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> x.sum().backward(); x.grad.item()
        10.0
        """
        if not self.requires_grad:
            raise GraphError("register_hook: this tensor does not require a gradient")
        owner: Any = self if self._node is None else self._node
        name = "_hooks" if self._node is None else "hooks"
        hooks = getattr(owner, name)
        if hooks is None:
            hooks = {}
            setattr(owner, name, hooks)
        return RemovableHandle(hooks, hook)

    # --- where it lives, and as what ---

    def to(
        self,
        *args: Tensor | DTypeLike | DeviceLike | None,
        dtype: DTypeLike | None = None,
        device: DeviceLike | None = None,
        copy: _builtin_bool = False,
    ) -> Tensor:
        """Return this tensor with another element type, on another device, or both.

        Parameters
        ----------
        *args : dtype, device name or Tensor
            What to become, or what to become like.
        dtype, device
            The same by name.
        copy : bool
            Copy even if nothing changes.

        Returns
        -------
        Tensor
            This one if there is nothing to do.  Gradients flow back through the change.

        Examples
        --------
        >>> import tinygrad_adam as tg
        >>> tg.ones(2).to(tg.float64).dtype
        dtype('float64')
        """
        wanted, target = arguments.destination(args, dtype, device)
        out: Tensor = self if target is None else moved(self, target)
        if wanted is not None:
            out = cast(out, element_type(wanted))
        return ew.clone(out) if copy and out is self else out

    def cpu(self) -> Tensor:
        """Return this tensor on the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | str | Device | None = None) -> Tensor:
        """Return this tensor on a GPU, the first by default."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def float(self) -> Tensor:
        """Return this tensor as float32."""
        return cast(self, np.float32)

    def double(self) -> Tensor:
        """Return this tensor as float64."""
        return cast(self, np.float64)

    def half(self) -> Tensor:
        """Return this tensor as float16."""
        return cast(self, np.float16)

    def long(self) -> Tensor:
        """Return this tensor as int64, decimals cut off."""
        return cast(self, np.int64)

    def int(self) -> Tensor:
        """Return this tensor as int32, decimals cut off."""
        return cast(self, np.int32)

    def bool(self) -> Tensor:
        """Return where this tensor is not zero."""
        return cast(self, np.bool_)

    def type_as(self, other: Tensor) -> Tensor:
        """Return this tensor with the element type of another."""
        if not isinstance(other, Variable):
            raise DTypeError(
                f"type_as: expected a Tensor, got {type(other).__name__}; use .to(dtype)"
            )
        return cast(self, other._data.dtype)

    # --- out of the framework ---

    def item(self) -> Any:
        """Return the only element as a Python number; on a GPU this waits for it."""
        if self._data.size != 1:
            raise ShapeError(f"item: needs exactly one element, shape is {self.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._data.tolist()

    def numpy(self) -> np.ndarray:
        """Return the NumPy array itself, sharing memory with this tensor.

        Raises
        ------
        GraphError
            If a gradient is required, which NumPy would lose; `detach` first.
        DeviceError
            If the tensor is on a GPU; `cpu` first.
        """
        if self.requires_grad:
            raise GraphError("numpy: this tensor requires a gradient; use .detach().numpy()")
        if not isinstance(self._data, np.ndarray):
            raise DeviceError(f"numpy: this tensor is on {self.device}; use .cpu().numpy()")
        return self._data

    # np.generic: a type checker then leaves `array + tensor` to Tensor.__radd__, as NumPy does
    def __array__(
        self, dtype: Any = None, copy: Any = None
    ) -> np.ndarray[Any, np.dtype[np.generic]]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the Python array API standard on tensors, `tinygrad_adam.array_api`."""
        namespace = import_module(".array_api", __package__)  # stands above this file
        if api_version not in (None, *namespace.VERSIONS):
            raise ArgumentError(
                f"__array_namespace__: version {api_version!r} of the standard is unknown; one of "
                f"{', '.join(namespace.VERSIONS)}"
            )
        return namespace

    def to_device(self, device: DeviceLike, /, *, stream: None = None) -> Tensor:
        """Return `to` a device: the array API standard's name."""
        return self.to(device)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        from .exchange import numpy_function

        return numpy_function(function, args, settings)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[_builtin_int, _builtin_int] | None = None,
        dl_device: tuple[Any, _builtin_int] | None = None,
        copy: _builtin_bool | None = None,
    ) -> Any:
        """Return this tensor's memory as a DLPack capsule, for ``from_dlpack`` of any library.

        Parameters
        ----------
        stream, max_version, dl_device, copy
            As in the Python array API standard; NumPy or CuPy answers them.

        Raises
        ------
        ExchangeError
            If a gradient is required, which the other library would lose; `detach` first.  Also
            if the memory is read-only and the other library cannot be told, or what is asked for
            cannot be had.
        """
        from .exchange import exported

        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device}
        return exported(self, **asked, copy=copy)

    def __dlpack_device__(self) -> tuple[_builtin_int, _builtin_int]:
        """Return DLPack's number for the kind of device, and which one of them it is."""
        kind, index = self._data.__dlpack_device__()
        return _builtin_int(kind), _builtin_int(index)

    def __float__(self) -> _builtin_float:
        return _builtin_float(self.item())

    def __int__(self) -> _builtin_int:
        return _builtin_int(self.item())

    def __index__(self) -> _builtin_int:
        if self._data.dtype.kind not in "biu":
            raise DTypeError(f"only an integer tensor can be an index, not {self.dtype}")
        return _builtin_int(self.item())

    def __bool__(self) -> _builtin_bool:
        if self._data.size != 1:
            raise ShapeError(
                f"a tensor of shape {self.shape} is neither true nor false; use .any() or .all()"
            )
        return _builtin_bool(self._data.item())

    # --- as a sequence ---

    def __len__(self) -> _builtin_int:
        if not self._data.ndim:
            raise NoSequenceError("len: a 0-d tensor has no length")
        return _builtin_int(self._data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self._data.ndim:
            raise NoSequenceError("iteration over a 0-d tensor; use .item()")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> _builtin_bool:
        if not _comparable(value):
            raise DTypeError(
                f"in: a tensor holds numbers, so look for a number or a Tensor, "
                f"not {type(value).__name__}"
            )
        return _builtin_bool((self == value).any())

    __getitem__ = getitem
    __setitem__ = setitem

    # --- in place ---

    add_ = add_
    sub_ = sub_
    mul_ = mul_
    div_ = div_
    pow_ = pow_
    copy_ = copy_
    fill_ = fill_
    zero_ = zero_

    # --- operators ---

    __add__ = ew.plus
    __sub__ = ew.minus
    __mul__ = ew.mul
    __truediv__ = ew.quotient
    __pow__ = ew.pow
    __radd__ = _reflected(ew.plus)
    __rsub__ = _reflected(ew.minus)
    __rmul__ = _reflected(ew.mul)
    __rtruediv__ = _reflected(ew.quotient)
    __rpow__ = _reflected(ew.pow)
    __neg__ = ew.neg

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ipow__ = pow_

    def __iand__(self, other: Operand) -> Tensor:  # type: ignore[misc]  # __and__ has no self
        return update(self, "&=", operator.and_, other)

    def __ior__(self, other: Operand) -> Tensor:  # type: ignore[misc]
        return update(self, "|=", operator.or_, other)

    def __matmul__(self, other: Tensor | np.ndarray) -> Tensor:
        return matmul(self, _tensor_operand(other))

    def __rmatmul__(self, other: Tensor | np.ndarray) -> Tensor:
        return matmul(_tensor_operand(other), self)

    def __pos__(self) -> Tensor:
        return self

    __floordiv__ = el.floor_divide
    __rfloordiv__ = _reflected(el.floor_divide)
    __mod__ = el.remainder
    __rmod__ = _reflected(el.remainder)
    __and__ = el.bitwise_and
    __rand__ = _reflected(el.bitwise_and)
    __or__ = el.bitwise_or
    __ror__ = _reflected(el.bitwise_or)
    __xor__ = el.bitwise_xor
    __rxor__ = _reflected(el.bitwise_xor)
    __invert__ = el.bitwise_not
    __lshift__ = el.bitwise_left_shift
    __rlshift__ = _reflected(el.bitwise_left_shift)
    __rshift__ = el.bitwise_right_shift
    __rrshift__ = _reflected(el.bitwise_right_shift)

    if TYPE_CHECKING:  # which not every type checker would see in the lines below

        def __abs__(self) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]

    else:
        __abs__ = ew.abs
        __eq__ = _compared(ew.eq)
        __ne__ = _compared(ew.ne)

    __lt__ = _compared(ew.lt)
    __le__ = _compared(ew.le)
    __gt__ = _compared(ew.gt)
    __ge__ = _compared(ew.ge)

    # --- methods that are functions of the package ---

    add = ew.add
    sub = ew.sub
    mul = ew.mul
    div = ew.div
    pow = ew.pow
    neg = ew.neg
    abs = ew.abs
    sign = ew.sign
    exp = ew.exp
    log = ew.log
    log1p = ew.log1p
    sqrt = ew.sqrt
    rsqrt = ew.rsqrt
    sin = ew.sin
    cos = ew.cos
    tanh = ew.tanh
    sigmoid = ew.sigmoid
    relu = ew.relu
    maximum = ew.maximum
    minimum = ew.minimum
    clamp = ew.clamp
    clone = ew.clone
    eq = ew.eq
    ne = ew.ne
    lt = ew.lt
    le = ew.le
    gt = ew.gt
    ge = ew.ge
    logical_and = ew.logical_and
    logical_or = ew.logical_or
    logical_not = ew.logical_not
    isnan = ew.isnan
    isfinite = ew.isfinite
    acos = el.acos
    acosh = el.acosh
    asin = el.asin
    asinh = el.asinh
    atan = el.atan
    atan2 = el.atan2
    atanh = el.atanh
    bitwise_and = el.bitwise_and
    bitwise_left_shift = el.bitwise_left_shift
    bitwise_not = el.bitwise_not
    bitwise_or = el.bitwise_or
    bitwise_right_shift = el.bitwise_right_shift
    bitwise_xor = el.bitwise_xor
    ceil = el.ceil
    copysign = el.copysign
    cosh = el.cosh
    expm1 = el.expm1
    floor = el.floor
    floor_divide = el.floor_divide
    hypot = el.hypot
    isinf = el.isinf
    log10 = el.log10
    log2 = el.log2
    logaddexp = el.logaddexp
    logical_xor = el.logical_xor
    nextafter = el.nextafter
    reciprocal = el.reciprocal
    remainder = el.remainder
    round = el.round
    signbit = el.signbit
    sinh = el.sinh
    square = el.square
    tan = el.tan
    trunc = el.trunc
    matmul = matmul
    sum = red.sum
    mean = red.mean
    var = red.var
    std = red.std
    max = red.max
    min = red.min
    amax = red.amax
    amin = red.amin
    any = red.any
    all = red.all
    argmax = red.argmax
    argmin = red.argmin
    logsumexp = sft.logsumexp
    softmax = sft.softmax
    log_softmax = sft.log_softmax
    cumsum = red.cumsum
    reshape = shp.reshape
    flatten = shp.flatten
    permute = shp.permute
    transpose = shp.transpose
    movedim = shp.movedim
    squeeze = shp.squeeze
    unsqueeze = shp.unsqueeze
    expand = shp.expand
    broadcast_to = shp.broadcast_to
    flip = shp.flip
    contiguous = shp.contiguous
    split = join.split
    chunk = join.chunk
    gather = gather

    @property
    def T(self) -> Tensor:
        """A view with the axes in reverse order."""
        return shp.T(self)

    @property
    def mT(self) -> Tensor:
        """A view with the last two axes exchanged: each matrix transposed."""
        return shp.mT(self)

    def view(self, *shape: Size, size: Size | None = None) -> Tensor:
        """Return `reshape`; a view where the memory layout allows one, otherwise a copy."""
        return shp.reshape(self, *shape, shape=size)

    def where(self, condition: Tensor, other: Operand) -> Tensor:
        """Return this tensor where `condition` holds and `other` elsewhere."""
        return ew.where(condition, self, other)

    def t(self) -> Tensor:
        """Return the transpose of a matrix."""
        if self._data.ndim > 2:
            raise ShapeError(f"t: needs at most 2 axes, got shape {self.shape}; use mT or permute")
        return self.T

    def expand_as(self, other: Tensor) -> Tensor:
        """Return `expand` to the shape of another tensor."""
        return shp.expand(self, _shape_of("expand_as", other))

    def view_as(self, other: Tensor) -> Tensor:
        """Return `view` in the shape of another tensor."""
        return self.view(_shape_of("view_as", other))

    # --- how it shows ---

    def __repr__(self) -> str:
        from .printing import tensor_text

        return tensor_text(self)

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        if self._data.size != 1:
            raise DTypeError(
                f"format {spec!r}: only a tensor of one element is formatted as a number, "
                f"not one of shape {self.shape}"
            )
        return format(self.item(), spec)

    # --- copying and pickling ---

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle and copy.deepcopy go by this
        if self._node is not None:
            raise GraphError(
                "pickle or deepcopy: a graph is not copied, so only leaf tensors are; "
                "use .detach().clone()"
            )
        grad = None if self._grad is None else self._grad._data
        parts = (type(self), self._data, self._requires_grad, grad)
        return _rebuilt, parts, getattr(self, "__dict__", None)

    def __copy__(self) -> Tensor:
        if self._node is not None:  # made by the same operation, from the same memory
            new: Tensor = variable(self._data, self._node)
            new._family = origin(self)[0], None  # a write to one is not followed by the other
            return new
        _, parts, attributes = self.__reduce__()
        new = _rebuilt(*parts)
        if attributes:
            new.__dict__.update(attributes)
        return new


Variable.tensor_class = Tensor


def _shape_of(name: str, other: Any) -> Any:
    if not isinstance(other, Variable):
        raise DTypeError(f"{name}: expected a Tensor, got {type(other).__name__}")
    return other._data.shape


def _tensor_operand(value: Any) -> Any:
    return variable(value) if hasattr(value, "dtype") and not isinstance(value, Variable) else value


def _rebuilt(cls: type[Tensor], data: Array, requires_grad: bool, grad: Array | None) -> Tensor:
    """Return what `Tensor.__reduce__` took apart."""
    new = object.__new__(cls)
    Tensor.__init__(new, data, requires_grad)
    new._grad = None if grad is None else variable(grad)
    return new
