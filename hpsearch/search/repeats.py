"""RepeatObjective: configurations of a search trained again, with other weights and batches.

Its trials are those of an evaluation's study, whose slots say which configuration and which draw.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from statistics import median_low
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch, label_of, searched_values
from hpsearch.errors import DataError, Interrupted, StudyError
from hpsearch.evaluation.candidates import Candidate
from hpsearch.execution.coordinator import Parent
from hpsearch.execution.engines.inline import run_slots
from hpsearch.execution.objective import Objective, follow
from hpsearch.search.study import open_study
from hpsearch.settings.names import with_suffix
from hpsearch.settings.study import parse_settings, settings_table
from hpsearch.storage.catalog import study_settings
from hpsearch.tracking.tracker import EXPERIMENT, experiment_name, study_id
from hpsearch.trainables.network import (
    _train_at,
    draw_network,
    joined,
    learning_rates,
    trained_config,
)
from hpsearch.trials.curves import METRICS, Curves
from hpsearch.trials.slots import (
    DEFINITION,
    DONE,
    DRAWS,
    EVALUATES,
    ROUND,
    Repeat,
    derive_rng,
    own_trials,
    slot_of,
)
from model.config import TrainConfig
from model.network import Network

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.evaluation.candidates import Found
    from hpsearch.execution.coordinator import OnProgress
    from hpsearch.execution.objective import OnEpoch
    from hpsearch.settings.study import StudySettings
    from hpsearch.storage.leases import Claim
    from hpsearch.tracking.tracker import Tracker
    from model.data import Dataset

NETWORK = "network"  # user attribute of a final trial: its weights


class RepeatObjective(Objective):
    """Trains what a slot stands for: a repeat as a trial of a search, or a final network.

    configs: by the slot of the search's trial.
    rates: the learning rate of each epoch of the final networks, which end with the last one.

    A repeat is worth its best validation value, as in the search. A final network learns from the
    training and the validation rows, keeps its weights on the trial, and is worth its last epoch's
    accuracy or loss on these very rows.
    """

    def __init__(
        self,
        settings: StudySettings,
        configs: Mapping[int, TrainConfig],
        rates: Sequence[float] = (),
    ) -> None:
        super().__init__(settings, suggest=self._config)
        self.configs, self.rates = configs, rates

    @property
    def recipe(self) -> Callable[[], RepeatObjective]:
        """What makes the same objective elsewhere, without the data."""
        return partial(type(self), self.settings, self.configs, self.rates)

    def train(self, trial: BaseTrial, curves: Curves, on_epoch: OnEpoch | None) -> float:
        """Train the network of `trial`, add its epochs to `curves`, and return its value."""
        if not Repeat.of(slot_of(trial)).epochs:
            return super().train(trial, curves, on_epoch)
        config = self.set_up(trial)
        metric = self.settings.search.metric.replace("val/", "train/")
        curves.values = {name: [] for name in METRICS if name.startswith("train/")}
        network, batches = draw_network(self.settings, self.all_data, config, slot_of(trial))
        epochs = _train_at(self.rates, network, self.all_data, batches)
        for _ in follow(epochs, trial, curves, on_epoch, metric):
            pass
        trial.set_user_attr(NETWORK, b64encode(network.state.tobytes()).decode())
        return curves.values[metric][-1]

    @cached_property
    def all_data(self) -> Dataset:
        """The data that final networks learn from."""
        return joined(self.data)

    def _config(self, trial: BaseTrial) -> TrainConfig:
        repeat = Repeat.of(slot_of(trial))
        config = self.configs[repeat.trial]
        # Nothing is left to validate on: rates and epochs are known beforehand.
        return replace(config, early_stopping=0) if repeat.epochs else config


def final_network(trial: FrozenTrial, settings: StudySettings, data: Dataset) -> Network:
    """Return the network that a final trial has trained; raises StudyError."""
    config = trained_config(trial)
    network, _ = draw_network(settings, data, config, slot_of(trial))
    state = np.frombuffer(b64decode(trial.user_attrs[NETWORK]), network.state.dtype)
    if state.shape != network.state.shape:
        raise StudyError(f"{Repeat.of(slot_of(trial)).name} is of another shape than its data")
    network.state[:] = state
    return network


def evaluation_name(study: Study) -> str:
    """Return what the study is called that holds the evaluation of `study`."""
    return with_suffix(study.study_name, ".evaluation")


def evaluation_settings(study: Study) -> StudySettings:
    """Return the settings of the study that evaluates `study`; raises StudyError.

    The same data, split and space, but a seed that follows from the search's: no weights and no
    batches that the search has seen.
    """
    settings = study_settings(study)
    table, search = settings_table(settings), settings.search
    return parse_settings(
        {
            "name": evaluation_name(study),
            "data": table["data"],
            "search": {
                "metric": search.metric,
                "sampler": "random",
                "pruner": "none",
                "trials": 1,
                "seeds": DRAWS,
                "seed": int(derive_rng(search.seed, 0, "evaluation").integers(2**31)),
            },
            "trial": table["trial"],
        },
        f"study '{study.study_name}'",
    )


def check_data(study: Study, digest: str) -> None:
    """Raise DataError if the data are not those that `study` has searched on."""
    if digest != study.user_attrs[DEFINITION]["data.digest"]:
        source = study_settings(study).data.source
        raise DataError(f"data.source: {source} has changed since '{study.study_name}' was run")


def find_evaluation(storage: BaseStorage, study: Study) -> Study | None:
    """Return the study that evaluates `study`, None if there is none yet."""
    found = _named_like_it(storage, study)
    whose = {} if found is None else found.user_attrs.get(EVALUATES, {})
    return found if whose.get("id") == study_id(study) else None


def trained_draws(study: Study) -> dict[int, int]:
    """Return with how many draws the evaluation of `study` has trained its slots."""
    evaluation = find_evaluation(study._storage, study)
    done = {slot_of(t) for t in own_trials(evaluation, DONE)} if evaluation is not None else set()
    slots = {Repeat.of(slot).trial for slot in done}
    return {n: next(d for d in count() if Repeat(n, d).slot not in done) for n in slots}


def check_evaluation(storage: BaseStorage, study: Study) -> None:
    """Raise StudyError if there is another study where the evaluation of `study` would be."""
    found = _named_like_it(storage, study)
    if found is None or find_evaluation(storage, study) is not None:
        return
    if EVALUATES in found.user_attrs:
        raise StudyError(
            f"study '{found.study_name}' evaluates a '{study.study_name}' that is gone; "
            f"hpsearch delete {found.study_name}"
        )
    if found.get_trials(deepcopy=False):  # else its creator died before it wrote what it is
        raise StudyError(
            f"study '{found.study_name}' has the name that the evaluation of '{study.study_name}' "
            "would have, but is another search"
        )


def _named_like_it(storage: BaseStorage, study: Study) -> Study | None:
    name = evaluation_name(study)
    if name not in optuna.get_all_study_names(storage):
        return None
    return optuna.load_study(storage=storage, study_name=name)


def open_evaluation(
    storage: BaseStorage, study: Study, settings: StudySettings, digest: str
) -> Study:
    """Create the study that evaluates `study`, or open it to go on; raises StudyError."""
    evaluation = find_evaluation(storage, study)
    if evaluation is None:
        evaluation = open_study(storage, evaluation_name(study), settings, digest)
        evaluation.set_user_attr(EXPERIMENT, experiment_name(study))
        if ROUND in study.user_attrs:
            evaluation.set_user_attr(ROUND, study.user_attrs[ROUND])
        whose = {"study": study.study_name, "id": study_id(study)}
        evaluation.set_user_attr(EVALUATES, whose)
    return evaluation


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
