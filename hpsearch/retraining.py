"""Retraining: the best of a search again, over fresh draws of weights and batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from hpsearch.configurations import best_configurations, seeds_of
from hpsearch.curves import Curves
from hpsearch.errors import Interrupted, StudyError
from hpsearch.parent import OnProgress, Parent
from hpsearch.repeating import learning_rates
from hpsearch.running import run_slots
from hpsearch.slots import DONE, Repeat, own_trials, slot_of
from hpsearch.summary import best_epoch, best_trials, label_of, searched_values
from hpsearch.verdict import Candidate
from model.config import TrainConfig

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.processes import Claim
    from hpsearch.repeating import RepeatObjective
    from hpsearch.tracking import Tracker


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
        return TrainConfig(**self.trial.user_attrs["setup"]["config"])


def best_found(study: Study, top: int) -> list[Found]:
    """Return the best `top` configurations of `study`, no two alike; raises StudyError."""
    if seeds_of(study) > 1:
        repeated = best_configurations(study)
        best = [Found(each.trials[0], each.mean) for each in repeated]
    else:
        best = [Found(t, t.value or 0.0) for t in best_trials(study)]
    if not best:
        raise StudyError(f"study '{study.study_name}' has no completed trial yet")
    different: dict[str, Found] = {}
    for found in best:
        different.setdefault(json.dumps(found.config.as_dict()), found)
    return list(different.values())[:top]


@dataclass(frozen=True)
class Bench:
    """Where things are trained again: the claimed study of an evaluation, and who does it how.

    storage: the URL of the study's storage.
    """

    study: Study
    claim: Claim
    storage: str
    tracker: Tracker | None
    jobs: int
    on_progress: OnProgress
    should_stop: Callable[[], bool]

    def train(self, objective: RepeatObjective, repeats: Sequence[Repeat]) -> list[FrozenTrial]:
        """Have those of the repeats trained that are not yet; return the trials of all, in order.

        Raises Interrupted when `should_stop` says so, and HpsearchError as a trial does.
        """
        wanted = [repeat.slot for repeat in repeats]
        parent = Parent(
            self.study,
            objective.settings,
            wanted,
            self.tracker,
            self.on_progress,
            self.should_stop,
            self.claim,
        )
        run_slots(self.jobs, parent, objective, self.storage)
        trials = {slot_of(trial): trial for trial in own_trials(self.study, DONE)}
        missing = [repeat.name for repeat in repeats if repeat.slot not in trials]
        if missing and parent.reason:
            raise Interrupted(f"{len(wanted) - len(missing)} of {len(wanted)} trainings are done")
        if missing:
            raise StudyError(f"given up after three tries: {', '.join(missing)}")
        return [trials[slot] for slot in wanted]

    def repeat(
        self, objective: RepeatObjective, best: Sequence[Found], seeds: int
    ) -> list[Candidate]:
        """Return what the `best` come to over so many draws; raises as `train` does."""
        # Draw by draw: what an interruption leaves is known of all of them.
        repeats = [Repeat(found.slot, draw) for draw in range(seeds) for found in best]
        values: dict[int, list[float | None]] = {found.slot: [] for found in best}
        for repeat, trial in zip(repeats, self.train(objective, repeats), strict=True):
            diverged = trial.state is not TrialState.COMPLETE
            values[repeat.trial].append(None if diverged else trial.value)
        return [
            Candidate(
                slot=found.slot,
                label=label_of(found.trial),
                params=searched_values(found.trial),
                found=found.value,
                values=tuple(values[found.slot]),
                maximize=objective.settings.search.direction == "maximize",
            )
            for found in best
        ]

    def finish(self, objective: RepeatObjective, slot: int, seeds: int) -> list[FrozenTrial]:
        """Train the final networks of the trial in `slot`; return those that did not diverge.

        Each for as long as the median of the repeats' best epochs, and at the learning rates of
        the repeat that had it. Raises as `train` does.
        """
        wanted = {Repeat(slot, draw).slot for draw in range(seeds)}
        complete = own_trials(self.study, (TrialState.COMPLETE,))
        repeats = sorted((t for t in complete if slot_of(t) in wanted), key=slot_of)
        epochs = median_low(best_epoch(trial) or 1 for trial in repeats)
        typical = next(trial for trial in repeats if best_epoch(trial) == epochs)
        losses = Curves.of(typical).values["val/loss"][:epochs]
        objective.rates = learning_rates(objective.configs[slot], losses)
        finals = self.train(objective, [Repeat(slot, draw, epochs) for draw in range(seeds)])
        return [trial for trial in finals if trial.state is TrialState.COMPLETE]
