"""The grid of a space: every combination of its choices and stepped ranges, numbered.

The first key of the [trial] table varies slowest, the last one fastest, like the digits of a
number. Points are computed from their number, so a grid may be larger than memory.
"""

from __future__ import annotations

import math
from typing import Any

from hpsearch.space.ranges import Choices, Searched, SpaceError
from hpsearch.space.space import SearchSpace


def grid_size(space: SearchSpace) -> int:
    """Return the number of points, one of a space in which all is fixed.

    Raises SpaceError for a range that has no points.
    """
    return math.prod(_count(name, entry) for name, entry in space.searched.items())


def grid_point(space: SearchSpace, number: int) -> dict[str, Any]:
    """Return point `number`, from 0, as Optuna's parameters."""
    point = {}
    for name, entry in reversed([*space.searched.items()]):
        number, index = divmod(number, _count(name, entry))
        point[entry.parameter(name)] = entry.to_optuna(_value(entry, index))
    return point


def _count(name: str, entry: Searched) -> int:
    if isinstance(entry, Choices):
        return len(entry.values)
    if entry.log or entry.spacing is None:
        raise SpaceError(name, f"a grid needs choices or a step here, but got {entry}")
    return entry.steps_to(entry.high) + 1


def _value(entry: Searched, index: int) -> Any:
    return entry.values[index] if isinstance(entry, Choices) else entry.at_step(index)
