"""Studies in memory that hold given trials: a study as it was at one moment, or a part of one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from hpsearch.trials.records import copy_attributes

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState


class _GivenTrials(InMemoryStorage):
    """A storage of one study, whose trials are given and not copied: 10,000 take no time."""

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self.trials = trials

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self.trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    get_best_trial = BaseStorage.get_best_trial


def study_with(trials: Sequence[FrozenTrial], direction: StudyDirection) -> Study:
    """Return a study in memory that has these trials; nothing can be added to it."""
    return optuna.create_study(storage=_GivenTrials(trials), direction=direction)


def snapshot_of(study: Study) -> Study:
    """Return a copy of `study` in memory, which later changes to the study do not reach.

    Nothing that is written to the copy is stored.
    """
    storage = _GivenTrials(study.get_trials(deepcopy=False))
    name, directions = study.study_name, study.directions
    taken = optuna.create_study(storage=storage, study_name=name, directions=directions)
    copy_attributes(study, taken)
    return taken
