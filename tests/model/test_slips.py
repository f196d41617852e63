"""Mistakes in the texts' code, with a test for each, so that none is repeated here."""

import numpy as np
import pytest

from model.config import TrainConfig
from model.dropout import Dropout
from model.initializers import INITIALIZERS
from model.network import Network
from model.training import build_optimizer


def build(n_inputs=4, n_classes=3, **options):
    config = TrainConfig(**{"hidden_layer_sizes": (6,), **options})
    return Network(n_inputs, n_classes, config, np.random.default_rng(0), dtype=np.float64)


def draw_rows(rows, n_inputs=4, n_classes=3):
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, n_inputs)), rng.integers(0, n_classes, rows)


def test_two_over_fan_in_plus_fan_out_is_glorots_variance_not_the_deviation():
    weights = INITIALIZERS["glorot"](np.random.default_rng(0), (300, 500))
    assert weights.var() == pytest.approx(2 / 800, rel=0.02)


def test_momentum_moves_all_parameters_once_per_step_and_not_when_it_is_built():
    network = build(optimizer="momentum", momentum=0.5)
    before = network.params.copy()
    optimizer = build_optimizer(network.config, network.params)
    np.testing.assert_array_equal(network.params, before)
    for moved in (0.1, 0.15):  # ηg, then ηg + μηg
        before = network.params.copy()
        optimizer.step(network.params, np.ones_like(before), 0.1)
        np.testing.assert_allclose(network.params, before - moved, rtol=1e-12)


def test_adagrad_decreases_the_weights_and_does_not_replace_them():
    params = np.array([5.0, -3.0])
    optimizer = build_optimizer(TrainConfig(optimizer="adagrad"), params)
    optimizer.step(params, np.array([2.0, -4.0]), 0.1)
    np.testing.assert_allclose(params, [4.9, -2.9], rtol=1e-9)


def test_dropout_scales_by_the_kept_share():
    layer = Dropout(2000, 0.2)
    layer.allocate(1, np.float64)
    layer.resize(1)
    kept = layer.forward_train(np.ones((1, 2000)), np.random.default_rng(0))
    assert set(np.round(kept.ravel(), 3)) == {0.0, 1.25}
    assert np.count_nonzero(kept) == pytest.approx(1600, abs=80)


@pytest.mark.parametrize("outputs", [[1e8, 2e8, 0], [-1e8, -2e8, -3e8]])
def test_softmax_clips_nothing(outputs):
    network = build(hidden_layer_sizes=())
    network.params[:] = 0
    network.linears[0].b[:] = outputs
    (p,) = network.predict_proba(np.zeros((1, 4)))
    np.testing.assert_array_equal(p, np.eye(3)[np.argmax(outputs)])
    loss, _ = network.evaluate(np.zeros((1, 4)), np.array([np.argmin(outputs)]))
    assert loss == max(outputs) - min(outputs)


def test_batch_norm_at_inference_uses_running_averages_and_not_the_batch():
    network, (x, y) = build(batch_norm="before"), draw_rows(20)
    for _ in range(50):
        network.backward(x, y)
    alone = np.concatenate([network.predict_proba(row[None]) for row in x])
    np.testing.assert_allclose(network.predict_proba(x), alone, rtol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_every_loss_is_the_mean_over_the_batch_in_its_value_and_in_its_gradient(loss):
    network, (x, y) = build(loss=loss), draw_rows(5)
    found = []
    for times in (1, 4):
        network.reset_metrics()
        network.backward(np.tile(x, (times, 1)), np.tile(y, times))
        found.append((network.train_metrics()[0], network.grads.copy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert found[0][0] == pytest.approx(network.evaluate(x, y)[0], rel=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10, atol=1e-15)
