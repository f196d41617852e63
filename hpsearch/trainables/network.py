"""TODO."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import DataError
from hpsearch.trials.curves import METRICS
from hpsearch.trials.slots import derive_rng
from model.config import TrainConfig
from model.data import load_dataset
from model.network import Network
from model.training import build_optimizer, build_schedule, train, train_epoch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.settings.study import StudySettings
    from model.data import Dataset
    from model.training import Epoch


def start_training(
    settings: StudySettings, data: Dataset, config: TrainConfig, slot: int
) -> tuple[Network, Iterator[Epoch]]:
    """Return the network of `slot`, not trained yet, and the epochs that train it when iterated."""
    network, batches = draw_network(settings, data, config, slot)
    metric, diagnostics = METRICS[settings.search.metric], settings.search.diagnostics
    return network, train(network, data, batches, metric=metric, diagnostics=diagnostics)


def draw_network(
    settings: StudySettings, data: Dataset, config: TrainConfig, slot: int
) -> tuple[Network, np.random.Generator]:
    """Return the network of `slot`, not trained yet, and what shuffles its batches.

    Both depend on the seed and the slot alone.
    """
    search, draw = settings.search, settings.search.draw(slot)
    weights, batches = (derive_rng(search.seed, draw, what) for what in ("weights", "batches"))
    return Network(data.n_features, data.n_classes, config, weights), batches


def load_data(settings: StudySettings) -> Dataset:
    """Load what [data] asks for; raises DataError."""
    try:
        return load_dataset(**settings.data.model_dump())
    except OSError as error:
        what = error.strerror or str(error)
        where = f"{os.fspath(error.filename)}: " if error.filename else ""
        raise DataError(f"data.source: {where}{what}") from error
    except ValueError as error:
        raise DataError(f"data: {error}") from error


def trained_config(trial: FrozenTrial) -> TrainConfig:
    """Return what a trial of hpsearch has trained."""
    return TrainConfig(**trial.user_attrs["setup"]["config"])


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
