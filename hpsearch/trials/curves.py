"""The learning curves of a trial: the values of each metric, and when each epoch ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Metrics = Mapping[str, float | None]
"""The metrics of an epoch by name; None for one that was not measured in this epoch."""

_TIMES, _NORMS = "times", "gradient_norms"
RESERVED = (_TIMES, _NORMS)  # no metric can have these names


@dataclass
class Curves:
    """For each metric, a list with a value for each epoch from epoch 1 on.

    A value is finite, or None where the metric was not measured. `gradient_norms` holds for each
    epoch the norms of the layers' gradients, input side first; it is empty unless the study asks
    for diagnostics.
    """

    values: dict[str, list[float | None]] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)  # when each epoch ended, in ms since 1970
    gradient_norms: list[list[float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def append(self, metrics: Metrics, metric: str, gradient_norms: Sequence[float] = ()) -> bool:
        """Add an epoch and return True; if it diverged, add nothing and return False.

        metric: the search's. An epoch has diverged if this or a loss is infinite or no number.
        Other metrics that are not finite count as not measured.
        """
        for name, value in metrics.items():
            judged = name == metric or name.endswith("loss")
            if judged and value is not None and not math.isfinite(value):
                return False
        for name in metrics:
            if name not in self.values:
                self.values[name] = [None] * len(self)
        for name, values in self.values.items():
            value = metrics.get(name)
            values.append(value if value is not None and math.isfinite(value) else None)
        if gradient_norms:
            self.gradient_norms.append(list(gradient_norms))
        self.times.append(time.time_ns() // 1_000_000)
        return True

    def restore(self, earlier: Curves) -> None:
        """Begin with the epochs that an earlier trial has trained."""
        self.values, self.times = earlier.values, earlier.times
        self.gradient_norms = earlier.gradient_norms

    def of(self, metric: str) -> list[float | None]:
        """Return the curve of a metric, [] if it was never measured."""
        return self.values.get(metric, [])

    def best(self, metric: str, *, maximize: bool) -> tuple[int, float] | None:
        """Return the epoch (from 1) with the best value of `metric`, and the value; None if the
        metric was never measured."""
        sign = -1 if maximize else 1
        return min(self._measured(metric), key=lambda epoch: sign * epoch[1], default=None)

    def judged(self, metric: str, *, maximize: bool, by_last: bool) -> tuple[int, float] | None:
        """Return the epoch (from 1) that gives a trial its value, and the value, else None.

        by_last: whether the last epoch that measured `metric` counts instead of the best.
        """
        if not by_last:
            return self.best(metric, maximize=maximize)
        return next(reversed(self._measured(metric)), None)

    def _measured(self, metric: str) -> list[tuple[int, float]]:
        return [(n, v) for n, v in enumerate(self.of(metric), start=1) if v is not None]

    def as_attribute(self) -> dict[str, Any]:
        """Return the curves as plain data, for storage on a trial."""
        norms = {_NORMS: self.gradient_norms} if self.gradient_norms else {}
        return {**self.values, _TIMES: self.times, **norms}

    @classmethod
    def from_attribute(cls, stored: Mapping[str, Any]) -> Curves:
        """Return the curves that `as_attribute` stored; empty curves for an empty mapping."""
        values = {name: value for name, value in stored.items() if name not in RESERVED}
        return cls(values, stored.get(_TIMES, []), stored.get(_NORMS, []))
