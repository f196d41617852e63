"""Samplers by name, each drawing for a slot what it always draws for that slot."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace

from hpsearch.slots import derive_rng, slot_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState


class SlotRandomSampler(BaseSampler):
    """Independent random sampling (Bergstra & Bengio, 2012), uniform on each parameter's scale.

    Parameter p of slot n comes from (seed, n, p) alone: neither the order of trials nor that of
    parameters nor an interruption changes it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = RandomSampler(seed=_seed(self.seed, trial, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class SlotTPESampler(BaseSampler):
    """Optuna's multivariate TPE (Bergstra et al., 2011; Falkner et al., 2018), seeded by slot.

    A seeded TPESampler starts its stream anew in every process and repeats itself after a resume.
    Here each trial gets a fresh one, whose proposals depend on the trials so far and (seed, slot).
    What is known of the search space is kept across trials, for it costs as much as a proposal.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._space = IntersectionSearchSpace(include_pruned=True)
        self._number, self._tpe = -1, TPESampler()

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            seed = _seed(self.seed, trial, "tpe")
            self._number, self._tpe = trial.number, TPESampler(seed=seed)
        return self._tpe

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        known = self._space.calculate(study, use_cache=True)
        return {name: d for name, d in known.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = self._of(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._of(trial).after_trial(study, trial, state, values)


def _seed(seed: int, trial: FrozenTrial, purpose: str) -> int:
    return int(derive_rng(seed, slot_of(trial), purpose).integers(2**32))


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": SlotRandomSampler,
    "tpe": SlotTPESampler,
}


def build_sampler(name: str, seed: int) -> BaseSampler:
    """Return the sampler called `name`, whose draws depend on `seed` and a trial's slot."""
    return SAMPLERS[name](seed)


def fix_parameters(sampler: BaseSampler, parameters: Mapping[str, Any]) -> BaseSampler:
    """Return `sampler` with some of its parameters given, as a labelled configuration does."""
    if not parameters:
        return sampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # a dozen lines that will stay
        return PartialFixedSampler(dict(parameters), sampler)
