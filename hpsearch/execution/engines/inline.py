"""Running: the slots of a claimed study, done here or in worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.execution.engines.processes import Pool
from hpsearch.execution.recovery import close_dead_trials
from hpsearch.execution.worker import work

if TYPE_CHECKING:
    from hpsearch.execution.coordinator import Parent
    from hpsearch.execution.objective import Objective


def run_slots(jobs: int, parent: Parent, objective: Objective, storage: str) -> None:
    """Do what `parent` has to do, `jobs` slots at a time, until it is done or `parent` stops it.

    storage: the URL where workers find the study. Raises HpsearchError as a trial does.
    """
    study, tracker = parent.study, parent.tracker
    if jobs == 1:
        work(objective, study.study_name, storage, tracker, parent)
        return
    while parent.todo and not parent.reason:
        pool = Pool(jobs, parent, objective, storage)
        try:
            pool.run()
        finally:
            if pool.buried:  # some of what they left was theirs alone to tell
                close_dead_trials(study)
                if tracker is not None and not tracker.lost:
                    tracker.sync(study)
        parent.progress.running.clear()
        parent.take_stock()
