"""The queue of the service: which studies are wanted, as they say in the storage themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ConflictError
from hpsearch.search.study import opened
from hpsearch.settings.names import NEW_NAME
from hpsearch.storage.catalog import find_evaluation, study_settings
from hpsearch.storage.open import storage_errors
from hpsearch.trials.records import (
    Wish,
    own_trials,
    wish_of,
    write_stop_request,
    write_study_file,
    write_wish,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.execution.coordinator import RunOptions
    from hpsearch.settings.study import StudySettings


def submit(
    settings: StudySettings,
    name: str,
    options: RunOptions,
    *,
    priority: int = 0,
    by: str = "",
) -> tuple[Study, bool]:
    """Create the study called `name` and want it to run; return it, and whether it is new.

    It may be submitted twice. by: who submits it. Raises ConflictError if it is there with another
    number of trials, and StudyError if it searches something else.
    """
    study, _, objective = opened(settings, name, options)
    with storage_errors(options.storage):
        wish, trials = wish_of(study), objective.settings.search.trials
        if wish is None and not own_trials(study):
            want(study, "run", priority=priority, jobs=options.jobs, by=by)
            return study, True
        known = study_settings(study).search.trials
        if known != trials:
            raise ConflictError(
                f"study '{name}' exists already, with {known} trials; change that, or use ",
                NEW_NAME,
                " for a new study",
            )
    return study, False


def want(
    study: Study,
    what: str,
    *,
    task: str = "search",
    options: Mapping[str, Any] | None = None,
    priority: int | None = None,
    jobs: int | None = None,
    by: str | None = None,
) -> Wish:
    """Want something of a study, and return the wish; None keeps what was wanted before."""
    known = wish_of(study) or Wish(what, 0.0)
    wish = replace(
        known,
        want=what,
        since=time.time(),
        task=task,
        options=dict(options or {}),
        priority=known.priority if priority is None else priority,
        jobs=known.jobs if jobs is None else jobs,
        said="",
        by=known.by if by is None else by,
    )
    write_wish(study, wish)
    return wish


def stop(storage: BaseStorage, study: Study) -> None:
    """Want a study not to run, and ask whoever runs or evaluates it to stop."""
    want(study, "stop")
    ask_to_stop(storage, study)


def ask_to_stop(storage: BaseStorage, study: Study) -> None:
    """Ask whoever runs or evaluates a study to stop."""
    write_stop_request(study)
    if evaluation := find_evaluation(storage, study):
        write_stop_request(evaluation)


def change(storage: BaseStorage, study: Study, *, trials: int | None, priority: int | None) -> None:
    """Change the number of trials of a study, or its priority; None leaves one as it is.

    One that runs is asked to stop: it is still wanted, so the service starts it again. Raises
    SettingsError.
    """
    if trials is not None:
        settings = study_settings(study).replace(search={"trials": trials})
        write_study_file(study, settings.to_toml())
        ask_to_stop(storage, study)
    wish = wish_of(study)
    if priority is not None and wish is not None:
        write_wish(study, replace(wish, priority=priority))
