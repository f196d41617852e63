"""Objective: one trial from its parameters to its value. It knows Optuna, not MLflow."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from hpsearch.errors import Interrupted, SettingsError
from hpsearch.trainables.network import load_data, start_training
from hpsearch.trials.curves import CURVES, METRICS, Curves
from hpsearch.trials.slots import SLOT, slot_of

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from hpsearch.settings.study import Labelled, StudySettings
    from model.config import TrainConfig
    from model.training import Epoch

OnEpoch = Callable[["BaseTrial", "Epoch"], None]
LIVE_SECONDS = 5.0  # how often a long trial writes its curves on the way


class Objective:
    """A callable for `study.optimize`, or for a FixedTrial: train once, return the best value.

    settings: what `load_settings` returns. Only its data, metric, seed and space are read here;
    sampler, pruner and number of trials are the study's affair.
    suggest: replaces the declared space: a function from an Optuna trial to a TrainConfig.

    The data are loaded here, and again where a pickled objective arrives. Raises DataError.

    A trial carries as user attributes: `setup` (configuration, metric, seed, data), `curves`, and
    where it applies `reason` (why it was pruned or failed), `interrupted` and `traceback`.
    """

    def __init__(
        self,
        settings: StudySettings,
        *,
        suggest: Callable[[BaseTrial], TrainConfig] | None = None,
    ) -> None:
        self.settings, self.suggest = settings, suggest
        self.data = load_data(settings)

    def __reduce__(self) -> tuple[Callable[[], Objective], tuple[()]]:
        return self.recipe, ()

    @property
    def recipe(self) -> Callable[[], Objective]:
        """What makes the same objective elsewhere, without the data."""
        return partial(type(self), self.settings, suggest=self.suggest)

    def __call__(self, trial: BaseTrial, on_epoch: OnEpoch | None = None) -> float:
        """Train one network; return the best validation value of its epochs.

        `on_epoch` is called after each epoch, and ends the trial by raising Interrupted.
        Raises TrialPruned when the pruner says so or the loss is not finite.
        """
        curves = Curves()
        try:
            return self.train(trial, curves, on_epoch)
        except optuna.TrialPruned as pruned:
            trial.set_user_attr("reason", str(pruned))
            raise
        except (Interrupted, KeyboardInterrupt):
            trial.set_user_attr("interrupted", True)
            raise
        except UpdateFinishedTrialError:  # somebody declared this trial dead: nothing to add
            raise
        except Exception as error:
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
            trial.set_user_attr("traceback", traceback.format_exc())
            raise
        finally:
            if len(curves):
                trial.set_user_attr(CURVES, curves.as_attribute())

    def train(self, trial: BaseTrial, curves: Curves, on_epoch: OnEpoch | None) -> float:
        """Train the network of `trial`, add its epochs to `curves`, and return its value."""
        config, metric = self.set_up(trial), self.settings.search.metric
        _, epochs = start_training(self.settings, self.data, config, slot_of(trial))
        for epoch in follow(epochs, trial, curves, on_epoch, metric):
            if epoch.number < config.epochs and trial.should_prune():
                raise optuna.TrialPruned(f"pruned at epoch {epoch.number}")
        return curves.best(metric)[1]

    def set_up(self, trial: BaseTrial) -> TrainConfig:
        """Choose the configuration, and note on the trial what will be trained."""
        self._refuse_direction(trial)
        labelled = self._labelled(trial)
        config = self._suggest(trial, labelled)
        setup: dict[str, Any] = {
            "config": config.as_dict(),
            "metric": self.settings.search.metric,
            "seed": self.settings.search.seed,
            "data": {key: getattr(self.data, key) for key in ("name", "digest", "source")},
        }
        if self.settings.data.validation == "test":
            setup["validation"] = "test"
        if labelled:
            setup["label"] = labelled.label
        trial.set_user_attr("setup", setup)
        return config

    def _refuse_direction(self, trial: BaseTrial) -> None:
        """Raise SettingsError in a study that would look for the worst; Optuna's default may."""
        study, search = getattr(trial, "study", None), self.settings.search
        if study is not None and study.direction.name.lower() != search.direction:
            way = "up" if search.direction == "maximize" else "down"
            raise SettingsError(
                f"{search.metric} is to go {way}: create the study with "
                f"direction='{search.direction}'"
            )

    def _suggest(self, trial: BaseTrial, labelled: Labelled | None) -> TrainConfig:
        if self.suggest is not None:
            return self.suggest(trial)
        space = self.settings.trial
        return space.suggest(trial, space.split(labelled.values)[1] if labelled else None)

    def _labelled(self, trial: BaseTrial) -> Labelled | None:
        """Return the [[enqueue]] entry of the trial's slot; other people's trials have none."""
        slot = trial.user_attrs.get(SLOT)
        return None if slot is None else self.settings.labelled(slot)


def follow(
    epochs: Iterable[Epoch],
    trial: BaseTrial,
    curves: Curves,
    on_epoch: OnEpoch | None,
    metric: str,
) -> Iterator[Epoch]:
    """Yield each epoch when it is in `curves`, and now and then on the trial for others to see.

    metric: what Optuna is told of each epoch. Raises TrialPruned when a number is not finite, and
    what `on_epoch` raises.
    """
    written = time.monotonic()
    for epoch in epochs:
        if not curves.append(epoch):
            raise optuna.TrialPruned(f"diverged at epoch {epoch.number}")
        trial.report(getattr(epoch, METRICS[metric]), step=epoch.number)
        if time.monotonic() - written > LIVE_SECONDS:
            trial.set_user_attr(CURVES, curves.as_attribute())
            written = time.monotonic()
        if on_epoch is not None:
            on_epoch(trial, epoch)
        yield epoch
