"""A worker: it opens the study, receives a slot, runs one trial in it, and asks for the next."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from hpsearch.samplers.pruners import build_pruner
from hpsearch.samplers.registry import build_sampler, fix_parameters
from hpsearch.storage.leases import PROCESS, this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.slots import SLOT

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.execution.objective import Objective, OnEpoch
    from hpsearch.tracking.tracker import Tracker
    from model.training import Epoch

LIVE_SECONDS = 5.0  # how often a running trial is shown in MLflow


class Channel(Protocol):
    """How a worker hears from its parent, and what it tells it."""

    def next_slot(self) -> int | None:
        """Return the slot to do next, or None when there is nothing left to do."""

    def epoch(self, slot: int, epoch: int) -> None:
        """Hear of a finished epoch (from 1); raise Interrupted to stop the trial there."""

    def finished(self, trial: FrozenTrial) -> None:
        """Hear of a finished trial, whatever its state."""


def work(
    objective: Objective, study_name: str, storage: str, tracker: Tracker | None, channel: Channel
) -> None:
    """Run trials of the study in `storage` (a URL) until `channel` has no slot left.

    Everything handed in can be pickled, but for the channel: the same function serves in this
    process, in others and on other machines. Matrix products run on one thread: trials are small,
    and two threads on a busy machine are several times slower than one.
    """
    settings, search = objective.settings, objective.settings.search
    pruner = build_pruner(search.pruner, settings.max_epochs, search.pruner_options)
    study = optuna.load_study(study_name=study_name, storage=open_storage(storage), pruner=pruner)
    space, first = settings.trial, len(settings.enqueue)
    options = search.sampler_options
    build = partial(build_sampler, search.sampler, search.seed, options)
    sampler = build(space=space, first=first, seeds=search.seeds)
    callbacks = [tracker] if tracker is not None else []
    with threadpool_limits(limits=1, user_api="blas"), _quiet_optuna():
        for slot in iter(channel.next_slot, None):
            study.sampler = fix_parameters(sampler, _labelled_parameters(objective, slot))
            run = partial(_run_slot, objective, slot, _watch(study, slot, tracker, channel))
            try:
                study.optimize(
                    run,
                    n_trials=1,
                    catch=(Exception,),
                    callbacks=[*callbacks, lambda _, trial: channel.finished(trial)],
                )
            except (_Dropped, UpdateFinishedTrialError):
                continue  # this worker was taken for dead; the slot is somebody else's now


def _run_slot(objective: Objective, slot: int, on_epoch: OnEpoch, trial: BaseTrial) -> float:
    """Run the objective in `slot`, which the trial records first of all."""
    try:
        trial.set_user_attr(PROCESS, this_process())
        trial.set_user_attr(SLOT, slot)
        return objective(trial, on_epoch)
    except UpdateFinishedTrialError as error:
        raise _Dropped from error


class _Dropped(BaseException):
    """The trial was finished by others. Optuna would take any Exception for its failure, and
    stumble over telling a finished trial that it failed."""


def _watch(study: Study, slot: int, tracker: Tracker | None, channel: Channel) -> OnEpoch:
    """Return what happens after each epoch: the parent hears of it, MLflow every few seconds."""
    shown = time.monotonic()

    def on_epoch(trial: BaseTrial, epoch: Epoch) -> None:
        nonlocal shown
        channel.epoch(slot, epoch.number)
        if tracker is not None and time.monotonic() - shown > LIVE_SECONDS:
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for frozen in (t for t in running if t.number == trial.number):
                tracker(study, frozen)
            shown = time.monotonic()

    return on_epoch


def _labelled_parameters(objective: Objective, slot: int) -> dict[str, Any]:
    entry = objective.settings.labelled(slot)
    return objective.settings.trial.split(entry.values)[0] if entry else {}


class _quiet_optuna:  # noqa: N801
    """Keep Optuna's log to itself meanwhile: what it has to say, the parent says in one line."""

    def __enter__(self) -> None:
        self.level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        optuna.logging.set_verbosity(self.level)
