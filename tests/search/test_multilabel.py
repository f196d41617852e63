"""Several targets of two values each, from the table to predictions."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import f1_score

from hpsearch.cli import cli
from hpsearch.data.loading import load_dataset, load_folds, load_test_rows
from hpsearch.data.splitting import read_parts
from hpsearch.search.study import run_study
from hpsearch.search.table_study import table_data, table_study
from hpsearch.settings.study import parse_settings
from model import MLPClassifier
from model.losses import MULTILABEL

LABELS = ["toxic", "threat", "spam"]
FEATURES = [f"w{number}" for number in range(8)]
NAME = "comments-tpe"


@pytest.fixture(scope="module")
def table():
    """Rows with three labels: of words, of truth values, and of numbers."""
    x, y = make_multilabel_classification(
        600, n_features=8, n_classes=3, n_labels=2, random_state=1
    )
    frame = pd.DataFrame(x, columns=FEATURES)
    frame["room"] = np.random.default_rng(0).choice(["a", "b"], 600)
    frame["toxic"] = np.where(y[:, 0] == 1, "yes", "no")
    frame["threat"] = y[:, 1] == 1
    frame["spam"] = y[:, 2]
    return frame


@pytest.fixture
def comments(working_folder: Path, table):
    assert working_folder == Path.cwd()
    table.to_csv("comments.csv", index=False)
    return "comments.csv"


def run(*arguments):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def evaluated(comments):
    targets = [part for name in LABELS for part in ("--target", name)]
    run("study", comments, *targets, "--trials", "3", "--epochs", "8", "--no-tracking")
    run("evaluate", NAME, "--top", "1", "--seeds", "2", "--no-tracking")
    return comments


def test_labels_are_zeros_and_ones_with_their_words(comments, table):
    data = load_dataset(comments, target=LABELS)
    assert data.class_names == data.target_names == tuple(LABELS)
    assert data.words == (("no", "yes"), ("False", "True"), ("0", "1"))
    assert data.multilabel
    assert data.y_train.dtype == np.float32
    rows, parts = read_parts(comments, target=LABELS)
    expected = [table["toxic"] == "yes", table["threat"], table["spam"]]
    assert np.array_equal(rows.y, np.column_stack(expected).astype(int))
    assert np.array_equal(data.y_train, rows.y[parts.train])


def test_every_part_has_the_labels_in_proportion(comments):
    rows, parts = read_parts(comments, target=LABELS)
    rarest = int(rows.y.sum(axis=0).argmin())
    for part in (parts.train, parts.val, parts.test):
        share = rows.y[part, rarest].mean()
        assert share == pytest.approx(rows.y[:, rarest].mean(), abs=0.5 / len(part) + 1e-3)


def test_the_sealed_rows_depend_on_the_table_alone(comments):
    sealed = load_test_rows(comments, target=LABELS)
    for how in ({"split_seed": 5}, {"validation": {"folds": 3}}, {"train_limit": 100}):
        again = load_test_rows(comments, target=LABELS, **how)
        assert np.array_equal(again.y, sealed.y)
    assert len(load_folds(comments, target=LABELS, validation={"folds": 3})) == 3


@pytest.mark.parametrize(
    ("columns", "task", "expected"),
    [
        (["spam", "w0"], "auto", "regression"),
        (["spam", "threat"], "auto", "multilabel"),
        (["spam", "threat"], "regression", "regression"),
        (["spam", "toxic"], "classification", "multilabel"),
    ],
)
def test_what_several_targets_are_taken_for(comments, columns, task, expected):
    assert read_parts(comments, target=columns, task=task)[0].task == expected


@pytest.mark.usefixtures("working_folder")
def test_two_numbers_are_labels_and_it_says_so():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (60, 2))
    np.savez("arrays.npz", x=rng.normal(size=(60, 3)), y=y)
    data = load_dataset("arrays.npz")
    assert (data.class_names, data.multilabel) == (("y0", "y1"), True)
    assert 'two numbers, which are taken for no and yes; task = "regression"' in data.notes[0]
    assert not load_dataset("arrays.npz", task="regression").multilabel


def test_what_labels_were_taken_for_may_be_said_later(comments):
    """As an earlier version did, which took two columns of 0 and 1 for numbers."""
    numbers = {"source": comments, "target": ["spam", "w0"]}
    table = {
        "name": "later",
        "search": {"metric": "val/rmse", "sampler": "random", "trials": 1},
        "trial": {"epochs": 2, "learning_rate": {"low": 0.01, "high": 0.1, "log": True}},
    }
    run_study(parse_settings(table | {"data": numbers}, "later"), storage="later.journal")
    said = parse_settings(table | {"data": numbers | {"task": "regression"}}, "later")
    more = said.replace(search={"trials": 2})
    assert len(run_study(more, storage="later.journal").slots.done) == 2


@pytest.mark.usefixtures("working_folder")
def test_a_label_that_is_too_rare_is_named(table):
    rare = table.assign(threat=False, spam=1)
    rare.loc[:2, "threat"] = True
    rare.loc[:1, "spam"] = 0
    rare.to_csv("rare.csv", index=False)
    sentence = "'threat' is 'True' in 3, 'spam' is '0' in 2; add rows, or leave it out of target"
    with pytest.raises(ValueError, match=sentence):
        load_dataset("rare.csv", target=LABELS)


def test_class_weights_are_for_one_target(comments):
    with pytest.raises(ValueError, match="for classes, and there are several labels"):
        load_dataset(comments, target=LABELS, class_weight="balanced")


def test_the_metric_fits_the_labels(comments, table):
    even = table_study(table_data(comments, LABELS))
    assert even.search.metric == "val/f1_macro"
    table.assign(spam=np.arange(600) % 10 == 0).to_csv("uneven.csv", index=False)
    assert table_study(table_data("uneven.csv", LABELS)).search.metric == "val/roc_auc"
    assert "toxic: no" in run("look", comments, "--target", "toxic", "--target", "spam")


def test_the_winner_is_tested_beside_baselines_and_predicts_words(evaluated, table):
    printed = json.loads(run("evaluate", NAME, "--top", "1", "--seeds", "2", "--json",
                             "--no-tracking"))["test"]  # fmt: skip
    tested, compared = printed["tested"], printed["comparison"]
    first = {score["name"]: score["first"] for score in tested["scores"]}
    assert next(iter(first)) == compared["metric"] == "f1_macro"
    assert {"accuracy", "f1_micro", "hamming_loss", "roc_auc"} <= {*first}
    assert [label["name"] for label in tested["labels"]] == LABELS
    assert np.mean([label["f1"] for label in tested["labels"]]) == pytest.approx(first["f1_macro"])
    names = [model["name"] for model in compared["models"]]
    assert names[1:] == ["the majority class", "logistic regression", "gradient boosting"]
    run("export", NAME, "-f", "npz")
    sealed = read_parts(evaluated, target=LABELS)[1].test
    table.iloc[sealed].to_csv("sealed.csv", index=False)
    lines = run("predict", f"{NAME}.npz", "sealed.csv")
    predicted = np.array([line.split(",") for line in lines.splitlines()])
    assert predicted[0].tolist() == LABELS
    truth = table.loc[sealed, LABELS].astype(str).to_numpy()
    yes = ("yes", "True", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        f1 = f1_score(truth == yes, predicted[1:] == yes, average="macro")
    assert f1 == pytest.approx(first["f1_macro"])
    scores = json.loads(run("score", f"{NAME}.npz", "sealed.csv", "--json"))
    assert scores["now"] == pytest.approx(first, rel=1e-6)
    assert all(abs(drop) < 1e-6 for drop in scores["drops"].values())


@pytest.mark.usefixtures("evaluated")
def test_it_is_exported_as_onnx_and_shown():
    run("export", NAME, "-f", "onnx")  # compared with predict before it is written
    run("report", NAME)
    assert "the model gives to each label" in Path(f"{NAME}.html").read_text()
    run("export", NAME, "-f", "npz")
    network = MLPClassifier.load(f"{NAME}.npz")
    assert network.network_.config.loss == MULTILABEL
    assert network.words_ == (("no", "yes"), ("False", "True"), ("0", "1"))


def test_one_hot_classes_are_pointed_out(working_folder: Path):
    y = np.eye(3, dtype=int)[np.arange(60) % 3]
    np.savez(working_folder / "hot.npz", x=np.random.default_rng(0).normal(size=(60, 3)), y=y)
    assert "every row has exactly one of the 3 labels; if" in load_dataset("hot.npz").notes[1]


@pytest.mark.parametrize(
    ("estimator", "trial"),
    [
        ("sklearn.ensemble.RandomForestClassifier", "n_estimators = 9\nepochs = 3"),
        ("sklearn.linear_model.LogisticRegression", "C = { low = 0.1, high = 1.0 }"),
        ("sklearn.linear_model.SGDClassifier", "epochs = 2"),
        ("sklearn.neural_network.MLPClassifier", "epochs = 2"),
    ],
)
def test_estimators_learn_several_labels(comments, estimator, trial):
    Path("forest.toml").write_text(
        f'name = "forest"\n[data]\nsource = "{comments}"\ntarget = {LABELS}\n'
        f'[model]\nestimator = "{estimator}"\n[search]\nmetric = "val/f1_macro"\ntrials = 2\n'
        f"[trial]\n{trial}\n"
    )
    run("study", "forest.toml", "--no-tracking")
    found = json.loads(run("evaluate", "forest-tpe", "--top", "1", "--seeds", "2", "--json",
                           "--no-tracking"))["test"]["tested"]  # fmt: skip
    assert found["scores"][0]["name"] == "f1_macro"
    assert 0.2 < found["scores"][0]["first"] <= 1
