"""Training the best trials of a search again, in another study: NAME.evaluation.

Because the repeats are trials of an Optuna study, they have everything that a search has: workers,
progress, resumption, and runs in the search's MLflow experiment. A trial records in its attributes
what it repeats; its slot is only a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median_low
from typing import TYPE_CHECKING, Any, Protocol

import optuna
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch, searched_values
from hpsearch.errors import Command, DataError, Interrupted, StudyError
from hpsearch.evaluation.candidates import Candidate
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.execution.engines.engine import run_slots
from hpsearch.execution.objective import Follower, load_model, recorded, setup_for
from hpsearch.search.study import open_study
from hpsearch.storage.catalog import (
    evaluation_name,
    find_evaluation,
    has_study,
    single_trial_settings,
    study_settings,
)
from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    DONE,
    Repeat,
    assigned_slot,
    definition_of,
    evaluation_of,
    label_of,
    own_trials,
    repeat_of,
    slot_of,
    write_evaluation_of,
    write_repeat,
    write_setup,
)
from hpsearch.trials.slots import derive_rng

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.evaluation.candidates import SearchResult
    from hpsearch.execution.objective import OnEpoch, WorkerObjective
    from hpsearch.settings.study import StudySettings
    from hpsearch.storage.leases import Lease
    from hpsearch.trainables.base import Model
    from hpsearch.trials.checkpoints import SlotCheckpoints

    class _Planned(WorkerObjective, Protocol):
        """An objective that knows what each of its slots repeats."""

        plan: Plan


Plan = Mapping[int, Repeat]
"""What each slot of an evaluation's study repeats."""
Configurations = Mapping[int, Mapping[str, Any]]
"""The configurations of a search's trials, by slot and as plain data."""


class RepeatObjective:
    """Trains configurations of a search again, with other weights and batches.

    plan: what each slot repeats. configs: those that are repeated. model: loaded if it
    is not given. The value of a trial is its best validation value, as in the search.
    """

    def __init__(
        self,
        settings: StudySettings,
        plan: Plan,
        configs: Configurations,
        model: Model | None = None,
    ) -> None:
        self.settings, self.plan, self.configs = settings, plan, configs
        self.model = load_model(settings) if model is None else model

    @property
    def recipe(self) -> Callable[[], RepeatObjective]:
        """A function without the data, to be pickled, that makes the same objective."""
        return partial(type(self), self.settings, self.plan, self.configs)

    def __call__(
        self,
        trial: BaseTrial,
        on_epoch: OnEpoch | None = None,
        checkpoints: SlotCheckpoints | None = None,
    ) -> float:
        """Train one model and return its best validation value."""
        repeat, search = self.plan[slot_of(trial)], self.settings.search
        config = self.settings.trial.keys.build(self.configs[repeat.trial])
        with recorded(trial, Curves()) as curves:
            write_repeat(trial, repeat)
            write_setup(trial, setup_for(self.settings, self.model, config))
            follower = Follower(trial, curves, search, on_epoch, checkpoints)
            return follower.best_of(self.model, config, repeat.draw)


def evaluation_settings(study: Study) -> StudySettings:
    """Return the settings of the study that evaluates `study`; raise StudyError.

    Data, split and space are the same. The seed is derived from the search's, so weights and
    batches differ from those of the search.
    """
    settings = study_settings(study)
    return single_trial_settings(
        study,
        name=evaluation_name(study),
        trial=settings.trial.as_table(),
        seed=int(derive_rng(settings.search.seed, 0, "evaluation").integers(2**31)),
    )


def check_data(study: Study, digest: str) -> None:
    """Raise DataError if the data have changed since `study` was run."""
    if digest != definition_of(study).get("data.digest", ""):
        source = study_settings(study).data.source
        raise DataError(f"data.source: {source} has changed since '{study.study_name}' was run")


def count_draws(storage: BaseStorage, study: Study) -> dict[int, int]:
    """Return how many draws, from the first one on, the evaluation has trained of each trial.

    The keys are slots of the search's trials.
    """
    evaluation = find_evaluation(storage, study)
    trials = own_trials(evaluation, DONE) if evaluation is not None else []
    done = {repeat for repeat in map(repeat_of, trials) if repeat is not None}
    return {
        slot: next(draw for draw in count() if Repeat(slot, draw) not in done)
        for slot in {repeat.trial for repeat in done}
    }


def check_evaluation(storage: BaseStorage, study: Study) -> None:
    """Raise StudyError if another study has the name that the evaluation of `study` needs."""
    name = evaluation_name(study)
    if not has_study(storage, name) or find_evaluation(storage, study) is not None:
        return
    other = optuna.load_study(storage=storage, study_name=name)
    if evaluation_of(other) is not None:
        raise StudyError(
            f"study '{name}' evaluates a '{study.study_name}' that is gone; ",
            Command("delete", name),
        )
    if other.get_trials(
        deepcopy=False
    ):  # if not, its creator died before it marked it as an evaluation
        raise StudyError(
            f"study '{name}' has the name that the evaluation of '{study.study_name}' needs, but "
            "is another search"
        )


def open_evaluation(
    storage: BaseStorage, study: Study, settings: StudySettings, digest: str
) -> Study:
    """Create the study that evaluates `study`, or open it to continue; raise StudyError."""
    evaluation = find_evaluation(storage, study)
    if evaluation is None:
        evaluation = open_study(storage, evaluation_name(study), settings, digest)
        write_evaluation_of(evaluation, study)
    return evaluation


def plan_slots(evaluation: Study, repeats: Sequence[Repeat]) -> dict[int, Repeat]:
    """Return a slot for each of the repeats: the slot that it already has, or a free one."""
    trials = [trial for trial in own_trials(evaluation) if assigned_slot(trial) is not None]
    slots = {repeat: slot_of(t) for t in trials if (repeat := repeat_of(t)) is not None}
    taken = {slot_of(trial) for trial in trials}
    free = (slot for slot in count() if slot not in taken)
    return {slots[each] if each in slots else next(free): each for each in repeats}


@dataclass(frozen=True)
class Retraining:
    """The leased study of an evaluation, and how its trials are run."""

    storage: BaseStorage
    lease: Lease
    settings: StudySettings
    model: Model
    configs: Configurations
    options: RunOptions

    def repeat(self, results: Sequence[SearchResult], seeds: int) -> list[Candidate]:
        """Train each of the results with `seeds` draws, and return them as candidates.

        Raises Interrupted when `should_stop` returns True, and HpsearchError as a trial does.
        """
        # Draw by draw, so that after an interruption all candidates have about as many draws.
        repeats = [Repeat(each.slot, draw) for draw in range(seeds) for each in results]
        plan = plan_slots(self.lease.study, repeats)
        objective = RepeatObjective(self.settings, plan, self.configs, self.model)
        values: dict[int, list[float | None]] = {each.slot: [] for each in results}
        trials = self.train(objective, "trainings")
        for repeat in repeats:
            complete = trials[repeat].state is TrialState.COMPLETE
            values[repeat.trial].append(trials[repeat].value if complete else None)
        return [
            Candidate(
                slot=each.slot,
                label=label_of(each.trial),
                params=searched_values(each.trial),
                search_value=each.value,
                values=tuple(values[each.slot]),
                maximize=self.settings.search.direction == "maximize",
            )
            for each in results
        ]

    def complete(self, slot: int, seeds: int) -> list[FrozenTrial]:
        """Return the complete repeats of the search's trial in `slot`, by their draw."""
        complete = own_trials(self.lease.study, (TrialState.COMPLETE,))
        found = {repeat_of(trial): trial for trial in complete}
        wanted = (Repeat(slot, draw) for draw in range(seeds))
        return [found[repeat] for repeat in wanted if repeat in found]

    def typical_epochs(self, slot: int, seeds: int) -> int:
        """Return the median of the best epochs of the complete repeats of the trial in `slot`."""
        return median_low(best_epoch(trial) or 1 for trial in self.complete(slot, seeds))

    def train(self, objective: _Planned, unit: str) -> dict[Repeat, FrozenTrial]:
        """Run those slots of the objective's plan that are not done; return the trials of all."""
        plan = objective.plan
        work = Work(settings=self.settings, slots=[*plan], unit=unit)
        coordinator = Coordinator(self.storage, self.lease, work, self.options)
        run_slots(coordinator, objective)
        done = {slot_of(trial): trial for trial in own_trials(self.lease.study, DONE)}
        missing = [repeat.name for slot, repeat in plan.items() if slot not in done]
        if missing and coordinator.reason:
            raise Interrupted(f"{len(plan) - len(missing)} of {len(plan)} {unit} are done")
        if missing:
            raise StudyError(f"given up after three tries: {', '.join(missing)}")
        return {repeat: done[slot] for slot, repeat in plan.items()}
