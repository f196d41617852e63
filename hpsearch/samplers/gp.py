"""Optuna's Gaussian process sampler, extended to learn from pruned trials."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from optuna.samplers import GPSampler
from optuna.trial import TrialState

from hpsearch.internals import with_transformed_trials

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class PrunedGPSampler(GPSampler):
    """Bayesian optimization with Gaussian processes (Snoek et al., 2012).

    Optuna's own sampler ignores pruned trials and therefore proposes the same hopeless point again
    and again. Here a pruned trial has the value that it last reported. If it diverged before its
    first report, it has the worst value of all trials.
    """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(_with_pruned(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(_with_pruned(study), trial, search_space)


def _with_pruned(study: Study) -> Study:
    """Return `study`, in which pruned trials look complete to a sampler."""
    maximize = study.direction.name == "MAXIMIZE"
    return with_transformed_trials(study, partial(_complete_pruned, maximize=maximize))


def _complete_pruned(trials: list[FrozenTrial], *, maximize: bool) -> list[FrozenTrial]:
    values = [trial.value for trial in trials if trial.value is not None]
    worst = (min if maximize else max)(values, default=0.0)
    return [
        _completed(trial, worst) if trial.state is TrialState.PRUNED else trial for trial in trials
    ]


def _completed(trial: FrozenTrial, worst: float) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.value = worst if trial.value is None else trial.value
    trial.state = TrialState.COMPLETE
    return trial
