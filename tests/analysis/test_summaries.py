"""Summaries: a study in a few numbers, one trial, and the best trials."""

import json
import math

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.ranking import find_trial, no_best
from hpsearch.analysis.summaries import Leaderboard, StudySummary, TrialSummary


def test_records_are_plain_data(study):
    record = StudySummary.of(study).record()
    best = max(t.value for t in study.trials if t.state is TrialState.COMPLETE)
    epochs = [len(t.user_attrs["curves"]["times"]) for t in study.trials]
    assert json.loads(json.dumps(record)) == record
    assert (record["study"], record["metric"], record["trials"]) == (
        "tiny-random",
        "val/accuracy",
        9,
    )
    assert (record["best"], record["epochs"]) == (best, sum(epochs))
    assert find_trial(study, str(record["best_slot"])).value == best
    assert record["settings"]["data"]["limit"] == 120


def test_a_trial_has_its_curves_and_their_titles(study):
    summary = TrialSummary.of(study, "0")
    assert summary.titles == [*summary.record["curves"]]
    assert len(summary.record["curves"]["val/loss"]) == summary.record["epochs"]
    assert summary.traceback == ""


def test_the_leaderboard_has_a_row_for_each_of_the_best_trials(study):
    board = Leaderboard.of([study], 2)
    best = sorted(
        (trial for trial in study.trials if trial.state is TrialState.COMPLETE),
        key=lambda trial: (-trial.value, trial.user_attrs["slot"]),
    )[:2]
    table = board.table()
    assert table.headings[:4] == ["trial", "val/accuracy", "at epoch", "epochs"]
    slots = [str(trial.user_attrs["slot"]) for trial in best]
    assert [row[0].text for row in table.rows] == slots
    assert [row[1].text for row in table.rows] == [f"{trial.value:.4g}" for trial in best]
    assert [record["slot"] for record in board.records()] == [int(slot) for slot in slots]


def test_the_leaderboard_of_rounds_names_the_study_of_each_trial():
    rounds = []
    for name, value in (("first", 0.5), ("second", 0.75)):
        study = optuna.create_study(study_name=name, direction="maximize")
        study.add_trial(create_trial(value=value, user_attrs={"slot": 3}))
        rounds.append(study)
    table = Leaderboard.of(rounds, 5).table()
    assert [row[0].text for row in table.rows] == ["second#3", "first#3"]


def test_an_empty_leaderboard_has_no_table():
    assert Leaderboard.of([optuna.create_study()], 5).table() is None


def test_a_choice_of_none_differs_from_a_parameter_that_a_trial_lacks():
    study = optuna.create_study()
    choices = {"x": CategoricalDistribution([None, "a"])}
    study.add_trial(create_trial(value=0.0, params={"x": None}, distributions=choices))
    study.add_trial(create_trial(value=1.0))
    table = Leaderboard.of([study], 5).table()
    assert [row[-1].text for row in table.rows] == ["None", ""]


def test_a_study_of_several_objectives_or_infinite_values_says_why_it_has_no_best():
    two = optuna.create_study(study_name="two", directions=["minimize", "maximize"])
    two.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.5), n_trials=1)
    infinite = optuna.create_study(study_name="infinite")
    infinite.optimize(lambda trial: trial.suggest_float("x", 0, 1) + math.inf, n_trials=2)
    for study, reason in (
        (two, "study 'two' has 2 objectives and no single best trial"),
        (infinite, "study 'infinite' has completed trials, but no finite value"),
        (optuna.create_study(study_name="new"), "study 'new' has no completed trial yet"),
    ):
        assert StudySummary.of(study).no_best == reason
        assert Leaderboard.of([study], 5).no_best == reason
    assert TrialSummary.of(two, "0").record["value"] is None
    infinite.add_trial(create_trial(value=1.0))
    assert no_best(infinite) == Leaderboard.of([infinite], 5).no_best == ""
