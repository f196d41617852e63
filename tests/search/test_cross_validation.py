"""SearchCV: what RandomizedSearchCV does, with fewer folds, and on again after a stop."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient
from scipy.stats import expon, loguniform, randint, uniform
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from hpsearch import SearchCV
from hpsearch.errors import StudyError
from hpsearch.storage.open import open_storage

C = {"C": {"low": 1e-3, "high": 10.0, "log": True}}
LONG_C = {"C": loguniform(1e-3, 10.0)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "space"),
    [
        (LogisticRegression(), {"C": [0.1, 1.0]}),
        (Ridge(), {"alpha": {"low": 0.1, "high": 1.0}}),
        (DecisionTreeClassifier(), {"max_depth": [1, 2, None]}),
        (KMeans(n_init=1), {"n_clusters": [2, 3]}),
        (make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1, 2]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_is_an_estimator_as_scikit_learn_checks_it(estimator, space):
    check_estimator(SearchCV(estimator, space, trials=2, cv=2))


def test_one_word_changes_in_a_randomized_search():
    X, y = load_iris(return_X_y=True)
    for search in (RandomizedSearchCV, SearchCV):
        found = search(
            SVC(),
            {"C": loguniform(1e-2, 10), "kernel": ["linear", "rbf"]},
            n_iter=6,
            random_state=1,
        ).fit(X, y)
        assert found.best_score_ > 0.95
        assert found.best_params_.keys() == {"C", "kernel"}
        assert found.best_estimator_.get_params()["C"] == found.best_params_["C"]
        assert (found.predict(X) == y).mean() > 0.95
        assert found.score(X, y) > 0.95
        assert list(found.classes_) == [0, 1, 2]
        assert (found.n_features_in_, found.n_splits_) == (4, 5)
        results = found.cv_results_
        assert results["rank_test_score"][found.best_index_] == 1
        assert results["params"][found.best_index_] == found.best_params_
        table = pd.DataFrame(results)
        assert len(table) == 6
        assert {"mean_fit_time", "std_score_time", "param_C", "split4_test_score"} <= {
            *table.columns
        }


def test_scores_are_those_of_a_cross_validation():
    X, y = load_diabetes(return_X_y=True)
    space = {"alpha": {"low": 1e-2, "high": 10.0, "log": True}}
    search = SearchCV(
        Ridge(),
        space,
        trials=5,
        cv=4,
        scoring="neg_mean_absolute_error",
        pruner="none",
        return_train_score=True,
    ).fit(X, y)
    for row, params in enumerate(search.cv_results_["params"]):
        scores = cross_val_score(Ridge(**params), X, y, cv=4, scoring="neg_mean_absolute_error")
        own = [search.cv_results_[f"split{n}_test_score"][row] for n in range(4)]
        assert own == list(scores)
        assert search.cv_results_["mean_test_score"][row] == pytest.approx(scores.mean())
        assert search.cv_results_["std_test_score"][row] == pytest.approx(scores.std())
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert np.isfinite(search.cv_results_["mean_train_score"]).all()


def test_bad_configurations_stop_after_few_folds():
    X, y = make_classification(400, random_state=0)
    depth = {"max_depth": {"low": 1, "high": 12}, "max_features": [0.05, 0.5, 1.0]}
    search = SearchCV(DecisionTreeClassifier(random_state=0), depth, trials=30, cv=5).fit(X, y)
    means = search.cv_results_["mean_test_score"]
    stopped = np.isnan(means)
    assert 5 <= stopped.sum() < 30
    folds = np.array([search.cv_results_[f"split{n}_test_score"] for n in range(5)])
    assert np.isnan(folds[:, stopped]).any(axis=0).all()
    assert search.cv_results_["rank_test_score"][stopped].min() > (~stopped).sum()
    assert search.best_score_ == np.nanmax(means)


def test_a_space_in_the_words_of_scipy_and_of_objects():
    X, y = load_iris(return_X_y=True)
    space = {
        "scaler": [StandardScaler(), MinMaxScaler(), "passthrough", None],
        "tree__max_depth": randint(1, 4),
        "tree__min_impurity_decrease": uniform(0.0, 0.01),
        "tree__class_weight": [None, "balanced", {0: 1, 1: 2, 2: 3}],
    }
    pipeline = make_pipeline(StandardScaler(), DecisionTreeClassifier())
    pipeline.steps = [("scaler", pipeline.steps[0][1]), ("tree", pipeline.steps[1][1])]
    search = SearchCV(pipeline, space, trials=25, cv=3, pruner="none").fit(X, y)
    params = search.cv_results_["params"]
    assert {each["tree__max_depth"] for each in params} == {1, 2, 3}
    assert {type(each["scaler"]) for each in params} >= {StandardScaler, str}
    weights = [each["tree__class_weight"] for each in params]
    assert {0: 1, 1: 2, 2: 3} in weights
    assert None in weights
    assert all(0 <= each["tree__min_impurity_decrease"] <= 0.01 for each in params)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"space": None}, "space must be a dictionary of parameters"),
        ({"space": [C]}, "space must be a dictionary of parameters"),
        ({"space": {}}, "space must name at least one parameter"),
        ({"space": {"c": [1]}}, "Invalid parameter 'c' for estimator LogisticRegression"),
        ({"space": {"C": expon()}}, "space: C is a expon distribution; use uniform"),
        ({"space": {"C": "linear"}}, "space: C must be a list of values"),
        ({"space": {"C": []}}, "space: C has no values"),
        ({"scoring": ["accuracy", "f1"]}, "scoring must be one metric"),
        ({"refit": "accuracy"}, "refit must be True or False"),
        ({"space": {"C": {"low": 1.0}}}, r"SearchCV: trial.C: .*high"),
        ({"sampler": "tpee"}, "SearchCV: search.sampler: 'tpee' is not a sampler; did you mean"),
        ({"trials": 0}, "SearchCV: search.trials: must be at least 1, but got 0"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence):
    X, y = load_iris(return_X_y=True)
    with pytest.raises((ValueError, Exception), match=sentence):
        SearchCV(LogisticRegression(), **{"space": C, "trials": 2} | arguments).fit(X, y)


def test_fits_that_fail_are_warned_of_and_never_win():
    X, y = load_iris(return_X_y=True)
    space = {"C": [-1.0, 0.5]}
    with pytest.warns(FitFailedWarning, match="a fit failed: .*'C' parameter"):
        search = SearchCV(LogisticRegression(max_iter=500), space, trials=8, sampler="random").fit(
            X, y
        )
    assert search.best_params_ == {"C": 0.5}
    assert np.isnan(search.cv_results_["mean_test_score"]).any()
    with pytest.warns(FitFailedWarning), pytest.raises(ValueError, match="'C' parameter"):
        SearchCV(LogisticRegression(), {"C": [-1.0, -2.0]}, trials=3).fit(X, y)
    with pytest.raises(ValueError, match="'C' parameter"):
        SearchCV(LogisticRegression(), {"C": [-1.0]}, trials=3, error_score="raise").fit(X, y)


def test_fit_parameters_are_sliced_and_groups_split():
    X, y = load_iris(return_X_y=True)
    groups = np.arange(len(y)) % 3
    weights = np.where(y == 2, 0.0, 1.0)
    search = SearchCV(DecisionTreeClassifier(), {"max_depth": [2, 3]}, trials=2, cv=GroupKFold(3))
    search.fit(X, y, groups=groups, sample_weight=weights)
    assert search.n_splits_ == 3
    assert 2 not in search.predict(X)


def test_nothing_is_kept_without_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)
    search = SearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, trials=2, n_jobs=2).fit(X, y)
    assert list(tmp_path.iterdir()) == []
    assert not hasattr(search, "study_")
    assert (pickle.loads(pickle.dumps(search)).predict(X) == search.predict(X)).all()


def test_a_search_with_a_name_goes_on_and_is_tracked(tmp_path, monkeypatch, mlflow_uri):
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)

    def search(trials, rows=150, **others):
        return SearchCV(
            LogisticRegression(max_iter=1000),
            LONG_C,
            trials=trials,
            cv=3,
            study_name="iris",
            tracking_uri=mlflow_uri,
            **others,
        ).fit(X[:rows], y[:rows])

    first = search(4)
    numbers = [trial.number for trial in first.study_.trials]
    second = search(8)
    assert numbers == [0, 1, 2, 3]
    assert second.cv_results_["params"][:4] == first.cv_results_["params"]
    study = optuna.load_study(study_name="iris", storage=open_storage("hpsearch.journal"))
    assert len(study.trials) == 8
    assert study.best_value == second.best_score_
    client = MlflowClient(mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("iris").experiment_id])
    assert len(runs) == 8
    assert {"test_score", "mean_test_score", "fit_time"} <= runs[0].data.metrics.keys()
    with pytest.raises(StudyError, match=r"model.data rows:digest_.*, now rows:digest_"):
        search(8, rows=120)


def test_a_killed_search_ends_as_one_that_was_not(tmp_path):
    script = tmp_path / "search.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from sklearn.datasets import load_iris
        from sklearn.tree import DecisionTreeClassifier
        from hpsearch import SearchCV

        class Tree(DecisionTreeClassifier):
            def fit(self, X, y):
                with open("fits.txt", "a") as file:
                    file.write("f")
                if len(sys.argv) > 1 and os.path.getsize("fits.txt") == int(sys.argv[1]):
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().fit(X, y)

        X, y = load_iris(return_X_y=True)
        space = {"max_depth": {"low": 1, "high": 9}, "min_samples_leaf": [1, 5, 20]}
        search = SearchCV(Tree(random_state=0), space, trials=10, cv=3, pruner="none",
                          study_name="trees", storage=os.environ["STUDY"])
        search.fit(X, y)
        print(search.best_score_, search.cv_results_["params"])
        """)
    )

    def run(study, *arguments):
        return subprocess.run(
            [sys.executable, "search.py", *arguments],
            cwd=tmp_path,
            env={**os.environ, "STUDY": f"{study}.journal"},
            capture_output=True,
            text=True,
        )

    whole = run("whole")
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "fits.txt").unlink()
    assert run("killed", "14").returncode == -9
    again = run("killed")
    assert again.returncode == 0, again.stderr
    assert again.stdout == whole.stdout
