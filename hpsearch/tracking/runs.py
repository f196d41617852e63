"""Finding runs by their tags, and ending those whose process was killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpsearch.tracking.projection import ID, KIND, OF_TRIALS
from hpsearch.trials.records import ensure_study_id

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.study import Study

    from hpsearch.tracking.store import TrackingStore


def find_runs(
    store: TrackingStore, experiment_id: str, tags: Mapping[str, str], status: str = ""
) -> list[Run]:
    """Return the runs that have these tags and, if one is given, this status."""
    # MLflow's filters cannot contain every value, such as a study's name with quotes of both kinds.
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items() if "'" not in value]
    conditions += [f"attributes.status = '{status}'"] if status else []
    runs = store.client.search_runs([experiment_id], " and ".join(conditions))
    return [run for run in runs if tags.items() <= run.data.tags.items()]


def end_run(store: TrackingStore, run_id: str, status: str) -> None:
    """End a run now with one of MLflow's statuses: FINISHED, FAILED or KILLED."""
    store.client.set_terminated(run_id, status, int(time.time() * 1000))


def end_runs_left(store: TrackingStore, experiment_id: str, tags: Mapping[str, str]) -> None:
    """End the runs with these tags that killed processes have left running, but none of a trial.

    The coordinator of a study looks after those of trials.
    """
    for run in find_runs(store, experiment_id, tags, "RUNNING"):
        if run.data.tags.get(KIND) not in OF_TRIALS:
            end_run(store, run.info.run_id, "KILLED")


def end_killed_runs(store: TrackingStore, experiment_id: str, study: Study) -> None:
    """End what killed processes have left running of `study`; raise TrackingError."""
    with store.errors():
        end_runs_left(store, experiment_id, {ID: ensure_study_id(study)})
