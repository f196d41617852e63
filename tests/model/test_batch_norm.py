import numpy as np
import pytest

from model.batch_norm import BatchNorm
from model.config import TrainConfig
from model.network import Network
from model.training import train

EPSILON = 1e-5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def build_batch_norm(n_units=4, rows=6, decay=0.9, dtype=np.float64):
    layer = BatchNorm(n_units, batch_norm_decay=decay, batch_norm_epsilon=1e-5)
    parameters, statistics = np.zeros((4, n_units), dtype), np.zeros((2, n_units), dtype)
    layer.bind(*parameters, *statistics)
    layer.allocate(rows, dtype)
    layer.resize(rows)
    return layer


def normalized(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + EPSILON)


def test_starts_as_the_plain_normalization(rng):
    layer, x = build_batch_norm(), 5 + 3 * rng.standard_normal((6, 4))
    np.testing.assert_array_equal([layer.gamma, layer.beta], [[1] * 4, [0] * 4])
    np.testing.assert_array_equal([layer.mean, layer.variance], [[0] * 4, [1] * 4])
    np.testing.assert_allclose(layer.forward_train(x, None), normalized(x), rtol=1e-10)


def test_normalizes_by_the_batch_and_scales_by_gamma_and_beta(rng):
    layer, x = build_batch_norm(), 5 + 3 * rng.standard_normal((6, 4))
    layer.gamma[:], layer.beta[:] = rng.standard_normal((2, 4))
    expected = layer.gamma * normalized(x) + layer.beta
    np.testing.assert_allclose(layer.forward_train(x, None), expected, rtol=1e-10)


def test_gradients(rng, numerical_gradient):
    layer, x = build_batch_norm(), rng.standard_normal((6, 4))
    layer.gamma[:], layer.beta[:] = rng.standard_normal((2, 4))
    dy = rng.standard_normal((6, 4))

    def value():
        return np.sum(dy * layer.forward_train(x, None))

    value()
    dx = layer.backward(dy.copy())
    for values, gradient in [(x, dx), (layer.gamma, layer.dgamma), (layer.beta, layer.dbeta)]:
        kept = gradient.copy()
        np.testing.assert_allclose(kept, numerical_gradient(value, values), rtol=1e-5, atol=1e-8)


def test_leaves_its_input_alone_for_the_activation_before_it(rng):
    layer, x = build_batch_norm(), rng.standard_normal((6, 4))
    kept = x.copy()
    layer.forward_train(x, None)
    layer.forward(x)
    np.testing.assert_array_equal(x, kept)


def test_running_statistics_are_moving_averages_of_the_unbiased_ones(rng):
    layer, mean, variance = build_batch_norm(decay=0.8), np.zeros(4), np.ones(4)
    for rows in (6, 6, 2):
        x = 5 + 3 * rng.standard_normal((rows, 4))
        layer.resize(rows)
        layer.forward_train(x, None)
        mean = 0.8 * mean + 0.2 * x.mean(axis=0)
        variance = 0.8 * variance + 0.2 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.variance, variance, rtol=1e-12)


def test_at_inference_a_row_does_not_depend_on_its_batch_nor_change_the_statistics(rng):
    layer, x = build_batch_norm(), 5 + 3 * rng.standard_normal((6, 4))
    layer.gamma[:], layer.beta[:] = rng.standard_normal((2, 4))
    for _ in range(20):
        layer.forward_train(x, None)
    statistics = np.array([layer.mean, layer.variance])
    together = layer.forward(x).copy()
    layer.resize(1)
    alone = np.concatenate([layer.forward(row[None]).copy() for row in x])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal([layer.mean, layer.variance], statistics)
    scale = layer.gamma / np.sqrt(statistics[1] + EPSILON)
    expected = (x - statistics[0]) * scale + layer.beta
    np.testing.assert_allclose(together, expected, rtol=1e-10, atol=1e-12)


def test_a_batch_of_one_is_refused():
    layer = build_batch_norm(rows=1)
    with pytest.raises(ValueError, match="needs batches of at least 2 rows, but got 1"):
        layer.forward_train(np.ones((1, 4)), None)


def test_agrees_with_torch(rng):
    torch = pytest.importorskip("torch")
    layer, twin = build_batch_norm(dtype=np.float32), torch.nn.BatchNorm1d(4)
    for rows in (6, 6, 3):
        x = (5 + 3 * rng.standard_normal((rows, 4))).astype(np.float32)
        dy = rng.standard_normal((rows, 4)).astype(np.float32)
        there = torch.tensor(x, requires_grad=True)
        twin.zero_grad()
        y = twin(there)
        y.backward(torch.tensor(dy))
        layer.resize(rows)
        np.testing.assert_allclose(layer.forward_train(x, None), y.detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(layer.backward(dy), there.grad.numpy(), atol=1e-5)
        np.testing.assert_allclose(layer.dgamma, twin.weight.grad.numpy(), atol=1e-5)
        np.testing.assert_allclose(layer.dbeta, twin.bias.grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(layer.mean, twin.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(layer.variance, twin.running_var.numpy(), rtol=1e-5)
    twin.eval()
    layer.resize(3)
    np.testing.assert_allclose(layer.forward(x), twin(there).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("side", ["before", "after"])
def test_one_layer_for_each_activation_on_its_side(side):
    config = TrainConfig(batch_norm=side, hidden_layer_sizes=(5, 3))
    network = Network(4, 2, config, np.random.default_rng(0))
    kinds = [type(layer).__name__ for layer in network.layers]
    hidden = (
        ["Linear", "BatchNorm", "ReLU"] if side == "before" else ["Linear", "ReLU", "BatchNorm"]
    )
    assert kinds == [*hidden, *hidden, "Linear"]
    assert network.params.size == (4 * 5 + 5 * 3 + 3 * 2) + (5 + 3 + 2) + 2 * (5 + 3)
    assert network.weights.size == 4 * 5 + 5 * 3 + 3 * 2  # neither γ nor β decays
    assert network.state.size == network.params.size + 2 * (5 + 3)


def test_saved_with_its_running_statistics(tmp_path, data):
    config = TrainConfig(batch_norm="after", hidden_layer_sizes=(6, 5), epochs=3, batch_size=7)
    network = Network(4, 3, config, np.random.default_rng(0))
    list(train(network, data, np.random.default_rng(0)))
    network.save(tmp_path / "net.npz")
    loaded = Network.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(loaded.state, network.state)
    np.testing.assert_array_equal(
        loaded.predict_proba(data.x_val), network.predict_proba(data.x_val)
    )
    statistics = loaded.state[loaded.params.size :]
    assert not np.isin(statistics, [0, 1]).any()


def test_a_last_batch_of_one_row_joins_the_one_before(data):
    rows, config = [], TrainConfig(batch_norm="before", batch_size=len(data.x_train) - 1, epochs=1)

    class Recorder(Network):
        def backward(self, x, y, rng=None):
            rows.append(len(x))
            super().backward(x, y, rng)

    network = Recorder(4, 3, config, np.random.default_rng(0))
    (epoch,) = train(network, data, np.random.default_rng(0))
    assert rows == [len(data.x_train)]
    assert np.isfinite([epoch.train_loss, epoch.val_loss]).all()


def test_learns_where_badly_scaled_weights_alone_do_not(data):
    accuracies = {}
    for side in ("none", "before", "after"):
        config = TrainConfig(
            batch_norm=side, initializer="normal", weight_std=0.001, activation="sigmoid",
            hidden_layer_sizes=(30, 30), batch_size=30, epochs=300, learning_rate=0.1,
        )  # fmt: skip
        network = Network(4, 3, config, np.random.default_rng(0))
        for epoch in train(network, data, np.random.default_rng(0)):
            accuracies[side] = epoch.train_accuracy
    assert accuracies["none"] < 0.6 < 0.9 < min(accuracies["before"], accuracies["after"])
