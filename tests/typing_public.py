"""What a type checker sees of the public face; read by mypy, never run."""

from typing import Any, assert_type

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import Tensor, nn
from tinygrad_adam.nn import functional as F

x = tg.ones(2, 3, requires_grad=True)
w = tg.tensor([[1.0], [2.0], [3.0]])

assert_type(x @ w, Tensor)
assert_type(x + 1, Tensor)
assert_type(2.0 * x, Tensor)
assert_type(x / w.mT, Tensor)
assert_type(x - np.ones(3), Tensor)
assert_type(-x, Tensor)
assert_type(abs(x), Tensor)
assert_type(x**2, Tensor)
assert_type(x > 0, Tensor)
assert_type(x == x, Tensor)
assert_type(x[0, 1:], Tensor)
assert_type(x.exp(), Tensor)
assert_type(x.sum(), Tensor)
assert_type(x.mean(dim=1, keepdim=True), Tensor)
assert_type(x.max(), Tensor)
assert_type(x.max(dim=1).values, Tensor)
assert_type(tg.min(x, 0)[1], Tensor)
assert_type(x.reshape(3, 2), Tensor)
assert_type(x.T, Tensor)
assert_type(x.split(1), tuple[Tensor, ...])
assert_type(x.grad, Tensor | None)
assert_type(x.add_(1), Tensor)
assert_type(x.shape, tuple[int, ...])
assert_type(x.dtype, np.dtype[Any])
assert_type(x.detach().numpy(), np.ndarray)
assert_type(tg.exp(x), Tensor)
assert_type(tg.maximum(x, 0.0), Tensor)
assert_type(tg.where(x > 0, x, 0.0), Tensor)
assert_type(tg.softmax(x, 1), Tensor)
assert_type(tg.cat([x, x]), Tensor)
assert_type(tg.autograd.grad(x.sum(), x), tuple[Any, ...])

labels = tg.tensor([0, 1])
assert_type(F.cross_entropy(x, labels), Tensor)
assert_type(F.relu(x), Tensor)
assert_type(F.linear(x, w.T), Tensor)
assert_type(nn.CrossEntropyLoss().forward(x, labels), Tensor)
assert_type(nn.Linear(3, 2).forward(x), Tensor)
assert_type(nn.MSELoss()(x, x), Tensor)
