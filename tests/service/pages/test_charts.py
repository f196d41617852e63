"""The charts of a study as data."""

import json

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.comparison import compare
from hpsearch.report.facts import Facts
from hpsearch.service.pages import charts
from hpsearch.service.pages.charts import (
    comparison_panels,
    comparison_table,
    curve_panels,
    curves_now,
    drawn_trials,
    history_of,
    history_panel,
    report_data,
    thinned,
    trial_panels,
)
from hpsearch.trials.records import own_trials


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("charts")


@pytest.fixture(scope="module")
def study(make_small, folder):
    return make_small(folder / "j")


def test_the_report_charts_are_those_of_the_report(study):
    data = json.loads(json.dumps(report_data(study), allow_nan=False))
    assert [each["name"] for each in data["panels"]] == ["parallel", "slices", "pruning"]
    assert data["note"] == ""
    assert data["evaluation"] is None
    assert len(data["hover"]) == len(own_trials(study))
    slices = data["panels"][1]["charts"]
    assert {each["title"] for each in slices} == {"activation", "learning_rate", "momentum"}
    indices = [n for trace in slices[0]["data"] for n in trace["customdata"]]
    assert all(f"trial {n}" in data["hover"][n] for n in indices)


def test_of_very_many_trials_the_best_and_the_newest_are_drawn(study, monkeypatch):
    monkeypatch.setattr(charts, "BEST", 1)
    monkeypatch.setattr(charts, "NEWEST", 2)
    facts = Facts.of(study, 1)
    kept = drawn_trials(facts)
    assert len(kept) == 3
    assert facts.best.trial in kept
    assert kept[-2:] == [*facts.trials[-2:]]
    data = report_data(study)
    assert data["note"].startswith("Drawn are 3 of 7 trials")
    assert len(data["hover"]) == 3


def test_a_study_without_a_completed_trial_says_so():
    empty = optuna.create_study(study_name="s", direction="maximize")
    data = report_data(empty)
    assert data["panels"] == []
    assert data["note"] == "Study 's' has no completed trial yet."
    assert curve_panels(empty).missing
    assert history_panel(empty, history_of(empty)).missing


def test_curves_have_the_epochs_that_are_only_reported_yet():
    times = [1, 2]
    stored = {"val/loss": [0.9, 0.8], "times": times}
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=0.5,
        user_attrs={"curves": stored},
        intermediate_values={1: 0.9, 2: 0.8, 3: 0.7, 5: float("inf")},
    )
    assert curves_now(trial, "val/loss").of("val/loss") == [0.9, 0.8]
    trial.state = TrialState.RUNNING
    assert curves_now(trial, "val/loss").of("val/loss") == [0.9, 0.8, 0.7, None, None]


def test_the_best_curve_is_drawn_last_and_so_on_top(study):
    (chart,) = curve_panels(study).charts
    assert chart.traces[-1]["line"]["color"] == charts.BEST_COLOUR
    assert f"trial {Facts.of(study, 1).best.trial.number}" in chart.traces[-1]["text"]


def test_the_best_so_far_only_gets_better(study):
    (chart,) = history_panel(study, history_of(study)).charts
    values = chart.traces[0]["y"]
    assert values == sorted(values)
    assert chart.traces[0]["x"][-1] == history_of(study).spent


def test_a_trial_has_a_chart_for_each_quantity(study):
    panels = trial_panels(study, own_trials(study)[0])
    assert {chart.title for chart in panels.charts} == {"loss", "accuracy"}
    assert all(len(chart.traces) == 2 for chart in panels.charts)


def test_thinned_points_keep_both_ends():
    points = thinned(range(1000), 7)
    assert len(points) == 7
    assert (points[0], points[-1]) == (0, 999)
    assert thinned([1, 2], 7) == [1, 2]


def test_a_comparison_has_a_line_and_a_row_for_each_study(make_small, folder, study):
    other = make_small(folder / "other", "other")
    comparison = compare([[study], [other]], each=True)
    for chart in comparison_panels(comparison).charts:
        assert [trace["name"] for trace in chart.traces] == ["small", "other"]
    rows = comparison_table(comparison).rows
    assert [row[0].text for row in rows] == ["small", "other"]
    assert rows[0][1].number == pytest.approx(comparison.groups[0].histories[0].best)


def test_a_comparison_that_cannot_be_made_says_why(client):
    answer = client.get("/compare/data?names=small").json()
    assert answer["said"] == ""
    assert len(answer["panels"][0]["charts"]) == 2
