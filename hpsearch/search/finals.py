"""Final networks: the winner of an evaluation, trained on everything but the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch
from hpsearch.errors import StudyError
from hpsearch.execution.objective import Follower, load_network, recorded, setup_for
from hpsearch.search.repeats import Plan, Retraining, plan_slots
from hpsearch.trainables.base import followed
from hpsearch.trainables.network import (
    NetworkModel,
    draw_network,
    learning_rates,
    reported,
    start_final_training,
    trained_config,
)
from hpsearch.trainables.network_keys import NETWORK
from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    Repeat,
    curves_of,
    repeat_of,
    slot_of,
    weights_of,
    write_repeat,
    write_setup,
    write_weights,
)
from model.network import Network

if TYPE_CHECKING:
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.execution.objective import OnEpoch
    from hpsearch.settings.study import StudySettings
    from hpsearch.trials.checkpoints import SlotCheckpoints
    from model.data import Dataset


class FinalObjective:
    """Trains final networks: on the training and the validation rows together.

    plan: what each slot repeats; all of them have `config`. rates: the learning rate of each epoch.
    A trial keeps its weights, and its value is the last epoch's accuracy or loss on these rows.
    """

    def __init__(
        self,
        settings: StudySettings,
        plan: Plan,
        config: Mapping[str, Any],
        rates: Sequence[float],
        model: NetworkModel | None = None,
    ) -> None:
        self.settings, self.plan, self.config, self.rates = settings, plan, config, rates
        self.model = load_network(settings) if model is None else model

    @property
    def recipe(self) -> Callable[[], FinalObjective]:
        """A function without the data, to be pickled, that makes the same objective."""
        return partial(type(self), self.settings, self.plan, self.config, self.rates)

    def __call__(
        self,
        trial: BaseTrial,
        on_epoch: OnEpoch | None = None,
        checkpoints: SlotCheckpoints | None = None,  # noqa: ARG002
    ) -> float:
        """Train one network, keep its weights on the trial, and return its last training value."""
        repeat, search = self.plan[slot_of(trial)], self.settings.search
        metric = "train/accuracy" if search.metric == "val/accuracy" else "train/loss"
        # Nothing is left to validate on.
        config = replace(NETWORK.build(self.config), early_stopping=0)
        trained = [name for name in self.model.metrics if name.startswith("train/")]
        with recorded(trial, Curves()) as curves:
            write_repeat(trial, repeat)
            write_setup(trial, setup_for(self.settings, self.model, config))
            network, epochs = start_final_training(
                self.model.final_data, config, seed=search.seed, draw=repeat.draw, rates=self.rates
            )
            Follower(trial, curves, search, on_epoch, metric=metric).follow(
                lambda follower: followed(reported(epochs, trained), lambda end: follower(*end))
            )
            write_weights(trial, network.state.tobytes())
            return float(curves.values[metric][-1] or 0.0)


def final_network(trial: FrozenTrial, settings: StudySettings, data: Dataset) -> Network:
    """Return the network that a final trial trained; raise StudyError if `data` do not fit it."""
    repeat = repeat_of(trial)
    assert repeat is not None  # a complete trial records what it repeats
    network, _ = draw_network(data, trained_config(trial), settings.search.seed, repeat.draw)
    state = np.frombuffer(weights_of(trial), network.state.dtype)
    if state.shape != network.state.shape:
        raise StudyError(f"{repeat.name} has another shape than its data")
    network.state[:] = state
    return network


def train_finals(
    retraining: Retraining, model: NetworkModel, slot: int, seeds: int
) -> list[FrozenTrial]:
    """Train the final networks of the trial in `slot`; return those that did not diverge.

    Each is trained for the median of the repeats' best epochs, at the learning rates of the
    repeat that has it. Raises as `Retraining.repeat` does.
    """
    settings, config = retraining.settings, retraining.configs[slot]
    repeats = retraining.complete(slot, seeds)
    epochs = retraining.typical_epochs(slot, seeds)
    typical = next(trial for trial in repeats if best_epoch(trial) == epochs)
    losses = [loss or 0.0 for loss in curves_of(typical).of("val/loss")[:epochs]]
    rates = learning_rates(NETWORK.build(config), losses)
    finals = [Repeat(slot, draw, epochs) for draw in range(seeds)]
    plan = plan_slots(retraining.lease.study, finals)
    objective = FinalObjective(settings, plan, config, rates, model)
    trials = retraining.train(objective, "final networks")
    complete = (trials[final] for final in finals)
    return [trial for trial in complete if trial.state is TrialState.COMPLETE]
