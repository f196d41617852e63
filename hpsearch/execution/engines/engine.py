"""Running the slots of a study on the engine that suits the number of jobs."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Protocol

from hpsearch.execution.engines.executor import ExecutorEngine
from hpsearch.execution.engines.inline import InlineEngine
from hpsearch.execution.engines.processes import ProcessEngine
from hpsearch.execution.resources import device_groups, most_at_a_time, needs_of
from hpsearch.execution.worker import WorkerTask
from hpsearch.storage.checkpoints import PLACE

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Coordinator, RunOptions
    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.settings.model import ModelSettings

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Where workers run. A new engine inherits the contract in tests/execution/engines/."""

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Have workers fill the coordinator's slots until none is left or it has a reason to stop.

        Every slot that a worker takes ends: its trial is finished in the storage, or free to be run
        again. Raises HpsearchError as a worker or the coordinator does.
        """


def build_engine(options: RunOptions, model: ModelSettings | None = None) -> Engine:
    """Return the engine: a cluster, an executor, worker processes, or this process.

    model: the study's [model] table, which may say what a trial needs. Raises SettingsError if this
    machine has less; where it has too little for all jobs, fewer run at a time.
    """
    needs = needs_of(model)
    if options.cluster is not None:
        from hpsearch.execution.engines.dask import DaskEngine  # an extra

        return DaskEngine(options.cluster, needs)
    if options.executor is not None:
        return ExecutorEngine(options.executor, options.jobs)
    jobs, most = options.jobs, most_at_a_time(needs, options.gpus)
    if most is not None and jobs > most:
        logger.warning("%d trials fit this machine at a time, and not %d", most, jobs)
        jobs = most
    if options.gpus:
        return ProcessEngine(jobs, device_groups(needs, options.gpus))
    return InlineEngine() if jobs == 1 else ProcessEngine(jobs)


def run_slots(coordinator: Coordinator, objective: WorkerObjective) -> None:
    """Run trials until all of the coordinator's slots are done or it has a reason to stop.

    Raises HpsearchError as a trial does, and StudyError if another process takes the study over.
    """
    options = coordinator.options
    engine = build_engine(options, objective.settings.model)
    name, checkpoints = coordinator.study.study_name, os.environ.get(PLACE, "")
    task = WorkerTask(name, options.storage, options.tracker, checkpoints)
    while coordinator.todo and not coordinator.reason:
        engine.run(coordinator, objective, task)
        if coordinator.lease.lost:
            raise coordinator.lease.lost
        coordinator.progress.running.clear()
        coordinator.recount()
