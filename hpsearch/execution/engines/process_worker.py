"""A worker process: its end of the pipe, how it starts and how it ends.

The pipe carries the messages of `execution.messages`. When it closes, the other side has ended.
Nothing is shared: a killed process would never release a lock in shared memory.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from hpsearch.errors import DataError, HpsearchError, Interrupted
from hpsearch.execution.messages import (
    EpochEnded,
    FromWorker,
    LogEntry,
    NothingLeft,
    SlotAssigned,
    SlotWanted,
    StopRequested,
    ToWorker,
    TrialEnded,
    WorkerFailed,
    unknown,
)
from hpsearch.execution.worker import work
from hpsearch.storage.open import KEPT, storage_errors

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask
    from hpsearch.tracking.tracker import Tracker

EPOCH_SECONDS = 0.1  # a worker reports its epochs at most this often
_IMPORTED_BY = os.getpid()

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessStart:
    """What a worker process is started with: the state of its parent, and its task.

    recipe: a function that makes the objective. digest: that of the data it must load.
    """

    folder: str
    environment: Mapping[str, str]
    recipe: Callable[[], WorkerObjective]
    digest: str
    task: WorkerTask


class PipeChannel:
    """A worker's channel over a pipe; when the coordinator is gone, it asks the worker to stop."""

    def __init__(self, pipe: Connection, tracker: Tracker | None) -> None:
        self.pipe, self.tracker = pipe, tracker
        self._reported = 0.0

    def next_slot(self) -> int | None:
        """Ask for a slot and wait for it; None ends the worker."""
        try:
            self._send(SlotWanted())
            answer = self._receive()
        except (EOFError, OSError):
            return None
        match answer:
            case SlotAssigned(slot):
                return slot
            case NothingLeft() | StopRequested():
                return None
        raise unknown(answer)

    def epoch(self, slot: int, epoch: int) -> None:
        """Report an epoch now and then; raise Interrupted if the coordinator wants to stop."""
        try:
            if self.pipe.poll():
                message = self._receive()
                if not isinstance(message, StopRequested):
                    raise unknown(message)
                raise Interrupted
            if time.monotonic() - self._reported > EPOCH_SECONDS:
                self._reported = time.monotonic()
                self._send(EpochEnded(slot, epoch))
        except (EOFError, OSError):
            raise Interrupted from None

    def finished(self, trial: FrozenTrial) -> None:
        """Report a trial that has ended."""
        lost = self.tracker is not None and self.tracker.lost
        with suppress(OSError):  # the coordinator is gone: the storage has the trial
            self._send(TrialEnded(trial, lost))

    def _send(self, message: FromWorker) -> None:
        self.pipe.send(message)

    def _receive(self) -> ToWorker:
        message: ToWorker = self.pipe.recv()
        return message


class _PipeLog(logging.Handler):
    """Sends warnings to the coordinator, which logs the same warning of several workers once."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.pipe.send(LogEntry(record.levelno, record.getMessage()))


def run_worker(pipe: Connection, start: ProcessStart) -> None:
    """Run as a worker process, in which signals are blocked, until the coordinator ends it."""
    log = logging.getLogger("hpsearch")
    log.addHandler(_PipeLog(pipe))
    log.propagate = False
    if os.getpid() == _IMPORTED_BY:
        logger.warning("workers start slowly: their server could not import %s", __name__)
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    try:
        with storage_errors(start.task.storage, hint=KEPT):
            objective = start.recipe()
            if objective.model.digest != start.digest:
                source = objective.settings.data.source
                raise DataError(f"data.source: {source} has changed since the study was started")
            work(objective, start.task, PipeChannel(pipe, start.task.tracker))
    except HpsearchError as error:
        with suppress(OSError):
            pipe.send(WorkerFailed(error))
