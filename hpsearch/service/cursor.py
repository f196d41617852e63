"""A cursor: what a reader knows of a study's trials, so that it can be told what has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpsearch.errors import SettingsError
from hpsearch.trials.records import curves_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FORM = re.compile(r"\d{1,9}(\.\d{1,9}-\d{1,9})*")
LONGEST = 100_000  # characters


@dataclass(frozen=True)
class Cursor:
    """The number of the next trial, and of the running ones the epochs that are known.

    As text: 12.9-3.11-0 knows the trials 0 to 11, of which 9 and 11 were running.
    """

    next: int = 0
    running: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial]) -> Cursor:
        """Return the cursor of a reader that knows these trials."""
        running = {each.number: _epochs(each) for each in trials if not each.state.is_finished()}
        return cls(trials[-1].number + 1 if trials else 0, running)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that `str` has made; raises SettingsError."""
        if len(text) > LONGEST or not FORM.fullmatch(text):
            raise SettingsError("since: must be the cursor of an earlier answer")
        first, *rest = text.split(".")
        pairs = (each.split("-") for each in rest)
        return cls(int(first), {int(number): int(epochs) for number, epochs in pairs})

    def __str__(self) -> str:
        return ".".join([str(self.next), *(f"{n}-{epochs}" for n, epochs in self.running.items())])

    def changed(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that are new, that have ended, or that have trained more epochs."""
        return [trial for trial in trials if self._is_news(trial)]

    def _is_news(self, trial: FrozenTrial) -> bool:
        if trial.number >= self.next:
            return True
        known = self.running.get(trial.number)
        return known is not None and (trial.state.is_finished() or _epochs(trial) > known)


def _epochs(trial: FrozenTrial) -> int:
    """Return how many epochs of a running trial are known: reported ones are so at once."""
    return max(len(curves_of(trial)), *trial.intermediate_values, 0)
