import numpy as np
import pytest

from model.config import TrainConfig
from model.diagnostics import BINS, Histogram
from model.network import EVALUATION_ROWS, Network
from model.training import build_optimizer, train

OPTIONS = {"hidden_layer_sizes": (8, 6), "batch_size": 7, "epochs": 3, "weight_decay": 0.1}


def start(data, **options):
    config = TrainConfig(**{**OPTIONS, **options})
    return Network(data.n_features, data.n_classes, config, np.random.default_rng(0))


def epochs(network, data, **options):
    return list(train(network, data, np.random.default_rng(0), **options))


def test_off_by_default(data):
    assert {epoch.diagnostics for epoch in epochs(start(data), data)} == {None}


@pytest.mark.parametrize("extra", [{}, {"batch_norm": "after", "dropout": 0.3}])
def test_diagnostics_do_not_change_the_training(data, extra):
    watched, alone = start(data, **extra), start(data, **extra)
    seen = epochs(watched, data, diagnostics=True)
    assert [e.train_loss for e in seen] == [e.train_loss for e in epochs(alone, data)]
    np.testing.assert_array_equal(watched.state, alone.state)


def test_gradient_norms_are_means_over_the_batches_of_each_layer(data):
    (epoch,) = epochs(start(data, epochs=1), data, diagnostics=True)
    twin, rng, norms = start(data), np.random.default_rng(0), []
    optimizer = build_optimizer(twin.config, twin.params)
    rng.integers(2**63)  # the seed of dropout's masks
    for x, y in data.batches(7, rng):
        twin.backward(x, y)
        norms.append([np.sqrt(np.sum(linear.dw.astype(float) ** 2)) for linear in twin.linears])
        optimizer.step(twin.params, twin.grads, twin.config.learning_rate)
    np.testing.assert_allclose(epoch.diagnostics.gradient_norms, np.mean(norms, axis=0), rtol=1e-5)


def test_activations_are_those_of_the_validation_rows_after_the_epoch(data, formulas):
    network = start(data, activation="tanh")
    last = epochs(network, data, diagnostics=True)[-1]
    x = data.x_val
    assert len(last.diagnostics.activations) == 2
    for linear, histogram in zip(network.linears, last.diagnostics.activations, strict=False):
        x = formulas["tanh"](x @ linear.w + linear.b)
        assert histogram.counts.sum() == x.size
        assert histogram.mean == pytest.approx(x.mean(), rel=1e-5)
        assert histogram.std == pytest.approx(x.std(), rel=1e-5)
        assert histogram.edges[[0, -1]] == pytest.approx([x.min(), x.max()], rel=1e-5)


def test_without_validation_rows_activations_are_of_the_training_rows(tiny_data):
    data = tiny_data(n_train=1200, n_val=0)
    (epoch,) = epochs(start(data, epochs=1), data, diagnostics=True)
    counts = [histogram.counts.sum() for histogram in epoch.diagnostics.activations]
    assert counts == [EVALUATION_ROWS * 8, EVALUATION_ROWS * 6]


def test_a_divergence_is_not_an_error(data):
    last = epochs(start(data, learning_rate=1e38), data, diagnostics=True)[-1]
    assert not np.isfinite(last.train_loss)
    assert len(last.diagnostics.gradient_norms) == 3


def test_softmax_regression_has_gradients_and_no_activations(data):
    (epoch,) = epochs(start(data, hidden_layer_sizes=(), epochs=1), data, diagnostics=True)
    assert epoch.diagnostics.activations == ()
    assert len(epoch.diagnostics.gradient_norms) == 1


def test_histogram_by_hand():
    histogram = Histogram.of(np.array([[0, 1, 2], [30, np.inf, np.nan]], np.float32))
    assert histogram.counts.tolist() == [1, 1, 1, *[0] * (BINS - 4), 1]
    np.testing.assert_allclose(histogram.edges, np.arange(31))
    assert histogram.mean == 33 / 4


def test_histogram_of_nothing_finite():
    histogram = Histogram.of(np.array([np.nan, np.inf]))
    assert histogram.counts.sum() == 0
    assert np.isnan([histogram.mean, histogram.std]).all()
