"""The engine for one trial at a time: the worker runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.execution.worker import work

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Coordinator
    from hpsearch.execution.objective import WorkerObjective
    from hpsearch.execution.worker import WorkerTask


class InlineEngine:
    """One worker in this process; the coordinator is its channel."""

    def run(self, coordinator: Coordinator, objective: WorkerObjective, task: WorkerTask) -> None:
        """Fill the coordinator's slots one after the other; see `Engine.run`."""
        work(objective, task, coordinator, coordinator.storage)
