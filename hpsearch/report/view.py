"""Which part of a metric's axis charts show at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.report.charts.base import far_apart, value_axis

WORST = 0.1  # this share of the values may lie outside
ROOM = 0.06  # of what is shown, on either side
AROUND = 0.05  # of a value, on either side where it is the only one
BOUNDS = {"accuracy": (0.0, 1.0), "loss": (0.0, math.inf)}  # what a metric can be


@dataclass(frozen=True)
class View:
    """From where to where a chart shows values at first, and how many are worse than that."""

    low: float
    high: float
    log: bool = False
    beyond: int = 0

    @classmethod
    def of(
        cls, values: Sequence[float], *, maximize: bool, sound: Sequence[float] | None = None
    ) -> View:
        """Leave out the worst tenth where it would take more than half of the axis.

        sound: the values of trials that did not diverge, which a logarithmic axis is for.
        """
        log = far_apart(values)
        shown = sound if log and sound else values
        low, high = min(shown), max(shown)
        edge = sorted(shown, reverse=not maximize)[round(WORST * (len(shown) - 1))]
        first, last, end = (math.log10(v) if log else v for v in (low, high, edge))
        near = last - end if maximize else end - first
        if 0 < near <= (last - first) / 2:
            low, high = (edge, high) if maximize else (low, edge)
        return cls(low, high, log, sum(not low <= value <= high for value in values))

    def axis(self, title: str, metric: str) -> dict[str, Any]:
        """Return plotly's axis of the metric, as wide in every chart."""
        ends = [math.log10(end) for end in self._ends(metric)] if self.log else self._ends(metric)
        room = ROOM * (ends[1] - ends[0])
        return value_axis(title, log=self.log) | {"range": [ends[0] - room, ends[1] + room]}

    def _ends(self, metric: str) -> list[float]:
        """Return from where to where, which of one value alone is a little around it."""
        if self.low < self.high:
            return [self.low, self.high]
        least, most = BOUNDS.get(metric.partition("/")[2], (-math.inf, math.inf))
        around = AROUND * abs(self.low) or AROUND
        return [max(least, self.low - around), min(most, self.high + around)]

    def __str__(self) -> str:
        """What a chart's note says of values that it does not show, "" if it shows all."""
        return (
            f" At first {self.worst} out of sight: double-click to see all." if self.worst else ""
        )

    @property
    def worst(self) -> str:
        """The trials beyond, as a sentence begins of them; "" where there are none."""
        if not self.beyond:
            return ""
        return "the worst trial is" if self.beyond == 1 else f"the worst {self.beyond} trials are"
