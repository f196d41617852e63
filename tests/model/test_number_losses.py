"""The losses of numbers: their formulas, gradients and buffers, against NumPy and PyTorch."""

import numpy as np
import pytest

from model import Network, TrainConfig
from model.losses import LOSSES

NUMBERS = [name for name, loss in LOSSES.items() if loss.regression]
FORMULAS = {  # of one error
    "squared_error": lambda e: e**2 / 2,
    "absolute_error": np.abs,
    "huber": lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5),
}
every_loss = pytest.mark.parametrize("name", NUMBERS)


def build(name, rows, outputs, dtype=np.float64):
    loss = LOSSES[name](outputs)
    loss.allocate(rows, dtype)
    loss.resize(rows)
    return loss


@pytest.fixture
def batch():
    """Outputs and numbers (40, 3), some of them close to each other and some far apart."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(scale=2, size=(40, 3))


def test_every_loss_is_tested_here():
    assert FORMULAS.keys() == set(NUMBERS)


@every_loss
def test_the_loss_is_summed_over_rows_and_numbers(batch, name):
    z, y = batch
    total, hits = build(name, 40, 3).forward(z.copy(), y)
    assert total == pytest.approx(FORMULAS[name](z - y).sum(), rel=1e-12)
    assert np.isnan(hits)


@every_loss
def test_the_gradient_is_that_of_the_mean_over_rows(batch, numerical_gradient, name):
    z, y = batch
    loss, outputs = build(name, 40, 3), z.copy()
    loss.forward(outputs, y)
    expected = numerical_gradient(lambda: FORMULAS[name](z - y).sum() / len(z), z)
    np.testing.assert_allclose(loss.backward(outputs), expected, atol=1e-8)


@every_loss
def test_agrees_with_torch(batch, name):
    torch = pytest.importorskip("torch")
    z, y = batch
    twin = torch.tensor(z, requires_grad=True)
    theirs = {
        "squared_error": torch.nn.functional.mse_loss,
        "absolute_error": torch.nn.functional.l1_loss,
        "huber": torch.nn.functional.huber_loss,
    }[name](twin, torch.tensor(y), reduction="sum") / len(z)
    theirs = theirs / 2 if name == "squared_error" else theirs
    theirs.backward()
    loss, outputs = build(name, 40, 3), z.copy()
    assert loss.forward(outputs, y)[0] / len(z) == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(loss.backward(outputs), twin.grad.numpy(), atol=1e-12)


@every_loss
def test_everything_follows_the_dtype(batch, name):
    z, y = (array.astype(np.float32) for array in batch)
    loss = build(name, 40, 3, np.float32)
    loss.forward(z, y)
    assert loss.backward(z).dtype == np.float32
    assert loss.predictions(z).dtype == np.float32


@every_loss
def test_a_thousand_gradients_allocate_nothing(peak_memory, name):
    config = TrainConfig(loss=name, hidden_layer_sizes=(150, 150), batch_norm="before", dropout=0.3)
    network = Network(60, 60, config, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 120, 60)).astype(np.float32)
    assert peak_memory(lambda: network.backward(x, y, rng), times=1000) < 64 * 1024


@every_loss
def test_a_network_has_the_gradient_of_its_loss(numerical_gradient, name):
    config = TrainConfig(loss=name, hidden_layer_sizes=(7,), activation="tanh", weight_decay=0.1)
    network = Network(4, 2, config, np.random.default_rng(0), dtype=np.float64)
    x, y = (
        np.random.default_rng(1).normal(size=(9, 4)),
        np.random.default_rng(2).normal(size=(9, 2)),
    )

    def loss():
        penalty = 0.05 * np.square(network.weights).sum()
        return FORMULAS[name](network.forward(x) - y).sum() / len(x) + penalty

    network.backward(x, y)
    expected = numerical_gradient(loss, network.params)
    network.reset_metrics()
    network.backward(x, y)
    np.testing.assert_allclose(network.grads, expected, atol=1e-7)
    assert network.train_metrics()[0] == pytest.approx(loss(), rel=1e-12)


def test_probabilities_are_refused():
    network = Network(2, 1, TrainConfig(loss="huber"), np.random.default_rng(0))
    with pytest.raises(ValueError, match="huber is a loss of numbers: there are no probabilities"):
        network.predict_proba(np.zeros((1, 2), np.float32))
