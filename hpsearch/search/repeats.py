"""RepeatObjective: configurations of a search trained again, with other weights and batches.

Its trials are those of an evaluation's study, whose slots say which configuration and which draw.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import StudyError
from hpsearch.evaluation.found import trained_config
from hpsearch.execution.objective import Objective, draw_network, follow
from hpsearch.trials.curves import METRICS, Curves
from hpsearch.trials.slots import Repeat, slot_of
from model.config import TrainConfig
from model.network import Network
from model.training import build_optimizer, build_schedule, train_epoch

if TYPE_CHECKING:
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.execution.objective import OnEpoch
    from hpsearch.settings.study import StudySettings
    from model.data import Dataset
    from model.training import Epoch

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


def _train_at(
    rates: Sequence[float], network: Network, data: Dataset, rng: np.random.Generator
) -> Iterator[Epoch]:
    optimizer = build_optimizer(network.config, network.params)
    for number, rate in enumerate(rates, start=1):
        yield train_epoch(network, data, rng, optimizer, number, rate)


def joined(data: Dataset) -> Dataset:
    """Return the data with the validation rows among those that are trained on."""
    return replace(
        data,
        x_train=np.concatenate([data.x_train, data.x_val]),
        y_train=np.concatenate([data.y_train, data.y_val]),
        x_val=data.x_val[:0],
        y_val=data.y_val[:0],
    )


def learning_rates(config: TrainConfig, val_losses: Sequence[float]) -> list[float]:
    """Return the learning rates of a training's epochs; a schedule may look at its losses."""
    schedule = build_schedule(config)
    return [schedule(epoch + 1, val_losses[:epoch]) for epoch in range(len(val_losses))]


def final_network(trial: FrozenTrial, settings: StudySettings, data: Dataset) -> Network:
    """Return the network that a final trial has trained; raises StudyError."""
    config = trained_config(trial)
    network, _ = draw_network(settings, data, config, slot_of(trial))
    state = np.frombuffer(b64decode(trial.user_attrs[NETWORK]), network.state.dtype)
    if state.shape != network.state.shape:
        raise StudyError(f"{Repeat.of(slot_of(trial)).name} is of another shape than its data")
    network.state[:] = state
    return network
