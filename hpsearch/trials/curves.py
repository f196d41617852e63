"""Learning curves, as a trial carries them: lists by metric, with the time of each epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from model.training import Epoch

CURVES = "curves"  # user attribute of a trial
METRICS = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
}


@dataclass
class Curves:
    """One list per metric, one value per epoch from 1, all finite.

    Without validation rows the lists are those of `train/…` alone.
    `gradient_norms` has for each epoch those of the layers, input side first; it is empty where a
    study asks for no diagnostics.
    """

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    times: list[int] = field(default_factory=list)  # ends of epochs, in ms since 1970
    gradient_norms: list[list[float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def append(self, epoch: Epoch) -> bool:
        """Add an epoch; return False, and add nothing, if any of its numbers is not finite."""
        numbers = {name: float(getattr(epoch, METRICS[name])) for name in self.values}
        if not all(map(math.isfinite, numbers.values())):
            return False
        for name, number in numbers.items():
            self.values[name].append(number)
        if epoch.diagnostics:
            self.gradient_norms.append(list(epoch.diagnostics.gradient_norms))
        self.times.append(time.time_ns() // 1_000_000)
        return True

    def best(self, metric: str) -> tuple[int, float]:
        """Return the epoch (from 1) with the best value of `metric`, and the value."""
        values = self.values[metric]
        best = max(values) if metric.endswith("accuracy") else min(values)
        return values.index(best) + 1, best

    def as_attribute(self) -> dict[str, Any]:
        """Return plain data to keep on a trial."""
        norms = {"gradient_norms": self.gradient_norms} if self.gradient_norms else {}
        return {**self.values, "times": self.times, **norms}

    @classmethod
    def of(cls, trial: FrozenTrial) -> Curves:
        """Return the curves that a trial carries, empty if it carries none."""
        stored = trial.user_attrs.get(CURVES, {})
        values = {name: stored.get(name, []) for name in METRICS if name in stored or not stored}
        return cls(values, stored.get("times", []), stored.get("gradient_norms", []))
