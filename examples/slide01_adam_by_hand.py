"""Slides 1 and 2: Adam's rule one number at a time, and why the place of epsilon matters."""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tinygrad_adam as tg
from tinygrad_adam import optim, plot

FIGURES = Path(__file__).parent / "figures"


def by_hand(theta, steps, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    """Minimise theta**2 with slide 1's equations; return a row per update."""
    m = v = 0.0
    rows = []
    for t in range(1, steps + 1):
        g = 2 * theta
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - lr * m_hat / (math.sqrt(v_hat) + eps)
        rows.append((t, g, m_hat, math.sqrt(v_hat), theta))
    return rows


def by_library(theta, steps, lr=0.1):
    """Do the same with autograd and `optim.Adam`; return theta after each update."""
    w = tg.tensor(theta, dtype=tg.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=lr)
    thetas = []
    for _ in range(steps):
        optimizer.zero_grad()
        (w**2).backward()
        optimizer.step()
        thetas.append(w.item())
    return thetas


def first_steps(gradients, **eps):
    """Return how far the first update moves a parameter with each gradient, in units of lr."""
    w = tg.zeros(len(gradients), dtype=tg.float64, requires_grad=True)
    w.grad = tg.tensor(gradients)
    optim.Adam([w], lr=1.0, **eps).step()
    return -w.detach().numpy()


def main(out=FIGURES):
    rows, thetas = by_hand(1.0, 100), by_library(1.0, 100)
    print("  t   gradient      m_hat  sqrt(v_hat)     theta")
    for t, g, m_hat, root, theta in rows[:5]:
        print(f"{t:3d}  {g:9.6f}  {m_hat:9.6f}  {root:11.6f}  {theta:8.6f}")
    gap = max(abs(row[-1] - theta) for row, theta in zip(rows, thetas, strict=True))
    print(f"by hand and optim.Adam agree over 100 updates: {gap < 1e-14}")

    gradients = 10.0 ** np.arange(-9, 1)
    outside = first_steps(gradients, eps=1e-8)  # slide 2, PyTorch, the default here
    inside = first_steps(gradients, eps=0.0, eps_root=1e-8)  # slide 1
    print("\nlength of the first step in units of lr, eps 1e-8")
    print("gradient   eps outside the root   eps inside")
    for g, a, b in zip(gradients, outside, inside, strict=True):
        print(f"{g:8.0e}   {a:20.6f}   {b:10.6f}")

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column, label in ((1, "gradient"), (2, "m_hat"), (3, "sqrt(v_hat)"), (4, "theta")):
        left.plot([row[0] for row in rows], [row[column] for row in rows], label=label)
    left.set(title="Adam on theta**2, lr 0.1", xlabel="update")
    right.semilogx(gradients, outside, "o-", label="eps outside the root (slide 2)")
    right.semilogx(gradients, inside, "s--", label="eps inside the root (slide 1)")
    right.set(title="First step, eps 1e-8", xlabel="gradient", ylabel="step / lr")
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    plot.save(figure, Path(out) / "slide01_adam_by_hand.png")
    return {"rows": rows, "thetas": thetas, "outside": outside, "inside": inside}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figure")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
