"""Successive halving whose first rung waits until there are trials to compare with."""

from __future__ import annotations

import zlib
from math import ceil, isnan
from typing import TYPE_CHECKING

from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.trials.records import slot_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optuna.study import Study
    from optuna.trial import FrozenTrial

WHOLE_EVERY = 15  # of so many slots, at least one is not pruned


class HalvingPruner(BasePruner):
    """Asynchronous successive halving (ASHA: Li et al., 2020) that does not pass the first to come.

    Rung n is after `first` · `factor`ⁿ epochs. A trial goes on there if its value is among the best
    1/`factor` of those that trials had there, its own included; of fewer than `factor`, the best
    goes on. By that rule alone the first trial of a study trains to its end, whatever it is. Here
    a trial passes its first rung only after `min_peers` others have come there.

    The later rungs do not wait: if they did, a short study could end without a trial that ran to
    its end. To be certain of one, the last of every `whole_every` slots runs to its end if none of
    the others did. bootstrap_count: how many trials every rung stops before one passes.

    shares: the relative numbers of slots whose first rung is rung 0, 1, 2, … Several make it a
    Hyperband, in which all trials that have come to a rung are compared, whatever theirs was.

    Decisions follow from what the trials have reported: all processes decide alike, and so does a
    study that continues. Attempts that failed do not count, because their slots run again.
    """

    def __init__(
        self,
        *,
        first: int,
        factor: int,
        min_peers: int,
        bootstrap_count: int = 0,
        shares: Sequence[int] = (1,),
        whole_every: int = WHOLE_EVERY,
    ) -> None:
        self.first, self.factor, self.shares = first, factor, tuple(shares)
        self.min_peers, self.bootstrap_count = min_peers, bootstrap_count
        self.whole_every = whole_every

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether to stop `trial`; it is judged by its first report at or after a rung."""
        step, slot = trial.last_step, slot_of(trial)
        if step is None:
            return False
        first = self.first_rung(slot)
        rungs = [*self._rungs_come_to(trial, step, first)]
        if not rungs:
            return False
        others = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and other.state is not TrialState.FAIL
        ]
        if self._is_last_chance(slot, others):
            return False
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        own = sign * trial.intermediate_values[step]
        for rung in rungs:
            values = [sign * value for value in values_at(rung, others)]
            wanted = max(self.bootstrap_count, self.min_peers if rung == first else 0)
            if len(values) < wanted or not self._among_best(own, values):
                return True
        return False

    def first_rung(self, slot: int) -> int:
        """Return after how many epochs a slot is judged first, by its share as in Optuna."""
        place, rung = zlib.crc32(str(slot).encode()) % sum(self.shares), self.first
        for share in self.shares:
            if place < share:
                break
            place, rung = place - share, rung * self.factor
        return rung

    def _rungs_come_to(self, trial: FrozenTrial, step: int, rung: int) -> Iterator[int]:
        """Yield the rungs that the trial has come to with its last report."""
        before = max((known for known in trial.intermediate_values if known < step), default=0)
        while rung <= step:
            if rung > before:
                yield rung
            rung *= self.factor

    def _is_last_chance(self, slot: int, others: Sequence[FrozenTrial]) -> bool:
        """Return whether a slot is the last of its group, and no other one ran to its end."""
        place = slot % self.whole_every
        if place < self.whole_every - 1:
            return False
        whole = (slot_of(other) for other in others if other.state is TrialState.COMPLETE)
        return not any(slot - place <= each < slot for each in whole)

    def _among_best(self, own: float, values: Sequence[float]) -> bool:
        """Return whether a value, of which higher is better, is among the best of all."""
        ranked = sorted([own, *values], reverse=True)
        return own >= ranked[max(len(ranked) // self.factor, 1) - 1]


def bracket_shares(first: int, factor: int, epochs: int) -> list[int]:
    """Return how Hyperband (Li et al., 2018) divides the trials among its brackets.

    Each begins at another rung, and is to spend about as many epochs as the others.
    """
    count = 1
    while first * factor**count <= epochs:
        count += 1
    return [ceil(count * factor ** (n - 1) / n) for n in range(count, 0, -1)]


def values_at(rung: int, trials: Sequence[FrozenTrial]) -> Iterator[float]:
    """Yield the value of each trial that has come to a rung, there or at its next report."""
    for trial in trials:
        reported = trial.intermediate_values
        step = rung if rung in reported else min((n for n in reported if n > rung), default=None)
        if step is not None and not isnan(reported[step]):
            yield reported[step]
