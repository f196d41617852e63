"""The final test of a user's own model, on rows that it has kept out of the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hpsearch.execution.objective import load_model, recorded, setup_for
from hpsearch.search.repeats import Plan, Retraining, plan_slots
from hpsearch.trainables.errors import ModelError
from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    Repeat,
    curves_of,
    slot_of,
    write_repeat,
    write_setup,
)

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from hpsearch.execution.objective import OnEpoch
    from hpsearch.settings.study import StudySettings
    from hpsearch.trainables.base import Model, Testable
    from hpsearch.trials.checkpoints import SlotCheckpoints

TEST = "test/"  # how the names of test scores begin


class ModelFinalObjective:
    """Trains final models, and scores each on the test rows.

    plan: what each slot repeats; all of them have `config`. The value of a trial is its first
    score, and its curves hold all of them, as those of its only epoch.
    """

    def __init__(
        self,
        settings: StudySettings,
        plan: Plan,
        config: Mapping[str, Any],
        model: Model | None = None,
    ) -> None:
        self.settings, self.plan, self.config = settings, plan, config
        self.model = load_model(settings) if model is None else model

    @property
    def recipe(self) -> Callable[[], ModelFinalObjective]:
        """A function without the data, to be pickled, that makes the same objective."""
        return partial(type(self), self.settings, self.plan, self.config)

    def __call__(
        self,
        trial: BaseTrial,
        on_epoch: OnEpoch | None = None,
        checkpoints: SlotCheckpoints | None = None,  # noqa: ARG002
    ) -> float:
        """Train one model, and return its first score on the test rows."""
        repeat, config = self.plan[slot_of(trial)], dict(self.config)
        with recorded(trial, Curves()) as curves:
            write_repeat(trial, repeat)
            write_setup(trial, setup_for(self.settings, self.model, config))
            found = cast("Testable", self.model).final(config, repeat.draw, repeat.epochs)
            scores = {_named(name): value for name, value in found.items()}
            first = next(iter(scores), None)
            if first is None or not curves.append(scores, first):
                raise ModelError(f"{self.model.name}: final returned {found}, which is no score")
            if on_epoch is not None:
                on_epoch(trial, 1)
            return scores[first]


def score_finals(
    retraining: Retraining, slot: int, seeds: int, epochs: int
) -> dict[str, list[float | None]]:
    """Train the final models of the trial in `slot`; return their scores on the test rows by name.

    Raises as `Retraining.repeat` does.
    """
    finals = [Repeat(slot, draw, epochs) for draw in range(seeds)]
    plan = plan_slots(retraining.lease.study, finals)
    config = retraining.configs[slot]
    objective = ModelFinalObjective(retraining.settings, plan, config, retraining.model)
    trials = retraining.train(objective, "final models")
    curves = [curves_of(trials[final]) for final in finals]
    return {name: [each.of(name)[-1] for each in curves] for name in curves[0].values}


def _named(name: str) -> str:
    """Return the name of a test score: test/rmse of rmse, val/rmse and test/rmse."""
    part, _, rest = name.partition("/")
    return f"{TEST}{rest if part in ('val', 'test') and rest else name}"
