"""The history of a search: the best value so far against the epochs or the seconds spent.

Only seconds in which at least one trial ran count, and each of them counts once, however many
trials ran at the same time. The pause before an interrupted study goes on does not count.
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
from optuna.trial import TrialState

from hpsearch.trials.metrics import higher_is_better
from hpsearch.trials.records import DONE, curves_of, own_trials, resumed_after, setup_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class Improvement(NamedTuple):
    """A value that is better than all earlier ones, and the cost when its epoch ended."""

    epochs: int  # of all trials
    seconds: float
    value: float


@dataclass(frozen=True)
class History:
    """When a search improved, and what it cost in total."""

    improvements: list[Improvement]
    spent: int  # epochs
    maximize: bool = True
    elapsed: float = 0.0  # seconds
    trials: int = 0  # complete and pruned ones
    ends: list[int] = field(default_factory=list)  # epochs spent by the end of each trial, in order

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], metric: str) -> History:
        """Return the history of the finished `trials` of one study or of several rounds.

        Epochs count in the order in which they ended, also when trials ran at the same time. A
        value counts from the epoch that reached it, even if its trial was pruned later.
        """
        ended = sorted_by_end(trials)
        spans, maximize = [span_of(trial) for trial in ended], _is_maximized(metric, ended)
        epochs = sorted(
            (epoch for trial in ended for epoch in _epochs(trial, metric)), key=itemgetter(0)
        )
        better = list[tuple[int, datetime, float]]()
        for spent, (moment, value) in enumerate(epochs, 1):
            if value is None:
                continue
            if not better or _better(value, better[-1][-1], maximize=maximize):
                better.append((spent, moment, value))
        passed = running_seconds(spans, [moment for _, moment, _ in better])
        improvements = [Improvement(spent, passed[when], value) for spent, when, value in better]
        moments = [moment for moment, _ in epochs]
        ends = [bisect_right(moments, end) for _, end in spans]
        elapsed = max(passed.values(), default=0.0)
        done = sum(trial.state in DONE for trial in ended)
        return cls(improvements, len(epochs), maximize, elapsed, done, ends)

    @classmethod
    def of_rounds(cls, rounds: Iterable[Study], metric: str) -> History:
        """Return the history of a study with its rounds; trials copied between them count once."""
        return cls.of((trial for study in rounds for trial in own_trials(study)), metric)

    @property
    def best(self) -> float:
        """The best value of all, NaN if there is none."""
        return self.improvements[-1].value if self.improvements else nan

    def epochs_until(self, target: float) -> tuple[int, bool]:
        """Return the epochs spent when `target` was reached and True, or all epochs and False."""
        for improvement in self.improvements:
            if not _better(target, improvement.value, maximize=self.maximize):
                return improvement.epochs, True
        return self.spent, False

    def best_after(self, spent: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the best so far after each of these numbers of epochs, NaN before the first."""
        return self._best_at([each.epochs for each in self.improvements], spent)

    def best_within(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the best so far after each of these numbers of seconds, NaN before the first."""
        return self._best_at([each.seconds for each in self.improvements], seconds)

    def _best_at(
        self, improved: Sequence[float], moments: NDArray[np.int64] | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = np.array([nan, *(each.value for each in self.improvements)], np.float64)
        return values[np.searchsorted(np.array(improved, np.float64), moments, side="right")]


def span_of(trial: FrozenTrial) -> tuple[datetime, datetime]:
    """Return when a trial started and ended.

    A trial whose process was killed is only marked as failed at the next start of the study, so it
    ends with its last epoch here.
    """
    end = trial.datetime_complete
    assert end is not None
    start = min(trial.datetime_start or end, end)
    if trial.state not in DONE:
        times = curves_of(trial).times
        end = max(start, min(end, datetime.fromtimestamp(times[-1] / 1000))) if times else start
    return start, end


def sorted_by_end(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that have ended, in the order in which they ended."""
    ended = (trial for trial in trials if trial.datetime_complete is not None)
    return sorted(ended, key=lambda trial: span_of(trial)[1])


def running_seconds(
    spans: Sequence[tuple[datetime, datetime]], between: Iterable[datetime] = ()
) -> dict[datetime, float]:
    """Return how many seconds the spans cover up to each start and end.

    Overlapping spans count once. The result also has an entry for each of the moments `between`.
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


def _is_maximized(metric: str, trials: Iterable[FrozenTrial]) -> bool:
    setups = (setup for trial in trials if (setup := setup_of(trial)) and setup.metric == metric)
    setup = next(setups, None)
    return higher_is_better(metric) if setup is None else setup.maximize


def _epochs(trial: FrozenTrial, metric: str) -> list[tuple[datetime, float | None]]:
    """Return when each epoch of an ended trial ended, and its value if it counts, in epoch order.

    Times outside the trial's span, which a changed clock can cause, are moved into it. If the times
    are unknown, all epochs end with the trial.
    """
    curves, (start, end) = curves_of(trial), span_of(trial)
    values = curves.of(metric)
    if len(curves.times) != len(values):
        return [(end, value) for value in values]
    recorded = (datetime.fromtimestamp(time / 1000) for time in curves.times)
    moments = accumulate((min(max(moment, start), end) for moment in recorded), max)
    epochs, setup = [*zip(moments, values, strict=True)], setup_of(trial)
    if setup is not None and setup.value == "last":  # values on the way cannot be compared
        judged = setup.judged(curves) if trial.state is TrialState.COMPLETE else None
        counts = judged[0] if judged else 0
        epochs = [(m, v if n == counts else None) for n, (m, v) in enumerate(epochs, start=1)]
    return epochs[resumed_after(trial) :]


def _better(value: float, other: float, *, maximize: bool) -> bool:
    return value > other if maximize else value < other
