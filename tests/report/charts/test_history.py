"""The charts of the search history."""

from itertools import accumulate

import pytest
from optuna.trial import TrialState

from hpsearch.analysis.history import History
from hpsearch.report.charts.history import history_panels
from hpsearch.report.facts import Facts


def test_the_charts_show_the_history_of_the_study(study):
    by_trials, by_epochs = history_panels(Facts.of(study, 5)).charts
    history = History.of(study.trials, "val/accuracy")
    line = by_epochs.traces[-1]
    assert line["x"] == [*(each.epochs for each in history.improvements), history.spent]
    assert line["y"][-1] == pytest.approx(study.best_value, rel=1e-4)
    marked = sum(len(trace["x"]) for trace in by_trials.traces[:-1])
    assert marked == len(study.trials)
    assert by_trials.traces[-1]["y"] == sorted(by_trials.traces[-1]["y"])
    assert {trace["marker"]["symbol"] for trace in by_trials.traces[:-1]} == {
        "circle",
        "circle-open",
    }


def test_no_mark_is_better_than_the_best_so_far_when_trials_ran_at_the_same_time(
    make_trial, make_study
):
    trials = [make_trial(0, [0.1, 0.2, 0.9], seconds=60.0), make_trial(1, [0.5, 0.6], seconds=9.0)]
    _, by_epochs = history_panels(Facts.of(make_study(*trials), 5)).charts
    marked, line = by_epochs.traces
    assert dict(zip(marked["x"], marked["y"], strict=True)) == {3: 0.6, 5: 0.9}
    assert (line["x"], line["y"]) == ([1, 2, 3, 5, 5], [0.1, 0.5, 0.6, 0.9, 0.9])


def test_both_charts_have_the_same_axis_of_values(make_trial, make_study):
    facts = Facts.of(make_study(make_trial(0, [0.1, 0.8]), make_trial(1, [0.2, 0.9])), 5)
    by_trials, by_epochs = (chart.layout["yaxis"] for chart in history_panels(facts).charts)
    assert by_trials["range"] == by_epochs["range"] == pytest.approx([0.794, 0.906])


def test_the_line_against_trials_is_the_running_best(make_trial, make_study):
    values = [0.3, 0.5, 0.4, 0.7]
    facts = Facts.of(make_study(*(make_trial(n, [v]) for n, v in enumerate(values))), 5)
    line = history_panels(facts).charts[0].traces[-1]
    assert line["x"] == [1, 2, 3, 4, 4]
    assert line["y"] == [*accumulate([*values, 0.0], max)]


def test_a_trial_without_a_value_still_counts_on_the_axis_of_trials(make_trial, make_study):
    ends = [([0.3], TrialState.COMPLETE), ([], TrialState.PRUNED), ([0.5], TrialState.COMPLETE)]
    trials = [make_trial(slot, values, state=state) for slot, (values, state) in enumerate(ends)]
    interrupted = make_trial(3, [0.9], state=TrialState.FAIL)
    chart = history_panels(Facts.of(make_study(*trials, interrupted), 5)).charts[0]
    marked, line = chart.traces
    assert marked["x"] == [1, 3]
    assert (line["x"], line["y"]) == ([1, 3, 3], [0.3, 0.5, 0.5])
