"""Slides 11 and 13: Adam, RMSprop and SGD on Rosenbrock's function."""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import optim, plot, train

FIGURES = Path(__file__).parent / "figures"
# A fresh optimiser for every run: an old one would start with the last run's moments.
OPTIMIZERS = {
    "Adam, lr 0.1": lambda params: optim.Adam(params, lr=0.1),
    "Adam, lr 0.01": lambda params: optim.Adam(params, lr=0.01),
    "RMSprop, lr 0.01": lambda params: optim.RMSprop(params, lr=0.01),
    "SGD, lr 0.001": lambda params: optim.SGD(params, lr=0.001),
    "SGD, lr 0.001, momentum 0.9": lambda params: optim.SGD(params, lr=0.001, momentum=0.9),
    "SGD, lr 0.01": lambda params: optim.SGD(params, lr=0.01),
}


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def descend(optimizer_of, steps):
    """Minimise from (-1, 1); return the values and the points, the start included."""
    point = tg.tensor([-1.0, 1.0], dtype=tg.float64, requires_grad=True)
    optimizer = optimizer_of([point])
    values, path = [], []
    for step in range(steps + 1):
        value = rosenbrock(*point)
        values.append(value.item())
        path.append(point.tolist())
        if step < steps:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return values, np.array(path)


def main(out=FIGURES, steps=1000, tol=1e-3):
    histories, paths = {}, {}
    with np.errstate(over="ignore", invalid="ignore"):  # the last one overflows, to show it
        for name, optimizer_of in OPTIMIZERS.items():
            histories[name], paths[name] = descend(optimizer_of, steps)

    print(f"after {steps} updates {'f':>20}   slide 13's argmin   updates until f <= {tol:g}")
    reached = {}
    for name, values in histories.items():
        after = values[1:]  # slide 11 does not record the start
        reached[name] = train.steps_to_target(after, tol)
        argmin = np.argmin(after)
        print(f"{name:29s} {after[-1]:10.3g}   {argmin:17d}   {reached[name] or 'never':>19}")

    figure = plot.optimizer_comparison(histories, title="Rosenbrock's function")
    plot.save(figure, Path(out) / "slide13_optimizers.png")
    figure = plot.paths_on_contours(
        rosenbrock,
        {name: path[:151] for name, path in paths.items()},
        xlim=(-1.3, 1.3),
        ylim=(-0.3, 1.3),
        minimum=(1.0, 1.0),
        title="The first 150 updates on Rosenbrock's function",
    )
    plot.save(figure, Path(out) / "slide11_paths.png")
    return {"histories": histories, "paths": paths, "reached": reached}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figures")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
