"""Samplers whose random draws depend on the slot, not on the process or the order of trials."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FixedTrial

from hpsearch.internals import NumberedQMCSampler
from hpsearch.space.grid import grid_point
from hpsearch.space.ranges import Range
from hpsearch.trials.records import slot_of
from hpsearch.trials.slots import derive_rng

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

    from hpsearch.space.space import SearchSpace


class SlotRandomSampler(BaseSampler):
    """Independent random sampling (Bergstra & Bengio, 2012), uniform on each parameter's scale.

    The value of parameter p in slot n depends only on (seed, n, p): not on the order of trials, the
    order of parameters or interruptions. With `seeds` above 1, that many successive slots share a
    configuration, whose number replaces n.
    """

    def __init__(self, seed: int, seeds: int = 1) -> None:
        self.seed, self.seeds = seed, seeds

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
        sampler = RandomSampler(_derive_seed(self.seed, self.configuration(trial), param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def configuration(self, trial: FrozenTrial) -> int:
        """Return the number of the trial's configuration, which all its repeats share."""
        return slot_of(trial) // self.seeds


class SlotGridSampler(SlotRandomSampler):
    """Every combination of the declared choices and steps: configuration `first` + n is point n.

    The configurations before `first` are labelled. The parameters that they leave open are drawn
    as in SlotRandomSampler.
    """

    def __init__(self, seed: int, space: SearchSpace, first: int, seeds: int = 1) -> None:
        super().__init__(seed, seeds)
        self.space, self.first = space, first

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        number = self.configuration(trial) - self.first
        point = grid_point(self.space, number) if number >= 0 else {}
        if param_name in point:
            return point[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


class SlotQMCSampler(NumberedQMCSampler):
    """A quasi-random sequence (Sobol or Halton): slot `first` + n is point n.

    Optuna's own sampler draws the first trial at random to learn the space, and takes the number
    of a point from the trials in the study: a failed trial loses its point, and two processes may
    get the same one. This sampler takes the declared space and the number of the slot, so every
    start and any number of workers produce the same sequence. Without a declared space
    (`suggest=`) it also learns the space from the first trial.
    """

    def __init__(self, seed: int, space: SearchSpace, first: int, **options: Any) -> None:
        super().__init__(seed=seed, independent_sampler=SlotRandomSampler(seed), **options)
        self._declared, self._first = _distributions(space), first

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._declared) or super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        slot = slot_of(trial)
        self.point = slot - self._first if slot >= self._first else slot
        return super().sample_relative(study, trial, search_space)


class SlotSampler(BaseSampler):
    """One of Optuna's learning samplers, built anew for each trial with a seed for its slot.

    A sampler that is seeded once restarts its random stream in every process, so it repeats itself
    when a study is resumed. The proposals of a new one depend only on the earlier trials and on
    (seed, slot).
    """

    def __init__(self, seed: int, name: str, build: Callable[..., BaseSampler]) -> None:
        self.seed, self.name, self.build = seed, name, build
        self._number, self._sampler = -1, self._build()

    def _build(self, **seed: int) -> BaseSampler:
        with experimental():
            return self.build(**seed)

    def _sampler_for(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seed = _derive_seed(self.seed, slot_of(trial), self.name)
            self._number, self._sampler = trial.number, self._build(seed=seed)
        return self._sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler_for(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler_for(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = self._sampler_for(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._sampler_for(trial).after_trial(study, trial, state, values)


def _derive_seed(seed: int, number: int, purpose: str) -> int:
    return int(derive_rng(seed, number, purpose).integers(2**32))


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return the distributions that `space` samples, by the names of Optuna's parameters."""
    values = {
        name: entry.low if isinstance(entry, Range) else entry.values[0]
        for name, entry in space.searched.items()
    }
    trial = FixedTrial(space.split(values)[0])  # records the distributions that are asked of it
    for name, entry in space.searched.items():
        entry.suggest(trial, name)
    return trial.distributions


@contextmanager
def experimental() -> Iterator[None]:
    """Silence the warning about what Optuna calls experimental; its major version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
