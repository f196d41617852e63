"""The coordinator of a study: it hands out slots, counts ended trials, and decides to stop."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from hpsearch.errors import (
    Argument,
    Command,
    Interrupted,
    Sentence,
    SettingsError,
    StudyError,
    TrackingError,
)
from hpsearch.execution.progress import Progress
from hpsearch.execution.recovery import close_dead_trials, end_attempts
from hpsearch.storage.leases import is_local
from hpsearch.trials.records import (
    is_failed_try,
    own_trials,
    process_of,
    reason_of,
    round_number,
    slot_of,
    was_interrupted,
)
from hpsearch.trials.slots import Slots, slots_by_state

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from hpsearch.settings.study import StudySettings
    from hpsearch.storage.leases import Lease
    from hpsearch.tracking.tracker import Tracker

OnProgress = Callable[[Progress], None]
SUMMARY_SECONDS = 10.0
JOBS = Argument("jobs")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run the trials of a study, its rounds or an evaluation.

    storage: the URL where workers find the study. tracker: None leaves MLflow alone. jobs: how many
    trials run at a time, in worker processes if there are several. gpus: the devices of this
    machine that are divided among these processes. executor: where they run instead, `jobs` at a
    time. cluster: the address of a Dask scheduler on whose workers they run instead, one on each.
    on_progress: called with the study's progress after each epoch. should_stop: asked after each
    epoch; True interrupts. retry_failed: retry slots that have failed three times.
    """

    storage: str
    tracker: Tracker | None = None
    jobs: int = 1
    gpus: Sequence[str] = ()
    executor: Executor | None = None
    cluster: str | None = None
    on_progress: OnProgress = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise SettingsError(JOBS, f": must be at least 1, but got {self.jobs}")
        if self.executor is not None and self.cluster is not None:
            raise SettingsError(Argument("cluster"), " and executor cannot be had together")
        if self.gpus and (self.executor or self.cluster):
            raise SettingsError(
                Argument("gpus"), ": are those of this machine; workers elsewhere have their own"
            )


@dataclass(frozen=True, kw_only=True)
class Work:
    """Which slots of a study are to be filled.

    unit: what a slot is called where progress is shown. deadline: when `time.monotonic()` ends the
    work; None follows `settings.search.timeout`. summarize: brings the summary in MLflow up to
    date; called every few seconds.
    """

    settings: StudySettings
    slots: Sequence[int]
    unit: str = "trials"
    deadline: float | None = None
    summarize: Callable[[], None] = lambda: None


class Coordinator:
    """Hands the slots of a leased study to workers, and receives their reports.

    It is the channel of a worker in this process; an engine with other processes calls it for them.
    `reason` is why the study stops before all slots are done: "taken over", "interrupted",
    "stopped", "timeout", "target" or "patience"; "" while it does not stop.
    """

    def __init__(self, storage: BaseStorage, lease: Lease, work: Work, options: RunOptions) -> None:
        self.storage, self.lease, self.study = storage, lease, lease.study
        self.work, self.options, self.tracker = work, options, options.tracker
        self.search = work.settings.search
        self.reason = ""
        self.missed_runs = False  # whether a tracker has lost its store
        self.progress = Progress(
            work.slots,
            work.settings.max_epochs,
            self.search.direction,
            round=round_number(self.study),
            unit=work.unit,
        )
        self._summarized = now = time.monotonic()
        deadline = work.deadline
        if deadline is None and self.search.timeout is not None:
            deadline = now + self.search.timeout
        self._deadline = math.inf if deadline is None else deadline
        earlier = len(self.study.get_trials(deepcopy=False)) if options.retry_failed else 0
        self._forgiven = range(earlier)
        self.todo: deque[int] = deque()
        self.recount()
        self.progress.started_with = self.progress.done
        options.on_progress(self.progress)

    def recount(self) -> None:
        """Read from the storage which slots are left and how far the study is."""
        trials = own_trials(self.study)
        todo = self.slots(trials).todo
        self.todo = deque(slot for slot in todo if slot not in self.progress.running)
        self.progress.recount(trials)

    def slots(self, trials: Iterable[FrozenTrial]) -> Slots:
        """Return the wanted slots by the state of the study's own trials."""
        return slots_by_state(trials, self.progress.slots, self._forgiven)

    def next_slot(self) -> int | None:
        """Return the next slot that is neither done nor running, None if none is left."""
        self.lease.look()
        if self.stopping() or not self.todo:
            return None
        self.progress.running[slot := self.todo.popleft()] = 0
        return slot

    def epoch(self, slot: int, epoch: int) -> None:
        """Note that a trial has trained an epoch; raise Interrupted if it should end here."""
        self.progress.running[slot] = epoch
        self.tick()
        if self.stopping():
            raise Interrupted

    def finished(self, trial: FrozenTrial, *, untracked: bool | None = None) -> None:
        """Count a trial that has ended; raise StudyError if it failed: a bug or bad input.

        A user's own model may fail for some configurations: once a trial has ended well, that is a
        warning, and the slot is tried again after the others. What is not the trial's fault, such
        as a full disk, would go on without end. untracked: whether the worker's
        tracker has lost its store; None asks the coordinator's own.
        """
        self.progress.running.pop(slot_of(trial), None)
        self.progress.count(trial)
        if untracked is None:
            untracked = self.tracker is not None and self.tracker.lost
        self.progress.untracked = untracked
        self.missed_runs = self.missed_runs or untracked
        self.tick()
        if trial.state is TrialState.FAIL and not was_interrupted(trial):
            name = f"{self.study.study_name}#{slot_of(trial)}"
            reason = reason_of(trial) or "no reason given"
            process = process_of(trial)
            on = "" if process is None or is_local(process) else f" on {process.host}"
            show = Command("show", name)
            sentence = Sentence(f"trial {name} failed{on}: {reason}; `", show, "` says where")
            its_own = self.work.settings.model is not None and is_failed_try(trial)
            if not (its_own and self.progress.done):
                raise StudyError(*sentence.parts)
            logger.warning("%s", sentence)

    def stopping(self) -> bool:
        """Whether there is a reason to stop."""
        search, progress = self.search, self.progress
        if not self.reason and (self.todo or progress.running):
            if self.lease.lost:
                self.reason = "taken over"
            elif self.options.should_stop():
                self.reason = "interrupted"
            elif self.lease.stop_requested:
                self.reason = "stopped"
            elif search.target is not None and progress.reached(search.target):
                self.reason = "target"
            elif search.patience is not None and progress.since_best >= search.patience:
                self.reason = "patience"
            elif time.monotonic() >= self._deadline:
                self.reason = "timeout"
        return bool(self.reason)

    def tick(self) -> None:
        """Show the progress; every few seconds bring the summary in MLflow up to date."""
        self.options.on_progress(self.progress)
        if time.monotonic() - self._summarized > SUMMARY_SECONDS:
            self.summarize()

    def worker_died(self, pid: int, slot: int | None) -> None:
        """Close the trials of a dead worker; its slot is handed out again unless it was done."""
        self._count_lost(close_dead_trials(self.storage, self.study, pid))
        self.slot_free(slot)

    def slot_lost(self, slot: int, *, is_try: bool = True) -> None:
        """Close the trials of a slot whose worker elsewhere was lost; it is handed out again.

        is_try: whether this counts against the slot.
        """
        self._count_lost(end_attempts(self.storage, self.study, slot, is_try=is_try))
        self.slot_free(slot)

    def slot_free(self, slot: int | None) -> None:
        """Hand a slot out again unless it is done; None: whose it was is not known."""
        if slot is not None:
            self.progress.running.pop(slot, None)
        self.recount()

    def _count_lost(self, closed: Iterable[FrozenTrial]) -> None:
        for trial in closed:
            self.progress.failed += 1
            if self.tracker is not None:
                self.tracker.forget(self.study)  # the worker may have begun a run
                self.tracker(self.study, trial)

    def clean_up(self) -> None:
        """Close what dead workers left in either store, unless another process has the study."""
        if not self.lease.look():
            return
        close_dead_trials(self.storage, self.study)
        if self.tracker is not None and not self.tracker.lost:
            self.tracker.sync(self.study)

    def catch_up(self) -> None:
        """Write the runs that MLflow missed, if it was away at some time."""
        if self.tracker is None or not self.missed_runs or self.lease.lost:
            return
        try:
            self.tracker.sync(self.study, self.options.should_stop)
            self.progress.untracked = False
        except TrackingError as error:
            sync = Command("sync", self.study.study_name)
            logger.warning("%s; `%s` adds the missing runs", error, sync)

    def summarize(self) -> None:
        """Bring the summary in MLflow up to date, unless another process does that now."""
        if self.lease.lost:
            return
        self._summarized = time.monotonic()
        self.work.summarize()
