"""The study of an evaluation: NAME.evaluation, which holds what of a search was trained again.

Its trials are repeats of the search's; that they are an Optuna study of their own gives them all
that a search has: workers, progress, resumption, and runs in the search's MLflow experiment.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import optuna

from hpsearch.errors import DataError, StudyError
from hpsearch.search.rounds import study_settings
from hpsearch.search.study import open_study
from hpsearch.settings.names import with_suffix
from hpsearch.settings.study import StudySettings, parse_settings, settings_table
from hpsearch.tracking.tracker import EXPERIMENT, experiment_name, study_id
from hpsearch.trials.slots import (
    DEFINITION,
    DONE,
    DRAWS,
    EVALUATES,
    ROUND,
    Repeat,
    derive_rng,
    own_trials,
    slot_of,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study


def evaluation_name(study: Study) -> str:
    """Return what the study is called that holds the evaluation of `study`."""
    return with_suffix(study.study_name, ".evaluation")


def evaluation_settings(study: Study) -> StudySettings:
    """Return the settings of the study that evaluates `study`; raises StudyError.

    The same data, split and space, but a seed that follows from the search's: no weights and no
    batches that the search has seen.
    """
    settings = study_settings(study)
    table, search = settings_table(settings), settings.search
    return parse_settings(
        {
            "name": evaluation_name(study),
            "data": table["data"],
            "search": {
                "metric": search.metric,
                "sampler": "random",
                "pruner": "none",
                "trials": 1,
                "seeds": DRAWS,
                "seed": int(derive_rng(search.seed, 0, "evaluation").integers(2**31)),
            },
            "trial": table["trial"],
        },
        f"study '{study.study_name}'",
    )


def check_data(study: Study, digest: str) -> None:
    """Raise DataError if the data are not those that `study` has searched on."""
    if digest != study.user_attrs[DEFINITION]["data.digest"]:
        source = study_settings(study).data.source
        raise DataError(f"data.source: {source} has changed since '{study.study_name}' was run")


def find_evaluation(storage: BaseStorage, study: Study) -> Study | None:
    """Return the study that evaluates `study`, None if there is none yet."""
    found = _named_like_it(storage, study)
    whose = {} if found is None else found.user_attrs.get(EVALUATES, {})
    return found if whose.get("id") == study_id(study) else None


def trained_draws(study: Study) -> dict[int, int]:
    """Return with how many draws the evaluation of `study` has trained its slots."""
    evaluation = find_evaluation(study._storage, study)
    done = {slot_of(t) for t in own_trials(evaluation, DONE)} if evaluation is not None else set()
    slots = {Repeat.of(slot).trial for slot in done}
    return {n: next(d for d in count() if Repeat(n, d).slot not in done) for n in slots}


def check_evaluation(storage: BaseStorage, study: Study) -> None:
    """Raise StudyError if there is another study where the evaluation of `study` would be."""
    found = _named_like_it(storage, study)
    if found is None or find_evaluation(storage, study) is not None:
        return
    if EVALUATES in found.user_attrs:
        raise StudyError(
            f"study '{found.study_name}' evaluates a '{study.study_name}' that is gone; "
            f"hpsearch delete {found.study_name}"
        )
    if found.get_trials(deepcopy=False):  # else its creator died before it wrote what it is
        raise StudyError(
            f"study '{found.study_name}' has the name that the evaluation of '{study.study_name}' "
            "would have, but is another search"
        )


def _named_like_it(storage: BaseStorage, study: Study) -> Study | None:
    name = evaluation_name(study)
    if name not in optuna.get_all_study_names(storage):
        return None
    return optuna.load_study(storage=storage, study_name=name)


def open_evaluation(
    storage: BaseStorage, study: Study, settings: StudySettings, digest: str
) -> Study:
    """Create the study that evaluates `study`, or open it to go on; raises StudyError."""
    evaluation = find_evaluation(storage, study)
    if evaluation is None:
        evaluation = open_study(storage, evaluation_name(study), settings, digest)
        evaluation.set_user_attr(EXPERIMENT, experiment_name(study))
        if ROUND in study.user_attrs:
            evaluation.set_user_attr(ROUND, study.user_attrs[ROUND])
        whose = {"study": study.study_name, "id": study_id(study)}
        evaluation.set_user_attr(EVALUATES, whose)
    return evaluation
