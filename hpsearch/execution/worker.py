"""A worker: it opens the study, asks for a slot, runs one trial in it, and asks for the next."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from threadpoolctl import threadpool_limits

from hpsearch.analysis.ranking import best_trials
from hpsearch.errors import Interrupted
from hpsearch.execution.recovery import end_attempts, is_superseded
from hpsearch.internals import ForwardingStorage
from hpsearch.samplers.pruners import pruner_of
from hpsearch.samplers.registry import fix_parameters, sampler_of
from hpsearch.storage.checkpoints import checkpoints_of
from hpsearch.storage.leases import this_process
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import new_trial, slot_of, write_interrupted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

    from hpsearch.execution.objective import OnEpoch, WorkerObjective
    from hpsearch.tracking.tracker import Tracker
    from hpsearch.trials.checkpoints import CheckpointFolder, SlotCheckpoints

LIVE_SECONDS = 5.0  # how often a running trial is shown in MLflow


@dataclass(frozen=True)
class WorkerTask:
    """Where a worker finds its study and tracks its trials; `storage` is a URL.

    checkpoints: see `checkpoints_of`.
    """

    study_name: str
    storage: str = field(repr=False)  # with its password
    tracker: Tracker | None = field(repr=False)
    checkpoints: str = ""


class TrialChannel(Protocol):
    """How a running trial reaches its coordinator."""

    def epoch(self, slot: int, epoch: int) -> None:
        """Report a finished epoch (from 1); raise Interrupted to stop the trial there."""

    def finished(self, trial: FrozenTrial) -> None:
        """Report a trial that has ended, whatever its state."""


class Channel(TrialChannel, Protocol):
    """How a worker that stays reaches its coordinator."""

    def next_slot(self) -> int | None:
        """Return the slot to fill next, or None when nothing is left."""


def work(
    objective: WorkerObjective,
    task: WorkerTask,
    channel: Channel,
    storage: BaseStorage | None = None,
) -> None:
    """Run trials of the task's study until `channel` has no slot left; see `Worker`."""
    worker = Worker(objective, task, storage)
    with threads_and_logs():
        for slot in iter(channel.next_slot, None):
            worker.run(slot, channel)


@contextmanager
def threads_and_logs() -> Iterator[None]:
    """Run matrix products on one thread while the block runs, and let Optuna log nothing.

    Trials are small, and on a busy machine two threads are several times slower than one.
    """
    with threadpool_limits(limits=1, user_api="blas"), optuna_logs(logging.CRITICAL):
        yield


class Worker:
    """Runs trials of one study, which it opens once.

    The objective and the task can be pickled, so that the same class serves in this process, in
    others and on other machines. storage: the task's, where this process has it open already:
    opening a journal reads all of it. fenced: whether others may work on the same slot; beginning a
    trial then ends the attempts at its slot before it.
    """

    def __init__(
        self,
        objective: WorkerObjective,
        task: WorkerTask,
        storage: BaseStorage | None = None,
        *,
        fenced: bool = False,
    ) -> None:
        settings = objective.settings
        self.objective, self.task, self.fenced = objective, task, fenced
        if storage is None:
            storage = open_storage(task.storage, patient=True, study=task.study_name)
        self.storage = SlotStorage(storage, fenced=fenced)  # type: ignore[abstract]
        self.study = optuna.load_study(
            study_name=task.study_name, storage=self.storage, pruner=pruner_of(settings)
        )
        self._sampler = sampler_of(settings)
        self._checkpoints = _checkpoints(objective, task, self.study)

    def run(self, slot: int, channel: TrialChannel) -> None:
        """Run one trial in `slot`, within `threads_and_logs`."""
        study, kept, tracker = self.study, self._checkpoints, self.task.tracker
        saved = None if kept is None else kept.of(slot, _bar(study, kept))
        fixed = (saved and saved.params) or self.objective.settings.split_labelled(slot)[0]
        study.sampler = fix_parameters(self._sampler, fixed)
        self.storage.slot = slot
        on_epoch = _on_epoch(study, slot, tracker, channel)
        callbacks = [tracker] if tracker is not None else []
        try:
            study.optimize(
                partial(self._run_slot, slot, on_epoch, saved),
                n_trials=1,
                catch=(Exception,),
                callbacks=[*callbacks, lambda _, trial: channel.finished(trial)],
            )
        except (_TrialTakenAway, UpdateFinishedTrialError):
            return  # this worker was declared dead, and another one has its slot
        if kept is not None:
            _keep_best(study, kept)

    def _run_slot(
        self,
        slot: int,
        on_epoch: OnEpoch,
        checkpoints: SlotCheckpoints | None,
        trial: BaseTrial,
    ) -> float:
        """Run the objective in `slot`, once no other attempt at it is running."""
        try:
            if self.fenced:
                self._end_earlier_attempts(slot, trial)
            return self.objective(trial, on_epoch, checkpoints)
        except UpdateFinishedTrialError as error:
            raise _TrialTakenAway from error

    def _end_earlier_attempts(self, slot: int, trial: BaseTrial) -> None:
        """Close the attempts at a slot before this one; raise Interrupted if one is later."""
        tracker = self.task.tracker
        for closed in end_attempts(self.storage, self.study, slot, before=trial.number):
            if tracker is not None:
                tracker.forget(self.study)  # another worker has begun its run
                tracker(self.study, closed)
        if is_superseded(self.study, slot, trial.number):
            write_interrupted(trial)
            raise Interrupted


class SlotStorage(ForwardingStorage):
    """A storage in which a trial says from its creation on which slot it fills and who runs it.

    So that can be told of every running trial, also of one whose process was killed at once.
    """

    def __init__(self, storage: BaseStorage, *, fenced: bool = False) -> None:
        super().__init__(storage)
        self.slot, self.fenced = -1, fenced  # the slot is that of the next trial

    def create_new_trial(
        self,
        study_id: int,
        template_trial: FrozenTrial | None = None,  # noqa: ARG002
    ) -> int:
        """Create a running trial in the slot."""
        trial = new_trial(self.slot, this_process(), fenced=self.fenced)
        return self.storage.create_new_trial(study_id, trial)


class _TrialTakenAway(BaseException):
    """Another process has finished this trial.

    It is a BaseException because Optuna treats an Exception as a failure of the trial, and then
    cannot set the state of a trial that is finished already.
    """


def _on_epoch(study: Study, slot: int, tracker: Tracker | None, channel: TrialChannel) -> OnEpoch:
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


def _checkpoints(
    objective: WorkerObjective, task: WorkerTask, study: Study
) -> CheckpointFolder | None:
    """Return where the study's checkpoints are, None for the built-in network, which has none."""
    model, settings = objective.model, objective.settings.model
    if settings is None:
        return None
    elsewhere = task.checkpoints
    found = checkpoints_of(study, task.storage, settings, model.code, elsewhere=elsewhere)
    return found if model.resumes else replace(found, seconds=math.inf)


def _bar(study: Study, checkpoints: CheckpointFolder) -> Callable[[float], bool]:
    """Return whether a value is among the best of the study so far, as many as are kept."""

    @cache
    def least() -> float | None:
        best = best_trials(study, checkpoints.keep)
        return best[-1].value if len(best) == checkpoints.keep else None

    def among_best(value: float) -> bool:
        known = least()
        if known is None:
            return True
        return value > known if study.direction is StudyDirection.MAXIMIZE else value < known

    return among_best


def _keep_best(study: Study, checkpoints: CheckpointFolder) -> None:
    """Remove the checkpoints of complete trials that are not among the best any more."""
    slots = checkpoints.slots()
    if len(slots) > checkpoints.keep:
        others = {slot_of(trial) for trial in best_trials(study)[checkpoints.keep :]}
        for slot in others.intersection(slots):
            checkpoints.remove(slot)


@contextmanager
def optuna_logs(level: int) -> Iterator[None]:
    """Let Optuna log only what is as serious as `level` while the block runs."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(level)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
