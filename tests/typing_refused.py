"""What a type checker must refuse: an error that is not found makes its `type: ignore` an error."""

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import Tensor, nn
from tinygrad_adam.nn import functional as F

x = tg.ones(2, 3)

tg.exp("hello")  # type: ignore[arg-type]
tg.exp(np.ones(3))  # type: ignore[arg-type]
tg.exp(x, x)  # type: ignore[call-arg]
tg.add(x, "hello")  # type: ignore[arg-type]
tg.sum("hello")  # type: ignore[arg-type]
tg.cat(x)  # type: ignore[arg-type]
tg.matmul("hello", x)  # type: ignore[arg-type]
tg.where(x > 0, x, "hello")  # type: ignore[arg-type]
tg.zeros("hello")  # type: ignore[arg-type]
tg.ones(2, dtype=3)  # type: ignore[arg-type]
tg.ones(2, device=3)  # type: ignore[arg-type]
tg.full((2,), "hello")  # type: ignore[arg-type]
tg.autograd.grad("hello", x)  # type: ignore[arg-type]
tg.no_grad(x)  # type: ignore[call-arg]
x + "hello"  # type: ignore[arg-type]
x @ 2  # type: ignore[operator]
x["hello"]  # type: ignore[arg-type]
x[0.5]  # type: ignore[arg-type]
x.reshape("hello")  # type: ignore[arg-type]
x.permute(0.5)  # type: ignore[arg-type]
x.sum(dim="hello")  # type: ignore[arg-type]
x.to(3)  # type: ignore[arg-type]
x.exp_()  # type: ignore[attr-defined]
x.register_hook(3)  # type: ignore[arg-type]
x.backward("hello")  # type: ignore[arg-type]
x.grad = 3  # type: ignore[assignment]
x.grad.sum()  # type: ignore[union-attr]
x[0] = "hello"  # type: ignore[arg-type]
F.relu("hello")  # type: ignore[arg-type]
F.cross_entropy("hello", x)  # type: ignore[arg-type]
F.max_pool2d(x, "hello")  # type: ignore[arg-type]
nn.Linear("hello", 2)  # type: ignore[arg-type]
nn.Linear(3, 2)("hello")  # type: ignore[arg-type]
nn.ReLU()("hello")  # type: ignore[arg-type]
nn.MSELoss()(x)  # type: ignore[call-arg]
nn.MSELoss(reduction="hello")  # type: ignore[arg-type]


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


Net()(1.0)  # type: ignore[arg-type]
Net()(x).hello()  # type: ignore[attr-defined]
