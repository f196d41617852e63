"""A trial that trains its folds in lockstep: its curves are means, and everything else follows."""

import json
from dataclasses import replace
from statistics import stdev

import joblib
import numpy as np
import pandas as pd
import pytest
from optuna.pruners import NopPruner
from optuna.trial import FixedTrial, TrialState
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split

from hpsearch import Objective, run_study
from hpsearch.analysis.ranking import best_epoch
from hpsearch.data.loading import load_folds
from hpsearch.data.splitting import read_parts
from hpsearch.errors import SettingsError
from hpsearch.execution.objective import load_model
from hpsearch.export.network import retrain, winner_with_network
from hpsearch.prediction import score_table
from hpsearch.settings.study import load_settings, parse_settings, settings_table
from hpsearch.storage.open import open_storage
from hpsearch.trainables.folds import EpochEnd, in_lockstep, means, stopped_early
from hpsearch.trainables.network import NetworkModel, trained_config
from hpsearch.trials.records import curves_of, definition_of, setup_of
from hpsearch.workspace import Workspace
from model import TrainConfig

CONFIG = {"epochs": 12, "batch_size": 16, "hidden_layer_sizes": [8], "learning_rate": 0.1}
FOLDS = {"folds": 3}


@pytest.fixture
def settings_for(working_folder):  # noqa: ARG001
    """A function that returns the settings of a study of 150 rows in 3 folds."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=150), "b": rng.normal(size=150)})
    frame["town"] = rng.choice(["Oslo", "Bergen", None], 150)
    frame["y"] = np.where(frame.a + rng.normal(0, 0.5, 150) > 0, "yes", "no")
    frame.to_csv("table.csv", index=False)

    def build(*, data=None, trial=None, model=None, **search):
        tables = {
            "data": {"source": "table.csv", "target": "y", "validation": FOLDS} | (data or {}),
            "search": {"sampler": "random", "pruner": "none", "trials": 3} | search,
            "trial": CONFIG | {"learning_rate": {"choices": [0.1, 0.3, 1.0]}}
            if trial is None
            else trial,
        }
        if model is not None:
            tables["model"] = model
        return parse_settings({"name": "folded", **tables}, "folded.toml")

    return build


def folds_of(settings):
    return load_folds(**settings.data.arguments())


def test_the_curves_of_a_trial_are_means_over_networks_of_their_own(settings_for):
    settings = settings_for(metrics=["val/f1"])
    trial = FixedTrial({"learning_rate": 0.3})
    value = Objective(settings)(trial)
    curves = curves_of(trial).values
    networks = load_model(settings)
    config = TrainConfig(**CONFIG | {"learning_rate": 0.3, "hidden_layer_sizes": (8,)})
    alone = [[*networks.start_training(config, 0, fold)[1]] for fold in range(3)]
    for name, of in (
        ("train/loss", lambda epoch: epoch.train_loss),
        ("val/accuracy", lambda epoch: epoch.val_accuracy),
        ("val/f1", lambda epoch: epoch.scores["val/f1"]),
    ):
        values = np.array([[of(epoch) for epoch in epochs] for epochs in alone])
        assert np.allclose(curves[name], values.mean(axis=0), atol=1e-12)
        if name.startswith("val/"):
            spread = [stdev(column) for column in values.T]
            assert np.allclose(curves[f"{name}_std"], spread, atol=1e-12)
    assert value == max(curves["val/accuracy"])
    assert "train/loss_std" not in curves
    assert len({epochs[-1].val_accuracy for epochs in alone}) > 1


def test_early_stopping_goes_by_the_mean(settings_for):
    settings = settings_for()
    patience = 4
    config = TrainConfig(epochs=60, hidden_layer_sizes=(8,), early_stopping=patience, batch_size=16)
    networks = load_model(settings)
    ends = [*networks.epochs(config, 0)]
    whole = [*networks.epochs(replace(config, early_stopping=0), 0)]
    values = [end.metrics["val/accuracy"] for end in whole]
    assert [end.metrics for end in ends] == [end.metrics for end in whole[: len(ends)]]
    stop = next(
        number
        for number in range(1, 61)
        if number - 1 - int(np.argmax(values[:number])) >= patience
    )
    assert len(ends) == stop < 60


def test_gradient_norms_are_means_too(settings_for):
    settings = settings_for(diagnostics=True)
    trial = FixedTrial({"learning_rate": 0.1})
    Objective(settings)(trial)
    norms = curves_of(trial).gradient_norms
    assert np.shape(norms) == (12, 2)
    assert (np.array(norms) > 0).all()


def test_lockstep_trains_no_fold_further_than_the_others():
    trained, closed = [], []

    def fold(which):
        try:
            for epoch in range(5):
                trained.append((epoch, which))
                yield EpochEnd({"val/loss": float(epoch + which)})
        finally:
            closed.append(which)

    together = in_lockstep([fold(0), fold(1)])
    assert next(together).metrics["val/loss"] == 0.5
    assert next(together).metrics["val/loss"] == 1.5
    together.close()
    assert trained == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert closed == [0, 1]


def test_a_fold_that_diverges_makes_the_mean_diverge():
    found = means([{"val/loss": 1.0, "train/loss": 2.0}, {"val/loss": np.inf, "train/loss": 2.0}])
    assert found["val/loss"] == np.inf
    assert found["train/loss"] == 2.0


def test_stopping_early_minimizes_where_it_should():
    values = [3.0, 1.0, 2.0, 2.0, 0.5]
    ends = (EpochEnd({"val/loss": value}) for value in values)
    stopped = [*stopped_early(ends, "val/loss", maximize=False, patience=2)]
    assert [end.metrics["val/loss"] for end in stopped] == values[:4]


def test_a_trial_in_a_worker_process_is_the_same(settings_for):
    """Two processes train the same curves bit for bit as one does."""
    alone = run_study(settings_for(), storage="one.journal").study
    together = run_study(settings_for(), storage="two.journal", jobs=2).study
    curves = [
        {trial.params["learning_rate"]: curves_of(trial).values for trial in study.trials}
        for study in (alone, together)
    ]
    assert curves[0] == curves[1]


def test_a_study_is_not_continued_on_other_folds(settings_for):
    study = run_study(settings_for(), storage="s.journal").study
    assert definition_of(study)["data.validation"] == "3 folds"
    assert setup_of(study.trials[0]).validation == "3 folds"
    for validation, what in (("split", "split"), ({"folds": 3, "repeats": 2}, "3 folds, 2 times")):
        with pytest.raises(Exception, match=rf"data\.validation 3 folds, now {what}"):
            run_study(settings_for(data={"validation": validation}), storage="s.journal")
    again = run_study(settings_for(trials=4), storage="s.journal")
    assert (again.counts.complete, again.new) == (4, 1)


def test_the_pruner_sees_the_mean_curves(settings_for):
    pruner = NopPruner()
    outcome = run_study(settings_for(), storage="s.journal")
    for trial in outcome.study.trials:
        steps = [value for _, value in sorted(trial.intermediate_values.items())]
        assert steps == curves_of(trial).values["val/accuracy"]
    assert not pruner.prune(outcome.study, outcome.study.trials[0])
    pruned = run_study(
        settings_for(
            trials=20, pruner="median", trial={"learning_rate": CONFIG["learning_rate"]}
        ).replace(trial=CONFIG | {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}),
        storage="p.journal",
    ).study
    assert TrialState.PRUNED in {trial.state for trial in pruned.trials}


def test_the_network_that_is_exported_is_trained_on_all_rows_but_the_test_rows(settings_for):
    study = run_study(settings_for(), storage="s.journal").study
    trial = study.best_trial
    model = load_model(settings_for())
    assert isinstance(model, NetworkModel)
    assert len(model.final_data.x_train) == model.validation_rows == 120
    exported = retrain(study, trial)
    assert exported.best_epoch_ == best_epoch(trial)
    assert np.array_equal(exported.network_.state, retrain(study, trial).network_.state)
    again, epochs = model.start_training(trained_config(trial), 0)
    assert exported.network_.state.shape == again.state.shape
    del epochs
    winner = winner_with_network(open_storage("s.journal"), study)
    assert winner.how == "trained again up to that epoch, on the rows of all 3 folds"
    frame = pd.read_csv("table.csv")
    assert (exported.predict(frame) == frame.y).mean() > 0.7


def test_an_evaluation_of_folds(settings_for):
    workspace = Workspace("s.journal", tracked=False)
    workspace.run(settings_for())
    evaluation = workspace.evaluate("folded-random", top=2, seeds=3).evaluation
    assert evaluation.is_scored
    assert evaluation.test_scores("network").rows == 30
    assert all(len(each.values) == 3 for each in evaluation.candidates)
    text = json.dumps(evaluation.comparison.as_plain())
    assert "logistic regression" in text
    workspace.export("folded-random", "npz", "folded-random.npz")
    assert score_table("folded-random.npz", "table.csv").rows == 150


@pytest.mark.parametrize("repeats", [1, 2])
def test_an_estimator_has_the_scores_that_scikit_learn_has_on_these_folds(settings_for, repeats):
    frame = pd.read_csv("table.csv")[["a", "b", "y"]]
    codes = (frame.y == "yes").to_numpy().astype(int)
    rest, _ = train_test_split(np.arange(150), test_size=0.2, stratify=codes, random_state=0)
    rest = np.sort(rest)
    scores = []
    for seed in range(repeats):
        folds = StratifiedKFold(3, shuffle=True, random_state=seed).split(rest, codes[rest])
        for train, val in folds:
            x = frame[["a", "b"]].to_numpy()
            fitted = LogisticRegression(C=0.1).fit(x[rest[train]], codes[rest[train]])
            scores.append(fitted.score(x[rest[val]], codes[rest[val]]))
    settings = settings_for(
        data={"drop": ["town"], "scale": "none", "validation": FOLDS | {"repeats": repeats}},
        model={"estimator": "sklearn.linear_model.LogisticRegression"},
        trial={"C": 0.1},
    )
    trial = FixedTrial({})
    assert np.isclose(Objective(settings)(trial), np.mean(scores))
    assert np.isclose(curves_of(trial).values["val/accuracy_std"][0], stdev(scores))


def test_an_estimator_that_trains_in_steps_trains_its_folds_in_lockstep(settings_for):
    settings = settings_for(
        model={"estimator": "sklearn.linear_model.SGDClassifier"},
        trial={"epochs": 4, "alpha": 0.01, "loss": "log_loss"},
    )
    trial = FixedTrial({})
    Objective(settings)(trial)
    assert len(curves_of(trial)) == 4
    assert load_model(settings).final({"alpha": 0.01, "epochs": 4}, 0, 4)["accuracy"] > 0.6


def test_the_estimator_that_is_kept_is_trained_on_the_rows_of_all_folds(settings_for):
    settings = settings_for(
        data={"drop": ["town"], "scale": "none"},
        model={"estimator": "sklearn.linear_model.LogisticRegression"},
        trial={"C": {"choices": [0.1, 1.0, 10.0]}},
    )
    study = run_study(settings, storage="s.journal").study
    Workspace("s.journal", tracked=False).export_checkpoint("folded-random", "it.joblib")
    frame = pd.read_csv("table.csv")
    rest = read_parts("table.csv", target="y")[1].rest
    rows = frame.iloc[np.sort(rest)]
    fitted = LogisticRegression(C=study.best_params["C"]).fit(rows[["a", "b"]], rows.y)
    kept = joblib.load("it.joblib")
    assert np.allclose(kept[-1].coef_, fitted.coef_, atol=1e-4)
    assert (kept.predict(frame) == frame.y).mean() > 0.8


def test_a_study_file_says_folds_on_one_line(settings_for, tmp_path):
    settings = settings_for(data={"validation": {"folds": 3, "repeats": 2}, "groups": "town"})
    text = settings.to_toml()
    assert "validation = {folds = 3, repeats = 2}\n" in text
    (tmp_path / "again.toml").write_text(text)
    again = load_settings(tmp_path / "again.toml")
    assert settings_table(again)["data"] == settings_table(settings)["data"]
    assert again.data == settings.data


@pytest.mark.parametrize(
    ("validation", "sentence"),
    [
        (5, "data.validation: must be text, or { folds = 5 }, but got 5"),
        ({}, "data.validation.folds: is missing"),
        ({"folds": 1}, "data.validation.folds: must be at least 2, but got 1"),
        ({"folds": "5"}, "data.validation.folds: must be a whole number, but got '5'"),
        ({"folds": 5, "repeats": 0}, "data.validation.repeats: must be at least 1, but got 0"),
        ({"fold": 5}, "data.validation: 'fold' is not a key here; did you mean 'folds'?"),
    ],
)
def test_wrong_folds_are_one_sentence(settings_for, validation, sentence):
    with pytest.raises(SettingsError) as raised:
        settings_for(data={"validation": validation})
    assert str(raised.value).startswith(f"folded.toml: {sentence}")
