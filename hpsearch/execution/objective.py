"""Objective: one trial, from its parameters to its value. It knows Optuna, but not MLflow."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from hpsearch.data.sources import data_errors
from hpsearch.errors import Interrupted, SettingsError
from hpsearch.formatting import counted
from hpsearch.storage.failures import is_storage_error
from hpsearch.trainables.base import Enough
from hpsearch.trainables.clients import ClientsModel, trained_elsewhere
from hpsearch.trainables.errors import ConfigurationError, ModelError
from hpsearch.trials.checkpoints import NothingSavedError
from hpsearch.trials.curves import Curves, Metrics
from hpsearch.trials.metrics import known_direction
from hpsearch.trials.records import (
    DIVERGED,
    Setup,
    assigned_slot,
    slot_of,
    write_curves,
    write_interrupted,
    write_no_try,
    write_reason,
    write_resumed,
    write_setup,
)

if TYPE_CHECKING:
    from typing import Protocol

    from optuna.trial import BaseTrial

    from hpsearch.settings.search import SearchSettings
    from hpsearch.settings.study import LabelledConfiguration, StudySettings
    from hpsearch.trainables.base import Model
    from hpsearch.trainables.network import NetworkModel
    from hpsearch.trials.checkpoints import Checkpoint, Save, SlotCheckpoints

    class WorkerObjective(Protocol):
        """What a worker runs: the objective of a search or of an evaluation."""

        settings: StudySettings

        @property
        def model(self) -> Model:
            """What it trains."""

        @property
        def recipe(self) -> Callable[[], WorkerObjective]:
            """A function without the data, to be pickled, that makes the same objective."""

        def __call__(
            self,
            trial: BaseTrial,
            on_epoch: OnEpoch | None = None,
            checkpoints: SlotCheckpoints | None = None,
        ) -> float:
            """Run one trial and return its value."""


OnEpoch = Callable[["BaseTrial", int], None]
DEFAULT_ERROR = {"metric": "val/rmse"}  # what is searched for where labels are numbers
LIVE_SECONDS = 5.0  # how often a long trial writes its curves while it runs


class Objective:
    """A callable for `study.optimize` or a FixedTrial: train once, return the best value.

    settings: what `load_settings` returns. The objective reads its data, metric, seed and space;
    the sampler, the pruner and the number of trials are up to the study.
    suggest: replaces the declared space by a function from an Optuna trial to a configuration.

    The model and its data are loaded here, and again where a pickled objective arrives. Raises
    SettingsError and DataError.

    A trial gets these user attributes: `setup` (configuration, metric, seed, data), `curves`, and
    where they apply `reason` (why it was pruned or failed), `interrupted` and `traceback`.
    """

    def __init__(
        self,
        settings: StudySettings,
        *,
        suggest: Callable[[BaseTrial], Any] | None = None,
    ) -> None:
        self.settings, self.model = loaded(settings)
        self.suggest = suggest

    def __reduce__(self) -> tuple[Callable[[], Objective], tuple[()]]:
        return self.recipe, ()

    @property
    def recipe(self) -> Callable[[], Objective]:
        """A function without the data, to be pickled, that makes the same objective."""
        return partial(type(self), self.settings, suggest=self.suggest)

    def __call__(
        self,
        trial: BaseTrial,
        on_epoch: OnEpoch | None = None,
        checkpoints: SlotCheckpoints | None = None,
    ) -> float:
        """Train one model and return the best validation value of its epochs.

        `on_epoch` is called after each epoch with its number, and ends the trial by raising
        Interrupted. checkpoints: those of the trial's slot. Raises TrialPruned when the pruner
        decides so or the loss is not finite.
        """
        search = self.settings.search
        with recorded(trial, Curves()) as curves:
            self._check_direction(trial)
            labelled = self._labelled(trial)
            config = self._suggest(trial, labelled)
            write_setup(trial, setup_for(self.settings, self.model, config, labelled))
            follower = Follower(trial, curves, search, on_epoch, checkpoints)
            return follower.best_of(self.model, config, search.draw(slot_of(trial)), prunes=True)

    def _check_direction(self, trial: BaseTrial) -> None:
        """Raise SettingsError if the study optimizes in the wrong direction, as its default may."""
        study, search = getattr(trial, "study", None), self.settings.search
        if study is not None and study.direction.name.lower() != search.direction:
            raise SettingsError(
                f"{search.metric} is to be {search.direction}d: create the study with "
                f"direction='{search.direction}'"
            )

    def _suggest(self, trial: BaseTrial, labelled: LabelledConfiguration | None) -> Any:
        if self.suggest is not None:
            return self.suggest(trial)
        space = self.settings.trial
        return space.suggest(trial, space.split(labelled.values)[1] if labelled else None)

    def _labelled(self, trial: BaseTrial) -> LabelledConfiguration | None:
        """Return the [[enqueue]] entry of the trial's slot; without a slot there is none."""
        slot = assigned_slot(trial)
        return None if slot is None else self.settings.labelled(slot)


def loaded(settings: StudySettings) -> tuple[StudySettings, Model]:
    """Return the settings with the defaults that depend on the data, and what the study trains.

    The labels decide on the metric and on the loss, where the study file does not name them. Raises
    SettingsError or DataError.
    """
    if settings.model is None:
        return _loaded_network(settings)
    if settings.model.estimator is not None and not _names_metric(settings):
        from hpsearch.trainables.estimator import predicts_numbers

        if predicts_numbers(settings.model.estimator):
            settings = settings.replace(search=DEFAULT_ERROR)
    return settings, load_model(settings)


def _names_metric(settings: StudySettings) -> bool:
    return "metric" in settings.search.model_fields_set


def load_model(settings: StudySettings) -> Model:
    """Return what the study trains, whose settings are complete; raises SettingsError or DataError.

    The built-in network is imported only where a study trains it: a user may have a model.py.
    """
    if settings.model is None:
        return load_network(settings)
    search, model = settings.search, settings.model
    if model.estimator is not None:
        from hpsearch.trainables.estimator import EstimatorModel

        return EstimatorModel(
            model.estimator,
            name=model.name,
            table=settings.data.parts(),
            keys=[*settings.trial.fixed, *settings.trial.searched],
            seed=search.seed,
            metric=search.metric,
            metrics=search.metrics,
            scale=settings.data.scale,
            class_weight=settings.data.class_weight,
            positive=settings.data.positive,
            threads=model.threads,
        )
    if model.train is None:
        return ClientsModel()
    from hpsearch.trainables.function import FunctionModel

    return FunctionModel(
        model.train,
        data=model.data,
        final=model.final,
        seed=search.seed,
        metric=search.metric,
        threads=model.threads,
    )


def check_trained_here(settings: StudySettings) -> None:
    """Raise SettingsError if clients of the service train the study."""
    if settings.model is not None and settings.model.clients:
        raise trained_elsewhere()


def load_network(settings: StudySettings) -> NetworkModel:
    """Return the built-in network of the study, with its data; raises HpsearchError."""
    return _loaded_network(settings)[1]


def _loaded_network(settings: StudySettings) -> tuple[StudySettings, NetworkModel]:
    from hpsearch.data.loading import load_final, load_folds  # imports the training core
    from hpsearch.trainables.network import NetworkModel, default_loss

    table = settings.data.arguments()
    with data_errors():
        folds = load_folds(**table)
    numbers = not folds[0].n_classes
    if numbers and not _names_metric(settings):
        settings = settings.replace(search=DEFAULT_ERROR)
    losses = [str(loss) for loss in settings.trial.values_of("loss")]
    if not losses and (usual := default_loss(folds[0])):
        settings = settings.replace(trial={"loss": usual})
    search = settings.search
    return settings, NetworkModel(
        *folds,
        final=partial(load_final, **table),
        seed=search.seed,
        metric=search.metric,
        maximize=search.direction == "maximize",
        metrics=search.metrics,
        positive=settings.data.positive,
        threshold=search.threshold,
        losses=losses,
        diagnostics=search.diagnostics,
    )


def setup_for(
    settings: StudySettings,
    model: Model,
    config: Any,
    labelled: LabelledConfiguration | None = None,
) -> Setup:
    """Return the record of what a trial trains."""
    search = settings.search
    return Setup(
        config=settings.trial.keys.as_dict(config),
        metric=search.metric,
        seed=search.seed,
        data=model.data,
        validation=settings.data.validated_on,
        label=labelled.label if labelled else "",
        direction="" if known_direction(search.metric) == search.direction else search.direction,
        model="" if settings.model is None else model.name,
        code=model.code,
        value="last" if search.value == "last" else "",
    )


@contextmanager
def recorded(trial: BaseTrial, curves: Curves) -> Iterator[Curves]:
    """Yield `curves` to be filled; write them on the trial at the end, and why it ended early."""
    try:
        yield curves
    except optuna.TrialPruned as pruned:
        write_reason(trial, str(pruned))
        raise
    except (Interrupted, KeyboardInterrupt):
        write_interrupted(trial)
        raise
    except UpdateFinishedTrialError:  # another process declared this trial dead
        raise
    except Exception as error:
        if is_storage_error(error):  # also of a disk that the model itself has filled
            write_no_try(trial)
        write_reason(trial, _said(error, curves), traceback.format_exc())
        raise
    finally:
        if len(curves):
            write_curves(trial, curves)


def _said(error: Exception, curves: Curves) -> str:
    """Return why a trial failed, with the epoch unless that is the first."""
    if isinstance(error, ModelError):
        return str(error)
    epoch = f" in epoch {len(curves) + 1}" if len(curves) else ""
    what = str(error).partition("\n")[0] if is_storage_error(error) else error  # without the SQL
    return f"{type(error).__name__}{epoch}: {what}"


class Follower:
    """Takes the epochs of a trial: it records them, reports to Optuna, and says when to stop.

    A long trial also writes its curves while it runs, for others to see. metric: the search's, or
    another one that the trial goes by. checkpoints: those of the trial's slot, where there are any.
    """

    def __init__(
        self,
        trial: BaseTrial,
        curves: Curves,
        search: SearchSettings,
        on_epoch: OnEpoch | None,
        checkpoints: SlotCheckpoints | None = None,
        *,
        metric: str = "",
    ) -> None:
        self.trial, self.curves, self.on_epoch = trial, curves, on_epoch
        self.metric, self.maximize = metric or search.metric, search.direction == "maximize"
        self.checkpoints = checkpoints
        self.last_counts = search.value == "last"
        self._epochs = 0  # that the configuration allows
        self._prune_before = 0  # the first epoch after which nothing is left to prune
        self._written = time.monotonic()
        self._ended_by: Exception | None = None

    def __call__(
        self,
        metrics: Metrics,
        gradient_norms: Sequence[float] = (),
        save: Save | None = None,
    ) -> None:
        """Take an epoch; raise Enough to end the training."""
        try:
            if self._ended_by is None:
                self._take(metrics, gradient_norms, save)
                return
        except (optuna.TrialPruned, Interrupted) as error:
            self._ended_by = error
        except NothingSavedError as error:
            raise ModelError(str(error)) from error
        raise Enough  # which a model does not catch, as it might catch an Exception

    def _take(self, metrics: Metrics, gradient_norms: Sequence[float], save: Save | None) -> None:
        number = len(self.curves) + 1
        if not self.curves.append(metrics, self.metric, gradient_norms):
            raise optuna.TrialPruned(f"{DIVERGED} at epoch {number}")
        value = metrics.get(self.metric)
        if value is not None:
            self.trial.report(value, step=number)
        saved = save is not None and self._save(save, value)
        if saved or time.monotonic() - self._written > LIVE_SECONDS:
            write_curves(self.trial, self.curves)
            self._written = time.monotonic()
        try:
            if self.on_epoch is not None:
                self.on_epoch(self.trial, number)
        except Interrupted:
            if save is not None and self.checkpoints is not None:
                self.checkpoints.save_last(save, self.curves)
            raise
        if number < self._prune_before and value is not None and self.trial.should_prune():
            raise optuna.TrialPruned(f"pruned at epoch {number}")

    def _save(self, save: Save, value: float | None) -> bool:
        """Save a checkpoint if one is wanted; return whether the trial can go on from it."""
        if self.checkpoints is None:
            return False
        judged = self._judged()
        is_best = judged is not None and judged[0] == len(self.curves)
        if self.last_counts and len(self.curves) < self._epochs:
            is_best = False
        return self.checkpoints.epoch_ended(save, self.curves, value=value if is_best else None)

    def _judged(self) -> tuple[int, float] | None:
        """Return the epoch by which the trial is judged so far, and its value."""
        return self.curves.judged(self.metric, maximize=self.maximize, by_last=self.last_counts)

    def follow(self, train: Callable[[Follower], None]) -> None:
        """Train; raise TrialPruned or Interrupted if that is how the training ended."""
        try:
            train(self)
        except Enough:
            pass
        except ConfigurationError as error:
            raise optuna.TrialPruned(str(error)) from error
        if self._ended_by is not None:
            raise self._ended_by

    def best_of(self, model: Model, config: Any, draw: int, *, prunes: bool = False) -> float:
        """Train `model` once, and return the best value of its epochs.

        prunes: whether the pruner is asked after each epoch.
        """
        self.expect(model.epochs_of(config), prunes=prunes)
        resume = self._restore(config)
        try:
            self.follow(lambda follower: model.train(config, draw, follower, resume))
        except optuna.TrialPruned:
            if self.checkpoints is not None:
                self.checkpoints.remove()
            raise
        except Exception:
            if self.checkpoints is not None and resume and len(self.curves) == resume.epoch:
                self.checkpoints.remove()  # it may be the cause: the next try begins anew
            raise
        value = self.value(model.name)
        if self.checkpoints is not None:
            self.checkpoints.completed()
        return value

    def expect(self, epochs: int, *, prunes: bool = False) -> None:
        """Expect this many epochs at most. prunes: whether the pruner is asked after each."""
        self._epochs, self._prune_before = epochs, epochs if prunes else 0

    def value(self, trained: str) -> float:
        """Return the value of a trial that has ended; raise ModelError if it has none.

        trained: what messages call the model.
        """
        judged = self._judged()
        if judged is None:
            epochs = counted(len(self.curves), "epoch")
            raise ModelError(f"{trained} ended after {epochs} without a value of {self.metric}")
        return judged[1]

    def _restore(self, config: Any) -> Checkpoint | None:
        """Take over the epochs that a killed trial has left with its checkpoint."""
        if self.checkpoints is None:
            return None
        found = self.checkpoints.begin(config, self.trial.params)
        if found is None:
            return None
        checkpoint, curves = found
        self.curves.restore(curves)
        for epoch, value in enumerate(curves.of(self.metric), start=1):
            if value is not None:
                self.trial.report(value, step=epoch)
        write_resumed(self.trial, checkpoint.epoch)
        return checkpoint
