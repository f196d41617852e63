"""Optuna's Gaussian processes, which learn from pruned trials too."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import GPSampler
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class PrunedGPSampler(GPSampler):
    """Bayesian optimization with Gaussian processes (Snoek et al., 2012).

    Optuna's own forgets pruned trials and then proposes the same hopeless point again and again.
    Here one counts with what it last reported, and one that diverged before that as the worst.
    """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(_as_finished(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(_as_finished(study), trial, search_space)


class _AsFinished:
    """A study, except that its pruned trials are complete."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy, use_cache=use_cache)
        values = [trial.value for trial in trials if trial.value is not None]
        worst = (min if self._study.direction.name == "MAXIMIZE" else max)(values, default=0.0)
        trials = [
            _finished(trial, worst) if trial.state is TrialState.PRUNED else trial
            for trial in trials
        ]
        return [trial for trial in trials if states is None or trial.state in states]


def _as_finished(study: Study) -> Study:
    return cast("Study", _AsFinished(study))


def _finished(trial: FrozenTrial, worst: float) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.value = worst if trial.value is None else trial.value
    trial.state = TrialState.COMPLETE
    return trial
