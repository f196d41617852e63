"""The timeline, and what pruning saved."""

from datetime import datetime, timedelta

import pytest
from optuna.trial import TrialState

from hpsearch.report.charts.base import STATES
from hpsearch.report.charts.trials import (
    assign_rows,
    pruning_panels,
    savings_sentence,
    timeline_panels,
)
from hpsearch.report.facts import Facts, saved_by_pruning

START = datetime(2026, 1, 1, 12)


def test_savings_are_the_skipped_epochs_at_each_trials_own_seconds_per_epoch(
    make_trial, make_study
):
    trials = [
        make_trial(0, [0.5] * 10),
        make_trial(1, [0.1] * 4, state=TrialState.PRUNED, seconds=2.0),
        make_trial(2, [0.1], state=TrialState.PRUNED, seconds=3.0),
        make_trial(3, [0.1] * 2, state=TrialState.PRUNED, reason="diverged at epoch 3"),
        make_trial(4, [0.1] * 2, state=TrialState.FAIL),
    ]
    facts = Facts.of(make_study(*trials), 5)
    saved = saved_by_pruning(facts.trials)
    assert (saved.trials, saved.epochs, saved.diverged) == (2, 6 + 9, 1)
    assert saved.seconds == pytest.approx(6 * 2 + 9 * 3)
    text = savings_sentence(facts, saved)
    assert "15 more epochs, 44% of the 34 that the study would have run" in text
    assert "about 39 s more training, estimated from each trial's own seconds per epoch" in text
    assert "1 trial ended early because the loss was not finite (not counted here)" in text
    (chart,) = pruning_panels(facts, saved).charts
    assert (chart.traces[0]["x"], chart.traces[0]["y"]) == ([1, 4], [1, 1])


def test_the_sentence_mentions_early_stopping(make_trial, make_study):
    trial = make_trial(1, [0.1], state=TrialState.PRUNED)
    trial.user_attrs["setup"]["config"]["early_stopping"] = 3
    facts = Facts.of(make_study(make_trial(0, [0.5] * 10), trial), 5)
    text = savings_sentence(facts, saved_by_pruning(facts.trials))
    assert text.startswith("1 trial was pruned.")
    assert "less if early stopping would have ended a trial" in text


def test_the_timeline_has_a_trace_for_each_state_and_leaves_out_pauses(make_trial, make_study):
    trials = [
        make_trial(0, [0.5] * 10),
        make_trial(1, [0.1] * 4, state=TrialState.PRUNED),
        make_trial(2, [0.1] * 2, state=TrialState.FAIL),
    ]
    facts = Facts.of(make_study(*trials), 5)
    (chart,) = timeline_panels(facts, START).charts
    spans = {trace["y"][0]: trace["x"] for trace in chart.traces}
    assert spans == {0: [0, 10, None], 1: [10, 14, None], 2: [14, 16, None]}
    assert len({trace["line"]["color"] for trace in chart.traces}) == 3


def test_many_trials_share_rows_and_failures_are_on_top(make_trial, make_study):
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    trials = [make_trial(slot, [0.5] * 150, state=states[slot % 3]) for slot in range(150)]
    (chart,) = timeline_panels(Facts.of(make_study(*trials), 5), START).charts
    colours = [trace["line"]["color"] for trace in chart.traces]
    assert colours == [STATES["complete"], STATES["pruned"], STATES["failed"]]
    assert {row for trace in chart.traces for row in trace["y"]} == {1, 2, None}
    assert not any(trace["line"]["simplify"] for trace in chart.traces)
    times = [START + timedelta(seconds=n) for n in range(5)]
    spans = {7: (times[0], times[3]), 8: (times[1], times[2]), 9: (times[2], times[4])}
    assert assign_rows(spans) == {7: 1, 8: 2, 9: 2}
