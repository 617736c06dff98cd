"""Every gradient of the layers and the network, against differences of their values."""

import layers
import numpy as np
import pytest
from network import Network

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(4, 3))


@pytest.mark.parametrize(
    ("f", "grad_f", "x"),
    [
        (layers.dense, layers.dense_backward, (Z, RNG.normal(size=(3, 2)), RNG.normal(size=2))),
        (layers.sigmoid, layers.sigmoid_backward, Z),
        (layers.relu, layers.relu_backward, Z),
    ],
    ids=["dense", "sigmoid", "relu"],
)
def test_layers(gradcheck, backend, f, grad_f, x):
    several = isinstance(x, tuple)
    x = tuple(map(backend.xp.asarray, x)) if several else backend.xp.asarray(x)
    gradcheck.by_hand(f, grad_f, x, upstream="dout")


def test_the_loss(gradcheck):
    y = RNG.integers(0, 2, (4, 3))
    gradcheck.by_hand(layers.cross_entropy, layers.cross_entropy_backward, (Z, y))


def test_relu_at_its_kink(gradcheck):
    """At 0 any slope from 0 to 1 will do; that there is a kink is said as a warning."""
    from tinygrad_adam.errors import KinkWarning

    with pytest.warns(KinkWarning, match=r"kink at input 0 \(z\) entry \(1,\)"):
        gradcheck.by_hand(layers.relu, layers.relu_backward, np.array([-1.0, 0.0]), upstream="dout")


def test_the_network(gradcheck):
    model = Network([3, 5, 1])
    y = RNG.integers(0, 2, (4, 1))
    gradcheck.by_hand(model.loss, model.gradients, {"x": Z, "y": y, **model.parameters})


def test_it_learns():
    model = Network([3, 5, 1])
    losses = model.train(Z, (Z[:, :1] > 0).astype(int), steps=200)
    assert losses[-1] < 0.1 < 0.5 < losses[0]
