"""The built-in network: its data, its training, and the final networks of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.files import is_table
from hpsearch.data.giveaways import giveaways
from hpsearch.data.loading import load_dataset
from hpsearch.errors import DataError, SettingsError
from hpsearch.trainables.base import OnEpochEnd, followed
from hpsearch.trainables.scoring import (
    Predicted,
    Truth,
    check_metrics,
    known_scores,
    positive_class,
    scores_of,
)
from hpsearch.trials.metrics import METRICS, METRICS_OF_NUMBERS
from hpsearch.trials.records import DataId, config_of
from hpsearch.trials.slots import derive_rng
from model.config import TrainConfig
from model.losses import LOSSES
from model.network import Network
from model.training import build_optimizer, build_schedule, train, train_epoch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import FrozenTrial

    from hpsearch.trials.checkpoints import Checkpoint
    from model.data import Dataset
    from model.training import Epoch


DEFAULT_LOSS = {"loss": "squared_error"}  # of numbers; that of classes is TrainConfig's


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

    metric: by which early stopping chooses its epoch, and `maximize` which way it is better.
    metrics: others that are tracked. positive: of two classes the one that some scores are about;
    None: the second. Raises SettingsError, also for a `loss` that does not fit the labels.
    """

    name, code = "the network", ""

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        metric: str,
        maximize: bool,
        metrics: Sequence[str] = (),
        positive: str | None = None,
        losses: Collection[str] = (),
        diagnostics: bool = False,
    ) -> None:
        self.dataset, self.seed, self.diagnostics = dataset, seed, diagnostics
        self.metric, self.maximize = metric, maximize
        check_losses(losses, dataset)
        classes = dataset.class_names
        self.metrics = METRICS if classes else METRICS_OF_NUMBERS
        known = [*self.metrics[1:], *(f"val/{name}" for name in known_scores(classes))]
        check_metrics(metric, metrics, known, self._labels)
        self.truth = Truth(self._numbers(dataset.y_val), classes, positive_class(classes, positive))
        asked = dict.fromkeys([metric, *metrics])
        self.scores = [name.removeprefix("val/") for name in asked if name not in self.metrics]

    @property
    def _labels(self) -> str:
        """What the network predicts, for messages."""
        names, classes = self.dataset.target_names, self.dataset.n_classes
        what = f"{classes} classes" if classes else "numbers"
        return f"{what} ({', '.join(names)})" if names else what

    def _numbers(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return classes as they are, and numbers in their own units."""
        return y if self.dataset.n_classes else self.dataset.target_scaler.inverse(y)

    def predicted(self, outputs: NDArray[Any]) -> Predicted:
        """Return what the network predicts, from what `Network.predict` returns."""
        if self.dataset.n_classes:
            return Predicted(outputs.argmax(axis=1), outputs)
        return Predicted(self._numbers(outputs))

    @property
    def epoch_metric(self) -> str:
        """The name of the metric in an epoch: of an attribute, or of a score."""
        return attribute(self.metric) if self.metric in self.metrics else self.metric

    def _score(self, outputs: NDArray[Any]) -> dict[str, float]:
        found = scores_of(self.scores, self.truth, self.predicted(outputs))
        return {f"val/{name}": value for name, value in found.items()}

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
        data = self.dataset
        if not is_table(data.source):
            return data.notes
        found = giveaways(data.x_train, data.feature_names, data.y_train, data.class_names)
        return (*data.notes, *(f"{data.source}: {sentence}" for sentence in found))

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
        _, epochs = self.start_training(config, draw)
        followed(epochs, reporting(on_epoch_end, self.metrics))

    def start_training(self, config: TrainConfig, draw: int) -> tuple[Network, Iterator[Epoch]]:
        """Return an untrained network, and the epochs that train it as they are iterated."""
        network, batches = draw_network(self.dataset, config, self.seed, draw)
        epochs = train(
            network,
            self.dataset,
            batches,
            metric=self.epoch_metric,
            maximize=self.maximize,
            score=self._score if self.scores else None,
            diagnostics=self.diagnostics,
        )
        return network, epochs


def check_losses(losses: Collection[str], data: Dataset) -> None:
    """Raise SettingsError if a loss that [trial] names is not for the labels of the data."""
    numbers = not data.n_classes
    known = [name for name, loss in LOSSES.items() if loss.regression == numbers]
    for name in losses:
        if name not in known:
            what = "classes, and these labels are numbers" if numbers else "numbers"
            more = "" if numbers else ", and these labels are classes"
            raise SettingsError(f"trial.loss: {name!r} is for {what}{more}; use {', '.join(known)}")


def reporting(on_epoch_end: OnEpochEnd, metrics: Sequence[str]) -> Callable[[Epoch], None]:
    """Return a function that hands an epoch's `metrics`, and its scores, to `on_epoch_end`."""
    attributes = {name: attribute(name) for name in metrics}

    def report(epoch: Epoch) -> None:
        values = {name: float(getattr(epoch, key)) for name, key in attributes.items()}
        values.update(epoch.scores)
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
    return Network(data.n_features, data.n_outputs, config, weights), batches


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
