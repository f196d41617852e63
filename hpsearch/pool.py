"""Worker processes on this machine, and the pipes between them and their parent.

A pipe carries slots, progress, stop and death. Nothing is shared: a lock or a counter in shared
memory would stay held by a process that was killed with it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError, Interrupted, StudyError
from hpsearch.forkserver import hidden_main, start_forkserver
from hpsearch.storage import storage_errors
from hpsearch.workers import work

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.objective import Objective
    from hpsearch.parent import Parent
    from hpsearch.tracking import Tracker

STOP = "stop"
WAKE_SECONDS = 0.2  # how long the parent waits for news before it looks at the clock
SAY_SECONDS = 0.1  # how often a worker tells of its epochs
END_SECONDS = 30.0  # how long a worker may take for an epoch after the study has failed
DEATHS = 3  # so many workers in a row that finish nothing end the study
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


def _serve(
    pipe: Connection,
    place: str,
    environment: Mapping[str, str],
    objective: Objective,
    study_name: str,
    storage: str,
    tracker: Tracker | None,
) -> None:
    """Be a worker process: the parent decides when it ends, and signals are the parent's."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
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
            work(objective, study_name, storage, tracker, PipeChannel(pipe, tracker))
    except HpsearchError as error:
        with suppress(OSError):
            pipe.send(("error", error))


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: int | None = None
    dismissed: bool = False  # it was told that there is nothing left to do


class Pool:
    """`jobs` worker processes; one that dies is replaced."""

    def __init__(self, jobs: int, parent: Parent, *work: Any) -> None:
        self.jobs, self.parent, self.work = jobs, parent, work
        self.context = start_forkserver()
        self.workers: list[_Worker] = []
        self.deaths = 0  # in a row
        self.buried = 0
        self.told: set[str] = set()
        self.stopping = False

    def run(self) -> None:
        """Have all slots done. Raises HpsearchError as a worker or the parent does."""
        try:
            self._fill()
            while self.workers:
                pipes = {worker.pipe: worker for worker in self.workers}
                for pipe in connection.wait(list(pipes), WAKE_SECONDS):
                    self._hear(pipes[pipe])  # type: ignore[index]
                self.parent.tick()
                if self.workers and self.parent.stopping():
                    self._stop()
        finally:
            self._end()

    def _fill(self) -> None:
        """Start as many workers as there is work for."""
        free = sum(worker.slot is None for worker in self.workers)
        for _ in range(min(self.jobs - len(self.workers), len(self.parent.todo) - free)):
            ours, theirs = self.context.Pipe()
            arguments = (theirs, os.getcwd(), dict(os.environ), *self.work)
            with hidden_main():
                process = self.context.Process(target=_serve, args=arguments, daemon=True)
                process.start()
            theirs.close()
            self.workers.append(_Worker(process, ours))

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, *news = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        match kind:
            case "next":
                self._give(worker)
            case "epoch":
                with suppress(Interrupted):  # `run` will say stop to all of them
                    self.parent.epoch(*news)
            case "finished":
                trial, lost = news
                self.deaths, worker.slot = 0, None
                if lost and self.parent.tracker is not None:
                    self.parent.tracker.lost = True
                self.parent.finished(trial)
            case "log":
                level, text = news
                if text not in self.told:
                    self.told.add(text)
                    logger.log(level, text)
            case "error":
                raise news[0]

    def _give(self, worker: _Worker) -> None:
        """Answer a worker that has nothing to do."""
        if worker.slot is not None:  # it dropped its trial, which others had closed
            self.parent.progress.running.pop(worker.slot, None)
            self.parent.take_stock()
        worker.slot = self.parent.next_slot()
        worker.dismissed = worker.slot is None
        with suppress(OSError):  # it has died, and will be heard of
            worker.pipe.send(worker.slot)

    def _bury(self, worker: _Worker) -> None:
        """Take leave of a worker that has ended; if it died, put another in its place."""
        self.workers.remove(worker)
        worker.process.join(END_SECONDS)
        worker.pipe.close()
        if worker.dismissed:
            return
        self.deaths += 1
        self.buried += 1
        if worker.process.pid is not None:
            self.parent.bury(worker.process.pid, worker.slot)
        if self.deaths >= DEATHS:
            raise StudyError(
                f"{DEATHS} worker processes in a row died before they finished a trial, the last "
                f"one of {_cause(worker.process.exitcode)}"
            )
        if not self.stopping:
            self._fill()

    def _stop(self) -> None:
        """Ask every worker to stop at its next epoch."""
        if not self.stopping:
            self.stopping = True
            for worker in self.workers:
                worker.dismissed = True
                with suppress(OSError):
                    worker.pipe.send(STOP)

    def _end(self) -> None:
        """See every worker off; after an error, some may still be at work."""
        self._stop()
        for worker in self.workers:
            worker.pipe.close()
        until = time.monotonic() + END_SECONDS
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
