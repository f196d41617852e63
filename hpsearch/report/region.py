"""The region that `hpsearch narrow` would search next, for the charts and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpsearch.errors import HpsearchError
from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.facts import Facts
from hpsearch.search.rounds import next_round
from hpsearch.space.ranges import Searched

Interval = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """What the next round would search, by key; or the reason why there is no such region.

    now: the narrowed ranges and choices. before: the current ones. notes: sentences on ties with
    the best trials, and on the ends that the best values crowd. best: how many of the best trials
    the region surrounds. missing: the reason, "" if there is a region.
    """

    now: Mapping[str, Searched] = field(default_factory=dict)
    before: Mapping[str, Searched] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    best: int = 0
    missing: str = ""

    def of(self, axis: ParameterAxis) -> list[Interval]:
        """Return the intervals of the region on an axis, as coordinates; none if it is missing."""
        return axis.region(self.now[axis.name]) if axis.name in self.now else []

    def keys(self, style: str) -> dict[str, str]:
        """Return the region's entry for a chart's legend, none if it is missing."""
        return {"what narrow would keep": style} if self.now else {}

    def rows(self) -> list[tuple[str, str, str]]:
        """Return a row for each key: its name, what it searches now, and what it would search."""
        return [(key, str(was), str(self.now[key])) for key, was in self.before.items()]


def region_of(facts: Facts) -> Region:
    """Return the region that `hpsearch narrow` would choose for the study now."""
    try:
        following = next_round(facts.study)
    except HpsearchError as error:
        return Region(missing=str(error))
    narrowing = following.narrowing
    return Region(
        narrowing.space.searched,
        narrowing.before.searched,
        tuple(note for note in (following.tie, *map(str, narrowing.crowded)) if note),
        len(following.best),
    )
