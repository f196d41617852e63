"""A study: opened or continued, run to its budget, and put in order after a death."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpsearch.definition import definition, differences
from hpsearch.errors import Interrupted, StudyError, TrackingError
from hpsearch.objective import Objective
from hpsearch.progress import Progress
from hpsearch.samplers import check_sampler
from hpsearch.settings import StudySettings, check_name
from hpsearch.slots import Slots, count_slots, slot_of
from hpsearch.storage import open_storage, storage_errors, storage_url
from hpsearch.summary import describe
from hpsearch.tracking import Tracker
from hpsearch.workers import PROCESS, is_dead, work
from model.names import unknown_name

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from model.training import Epoch

# User attributes of a study.
DEFINITION, SETTINGS = "definition", "settings"
DESCRIBE_SECONDS = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of `run_study`.

    `reason` is "finished", "interrupted", "given up" (a trial failed three times) or "busy"
    (another process is at work on the rest).
    """

    study: Study
    reason: str
    slots: Slots
    written: int  # MLflow runs that an earlier start had left missing
    new: int  # slots that this start has done
    seconds: float


OnProgress = Callable[[Progress], None]


def study_name(settings: StudySettings, name: str | None = None) -> str:
    """Return the study's name: as given, or the file's name and the sampler."""
    return f"{settings.name}-{settings.search.sampler}" if name is None else check_name(name)


def run_study(
    settings: StudySettings,
    *,
    name: str | None = None,
    storage: str | None = None,
    tracker: Tracker | None = None,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run the study until `settings.search.trials` slots are done; continue it if it exists.

    storage: a URL or path as `open_storage` takes it. tracker: None leaves MLflow alone.
    should_stop: asked after each epoch; True ends the running trial there.

    Whatever can be checked is checked before anything is created. Raises HpsearchError.
    """
    started = time.monotonic()
    name, url = study_name(settings, name), storage_url(storage)
    check_sampler(settings.search.sampler)
    objective = Objective(settings)
    if tracker is not None:
        tracker.store.check(name)
    store = open_storage(url)
    with storage_errors(url):
        refuse_other(store, name, settings, objective.data.digest)
        if tracker is not None:
            tracker.store.prepare()
        study = open_study(store, name, settings, objective.data.digest)
        close_dead_trials(study, store)
        refuse_running(study)
        written = tracker.sync(study) if tracker is not None else 0
        parent = _Parent(study, settings, tracker, on_progress, should_stop)
        try:
            work(objective, name, url, tracker, parent)
        finally:
            parent.describe()
    slots = count_slots(study.get_trials(deepcopy=False), settings.search.trials)
    unfinished = "given up" if slots.given_up else "busy" if slots.busy else "finished"
    reason = "interrupted" if parent.stopped else unfinished
    new = parent.progress.done - parent.progress.started_with
    return Outcome(study, reason, slots, written, new, time.monotonic() - started)


class _Parent:
    """The parent's end of the channel to its worker: hands out slots, hears what came of them."""

    def __init__(
        self,
        study: Study,
        settings: StudySettings,
        tracker: Tracker | None,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.study, self.tracker = study, tracker
        self.on_progress, self.should_stop = on_progress, should_stop
        self.stopped = False
        self.given: set[int] = set()  # slots that were handed out
        trials = study.get_trials(deepcopy=False)
        if count_slots(trials, settings.search.trials).todo:
            study.set_user_attr(SETTINGS, settings.to_toml())
        self.progress = Progress(
            settings.search.trials, settings.max_epochs, settings.search.direction
        )
        for trial in trials:
            if slot_of(trial) < settings.search.trials:  # an earlier start may have asked for more
                self.progress.count(trial)
        self.progress.started_with, self.progress.failed = self.progress.done, 0
        self.described = time.monotonic()
        on_progress(self.progress)

    def next_slot(self) -> int | None:
        """Return the next slot that nobody has done or is doing."""
        self.stopped = self.stopped or self.should_stop()
        trials = self.study.get_trials(deepcopy=False)
        todo = count_slots(trials, self.progress.total).todo
        slot = None if self.stopped else next((n for n in todo if n not in self.given), None)
        if slot is not None:
            self.given.add(slot)
        return slot

    def epoch(self, slot: int, epoch: Epoch) -> None:
        """Draw the progress, and stop the trial if asked to."""
        self.progress.running[slot] = epoch.number
        self.on_progress(self.progress)
        if self.should_stop():
            self.stopped = True
            raise Interrupted

    def finished(self, trial: FrozenTrial) -> None:
        """Count the trial; raise StudyError if it failed: that is a bug or bad input."""
        self.progress.running.pop(slot_of(trial), None)
        self.progress.count(trial)
        self.progress.untracked = self.tracker is not None and self.tracker.lost
        self.on_progress(self.progress)
        if time.monotonic() - self.described > DESCRIBE_SECONDS:
            self.describe()
        if trial.state is TrialState.FAIL and not trial.user_attrs.get("interrupted"):
            where = f"{self.study.study_name}#{slot_of(trial)}"
            reason = trial.user_attrs.get("reason", "no reason given")
            raise StudyError(f"trial {where} failed: {reason}; `hpsearch show {where}` says where")

    def describe(self) -> None:
        """Bring the summary in MLflow up to date."""
        self.described = time.monotonic()
        if self.tracker is not None:
            describe_study(self.study, self.tracker)


def refuse_other(
    storage: BaseStorage, name: str, settings: StudySettings, data_digest: str
) -> None:
    """Raise StudyError if the study called `name` is somebody else's or searches another thing.

    Budget, sampler and pruner may change from start to start; data, metric, seed and space may not.
    """
    if name not in optuna.get_all_study_names(storage):
        return
    study = optuna.load_study(storage=storage, study_name=name)
    known = study.user_attrs.get(DEFINITION)
    if known is None:  # somebody else's, or its creator died before it wrote a thing
        same_direction = [d.name.lower() for d in study.directions] == [settings.search.direction]
        if study.get_trials(deepcopy=False) or not same_direction:
            what = "was not started by hpsearch"
            raise StudyError(f"study '{name}' {what}; use --name for a new study")
    elif changes := differences(known, definition(settings, data_digest)):
        what = "; ".join(changes)
        raise StudyError(f"study '{name}' was started with {what}; use --name for a new study")


def open_study(storage: BaseStorage, name: str, settings: StudySettings, data_digest: str) -> Study:
    """Create the study, or open it to continue; raises StudyError as `refuse_other` does."""
    refuse_other(storage, name, settings, data_digest)
    direction = settings.search.direction
    study = optuna.create_study(
        storage=storage, study_name=name, direction=direction, load_if_exists=True
    )
    study.set_user_attr(DEFINITION, definition(settings, data_digest))
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, settings.to_toml())
    return study


def load_study(storage: BaseStorage, name: str) -> Study:
    """Open an existing study; raises StudyError with the names there are."""
    names = sorted(optuna.get_all_study_names(storage))
    if name not in names:
        if not names:
            raise StudyError(f"no study '{name}': the storage is empty; hpsearch study starts one")
        raise StudyError(unknown_name(name, names, "a study in this storage"))
    return optuna.load_study(storage=storage, study_name=name)


def close_dead_trials(study: Study, storage: BaseStorage) -> int:
    """Tell Optuna that trials whose process died have failed; return how many those were."""
    closed = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial.user_attrs.get(PROCESS)):
            try:
                storage.set_trial_user_attr(trial._trial_id, "reason", "process died")
                study.tell(trial.number, state=TrialState.FAIL)
                closed += 1
            except UpdateFinishedTrialError:
                continue  # it was alive after all, and has just finished
    return closed


def refuse_running(study: Study) -> None:
    """Raise StudyError if a living process is at work on the study."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get(PROCESS)
        if process is not None and not is_dead(process):
            who = f"process {process['pid']} on {process['host']}"
            raise StudyError(f"study '{study.study_name}' is being run by {who}; stop that first")


def describe_study(study: Study, tracker: Tracker) -> None:
    """Write the study's summary into MLflow; a store that is away misses it until the next."""
    try:
        tracker.describe(study, describe(study))
    except TrackingError as error:
        logger.warning("%s", error)
