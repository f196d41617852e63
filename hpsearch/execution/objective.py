"""Objective: one trial, from its parameters to its value. It knows Optuna, but not MLflow."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from hpsearch.errors import Interrupted, SettingsError
from hpsearch.storage.failures import is_storage_error
from hpsearch.trainables.network import load_data, start_training
from hpsearch.trials.curves import METRICS, Curves
from hpsearch.trials.records import (
    DIVERGED,
    DataId,
    Setup,
    assigned_slot,
    slot_of,
    write_curves,
    write_interrupted,
    write_no_try,
    write_reason,
    write_setup,
)

if TYPE_CHECKING:
    from typing import Protocol

    from optuna.trial import BaseTrial

    from hpsearch.settings.study import LabelledConfiguration, StudySettings
    from model.config import TrainConfig
    from model.data import Dataset
    from model.training import Epoch

    class WorkerObjective(Protocol):
        """What a worker runs: the objective of a search or of an evaluation."""

        settings: StudySettings
        data: Dataset

        @property
        def recipe(self) -> Callable[[], WorkerObjective]:
            """A function without the data, to be pickled, that makes the same objective."""

        def __call__(self, trial: BaseTrial, on_epoch: OnEpoch | None = None) -> float:
            """Run one trial and return its value."""


OnEpoch = Callable[["BaseTrial", "Epoch"], None]
LIVE_SECONDS = 5.0  # how often a long trial writes its curves while it runs


class Objective:
    """A callable for `study.optimize` or a FixedTrial: train once, return the best value.

    settings: what `load_settings` returns. The objective reads its data, metric, seed and space;
    the sampler, the pruner and the number of trials are up to the study.
    suggest: replaces the declared space by a function from an Optuna trial to a TrainConfig.

    The data are loaded here, and again where a pickled objective arrives. Raises DataError.

    A trial gets these user attributes: `setup` (configuration, metric, seed, data), `curves`, and
    where they apply `reason` (why it was pruned or failed), `interrupted` and `traceback`.
    """

    def __init__(
        self,
        settings: StudySettings,
        *,
        suggest: Callable[[BaseTrial], TrainConfig] | None = None,
    ) -> None:
        self.settings, self.suggest = settings, suggest
        self.data = load_data(settings.data.model_dump())

    def __reduce__(self) -> tuple[Callable[[], Objective], tuple[()]]:
        return self.recipe, ()

    @property
    def recipe(self) -> Callable[[], Objective]:
        """A function without the data, to be pickled, that makes the same objective."""
        return partial(type(self), self.settings, suggest=self.suggest)

    def __call__(self, trial: BaseTrial, on_epoch: OnEpoch | None = None) -> float:
        """Train one network and return the best validation value of its epochs.

        `on_epoch` is called after each epoch, and ends the trial by raising Interrupted.
        Raises TrialPruned when the pruner decides so or the loss is not finite.
        """
        search = self.settings.search
        with recorded(trial, Curves()) as curves:
            self._check_direction(trial)
            labelled = self._labelled(trial)
            config = self._suggest(trial, labelled)
            write_setup(trial, setup_for(self.settings, self.data, config, labelled))
            _, epochs = start_training(
                self.data,
                config,
                seed=search.seed,
                draw=search.draw(slot_of(trial)),
                metric=search.metric,
                diagnostics=search.diagnostics,
            )
            for epoch in followed(epochs, trial, curves, search.metric, on_epoch):
                if epoch.number < config.epochs and trial.should_prune():
                    raise optuna.TrialPruned(f"pruned at epoch {epoch.number}")
            return curves.best(search.metric)[1]

    def _check_direction(self, trial: BaseTrial) -> None:
        """Raise SettingsError if the study optimizes in the wrong direction, as its default may."""
        study, search = getattr(trial, "study", None), self.settings.search
        if study is not None and study.direction.name.lower() != search.direction:
            raise SettingsError(
                f"{search.metric} is to be {search.direction}d: create the study with "
                f"direction='{search.direction}'"
            )

    def _suggest(self, trial: BaseTrial, labelled: LabelledConfiguration | None) -> TrainConfig:
        if self.suggest is not None:
            return self.suggest(trial)
        space = self.settings.trial
        return space.suggest(trial, space.split(labelled.values)[1] if labelled else None)

    def _labelled(self, trial: BaseTrial) -> LabelledConfiguration | None:
        """Return the [[enqueue]] entry of the trial's slot; without a slot there is none."""
        slot = assigned_slot(trial)
        return None if slot is None else self.settings.labelled(slot)


def setup_for(
    settings: StudySettings,
    data: Dataset,
    config: TrainConfig,
    labelled: LabelledConfiguration | None = None,
) -> Setup:
    """Return the record of what a trial trains."""
    return Setup(
        config=config.as_dict(),
        metric=settings.search.metric,
        seed=settings.search.seed,
        data=DataId(data.name, data.digest, data.source),
        validation=settings.data.validation,
        label=labelled.label if labelled else "",
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
        if is_storage_error(error):
            write_no_try(trial)
            raise
        write_reason(trial, f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    finally:
        if len(curves):
            write_curves(trial, curves)


def followed(
    epochs: Iterable[Epoch],
    trial: BaseTrial,
    curves: Curves,
    metric: str,
    on_epoch: OnEpoch | None,
) -> Iterator[Epoch]:
    """Yield each epoch after it is added to `curves` and `metric` is reported to Optuna.

    A long trial also writes its curves while it runs, for others to see. Raises TrialPruned when a
    number is not finite, and whatever `on_epoch` raises.
    """
    written = time.monotonic()
    for epoch in epochs:
        if not curves.append(epoch):
            raise optuna.TrialPruned(f"{DIVERGED} at epoch {epoch.number}")
        trial.report(getattr(epoch, METRICS[metric]), step=epoch.number)
        if time.monotonic() - written > LIVE_SECONDS:
            write_curves(trial, curves)
            written = time.monotonic()
        if on_epoch is not None:
            on_epoch(trial, epoch)
        yield epoch
