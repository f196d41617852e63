"""A threshold is chosen on validation rows, kept with the network, and decides what it predicts."""

# ruff: noqa: ARG001  (`table` is where it is)

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from hpsearch import run_study
from hpsearch.analysis.ranking import best_epoch
from hpsearch.errors import SettingsError
from hpsearch.execution.objective import load_model
from hpsearch.prediction import predict_table, score_table
from hpsearch.settings.study import parse_settings
from hpsearch.trainables.network import trained_config
from hpsearch.trainables.scoring import Truth
from hpsearch.trainables.threshold import best_threshold
from hpsearch.trials.metrics import THRESHOLD_SCORES
from hpsearch.trials.records import slot_of
from hpsearch.workspace import Workspace
from model import MLPClassifier

ROWS = 240
THEIRS = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
    "f1_macro": lambda y, found: metrics.f1_score(y, found, average="macro"),
    "mcc": metrics.matthews_corrcoef,
}


@pytest.fixture
def table(working_folder):
    """A table of which one row in six is positive: rare.csv."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS)})
    frame["ill"] = np.where(frame.a + rng.normal(0, 0.8, ROWS) > 1.2, "yes", "no")
    frame["kind"] = rng.choice([*"xyz"], ROWS)
    frame.to_csv("rare.csv", index=False)
    return frame


def settings_for(target="ill", drop="kind", data=None, model=None, trial=None, **search):
    tables = {
        "data": {"source": "rare.csv", "target": target, "drop": [drop], **(data or {})},
        "search": {"sampler": "random", "pruner": "none", "trials": 2, "threshold": "f1"} | search,
        "trial": {"epochs": 6, "hidden_layer_sizes": [6], "learning_rate": {"choices": [0.1, 0.3]}}
        if trial is None
        else trial,
    }
    if model:
        tables["model"] = model
    return parse_settings({"name": "rare", **tables}, "rare.toml")


def draw(seed, n=80):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.clip(0.3 * y + rng.uniform(size=n) * 0.7, 0, 1)
    return y, np.column_stack([1 - p, p])


def test_every_score_to_choose_by_is_tested_here():
    assert THEIRS.keys() == set(THRESHOLD_SCORES)


@pytest.mark.parametrize("metric", THRESHOLD_SCORES)
@pytest.mark.parametrize("positive", [0, 1])
def test_no_other_threshold_is_better(metric, positive):
    for seed in range(3):
        y, p = draw(seed)
        found = best_threshold(metric, Truth(y, ("no", "yes"), positive), p)
        assert found.positive == positive
        mine = (y == positive).astype(int)
        values = [
            THEIRS[metric](mine, (p[:, positive] >= value).astype(int))
            for value in np.linspace(0, 1, 2001)
        ]
        ours = THEIRS[metric](mine, (found.decide(p) == positive).astype(int))
        assert ours == pytest.approx(max(values), abs=1e-12)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.9, 0.95])
    found = best_threshold("f1", Truth(y, ("no", "yes")), np.column_stack([1 - p, p]))
    assert found.value == 0.5


def test_rows_count_as_their_weights_say():
    y, p = draw(5)
    weights = np.where(y == 1, 10.0, 1.0)
    plain = best_threshold("accuracy", Truth(y, ("no", "yes")), p)
    weighted = best_threshold("accuracy", Truth(y, ("no", "yes"), weights=weights), p)
    assert weighted.value < plain.value


def test_many_rows_have_a_thousand_candidates():
    y, p = draw(1, n=20_000)
    found = best_threshold("f1", Truth(y, ("no", "yes")), p)
    values = [metrics.f1_score(y, p[:, 1] >= value) for value in np.linspace(0, 1, 201)]
    assert metrics.f1_score(y, found.decide(p)) > max(values) - 1e-3


@pytest.mark.parametrize("validation", ["split", {"folds": 3}])
def test_an_exported_network_decides_as_was_best_on_its_validation_rows(table, validation):
    settings = settings_for(data={"validation": validation, "positive": "yes"})
    study = run_study(settings, storage="s.journal").study
    trial, model = study.best_trial, load_model(settings)
    workspace = Workspace("s.journal", tracked=False)
    workspace.export("rare-random", "npz", "it.npz")
    threshold = model.threshold(trained_config(trial), slot_of(trial), best_epoch(trial), "f1")
    exported = MLPClassifier.load("it.npz")
    assert exported.threshold_ == threshold
    p = exported.predict_proba(table)[:, 1]
    labels = np.where(p >= threshold.value, "yes", "no")
    assert np.array_equal(exported.predict(table), labels)
    prediction = predict_table("it.npz", "rare.csv")
    assert np.array_equal(prediction.labels, labels)
    assert 0 < (labels != np.where(p >= 0.5, "yes", "no")).mean() < 0.5
    scores = score_table("it.npz", "rare.csv").now
    assert scores["f1"] == pytest.approx(metrics.f1_score(table.ill == "yes", labels == "yes"))
    if validation == "split":
        x_val, y_val = model.dataset.x_val, model.dataset.y_val
        found = exported.network_.predict(x_val)
        values = [metrics.f1_score(y_val, found[:, 1] >= v) for v in np.linspace(0, 1, 1001)]
        assert metrics.f1_score(y_val, threshold.decide(found)) == pytest.approx(max(values))


def test_an_evaluation_chooses_it_before_it_opens_the_test_set_and_the_export_keeps_it(table):
    workspace = Workspace("s.journal", tracked=False)
    workspace.run(settings_for())
    evaluation = workspace.evaluate("rare-random", top=1, seeds=2).evaluation
    name, value = evaluation.threshold
    assert name == "yes"
    assert 0 < value < 1
    workspace.export("rare-random", "npz", "it.npz")
    exported = MLPClassifier.load("it.npz")
    assert exported.threshold_ == (1, value)
    test = evaluation.test_scores("network")
    assert evaluation.comparison.models[0].scores["accuracy"] == pytest.approx(test.accuracy)
    predicted = np.sum(test.confusion, axis=0)
    rows = table.iloc[_test_rows()]
    assert predicted.tolist() == [(exported.predict(rows) == each).sum() for each in ("no", "yes")]


def _test_rows():
    from hpsearch.data.splitting import read_parts

    return read_parts("rare.csv", target="ill", drop=["kind"])[1].test


def test_a_given_threshold_is_kept(table):
    run_study(settings_for(threshold=0.2), storage="s.journal")
    Workspace("s.journal", tracked=False).export("rare-random", "npz", "it.npz")
    assert MLPClassifier.load("it.npz").threshold_ == (1, 0.2)


def test_without_one_the_more_probable_class_is_predicted(table):
    run_study(settings_for(threshold=None), storage="s.journal")
    Workspace("s.journal", tracked=False).export("rare-random", "npz", "it.npz")
    exported = MLPClassifier.load("it.npz")
    assert exported.threshold_ is None
    assert np.array_equal(
        exported.predict(table) == "yes", exported.predict_proba(table).argmax(axis=1) == 1
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"threshold": "f2"}, "search.threshold: 'f2' is not a score to choose a threshold by"),
        ({"threshold": "recall"}, "(accuracy, balanced_accuracy, f1, f1_macro, mcc)"),
        ({"threshold": 1.5}, "search.threshold: must be a score, such as 'f1', or between 0 and 1"),
        ({"threshold": True}, "search.threshold: must be a score, such as 'f1', or between 0 and"),
        ({"target": "kind", "drop": "ill"}, "is for two classes, and there are 3; leave it out"),
        ({"target": "a", "metric": "val/rmse"}, "for two classes, and these labels are numbers"),
        (
            {"model": {"estimator": "sklearn.svm.SVC"}, "trial": {}},
            "search.threshold: is for the built-in network, and this study trains sklearn.svm.SVC",
        ),
    ],
)
def test_wrong_thresholds_are_one_sentence(table, changes, sentence):
    with pytest.raises(SettingsError) as raised:
        load_model(settings_for(**changes))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
