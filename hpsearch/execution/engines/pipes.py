"""A worker process: its end of the pipe, and how it begins and ends.

A pipe carries slots, progress, stop and death. Nothing is shared: a lock or a counter in shared
memory would stay held by a process that was killed with it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from hpsearch.errors import DataError, HpsearchError, Interrupted
from hpsearch.execution.worker import work
from hpsearch.storage.open import storage_errors

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.execution.objective import Objective
    from hpsearch.tracking.tracker import Tracker

STOP = "stop"
SAY_SECONDS = 0.1  # how often a worker tells of its epochs
_IMPORTED_BY = os.getpid()

logger = logging.getLogger(__name__)


class PipeChannel:
    """A worker's channel, over a pipe. A parent that is gone says stop by that."""

    def __init__(self, pipe: Connection, tracker: Tracker | None) -> None:
        self.pipe, self.tracker = pipe, tracker
        self.said = 0.0

    def next_slot(self) -> int | None:
        """Ask for a slot and wait for it."""
        try:
            self.pipe.send(("next",))
            answer = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return None if answer == STOP else answer

    def epoch(self, slot: int, epoch: int) -> None:
        """Tell of an epoch now and then; raise Interrupted if the parent said stop."""
        try:
            if self.pipe.poll() and self.pipe.recv() == STOP:
                raise Interrupted
            if time.monotonic() - self.said > SAY_SECONDS:
                self.said = time.monotonic()
                self.pipe.send(("epoch", slot, epoch))
        except (EOFError, OSError):
            raise Interrupted from None

    def finished(self, trial: FrozenTrial) -> None:
        """Hand the trial over."""
        with suppress(OSError):  # a parent that is gone need not know
            self.pipe.send(("finished", trial, self.tracker is not None and self.tracker.lost))


class _PipeLog(logging.Handler):
    """Sends what a worker has to say to its parent, who says it once for all of them."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self.pipe.send(("log", record.levelno, record.getMessage()))


def serve(
    pipe: Connection,
    place: str,
    environment: Mapping[str, str],
    recipe: Callable[[], Objective],
    digest: str,
    study_name: str,
    storage: str,
    tracker: Tracker | None,
) -> None:
    """Be a worker process. The parent decides when it ends; signals do not reach it."""
    log = logging.getLogger("hpsearch")
    log.addHandler(_PipeLog(pipe))
    log.propagate = False
    if os.getpid() == _IMPORTED_BY:
        logger.warning("workers start slowly: their server could not import %s", __name__)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    try:
        with storage_errors(storage):
            objective = recipe()
            if objective.data.digest != digest:
                raise DataError(f"data.source: {objective.data.source} has changed meanwhile")
            work(objective, study_name, storage, tracker, PipeChannel(pipe, tracker))
    except HpsearchError as error:
        with suppress(OSError):
            pipe.send(("error", error))
