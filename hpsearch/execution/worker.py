"""A worker: it opens the study, asks for a slot, runs one trial in it, and asks for the next."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from hpsearch.samplers.pruners import build_pruner
from hpsearch.samplers.registry import build_sampler, fix_parameters
from hpsearch.storage.leases import this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import assign

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.execution.objective import OnEpoch, WorkerObjective
    from hpsearch.tracking.tracker import Tracker

LIVE_SECONDS = 5.0  # how often a running trial is shown in MLflow


@dataclass(frozen=True)
class WorkerTask:
    """Where a worker finds its study and tracks its trials; `storage` is a URL."""

    study_name: str
    storage: str
    tracker: Tracker | None


class Channel(Protocol):
    """How a worker reaches its coordinator."""

    def next_slot(self) -> int | None:
        """Return the slot to fill next, or None when nothing is left."""

    def epoch(self, slot: int, epoch: int) -> None:
        """Report a finished epoch (from 1); raise Interrupted to stop the trial there."""

    def finished(self, trial: FrozenTrial) -> None:
        """Report a trial that has ended, whatever its state."""


def work(
    objective: WorkerObjective,
    task: WorkerTask,
    channel: Channel,
    storage: BaseStorage | None = None,
) -> None:
    """Run trials of the task's study until `channel` has no slot left.

    The objective and the task can be pickled, so the same function serves in this process, in
    others and on other machines. storage: the task's, where this process has it open already:
    opening a journal reads all of it. Matrix products run on one thread: trials are small, and on a
    busy machine two threads are several times slower than one.
    """
    settings, search, tracker = objective.settings, objective.settings.search, task.tracker
    pruner = build_pruner(search.pruner, settings.max_epochs, search.pruner_options)
    storage = open_storage(task.storage, patient=True) if storage is None else storage
    study = optuna.load_study(study_name=task.study_name, storage=storage, pruner=pruner)
    sampler = build_sampler(
        search.sampler,
        search.seed,
        search.sampler_options,
        space=settings.trial,
        first=len(settings.enqueue),
        seeds=search.seeds,
    )
    callbacks = [tracker] if tracker is not None else []
    with threadpool_limits(limits=1, user_api="blas"), _quiet_optuna():
        for slot in iter(channel.next_slot, None):
            study.sampler = fix_parameters(sampler, _labelled_parameters(objective, slot))
            run = partial(_run_slot, objective, slot, _on_epoch(study, slot, tracker, channel))
            try:
                study.optimize(
                    run,
                    n_trials=1,
                    catch=(Exception,),
                    callbacks=[*callbacks, lambda _, trial: channel.finished(trial)],
                )
            except (_TrialTakenAway, UpdateFinishedTrialError):
                continue  # this worker was declared dead, and another one has its slot


def _run_slot(objective: WorkerObjective, slot: int, on_epoch: OnEpoch, trial: BaseTrial) -> float:
    """Run the objective in `slot`; before anything else, write the slot on the trial."""
    try:
        assign(trial, slot, this_process())
        return objective(trial, on_epoch)
    except UpdateFinishedTrialError as error:
        raise _TrialTakenAway from error


class _TrialTakenAway(BaseException):
    """Another process has finished this trial.

    It is a BaseException because Optuna treats an Exception as a failure of the trial, and then
    cannot set the state of a trial that is finished already.
    """


def _on_epoch(study: Study, slot: int, tracker: Tracker | None, channel: Channel) -> OnEpoch:
    """Return a function that reports each epoch to the channel, and now and then to MLflow."""
    shown = time.monotonic()

    def on_epoch(trial: BaseTrial, epoch: int) -> None:
        nonlocal shown
        channel.epoch(slot, epoch)
        if tracker is not None and time.monotonic() - shown > LIVE_SECONDS:
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for frozen in (t for t in running if t.number == trial.number):
                tracker(study, frozen)
            shown = time.monotonic()

    return on_epoch


def _labelled_parameters(objective: WorkerObjective, slot: int) -> dict[str, Any]:
    entry = objective.settings.labelled(slot)
    return objective.settings.trial.split(entry.values)[0] if entry else {}


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Silence Optuna's log while the block runs: the coordinator reports what happens."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
