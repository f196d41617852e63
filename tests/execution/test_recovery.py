"""Recovery: trials of dead processes are closed, live ones are left alone or waited for."""

import os
import threading
from dataclasses import replace

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.execution import recovery
from hpsearch.execution.recovery import close_dead_trials, wait_for_orphans
from hpsearch.storage.leases import this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import ProcessId, assigned_attributes, is_failed_try, reason_of


@pytest.fixture(params=["journal", "database"])
def storage(request, tmp_path):
    if request.param == "journal":
        return open_storage(str(tmp_path / "s.journal"))
    return RDBStorage(f"sqlite:///{tmp_path / 's.db'}")  # Optuna warns of heartbeats after `ask`


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage, study_name="s", direction="maximize")


def leave_running(study, process, slot=0, *, fenced=False):
    """Ask for a trial and leave it running; process: None leaves it without one."""
    trial = study.ask()
    if process is not None:
        for key, value in assigned_attributes(slot, process, fenced=fenced).items():
            trial.set_user_attr(key, value)
    return trial


DEAD = [replace(this_process(), started=1.5e9), None, ProcessId("elsewhere", 1, 1e9)]


@pytest.mark.parametrize("process", DEAD)
def test_trials_of_dead_processes_and_other_hosts_are_closed(storage, study, process):
    leave_running(study, process)
    (closed,) = close_dead_trials(storage, study)
    (trial,) = study.trials
    assert closed.number == trial.number
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "process died")
    assert close_dead_trials(storage, study) == []
    wait_for_orphans(storage, study)


def test_a_death_with_the_coordinator_is_no_try_of_the_slot_and_that_of_a_worker_is(storage, study):
    leave_running(study, replace(this_process(), started=1.5e9))
    leave_running(study, this_process())
    assert [t.number for t in close_dead_trials(storage, study)] == [0]
    assert [t.number for t in close_dead_trials(storage, study, os.getpid())] == [1]
    assert [is_failed_try(trial) for trial in study.trials] == [False, True]


def test_only_the_trials_of_a_dead_worker_are_closed(storage, study):
    leave_running(study, None)  # of another program
    leave_running(study, replace(this_process(), pid=1))
    assert close_dead_trials(storage, study, os.getpid()) == []
    leave_running(study, this_process())
    assert [trial.number for trial in close_dead_trials(storage, study, os.getpid())] == [2]


def test_it_waits_for_an_orphan(storage, study):
    trial = leave_running(study, this_process())
    threading.Timer(0.3, lambda: study.tell(trial, state=TrialState.FAIL)).start()
    wait_for_orphans(storage, study)
    assert "reason" not in study.trials[0].user_attrs


def test_an_orphan_that_keeps_running_is_named(storage, study, monkeypatch):
    monkeypatch.setattr(recovery, "ORPHAN_SECONDS", 0.1)
    leave_running(study, this_process(), slot=7)
    who = f"process {os.getpid()}, whose coordinator was killed, still works on trial 7"
    with pytest.raises(StudyError, match=who):
        wait_for_orphans(storage, study)
    assert study.trials[0].state is TrialState.RUNNING


def test_an_orphan_whose_process_stays_is_closed_in_the_end(storage, study, monkeypatch):
    monkeypatch.setattr(recovery, "ORPHAN_SECONDS", 0.1)
    trial = leave_running(study, this_process(), fenced=True)
    wait_for_orphans(storage, study)
    assert (study.trials[0].state, is_failed_try(study.trials[0])) == (TrialState.FAIL, False)
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(0.5, 1)


@pytest.mark.parametrize("before", ["set_trial_user_attr", "set_trial_state_values"])
def test_a_trial_that_ends_at_the_same_moment_stays_as_it_is(storage, study, monkeypatch, before):
    leave_running(study, replace(this_process(), started=1.5e9))
    original = getattr(storage, before)

    def finish_first(trial_id, *arguments, **options):
        monkeypatch.undo()
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
        return original(trial_id, *arguments, **options)

    monkeypatch.setattr(storage, before, finish_first)
    assert close_dead_trials(storage, study) == []
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert reason_of(trial) is None
