"""Rows that count more or less: in losses, gradients, accuracies and whole trainings."""

from dataclasses import replace

import numpy as np
import pytest

from model import MLPClassifier, MLPRegressor, Network, TrainConfig
from model.data import Dataset
from model.losses import LOSSES
from model.outputs import OUTPUTS
from model.training import train

CASES = [(loss, "softmax") for loss in LOSSES] + [("mean_squared_error", name) for name in OUTPUTS]
every_loss = pytest.mark.parametrize(("loss", "output"), sorted({*CASES}))


@pytest.fixture
def build():
    """A function that returns a float64 network of a loss, and 12 rows for it."""

    def network_of(loss, output):
        config = TrainConfig(
            hidden_layer_sizes=(5,), loss=loss, output=output, weight_decay=0.01, activation="tanh"
        )
        rng = np.random.default_rng(0)
        network = Network(4, 3, config, rng, dtype=np.float64)
        y = rng.integers(0, 3, 12)
        if network.loss.regression:
            y = rng.normal(size=(12, 3))
        elif network.loss.multilabel:
            y = rng.integers(0, 2, (12, 3))
        return network, rng.normal(size=(12, 4)), y

    return network_of


@every_loss
def test_the_losses_and_hits_of_rows_add_up_to_those_of_the_batch(build, loss, output):
    network, x, y = build(loss, output)
    z = network.forward(x).copy()
    losses, hits = network.loss.of_rows(z, y)
    assert np.array_equal(z, network.forward(x))  # it is kept
    total, right = network.loss.forward(z, y)
    assert losses.shape == hits.shape == (12,)
    assert losses.sum() == pytest.approx(total, rel=1e-12)
    assert hits.sum() == pytest.approx(right, nan_ok=True)


@every_loss
def test_a_weight_counts_as_that_many_rows(build, loss, output):
    network, x, y = build(loss, output)
    times = np.array([3, 1, 0, 2, 1, 1, 4, 0, 1, 2, 1, 1])
    weights = times / times.mean()
    network.backward(x, y, None, weights)
    gradients, metrics = network.grads.copy(), network.train_metrics()
    network.reset_metrics()
    rows = np.repeat(np.arange(12), times)
    network.backward(x[rows], y[rows])
    assert np.allclose(gradients, network.grads, atol=1e-12)
    assert metrics == pytest.approx(network.train_metrics(), rel=1e-12, nan_ok=True)
    weighted = network.evaluate(x, y, weights=weights)
    assert weighted == pytest.approx(network.evaluate(x[rows], y[rows]), rel=1e-12, nan_ok=True)


@every_loss
def test_a_weight_of_one_changes_nothing(build, loss, output):
    network, x, y = build(loss, output)
    network.backward(x, y)
    gradients = network.grads.copy()
    network.backward(x, y, None, np.ones(12))
    assert np.array_equal(gradients, network.grads)


def test_the_gradient_of_weighted_rows_is_that_of_torch(build):
    torch = pytest.importorskip("torch")
    network, x, y = build("cross_entropy", "softmax")
    weights = np.random.default_rng(1).exponential(size=12)
    z = torch.tensor(network.forward(x).copy(), requires_grad=True)
    losses = torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="none")
    (losses * torch.tensor(weights)).mean().backward()
    network.backward(x, y, None, weights)
    bias = network.linears[-1].db
    assert np.allclose(bias, z.grad.sum(dim=0).numpy(), atol=1e-12)


def data_of(w_train=None, w_val=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    y = (x[:, 0] + rng.normal(0, 1, 90) > 0).astype(np.intp)
    return Dataset(
        "", "", "", (), ("a", "b"), x[:60], y[:60], x[60:], y[60:], w_train=w_train, w_val=w_val
    )


def test_batches_carry_the_weights_of_their_rows():
    weights = np.arange(60, dtype=np.float32)
    data = replace(data_of(weights), x_train=np.arange(60, dtype=np.float32)[:, None])
    seen = [(x[:, 0].copy(), w) for x, _, w in data.batches(16, np.random.default_rng(0))]
    assert all(np.array_equal(x, w) for x, w in seen)
    assert sorted(np.concatenate([w for _, w in seen])) == [*range(60)]
    assert all(len(batch) == 2 for batch in data_of().batches(16, np.random.default_rng(0)))


@pytest.mark.parametrize("config", [{}, {"dropout": 0.3, "batch_norm": "before"}])
def test_a_training_with_weights_of_one_has_the_same_curves(config):
    curves = []
    for weights in (None, np.ones(60, np.float32)):
        given = TrainConfig(epochs=5, hidden_layer_sizes=(6,), batch_size=16, **config)
        network = Network(4, 2, given, np.random.default_rng(1))
        epochs = train(network, data_of(weights), np.random.default_rng(2))
        curves.append([(e.train_loss, e.train_accuracy, e.val_loss) for e in epochs])
    assert np.allclose(*curves, atol=1e-6)


def test_weights_of_classes_move_what_is_predicted():
    predicted = []
    for weight in (0.2, 5.0):
        weights = np.where(data_of().y_train == 1, weight, 1.0).astype(np.float32)
        config = TrainConfig(epochs=30, hidden_layer_sizes=(6,), batch_size=16, learning_rate=0.1)
        network = Network(4, 2, config, np.random.default_rng(1))
        for _ in train(network, data_of(weights / weights.mean()), np.random.default_rng(2)):
            pass
        predicted.append(network.predict(data_of().x_val).argmax(axis=1).mean())
    assert predicted[0] + 0.2 < predicted[1]


def test_an_estimator_with_one_batch_counts_weights_as_rows():
    data, times = data_of(), np.arange(60) % 3
    rows = np.repeat(np.arange(60), times)
    options = {"batch_size": 100, "epochs": 5, "random_state": 0, "learning_rate": 0.1}
    weighted = MLPClassifier(**options).fit(data.x_train, data.y_train, sample_weight=times)
    repeated = MLPClassifier(**options).fit(data.x_train[rows], data.y_train[rows])
    found, expected = (each.predict_proba(data.x_val) for each in (weighted, repeated))
    assert np.allclose(found, expected, atol=1e-4)
    plain = MLPClassifier(**options).fit(data.x_train, data.y_train)
    assert not np.allclose(found, plain.predict_proba(data.x_val), atol=1e-4)


def test_a_regressor_gives_more_to_rows_with_more_weight():
    x, y = np.zeros((40, 1)), np.arange(40) % 2.0
    options = {"epochs": 200, "random_state": 0, "hidden_layer_sizes": ()}
    found = MLPRegressor(**options).fit(x, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    assert found.predict(x[:1]) == pytest.approx(0.75, abs=0.03)
    assert MLPRegressor(**options).fit(x, y).predict(x[:1]) == pytest.approx(0.5, abs=0.03)


def test_validation_rows_of_an_estimator_are_weighted():
    data = data_of()
    curves = [
        MLPClassifier(epochs=3, random_state=0, validation_fraction=0.3)
        .fit(data.x_train, data.y_train, sample_weight=weights)
        .history_["val_accuracy"]
        for weights in (None, np.where(data.y_train == 1, 5.0, 1.0))
    ]
    assert curves[0] != curves[1]


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1.0], r"sample_weight must have shape \(60,\), but it is \(1,\)"),
        (-np.ones(60), "sample_weight must be finite and at least 0"),
        (np.zeros(60), "sample_weight is zero in all training rows"),
    ],
)
def test_wrong_weights_are_one_sentence(weights, sentence):
    data = data_of()
    with pytest.raises(ValueError, match=sentence):
        MLPClassifier().fit(data.x_train, data.y_train, sample_weight=weights)


def test_validation_rows_are_weighted_too():
    weights = np.zeros(30, np.float32)
    weights[:5] = 1.0
    config = TrainConfig(epochs=1, hidden_layer_sizes=(6,))
    network = Network(4, 2, config, np.random.default_rng(1))
    data = data_of(w_val=weights)
    (epoch,) = train(network, data, np.random.default_rng(2), score=lambda p: {"rows": len(p)})
    first = network.evaluate(data.x_val[:5], data.y_val[:5])
    assert (epoch.val_loss, epoch.val_accuracy) == pytest.approx(first, rel=1e-6)
    assert epoch.scores == {"rows": 30}
