"""Recovery: closing the trials that killed processes left in the storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.storage.leases import is_dead, is_local
from hpsearch.trials.records import (
    assigned_slot,
    current_start,
    death_attributes,
    is_fenced,
    process_of,
    slot_of,
    write_current_start,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.trials.records import ProcessId

ORPHAN_SECONDS = 60.0  # how long to wait for workers whose coordinator was killed
POLL_SECONDS = 0.05


def close_dead_trials(
    storage: BaseStorage, study: Study, pid: int | None = None
) -> list[FrozenTrial]:
    """Mark the running trials whose process died as failed, and return them.

    pid: only the trials of this process on this machine, a worker that died by itself, which counts
    against their slots. Others died with their coordinator. The caller holds the lease on the
    study, so a worker on another machine has lost its coordinator, and its trial is closed as well.
    A trial that its worker finishes at the same moment stays as it is.
    """
    closed = []
    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in _running(study):
        process = process_of(trial)
        if not (_has_lost_its_coordinator(process) if pid is None else _runs_as(process, pid)):
            continue
        closed += _closed(storage, study_id, trial, is_try=pid is not None)
    return closed


def _closed(
    storage: BaseStorage, study_id: int, trial: FrozenTrial, *, is_try: bool
) -> list[FrozenTrial]:
    """Mark a running trial as failed, and return it; [] if its worker has just finished it."""
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    try:
        for key, value in death_attributes(is_try=is_try).items():
            storage.set_trial_user_attr(trial_id, key, value)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return []
    return [storage.get_trial(trial_id)]


def end_attempts(
    storage: BaseStorage,
    study: Study,
    slot: int,
    *,
    before: int | None = None,
    is_try: bool = True,
) -> list[FrozenTrial]:
    """Close the running attempts at a slot whose workers were given up, and return them.

    Such a worker may only be frozen, or cut off: from now on the storage refuses its every word.
    before: only trials with a smaller number. is_try: whether this counts against the slot.
    """
    study_id = storage.get_study_id_from_name(study.study_name)
    return [
        closed
        for trial in _attempts(study, slot)
        if before is None or trial.number < before
        for closed in _closed(storage, study_id, trial, is_try=is_try)
    ]


def is_superseded(study: Study, slot: int, number: int) -> bool:
    """Return whether a later attempt at the slot of trial `number` is running.

    Of two that begin at the same time, each has created its trial before it looks, so at least one
    sees the other, and the later one stays.
    """
    return any(trial.number > number for trial in _attempts(study, slot))


def _attempts(study: Study, slot: int) -> list[FrozenTrial]:
    return [trial for trial in _running(study) if assigned_slot(trial) == slot]


def wait_for_orphans(
    storage: BaseStorage, study: Study, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Wait for the workers of a killed coordinator, which stop after their current epoch.

    Those elsewhere find in the storage that they are to stop. After ORPHAN_SECONDS, trials that are
    fenced are closed; raises StudyError if another one still runs.
    """
    if current_start(study) is not None:
        write_current_start(study, None)
    study_id = storage.get_study_id_from_name(study.study_name)
    until = time.monotonic() + ORPHAN_SECONDS
    while True:
        close_dead_trials(storage, study)
        running = _running(study)
        if not running:
            return
        if time.monotonic() > until and any(map(is_fenced, running)):
            for trial in filter(is_fenced, running):
                _closed(storage, study_id, trial, is_try=False)
        elif time.monotonic() > until:
            process = process_of(running[0])
            number = "unknown" if process is None else process.pid
            raise StudyError(
                f"study '{study.study_name}': process {number}, whose coordinator was killed, "
                f"still works on trial {slot_of(running[0])}; try again when it has ended"
            )
        if should_stop():
            return
        time.sleep(POLL_SECONDS)


def _running(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _has_lost_its_coordinator(process: ProcessId | None) -> bool:
    return process is None or not is_local(process) or is_dead(process)


def _runs_as(process: ProcessId | None, pid: int) -> bool:
    return process is not None and is_local(process) and process.pid == pid
