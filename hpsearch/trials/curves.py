"""The learning curves of a trial: a list for each metric, and the time of each epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.training import Epoch

METRICS = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
}


@dataclass
class Curves:
    """A list for each metric with one finite value per epoch, the first of epoch 1.

    Without validation rows there are only the `train/…` lists. `gradient_norms` has a list per
    epoch with the norm of each layer's gradient, input side first; it is empty unless the study
    asks for diagnostics.
    """

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    times: list[int] = field(default_factory=list)  # ends of epochs, in ms since 1970
    gradient_norms: list[list[float]] = field(default_factory=list)

    @classmethod
    def without_validation(cls) -> Curves:
        """Return empty curves of the `train/…` metrics alone."""
        return cls({name: [] for name in METRICS if name.startswith("train/")})

    def __len__(self) -> int:
        return len(self.times)

    def append(self, epoch: Epoch) -> bool:
        """Add an epoch and return True; return False and add nothing if a number is not finite."""
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
        """Return the curves as plain data, to be stored on a trial."""
        norms = {"gradient_norms": self.gradient_norms} if self.gradient_norms else {}
        return {**self.values, "times": self.times, **norms}

    @classmethod
    def from_attribute(cls, stored: Mapping[str, Any]) -> Curves:
        """Return the curves in what `as_attribute` returned; empty ones for an empty mapping."""
        values = {name: stored.get(name, []) for name in METRICS if name in stored or not stored}
        return cls(values, stored.get("times", []), stored.get("gradient_norms", []))
