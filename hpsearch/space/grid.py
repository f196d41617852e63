"""The grid of a space: all combinations of its choices and stepped ranges, with a number each.

The first key of the [trial] table varies slowest and the last one fastest, like the digits of a
number. Points are computed from their number, so a grid may be larger than memory.
"""

from __future__ import annotations

import math
from typing import Any

from hpsearch.space.ranges import Choices, Searched, SpaceError
from hpsearch.space.space import SearchSpace


def grid_size(space: SearchSpace) -> int:
    """Return the number of points; a space in which everything is fixed has one.

    Raises SpaceError for a logarithmic range and for real numbers without a step.
    """
    return math.prod(_n_values(name, entry) for name, entry in space.searched.items())


def grid_point(space: SearchSpace, number: int) -> dict[str, Any]:
    """Return point `number`, counted from 0, as Optuna's parameters."""
    point = {}
    for name, entry in reversed([*space.searched.items()]):
        number, index = divmod(number, _n_values(name, entry))
        point[entry.parameter(name)] = entry.to_optuna(_value_at(entry, index))
    return point


def _n_values(name: str, entry: Searched) -> int:
    if isinstance(entry, Choices):
        return len(entry.values)
    if entry.log or entry.spacing is None:
        raise SpaceError(name, f"a grid needs choices or a step here, but got {entry}")
    return entry.steps_to(entry.high) + 1


def _value_at(entry: Searched, index: int) -> Any:
    return entry.values[index] if isinstance(entry, Choices) else entry.at_step(index)
