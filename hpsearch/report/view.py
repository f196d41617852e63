"""Which part of a metric's axis charts show at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.report.charts import far_apart, value_axis

WORST = 0.1  # this share of the values may lie outside


@dataclass(frozen=True)
class View:
    """From where to where a chart shows values at first, and how many are worse than that."""

    low: float
    high: float
    log: bool = False
    beyond: int = 0

    @classmethod
    def of(cls, values: Sequence[float], *, maximize: bool) -> View:
        """Leave out the worst tenth where it would take more than half of the axis."""
        low, high = min(values), max(values)
        if far_apart(values):
            return cls(low, high, log=True)
        edge = sorted(values, reverse=not maximize)[round(WORST * (len(values) - 1))]
        near = high - edge if maximize else edge - low
        if near <= 0 or near > (high - low) / 2:
            return cls(low, high)
        low, high = (edge, high) if maximize else (low, edge)
        return cls(low, high, beyond=sum(not low <= value <= high for value in values))

    def axis(self, title: str) -> dict[str, Any]:
        """Return plotly's axis of the metric."""
        found, room = value_axis(title, log=self.log), 0.06 * (self.high - self.low)
        return found | ({"range": [self.low - room, self.high + room]} if self.beyond else {})

    def __str__(self) -> str:
        """What a chart's note says of values that it does not show, "" if it shows all."""
        if not self.beyond:
            return ""
        trials = "the worst trial is" if self.beyond == 1 else f"the worst {self.beyond} trials are"
        return f" At first {trials} out of sight: double-click to see all."
