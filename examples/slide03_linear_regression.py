"""Slides 3 and 4: linear regression with Adam, with the deck's learning rate and one that fits."""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, plot, train

FIGURES = Path(__file__).parent / "figures"


def fit(x, y, lr, epochs):
    """Train on the whole table at once; return the model and the loss before each update."""
    tg.manual_seed(0)
    model = nn.Linear(20, 1, dtype=tg.float64)
    nn.init.normal_(model.weight, std=0.01)
    nn.init.zeros_(model.bias)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    loss_function = nn.MSELoss()
    losses = []
    for _ in range(epochs):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def least_squares(x, y):
    """Return the smallest mean squared error that any weights and bias can have."""
    columns = np.hstack([x, np.ones((len(x), 1))])
    solution = np.linalg.lstsq(columns, y)[0]
    return float(np.mean((columns @ solution - y) ** 2))


def main(out=FIGURES):
    table, targets = data.linear_regression()
    best = least_squares(table, targets)
    x, y = tg.tensor(table), tg.tensor(targets)
    print(f"least squares reaches a mean squared error of {best:.11f}\n")

    _, slow = fit(x, y, lr=0.001, epochs=100)
    print("lr 0.001, the deck's:")
    for epoch in range(0, 100, 30):
        print(f"  epoch {epoch:3d}   loss {slow[epoch]:.2f}")
    lower = 100 * (1 - slow[90] / slow[0])
    print(f"  lower by {lower:.2f} %: the weights must travel up to 94, and an update moves")
    print("  each by about the learning rate, 0.1 in 100 epochs\n")

    model, fast = fit(x, y, lr=1.0, epochs=1000)
    with tg.no_grad():
        final = nn.functional.mse_loss(model(x), y).item()
    print("lr 1:")
    for epoch in (0, 30, 100, 300):
        print(f"  epoch {epoch:3d}   loss {fast[epoch]:.6g}")
    print(f"  loss after 1000 epochs {final:.11f}, least squares {best:.11f}")
    updates = train.steps_to_target(fast[1:], 1.01 * best)
    print(f"  updates until within 1 % of least squares: {updates}")

    curves = {"lr 0.001 (the deck's)": slow, "lr 1": fast}
    figure = plot.loss_curve(curves, title="Linear regression", ylabel="MSE loss")
    plot.save(figure, Path(out) / "slide04_linear_regression.png")
    return {"best": best, "slow": slow, "fast": fast, "final": final}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figure")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
