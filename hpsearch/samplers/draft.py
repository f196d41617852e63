"""A trial that is sampled before it is stored, so that the storage gets it whole, in one entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.distributions import CategoricalChoiceType
    from optuna.study import Study


class DraftTrial(FixedTrial):
    """A trial whose parameters the sampler of `study` chooses, as for one of Optuna's own.

    Optuna's `study.ask()` stores a trial first, and then each parameter and attribute: a process
    that is killed in between leaves a part of it, and every entry is a trip to the storage. This
    one keeps everything in `frozen`, for `BaseStorage.create_new_trial`. Only one process at a time
    may do so: the number of the trial is the number of those that the study has.

    The sampler is asked with the first parameter. What it reads of the trial, such as the slot, is
    written before that.
    """

    def __init__(self, study: Study) -> None:
        number = len(study.get_trials(deepcopy=False))
        super().__init__({}, number)
        self.study, self._attributes = study, dict[str, Any]()
        self.frozen = FrozenTrial(
            number=number,
            trial_id=number,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs=self._attributes,
            system_attrs={},
            intermediate_values={},
        )

    @cached_property
    def _relative(self) -> dict[str, tuple[BaseDistribution, Any]]:
        """The parameters that the sampler chooses together."""
        study, sampler = self.study, self.study.sampler
        sampler.before_trial(study, self.frozen)
        space = sampler.infer_relative_search_space(study, self.frozen)
        values = sampler.sample_relative(study, self.frozen, space)
        return {name: (space[name], value) for name, value in values.items()}

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        """Return a real number, as Optuna's `Trial.suggest_float` does."""
        return float(self._chosen(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return a whole number, as Optuna's `Trial.suggest_int` does."""
        return int(self._chosen(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(  # type: ignore[override]
        self, name: str, choices: Sequence[CategoricalChoiceType]
    ) -> CategoricalChoiceType:
        """Return one of the choices, as Optuna's `Trial.suggest_categorical` does."""
        chosen: CategoricalChoiceType = self._chosen(name, CategoricalDistribution(choices))
        return chosen

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set an attribute of the trial to be stored."""
        self._attributes[key] = value

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes of the trial to be stored."""
        return self._attributes

    def _chosen(self, name: str, distribution: BaseDistribution) -> Any:
        """Return the value of a parameter, which has to be a new one."""
        known, value = self._relative.get(name, (None, None))
        if distribution.single():
            value = _only_value(distribution)
        elif known != distribution:
            value = self.study.sampler.sample_independent(
                self.study, self.frozen, name, distribution
            )
        # As Optuna stores it and reads it again.
        value = distribution.to_external_repr(distribution.to_internal_repr(value))
        self.frozen.params = {**self.frozen.params, name: value}
        self.frozen.distributions = {**self.frozen.distributions, name: distribution}
        return value


def _only_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low
