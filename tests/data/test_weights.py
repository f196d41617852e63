"""Weights of rows and of classes: as they are read, and as models are trained with them."""

# ruff: noqa: ARG001  (`table` is where it is)

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FixedTrial
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from hpsearch import Objective
from hpsearch.data.loading import load_dataset, load_final, load_test_rows
from hpsearch.data.splitting import read_parts
from hpsearch.errors import HpsearchError
from hpsearch.execution.objective import load_model
from hpsearch.settings.study import parse_settings
from hpsearch.trainables.baselines import baseline_predictions
from hpsearch.trials.records import curves_of

ROWS = 200


@pytest.fixture
def table(working_folder):
    """A table whose rows are counted by a column, with an uneven class: counted.csv."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS)})
    frame["times"] = rng.integers(1, 5, ROWS)
    frame["y"] = np.where(frame.a + rng.normal(0, 1, ROWS) > 1, "yes", "no")
    frame["number"] = frame.a + rng.normal(size=ROWS)
    frame.to_csv("counted.csv", index=False)
    return frame


def how_of(**more):
    return {"source": "counted.csv", "target": "y", "drop": ["number"], **more}


def settings_for(*, data, model=None, trial=None, **search):
    tables = {
        "data": data,
        "search": {"sampler": "random", "pruner": "none", "trials": 1} | search,
        "trial": {"epochs": 3, "hidden_layer_sizes": [4]} if trial is None else trial,
    }
    if model is not None:
        tables["model"] = model
    return parse_settings({"name": "weighted", **tables}, "weighted.toml")


def test_the_weights_of_a_column_are_those_of_its_rows(table):
    how = how_of(weight="times")
    raw, parts = read_parts(**how)
    data = load_dataset(**how)
    assert "times" not in data.feature_names
    times = table.times.to_numpy()
    assert np.allclose(data.w_train, times[parts.train] / times[parts.train].mean())
    assert np.array_equal(data.w_val, times[parts.val])
    assert np.array_equal(load_test_rows(**how).weights, times[parts.test])
    assert np.array_equal(raw.weights, times)
    final = load_final(**how)
    assert np.allclose(final.w_train, times[parts.rest] / times[parts.rest].mean())
    assert np.array_equal(final.x_train[: len(parts.train)], data.x_train)


@pytest.mark.parametrize("class_weight", ["balanced", {"yes": 3.0}])
def test_the_weights_of_classes_are_those_of_scikit_learn(table, class_weight):
    _, parts = read_parts(**how_of())
    data = load_dataset(**how_of(), class_weight=class_weight)
    given = class_weight if class_weight == "balanced" else class_weight | {"no": 1.0}
    theirs = compute_sample_weight(given, table.y.to_numpy()[parts.train])
    assert np.allclose(data.w_train, theirs / theirs.mean())
    assert data.w_val is None


def test_balanced_classes_have_the_same_weight_in_all_where_rows_have_weights(table):
    data = load_dataset(**how_of(weight="times"), class_weight="balanced")
    totals = np.bincount(data.y_train, data.w_train)
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    times = table.times.to_numpy()[read_parts(**how_of())[1].train]
    of_class = data.y_train == 0
    assert np.allclose(data.w_train[of_class] / times[of_class], data.w_train[0] / times[0])


def test_a_network_is_trained_and_scored_with_the_weights(table):
    plain, weighted, balanced = (FixedTrial({}) for _ in range(3))
    how = {"metrics": ["val/recall"]}
    Objective(settings_for(data=how_of(drop=["number", "times"]), **how))(plain)
    Objective(settings_for(data=how_of(weight="times"), **how))(weighted)
    Objective(settings_for(data=how_of(drop=["number", "times"], class_weight="balanced"), **how))(
        balanced
    )
    curves = [curves_of(trial).values for trial in (plain, weighted, balanced)]
    assert curves[0]["val/accuracy"] != curves[1]["val/accuracy"]
    assert curves[0]["train/loss"] != curves[2]["train/loss"]
    assert curves[2]["val/recall"][-1] > curves[0]["val/recall"][-1]


def test_an_estimator_is_trained_and_scored_with_the_weights(table):
    _, parts = read_parts(**how_of())
    y, times = table.y.to_numpy(), table.times.to_numpy()
    x = table[["a", "b"]].to_numpy()
    totals = {name: times[parts.train][y[parts.train] == name].sum() for name in ("no", "yes")}
    weights = times[parts.train] / [totals[name] for name in y[parts.train]]
    fitted = LogisticRegression(C=0.5).fit(
        x[parts.train], y[parts.train], sample_weight=weights / weights.mean()
    )
    expected = fitted.score(x[parts.val], y[parts.val], sample_weight=times[parts.val])
    settings = settings_for(
        data=how_of(weight="times", class_weight="balanced", scale="none"),
        model={"estimator": "sklearn.linear_model.LogisticRegression"},
        trial={"C": 0.5},
    )
    assert Objective(settings)(FixedTrial({})) == pytest.approx(expected)
    final = load_model(settings).final({"C": 0.5}, 0, 1)
    assert 0.5 < final["accuracy"] < 1


def test_an_estimator_that_trains_in_passes_gets_the_weights_of_its_rows(table):
    settings = settings_for(
        data=how_of(class_weight={"yes": 20.0}),
        model={"estimator": "sklearn.linear_model.SGDClassifier"},
        trial={"loss": "log_loss", "epochs": 3},
        metric="val/recall",
    )
    assert Objective(settings)(FixedTrial({})) > 0.8


def test_baselines_have_the_weights_too(table):
    plain = dict(baseline_predictions(how_of()))
    balanced = dict(baseline_predictions(how_of(), "balanced"))
    name = "logistic regression"
    assert balanced[name].labels.mean() > plain[name].labels.mean()
    numbers = how_of(target="number", drop=["y"], weight="times")
    assert len(dict(baseline_predictions(numbers))) == 3


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"class_weight": "even"}, 'data.class_weight: must be "balanced", or { NAME = 2.0 }'),
        ({"class_weight": {}}, 'data.class_weight: must be "balanced", or { NAME = 2.0 }'),
        ({"class_weight": {"yes": -1}}, "data.class_weight.yes: must be a number of at least 0"),
        ({"class_weight": {"yes": "x"}}, "data.class_weight.yes: must be a number of at least 0"),
        ({"class_weight": {"yse": 2}}, "class_weight: 'yse' is not a class; did you mean 'yes'?"),
        ({"class_weight": {"no": 0, "yes": 0}}, "weights: all training rows have the weight 0"),
        ({"weight": "tmies"}, "'tmies' is not a column; did you mean 'times'?"),
        ({"weight": "word"}, "weight: column 'word' holds 'x' in row 1, and a weight is a number"),
        ({"weight": "minus"}, "weight: column 'minus' holds '-1.0' in row 1"),
        ({"weight": "gap"}, "weight: column 'gap' is empty in row 2"),
        (
            {"target": "number", "drop": ["y"], "class_weight": "balanced"},
            "class_weight is for classes, and these labels are numbers",
        ),
    ],
)
def test_wrong_weights_are_one_sentence(table, data, sentence):
    more = {"word": "x", "minus": -1.0, "gap": np.where(np.arange(ROWS) == 1, np.nan, 1.0)}
    table.assign(**more).to_csv("counted.csv", index=False)
    with pytest.raises(HpsearchError) as raised:
        load_model(settings_for(data=how_of(**data), metric="val/loss"))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_estimator_without_weights_says_so(table):
    settings = settings_for(
        data=how_of(class_weight="balanced"),
        model={"estimator": "sklearn.neighbors.KNeighborsClassifier"},
        trial={},
    )
    with pytest.raises(HpsearchError, match=r"data\.class_weight: .* takes no sample_weight; leav"):
        load_model(settings)


def test_a_study_file_says_weights_of_classes_on_one_line(table):
    settings = settings_for(data=how_of(class_weight={"yes": 3, "no": 1}))
    assert "class_weight = {yes = 3.0, no = 1.0}\n" in settings.to_toml()
