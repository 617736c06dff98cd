"""Slide 10: learning rate decay, and whether it does what the slide says it does."""

import argparse
from pathlib import Path

import tinygrad_adam as tg
from tinygrad_adam import optim, plot

FIGURES = Path(__file__).parent / "figures"
LR = 0.01


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def descend(optimizer_of, steps):
    """Minimise Rosenbrock's function; return its value before each update."""
    point = tg.tensor([-1.0, 1.0], dtype=tg.float64, requires_grad=True)
    optimizer = optimizer_of([point])
    values = []
    for _ in range(steps):
        value = rosenbrock(*point)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


def main(out=FIGURES, steps=10_000):
    deck = optim.schedules.Exponential(0.001, rate=0.95, steps=1000)
    print("update   slide 10's learning rate")
    for update in (1, 2, 100, 1000, 1001, 10_000):
        print(f"{update:6d}   {deck(update - 1):.9f}")  # a schedule counts completed updates
    print(f"after the deck's 100 epochs it is lower by {100 * (1 - deck(100) / deck(0)):.1f} %\n")

    runs = {
        "no decay": lambda params: optim.Adam(params, lr=LR),
        "0.95 per 1000 updates (the deck's)": lambda params: optim.AdamWithDecay(params, lr=LR),
        "0.5 per 1000 updates": lambda params: optim.AdamWithDecay(params, lr=LR, decay_rate=0.5),
    }
    histories = {name: descend(optimizer_of, steps) for name, optimizer_of in runs.items()}
    late = steps // 2
    print(f"Rosenbrock, Adam, lr {LR}: largest value in the second half of {steps} updates")
    for name, values in histories.items():
        print(f"  {name:35s} {max(values[late:]):.1e}")

    figure = plot.loss_curve(
        histories, title="Adam at Rosenbrock's minimum", xlabel="Update", ylabel="f(x, y)"
    )
    plot.save(figure, Path(out) / "slide10_decay.png")
    return {"schedule": deck, "histories": histories}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figure")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
