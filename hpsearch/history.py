"""The best so far against what was spent, epochs or seconds: how a search went, whatever it pruned.

Seconds are those in which a trial ran. Trials side by side share them, and where none ran, between
two starts of an interrupted study say, none pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.curves import Curves
from hpsearch.slots import DONE, own_trials

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class History:
    """When a search improved, as (epochs spent by then, value), and what it spent in all.

    `seconds` has for each improvement those that had passed when its trial ended.
    """

    improvements: list[tuple[int, float]]
    spent: int
    trials: int
    maximize: bool = True
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0  # seconds in all

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], metric: str) -> History:
        """Read the finished ones of `trials`, of one study or several rounds, as they ended.

        A value counts from the epoch that reached it, of trials that were pruned later as well.
        """
        finished = (trial for trial in trials if trial.datetime_complete is not None)
        ended = sorted(((span_of(trial), trial) for trial in finished), key=lambda pair: pair[0][1])
        passed = seconds_passed([span for span, _ in ended])
        maximize, spent = metric.endswith("accuracy"), 0
        improvements, seconds = list[tuple[int, float]](), list[float]()
        for (_, end), trial in ended:
            values = Curves.of(trial).values[metric]
            for epoch, value in enumerate(values, spent + 1):
                if not improvements or _better(value, improvements[-1][1], maximize=maximize):
                    improvements.append((epoch, value))
                    seconds.append(passed[end])
            spent += len(values)
        elapsed = max(passed.values(), default=0.0)
        return cls(improvements, spent, len(ended), maximize, seconds, elapsed)

    @classmethod
    def of_rounds(cls, rounds: Iterable[Study], metric: str) -> History:
        """Read a study, or all rounds of one; a trial that a round was given counts once."""
        return cls.of((trial for study in rounds for trial in own_trials(study)), metric)

    @property
    def best(self) -> float:
        """The value that it ended with, NaN if it has none."""
        return self.improvements[-1][1] if self.improvements else nan

    def epochs_until(self, target: float) -> tuple[int, bool]:
        """Epochs spent when `target` was reached, True; or all there were, False."""
        for epochs, value in self.improvements:
            if not _better(target, value, maximize=self.maximize):
                return epochs, True
        return self.spent, False

    def best_after(self, spent: NDArray[np.int64]) -> NDArray[np.float64]:
        """The best so far after each of these numbers of epochs, NaN before there is one."""
        return self._best_at([epochs for epochs, _ in self.improvements], spent)

    def best_within(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best so far after each of these numbers of seconds, NaN before there is one."""
        return self._best_at(self.seconds, seconds)

    def _best_at(
        self, improved: Sequence[float], moments: NDArray[np.int64] | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = np.array([nan, *(value for _, value in self.improvements)], np.float64)
        return values[np.searchsorted(np.array(improved, np.float64), moments, side="right")]


def span_of(trial: FrozenTrial) -> tuple[datetime, datetime]:
    """Return when a trial began and ended.

    One whose process was killed is declared dead at the next start: its last epoch ended it.
    """
    end = trial.datetime_complete
    assert end is not None
    start = min(trial.datetime_start or end, end)
    if trial.state not in DONE:
        times = Curves.of(trial).times
        end = max(start, min(end, datetime.fromtimestamp(times[-1] / 1000))) if times else start
    return start, end


def seconds_passed(spans: Sequence[tuple[datetime, datetime]]) -> dict[datetime, float]:
    """Return for each span's start and end the seconds until then that any span covers."""
    moments = [(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans]
    passed, seconds, running = dict[datetime, float](), 0.0, 0
    before: datetime | None = None
    for moment, change in sorted(moments):
        if running > 0 and before is not None:
            seconds += (moment - before).total_seconds()
        before, running = moment, running + change
        passed[moment] = seconds
    return passed


def _better(value: float, other: float, *, maximize: bool) -> bool:
    return value > other if maximize else value < other
