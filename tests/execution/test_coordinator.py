"""The coordinator: it hands out slots, counts trials and stops for a reason."""

import os
import time
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.errors import Interrupted, StudyError
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.settings.study import parse_settings
from hpsearch.storage.leases import Lease, this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import assigned_attributes, write_lease


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path / "s.journal"))


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage, study_name="s", direction="maximize")


@pytest.fixture
def lease(storage, study):
    lease = Lease(storage, study)
    lease.acquire()
    return lease


@pytest.fixture
def make_coordinator(storage, lease, make_settings):
    def make(stop=lambda: False, trials=5, retry_failed=False, **search):
        settings = make_settings(search={"trials": trials, **search})
        work = Work(settings=settings, slots=range(settings.search.slots))
        options = RunOptions(storage="unused", should_stop=stop, retry_failed=retry_failed)
        return Coordinator(storage, lease, work, options)

    return make


def finish(coordinator, slot, value, state=TrialState.COMPLETE):
    trial = create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        user_attrs={"slot": slot},
    )
    coordinator.study.add_trial(trial)
    coordinator.finished(coordinator.study.trials[-1])


# Slots


def test_every_slot_is_handed_out_once(make_coordinator):
    coordinator = make_coordinator()
    assert [coordinator.next_slot() for _ in range(6)] == [0, 1, 2, 3, 4, None]


def test_a_done_slot_is_not_handed_out_again(make_coordinator):
    finish(make_coordinator(), 1, 0.5)
    finish(make_coordinator(), 3, 0.5, TrialState.PRUNED)
    coordinator = make_coordinator()
    assert [coordinator.next_slot() for _ in range(4)] == [0, 2, 4, None]
    assert (coordinator.progress.done, coordinator.progress.started_with) == (2, 2)


def test_failed_slots_are_handed_out_again_on_request(make_coordinator, study):
    for _ in range(3):
        study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"slot": 1}))
    assert list(make_coordinator(trials=2).todo) == [0]
    coordinator = make_coordinator(trials=2, retry_failed=True)
    assert list(coordinator.todo) == [0, 1]
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"slot": 1}))
    coordinator.recount()
    assert list(coordinator.todo) == [0, 1]
    assert list(make_coordinator(trials=2).todo) == [0]


def leave_running(study, process):
    """Add a running trial in slot 0."""
    attributes = assigned_attributes(0, process)
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attributes))


def test_no_slot_is_handed_out_once_the_study_is_taken_over(make_coordinator, study, lease):
    coordinator = make_coordinator()
    assert coordinator.next_slot() == 0
    write_lease(study, lease.key, None)  # as a process does that takes it for dead
    assert coordinator.next_slot() is None
    assert coordinator.reason == "taken over"
    with pytest.raises(Interrupted):
        coordinator.epoch(0, 1)


def test_a_coordinator_that_lost_its_study_closes_no_trial_of_the_new_holder(
    make_coordinator, study, lease
):
    coordinator = make_coordinator()
    write_lease(study, lease.key, None)
    leave_running(study, replace(this_process(), machine="another boot"))
    coordinator.clean_up()
    assert study.trials[0].state is TrialState.RUNNING


def test_the_slot_of_a_dead_worker_is_handed_out_again(make_coordinator, study):
    coordinator = make_coordinator()
    assert [coordinator.next_slot() for _ in range(2)] == [0, 1]
    leave_running(study, this_process())
    coordinator.worker_died(os.getpid(), 0)
    assert study.trials[0].state is TrialState.FAIL
    assert (coordinator.progress.failed, list(coordinator.progress.running)) == (1, [1])
    assert [coordinator.next_slot() for _ in range(5)] == [0, 2, 3, 4, None]


def test_a_trial_that_a_dead_worker_finished_is_not_run_again(make_coordinator, study):
    coordinator = make_coordinator()
    coordinator.next_slot()
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"slot": 0}))
    coordinator.worker_died(os.getpid(), 0)
    assert (coordinator.progress.pruned, coordinator.progress.failed) == (1, 0)
    assert coordinator.next_slot() == 1


# Stop rules


def test_should_stop_interrupts_the_study(make_coordinator):
    coordinator = make_coordinator(stop=lambda: True)
    with pytest.raises(Interrupted):
        coordinator.epoch(0, 1)
    assert coordinator.next_slot() is None
    assert coordinator.reason == "interrupted"


def test_the_target_stops_the_study(make_coordinator):
    coordinator = make_coordinator(target=0.9)
    for slot, value in [(0, 0.5), (1, 0.899)]:
        finish(coordinator, slot, value)
        assert not coordinator.stopping()
    finish(coordinator, 2, 0.9)
    assert coordinator.next_slot() is None
    assert coordinator.reason == "target"
    assert make_coordinator(target=0.9).next_slot() is None  # a further start sees it as well
    assert make_coordinator(target=0.95).next_slot() == 3


def test_patience_counts_the_trials_since_the_best_one(make_coordinator):
    coordinator = make_coordinator(trials=10, patience=2)
    for slot, value in enumerate([0.5, 0.4, 0.6]):
        finish(coordinator, slot, value)
        assert not coordinator.stopping()
    finish(coordinator, 3, None, TrialState.PRUNED)
    assert not coordinator.stopping()
    finish(coordinator, 4, 0.6)  # as good is not better
    assert coordinator.stopping()
    assert coordinator.reason == "patience"
    assert make_coordinator(trials=10, patience=2).next_slot() is None
    assert make_coordinator(trials=10, patience=3).next_slot() == 5


def test_the_timeout_stops_the_study(make_coordinator):
    coordinator = make_coordinator(timeout=0.05)
    assert coordinator.next_slot() == 0
    time.sleep(0.06)
    with pytest.raises(Interrupted):
        coordinator.epoch(0, 1)
    assert coordinator.reason == "timeout"


def test_a_study_with_all_slots_done_has_no_reason_to_stop(make_coordinator):
    coordinator = make_coordinator(trials=1, timeout=0.01, patience=1, target=0.1)
    assert coordinator.next_slot() == 0
    finish(coordinator, 0, 0.5)
    time.sleep(0.02)
    assert coordinator.next_slot() is None
    assert coordinator.reason == ""


def test_a_failed_trial_ends_the_study(make_coordinator):
    coordinator = make_coordinator()
    trial = create_trial(state=TrialState.FAIL, user_attrs={"slot": 4, "reason": "a bug"})
    with pytest.raises(StudyError, match="trial s#4 failed: a bug; `hpsearch show s#4` says where"):
        coordinator.finished(trial)


def test_a_trial_of_a_users_model_that_fails_is_a_warning_unless_the_disk_is_full(
    make_coordinator, caplog
):
    table = {"name": "s", "model": {"train": "net.py:train"}, "search": {"metric": "val/loss"}}
    own = parse_settings(table, "s.toml")
    coordinator = make_coordinator()
    coordinator.work = replace(coordinator.work, settings=own)
    finish(coordinator, 0, 0.5)
    trial = create_trial(state=TrialState.FAIL, user_attrs={"slot": 1, "reason": "why"})
    coordinator.finished(trial)
    assert "trial s#1 failed: why" in caplog.text
    trial.user_attrs["no_try"] = True
    with pytest.raises(StudyError, match="trial s#1 failed: why"):
        coordinator.finished(trial)
    elsewhere = replace(this_process(), host="far", machine="another boot")
    trial.user_attrs |= assigned_attributes(1, elsewhere)
    with pytest.raises(StudyError, match="trial s#1 failed on far: why"):
        coordinator.finished(trial)
