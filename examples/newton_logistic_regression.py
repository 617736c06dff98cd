"""Newton's method on logistic regression: with the Hessian, and with products of it only.

A step solves H s = -g. With 31 parameters the Hessian is small, so it can be made and solved with.
Where it could not be, conjugate gradients need products H v only, each about as dear as a few
gradients, however many parameters there are.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as tg
from tinygrad_adam import data, func, nn, optim, plot

FIGURES = Path(__file__).parent / "figures"
DECAY = 0.01  # without it no weights are best: larger ones tell the classes apart ever better


def make_loss():
    """Return the mean cross-entropy of 30 weights and a bias, with some decay, and their number."""
    (x, y), _ = data.breast_cancer()
    x, y = tg.tensor(np.hstack([x, np.ones((len(x), 1))])), tg.tensor(y[:, 0])

    def loss(w):
        cross_entropy = nn.functional.binary_cross_entropy_with_logits(x @ w, y)
        return cross_entropy + DECAY / 2 * (w[:-1] ** 2).sum()

    return loss, x.shape[1]


def newton(loss, w, solve, steps):
    """Return the loss and the length of the gradient before each step."""
    history = []
    for _ in range(steps):
        value, gradient = func.value_and_grad(loss)(w)
        history.append((value.item(), np.linalg.norm(gradient.numpy())))
        w = w - solve(w, gradient)
    return history


def conjugate_gradients(multiply, g):
    """Return s with H s = g, roughly far from the minimum and better near to it."""
    s, r, direction = tg.zeros_like(g), g, g
    squared = (r @ r).item()
    tolerance = squared * min(0.1, squared) ** 2
    while squared > tolerance:
        product = multiply(direction)
        length = squared / (direction @ product).item()
        s, r = s + length * direction, r - length * product
        squared, before = (r @ r).item(), squared
        direction = r + squared / before * direction
    return s


def adam(loss, w, steps):
    """Return the same history for Adam."""
    w = w.clone().requires_grad_()
    optimizer = optim.Adam([w], lr=0.1)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(w)
        value.backward()
        history.append((value.item(), np.linalg.norm(w.grad.numpy())))
        optimizer.step()
    return history


def main(out=FIGURES):
    loss, n = make_loss()
    start = tg.zeros(n, dtype=tg.float64)
    products = []

    def by_hessian(w, g):
        return tg.tensor(np.linalg.solve(func.hessian(loss)(w).numpy(), g.numpy()))

    def by_products(w, g):
        def multiply(v):
            products.append(v)
            return func.hvp(loss, (w,), (v,))[0]

        return conjugate_gradients(multiply, g)

    histories = {
        "Newton": newton(loss, start, by_hessian, steps=9),
        "Newton, products only": newton(loss, start, by_products, steps=9),
        "Adam": adam(loss, start, steps=200),
    }
    print("step   loss             length of the gradient   with products only")
    rows = zip(histories["Newton"], histories["Newton, products only"], strict=True)
    for step, ((value, length), (_, other)) in enumerate(rows):
        print(f"{step:4d}   {value:.12f}   {length:.1e}                  {other:.1e}")
    print(f"products in all: {len(products)}")
    value, length = histories["Adam"][-1]
    print(f"Adam, after 200 steps: {value:.12f}, {length:.1e}")

    lengths = {name: [length for _, length in h[:40]] for name, h in histories.items()}
    figure = plot.loss_curve(lengths, title="Logistic regression", ylabel="length of the gradient")
    figure.axes[0].set(xlabel="step", yscale="log")
    plot.save(figure, Path(out) / "newton_logistic_regression.png")
    return {**histories, "products": len(products)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figure")
    main(parser.parse_args().out)
