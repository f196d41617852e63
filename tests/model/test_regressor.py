"""MLPRegressor: scikit-learn's checks, against scikit-learn's own, saving and going on."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor as Peer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import model
from model import MLPClassifier, MLPRegressor, TrainConfig

REPEATED = "check_sample_weight_equivalence_on_dense_data"


# Batches hold other rows if rows are repeated, as for scikit-learn's own network.
@parametrize_with_checks([MLPRegressor()], expected_failed_checks=lambda _: {REPEATED: "batches"})
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_parameters_are_those_of_a_training_run_and_two_more():
    parameters = inspect.signature(MLPRegressor).parameters
    expected = {field.name: field.default for field in fields(TrainConfig)}
    expected |= {"loss": "auto", "random_state": None, "validation_fraction": 0.0}
    assert {name: parameter.default for name, parameter in parameters.items()} == expected
    assert model.MLPRegressor is MLPRegressor


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


def test_it_learns_as_much_as_scikit_learns_own(diabetes):
    x, y = diabetes
    train, test = np.arange(len(x)) % 4 != 0, np.arange(len(x)) % 4 == 0
    ours = make_pipeline(
        StandardScaler(), MLPRegressor(epochs=60, learning_rate=0.003, random_state=0)
    )
    theirs = make_pipeline(
        StandardScaler(),
        Peer(solver="sgd", max_iter=60, learning_rate_init=0.001, random_state=0, batch_size=100),
    )
    scores = [each.fit(x[train], y[train]).score(x[test], y[test]) for each in (ours, theirs)]
    assert scores[0] > 0.4
    assert scores[0] > scores[1] - 0.05


def test_the_first_step_is_that_of_scikit_learns_own():
    """Same weights, one batch, plain gradient descent, squared error: the same new weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    y = x @ [1.0, -2.0, 0.5]
    y = (y - y.mean()) / y.std()
    peer = Peer(
        hidden_layer_sizes=(5,), solver="sgd", momentum=0, alpha=0, batch_size=50, max_iter=1,
        learning_rate_init=0.1, shuffle=False, random_state=0,
    )  # fmt: skip
    with pytest.warns(match="Maximum iterations"):
        peer.fit(x, y)
    before = Peer(
        hidden_layer_sizes=(5,), solver="sgd", momentum=0, alpha=0, batch_size=50, max_iter=1,
        learning_rate_init=1e-30, shuffle=False, random_state=0,
    )  # fmt: skip
    with pytest.warns(match="Maximum iterations"):
        before.fit(x, y)
    config = TrainConfig(hidden_layer_sizes=(5,), loss="squared_error", optimizer="sgd")
    network = model.Network(3, 1, config, np.random.default_rng(0), dtype=np.float64)
    for linear, w, b in zip(network.linears, before.coefs_, before.intercepts_, strict=True):
        linear.w[:], linear.b[:] = w, b
    network.backward(x, y[:, None])
    network.params -= 0.1 * network.grads
    for linear, w, b in zip(network.linears, peer.coefs_, peer.intercepts_, strict=True):
        np.testing.assert_allclose(linear.w, w, atol=1e-12)
        np.testing.assert_allclose(linear.b, b, atol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_a_saved_regressor_goes_on_as_if_never_stopped(diabetes, tmp_path, loss):
    x, y = diabetes
    both = np.column_stack([y, 2 * y + 3])
    regressor = MLPRegressor(loss=loss, epochs=3, random_state=1, validation_fraction=0.2)
    regressor.fit(x, both)
    regressor.save(tmp_path / "it.npz")
    loaded = MLPRegressor.load(tmp_path / "it.npz")
    assert loaded.get_params() == regressor.get_params()
    np.testing.assert_array_equal(loaded.predict(x), regressor.predict(x))
    assert loaded.predict(x).shape == (len(x), 2)
    for each in (regressor, loaded):
        each.partial_fit(x, both)
    np.testing.assert_array_equal(loaded.predict(x), regressor.predict(x))
    assert loaded.history_["val_loss"] == regressor.history_["val_loss"]


def test_predictions_are_in_the_units_of_the_targets(diabetes):
    x, y = diabetes
    regressor = MLPRegressor(epochs=40, random_state=0).fit(x, y)
    far = MLPRegressor(epochs=40, random_state=0).fit(x, 1000 * y + 1e6)
    np.testing.assert_allclose(far.predict(x), 1000 * regressor.predict(x) + 1e6, rtol=1e-4)


def test_early_stopping_keeps_the_epoch_with_the_lowest_loss(diabetes):
    regressor = MLPRegressor(
        epochs=200, early_stopping=5, validation_fraction=0.3, random_state=0
    ).fit(*diabetes)
    curve = regressor.history_["val_loss"]
    assert len(curve) < 200
    assert regressor.best_epoch_ == np.argmin(curve) + 1


def test_each_estimator_opens_its_own_files(diabetes, tmp_path):
    x, y = diabetes
    MLPRegressor(epochs=1).fit(x, y).save(tmp_path / "numbers.npz")
    MLPClassifier(epochs=1).fit(x, y > 100).save(tmp_path / "classes.npz")
    with pytest.raises(ValueError, match=r"MLPRegressor\.load opens it"):
        MLPClassifier.load(tmp_path / "numbers.npz")
    with pytest.raises(ValueError, match=r"MLPClassifier\.load opens it"):
        MLPRegressor.load(tmp_path / "classes.npz")


def test_a_later_call_with_other_columns_is_refused(diabetes):
    x, y = diabetes
    regressor = MLPRegressor().partial_fit(x, y)
    with pytest.raises(ValueError, match="y must have 1 columns, but has 2"):
        regressor.partial_fit(x, np.column_stack([y, y]))


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
def test_a_loss_of_classes_is_refused(diabetes, loss):
    with pytest.raises(ValueError, match=f"loss '{loss}' is for classes"):
        MLPRegressor(loss=loss).fit(*diabetes)


def test_a_loss_of_numbers_is_refused(diabetes):
    x, y = diabetes
    with pytest.raises(ValueError, match="loss 'huber' is for numbers"):
        MLPClassifier(loss="huber").fit(x, y > 100)
