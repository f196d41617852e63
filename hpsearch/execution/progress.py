"""How far a study is, while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from hpsearch.formatting import format_value
from hpsearch.trials.records import has_diverged, slot_of, was_interrupted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass
class Progress:
    """How far a study is: one object, updated while the study runs."""

    slots: Sequence[int]  # the wanted ones
    max_epochs: int
    direction: str
    round: int = 0  # 2 or more for a later round of a search from coarse to fine
    unit: str = "trials"  # what a slot is called
    complete: int = 0
    pruned: int = 0
    failed: int = 0  # since this start
    started_with: int = 0  # trials done before this start
    best: float | None = None
    best_slot: int | None = None
    since_best: int = 0  # trials done since the best one, and diverged ones before there is one
    running: dict[int, int] = field(default_factory=dict)  # slot → epochs so far
    counted: set[int] = field(default_factory=set)  # numbers of trials
    untracked: bool = False  # the tracking store was lost during this start
    started: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        """How many slots are wanted."""
        return len(self.slots)

    @property
    def done(self) -> int:
        """How many slots are done."""
        return self.complete + self.pruned

    @property
    def work_done(self) -> float:
        """Trials done, a running one counted by its epochs."""
        return self.done + sum(self.running.values()) / self.max_epochs

    @property
    def rate(self) -> float:
        """Trials per second since this start, 0 while nothing is known."""
        seconds = time.monotonic() - self.started
        return (self.work_done - self.started_with) / seconds if seconds > 0.5 else 0.0

    def recount(self, trials: Iterable[FrozenTrial]) -> None:
        """Count everything again; an earlier start may have asked for more trials."""
        failed, self.best, self.best_slot = self.failed, None, None
        self.complete = self.pruned = self.since_best = 0
        self.counted.clear()
        wanted = frozenset(self.slots)
        for trial in trials:
            if slot_of(trial) in wanted:
                self.count(trial)
        self.failed = failed

    def count(self, trial: FrozenTrial) -> None:
        """Count a finished trial, once."""
        if trial.number in self.counted or not trial.state.is_finished():
            return
        self.counted.add(trial.number)
        if trial.state is TrialState.PRUNED:
            self.pruned += 1
            # Halving stops the first trials, with which there is nothing to compare.
            self.since_best += self.best is not None or has_diverged(trial)
        elif trial.state is TrialState.FAIL and not was_interrupted(trial):
            self.failed += 1
        elif trial.state is TrialState.COMPLETE and trial.value is not None:
            self.complete += 1
            self.since_best += 1
            if self.best is None or self._sign * trial.value > self._sign * self.best:
                self.best, self.best_slot, self.since_best = trial.value, slot_of(trial), 0

    def reached(self, target: float) -> bool:
        """Whether the best value is as good as `target`."""
        return self.best is not None and self._sign * self.best >= self._sign * target

    @property
    def _sign(self) -> int:
        return 1 if self.direction == "maximize" else -1


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Yield a function that draws progress with tqdm: a widget in a notebook, else a line."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    bars: dict[int, Any] = {}  # one for each round

    def draw(progress: Progress) -> None:
        bar = bars.get(id(progress))
        if bar is None:
            bar = bars[id(progress)] = tqdm(
                total=progress.total, initial=progress.done, unit="trial"
            )
        if progress.best is not None:
            best = f"best {format_value(progress.best)} (trial {progress.best_slot})"
            bar.set_postfix_str(best, refresh=False)
        bar.update(progress.done - bar.n)

    try:
        yield draw
    finally:
        for bar in bars.values():
            bar.close()
