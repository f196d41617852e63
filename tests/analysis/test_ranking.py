"""The best trials of a study, counts by state, a trial as data, and the study as Markdown."""

import json
import re
import tomllib

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.ranking import (
    best_trials,
    count_trials,
    find_trial,
    searched_values,
    trial_record,
)
from hpsearch.analysis.summaries import StudySummary
from hpsearch.errors import StudyError
from hpsearch.formatting import format_value
from hpsearch.settings.study import parse_settings
from hpsearch.tracking.page import describe
from hpsearch.trials.metrics import common_format
from hpsearch.trials.records import metric_of


def study_of(direction, *trials):
    study = optuna.create_study(direction=direction, study_name="theirs")
    for slot, value, state in trials:
        attrs = {} if slot is None else {"slot": slot}
        study.add_trial(create_trial(state=TrialState[state], value=value, user_attrs=attrs))
    return study


# The best


@pytest.mark.parametrize(
    ("direction", "slots"), [("maximize", [0, 2, 5, 4]), ("minimize", [4, 5, 0, 2])]
)
def test_trials_are_ranked_by_value_and_then_by_slot(direction, slots):
    study = study_of(
        direction,
        (5, 0.5, "COMPLETE"),
        (2, 0.75, "COMPLETE"),
        (4, 0.0, "COMPLETE"),
        (0, 0.75, "COMPLETE"),
        (1, 0.875, "PRUNED"),
        (3, None, "FAIL"),
    )
    best = [trial.user_attrs["slot"] for trial in best_trials(study, 10)]
    assert best == slots
    assert [t.user_attrs["slot"] for t in best_trials(study, 2)] == slots[:2]


def test_without_complete_trials_there_is_no_best():
    study = study_of("maximize", (0, None, "FAIL"), (1, 0.5, "PRUNED"))
    assert best_trials(study, 5) == []
    assert StudySummary.of(study).record()["best"] is None
    assert "best" not in describe(study)


def test_counts(study):
    counts = count_trials(study.trials)
    states = [trial.state for trial in study.trials]
    assert counts.complete == states.count(TrialState.COMPLETE) > 0
    assert counts.pruned == states.count(TrialState.PRUNED) > 0
    assert counts.complete + counts.pruned == 9
    assert str(counts) == f"{counts.complete} complete, {counts.pruned} pruned, 1 interrupted"
    assert str(count_trials([])) == "0 complete, 0 pruned"


# A trial


def test_values_are_named_as_in_the_study_file(study):
    for trial in study.trials:
        config = trial.user_attrs["setup"]["config"]
        values = searched_values(trial)
        assert values.keys() == {"learning_rate", "momentum", "hidden_layer_sizes"}
        assert values["momentum"] == config["momentum"]
        assert values["momentum"] == pytest.approx(1 - trial.params["one_minus_momentum"])
        assert values["learning_rate"] == config["learning_rate"]
        assert values["hidden_layer_sizes"] in ("8", "16-8")


def test_values_of_another_objective_are_its_parameters():
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("one_minus_x", 0, 1), n_trials=1)
    (trial,) = study.trials
    assert searched_values(trial) == trial.params


@pytest.mark.parametrize("text", ["0", "00", "0000"])
def test_the_last_trial_of_a_slot_is_found(study, text):
    trial = find_trial(study, text)
    assert (trial.number, trial.user_attrs["slot"]) == (1, 0)  # number 0 was interrupted


@pytest.mark.parametrize("text", ["9", "-1", "x", "1.0", ""])
def test_a_missing_trial_is_an_error(study, text):
    with pytest.raises(StudyError, match=f"study 'tiny-random' has no trial {text}"):
        find_trial(study, text)


def test_a_trial_of_a_foreign_study_is_found_by_its_number():
    study = study_of("maximize", (None, 0.5, "COMPLETE"), (None, 0.75, "COMPLETE"))
    assert find_trial(study, "1").value == 0.75


# Records


def test_trial_records_are_plain_data(study):
    for trial in study.trials:
        record = trial_record(trial, curves=True)
        assert json.loads(json.dumps(record)) == record
        assert record["slot"] == trial.user_attrs["slot"]
        assert record["config"]["epochs"] == 5
        assert len(record["curves"]["val/loss"]) == record["epochs"]
        assert (record["value"] is None) == (record["state"] != "complete")
        assert "curves" not in trial_record(trial)
    interrupted, labelled = study.trials[:2]
    assert trial_record(interrupted)["reason"] == "interrupted"
    assert trial_record(labelled)["label"] == "wide"
    assert trial_record(labelled)["params"]["momentum"] == 0.75


def test_records_of_another_objective_are_plain_data_too():
    study = study_of("minimize", (None, 0.5, "COMPLETE"))
    assert json.loads(json.dumps(StudySummary.of(study).record()))["metric"] == "value"
    record = trial_record(study.trials[0], curves=True)
    assert (record["slot"], record["value"], record["config"]) == (None, 0.5, None)


# The page


def test_the_page_has_a_row_for_each_of_the_best(study):
    lines = describe(study).splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    heading, rule, *rows = table
    best = best_trials(study, 5)
    assert heading[:3] == ["trial", "val/accuracy", "epochs"]
    assert set(heading[3:]) == {"learning_rate", "momentum", "hidden_layer_sizes"}
    assert set(rule) == {"---"}
    assert {len(row) for row in table} == {len(heading)}
    assert [row[0] for row in rows] == [f"trial-{t.user_attrs['slot']:04d}" for t in best]
    assert [float(row[1]) for row in rows] == pytest.approx([t.value for t in best], rel=1e-3)


def test_the_page_says_what_was_searched_and_what_pruning_did(study):
    page = describe(study)
    (searched,) = (line for line in page.splitlines() if line.startswith("Searched: "))
    table = tomllib.loads(study.user_attrs["settings"])["trial"]
    names = {key for key, entry in table.items() if isinstance(entry, dict)}
    assert set(re.findall(r"`(\w+)`", searched)) == names
    pruned = any(trial.state is TrialState.PRUNED for trial in study.trials)
    assert ("hpsearch.reason" in page) == pruned


def test_the_page_contains_the_study_file_and_the_command(study, settings):
    page = describe(study)
    (_, file, _) = page.split("```")
    table = tomllib.loads(file.removeprefix("toml\n"))
    assert parse_settings(table, "page") == settings
    assert "`hpsearch study study.toml --name tiny-random`" in page


def test_a_study_has_one_metric(study):
    assert metric_of(study) == "val/accuracy"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98611111, "0.9861"), (0.00123, "0.00123"), (3.86e-7, "3.86e-07"), (100, "100"), ("8", "8")],
)
def test_numbers_have_four_significant_digits(value, text):
    assert format_value(value) == text


def test_a_study_of_several_objectives_has_no_best():
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.5), n_trials=2)
    assert best_trials(study, 5) == []
    assert StudySummary.of(study).record()["best"] is None
    assert "2 complete" in describe(study)


@pytest.mark.parametrize(
    ("metric", "values", "how"),
    [
        ("val/loss", [0.5, 0.02], ".4f"),
        ("val/loss", [0.5, 0.0099], ".5f"),
        ("val/loss", [0.5, 0.0001], ".6f"),
        ("val/loss", [0.5, 9e-5], ".4g"),
        ("val/loss (test set)", [0.5, 0.0], ".4f"),
        ("val/accuracy", [0.5, 0.002], ".4f"),
        ("val/accuracy (test set)", [0.0], ".4f"),
        ("value", [-0.001, -3.0], ".5f"),
        ("val/loss", [], ".4f"),
    ],
)
def test_the_smallest_value_of_a_column_sets_its_decimals(metric, values, how):
    assert common_format(values, metric) == how
