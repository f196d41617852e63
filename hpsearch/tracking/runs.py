"""Finding runs by their tags, and ending those whose process was killed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from hpsearch.storage.leases import is_dead, is_local, this_process
from hpsearch.tracking.projection import ID, KIND, OF_TRIALS, PROCESS, SOURCE
from hpsearch.trials.records import ProcessId, ensure_study_id

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study

    from hpsearch.tracking.store import TrackingStore

WRITING_SECONDS = 600.0


def find_runs(
    store: TrackingStore, experiment_id: str, tags: Mapping[str, str], status: str = ""
) -> list[Run]:
    """Return the runs that have these tags and, if one is given, this status."""
    # MLflow's filters cannot contain every value, such as a study's name with quotes of both kinds.
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items() if "'" not in value]
    conditions += [f"attributes.status = '{status}'"] if status else []
    runs = store.client.search_runs([experiment_id], " and ".join(conditions))
    return [run for run in runs if tags.items() <= run.data.tags.items()]


def start_run(store: TrackingStore, experiment_id: str, tags: Mapping[str, str], name: str) -> Run:
    """Create a run of this process, which is none of a trial."""
    process = json.dumps(asdict(this_process()))
    return store.client.create_run(
        experiment_id, tags={**tags, **SOURCE, PROCESS: process}, run_name=name
    )


def end_run(store: TrackingStore, run_id: str, status: str) -> None:
    """End a run now with one of MLflow's statuses: FINISHED, FAILED or KILLED."""
    store.client.set_terminated(run_id, status, int(time.time() * 1000))


def end_runs_left(store: TrackingStore, experiment_id: str, tags: Mapping[str, str]) -> None:
    """End the runs with these tags that killed processes have left running, but none of a trial.

    The coordinator of a study looks after those of trials.
    """
    for run in find_runs(store, experiment_id, tags, "RUNNING"):
        if run.data.tags.get(KIND) not in OF_TRIALS and not _is_being_written(run):
            end_run(store, run.info.run_id, "KILLED")


def _is_being_written(run: Run) -> bool:
    """Whether a live process writes the run; one of another machine is given some minutes."""
    tag = run.data.tags.get(PROCESS)
    if tag is None:
        return False
    process = ProcessId(**json.loads(tag))
    if is_local(process):
        return not is_dead(process)
    return bool(time.time() - run.info.start_time / 1000 < WRITING_SECONDS)


def end_killed_runs(store: TrackingStore, experiment_id: str, study: Study) -> None:
    """End what killed processes have left running of `study`; raise TrackingError."""
    with store.errors():
        end_runs_left(store, experiment_id, {ID: ensure_study_id(study)})
