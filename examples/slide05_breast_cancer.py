"""Slides 5 to 9: the 30-16-8-1 network, as the deck trains it and so that it learns."""

import argparse
from pathlib import Path

from sklearn.metrics import roc_auc_score

import tinygrad_adam as tg
from tinygrad_adam import data, nn, optim, plot

FIGURES = Path(__file__).parent / "figures"


def network(seed, xavier):
    """Return slide 5's network; its last sigmoid is part of the loss (see `train`)."""
    tg.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(30, 16), nn.Sigmoid(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 1)
    ).double()
    for layer in (model[0], model[2], model[4]):
        if xavier:
            nn.init.xavier_normal_(layer.weight)
        else:
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    return model


def train(model, x, y, lr, epochs):
    """Train on the whole table at once; return loss and accuracy before each update."""
    optimizer = optim.Adam(model.parameters(), lr=lr)
    loss_function = nn.BCEWithLogitsLoss()
    losses, accuracies = [], []
    for _ in range(epochs):
        logits = model(x)
        loss = loss_function(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        accuracies.append(((logits > 0) == (y > 0.5)).double().mean().item())
    return losses, accuracies


def evaluate(model, x, y):
    """Return the test accuracy, the area under the ROC curve, and the predictions."""
    with tg.no_grad():
        scores = model(x).sigmoid().numpy()
    return ((scores > 0.5) == y).mean(), roc_auc_score(y, scores), scores


def main(out=FIGURES):
    (x, y), (x_test, y_test) = data.breast_cancer()
    x, y, x_test = tg.tensor(x), tg.tensor(y), tg.tensor(x_test)
    print(f"always saying 'benign' is right for {y_test.mean():.4f} of the test rows\n")

    print("the deck's settings: weights of size 0.01, lr 0.001, 100 epochs")
    deck = network(0, xavier=False)
    deck_losses, _ = train(deck, x, y, lr=0.001, epochs=100)
    accuracy, auc, scores = evaluate(deck, x_test, y_test)
    print(f"  loss {deck_losses[0]:.4f} -> {deck_losses[-1]:.4f}")
    print(f"  test accuracy {accuracy:.4f}, ROC AUC {auc:.4f}")
    print(f"  all predictions lie between {scores.min():.3f} and {scores.max():.3f}")
    _, more = train(network(0, xavier=False), x, y, lr=0.001, epochs=1000)
    first = next(epoch for epoch, accuracy in enumerate(more) if accuracy > 0.9)
    print(f"  train accuracy first exceeds 0.9 at epoch {first}\n")

    print("Xavier weights, lr 0.01, 100 epochs")
    results = {}
    for seed in range(5):
        model = network(seed, xavier=True)
        losses, _ = train(model, x, y, lr=0.01, epochs=100)
        results[seed] = accuracy, auc, scores = evaluate(model, x_test, y_test)
        print(f"  seed {seed}: loss {losses[-1]:.4f}, test accuracy {accuracy:.4f}, AUC {auc:.4f}")

    curves = {"0.01 weights, lr 0.001 (the deck's)": deck_losses, "Xavier, lr 0.01": losses}
    figure = plot.loss_curve(curves, title="Breast cancer", ylabel="Cross-entropy", log=False)
    plot.save(figure, Path(out) / "slide08_loss.png")
    plot.save(plot.roc_and_pr(y_test, scores), Path(out) / "slide09_roc_and_pr.png")
    return {"deck": evaluate(deck, x_test, y_test), "first_epoch": first, "xavier": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figures")
    arguments = parser.parse_args()
    main(arguments.out)
    print(f"figures saved in {arguments.out}")
