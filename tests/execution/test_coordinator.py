"""The parent's side: slots, stop rules, and what the dead left behind."""

import os
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.errors import Interrupted, StudyError
from hpsearch.execution import coordinator as parent_module
from hpsearch.execution.coordinator import Parent
from hpsearch.execution.recovery import close_dead_trials, wait_for_orphans
from hpsearch.storage.leases import Claim, this_process
from hpsearch.storage.open import open_storage


@pytest.fixture
def study(tmp_path):
    storage = open_storage(str(tmp_path / "s.journal"))
    return optuna.create_study(storage=storage, study_name="s", direction="maximize")


@pytest.fixture
def make_parent(study, make_settings):
    def make(stop=lambda: False, trials=5, **search):
        settings = make_settings(search={"trials": trials, **search})
        wanted = range(settings.search.slots)
        return Parent(study, settings, wanted, None, lambda _: None, stop, Claim(study))

    return make


def finish(parent, slot, value, state=TrialState.COMPLETE):
    trial = create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        user_attrs={"slot": slot},
    )
    parent.study.add_trial(trial)
    parent.finished(parent.study.trials[-1])


def leave_running(study, process, slot=0):
    trial = study.ask()
    trial.set_user_attr("slot", slot)
    if process is not None:
        trial.set_user_attr("process", process)
    return trial


# Slots


def test_every_slot_is_handed_out_once(make_parent):
    parent = make_parent()
    assert [parent.next_slot() for _ in range(6)] == [0, 1, 2, 3, 4, None]


def test_what_is_done_is_not_handed_out(make_parent):
    finish(make_parent(), 1, 0.5)
    finish(make_parent(), 3, 0.5, TrialState.PRUNED)
    parent = make_parent()
    assert [parent.next_slot() for _ in range(4)] == [0, 2, 4, None]
    assert (parent.progress.done, parent.progress.started_with) == (2, 2)


def test_the_slot_of_a_dead_worker_is_handed_out_again(make_parent, study):
    parent = make_parent()
    assert [parent.next_slot() for _ in range(2)] == [0, 1]
    leave_running(study, this_process(), slot=0)
    parent.bury(os.getpid(), 0)
    assert study.trials[0].state is TrialState.FAIL
    assert (parent.progress.failed, list(parent.progress.running)) == (1, [1])
    assert [parent.next_slot() for _ in range(5)] == [0, 2, 3, 4, None]


def test_what_a_dead_worker_finished_is_not_done_again(make_parent, study):
    parent = make_parent()
    parent.next_slot()
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"slot": 0}))
    parent.bury(os.getpid(), 0)
    assert (parent.progress.pruned, parent.progress.failed) == (1, 0)
    assert parent.next_slot() == 1


# Stop rules


def test_a_signal_stops(make_parent):
    parent = make_parent(stop=lambda: True)
    with pytest.raises(Interrupted):
        parent.epoch(0, 1)
    assert parent.next_slot() is None
    assert parent.reason == "interrupted"


def test_target(make_parent):
    parent = make_parent(target=0.9)
    for slot, value in [(0, 0.5), (1, 0.899)]:
        finish(parent, slot, value)
        assert not parent.stopping()
    finish(parent, 2, 0.9)
    assert parent.next_slot() is None
    assert parent.reason == "target"
    assert make_parent(target=0.9).next_slot() is None  # a further start sees it as well
    assert make_parent(target=0.95).next_slot() == 3


def test_patience_counts_what_was_done_since_the_best(make_parent):
    parent = make_parent(trials=10, patience=2)
    for slot, value in enumerate([0.5, 0.4, 0.6]):
        finish(parent, slot, value)
        assert not parent.stopping()
    finish(parent, 3, None, TrialState.PRUNED)
    assert not parent.stopping()
    finish(parent, 4, 0.6)  # as good is not better
    assert parent.stopping()
    assert parent.reason == "patience"
    assert make_parent(trials=10, patience=2).next_slot() is None
    assert make_parent(trials=10, patience=3).next_slot() == 5


def test_timeout(make_parent):
    parent = make_parent(timeout=0.05)
    assert parent.next_slot() == 0
    time.sleep(0.06)
    with pytest.raises(Interrupted):
        parent.epoch(0, 1)
    assert parent.reason == "timeout"


def test_what_is_done_was_not_stopped(make_parent):
    parent = make_parent(trials=1, timeout=0.01, patience=1, target=0.1)
    assert parent.next_slot() == 0
    finish(parent, 0, 0.5)
    time.sleep(0.02)
    assert parent.next_slot() is None
    assert parent.reason == ""


def test_a_failed_trial_ends_the_study(make_parent):
    parent = make_parent()
    trial = create_trial(state=TrialState.FAIL, user_attrs={"slot": 4, "reason": "a bug"})
    with pytest.raises(StudyError, match="trial s#4 failed: a bug; `hpsearch show s#4` says where"):
        parent.finished(trial)


# The dead


DEAD = [this_process() | {"started": 1.5e9}, None, {"host": "elsewhere", "pid": 1, "started": 1e9}]


@pytest.mark.parametrize("process", DEAD)
def test_trials_of_the_dead_and_of_other_hosts_are_closed(study, process):
    leave_running(study, process)
    (closed,) = close_dead_trials(study)
    (trial,) = study.trials
    assert closed.number == trial.number
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "process died")
    assert close_dead_trials(study) == []
    wait_for_orphans(study)


def test_of_one_dead_process_only_its_own_are_closed(study):
    leave_running(study, None)  # of another worker, which is about to say so
    leave_running(study, this_process() | {"pid": 1})
    assert close_dead_trials(study, os.getpid()) == []
    leave_running(study, this_process())
    assert [trial.number for trial in close_dead_trials(study, os.getpid())] == [2]


def test_an_orphan_is_waited_for(study):
    trial = leave_running(study, this_process())
    threading.Timer(0.3, lambda: study.tell(trial, state=TrialState.FAIL)).start()
    wait_for_orphans(study)
    assert "reason" not in study.trials[0].user_attrs


def test_an_orphan_that_goes_on_is_named(study, monkeypatch):
    monkeypatch.setattr(parent_module, "ORPHAN_SECONDS", 0.1)
    leave_running(study, this_process(), slot=7)
    who = f"process {os.getpid()}, whose parent was killed, still works on trial 7"
    with pytest.raises(StudyError, match=who):
        wait_for_orphans(study)
    assert study.trials[0].state is TrialState.RUNNING
