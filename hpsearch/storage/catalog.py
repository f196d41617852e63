"""Studies that are in a storage, opened by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna

from hpsearch.errors import StudyError
from hpsearch.evaluation.test_set import LOOKS, is_search
from hpsearch.trials.slots import EVALUATES
from model.names import unknown_name

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


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
