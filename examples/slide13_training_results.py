"""Slide 13: the same network trained on digits by three optimisers, and how long each took."""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, plot
from tinygrad_adam.train import steps_to_target

FIGURES = Path(__file__).parent / "figures"
OPTIMIZERS = {
    "Adam, lr 0.001": lambda params: optim.Adam(params, lr=0.001),
    "RMSprop, lr 0.001": lambda params: optim.RMSprop(params, lr=0.001),
    "SGD, lr 0.1": lambda params: optim.SGD(params, lr=0.1),
    "SGD, lr 0.1, momentum 0.9": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
}


def train(optimizer_of, x, labels, updates):
    """Train on all of `x` at once; return the loss before each update."""
    tg.manual_seed(0)  # the same starting weights for every optimiser
    model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optimizer_of(model.parameters())
    loss_function = nn.CrossEntropyLoss()
    losses = []
    for _ in range(updates):
        loss = loss_function(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(out=FIGURES, updates=150, tol=0.1):
    (images, labels), _ = data.mnist()
    x = tg.tensor(data.normalize_images(images[:500]))
    labels = tg.tensor(labels[:500])
    histories = {name: train(make, x, labels, updates) for name, make in OPTIMIZERS.items()}

    print(f"500 digits, {updates} updates:  final loss   slide 13's argmin   until loss <= {tol:g}")
    for name, losses in histories.items():
        reached = steps_to_target(losses[1:], tol) or "never"
        print(f"{name:29s} {losses[-1]:10.4f}   {np.argmin(losses):17d}   {reached:>16}")

    figure = plot.optimizer_comparison(histories, title="A small network on digits")
    plot.save(figure, Path(out) / "slide13_training_results.png")
    return histories


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figure")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
