"""The studies of a storage: by name, and the rounds and evaluations of a search."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from hpsearch.data.files import is_table
from hpsearch.errors import Command, StudyError, UnknownStudyError
from hpsearch.formatting import unknown_name
from hpsearch.settings.definition import READING
from hpsearch.settings.model import with_files_beside
from hpsearch.settings.names import with_suffix
from hpsearch.settings.search import MIN_PEERS
from hpsearch.settings.study import parse_settings, settings_table
from hpsearch.trials.records import (
    TEST_SET_LOG,
    definition_of,
    evaluation_of,
    experiment_name,
    folder_of,
    is_search,
    study_file,
    study_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.settings.study import StudySettings


def has_study(storage: BaseStorage, name: str) -> bool:
    """Whether the storage has a study of that name, whatever it is for."""
    return name in optuna.get_all_study_names(storage)


def load_study(storage: BaseStorage, name: str) -> Study:
    """Return the study called `name`; raise StudyError, which lists the studies in the storage."""
    if name == TEST_SET_LOG or not has_study(storage, name):
        names = sorted(study.study_name for study in all_searches(storage))
        if not names:
            raise UnknownStudyError(
                f"no study '{name}': the storage is empty; ", Command("study"), " starts one"
            )
        raise UnknownStudyError(unknown_name(name, names, "a study in this storage"))
    return optuna.load_study(storage=storage, study_name=name)


def load_search(storage: BaseStorage, name: str) -> Study:
    """Return the search called `name`; raise StudyError for an evaluation too."""
    study = load_study(storage, name)
    if search := evaluation_of(study):
        raise StudyError(f"study '{name}' is the evaluation of '{search.name}'; name that instead")
    return study


def all_searches(storage: BaseStorage) -> list[Study]:
    """Return all studies that search, by name: no evaluation and not the test-set log."""
    found = []
    for name in sorted(optuna.get_all_study_names(storage)):
        with suppress(KeyError):  # one that has been deleted since
            study = optuna.load_study(storage=storage, study_name=name)
            if is_search(study):
                found.append(study)
    return found


def rounds_of(storage: BaseStorage, study: Study) -> list[Study]:
    """Return all rounds of the search that `study` belongs to, in their order."""
    name, names = experiment_name(study), set(optuna.get_all_study_names(storage))
    numbered = (f"{name}.r{number}" for number in count(2))
    known = [name, *takewhile(names.__contains__, numbered)]
    rounds = [optuna.load_study(storage=storage, study_name=n) for n in known if n in names]
    return [each for each in rounds if experiment_name(each) == name]


def evaluation_name(study: Study) -> str:
    """Return the name of the study that holds the evaluation of `study`."""
    return with_suffix(study.study_name, ".evaluation")


def find_evaluation(storage: BaseStorage, study: Study) -> Study | None:
    """Return the study that evaluates `study`, None if there is none yet."""
    name = evaluation_name(study)
    if not has_study(storage, name):
        return None
    found = optuna.load_study(storage=storage, study_name=name)
    search = evaluation_of(found)
    return found if search is not None and search.id == study_id(study) else None


def find_evaluated(storage: BaseStorage, study: Study) -> Study | None:
    """Return the search that `study` evaluates, None if it is gone or `study` is a search."""
    search = evaluation_of(study)
    if search is None or not has_study(storage, search.name):
        return None
    found = optuna.load_study(storage=storage, study_name=search.name)
    return found if study_id(found) == search.id else None


def study_settings(study: Study) -> StudySettings:
    """Return the settings of the study's last start; raise StudyError if there are none.

    A file that is not in the working directory is looked up in that of the last start.
    """
    file = study_file(study)
    if file is None:
        raise StudyError(
            f"study '{study.study_name}' was not started by hpsearch, so its space is not known; "
            "only what `hpsearch study` has run can be narrowed or exported"
        )
    table, folder = tomllib.loads(file), folder_of(study)
    if folder is not None and "model" in table:
        table["model"] = with_files_beside(table["model"], Path(folder))
    settings = as_begun(parse_settings(table, f"study '{study.study_name}'"), study)
    there = {} if folder is None else settings.data.found_in(Path(folder))
    return settings.replace(data=there) if there else settings


def as_begun(settings: StudySettings, study: Study) -> StudySettings:
    """Return the settings with what `study` has begun with, where they leave it open.

    That is how a table is read, the pruner that was the default of version 0.1, and for how many
    others the first rung of halving waits.
    """
    return _pruned_as_begun(_read_as_begun(settings, study), study)


def _read_as_begun(settings: StudySettings, study: Study) -> StudySettings:
    known, data = definition_of(study), settings.data
    read_anew = settings.model is not None or not is_table(data.source) or READING in known
    if not known or read_anew or data.reading is not None:
        return settings
    return settings.replace(data={"reading": 1})


def _pruned_as_begun(settings: StudySettings, study: Study) -> StudySettings:
    search, begun = settings.search, tomllib.loads(study_file(study) or "").get("search", {})
    if "pruner" not in search.model_fields_set and begun.get("pruner") == "median":
        search = search.model_copy(update={"pruner": "median"})
    elif begun.get("pruner") == search.pruner and MIN_PEERS not in search.pruner_options:
        known = begun.get("pruner_options", {}).get(MIN_PEERS, 0)  # version 0.1 has no such option
        search = search.with_min_peers(known)
    return settings.model_copy(update={"search": search})


def single_trial_settings(
    study: Study, *, name: str, trial: Mapping[str, Any], **search: int
) -> StudySettings:
    """Return the settings of a study of one trial, on the data and metric of `study`.

    trial: its [trial] table. search: what its [search] table says besides. Raises StudyError.
    """
    settings = study_settings(study)
    known = settings_table(settings)
    same = {
        key: known["search"][key]
        for key in ("metric", "direction", "threshold")
        if key in known["search"]
    }
    fixed: dict[str, Any] = {**same, "sampler": "random", "pruner": "none", "trials": 1}
    trained = {key: value for key, value in known.items() if key in ("model", "data")}
    if settings.model is not None:
        trained["model"] = {**known["model"], "keep": 0}  # nobody exports one of its trials
    table: dict[str, Any] = {"name": name, **trained, "search": {**fixed, **search}, "trial": trial}
    return parse_settings(table, f"study '{study.study_name}'")
