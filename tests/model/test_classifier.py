import copy
import inspect
import pickle
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import model
from hpsearch.data.loading import Scaler, load_dataset
from model.checkpoint import Checkpoint
from model.config import TrainConfig
from model.estimators import MLPClassifier
from model.network import Network
from model.optimizers import OPTIMIZERS
from model.training import CURVES, train

NAMES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(scope="module")
def iris():
    """Return iris, standardized, with its species by name."""
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), NAMES[y]


def make(**options):
    return MLPClassifier(**{"random_state": 0, "hidden_layer_sizes": (8,), "epochs": 5, **options})


REPEATED = "check_sample_weight_equivalence_on_dense_data"


# Batches hold other rows if rows are repeated, as for scikit-learn's own network.
@parametrize_with_checks([MLPClassifier()], expected_failed_checks=lambda _: {REPEATED: "batches"})
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_parameters_are_those_of_a_training_run_and_two_more():
    parameters = inspect.signature(MLPClassifier).parameters
    expected = {field.name: field.default for field in fields(TrainConfig)}
    expected |= {"loss": "auto", "random_state": None, "validation_fraction": 0.0}
    assert {name: parameter.default for name, parameter in parameters.items()} == expected
    assert MLPClassifier().get_params() == expected


def test_is_public():
    assert model.MLPClassifier is MLPClassifier
    with pytest.raises(AttributeError, match="no attribute 'MLPKlassifier'"):
        _ = model.MLPKlassifier


def test_learns_with_the_defaults():
    x, y = load_digits(return_X_y=True)
    x = x / 16
    assert MLPClassifier(random_state=0).fit(x[:1400], y[:1400]).score(x[1400:], y[1400:]) > 0.85


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        NAMES.astype(object),
        np.array([7, -1, 3]),
        np.array([0.0, 2.0, 1.0]),
        np.array([1, 0, 1]) > 0,
    ],
    ids=["text", "objects", "integers", "floats", "booleans"],
)
def test_labels_may_be_of_any_kind(labels, tmp_path):
    x, y = load_iris(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), labels[y]
    classifier = make(epochs=30).fit(x, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(y))
    assert set(classifier.predict(x)) <= set(labels)
    assert classifier.score(x, y) > 0.85
    probabilities = classifier.predict_proba(x)
    assert probabilities.shape == (150, len(classifier.classes_))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    classifier.save(tmp_path / "it.npz")
    loaded = MLPClassifier.load(tmp_path / "it.npz")
    np.testing.assert_array_equal(loaded.predict(x), classifier.predict(x))


def test_works_in_pipelines_searches_and_cross_validation():
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), make(epochs=20, batch_size=16))
    assert cross_val_score(pipeline, x, NAMES[y], cv=3).mean() > 0.85
    grid = {
        "mlpclassifier__learning_rate": np.array([1e-6, 0.05]),
        "mlpclassifier__hidden_layer_sizes": [(4,), [8, 8]],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(x, NAMES[y])
    assert search.best_params_["mlpclassifier__learning_rate"] == 0.05
    assert search.score(x, NAMES[y]) > 0.9


def test_a_clone_has_the_parameters_and_nothing_learned(iris):
    fitted = make(momentum=0.5).fit(*iris)
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "network_")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fit_is_train(iris, optimizer):
    """The same draws in the same order give the same bits."""
    x, y = iris
    classifier = make(optimizer=optimizer, random_state=3).fit(x, y)
    rng = np.random.default_rng(np.random.RandomState(3).randint(2**31))
    network = Network(4, 3, classifier.network_.config, rng)
    rng.integers(2**31)  # the seed of the split
    rows = {"x_train": x.astype(np.float32), "y_train": np.searchsorted(NAMES, y)}
    rows |= {"x_val": rows["x_train"][:0], "y_val": rows["y_train"][:0]}
    data = replace(load_dataset("iris"), **rows)
    epochs = list(train(network, data, rng))
    np.testing.assert_array_equal(classifier.network_.params, network.params)
    for name in ("learning_rate", "train_loss", "train_accuracy"):
        assert classifier.history_[name] == [getattr(epoch, name) for epoch in epochs]


def test_history_has_a_value_for_each_epoch(iris):
    history = make(epochs=4).fit(*iris).history_
    assert pd.DataFrame(history).shape == (4, len(CURVES))
    assert history["learning_rate"] == [0.01] * 4
    assert np.isnan(history["val_loss"]).all()
    assert np.isnan(history["val_accuracy"]).all()


def test_rows_are_held_out_class_by_class(iris):
    x, y = iris
    classifier = make(validation_fraction=0.2, epochs=40).fit(x, y)
    accuracies = np.array(classifier.history_["val_accuracy"])
    np.testing.assert_allclose(accuracies * 30, np.rint(accuracies * 30), atol=1e-9)
    assert classifier.history_["val_loss"][-1] < classifier.history_["val_loss"][0]
    assert accuracies[-1] > 0.8


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\), but got 1.0"),
        ({"validation_fraction": None}, r"validation_fraction must be in \[0, 1\), but got None"),
        (
            {"early_stopping": 3},
            "validation_fraction must be above 0 for early stopping",
        ),
        (
            {"schedule": "plateau"},
            "validation_fraction must be above 0 for schedule 'plateau'",
        ),
        ({"momentum": 1.2}, r"momentum must be in \[0, 1\), but got 1.2"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"learning_rate": 1e38}, "training diverged in epoch 1: .*lower learning_rate"),
    ],
)
def test_invalid_parameters_are_refused_when_fitting(iris, options, why):
    with pytest.raises(ValueError, match=why):
        make(**options).fit(*iris)
    with pytest.raises(ValueError, match=why):
        make(**options).partial_fit(*iris, classes=NAMES)


def test_early_stopping_goes_back_to_the_best_epoch(iris, tmp_path):
    options = {"early_stopping": 3, "validation_fraction": 0.2, "epochs": 100}
    classifier = make(learning_rate=0.3, **options).fit(*iris)
    accuracies = list(classifier.history_["val_accuracy"])
    assert classifier.best_epoch_ == accuracies.index(max(accuracies)) + 1
    assert len(accuracies) == classifier.best_epoch_ + 3
    twin = make(learning_rate=0.3, epochs=classifier.best_epoch_, validation_fraction=0.2)
    np.testing.assert_array_equal(twin.fit(*iris).network_.params, classifier.network_.params)
    classifier.save(tmp_path / "it.npz")
    assert MLPClassifier.load(tmp_path / "it.npz").best_epoch_ == classifier.best_epoch_
    assert classifier.partial_fit(*iris).best_epoch_ == len(accuracies) + 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_partial_fit_goes_on_from_the_state_of_the_optimizer(iris, optimizer):
    """Five epochs at once equal five single epochs with a pickled copy before each."""
    options = {"dropout": 0.2, "batch_norm": "after", "validation_fraction": 0.2}
    whole = make(optimizer=optimizer, **options).fit(*iris)
    steps = make(optimizer=optimizer, **options)
    for _ in range(5):
        steps = pickle.loads(pickle.dumps(steps)).partial_fit(*iris, classes=NAMES)
    np.testing.assert_array_equal(steps.network_.params, whole.network_.params)
    assert steps.history_ == whole.history_


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_changed_learning_rate_keeps_the_state_and_the_history(iris, optimizer):
    """The oracle runs the same epoch by hand, with an optimizer that never stopped."""
    x, y = iris
    classifier = make(optimizer=optimizer, epochs=2).fit(x, y)
    twin = copy.deepcopy(classifier)
    classifier.set_params(learning_rate=0.003).partial_fit(x, y)
    twin._rng.integers(2**63)  # the seed of dropout's masks
    order = twin._rng.permutation(len(x))
    for rows in (order[:100], order[100:]):
        twin.network_.backward(x[rows].astype(np.float32), np.searchsorted(NAMES, y[rows]))
        twin.optimizer_.step(twin.network_.params, twin.network_.grads, 0.003)
    np.testing.assert_array_equal(classifier.network_.params, twin.network_.params)
    assert classifier.history_["learning_rate"] == [0.01, 0.01, 0.003]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_changed_hyperparameters_reach_the_optimizer(iris, optimizer):
    classifier = make(optimizer=optimizer).fit(*iris)
    rule = type(classifier.optimizer_)
    changed = dict.fromkeys(TrainConfig().arguments_for(rule), 0.123)
    classifier.set_params(**changed).partial_fit(*iris)
    assert type(classifier.optimizer_) is rule
    assert {name: vars(classifier.optimizer_)[name] for name in changed} == changed


def test_another_optimizer_starts_afresh(iris):
    classifier = make(optimizer="momentum").fit(*iris).set_params(optimizer="adam")
    classifier.partial_fit(*iris).partial_fit(*iris)
    assert classifier.optimizer_.t == 4  # two batches per epoch
    assert len(classifier.history_["train_loss"]) == 7


def test_weight_decay_may_be_switched_on_later(iris):
    classifier = make(epochs=1).fit(*iris)
    before = classifier.history_["train_loss"][0]
    classifier.set_params(weight_decay=10.0, learning_rate=1e-9).partial_fit(*iris)
    assert classifier.history_["train_loss"][1] > before + 5


@pytest.mark.parametrize("option", [{"hidden_layer_sizes": (9,)}, {"batch_norm": "after"}])
def test_layers_cannot_change(iris, option):
    classifier = make().fit(*iris).set_params(**option)
    with pytest.raises(ValueError, match=f"{next(iter(option))} cannot change in partial_fit"):
        classifier.partial_fit(*iris)
    assert classifier.predict(iris[0]).shape == (150,)


def test_a_second_fit_starts_afresh(iris):
    classifier = make().fit(*iris)
    params = classifier.network_.params.copy()
    classifier.partial_fit(*iris).fit(*iris)
    np.testing.assert_array_equal(classifier.network_.params, params)
    assert len(classifier.history_["train_loss"]) == 5


def test_classes_of_a_stream_are_given_once(iris):
    x, y = iris
    with pytest.raises(ValueError, match="classes must be given on the first call"):
        make().partial_fit(x, y)
    classifier = make().partial_fit(x[:50], y[:50], classes=NAMES[::-1])
    np.testing.assert_array_equal(classifier.classes_, NAMES)
    assert classifier.partial_fit(x[50:], y[50:], classes=NAMES).predict_proba(x).shape == (150, 3)
    with pytest.raises(ValueError, match="classes must stay"):
        classifier.partial_fit(x, y, classes=NAMES[:2])
    with pytest.raises(ValueError, match="y holds 'tulip', which is not one of the classes"):
        classifier.partial_fit(x[:2], ["setosa", "tulip"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_saved_classifier_goes_on_as_if_never_stopped(iris, tmp_path, optimizer):
    classifier = make(optimizer=optimizer, validation_fraction=0.2).fit(*iris)
    classifier.save(tmp_path / "day-1.npz")
    loaded = MLPClassifier.load(tmp_path / "day-1.npz")
    assert loaded.get_params() == classifier.get_params()
    assert loaded.history_ == classifier.history_
    np.testing.assert_array_equal(loaded.predict_proba(iris[0]), classifier.predict_proba(iris[0]))
    for each in (loaded, classifier):
        each.set_params(learning_rate=0.002).partial_fit(*iris)
    np.testing.assert_array_equal(loaded.network_.params, classifier.network_.params)
    assert loaded.history_ == classifier.history_


def test_a_table_keeps_its_names(tmp_path):
    frame, y = load_iris(return_X_y=True, as_frame=True)
    make().fit(frame, y).save(tmp_path / "it.npz")
    loaded = MLPClassifier.load(tmp_path / "it.npz")
    assert loaded.predict(frame).shape == (150,)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame.rename(columns=str.upper))


def test_a_trained_network_becomes_a_classifier_of_raw_rows(tmp_path):
    data = load_dataset("wine")
    network = Network(13, 3, TrainConfig(epochs=5), np.random.default_rng(0))
    *_, last = train(network, data, np.random.default_rng(0))
    raw = data.x_val / data.scaler.factor + data.scaler.shift
    names = np.array(data.class_names)
    MLPClassifier.from_network(network, data, random_state=1).save(tmp_path / "wine.npz")
    classifier = MLPClassifier.load(tmp_path / "wine.npz")
    assert classifier.score(raw, names[data.y_val]) == last.val_accuracy
    assert classifier.columns_ == data.columns
    np.testing.assert_array_equal(classifier.classes_, names)
    np.testing.assert_array_equal(classifier.scaler_.shift, data.scaler.shift)
    np.testing.assert_array_equal(classifier.scaler_.factor, data.scaler.factor)
    params = classifier.network_.params.copy()
    classifier.set_params(learning_rate=1e-6).partial_fit(raw, names[data.y_val])
    np.testing.assert_allclose(classifier.network_.params, params, atol=1e-4)
    assert classifier.history_["train_loss"][0] == pytest.approx(last.val_loss, rel=1e-3)


@pytest.fixture(scope="module")
def meals(tmp_path_factory):
    """Return a classifier of a table with words, loaded from its file; the table; its labels."""
    rng = np.random.default_rng(0)
    labels = np.array(["no", "yes"])[rng.integers(2, size=80)]
    table = pd.DataFrame(
        {
            "spice": np.where(
                labels == "yes", "süß", np.array(["sharp", "sour"])[np.arange(80) % 2]
            ),
            "grams": 1e9 + rng.normal(size=80) + 3 * (labels == "yes"),
            "code": rng.integers(2, size=80),
        }
    )
    folder = tmp_path_factory.mktemp("meals")
    table.assign(good=labels).to_csv(folder / "meals.csv", index=False)
    data = load_dataset(str(folder / "meals.csv"), target="good")
    network = Network(5, 2, TrainConfig(epochs=10), np.random.default_rng(0))
    list(train(network, data, np.random.default_rng(0)))
    MLPClassifier.from_network(network, data, random_state=0).save(folder / "it.npz")
    return MLPClassifier.load(folder / "it.npz"), table, labels


def test_a_loaded_network_finds_the_columns_of_raw_rows(meals):
    classifier, table, labels = meals
    assert classifier.score(table, labels) > 0.9
    expected = classifier.predict_proba(table)
    shuffled = table[["code", "grams", "spice"]].assign(good=labels).sample(frac=1, random_state=0)
    found = classifier.predict_proba(shuffled)
    np.testing.assert_array_equal(found, expected[shuffled.index])
    arrow = pa.Table.from_pandas(shuffled)
    np.testing.assert_array_equal(classifier.predict_proba(arrow), found)
    # float32 has no fractions near 1e9 grams: scaling after rounding would make rows equal.
    assert len(np.unique(expected[:, 0])) == len(table)


def test_a_loaded_network_takes_features_that_are_numbers_already(meals):
    classifier, table, _ = meals
    words = [table["spice"] == word for word in ("sharp", "sour", "süß")]
    x = np.column_stack([*words, table["grams"] - 1e9, table["code"]])
    assert x.shape[1] == classifier.n_features_in_
    light = copy.deepcopy(classifier)
    light.scaler_ = Scaler(classifier.scaler_.shift - [0, 0, 0, 1e9, 0], classifier.scaler_.factor)
    difference = light.predict_proba(x) - classifier.predict_proba(table)
    np.testing.assert_allclose(difference, 0, atol=1e-5)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 5"):
        classifier.predict(x[:, :3])


def test_a_loaded_network_trains_on_with_raw_rows(meals):
    classifier, table, labels = meals
    one, other = copy.deepcopy(classifier), copy.deepcopy(classifier)
    one.partial_fit(table, labels)
    other.partial_fit(table[["grams", "code", "spice"]], labels)
    assert (one.network_.params != classifier.network_.params).any()
    np.testing.assert_array_equal(one.network_.params, other.network_.params)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        one.partial_fit(table, labels[:3])


def test_a_new_fit_forgets_the_old_columns(meals):
    classifier, table, labels = copy.deepcopy(meals)
    numbers = table[["grams"]] - 1e9
    assert classifier.fit(numbers, labels).predict(numbers).shape == (80,)
    assert classifier.columns_ == ()
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(table)


def test_an_unknown_category_causes_a_warning(meals):
    classifier, table, _ = meals
    rows = table.assign(spice="bitter")
    with pytest.warns(UserWarning, match="X: column 'spice' holds 'bitter' in row 1, which train"):
        assert len(classifier.predict(rows)) == 80


def test_its_file_can_be_loaded_as_a_network(iris, tmp_path):
    classifier = make().fit(*iris)
    classifier.save(tmp_path / "it.npz")
    network = Network.load(tmp_path / "it.npz")
    np.testing.assert_array_equal(network.params, classifier.network_.params)
    with np.load(tmp_path / "it.npz", allow_pickle=False) as saved:
        assert all(saved[name].dtype != object for name in saved.files)


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop", "adam"])
def test_scratch_buffers_are_not_saved(iris, tmp_path, optimizer):
    make(optimizer=optimizer).fit(*iris).save(tmp_path / "it.npz")
    with np.load(tmp_path / "it.npz", allow_pickle=False) as saved:
        assert not any("scratch" in name for name in saved.files)


def test_a_wrong_optimizer_state_is_refused(iris, tmp_path):
    classifier = make(optimizer="momentum").fit(*iris)
    classifier.save(tmp_path / "it.npz")
    with np.load(tmp_path / "it.npz", allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    for change in ({"optimizer.velocity": np.zeros(3)}, {}):
        other = {n: a for n, a in arrays.items() if n != "optimizer.velocity"} | change
        np.savez(tmp_path / "bad.npz", **other)
        with pytest.raises(ValueError, match=r"bad\.npz: a network without .*velocity"):
            MLPClassifier.load(tmp_path / "bad.npz")


def test_a_generator_as_random_state_is_not_saved(iris, tmp_path):
    make(random_state=np.random.RandomState(0)).fit(*iris).save(tmp_path / "it.npz")
    assert MLPClassifier.load(tmp_path / "it.npz").random_state is None


def test_a_file_that_is_not_a_classifier_is_refused(iris, tmp_path):
    classifier = make().fit(*iris)
    path = tmp_path / "it.npz"
    classifier.network_.save(path)
    with pytest.raises(ValueError, match=r"it\.npz: a network without its classes and scaler"):
        MLPClassifier.load(path)
    Checkpoint(classifier.network_, classifier.optimizer_, Scaler(), {}, {}, classes=NAMES).save(
        path
    )
    with pytest.raises(ValueError, match="not a saved estimator; it has no 'random_state'"):
        MLPClassifier.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a network saved by hpsearch"):
        MLPClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        MLPClassifier.load(tmp_path / "none.npz")


def test_an_unfitted_classifier_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "it.npz")
    assert list(tmp_path.iterdir()) == []
