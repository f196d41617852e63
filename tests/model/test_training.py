from dataclasses import astuple
from itertools import islice

import numpy as np
import pytest

from hpsearch.data.loading import load_dataset
from model.config import TrainConfig
from model.layers import ACTIVATIONS
from model.network import Network
from model.optimizers import OPTIMIZERS
from model.training import build_optimizer, train

NONLINEAR = [name for name in ACTIVATIONS if name != "identity"]
NO_MOVEMENT = 1e-60  # a learning rate that is zero in float32


def start(data, *, seed=0, shuffle_seed=None, **options):
    """Return a network and its epochs, none of which has run."""
    config = TrainConfig(**{"hidden_layer_sizes": (8,), "batch_size": 7, **options})
    network = Network(data.n_features, data.n_classes, config, np.random.default_rng(seed))
    rng = np.random.default_rng(seed if shuffle_seed is None else shuffle_seed)
    return network, train(network, data, rng)


def test_yields_the_given_number_of_epochs_counted_from_one(data):
    _, epochs = start(data, epochs=4, learning_rate=0.02)
    seen = list(epochs)
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    assert {epoch.learning_rate for epoch in seen} == {0.02}


def test_does_not_train_before_the_first_epoch_is_requested(data):
    network, epochs = start(data)
    before = network.params.copy()
    np.testing.assert_array_equal(network.params, before)
    next(epochs)
    assert not np.array_equal(network.params, before)


def test_the_caller_may_stop_early(data):
    whole, stopped = start(data, epochs=5), start(data, epochs=5)
    third = list(islice(whole[1], 3))[-1]
    params = whole[0].params.copy()
    for epoch in stopped[1]:
        if epoch.number == 3:
            break
    stopped[1].close()
    assert epoch == third
    np.testing.assert_array_equal(stopped[0].params, params)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_seed_decides_the_bits(data, optimizer):
    options = {"optimizer": optimizer, "epochs": 3, "weight_decay": 0.01}
    (one, epochs), (same, same_epochs) = start(data, **options), start(data, **options)
    assert list(epochs) == list(same_epochs)
    np.testing.assert_array_equal(one.params, same.params)


@pytest.mark.parametrize("other", [{"seed": 1, "shuffle_seed": 0}, {"shuffle_seed": 1}])
def test_another_seed_trains_differently(data, other):
    (one, epochs), (two, other_epochs) = start(data, epochs=2), start(data, epochs=2, **other)
    assert list(epochs) != list(other_epochs)
    assert not np.array_equal(one.params, two.params)


def test_every_row_is_used_once_per_epoch(data):
    network, epochs = start(data, epochs=3, optimizer="sgd", learning_rate=NO_MOVEMENT)
    loss, accuracy = network.evaluate(data.x_train, data.y_train)
    for epoch in epochs:
        assert epoch.train_loss == pytest.approx(loss, rel=1e-6)
        assert epoch.train_accuracy == accuracy


@pytest.mark.parametrize("steps", [1, 3, 40])
def test_an_epoch_may_be_a_given_number_of_batches(data, steps, monkeypatch):
    seen, backward = [], Network.backward

    def see(network, x, *rest):
        seen.append(len(x))
        return backward(network, x, *rest)

    monkeypatch.setattr(Network, "backward", see)
    _, epochs = start(data, epochs=2, batch_size=7, steps_per_epoch=steps)
    assert len(list(epochs)) == 2
    assert len(seen) == 2 * steps  # after a pass, the rows repeat
    whole, last = divmod(len(data.x_train), 7)
    per_pass = [7] * whole + [last] * bool(last)
    assert seen[:steps] == (per_pass * steps)[:steps]


def test_the_penalty_is_part_of_train_loss_only(data):
    options = {"epochs": 1, "optimizer": "sgd", "learning_rate": NO_MOVEMENT}
    network, epochs = start(data, weight_decay=0.5, **options)
    penalty = 0.5 * 0.5 * sum(np.sum(linear.w**2) for linear in network.linears)
    with_decay, without = next(epochs), next(start(data, **options)[1])
    assert with_decay.train_loss == pytest.approx(without.train_loss + penalty, rel=1e-6)
    assert with_decay.val_loss == without.val_loss


def test_training_metrics_are_means_over_the_rows_as_they_were_trained_on(data):
    options = {"optimizer": "momentum", "learning_rate": 0.3, "weight_decay": 0.1}
    _, epochs = start(data, **options)
    twin, _ = start(data, **options)
    optimizer = build_optimizer(twin.config, twin.params)
    rng = np.random.default_rng(0)
    for epoch in islice(epochs, 3):
        loss, hits = 0.0, 0.0
        rng.integers(2**63)  # the seed of dropout's masks
        for x, y in data.batches(twin.config.batch_size, rng):
            batch_loss, batch_accuracy = twin.evaluate(x, y)
            loss += len(x) * (batch_loss + 0.05 * np.sum(twin.weights**2))
            hits += len(x) * batch_accuracy
            twin.backward(x, y)
            optimizer.step(twin.params, twin.grads, 0.3)
        assert epoch.train_loss == pytest.approx(loss / len(data.x_train), rel=1e-6)
        assert epoch.train_accuracy == pytest.approx(hits / len(data.x_train), rel=1e-12)
        assert (epoch.val_loss, epoch.val_accuracy) == twin.evaluate(data.x_val, data.y_val)


def test_a_batch_larger_than_the_data_is_all_of_it(data):
    (exact, epochs), (larger, same_epochs) = start(data, batch_size=30), start(data, batch_size=900)
    assert list(epochs) == list(same_epochs)
    np.testing.assert_array_equal(exact.params, larger.params)


@pytest.mark.parametrize("activation", NONLINEAR)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_learns_a_few_rows_by_heart(tiny_data, optimizer, activation):
    options = {"optimizer": optimizer, "activation": activation, "learning_rate": 0.2}
    _, epochs = start(tiny_data(n_train=10), epochs=1500, hidden_layer_sizes=(50,), **options)
    *_, last = epochs
    assert last.train_accuracy == 1
    assert last.train_loss < 0.03


def test_learns_digits():
    data = load_dataset("digits")
    _, epochs = start(data, epochs=10, hidden_layer_sizes=(50,), batch_size=32)
    *_, last = epochs
    assert last.val_accuracy > 0.95


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_divergence_shows_in_the_losses_and_nowhere_else(data, optimizer, activation):
    options = {"optimizer": optimizer, "activation": activation, "weight_decay": 0.1}
    with np.errstate(all="raise"):
        before = np.geterr()
        _, epochs = start(data, epochs=5, learning_rate=1e38, **options)
        for epoch in epochs:
            assert np.geterr() == before
            assert all(type(number) in (int, float) for number in astuple(epoch)[:-2])
    assert not np.isfinite(epoch.train_loss)
    assert not np.isfinite(epoch.val_loss)


def test_harmless_underflow_is_not_an_error_for_a_strict_caller(data):
    with np.errstate(all="raise"):
        _, epochs = start(data, epochs=50, learning_rate=1.0)
        assert all(np.isfinite(epoch.train_loss) for epoch in epochs)


def test_the_schedule_sets_the_learning_rate_of_each_epoch(data):
    options = {"epochs": 3, "learning_rate": 0.1, "final_learning_rate": 0.001}
    _, epochs = start(data, schedule="exponential", **options)
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx([0.1, 0.01, 0.001])


def test_plateau_sees_the_validation_losses(data):
    options = {"plateau_patience": 1, "plateau_factor": 0.5, "learning_rate": 1.0}
    _, epochs = start(data, epochs=8, schedule="plateau", **options)
    lowest, expected = np.inf, 1.0
    for epoch in epochs:
        assert epoch.learning_rate == expected
        expected *= 1 if epoch.val_loss < lowest else 0.5
        lowest = min(lowest, epoch.val_loss)
    assert expected < 1


def test_dropout_leaves_the_order_of_the_rows_alone(data):
    class Recorder(Network):
        def backward(self, x, y, rng=None):
            self.seen = [*getattr(self, "seen", []), y.copy()]
            super().backward(x, y, rng)

    orders = []
    for dropout in (0.0, 0.5):
        network = Recorder(4, 3, TrainConfig(dropout=dropout), np.random.default_rng(0))
        list(islice(train(network, data, np.random.default_rng(0)), 3))
        orders.append(np.concatenate(network.seen))
    np.testing.assert_array_equal(*orders)


def test_dropout_draws_new_masks_for_every_step_and_none_for_predictions(tiny_data):
    data = tiny_data(n_train=10)
    network, epochs = start(data, dropout=0.5, learning_rate=NO_MOVEMENT, optimizer="sgd")
    seen = list(islice(epochs, 5))
    assert len({epoch.train_loss for epoch in seen}) == 5
    assert len({epoch.val_loss for epoch in seen}) == 1
    assert network.evaluate(data.x_val, data.y_val)[0] == seen[0].val_loss


def test_early_stopping_ends_a_given_time_after_the_best_epoch_and_restores_it(data):
    options = {"early_stopping": 4, "epochs": 100, "learning_rate": 0.1, "optimizer": "sgd"}
    for metric, best in [("val_loss", min), ("val_accuracy", max)]:
        network, _ = start(data, **options)
        states, values = [], []
        for epoch in train(network, data, np.random.default_rng(0), metric=metric):
            states.append(network.state.copy())
            values.append(getattr(epoch, metric))
        best_epoch = values.index(best(values)) + 1
        assert len(values) == best_epoch + 4 < 100
        np.testing.assert_array_equal(network.state, states[best_epoch - 1])


def test_early_stopping_restores_the_best_epoch_at_the_end_of_training_too(data):
    network, _ = start(data, early_stopping=50, epochs=50, learning_rate=0.5)
    losses = [
        epoch.val_loss
        for epoch in train(network, data, np.random.default_rng(0), metric="val_loss")
    ]
    assert len(losses) == 50
    assert network.evaluate(data.x_val, data.y_val)[0] == min(losses) < losses[-1]


def test_early_stopping_restores_the_running_statistics_too(data):
    options = {"early_stopping": 3, "batch_norm": "before", "learning_rate": 0.3, "epochs": 60}
    network, epochs = start(data, **options)
    accuracies = [epoch.val_accuracy for epoch in epochs]
    assert network.evaluate(data.x_val, data.y_val)[1] == max(accuracies)


def test_without_early_stopping_the_last_weights_stay(data):
    network, epochs = start(data, epochs=5, learning_rate=0.3)
    *_, last = epochs
    assert network.evaluate(data.x_val, data.y_val) == (last.val_loss, last.val_accuracy)


def test_a_diverged_epoch_is_never_the_best_by_its_loss(data):
    network, _ = start(data, early_stopping=2, epochs=20, learning_rate=1e38)
    epochs = train(network, data, np.random.default_rng(0), metric="val_loss")
    before = network.state.copy()
    assert len(list(epochs)) == 2
    np.testing.assert_array_equal(network.state, before)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"early_stopping": 1}, "early stopping"), ({"schedule": "plateau"}, "schedule 'plateau'")],
)
def test_early_stopping_and_plateau_need_validation_rows(tiny_data, options, what):
    _, epochs = start(tiny_data(n_val=0), **options)
    with pytest.raises(ValueError, match=f"^{what} needs validation rows, but there are none$"):
        next(epochs)


def test_without_validation_rows_their_metrics_are_nan(tiny_data):
    _, epochs = start(tiny_data(n_val=0), epochs=2)
    *_, last = epochs
    assert np.isnan([last.val_loss, last.val_accuracy]).all()
    assert last.train_accuracy > 0
