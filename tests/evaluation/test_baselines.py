"""The network beside baselines: paired differences, their sentence, and the remarks."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from hpsearch.data.splitting import read_parts
from hpsearch.evaluation.baselines import NETWORK, Comparison, compare, remarks, score_name
from hpsearch.evaluation.record import last_evaluation
from hpsearch.evaluation.tables import baseline_table
from hpsearch.evaluation.wording import beside_baselines
from hpsearch.search.evaluate import evaluate
from hpsearch.search.study import run_study
from hpsearch.trainables.baselines import baseline_predictions
from hpsearch.trainables.scoring import Predicted, Truth

NAMES = ("no", "yes")


def classes(labels):
    return Predicted(labels, np.eye(2)[labels] * 0.8 + 0.1)


@pytest.fixture
def truth():
    return Truth(np.random.default_rng(0).integers(0, 2, 400), NAMES)


def wrong_in(truth, share, seed):
    """Predictions that are wrong in a share of the rows."""
    flipped = np.random.default_rng(seed).random(len(truth.y)) < share
    return classes(np.where(flipped, 1 - truth.y, truth.y))


def test_models_are_better_tied_or_worse_by_paired_rows(truth):
    network = wrong_in(truth, 0.2, 1)
    others = {
        "poor": wrong_in(truth, 0.4, 2),
        "equal": wrong_in(truth, 0.2, 3),
        "good": wrong_in(truth, 0.05, 4),
        "the same": network,
    }
    models, error = compare("accuracy", truth, network, others)
    assert [each.name for each in models] == [NETWORK, *others]
    found = Comparison("accuracy", models)
    assert (found.with_verdict("better"), found.with_verdict("worse")) == (["poor"], ["good"])
    assert models[-1].difference == (0.0, 0.0, 0.0)
    accuracy = accuracy_score(truth.y, network.labels)
    assert models[0].scores["accuracy"] == accuracy
    assert error == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 400), rel=0.1)
    mean, low, high = models[1].difference
    assert low < mean < high
    assert mean == pytest.approx(accuracy - models[1].scores["accuracy"])


def test_of_an_error_the_lower_one_is_better():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 1))
    models, _ = compare("rmse", Truth(y), Predicted(y + 0.1), {"far": Predicted(y + 1)})
    assert models[1].verdict == "better"
    assert models[1].difference[0] == pytest.approx(0.9)
    assert [*models[0].scores] == ["rmse", "mae", "r2"]


@pytest.mark.parametrize(
    ("metric", "names", "score"),
    [
        ("val/roc_auc", NAMES, "roc_auc"),
        ("val/accuracy", NAMES, "accuracy"),
        ("val/loss", NAMES, "log_loss"),
        ("val/loss", (), "rmse"),
        ("val/r2", (), "r2"),
    ],
)
def test_the_score_is_the_studys_metric_or_the_nearest(metric, names, score):
    y = np.zeros(3, int) if names else np.zeros((3, 1))
    assert score_name(metric, Truth(y, names)) == score


def test_of_several_labels_the_nearest_to_the_loss_is_the_share_of_wrong_ones():
    truth = Truth(np.zeros((3, 2), int), NAMES)
    assert score_name("val/loss", truth) == "hamming_loss"
    assert score_name("val/f1_micro", truth) == "f1_micro"


def test_what_a_person_should_know_is_said(truth):
    def said(metric, truth, network, validated=None, rows=100, error=0.02):
        return remarks(
            metric, truth, network, validated=validated, validation_rows=rows, error=error
        )

    never = classes(np.zeros(400, int))
    (sentence,) = said("f1", truth, never)
    assert sentence == "the network never predicts class 'yes'"
    uneven = replace(truth, y=(np.arange(400) < 40).astype(int))
    assert any("accuracy says little" in each for each in said("accuracy", uneven, never))
    assert not any("accuracy says little" in each for each in said("roc_auc", uneven, never))

    network = wrong_in(truth, 0.2, 1)
    accuracy = accuracy_score(truth.y, network.labels)
    (sentence,) = said("accuracy", truth, network, accuracy + 0.12)
    assert "more than chance" in sentence
    assert said("accuracy", truth, network, accuracy + 0.05) == []
    assert said("accuracy", truth, network, accuracy - 0.2) == []  # nobody is misled
    assert said("accuracy", truth, network, accuracy + 0.12, rows=10) == []


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.choice(["u", "v", None], 300)})
    frame["y"] = np.where(frame["a"] + rng.normal(scale=0.5, size=300) > 0, "yes", "no")
    frame["z"] = 3 * frame["a"] + rng.normal(size=300)
    frame.to_csv("t.csv", index=False)
    return frame


def test_baselines_are_trained_on_all_rows_but_the_test_rows(table):
    how = {"source": "t.csv", "target": "y", "drop": ["b", "z"]}
    found = dict(baseline_predictions(how))
    assert [*found] == ["the majority class", "logistic regression", "gradient boosting"]
    _, parts = read_parts(**how)
    rest = np.concatenate([parts.train, parts.val])
    scaled = (table[["a"]] - table["a"].iloc[rest].mean()) / table["a"].iloc[rest].std(ddof=0)
    own = LogisticRegression().fit(scaled.iloc[rest], table["y"].iloc[rest])
    np.testing.assert_allclose(
        found["logistic regression"].probabilities,
        own.predict_proba(scaled.iloc[parts.test]),
        atol=1e-4,
    )


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("target", [["z"], ["z", "a"]])
def test_baselines_of_numbers(target):
    found = dict(baseline_predictions({"source": "t.csv", "target": target, "drop": ["y"]}))
    assert [*found] == ["the mean", "ridge regression", "gradient boosting"]
    assert {each.labels.shape for each in found.values()} == {(60, len(target))}


@pytest.mark.usefixtures("table")
def test_an_evaluation_keeps_them_and_says_one_sentence(make_settings):
    data = {"source": "t.csv", "target": "y", "drop": ["z"], "limit": 300}
    settings = make_settings(data=data, search={"metric": "val/roc_auc"}, trial={"epochs": 15})
    study = run_study(settings).study
    evaluation = evaluate("tiny-random", top=1, seeds=2)
    found = evaluation.comparison
    assert found.metric == "roc_auc"
    assert len(found.baselines) == 3
    assert beside_baselines(evaluation).startswith("on these rows the network is better than the m")
    assert [row[0].text for row in baseline_table(evaluation).rows] == [
        m.name for m in found.models
    ]
    again = last_evaluation(study)
    assert again.comparison == found
    assert Comparison.of_plain(json.loads(json.dumps(found.as_plain()))) == found
