"""Retraining: the best of a search again, over fresh draws of weights and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch, label_of, searched_values
from hpsearch.errors import Interrupted, StudyError
from hpsearch.evaluation.candidates import Candidate
from hpsearch.execution.coordinator import OnProgress, Parent
from hpsearch.execution.engines.inline import run_slots
from hpsearch.search.repeats import learning_rates
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import DONE, Repeat, own_trials, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.evaluation.found import Found
    from hpsearch.search.repeats import RepeatObjective
    from hpsearch.storage.leases import Claim
    from hpsearch.tracking.tracker import Tracker


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
            done = f"{len(wanted) - len(missing)} of {len(wanted)}"
            raise Interrupted(f"{done} {repeats[0].plural} are done")
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
