"""What a type checker sees of the public face; read by mypy, never run."""

from typing import Any, assert_type

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import Tensor, nn
from tinygrad_adam.data import DataLoader, TensorDataset
from tinygrad_adam.nn import functional as F
from tinygrad_adam.ops.reduce import ValuesAndIndices

x = tg.ones(2, 3, requires_grad=True)
w = tg.tensor([[1.0], [2.0], [3.0]])

assert_type(x @ w, Tensor)
assert_type(x + 1, Tensor)
assert_type(2.0 * x, Tensor)
assert_type(x / w.mT, Tensor)
assert_type(x - np.ones(3), Tensor)
assert_type(np.ones(3) - x, Tensor)
assert_type(np.ones((2, 2)) @ x, Tensor)
assert_type(np.float64(2) * x, Tensor)
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
assert_type(tg.autograd.grad(x.sum(), x), tuple[Tensor, ...])
assert_type(tg.grad(x.sum(), [x], allow_unused=True), tuple[Tensor | None, ...])

labels = tg.tensor([0, 1])
assert_type(F.cross_entropy(x, labels), Tensor)
assert_type(F.relu(x), Tensor)
assert_type(F.linear(x, w.T), Tensor)
assert_type(nn.CrossEntropyLoss().forward(x, labels), Tensor)
assert_type(nn.Linear(3, 2).forward(x), Tensor)
assert_type(nn.MSELoss()(x, x), Tensor)
assert_type(F.one_hot(labels, 3), Tensor)
assert_type(F.pad(x, (1, 1)), Tensor)
assert_type(F.max_pool2d(tg.ones(1, 1, 4, 4), 2, stride=(1, 2)), Tensor)
assert_type(F.conv2d(tg.ones(1, 1, 4, 4), tg.ones(1, 1, 2, 2), padding="same"), Tensor)

for tensor in (
    x.T, x.mT, x.t(), x.detach(), x.cpu(), x.float(), x.to(tg.float64), x.to("cpu", copy=True),
    x.view(-1), x.flatten(), x.permute(1, 0), x.permute((1, 0)), x.transpose(0, 1), x.squeeze(),
    x.unsqueeze(0), x.expand(2, 3), x.flip(0), x.contiguous(), x.clone(), x.type_as(w),
    x.softmax(1), x.log_softmax(1), x.logsumexp((0, 1)), x.cumsum(0), x.var(), x.std(dim=1),
    x.amax((0, 1)), x.amin(), x.argmax(1), x.argmin(), x.any(), x.all(dim=1), x.gather(1, labels),
    x.where(x > 0, 0.0), x.clamp(min=0),
    x.mul(2), x.add_(1), x.copy_([1.0]), x.fill_(3), x.zero_(), x[x > 0], x[..., None],
    x[[0, 1]], x[labels, 1:],
    tg.zeros(2, 3), tg.zeros((2, 3)), tg.full((2,), 7), tg.arange(3), tg.eye(2), tg.rand(2),
    tg.randn(2, dtype=tg.float64), tg.randint(5, size=(2,)), tg.linspace(0, 1, 3), tg.zeros_like(x),
    tg.from_numpy(np.ones(2)), tg.as_tensor([1.0]), tg.stack([x, x]), tg.add(x, 1), tg.pow(2, x),
    tg.sum(x, 1), tg.mean(x), tg.logical_and(x, x), tg.clamp(x, 0, 1), tg.matmul(x, w),
):  # fmt: skip
    assert_type(tensor, Tensor)

assert_type(x.size(), tuple[int, ...])
assert_type(x.size(0), int)
assert_type(len(x), int)
assert_type(next(iter(x)), Tensor)
assert_type(x.is_leaf, bool)
assert_type(tg.max(x, 0), ValuesAndIndices)
assert_type(x.backward(), None)


@tg.no_grad()
def halved(value: float) -> str:
    return str(value / 2)


assert_type(halved(2.0), str)

linear = nn.Linear(3, 2)
assert_type(linear(x), Tensor)
assert_type(linear.weight, nn.Parameter)
assert_type(linear.weight.grad, Tensor | None)
assert_type(linear.weight + 1, Tensor)
assert_type(nn.Sequential(linear, nn.ReLU())(x), Tensor)
assert_type(linear.state_dict(), dict[str, Tensor])
assert_type(list(linear.parameters()), list[nn.Parameter])

optimizer = tg.optim.Adam(linear.parameters(), lr=0.1)
assert_type(optimizer.step(), None)
assert_type(optimizer.step(lambda: x.sum()), Tensor)
assert_type(tg.load("model.safetensors"), dict[str, Tensor])

assert_type(x.sum().graph(nn.Linear(3, 2)), tg.autograd.Graph)
assert_type(x.sum().graph({"x": x}, limit=None).text(), str)
assert_type(tg.explain(x.sum(), {"x": x}).steps[0].rule, str)
with tg.autograd.detect_anomaly(check_inf=False):
    assert_type(x.exp(), Tensor)


class Squares:
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> float:
        return index**2


for pair in DataLoader((x, labels), batch_size=2):
    assert_type(pair, tuple[Tensor, ...])
for batch in DataLoader(x):
    assert_type(batch, Tensor)
for anything in DataLoader(Squares()):
    assert_type(anything, Any)
loader: DataLoader = DataLoader(TensorDataset(x, labels), shuffle=True)
inputs, targets = next(iter(loader))
assert_type(inputs, Tensor)

assert_type(x // 2, Tensor)
assert_type(7 % x, Tensor)
assert_type((x > 0) & (x < 1) | ~(x == 0), Tensor)
assert_type(1 << labels, Tensor)
assert_type(x.tan(), Tensor)
assert_type(tg.atan2(x, 1.0), Tensor)
assert_type(tg.from_dlpack(np.ones(2)), Tensor)
assert_type(x.to_device("cpu"), Tensor)
assert_type(tg.array_api.exp(x), Tensor)
assert_type(tg.array_api.sum(x, axis=0), Tensor)
assert_type(tg.array_api.meshgrid(x[0], x[1]), list[Tensor])


def doubled(value: tg.types.Operand, dtype: tg.types.DTypeLike) -> Tensor:
    return tg.mul(value, x).to(dtype)


assert_type(doubled(1.0, tg.float64), Tensor)

assert_type(tg.exp(input=x), Tensor)
assert_type(tg.mul(x, other=2.0), Tensor)
assert_type(x.mul(other=2.0), Tensor)
assert_type(x.logical_not(), Tensor)
