"""The built-in network: its data, its training, and the final networks of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.files import is_table
from hpsearch.data.giveaways import giveaways
from hpsearch.data.loading import with_validation_rows
from hpsearch.errors import SettingsError
from hpsearch.trainables.base import OnEpochEnd, followed
from hpsearch.trainables.folds import EpochEnd, in_lockstep, stopped_early
from hpsearch.trainables.scoring import (
    Predicted,
    Truth,
    check_metrics,
    check_threshold,
    known_scores,
    positive_class,
    scores_of,
)
from hpsearch.trainables.threshold import best_threshold
from hpsearch.trials.metrics import METRICS, METRICS_OF_NUMBERS
from hpsearch.trials.records import DataId, config_of
from hpsearch.trials.slots import derive_rng
from model.config import TrainConfig
from model.losses import LOSSES, MULTILABEL
from model.network import Network
from model.outputs import Threshold, decided
from model.training import build_optimizer, build_schedule, train, train_epoch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import FrozenTrial

    from hpsearch.trials.checkpoints import Checkpoint
    from model.data import Dataset
    from model.training import Epoch


OF_NUMBERS = "squared_error"  # the loss, if none is named; that of classes is TrainConfig's


class Scoring:
    """How predictions for rows of a data set are scored.

    positive: of two classes the one that some scores are about. names: the scores to measure on
    validation rows after each epoch.
    """

    def __init__(self, data: Dataset, positive: int, names: Sequence[str] = ()) -> None:
        self.data, self.positive, self.names = data, positive, names
        self.validation = self.truth(self._numbers(data.y_val), data.w_val)

    def _numbers(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return classes and labels as they are, and numbers in their own units."""
        if self.data.multilabel:
            return y.astype(np.intp)
        return y if self.data.n_classes else self.data.target_scaler.inverse(y)

    def truth(self, y: NDArray[Any], weights: NDArray[Any] | None) -> Truth:
        """Return what predictions are scored against: class indices, or numbers in their units."""
        return Truth(y, self.data.class_names, self.positive, weights)

    def predicted(self, outputs: NDArray[Any], threshold: Threshold | None = None) -> Predicted:
        """Return what a network predicts, from what `Network.predict` returns."""
        data = self.data
        if data.n_classes:
            return Predicted(decided(outputs, threshold, multilabel=data.multilabel), outputs)
        return Predicted(self._numbers(outputs))

    def __call__(self, outputs: NDArray[Any]) -> dict[str, float]:
        """Return the scores of what a network predicts for the validation rows."""
        found = scores_of(self.names, self.validation, self.predicted(outputs))
        return {f"val/{name}": value for name, value in found.items()}


class NetworkModel:
    """The built-in network on one data set, or on several folds of it.

    folds: training and validation rows. final: returns what final networks are trained on; None:
    the rows of the only fold. metric: by which early stopping chooses its epoch, and `maximize`
    which way it is better. metrics: others that are tracked. positive: of two classes the one that
    some scores are about; None: the second. Raises SettingsError, also for a `threshold` or a
    `loss` that does not fit the labels.
    """

    name, code = "the network", ""

    def __init__(
        self,
        *folds: Dataset,
        seed: int,
        metric: str,
        maximize: bool,
        final: Callable[[], Dataset] | None = None,
        metrics: Sequence[str] = (),
        positive: str | None = None,
        threshold: str | float | None = None,
        losses: Collection[str] = (),
        diagnostics: bool = False,
    ) -> None:
        self.folds, self.seed, self.diagnostics = folds, seed, diagnostics
        self.metric, self.maximize, self._final = metric, maximize, final
        check_losses(losses, self.dataset)
        classes = self.class_names
        self.metrics = METRICS if classes else METRICS_OF_NUMBERS
        several = self.dataset.multilabel
        scores = known_scores(classes, multilabel=several)
        known = [*self.metrics[1:], *(f"val/{name}" for name in scores)]
        check_metrics(metric, metrics, known, self._labels)
        asked = dict.fromkeys([metric, *metrics])
        self.scores = [name.removeprefix("val/") for name in asked if name not in self.metrics]
        self.positive = positive_class(classes, positive, multilabel=several)
        check_threshold(threshold, classes, multilabel=several)
        self._scorings = [Scoring(data, self.positive, self.scores) for data in folds]

    @property
    def _labels(self) -> str:
        """What the network predicts, for messages."""
        names, classes = self.dataset.target_names, self.dataset.n_classes
        kind = "labels" if self.dataset.multilabel else "classes"
        what = f"{classes} {kind}" if classes else "numbers"
        return f"{what} ({', '.join(names)})" if names else what

    @property
    def dataset(self) -> Dataset:
        """The only fold, or the first: names and classes are the same in all of them."""
        return self.folds[0]

    @cached_property
    def final_data(self) -> Dataset:
        """What final networks are trained on: all rows but the test rows, none to validate on."""
        if self._final is None or (len(self.folds) == 1 and self.dataset.w_train is None):
            return with_validation_rows(self.dataset)  # reading the source again takes longer
        return self._final()

    @property
    def final_scoring(self) -> Scoring:
        """How predictions of a final network are scored."""
        return Scoring(self.final_data, self.positive)

    @property
    def validation_rows(self) -> int:
        """How many different rows are validated on."""
        each = sum(len(data.y_val) for data in self.folds)  # repeated folds have them repeatedly
        return min(each, len(self.final_data.x_train))

    @property
    def epoch_metric(self) -> str:
        """The name of the metric in an epoch: of an attribute, or of a score."""
        return attribute(self.metric) if self.metric in self.metrics else self.metric

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
        followed(self.epochs(config, draw), lambda end: on_epoch_end(*end))

    def epochs(self, config: TrainConfig, draw: int) -> Iterator[EpochEnd]:
        """Train a network, or one for each fold in lockstep; yield after each epoch.

        Of folds the mean metric decides on early stopping.
        """
        if len(self.folds) == 1:
            return self._reported(config, draw, 0)
        to_the_end = replace(config, early_stopping=0)
        folds = [self._reported(to_the_end, draw, fold) for fold in range(len(self.folds))]
        together = in_lockstep(folds)
        if not config.early_stopping:
            return together
        return stopped_early(
            together, self.metric, maximize=self.maximize, patience=config.early_stopping
        )

    def threshold(
        self, config: TrainConfig, draw: int, epochs: int, chosen: str | float
    ) -> Threshold:
        """Return from which probability on a network predicts the positive class.

        chosen: the probability, or the score by which it is chosen on the validation rows: on those
        of all folds together, each predicted by the network of its fold after so many epochs.
        """
        if not isinstance(chosen, str):
            return Threshold(self.positive, chosen)
        to_the_end = replace(config, early_stopping=0)
        outputs = []
        with threadpool_limits(limits=1, user_api="blas"):  # as in a trial: rounding depends on it
            for fold, data in enumerate(self.folds):
                network, training = self.start_training(to_the_end, draw, fold)
                for _ in islice(training, epochs):
                    pass
                outputs.append(network.predict(data.x_val))
        truths = [scoring.validation for scoring in self._scorings]
        weights = [truth.weights for truth in truths if truth.weights is not None]
        truth = replace(
            truths[0],
            y=np.concatenate([truth.y for truth in truths]),
            weights=np.concatenate(weights) if weights else None,
        )
        return best_threshold(chosen, truth, np.concatenate(outputs))

    def _reported(self, config: TrainConfig, draw: int, fold: int) -> Iterator[EpochEnd]:
        _, epochs = self.start_training(config, draw, fold)
        return reported(epochs, self.metrics)

    def start_training(
        self, config: TrainConfig, draw: int, fold: int = 0
    ) -> tuple[Network, Iterator[Epoch]]:
        """Return an untrained network, and the epochs that train it as they are iterated."""
        data = self.folds[fold]
        network, batches = draw_network(data, config, self.seed, draw, fold)
        epochs = train(
            network,
            data,
            batches,
            metric=self.epoch_metric,
            maximize=self.maximize,
            score=self._scorings[fold] if self.scores else None,
            diagnostics=self.diagnostics,
        )
        return network, epochs


def check_losses(losses: Collection[str], data: Dataset) -> None:
    """Raise SettingsError if a loss that [trial] names is not for the labels of the data."""
    kinds = {
        name: "numbers" if loss.regression else "several labels" if loss.multilabel else "classes"
        for name, loss in LOSSES.items()
    }
    own = "several labels" if data.multilabel else "classes" if data.n_classes else "numbers"
    known = [name for name, kind in kinds.items() if kind == own]
    for name in losses:
        if name not in known:
            what = "there are several labels" if data.multilabel else f"these labels are {own}"
            raise SettingsError(
                f"trial.loss: {name!r} is for {kinds[name]}, and {what}; use {', '.join(known)}"
            )


def default_loss(data: Dataset) -> str | None:
    """Return the loss of a study that names none, None for that of TrainConfig."""
    return MULTILABEL if data.multilabel else None if data.n_classes else OF_NUMBERS


def reported(epochs: Iterator[Epoch], metrics: Sequence[str]) -> Iterator[EpochEnd]:
    """Yield each epoch's `metrics`, and its scores, as a trial records them."""
    attributes = {name: attribute(name) for name in metrics}
    for epoch in epochs:
        values = {name: float(getattr(epoch, key)) for name, key in attributes.items()}
        values.update(epoch.scores)
        yield EpochEnd(values, epoch.diagnostics.gradient_norms if epoch.diagnostics else ())


def attribute(metric: str) -> str:
    """Return the attribute of an epoch that holds a metric: val/loss is in val_loss."""
    return metric.replace("/", "_")


def draw_network(
    data: Dataset, config: TrainConfig, seed: int, draw: int, fold: int = 0
) -> tuple[Network, np.random.Generator]:
    """Return an untrained network, and the generator that shuffles its batches.

    Both depend only on `seed`, `draw`, the number of the draw of weights and batches, and `fold`.
    """
    which = f" of fold {fold}" if fold else ""
    weights, batches = (derive_rng(seed, draw, f"{what}{which}") for what in ("weights", "batches"))
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


def learning_rates(config: TrainConfig, val_losses: Sequence[float]) -> list[float]:
    """Return the learning rate of each epoch, where a schedule may depend on the losses so far."""
    schedule = build_schedule(config)
    return [schedule(epoch + 1, val_losses[:epoch]) for epoch in range(len(val_losses))]
