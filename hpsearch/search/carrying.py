"""What a round takes over from the rounds before it: trials, so that a sampler starts warm."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from optuna.trial import FixedTrial, FrozenTrial, create_trial

from hpsearch.trials.curves import CURVES
from hpsearch.trials.slots import CARRIED, DONE, own_trials, slot_of

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.space.space import SearchSpace


def carry_over(earlier: Iterable[Study], study: Study, space: SearchSpace) -> None:
    """Add to `study` the trials of the `earlier` ones that `space` could have proposed.

    They have no slot, and no run in MLflow but the one they have. Those that are there already,
    from a start that was interrupted, are not added again.
    """
    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(CARRIED) for trial in trials}
    for before in earlier:
        for trial in own_trials(before, DONE):
            source = f"{before.study_name}#{slot_of(trial)}"
            if source not in known and (carried := _within(space, trial, source)):
                study.add_trial(carried)


def _within(space: SearchSpace, trial: FrozenTrial, source: str) -> FrozenTrial | None:
    """Return the trial with the distributions of `space`; None where that cannot propose it."""
    given = FixedTrial(trial.params)
    setup = trial.user_attrs["setup"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a value is out of range
            config = space.suggest(given)
        if config.as_dict() != setup["config"]:  # a labelled one, that set what is fixed
            return None
        return create_trial(
            state=trial.state,
            value=trial.value,
            params={name: trial.params[name] for name in given.distributions},
            distributions=given.distributions,
            user_attrs={CARRIED: source, "setup": setup, CURVES: trial.user_attrs.get(CURVES, {})},
            intermediate_values=trial.intermediate_values,
        )
    except ValueError:  # a value out of range, or one that was not searched
        return None
