"""Samplers that draw for a slot what they always draw for that slot."""

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

    Parameter p of slot n comes from (seed, n, p) alone: neither the order of trials nor that of
    parameters nor an interruption changes it. A configuration is drawn for `seeds` slots, one
    after the other.
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
        drawn = derive_rng(self.seed, self.configuration(trial), param_name).integers(2**32)
        sampler = RandomSampler(seed=int(drawn))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def configuration(self, trial: FrozenTrial) -> int:
        """Return the number of the trial's configuration, which it shares with its repeats."""
        return slot_of(trial) // self.seeds


class SlotGridSampler(SlotRandomSampler):
    """Every combination of the declared choices and steps: configuration `first` + n has point n.

    The configurations before `first` are labelled; what these leave open is drawn as
    SlotRandomSampler draws it.
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
    """A quasi-random sequence (Sobol or Halton): slot `first` + n has point n.

    Optuna's own sampler learns the space from the first trial, which it draws at random, and
    counts the points in the study, so a failed trial loses its point and two processes may get the
    same one. Here the space is the declared one and the slot counts, so every start and any number
    of workers make the same sequence. Without a declared space (`suggest=`) the sampler learns it
    from the first trial.
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
    """One of Optuna's samplers that learn, made afresh for each trial and seeded by its slot.

    A seeded sampler starts its stream anew in every process and repeats itself after a resume.
    The proposals of a fresh one depend on the trials so far and (seed, slot).
    """

    def __init__(self, seed: int, name: str, build: Callable[..., BaseSampler]) -> None:
        self.seed, self.name, self.build = seed, name, build
        self._number, self._sampler = -1, self._build()

    def _build(self, **seed: int) -> BaseSampler:
        with experimental():
            return self.build(**seed)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seed = _seed(self.seed, trial, self.name)
            self._number, self._sampler = trial.number, self._build(seed=seed)
        return self._sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

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


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return what `space` asks of a trial, by asking one that knows the answers."""
    values = {
        name: entry.low if isinstance(entry, Range) else entry.values[0]
        for name, entry in space.searched.items()
    }
    trial = FixedTrial(space.split(values)[0])
    for name, entry in space.searched.items():
        entry.suggest(trial, name)
    return trial.distributions


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna calls experimental without its warning: its major version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
