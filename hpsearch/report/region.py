"""The region that `narrow` would choose, for charts to draw and the page to tell."""

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
    """What the next round would search, by key; or why that is not known."""

    now: Mapping[str, Searched] = field(default_factory=dict)
    before: Mapping[str, Searched] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # others as good as the best, and ends that these crowd
    best: int = 0  # how many trials it is around
    missing: str = ""

    def of(self, axis: ParameterAxis) -> list[Interval]:
        """Return the intervals of coordinates that it leaves on an axis, none if it is unknown."""
        return axis.region(self.now[axis.name]) if axis.name in self.now else []

    def rows(self) -> list[tuple[str, str, str]]:
        """Return for each key what it is, and what it would be."""
        return [(key, str(was), str(self.now[key])) for key, was in self.before.items()]


def region_of(facts: Facts) -> Region:
    """Return what `hpsearch narrow` would say of the study now."""
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
