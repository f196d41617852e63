"""Recovery: closing the trials that killed processes left in the storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.storage.leases import is_dead, is_local
from hpsearch.trials.records import death_attributes, process_of, slot_of

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
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        try:
            for key, value in death_attributes(is_try=pid is not None).items():
                storage.set_trial_user_attr(trial_id, key, value)
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            continue  # its worker is alive and has just finished it
        closed.append(storage.get_trial(trial_id))
    return closed


def wait_for_orphans(
    storage: BaseStorage, study: Study, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Wait for the workers of a killed coordinator, which stop after their current epoch.

    Raises StudyError if one of them still runs after ORPHAN_SECONDS.
    """
    until = time.monotonic() + ORPHAN_SECONDS
    while True:
        close_dead_trials(storage, study)
        running = _running(study)
        if not running:
            return
        if time.monotonic() > until:
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
