"""A network of dense and sigmoid layers that is trained without any autograd."""

import itertools

import layers
import numpy as np


class Network:
    """Dense layers with a sigmoid after each but the last, whose output is a logit."""

    def __init__(self, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.parameters = {}
        for i, (n, m) in enumerate(itertools.pairwise(sizes)):
            self.parameters[f"w{i}"] = rng.normal(size=(n, m)) / np.sqrt(n)
            self.parameters[f"b{i}"] = np.zeros(m)
        self.depth = len(sizes) - 1

    def loss(self, x, y, **parameters):
        """Return the cross-entropy, and keep what `gradients` needs."""
        self.kept = []
        for i in range(self.depth):
            z = layers.dense(x, parameters[f"w{i}"], parameters[f"b{i}"])
            self.kept.append((x, z))
            x = layers.sigmoid(z)
        return layers.cross_entropy(z, y)

    def gradients(self, x, y, **parameters):
        """Return the gradients of the last `loss`, by name."""
        found = {}
        dz = layers.cross_entropy_backward(self.kept[-1][1], y)
        for i in reversed(range(self.depth)):
            given, _ = self.kept[i]
            w, b = parameters[f"w{i}"], parameters[f"b{i}"]
            dx, found[f"w{i}"], found[f"b{i}"] = layers.dense_backward(given, w, b, dz)
            if i:
                dz = layers.sigmoid_backward(self.kept[i - 1][1], dx)
        return found | {"x": dx}

    def train(self, x, y, steps, lr=1.0):
        """Descend along the gradient; return the losses."""
        losses = []
        for _ in range(steps):
            losses.append(float(self.loss(x, y, **self.parameters)))
            for name, g in self.gradients(x, y, **self.parameters).items():
                if name in self.parameters:
                    self.parameters[name] -= lr * g
        return losses
