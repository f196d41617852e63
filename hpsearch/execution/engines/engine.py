"""Running the slots of a study on the engine that suits the number of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hpsearch.execution.engines.executor import ExecutorEngine
from hpsearch.execution.engines.inline import InlineEngine
from hpsearch.execution.engines.processes import ProcessEngine
from hpsearch.execution.worker import WorkerTask

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Coordinator, RunOptions
    from hpsearch.execution.objective import WorkerObjective


class Engine(Protocol):
    """Where workers run. A new engine inherits the contract in tests/execution/engines/."""

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Have workers fill the coordinator's slots until none is left or it has a reason to stop.

        Every slot that a worker takes ends: its trial is finished in the storage, or free to be run
        again. Raises HpsearchError as a worker or the coordinator does.
        """


def build_engine(options: RunOptions) -> Engine:
    """Return the engine: a cluster, an executor, worker processes, or this process."""
    if options.cluster is not None:
        from hpsearch.execution.engines.dask import DaskEngine  # an extra

        return DaskEngine(options.cluster)
    if options.executor is not None:
        return ExecutorEngine(options.executor, options.jobs)
    return InlineEngine() if options.jobs == 1 else ProcessEngine(options.jobs)


def run_slots(coordinator: Coordinator, objective: WorkerObjective) -> None:
    """Run trials until all of the coordinator's slots are done or it has a reason to stop.

    Raises HpsearchError as a trial does, and StudyError if another process takes the study over.
    """
    options = coordinator.options
    engine = build_engine(options)
    task = WorkerTask(coordinator.study.study_name, options.storage, options.tracker)
    while coordinator.todo and not coordinator.reason:
        engine.run(coordinator, objective, task)
        if coordinator.lease.lost:
            raise coordinator.lease.lost
        coordinator.progress.running.clear()
        coordinator.recount()
