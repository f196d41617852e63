"""The engine for several trials at a time: worker processes on this machine.

A worker that dies is replaced, and its slot is handed out again.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from hpsearch.errors import Interrupted, StudyError
from hpsearch.execution.engines.forkserver import held_signals, hidden_main, start_forkserver
from hpsearch.execution.engines.process_worker import ProcessStart, run_worker
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
from hpsearch.execution.resources import VISIBLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.execution.coordinator import Coordinator
    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask

WAKE_SECONDS = 0.2  # how long to wait for messages before stop rules are checked
END_SECONDS = 30.0  # how long a worker may take to end its epoch after the study has failed
MAX_DEATHS = 3  # this many workers in a row that die before they finish a trial end the study
KILL_SECONDS = 0.5

logger = logging.getLogger(__name__)


class ProcessEngine:
    """`jobs` worker processes. devices: the GPUs of each; () leaves them alone."""

    def __init__(self, jobs: int, devices: Sequence[str] = ()) -> None:
        self.jobs, self.devices = jobs, devices

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Fill the coordinator's slots, `jobs` at a time; see `Engine.run`."""
        pool = Pool(self.jobs, coordinator, objective, task, self.devices)
        try:
            pool.run()
        finally:
            if pool.any_died:
                coordinator.clean_up()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    devices: str | None = None
    slot: int | None = None
    has_finished: bool = False  # at least one trial
    dismissed: bool = False  # it was asked to end

    def send(self, message: ToWorker) -> None:
        """Send a message; a dead worker is noticed when its pipe is read."""
        with suppress(OSError):
            self.pipe.send(message)


@dataclass
class Pool:
    """The workers of one run of the engine."""

    jobs: int
    coordinator: Coordinator
    objective: WorkerObjective
    task: WorkerTask
    devices: Sequence[str] = ()
    any_died: bool = False
    _workers: list[_Worker] = field(default_factory=list)
    _deaths: int = 0  # in a row
    _logged: set[str] = field(default_factory=set)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._context = start_forkserver()

    def run(self) -> None:
        """Have all slots filled; raise HpsearchError as a worker or the coordinator does."""
        try:
            self._start_workers()
            while self._workers:
                pipes = {worker.pipe: worker for worker in self._workers}
                for pipe in connection.wait(list(pipes), WAKE_SECONDS):
                    self._receive(pipes[pipe])  # type: ignore[index]
                self.coordinator.tick()
                if self.coordinator.stopping():
                    self._stop()
        finally:
            self._end()

    def _start_workers(self) -> None:
        """Start as many workers as there is work for."""
        staying = [worker for worker in self._workers if not worker.dismissed]
        idle = sum(worker.slot is None for worker in staying)
        for _ in range(min(self.jobs - len(staying), len(self.coordinator.todo) - idle)):
            self._workers.append(self._start_worker())

    def _start_worker(self) -> _Worker:
        used = {worker.devices for worker in self._workers}
        devices = next((each for each in self.devices if each not in used), None)
        environment = dict(os.environ)
        if devices is not None:
            environment[VISIBLE] = devices
        start = ProcessStart(
            folder=os.getcwd(),
            environment=environment,
            recipe=self.objective.recipe,
            digest=self.objective.model.digest,
            task=self.task,
        )
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(theirs, start), daemon=True)
        try:
            with hidden_main(), held_signals():
                process.start()
        except (EOFError, OSError) as error:
            raise StudyError(f"no worker process can be started: {error}") from error
        theirs.close()
        return _Worker(process, ours, devices)

    def _receive(self, worker: _Worker) -> None:
        try:
            message: FromWorker = worker.pipe.recv()
        except (EOFError, OSError):
            self._worker_ended(worker)
            return
        match message:
            case SlotWanted():
                self._assign_slot(worker)
            case EpochEnded(slot, epoch):
                with suppress(Interrupted):  # `run` asks all workers to stop
                    self.coordinator.epoch(slot, epoch)
            case TrialEnded(trial, tracking_lost):
                self._deaths, worker.slot, worker.has_finished = 0, None, True
                self.coordinator.finished(trial, untracked=tracking_lost)
            case LogEntry(level, text):
                if text not in self._logged:
                    self._logged.add(text)
                    logger.log(level, text)
            case WorkerFailed(error):
                raise error
            case _:
                raise unknown(message)

    def _assign_slot(self, worker: _Worker) -> None:
        """Answer a worker that has nothing to do."""
        if worker.slot is not None:  # its trial was taken away: another process had closed it
            self.coordinator.slot_free(worker.slot)
        worker.slot = self.coordinator.next_slot()
        worker.dismissed = worker.slot is None
        worker.send(NothingLeft() if worker.slot is None else SlotAssigned(worker.slot))

    def _worker_ended(self, worker: _Worker) -> None:
        """Forget a worker that has ended; if it died, start another one in its place."""
        self._workers.remove(worker)
        worker.process.join(END_SECONDS)
        worker.pipe.close()
        if worker.dismissed:
            return
        self._deaths = 0 if worker.has_finished else self._deaths + 1
        self.any_died = True
        if worker.process.exitcode == -signal.SIGKILL:
            # Who kills one process after another is about to kill this one, and no trial failed.
            time.sleep(KILL_SECONDS)
        if worker.process.pid is not None:
            self.coordinator.worker_died(worker.process.pid, worker.slot)
        if self._deaths >= MAX_DEATHS:
            raise StudyError(
                f"{MAX_DEATHS} worker processes in a row died before they finished a trial, the "
                f"last one of {_cause(worker.process.exitcode)}"
            )
        if not self._stopping:
            self._start_workers()

    def _stop(self) -> None:
        """Ask every worker to stop after its current epoch."""
        if not self._stopping:
            self._stopping = True
            for worker in self._workers:
                worker.dismissed = True
                worker.send(StopRequested())

    def _end(self) -> None:
        """Wait until every worker has ended; after an error, some may still be running a trial."""
        self._stop()
        for worker in self._workers:
            worker.pipe.close()
        until = time.monotonic() + END_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
                self.any_died = True


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
