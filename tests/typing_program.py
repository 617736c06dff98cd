"""A user's typed program, which `mypy --strict` accepts as it stands, and which learns."""

from __future__ import annotations

import tinygrad_adam as tg
from tinygrad_adam import Tensor, nn
from tinygrad_adam.data import DataLoader
from tinygrad_adam.nn import functional as F


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Linear(width, width)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return x + scale * self.inside(x).relu()


class Net(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(1, width)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(2))
        self.last = nn.Sequential(nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class MeanAndSpread(nn.Module):
    """A module whose result is a pair: a call is typed as its `forward` is."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(), x.std()


def train(epochs: int) -> list[float]:
    """Return the loss of each epoch."""
    tg.manual_seed(0)
    x = tg.linspace(-1, 1, 64).reshape(-1, 1)
    net = Net()
    optimizer = tg.optim.Adam(net.parameters(), lr=0.01)
    history: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for inputs, targets in DataLoader((x, x**3 - 0.5 * x), batch_size=16, shuffle=True):
            loss = F.mse_loss(net(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            gradient = net.first.weight.grad
            assert gradient is not None
            assert gradient.isfinite().all()
            optimizer.step()
            total += loss.item()
        history.append(total)
    return history


@tg.no_grad()
def spread(x: Tensor) -> float:
    mean, deviation = MeanAndSpread()(x)
    return float(deviation / mean)


def main() -> None:
    history = train(20)
    assert history[-1] < 0.2 * history[0], history
    assert spread(tg.tensor([1.0, 3.0])) > 0.7
    t = tg.tensor(2.0, requires_grad=True)
    (slope,) = tg.autograd.grad(t**3, t, create_graph=True)
    (bend,) = tg.autograd.grad(slope, t)
    assert bend.item() == 12


if __name__ == "__main__":
    main()
