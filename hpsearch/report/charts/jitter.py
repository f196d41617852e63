"""A little disorder, so that trials with the same value of a parameter do not cover each other."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.facts import Facts, Point
from hpsearch.trials.records import slot_of

BESIDE = 0.24  # of a step, all in all: a value's trials lie clearly around its tick
INSIDE = 0.5  # of a step, in a cell that says which value it is
# Multiples of each are spread evenly, and places by one and the other have nothing in common.
ALONG, UP = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1
NEAR = 0.02  # of a chart's height, between the values of marks that cover each other
MANY = 0.1  # of its marks


def jitter(along: ParameterAxis, point: Point, width: float = BESIDE, turn: float = ALONG) -> float:
    """Return how far beside its value a trial is drawn, 0 on an axis of more than a few."""
    if not along.values():
        return 0.0
    return 2 * along.half * width * (slot_of(point.trial) * turn % 1 - 0.5)


def is_crowded(facts: Facts, along: ParameterAxis) -> bool:
    """Whether many marks would cover each other, had each its place at its very value."""
    shares: dict[float, list[float]] = defaultdict(list)
    for point in facts.points:
        place = along.coordinate(point.trial)
        if place is not None:
            shares[place].append(facts.share(point.value))
    covered = sum(b - a < NEAR for each in shares.values() for a, b in pairwise(sorted(each)))
    return bool(along.values()) and covered > MANY * len(facts.points)
