"""Linear, convolution and pooling layers: settings and parameters.

The computing is in `tinygrad_adam.nn.functional`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..device import to_device
from ..dtypes import float_type
from ..ops.arguments import integer, pair
from ..ops.conv import read_groups, read_padding
from ..ops.pool import read_divisor, read_window
from ..tensor import Tensor
from . import functional, init
from .module import Module
from .parameter import Parameter

if TYPE_CHECKING:
    from ..types import DeviceLike, DTypeLike

__all__ = ["AvgPool2d", "Conv2d", "Linear", "MaxPool2d"]

Size2d = int | tuple[int, int]


class _Affine(Module):
    """What layers with a weight and a bias share: making both, and drawing their values."""

    weight: Parameter
    bias: Parameter | None

    def _make(
        self,
        shape: tuple[int, ...],
        bias: bool,
        device: DeviceLike | None,
        dtype: DTypeLike | None,
    ) -> None:
        kind = float_type(type(self).__name__, dtype)
        self.weight = Parameter(to_device(np.zeros(shape, kind), device))
        offset = Parameter(to_device(np.zeros(shape[:1], kind), device)) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new starting values from ``U(-c, c)``, ``c = 1 / sqrt(inputs of one output)``.

        PyTorch writes the weight's bound as ``kaiming_uniform_(a=sqrt(5))``; it is the same number.
        """
        bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)


class Linear(_Affine):
    r"""Affine map :math:`y = x W^T + b` of the last dimension.

    Weight ``(out_features, in_features)`` and bias ``(out_features,)`` start uniform in
    :math:`\pm 1 / \sqrt{\text{in\_features}}`, as in PyTorch.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last dimension of input and output.
    bias : bool, default True
        Whether to add ``b``.
    device : str or Device, optional
        Where the parameters live; the default device if left out.
    dtype : dtype, optional
        Floating-point type of the parameters, the default type if left out.

    Raises
    ------
    ArgumentError
        If a size is not positive.
    DTypeError
        If a size is no integer or `dtype` not floating point.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Linear(3, 2)(tg.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features, 1)
        self.out_features = integer("Linear", "out_features", out_features, 1)
        self._make((self.out_features, self.in_features), bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Conv2d(_Affine):
    r"""Cross-correlation of images ``(N, C, H, W)`` with learned kernels.

    Weight ``(out_channels, in_channels / groups, kH, kW)`` and bias ``(out_channels,)`` start
    uniform in :math:`\pm 1 / \sqrt{n}` with :math:`n` the inputs of one output, as in PyTorch.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size, stride, dilation : int or (int, int)
        Size, step and spacing of the kernel, for height and width.
    padding : int, (int, int), "valid" or "same"
        Zeros around the image; ``"same"`` keeps height and width (stride 1 only).
    groups : int
        Independent groups of channels; divides both channel counts.
    bias : bool, default True
        Whether to add one number per output channel.
    device : str or Device, optional
        Where the parameters live; the default device if left out.
    dtype : dtype, optional
        Floating-point type of the parameters, the default type if left out.

    Raises
    ------
    ArgumentError
        If a setting is out of its range.
    DTypeError
        If a size is no integer or `dtype` not floating point.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.Conv2d(1, 32, 3)(tg.zeros(2, 1, 28, 28)).shape
    (2, 32, 26, 26)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d,
        stride: Size2d = 1,
        padding: Size2d | str = 0,
        dilation: Size2d = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = integer("Conv2d", "in_channels", in_channels, 1)
        self.out_channels = integer("Conv2d", "out_channels", out_channels, 1)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        widths, _ = read_padding("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else widths
        self.groups = read_groups("Conv2d", groups, self.in_channels, self.out_channels)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._make(shape, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, out_channels, H', W')``."""
        return functional.conv2d(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding!r}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text + (", bias=False" if self.bias is None else "")


class _Pool2d(Module):
    """What the poolings share: window, step and padding."""

    _rare: ClassVar[dict[str, object]]

    def __init__(
        self, kernel_size: Size2d, stride: Size2d | None, padding: Size2d, dilation: Size2d = 1
    ) -> None:
        super().__init__()
        window = read_window(type(self).__name__, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding, self.dilation, _ = window

    def extra_repr(self) -> str:
        """Return the settings as `repr` prints them: of those that are rare, the ones in use."""
        text = []
        for key in ("kernel_size", "stride", "padding", *self._rare):
            value = getattr(self, key)
            if isinstance(value, tuple) and value[0] == value[1]:
                value = value[0]
            if key not in self._rare or value != self._rare[key]:
                text.append(f"{key}={value}")
        return ", ".join(text)


class MaxPool2d(_Pool2d):
    """The largest value of each window of ``(N, C, H, W)``.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The window.
    stride : int or (int, int), optional
        Its step, the window size if left out.
    padding : int or (int, int)
        Border of minus infinity around the image, at most half the window.
    dilation : int or (int, int)
        Step between the pixels of a window.
    return_indices : bool, default False
        Whether to return also where the largest values are.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the border.

    Raises
    ------
    ArgumentError
        If a setting is out of its range.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.MaxPool2d(2)(tg.arange(4.0).reshape(1, 1, 2, 2)).item()
    3.0
    """

    _rare: ClassVar = {"dilation": 1, "return_indices": False, "ceil_mode": False}

    def __init__(
        self,
        kernel_size: Size2d,
        stride: Size2d | None = None,
        padding: Size2d = 0,
        dilation: Size2d = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation)
        self.return_indices, self.ceil_mode = bool(return_indices), bool(ceil_mode)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C, H', W')``; with indices, to a pair of these."""
        found: Tensor = functional.max_pool2d(  # type: ignore[call-overload]
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )
        return found


class AvgPool2d(_Pool2d):
    """The mean of each window of ``(N, C, H, W)``.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The window.
    stride : int or (int, int), optional
        Its step, the window size if left out.
    padding : int or (int, int)
        Zeros around the image, at most half the window.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the border.
    count_include_pad : bool, default True
        Whether the padding's zeros count in the mean.
    divisor_override : int, optional
        What to divide by instead of the size of the window.

    Raises
    ------
    ArgumentError
        If a setting is out of its range.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.nn.AvgPool2d(2)(tg.arange(4.0).reshape(1, 1, 2, 2)).item()
    1.5
    """

    _rare: ClassVar = {
        "ceil_mode": False,
        "count_include_pad": True,
        "divisor_override": None,
    }

    def __init__(
        self,
        kernel_size: Size2d,
        stride: Size2d | None = None,
        padding: Size2d = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = read_divisor("AvgPool2d", divisor_override)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C, H', W')``."""
        return functional.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
