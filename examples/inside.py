"""Look inside a network of ten layers with a mistake in its middle: python examples/inside.py."""

from __future__ import annotations

import tinygrad_adam as tg
import tinygrad_adam.nn as nn
from tinygrad_adam.errors import AnomalyError


class Normalised(nn.Module):
    """Divide each row by its spread, which is 0 where all of the row is the same."""

    def forward(self, x):
        """Return `x` with its rows divided."""
        centred = x - x.mean(dim=1, keepdim=True)
        return centred / (centred * centred).mean(dim=1, keepdim=True).sqrt()


def network():
    """Return ten layers, the fifth of which fails for a row that is the same everywhere."""
    pairs = [layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.Tanh())]
    return nn.Sequential(*pairs[:4], Normalised(), *pairs[5:])


def main():
    tg.manual_seed(0)
    model, x, target = network(), tg.randn(4, 8), tg.zeros(4, 8)
    loss = nn.functional.mse_loss(model(x), target)
    print(loss.graph(model, limit=6))
    print()
    print(tg.explain(loss, model, limit=6))
    print()
    # a layer that has died: the same output everywhere
    with tg.no_grad():
        model[2].weight.zero_()
        model[2].bias.zero_()
    try:
        with tg.autograd.detect_anomaly():
            nn.functional.mse_loss(model(x), target).backward()
    except AnomalyError as error:
        print(error)
        return error
    raise AssertionError("the mistake was not found")


if __name__ == "__main__":
    main()
