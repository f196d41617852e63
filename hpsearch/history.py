"""The best so far against the epochs spent: how a search went, whatever it pruned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.curves import Curves

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class History:
    """When a search improved, as (epochs spent by then, value), and what it spent in all."""

    improvements: list[tuple[int, float]]
    spent: int
    trials: int
    maximize: bool = True

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], metric: str) -> History:
        """Read the finished ones of `trials`, of one study or several rounds, as they ended.

        A value counts from the epoch that reached it, of trials that were pruned later as well.
        """
        ended = [(t.datetime_complete, t) for t in trials if t.datetime_complete is not None]
        maximize, spent = metric.endswith("accuracy"), 0
        improvements: list[tuple[int, float]] = []
        for _, trial in sorted(ended, key=lambda pair: pair[0]):
            values = Curves.of(trial).values[metric]
            for epoch, value in enumerate(values, spent + 1):
                if not improvements or _better(value, improvements[-1][1], maximize=maximize):
                    improvements.append((epoch, value))
            spent += len(values)
        return cls(improvements, spent, len(ended), maximize)

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
        table: NDArray[np.float64] = np.array([(0, nan), *self.improvements], np.float64)
        epochs, values = table[:, 0], table[:, 1]
        return values[np.searchsorted(epochs, spent, side="right") - 1]


def _better(value: float, other: float, *, maximize: bool) -> bool:
    return value > other if maximize else value < other
