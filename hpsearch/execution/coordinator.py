"""The parent of a study's workers: hands out slots, hears what came of them, knows when to stop."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from hpsearch.errors import Interrupted, StudyError, TrackingError
from hpsearch.execution.progress import Progress
from hpsearch.execution.recovery import close_dead_trials
from hpsearch.storage.leases import Claim
from hpsearch.tracking.page import describe
from hpsearch.trials.slots import ROUND, count_slots, own_trials, slot_of, was_interrupted

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.settings.study import StudySettings
    from hpsearch.tracking.tracker import Tracker

OnProgress = Callable[[Progress], None]
DESCRIBE_SECONDS = 10.0
RENEW_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Parent:
    """Who a worker's channel leads to; one that works in this process has it as its channel.

    slots: what is wanted. rounds: those that the experiment's page is about, this one the last.
    `reason` says why no more slots are handed out before all are done: "interrupted", "timeout",
    "target" or "patience"; "" as long as there is none.
    """

    def __init__(
        self,
        study: Study,
        settings: StudySettings,
        slots: Sequence[int],
        tracker: Tracker | None,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
        claim: Claim,
        rounds: Sequence[Study] = (),
        deadline: float | None = None,
    ) -> None:
        self.study, self.search, self.tracker, self.claim = study, settings.search, tracker, claim
        self.on_progress, self.should_stop, self.rounds = on_progress, should_stop, rounds
        self.reason = ""
        self.progress = Progress(
            slots,
            settings.max_epochs,
            self.search.direction,
            round=study.user_attrs.get(ROUND, 0),
        )
        self.described = self.renewed = now = time.monotonic()
        if deadline is None and self.search.timeout is not None:
            deadline = now + self.search.timeout
        self.deadline = math.inf if deadline is None else deadline
        self.todo: deque[int] = deque()
        self.take_stock()
        self.progress.started_with = self.progress.done
        on_progress(self.progress)

    def take_stock(self) -> None:
        """Read from the storage which slots are to do, and how far the study is."""
        trials = own_trials(self.study)
        todo = count_slots(trials, self.progress.slots).todo
        self.todo = deque(slot for slot in todo if slot not in self.progress.running)
        self.progress.recount(trials)

    def next_slot(self) -> int | None:
        """Return the next slot that nobody has done or is doing, None if there is none."""
        if self.stopping() or not self.todo:
            return None
        self.progress.running[slot := self.todo.popleft()] = 0
        return slot

    def epoch(self, slot: int, epoch: int) -> None:
        """Draw the progress; raise Interrupted if the trial should end here."""
        self.progress.running[slot] = epoch
        self.tick()
        if self.stopping():
            raise Interrupted

    def finished(self, trial: FrozenTrial) -> None:
        """Count the trial; raise StudyError if it failed: that is a bug or bad input."""
        self.progress.running.pop(slot_of(trial), None)
        self.progress.count(trial)
        self.progress.untracked = self.tracker is not None and self.tracker.lost
        self.tick()
        if trial.state is TrialState.FAIL and not was_interrupted(trial):
            where = f"{self.study.study_name}#{slot_of(trial)}"
            reason = trial.user_attrs.get("reason", "no reason given")
            raise StudyError(f"trial {where} failed: {reason}; `hpsearch show {where}` says where")

    def stopping(self) -> bool:
        """Whether there is a reason to stop."""
        search, progress = self.search, self.progress
        if not self.reason and (self.todo or progress.running):
            if self.should_stop():
                self.reason = "interrupted"
            elif search.target is not None and progress.reached(search.target):
                self.reason = "target"
            elif search.patience is not None and progress.since_best >= search.patience:
                self.reason = "patience"
            elif time.monotonic() >= self.deadline:
                self.reason = "timeout"
        return bool(self.reason)

    def tick(self) -> None:
        """Draw the progress; now and then renew the claim and the summary in MLflow."""
        self.on_progress(self.progress)
        now = time.monotonic()
        if now - self.renewed > RENEW_SECONDS:
            self.renewed = now
            self.claim.renew()
        if now - self.described > DESCRIBE_SECONDS:
            self.describe()

    def bury(self, pid: int, slot: int | None) -> None:
        """Close what a dead worker left open; its slot is to do again unless it was done."""
        for trial in close_dead_trials(self.study, pid):
            self.progress.failed += 1
            if self.tracker is not None:
                self.tracker.forget(self.study)  # the run that the worker may have begun
                self.tracker(self.study, trial)
        if slot is not None:
            self.progress.running.pop(slot, None)
        self.take_stock()

    def describe(self) -> None:
        """Bring the summary in MLflow up to date."""
        self.described = time.monotonic()
        if self.tracker is not None and self.rounds:
            describe_rounds(self.rounds, self.tracker)


def describe_rounds(rounds: Sequence[Study], tracker: Tracker) -> None:
    """Write what was found into MLflow; a store that is away misses it until the next time."""
    try:
        tracker.describe(rounds[0], describe(*rounds))
    except TrackingError as error:
        logger.warning("%s", error)
