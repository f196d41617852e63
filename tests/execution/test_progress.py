"""Progress: the counts, the best value and the speed of a study."""

from itertools import count
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.execution import progress as progress_module
from hpsearch.execution.progress import Progress

NUMBERS = count()


def trial(state, slot, value=None):
    made = create_trial(state=TrialState[state], value=value, user_attrs={"slot": slot})
    made.number = next(NUMBERS)
    return made


@pytest.fixture
def clock(monkeypatch):
    """The time that progress is measured by; tests set it."""
    now = [100.0]
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.mark.parametrize(
    ("direction", "best", "slot"), [("maximize", 0.75, 3), ("minimize", 0.25, 5)]
)
def test_the_best_is_the_first_of_the_best_complete_trials(direction, best, slot):
    progress = Progress(range(9), max_epochs=10, direction=direction)
    assert (progress.best, progress.best_slot) == (None, None)
    progress.count(trial("PRUNED", 1, 0.875))
    progress.count(trial("FAIL", 2))
    for number, value in [(4, 0.5), (3, 0.75), (5, 0.25), (6, 0.75), (7, 0.25)]:
        progress.count(trial("COMPLETE", number, value))
    assert (progress.best, progress.best_slot) == (best, slot)


def test_slots_are_done_by_complete_and_pruned_trials():
    progress = Progress(range(9), max_epochs=10, direction="maximize")
    for state, value in [("COMPLETE", 0.5), ("PRUNED", None), ("PRUNED", 0.1), ("FAIL", None)]:
        progress.count(trial(state, 0, value))
    progress.count(trial("RUNNING", 1))
    assert (progress.complete, progress.pruned, progress.failed, progress.done) == (1, 2, 1, 3)


def test_work_counts_running_trials_by_their_epochs():
    progress = Progress(range(9), max_epochs=10, direction="maximize", complete=2, pruned=1)
    progress.running = {3: 5, 4: 1}
    assert progress.work_done == 3 + 0.5 + 0.1


def test_the_rate_counts_only_this_start(clock):
    progress = Progress(range(9), max_epochs=10, direction="maximize", started=clock[0])
    progress.complete = progress.started_with = 4
    progress.running = {4: 5}
    clock[0] += 0.25
    assert progress.rate == 0  # too early to say
    clock[0] += 1.75
    assert progress.rate == 0.5 / 2
    progress.complete, progress.running = 6, {}
    assert progress.rate == 2 / 2
