"""What a search has found: its best configurations."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpsearch.analysis.configurations import best_configurations, seeds_of
from hpsearch.analysis.ranking import best_trials
from hpsearch.errors import StudyError
from hpsearch.trials.slots import slot_of
from model.config import TrainConfig

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Found:
    """What the search has found: a configuration, by its trial, and what it was worth there."""

    trial: FrozenTrial
    value: float

    @property
    def slot(self) -> int:
        """The trial's slot; of one that the search repeats, the first."""
        return slot_of(self.trial)

    @property
    def config(self) -> TrainConfig:
        """What was trained."""
        return trained_config(self.trial)


def trained_config(trial: FrozenTrial) -> TrainConfig:
    """Return what a trial of hpsearch has trained."""
    return TrainConfig(**trial.user_attrs["setup"]["config"])


def equals_of_best(study: Study, known: Container[int]) -> int:
    """Return how many have the best value of `study`, without the slots in `known`."""
    found = best_found(study, len(study.get_trials(deepcopy=False)), known)
    return sum(each.value == found[0].value and each.slot not in known for each in found)


def best_found(study: Study, top: int, also: Container[int] = ()) -> list[Found]:
    """Return the best `top` configurations of `study` and those of the slots in `also`.

    The best comes first, and no two are alike: where others have the configuration of a slot in
    `also`, it stands for them, with the best value. Raises StudyError.
    """
    if seeds_of(study) > 1:
        repeated = best_configurations(study)
        best = [Found(each.trials[0], each.mean) for each in repeated]
    else:
        best = [Found(t, t.value or 0.0) for t in best_trials(study)]
    if not best:
        raise StudyError(f"study '{study.study_name}' has no completed trial yet")
    different: dict[str, Found] = {}
    for found in best:
        wanted = found.slot in also
        if not wanted and len(different) >= top:
            continue
        key = json.dumps(found.config.as_dict())
        twin = different.setdefault(key, found)
        if wanted and twin.slot not in also:
            different[key] = replace(found, value=twin.value)
    return list(different.values())
