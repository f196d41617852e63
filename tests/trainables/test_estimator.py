"""scikit-learn estimators that a study file names, on tables as people have them."""

# ruff: noqa: ARG001  (`folder` is where it is)

import joblib
import numpy as np
import pandas as pd
import pytest
from optuna.trial import FixedTrial, TrialState
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from hpsearch import Objective, run_study
from hpsearch.errors import HpsearchError, StudyError
from hpsearch.settings.study import parse_settings
from hpsearch.trials.records import curves_of, data_of
from hpsearch.workspace import Workspace

RATE = {"low": 0.01, "high": 0.5, "log": True}
HGB = "sklearn.ensemble.HistGradientBoostingClassifier"


@pytest.fixture
def folder(working_folder):
    """A folder with a table of numbers, words and empty cells: people.csv."""
    rng = np.random.default_rng(0)
    n = 300
    age, city = rng.normal(40, 10, n), rng.choice(["Oslo", "Bergen", "Troms\u00f8"], n)
    income = 1000 * age + 5000 * (city == "Oslo") + rng.normal(0, 2000, n)
    table = pd.DataFrame({"age": age, "city": city, "income": income})
    table.loc[::7, "age"] = np.nan
    table.loc[::11, "city"] = None
    table["rich"] = np.where(income > 42_000, "yes", "no")
    table.to_csv("people.csv", index=False)
    return working_folder


def settings_for(estimator, *, data=None, trial=None, model=None, **search):
    return parse_settings(
        {
            "name": "est",
            "model": {"estimator": estimator, **(model or {})},
            "data": {"source": "people.csv", **({"target": "rich"} if data is None else data)},
            "search": {"sampler": "random", "pruner": "none", "trials": 2} | search,
            "trial": trial or {},
        },
        "est.toml",
    )


def test_a_classifier_of_a_raw_table(folder):
    settings = settings_for(HGB, trial={"learning_rate": RATE, "max_iter": 20})
    study = run_study(settings, storage="h.journal").study
    trial = study.best_trial
    assert trial.value > 0.8
    assert {*curves_of(trial).values} == {
        f"{part}/{name}" for part in ("train", "val") for name in ("accuracy", "loss", "auc")
    }
    assert len(data_of(trial).digest) == 32
    assert settings_for(HGB).to_toml().startswith(f'name = "est"\n\n[model]\nestimator = "{HGB}"')


def test_a_regressor_of_the_same_table(folder):
    data = {"target": "income"}
    settings = settings_for(
        "sklearn.linear_model.Ridge", data=data, trial={"alpha": RATE}, metric="val/rmse"
    )
    value = Objective(settings)(FixedTrial({"alpha": 0.1}))
    table = pd.read_csv("people.csv")
    assert value < 0.8 * table["income"].std()


def test_what_it_trains_is_what_scikit_learn_trains(folder):
    table = pd.read_csv("people.csv")
    y, x = table["rich"].to_numpy(), table[["age", "income"]]
    table[["age", "income", "rich"]].to_csv("numbers.csv", index=False)
    codes = np.unique(y, return_inverse=True)[1]
    rest, _ = train_test_split(np.arange(len(y)), test_size=0.2, stratify=codes, random_state=0)
    train, val = train_test_split(rest, test_size=0.2, stratify=codes[rest], random_state=3)
    own = HistGradientBoostingClassifier(learning_rate=0.1, max_iter=30, random_state=0)
    expected = accuracy_score(y[val], own.fit(x.iloc[train], y[train]).predict(x.iloc[val]))
    settings = settings_for(
        HGB,
        data={"source": "numbers.csv", "target": "rich", "split_seed": 3, "scale": "none"},
        trial={"learning_rate": RATE, "max_iter": 30, "random_state": 0},
    )
    assert Objective(settings)(FixedTrial({"learning_rate": 0.1})) == expected


@pytest.mark.parametrize(
    ("estimator", "trial"),
    [
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 40}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 15}),
        ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 20}),
        ("sklearn.linear_model.SGDClassifier", {"loss": "log_loss"}),
        ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": [8]}),
    ],
)
def test_epochs_are_rounds_or_passes(folder, estimator, trial):
    study = run_study(
        settings_for(estimator, trial={"epochs": 5, **trial}), storage="h.journal"
    ).study
    for each in study.trials:
        losses = curves_of(each).of("train/loss")
        assert len(losses) == 5
        assert losses[-1] != losses[0]


def test_rounds_in_steps_are_the_same_as_at_once(folder):
    data, name = {"target": "income"}, "sklearn.ensemble.GradientBoostingRegressor"
    values = []
    for trial in ({"epochs": 6}, {}):
        settings = settings_for(
            name,
            data=data,
            trial={"n_estimators": 30, "learning_rate": RATE, "random_state": 1, **trial},
            metric="val/rmse",
            value="last",
        )
        values.append(Objective(settings)(FixedTrial({"learning_rate": 0.1})))
    assert values[0] == pytest.approx(values[1])


def test_a_pipeline_from_a_function_with_nested_parameters(folder):
    (folder / "prep.py").write_text("""
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

def pipeline():
    numbers = make_column_transformer((SimpleImputer(), ["age", "income"]))
    return Pipeline([("numbers", numbers), ("clf", LogisticRegression(max_iter=1000))])
""")
    settings = settings_for("prep.py:pipeline", trial={"clf__C": RATE})
    study = run_study(settings, storage="h.journal", jobs=2).study
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert study.best_value > 0.6


def test_classes_are_numbers_for_estimators_of_other_libraries(folder, caplog):
    (folder / "other.py").write_text("""
from sklearn.tree import DecisionTreeClassifier

class Strict(DecisionTreeClassifier):
    def fit(self, x, y):
        if y.dtype.kind != "i":
            raise ValueError("Expected: [0 1], got words")
        return super().fit(x, y)
""")
    settings = settings_for("other.py:Strict", trial={"max_depth": {"low": 1, "high": 4}})
    study = run_study(settings, storage="h.journal").study
    assert study.best_value > 0.7
    assert "the classes are numbered from 0 on: no, yes" in caplog.text
    evaluation = Workspace("h.journal", tracked=False).evaluate("est-random", top=1, seeds=1)
    assert evaluation.evaluation.model_scores["test/accuracy"][0] > 0.7


def test_the_winner_is_exported_and_predicts_raw_rows(folder):
    run_study(settings_for(HGB, trial={"max_iter": 20}), storage="h.journal")
    Workspace("h.journal", tracked=False).export_checkpoint("est-random", "winner.joblib")
    model = joblib.load("winner.joblib")
    rows = pd.read_csv("people.csv")
    labels = rows.pop("rich")
    rows.loc[0, "city"] = "Paris"  # which it has not seen
    assert (model.predict(rows) == labels).mean() > 0.8


def test_a_seed_is_given_where_nobody_has_set_one(folder):
    settings = settings_for("sklearn.linear_model.SGDClassifier", trial={"epochs": 3}, seeds=2)
    first, second = run_study(settings, storage="h.journal").study.trials[:2]
    assert curves_of(first).values != curves_of(second).values
    again = run_study(settings, storage="again.journal").study.trials[0]
    assert curves_of(again).values == curves_of(first).values


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"estimator": "sklearn.svm.SVCC"},
            "model.estimator: 'SVCC' is not a function of sklearn.svm",
        ),
        ({"estimator": "sklearn.swm.SVC"}, "model.estimator: there is no module 'sklearn.swm'"),
        ({"estimator": "sklearn.cluster.KMeans"}, "is neither a classifier nor a regressor"),
        ({"estimator": "collections.OrderedDict"}, "which is no scikit-learn estimator"),
        ({"estimator": "sklearn.ensemble.VotingClassifier"}, "cannot be called without arguments"),
        ({"trial": {"max_itre": 3}}, r"trial\.'max_itre' is not a parameter of .*mean 'max_iter'"),
        ({"metric": "val/rmse"}, "search.metric: 'val/rmse' is not a metric of sklearn.ensemble.H"),
        ({"data": {"target": "poor"}}, r"data: people.csv: 'poor' is not a column \(age"),
        ({"data": {}}, "data: people.csv: target must name the column of the labels"),
        ({"data": {"source": "no.csv", "target": "a"}}, "data.source: no.csv: No such file or dir"),
        (
            {"data": {"source": "people.npz"}},
            "data.source: people.npz is no source of rows for an estimator",
        ),
        (
            {"data": {"source": "people.txt", "target": "a"}},
            "data: 'people.txt' is not a data set",
        ),
        (
            {"estimator": "sklearn.linear_model.Ridge", "metric": "val/rmse"},
            "data: people.csv: target .rich. is .yes. in row 1, and a regression needs numbers",
        ),
        (
            {"estimator": "sklearn.svm.SVC", "trial": {"epochs": 3}},
            "trial.epochs: sklearn.svm.SVC is trained in one go",
        ),
        ({"model": {"train": "net.py:train"}}, "must have either train"),
        ({"model": {"data": "net.py:load"}}, r"model\.data: is for train"),
        ({"estimator": ["python", "x.py"]}, "must name a class, such as"),
    ],
)
def test_wrong_study_files_are_one_sentence(folder, changes, sentence):
    (folder / "people.txt").write_text("a")
    changes = {"estimator": HGB, **changes}
    with pytest.raises(HpsearchError, match=sentence):
        run_study(settings_for(**changes), storage="h.journal")
    assert not (folder / "h.journal").exists()


def test_a_parameter_of_a_wrong_kind_fails_the_trial_with_its_name(folder):
    settings = settings_for(HGB, trial={"max_iter": "many"})
    with pytest.raises(StudyError, match="'max_iter' parameter of HistGradientBoostingClassifier"):
        run_study(settings, storage="h.journal")


def test_other_rows_are_refused(folder):
    run_study(settings_for(HGB, trial={"max_iter": 5}), storage="h.journal")
    table = pd.read_csv("people.csv")
    table.loc[3, "income"] += 1
    table.to_csv("people.csv", index=False)
    with pytest.raises(StudyError, match="other data"):
        run_study(settings_for(HGB, trial={"max_iter": 5}), storage="h.journal")


def test_an_evaluation_puts_an_estimator_beside_baselines_that_read_the_same_labels(folder):
    """Grades could be classes, and are numbers for a regressor and for its baselines."""
    table = pd.read_csv("people.csv")
    table["grade"] = pd.qcut(table["income"], 5, labels=[1, 2, 3, 4, 5]).astype(int)
    table.drop(columns=["income", "rich"]).to_csv("grades.csv", index=False)
    settings = settings_for(
        "sklearn.linear_model.Ridge",
        data={"source": "grades.csv", "target": "grade"},
        trial={"alpha": RATE},
        metric="val/rmse",
    )
    run_study(settings, name="grades", storage="g.journal")
    evaluation = Workspace("g.journal", tracked=False).evaluate("grades", top=1, seeds=2).evaluation
    found = evaluation.comparison
    assert [each.name for each in found.models][:3] == ["Ridge", "the mean", "ridge regression"]
    assert found.models[0].scores["rmse"] == pytest.approx(evaluation.model_scores["test/rmse"][0])
    assert found.models[1].verdict == "better"
    assert evaluation.tested.residuals[0].target == "grade"


@pytest.mark.parametrize("metric", ["val/auc", "val/roc_auc"])
def test_the_usual_short_names_are_compared_as_what_they_stand_for(folder, metric):
    settings = settings_for("sklearn.linear_model.LogisticRegression", trial={"C": RATE})
    settings = settings.replace(search={"metric": metric})
    run_study(settings, name="short", storage="s.journal")
    evaluation = Workspace("s.journal", tracked=False).evaluate("short", top=1, seeds=1).evaluation
    assert evaluation.comparison.metric == "roc_auc"
    assert evaluation.tested.scores[0].name == "roc_auc"
    assert evaluation.tested.scores[0].each == tuple(evaluation.model_scores["test/auc"])
    of_classes = evaluation.test_scores("network")
    assert of_classes.accuracy == pytest.approx(evaluation.first_scores["test/accuracy"])
    assert of_classes.rows == evaluation.tested.rows
