"""Worker processes on this machine: started, heard, told to stop, and replaced when they die."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from hpsearch.errors import Interrupted, StudyError
from hpsearch.execution.engines.forkserver import held_signals, hidden_main, start_forkserver
from hpsearch.execution.engines.pipes import STOP, serve

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Parent
    from hpsearch.execution.objective import Objective

WAKE_SECONDS = 0.2  # how long the parent waits for news before it looks at the clock
END_SECONDS = 30.0  # how long a worker may take for an epoch after the study has failed
DEATHS = 3  # so many workers in a row that finish nothing end the study

logger = logging.getLogger(__name__)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: int | None = None
    finished: bool = False  # a trial, sometime
    dismissed: bool = False  # it was told that there is nothing left to do


class Pool:
    """`jobs` worker processes; one that dies is replaced."""

    def __init__(self, jobs: int, parent: Parent, objective: Objective, storage: str) -> None:
        self.jobs, self.parent = jobs, parent
        name, tracker = parent.study.study_name, parent.tracker
        self.work = objective.recipe, objective.data.digest, name, storage, tracker
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
                if self.parent.stopping():
                    self._stop()
        finally:
            self._end()

    def _fill(self) -> None:
        """Start as many workers as there is work for."""
        staying = [worker for worker in self.workers if not worker.dismissed]
        free = sum(worker.slot is None for worker in staying)
        for _ in range(min(self.jobs - len(staying), len(self.parent.todo) - free)):
            ours, theirs = self.context.Pipe()
            arguments = (theirs, os.getcwd(), dict(os.environ), *self.work)
            process = self.context.Process(target=serve, args=arguments, daemon=True)
            try:
                with hidden_main(), held_signals():
                    process.start()
            except (EOFError, OSError) as error:
                raise StudyError(f"no worker process can be started: {error}") from error
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
                self.deaths, worker.slot, worker.finished = 0, None, True
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
        self.deaths = 0 if worker.finished else self.deaths + 1
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
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
                self.buried += 1


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
