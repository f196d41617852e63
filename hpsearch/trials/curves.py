"""The learning curves of a trial: the values of each metric, and when each epoch ended."""

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


def higher_is_better(metric: str) -> bool:
    """Return whether a metric is maximized: accuracies are, losses are not."""
    return metric.endswith("accuracy")


@dataclass
class Curves:
    """For each metric, a list of finite values, one per epoch from epoch 1 on.

    Without validation rows there are only the `train/…` lists. `gradient_norms` holds for each
    epoch the norms of the layers' gradients, input side first; it is empty unless the study asks
    for diagnostics.
    """

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    times: list[int] = field(default_factory=list)  # when each epoch ended, in ms since 1970
    gradient_norms: list[list[float]] = field(default_factory=list)

    @classmethod
    def without_validation(cls) -> Curves:
        """Return empty curves of the `train/…` metrics alone."""
        return cls({name: [] for name in METRICS if name.startswith("train/")})

    def __len__(self) -> int:
        return len(self.times)

    def append(self, epoch: Epoch) -> bool:
        """Add an epoch and return True; if a number is not finite, add nothing and return False."""
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
        best = max(values) if higher_is_better(metric) else min(values)
        return values.index(best) + 1, best

    def as_attribute(self) -> dict[str, Any]:
        """Return the curves as plain data, for storage on a trial."""
        norms = {"gradient_norms": self.gradient_norms} if self.gradient_norms else {}
        return {**self.values, "times": self.times, **norms}

    @classmethod
    def from_attribute(cls, stored: Mapping[str, Any]) -> Curves:
        """Return the curves that `as_attribute` stored; empty curves for an empty mapping."""
        values = {name: stored.get(name, []) for name in METRICS if name in stored or not stored}
        return cls(values, stored.get("times", []), stored.get("gradient_norms", []))
