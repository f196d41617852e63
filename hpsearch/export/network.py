"""The network of a study's winner: the final one of its evaluation, or its own, trained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from hpsearch.analysis.ranking import best_epoch
from hpsearch.data.loading import load_final
from hpsearch.data.sources import data_errors
from hpsearch.errors import DataError, StudyError
from hpsearch.execution.objective import load_network
from hpsearch.export.winner import standing_evaluation, trial_of_winner, trial_title
from hpsearch.search.finals import final_network
from hpsearch.search.repeats import check_data, evaluation_settings
from hpsearch.settings.data import Folds
from hpsearch.storage.catalog import find_evaluation, study_settings
from hpsearch.trainables.network import (
    attribute,
    learning_rates,
    start_final_training,
    trained_config,
)
from hpsearch.trials.records import (
    Repeat,
    curves_of,
    data_of,
    own_trials,
    repeat_of,
    slot_of,
    validation_of,
)
from model.estimators import MLPClassifier, MLPRegressor
from model.outputs import Threshold
from model.training import CURVES

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.evaluation.record import Evaluation
    from hpsearch.trainables.network import NetworkModel
    from model.config import TrainConfig
    from model.data import Dataset
    from model.network import Network
    from model.training import Epoch


@dataclass(frozen=True)
class Winner:
    """A trial of a study and its network, which predicts from raw rows.

    scores: the network's on the test set, as {"test/accuracy": 0.97}; if they are empty, `untested`
    says why. final_epochs: for how many epochs an evaluation trained the network on training and
    validation rows together; 0 if none did. folds: how many folds the trial was validated on, 0 if
    on one split.
    """

    trial: FrozenTrial
    network: MLPClassifier | MLPRegressor
    scores: dict[str, float] = field(default_factory=dict)
    final_epochs: int = 0
    untested: str = "No test score"
    folds: int = 0

    @property
    def how(self) -> str:
        """How the network was trained: "trained again up to that epoch"."""
        if not self.final_epochs:
            epochs = "trained again up to that epoch"
            return f"{epochs}, on the rows of all {self.folds} folds" if self.folds else epochs
        rows = "training and validation rows"
        return f"trained by its evaluation on {rows} for {self.final_epochs} epochs"


def winner_with_network(storage: BaseStorage, study: Study, slot: int | None = None) -> Winner:
    """Return the winning trial with its network; raise StudyError or DataError.

    The network is the one that `evaluate` trained on training and validation rows. Without an
    evaluation, or for another trial by its `slot`, the trial's own network is trained again.
    """
    evaluation = standing_evaluation(study)
    trial = trial_of_winner(study, evaluation, slot)
    final = None
    if evaluation is not None and slot is None:
        final = _final_trial(storage, study, evaluation)
    untested = _untested(study, evaluation, slot)
    network = retrain(study, trial) if final is None else _final_estimator(study, final)
    data = study_settings(study).data
    network.positive_, network.weight_ = data.positive, data.weight
    if evaluation is None or final is None:
        folds = data.validation.folds if isinstance(data.validation, Folds) else 0
        return Winner(trial, network, untested=untested, folds=folds)
    scores = evaluation.first_scores if evaluation.is_scored else {}
    beside = evaluation.comparison if evaluation.is_scored else None
    # An evaluation by an earlier version has some of them only in its comparison.
    more = {} if beside is None else {f"test/{k}": v for k, v in beside.models[0].scores.items()}
    if evaluation.is_scored and evaluation.threshold is not None:
        name, value = evaluation.threshold
        network.threshold_ = Threshold(evaluation.class_names.index(name), value)
    network.test_scores_ = {name: v for name, v in (more | scores).items() if v is not None}
    return Winner(trial, network, scores, evaluation.epochs, untested)


def _untested(study: Study, evaluation: Evaluation | None, slot: int | None) -> str:
    """Return why the network has no score on the test set; meaningless if it has one."""
    if validation_of(study) == "test":
        return "Validated on the test set: nothing is left to test it on"
    if slot is not None:
        return "Not tested: an evaluation tests the network that it chooses"
    if evaluation is None:
        return f"Not evaluated yet, so without a test score: `hpsearch evaluate {study.study_name}`"
    return f"No test score: {evaluation.unscored}"


def _final_trial(storage: BaseStorage, study: Study, evaluation: Evaluation) -> FrozenTrial | None:
    """Return the trial of the first final network, the one that was scored, or None."""
    evaluating, epochs = find_evaluation(storage, study), evaluation.epochs
    if evaluating is None or not epochs:
        return None
    found = {repeat_of(t): t for t in own_trials(evaluating, (TrialState.COMPLETE,))}
    finals = (Repeat(evaluation.chosen.slot, draw, epochs) for draw in range(evaluation.seeds))
    return next((found[final] for final in finals if final in found), None)


def retrain(study: Study, trial: FrozenTrial) -> MLPClassifier | MLPRegressor:
    """Train the network of `trial` again up to its best epoch and return it.

    It predicts from raw rows. Raises DataError if the data have changed, and StudyError if the
    network is not exactly the one that the trial trained.
    """
    settings, trained_on, epochs = study_settings(study), data_of(trial), best_epoch(trial)
    assert trained_on is not None  # the study has settings, so hpsearch ran its trials
    assert epochs is not None  # a complete trial has curves
    search, title = settings.search, trial_title(study, trial)
    model = load_network(settings)
    if model.digest != trained_on.digest:
        raise DataError(f"data.source: {settings.data.source} has changed since {title} was run")
    train = _train_folds if len(model.folds) > 1 else _train_network
    with threadpool_limits(limits=1, user_api="blas"):  # as workers do: rounding depends on it
        config, draw = trained_config(trial), search.draw(slot_of(trial))
        value, trained = train(model, config, draw, epochs)
    if value != trial.value:
        raise StudyError(
            f"{title} had {search.metric} {trial.value} at epoch {epochs}, but training it again "
            f"here gave {value}; export it with the library versions and on the kind of machine "
            "that the study ran with"
        )
    if search.threshold is not None:
        trained.threshold_ = model.threshold(config, draw, epochs, search.threshold)
    return trained


def _train_network(
    model: NetworkModel, config: TrainConfig, draw: int, epochs: int
) -> tuple[float, MLPClassifier | MLPRegressor]:
    """Train up to the best epoch; return the value there, and the network."""
    network, training = model.start_training(config, draw)
    history = list(islice(training, epochs))  # stop there: these are the best weights
    value = float(history[-1].value(model.epoch_metric)) if len(history) == epochs else nan
    return value, _estimator(network, model.dataset, _curves(history), epochs)


def _train_folds(
    model: NetworkModel, config: TrainConfig, draw: int, epochs: int
) -> tuple[float, MLPClassifier | MLPRegressor]:
    """Train all folds up to their best epoch, and a network on all of their rows for as long.

    Return the mean value at that epoch, and the network.
    """
    ends = list(islice(model.epochs(config, draw), epochs))
    value = ends[-1].metrics[model.metric] if len(ends) == epochs else nan
    rates = learning_rates(config, [end.metrics["val/loss"] for end in ends])
    network, training = start_final_training(
        model.final_data,
        replace(config, early_stopping=0),
        seed=model.seed,
        draw=draw,
        rates=rates,
    )
    history = list(training)
    return value, _estimator(network, model.final_data, _curves(history), len(history))


def _curves(history: Sequence[Epoch]) -> dict[str, list[float]]:
    return {name: [getattr(epoch, name) for epoch in history] for name in CURVES}


def _final_estimator(study: Study, trial: FrozenTrial) -> MLPClassifier | MLPRegressor:
    """Return the network that the final `trial` trained; raise StudyError or DataError."""
    settings = evaluation_settings(study)
    with data_errors():
        data = load_final(**settings.data.arguments())
    check_data(study, data.digest)
    curves = {
        attribute(name): [value if value is not None else nan for value in values]
        for name, values in curves_of(trial).values.items()
    }
    network = final_network(trial, settings, data)
    return _estimator(network, data, curves, len(curves_of(trial)))


def _estimator(
    network: Network, data: Dataset, curves: Mapping[str, list[float]], epochs: int
) -> MLPClassifier | MLPRegressor:
    """Return `network`, trained for `epochs` epochs, as an estimator; a missing curve is NaN."""
    kind = MLPClassifier if data.n_classes else MLPRegressor
    estimator = kind.from_network(network, data, random_state=0)
    estimator.history_ = {name: curves.get(name, [nan] * epochs) for name in CURVES}
    estimator.best_epoch_ = epochs
    return estimator


def network_bytes(estimator: MLPClassifier | MLPRegressor) -> bytes:
    """Return the contents of a network's .npz file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        estimator.save(path)
        return path.read_bytes()
