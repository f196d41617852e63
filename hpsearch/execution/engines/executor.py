"""The engine for any PEP 3148 executor: loky, a process pool, or Dask's client.

An executor is handed one task for each slot, `run_slot`, as many at a time as it has processes. It
need not keep anything: the study is in the storage.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
import time
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from optuna.trial import TrialState

import hpsearch
from hpsearch.errors import Interrupted, StudyError
from hpsearch.execution.engines.slot_task import SlotOutcome, Start, run_slot, versions_of
from hpsearch.storage.open import KEPT
from hpsearch.trials.records import slot_of, write_current_start

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Coordinator
    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask

WAKE_SECONDS = 0.2  # how long to wait for a slot before stop rules are checked
PROGRESS_SECONDS = 0.5  # from one look at the running trials to the next
END_SECONDS = 30.0  # how long running trials may take to end their epoch
MAX_DEATHS = 3  # this many processes in a row that die before they finish a trial end the study

logger = logging.getLogger(__name__)


class ExecutorEngine:
    """`jobs` slots at a time on an executor, which stays open."""

    def __init__(self, executor: Executor, jobs: int) -> None:
        self.executor, self.jobs = executor, jobs

    def capacity(self) -> int:
        """Return how many slots may be under way now."""
        return self.jobs

    def submit(self, start: Start, slot: int) -> Future[SlotOutcome]:
        """Have a process of the executor fill a slot."""
        return self.executor.submit(run_slot, start, slot)

    def has_died(self, error: BaseException) -> bool:
        """Whether a task's error says that its process died, and not that it raised something."""
        return isinstance(error, CancelledError | BrokenExecutor)

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Fill the coordinator's slots; see `Engine.run`."""
        start = start_of(objective, task)
        write_current_start(coordinator.study, start.key)
        run = _Run(self, coordinator, start)
        try:
            run.until_done()
        finally:
            run.end()


class _Run:
    """The slots that are under way."""

    def __init__(self, engine: ExecutorEngine, coordinator: Coordinator, start: Start) -> None:
        self.engine, self.coordinator, self.start = engine, coordinator, start
        self.under_way: dict[Future[SlotOutcome], int] = {}
        self.any_died = False
        self._deaths = 0  # in a row
        self._looked = 0.0
        self._stopping = False
        self._said: set[str] = set()

    def until_done(self) -> None:
        """Hand out slots until none is left; raise HpsearchError as a worker does."""
        coordinator = self.coordinator
        while True:
            self._hand_out()
            if not self.under_way and (coordinator.stopping() or not coordinator.todo):
                return
            done, _ = wait(self.under_way, WAKE_SECONDS, FIRST_COMPLETED)
            if not self.under_way:
                time.sleep(WAKE_SECONDS)  # no process is there
            for future in done:
                self._take(future)
            self._show_progress()
            coordinator.tick()
            if coordinator.stopping():
                self._stop()

    def _hand_out(self) -> None:
        capacity = self.engine.capacity()
        while not self._stopping and len(self.under_way) < capacity:
            slot = self.coordinator.next_slot()
            if slot is None:
                return
            self.under_way[self.engine.submit(self.start, slot)] = slot

    def _take(self, future: Future[SlotOutcome]) -> None:
        """Count what came of a slot."""
        slot = self.under_way.pop(future)
        try:
            outcome = future.result()
        except Exception as error:
            if not self.engine.has_died(error):
                raise
            self._process_died(slot, error)
            return
        for warning in outcome.warnings:
            if warning not in self._said:
                self._said.add(warning)
                logger.warning("%s", warning)
        if outcome.error is not None:
            self.coordinator.slot_lost(slot, is_try=False)
            raise outcome.error
        if outcome.trial is None:
            self.coordinator.slot_free(slot)
            return
        self._deaths = 0
        self.coordinator.finished(outcome.trial, untracked=outcome.tracking_lost)

    def _process_died(self, slot: int, error: BaseException) -> None:
        """Have the slot filled again; the next attempt at it ends this one."""
        self.any_died = True
        self._deaths += 1
        self.coordinator.slot_lost(slot)
        if isinstance(error, BrokenExecutor):
            raise StudyError(
                f"the executor has lost a process and ended ({error}); {KEPT}"
            ) from error
        if self._deaths >= MAX_DEATHS:
            raise StudyError(
                f"{MAX_DEATHS} worker processes in a row died before they finished a trial; {KEPT}"
            ) from error

    def _show_progress(self) -> None:
        """Read from the storage how far the running trials are."""
        if time.monotonic() - self._looked < PROGRESS_SECONDS:
            return
        running = self.coordinator.progress.running
        trials = self.coordinator.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in trials:
            if trial.intermediate_values and slot_of(trial) in running:
                with suppress(Interrupted):  # `until_done` asks all to stop
                    self.coordinator.epoch(slot_of(trial), max(trial.intermediate_values))
        self._looked = time.monotonic()

    def _stop(self) -> None:
        """Have the running trials end after their epoch, and hand out no slot any more.

        Nothing that runs is cancelled: Dask would let go of it at once.
        """
        if not self._stopping:
            self._stopping = True
            write_current_start(self.coordinator.study, None)

    def end(self) -> None:
        """Wait until no process works for this start any more; close what dead ones left."""
        lost = self.coordinator.lease.lost is not None
        if not lost:  # else the study works for another coordinator already
            self._stop()
        _, running = wait(self.under_way, 0 if lost else END_SECONDS)
        if (self.any_died or running) and not lost:
            self.coordinator.clean_up()


def start_of(objective: WorkerObjective, task: WorkerTask) -> Start:
    """Return what a process needs to open the study."""
    files = _code_files(objective)
    modules = ["hpsearch", "numpy", "optuna", *_imports_of(files.values())]
    if objective.settings.model is None or objective.settings.model.estimator is not None:
        modules.append("sklearn")
    versions = versions_of(modules)
    return Start(
        key=uuid4().hex,
        folder=os.getcwd(),
        recipe=objective.recipe,
        task=task,
        model=objective.model.code,
        data=objective.model.digest,
        versions={name: version for name, version in versions.items() if version},
        code=files,
    )


def _code_files(objective: WorkerObjective) -> dict[str, bytes]:
    """Return the files of the study's own model by their path from the working directory.

    A file elsewhere is not sent: its host has to have it in the same place.
    """
    model, here = objective.settings.model, Path.cwd()
    sources = {} if model is None else model.sources
    files = {path.resolve() for source in sources.values() for path in source.code_files()}
    own = Path(hpsearch.__file__).parent
    return {
        str(file.relative_to(here)): file.read_bytes()
        for file in sorted(files)
        if file.is_relative_to(here) and not file.is_relative_to(own)
    }


def _imports_of(files: Any) -> list[str]:
    """Return the modules that Python files import and that have a version, by their first names."""
    found: set[str] = set()
    for content in files:
        with suppress(SyntaxError, ValueError):  # another language
            for node in ast.walk(ast.parse(content)):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return sorted(n for n in found if hasattr(sys.modules.get(n), "__version__"))
