"""The part of a metric's axis that charts show until the reader zooms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.report.charts.base import needs_log_axis, value_axis
from hpsearch.trials.metrics import bounds

WORST = 0.1  # at most this share of the values is out of view
ROOM = 0.06  # added on either side, as a share of the range shown
AROUND = 0.05  # added on either side of a single value, as a share of it


@dataclass(frozen=True)
class View:
    """The range of values that a chart shows first, and how many values are outside it."""

    low: float
    high: float
    log: bool = False
    beyond: int = 0

    @classmethod
    def of(
        cls, values: Sequence[float], *, maximize: bool, sound: Sequence[float] | None = None
    ) -> View:
        """Return a view without the worst tenth if that would take more than half of the axis.

        sound: the values of trials that did not diverge; a logarithmic axis is fitted to them.
        """
        log = needs_log_axis(values)
        shown = sound if log and sound else values
        low, high = min(shown), max(shown)
        edge = sorted(shown, reverse=not maximize)[round(WORST * (len(shown) - 1))]
        first, last, end = (math.log10(v) if log else v for v in (low, high, edge))
        near = last - end if maximize else end - first
        if 0 < near <= (last - first) / 2:
            low, high = (edge, high) if maximize else (low, edge)
        return cls(low, high, log, sum(not low <= value <= high for value in values))

    def axis(self, title: str, metric: str) -> dict[str, Any]:
        """Return the metric's axis for plotly, with the same range in every chart."""
        ends = [math.log10(end) for end in self._ends(metric)] if self.log else self._ends(metric)
        room = ROOM * (ends[1] - ends[0])
        return value_axis(title, log=self.log) | {"range": [ends[0] - room, ends[1] + room]}

    def _ends(self, metric: str) -> list[float]:
        """Return both ends of the range; a single value gets some room on either side."""
        if self.low < self.high:
            return [self.low, self.high]
        least, most = bounds(metric)
        if not least <= self.low <= most:  # such as an accuracy in percent
            least, most = -math.inf, math.inf
        around = AROUND * abs(self.low) or AROUND
        return [max(least, self.low - around), min(most, self.high + around)]

    def __str__(self) -> str:
        """A sentence for a chart's note on the trials out of view, "" if there are none."""
        if not self.beyond:
            return ""
        return f" At first, {self.worst} out of view: double-click to see all."

    @property
    def worst(self) -> str:
        """The beginning of a sentence on the trials out of view, "" if there are none."""
        if not self.beyond:
            return ""
        return "the worst trial is" if self.beyond == 1 else f"the worst {self.beyond} trials are"
