"""The best so far against what was spent, epochs or seconds: how a search went, whatever it pruned.

Seconds are those in which a trial ran. Trials side by side share them, and where none ran, between
two starts of an interrupted study say, none pass.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from math import nan
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpsearch.trials.curves import higher_is_better
from hpsearch.trials.records import DONE, curves_of, own_trials

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class Improvement(NamedTuple):
    """A value better than all before it, and what had been spent when its epoch ended."""

    epochs: int  # of all trials
    seconds: float
    value: float


@dataclass(frozen=True)
class History:
    """When a search improved, and what it spent in all."""

    improvements: list[Improvement]
    spent: int  # epochs
    maximize: bool = True
    elapsed: float = 0.0  # seconds
    trials: int = 0  # that ran to their end or were pruned
    ends: list[int] = field(default_factory=list)  # epochs spent as each trial ended, in order

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], metric: str) -> History:
        """Read the finished ones of `trials`, of one study or several rounds.

        Epochs count as they ended, of trials side by side in turns. A value counts from the epoch
        that reached it, of trials that were pruned later as well.
        """
        ended = as_they_ended(trials)
        spans, maximize = [span_of(trial) for trial in ended], higher_is_better(metric)
        epochs = sorted(
            (epoch for trial in ended for epoch in _epochs(trial, metric)), key=itemgetter(0)
        )
        better = list[tuple[int, datetime, float]]()
        for spent, (moment, value) in enumerate(epochs, 1):
            if not better or _better(value, better[-1][-1], maximize=maximize):
                better.append((spent, moment, value))
        passed = seconds_passed(spans, [moment for _, moment, _ in better])
        improvements = [Improvement(spent, passed[when], value) for spent, when, value in better]
        moments = [moment for moment, _ in epochs]
        ends = [bisect_right(moments, end) for _, end in spans]
        elapsed = max(passed.values(), default=0.0)
        done = sum(trial.state in DONE for trial in ended)
        return cls(improvements, len(epochs), maximize, elapsed, done, ends)

    @classmethod
    def of_rounds(cls, rounds: Iterable[Study], metric: str) -> History:
        """Read a study, or all rounds of one; a trial that a round was given counts once."""
        return cls.of((trial for study in rounds for trial in own_trials(study)), metric)

    @property
    def best(self) -> float:
        """The value that it ended with, NaN if it has none."""
        return self.improvements[-1].value if self.improvements else nan

    def epochs_until(self, target: float) -> tuple[int, bool]:
        """Epochs spent when `target` was reached, True; or all there were, False."""
        for improvement in self.improvements:
            if not _better(target, improvement.value, maximize=self.maximize):
                return improvement.epochs, True
        return self.spent, False

    def best_after(self, spent: NDArray[np.int64]) -> NDArray[np.float64]:
        """The best so far after each of these numbers of epochs, NaN before there is one."""
        return self._best_at([each.epochs for each in self.improvements], spent)

    def best_within(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best so far after each of these numbers of seconds, NaN before there is one."""
        return self._best_at([each.seconds for each in self.improvements], seconds)

    def _best_at(
        self, improved: Sequence[float], moments: NDArray[np.int64] | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = np.array([nan, *(each.value for each in self.improvements)], np.float64)
        return values[np.searchsorted(np.array(improved, np.float64), moments, side="right")]


def span_of(trial: FrozenTrial) -> tuple[datetime, datetime]:
    """Return when a trial began and ended.

    One whose process was killed is declared dead at the next start: its last epoch ended it.
    """
    end = trial.datetime_complete
    assert end is not None
    start = min(trial.datetime_start or end, end)
    if trial.state not in DONE:
        times = curves_of(trial).times
        end = max(start, min(end, datetime.fromtimestamp(times[-1] / 1000))) if times else start
    return start, end


def as_they_ended(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return those of `trials` that have ended, in the order in which they did."""
    ended = (trial for trial in trials if trial.datetime_complete is not None)
    return sorted(ended, key=lambda trial: span_of(trial)[1])


def seconds_passed(
    spans: Sequence[tuple[datetime, datetime]], between: Iterable[datetime] = ()
) -> dict[datetime, float]:
    """Return the seconds that any span covers until each span's start and end.

    Those until the moments `between` are returned too.
    """
    moments = [(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans]
    moments += [(moment, 0) for moment in between]
    passed, seconds, running = dict[datetime, float](), 0.0, 0
    before: datetime | None = None
    for moment, change in sorted(moments):
        if running > 0 and before is not None:
            seconds += (moment - before).total_seconds()
        before, running = moment, running + change
        passed[moment] = seconds
    return passed


def _epochs(trial: FrozenTrial, metric: str) -> list[tuple[datetime, float]]:
    """Return when each epoch of an ended trial ended, and its value, in their order.

    Whatever the clock did, that is while the trial ran. Where times are not known it is its end.
    """
    curves, (start, end) = curves_of(trial), span_of(trial)
    values = curves.values[metric]
    if len(curves.times) != len(values):
        return [(end, value) for value in values]
    told = (datetime.fromtimestamp(time / 1000) for time in curves.times)
    moments = accumulate((min(max(moment, start), end) for moment in told), max)
    return list(zip(moments, values, strict=True))


def _better(value: float, other: float, *, maximize: bool) -> bool:
    return value > other if maximize else value < other
