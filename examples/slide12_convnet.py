"""Slide 12: the deck's ConvNet, as printed, learns handwritten digits."""
# ruff: noqa: D101, D102, UP008

import argparse
from pathlib import Path

import numpy as np

import tinygrad_adam as torch
import tinygrad_adam.nn as nn
from tinygrad_adam import data, optim, plot

FIGURES = Path(__file__).parent / "figures"


class ConvNet(nn.Module):
    def __init__(self):
        super(ConvNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(32 * 13 * 13, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = x.view(-1, 32 * 13 * 13)
        x = torch.relu(self.fc1(x))
        x = self.fc2(x)
        return x


def predict(model, images):
    """Return the most likely digit for each image."""
    with torch.no_grad():
        batches = data.DataLoader(images, batch_size=500)
        return np.concatenate([model(x).argmax(1).numpy() for x in batches])


def main(out=FIGURES, quick=False):
    (images, labels), (test_images, test_labels) = data.mnist()
    if quick:
        images, labels, test_images, test_labels = (
            a[:500] for a in (images, labels, test_images, test_labels)
        )
    x, x_test = data.normalize_images(images), data.normalize_images(test_images)

    torch.manual_seed(0)
    model = ConvNet()
    print(model)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.001)
    loader = data.DataLoader((x, labels), batch_size=50, shuffle=True)
    losses = []
    for epoch in range(1 if quick else 5):
        for batch, targets in loader:
            loss = loss_function(model(batch), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        predictions = predict(model, x_test)
        accuracy = float((predictions == test_labels).mean())
        recent = np.mean(losses[-len(loader) :])
        print(f"epoch {epoch + 1}: training loss {recent:.4f}, test accuracy {accuracy:.4f}")

    out = Path(out)
    figure = plot.loss_curve(losses, title="ConvNet", xlabel="Update")
    plot.save(figure, out / "slide12_loss.png")
    plot.save(plot.confusion_matrix(test_labels, predictions), out / "slide12_confusion.png")
    figure = plot.misclassified(test_images, test_labels, predictions)
    plot.save(figure, out / "slide12_misclassified.png")
    plot.save(plot.filters(model.conv1.weight), out / "slide12_filters.png")
    return {"losses": losses, "accuracy": accuracy, "model": model}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="1 epoch on 500 digits, as a check")
    arguments = parser.parse_args()
    main(arguments.out, arguments.quick)
    print(f"figures saved in {arguments.out}")
