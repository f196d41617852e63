"""The history of a search: the best value so far against epochs and seconds."""

import math
from datetime import datetime, timedelta

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.history import History

MORNING = datetime(2026, 1, 1, 8)


def trial(minute, *accuracies, state=TrialState.COMPLETE):
    """A trial that ended at the given minute."""
    curves = {"val/accuracy": list(accuracies), "val/loss": [1 - a for a in accuracies]}
    value = max(accuracies) if state is TrialState.COMPLETE else None
    made = create_trial(state=state, value=value, user_attrs={"curves": curves})
    made.datetime_complete = MORNING + timedelta(minutes=minute)
    return made


@pytest.fixture
def trials():
    running = trial(0, 0.99)
    running.datetime_complete = None
    pruned = trial(2, 0.6, 0.8, state=TrialState.PRUNED)
    return [trial(3, 0.7, 0.9, 0.85), pruned, running, trial(1, 0.5, 0.4, 0.6)]


def test_trials_count_in_the_order_in_which_they_ended_and_pruned_ones_count(trials):
    history = History.of(trials, "val/accuracy")
    improved = [(each.epochs, each.value) for each in history.improvements]
    assert improved == [(1, 0.5), (3, 0.6), (5, 0.8), (7, 0.9)]
    assert (history.spent, history.trials, history.best) == (8, 3, 0.9)
    assert history.ends == [3, 5, 8]


def test_a_lower_loss_is_an_improvement(trials):
    history = History.of(trials, "val/loss")
    assert [each.epochs for each in history.improvements] == [1, 3, 5, 7]
    assert history.best == pytest.approx(0.1)
    assert history.epochs_until(0.41) == (3, True)
    assert history.epochs_until(0.05) == (8, False)


def test_epochs_until_a_target_and_whether_it_was_reached(trials):
    history = History.of(trials, "val/accuracy")
    assert history.epochs_until(0.6) == (3, True)
    assert history.epochs_until(0.61) == (5, True)
    assert history.epochs_until(0.95) == (8, False)


def test_the_best_after_a_number_of_epochs(trials):
    history = History.of(trials, "val/accuracy")
    best = history.best_after(np.array([0, 1, 2, 3, 4, 5, 7, 100]))
    np.testing.assert_array_equal(best, [math.nan, 0.5, 0.5, 0.6, 0.6, 0.8, 0.9, 0.9])


def test_a_history_without_trials_is_empty():
    history = History.of([], "val/accuracy")
    assert math.isnan(history.best)
    assert history.epochs_until(0.1) == (0, False)


def ran(start, end, *accuracies, state=TrialState.COMPLETE, times=()):
    """A trial that ran from minute `start` to minute `end`; its epochs ended at `times`."""
    made = trial(end, *accuracies, state=state)
    made.datetime_start = MORNING + timedelta(minutes=start)
    made.user_attrs["curves"]["times"] = [
        int((MORNING + timedelta(minutes=minute)).timestamp() * 1000) for minute in times
    ]
    return made


def seconds_of(history):
    return [each.seconds for each in history.improvements]


def test_only_seconds_in_which_a_trial_ran_count():
    successive = [ran(0, 1, 0.5), ran(1, 3, 0.6)]
    parallel = [ran(10, 14, 0.8), ran(11, 13, 0.7)]  # after a break of seven minutes
    history = History.of(successive + parallel, "val/accuracy")
    assert seconds_of(history) == [60, 180, 360, 420]
    assert history.elapsed == 420
    best = history.best_within(np.array([0.0, 59.9, 60.0, 180.0, 400.0, 9e9]))
    np.testing.assert_array_equal(best, [math.nan, math.nan, 0.5, 0.6, 0.7, 0.8])


def test_a_killed_trial_ended_with_its_last_epoch():
    killed = ran(2, 600, 0.9, state=TrialState.FAIL, times=[3])  # marked as failed in the evening
    nothing = ran(2, 600, 0.1, state=TrialState.FAIL)
    history = History.of([ran(0, 1, 0.5), killed, nothing, ran(600, 601, 0.95)], "val/accuracy")
    assert seconds_of(history) == [60, 120, 180]
    assert (history.trials, len(history.ends)) == (2, 4)


def test_an_improvement_counts_from_the_end_of_its_epoch():
    one = ran(0, 10, 0.5, 0.4, 0.6, 0.7, times=[1, 2, 3, 10])
    other = ran(20, 30, 0.8, 0.9, times=[21, 30])  # after a break of ten minutes
    history = History.of([one, other], "val/accuracy")
    assert history.improvements == [
        (1, 60, 0.5),
        (3, 180, 0.6),
        (4, 600, 0.7),
        (5, 660, 0.8),
        (6, 1200, 0.9),
    ]
    assert (history.ends, history.elapsed) == ([4, 6], 1200)


def test_epochs_of_parallel_trials_count_in_the_order_in_which_they_ended():
    long = ran(0, 8, 0.5, 0.7, 0.9, 0.95, times=[2, 4, 6, 8])
    short = ran(1, 5, 0.6, 0.8, times=[3, 5])
    history = History.of([long, short], "val/accuracy")
    improved = [(each.epochs, each.seconds / 60) for each in history.improvements]
    assert improved == [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 8)]
    assert history.ends == [4, 6]  # the long trial had run two epochs when the short one ended
    assert history.epochs_until(0.8) == (4, True)


def test_epochs_stay_in_order_and_within_their_trial_if_the_clock_changes():
    set_back = ran(10, 20, 0.5, 0.6, 0.7, times=[15, 9, 12])
    ahead = ran(30, 40, 0.8, 0.9, times=[25, 50])
    history = History.of([set_back, ahead], "val/accuracy")
    assert [each.value for each in history.improvements] == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert seconds_of(history) == [300, 300, 300, 600, 1200]
