"""TODO."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpsearch.errors import StudyError
from hpsearch.storage.leases import PROCESS, is_dead
from hpsearch.trials.slots import slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


ORPHAN_SECONDS = 60.0


def close_dead_trials(study: Study, pid: int | None = None) -> list[FrozenTrial]:
    """Tell Optuna that trials whose process died have failed, and return them as they are then.

    pid: only those of this process of this host. The study has to be claimed: then whoever is at
    work on it on another host has lost its parent, and its trial is closed as well.
    """
    closed = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get(PROCESS)
        if pid is None:
            dead = process is None or process["host"] != socket.gethostname() or is_dead(process)
        else:
            dead = process is not None and process["pid"] == pid
        if dead:
            try:
                study._storage.set_trial_user_attr(trial._trial_id, "reason", "process died")
                closed.append(study.tell(trial.number, state=TrialState.FAIL))
            except UpdateFinishedTrialError:
                continue  # it was alive after all, and has just finished
    return closed


def wait_for_orphans(study: Study, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Wait for workers that a killed parent left behind; they end with their epoch.

    Raises StudyError if one goes on for long.
    """
    until = time.monotonic() + ORPHAN_SECONDS
    while True:
        close_dead_trials(study)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return
        if time.monotonic() > until:
            pid = running[0].user_attrs[PROCESS]["pid"]
            raise StudyError(
                f"study '{study.study_name}': process {pid}, whose parent was killed, still works "
                f"on trial {slot_of(running[0])}; try again when it has ended"
            )
        if should_stop():
            return
        time.sleep(0.05)
