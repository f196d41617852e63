"""Studies that are in a storage, opened by their names."""

from __future__ import annotations

import tomllib
from itertools import count, takewhile
from typing import TYPE_CHECKING

import optuna

from hpsearch.errors import StudyError
from hpsearch.evaluation.test_set import LOOKS, is_search
from hpsearch.search.study import SETTINGS
from hpsearch.settings.study import parse_settings
from hpsearch.tracking.tracker import experiment_name
from hpsearch.trials.slots import EVALUATES
from model.names import unknown_name

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.settings.study import StudySettings


def load_study(storage: BaseStorage, name: str) -> Study:
    """Open an existing study; raises StudyError with the names there are."""
    if name not in {*optuna.get_all_study_names(storage)} - {LOOKS}:
        names = sorted(s.study_name for s in storage.get_all_studies() if is_search(s))
        if not names:
            raise StudyError(f"no study '{name}': the storage is empty; hpsearch study starts one")
        raise StudyError(unknown_name(name, names, "a study in this storage"))
    return optuna.load_study(storage=storage, study_name=name)


def load_search(storage: BaseStorage, name: str) -> Study:
    """Open an existing study that searches, as `load_study` does; raises StudyError."""
    study = load_study(storage, name)
    if not is_search(study):
        whose = study.user_attrs[EVALUATES]["study"]
        raise StudyError(f"study '{name}' is itself an evaluation; use '{whose}', which it is of")
    return study


def study_settings(study: Study) -> StudySettings:
    """Return the settings that `study` was run with last; raises StudyError if it has none."""
    file = study.user_attrs.get(SETTINGS)
    if file is None:
        raise StudyError(
            f"study '{study.study_name}' was not started by hpsearch, so its space is not known; "
            "only what `hpsearch study` has run can be narrowed or exported"
        )
    return parse_settings(tomllib.loads(file), f"study '{study.study_name}'")


def rounds_of(storage: BaseStorage, study: Study) -> list[Study]:
    """Return all rounds of the search that `study` belongs to, in their order."""
    name, names = experiment_name(study), optuna.get_all_study_names(storage)
    numbered = (f"{name}.r{number}" for number in count(2))
    known = [name, *takewhile(names.__contains__, numbered)]
    rounds = [optuna.load_study(storage=storage, study_name=n) for n in known if n in names]
    return [each for each in rounds if experiment_name(each) == name]
