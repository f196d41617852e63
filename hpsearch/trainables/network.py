"""The built-in network: its data, its training, and the final networks of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import DataError
from hpsearch.trainables.base import OnEpochEnd, followed
from hpsearch.trials.metrics import METRICS
from hpsearch.trials.records import DataId, config_of
from hpsearch.trials.slots import derive_rng
from model.config import TrainConfig
from model.data import load_dataset
from model.network import Network
from model.training import build_optimizer, build_schedule, train, train_epoch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.trials.checkpoints import Checkpoint
    from model.data import Dataset
    from model.training import Epoch


TRAINING_METRICS = tuple(name for name in METRICS if name.startswith("train/"))


def load_data(table: Mapping[str, Any]) -> Dataset:
    """Return the data set that a [data] table asks for; raise DataError if it cannot be had."""
    try:
        return load_dataset(**table)
    except OSError as error:
        what = error.strerror or str(error)
        where = f"{os.fspath(error.filename)}: " if error.filename else ""
        relative = bool(where) and not os.path.isabs(error.filename)
        there = f" (relative to {os.getcwd()})" if relative else ""
        raise DataError(f"data.source: {where}{what}{there}") from error
    except ValueError as error:
        raise DataError(f"data: {error}") from error


class NetworkModel:
    """The built-in network on one data set.

    metric: by which early stopping chooses its epoch. Raises DataError.
    """

    name, code = "the network", ""

    def __init__(
        self,
        table: Mapping[str, Any],
        *,
        seed: int,
        metric: str,
        diagnostics: bool = False,
    ) -> None:
        self.dataset = load_data(table)
        self.seed, self.metric, self.diagnostics = seed, metric, diagnostics

    @property
    def data(self) -> DataId:
        """What identifies the data."""
        return DataId(self.dataset.name, self.dataset.digest, self.dataset.source)

    @property
    def digest(self) -> str:
        """The digest of the data."""
        return self.dataset.digest

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the data."""
        return self.dataset.class_names

    @property
    def notes(self) -> Sequence[str]:
        """Sentences about the data that a person should read."""
        return self.dataset.notes

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a checkpoint: it does not, a trial takes seconds."""
        return False

    @property
    def test_rows(self) -> str:
        """The digest of the data; `search.finals` trains and scores its final networks."""
        return self.dataset.digest

    def epochs_of(self, config: TrainConfig) -> int:
        """Return the most epochs that a configuration allows."""
        return config.epochs

    def train(
        self,
        config: TrainConfig,
        draw: int,
        on_epoch_end: OnEpochEnd,
        resume: Checkpoint | None = None,  # noqa: ARG002
    ) -> None:
        """Train once; see `Model.train`. A network of a killed trial is trained from its seed."""
        _, epochs = start_training(
            self.dataset,
            config,
            seed=self.seed,
            draw=draw,
            metric=self.metric,
            diagnostics=self.diagnostics,
        )
        followed(epochs, reporting(on_epoch_end))


def reporting(
    on_epoch_end: OnEpochEnd, metrics: Sequence[str] = METRICS
) -> Callable[[Epoch], None]:
    """Return a function that hands the `metrics` of an epoch of the network to `on_epoch_end`."""
    attributes = {name: attribute(name) for name in metrics}

    def report(epoch: Epoch) -> None:
        values = {name: float(getattr(epoch, key)) for name, key in attributes.items()}
        norms = epoch.diagnostics.gradient_norms if epoch.diagnostics else ()
        on_epoch_end(values, norms)

    return report


def attribute(metric: str) -> str:
    """Return the attribute of an epoch that holds a metric: val/loss is in val_loss."""
    return metric.replace("/", "_")


def draw_network(
    data: Dataset, config: TrainConfig, seed: int, draw: int
) -> tuple[Network, np.random.Generator]:
    """Return an untrained network, and the generator that shuffles its batches.

    Both depend only on `seed` and `draw`, the number of the draw of weights and batches.
    """
    weights, batches = (derive_rng(seed, draw, what) for what in ("weights", "batches"))
    return Network(data.n_features, data.n_classes, config, weights), batches


def start_training(
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    draw: int,
    metric: str,
    diagnostics: bool = False,
) -> tuple[Network, Iterator[Epoch]]:
    """Return an untrained network, and the epochs that train it as they are iterated.

    metric: by which early stopping chooses its epoch. diagnostics: whether epochs have gradient
    norms.
    """
    network, batches = draw_network(data, config, seed, draw)
    return network, train(network, data, batches, metric=attribute(metric), diagnostics=diagnostics)


def start_final_training(
    data: Dataset, config: TrainConfig, *, seed: int, draw: int, rates: Sequence[float]
) -> tuple[Network, Iterator[Epoch]]:
    """Return an untrained network, and one epoch for each learning rate in `rates`.

    Without validation rows nothing can be stopped early: rates and epochs are known beforehand.
    """
    network, batches = draw_network(data, config, seed, draw)
    return network, _train_at(rates, network, data, batches)


def _train_at(
    rates: Sequence[float], network: Network, data: Dataset, rng: np.random.Generator
) -> Iterator[Epoch]:
    optimizer = build_optimizer(network.config, network.params)
    for number, rate in enumerate(rates, start=1):
        yield train_epoch(network, data, rng, optimizer, number, rate)


def trained_config(trial: FrozenTrial) -> TrainConfig:
    """Return the configuration that a trial of hpsearch trained."""
    return TrainConfig(**config_of(trial))


def with_validation_rows(data: Dataset) -> Dataset:
    """Return the data with the validation rows among the training rows, and none left over."""
    return replace(
        data,
        x_train=np.concatenate([data.x_train, data.x_val]),
        y_train=np.concatenate([data.y_train, data.y_val]),
        x_val=data.x_val[:0],
        y_val=data.y_val[:0],
    )


def learning_rates(config: TrainConfig, val_losses: Sequence[float]) -> list[float]:
    """Return the learning rate of each epoch, where a schedule may depend on the losses so far."""
    schedule = build_schedule(config)
    return [schedule(epoch + 1, val_losses[:epoch]) for epoch in range(len(val_losses))]
