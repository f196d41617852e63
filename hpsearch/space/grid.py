"""The grid of a space: all combinations of its choices and stepped ranges, with a number each.

The first key of the [trial] table varies slowest and the last one fastest, like the digits of a
number. Points are computed from their number, so a grid may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.space.conditions import in_order
from hpsearch.space.ranges import Choices, Searched, SpaceError
from hpsearch.space.space import SearchSpace


def grid_size(space: SearchSpace) -> int:
    """Return the number of points; a space in which everything is fixed has one.

    Raises SpaceError for a logarithmic range and for real numbers without a step.
    """
    return _n_points(space, _names(space), {})


def grid_point(space: SearchSpace, number: int) -> dict[str, Any]:
    """Return point `number`, counted from 0, as Optuna's parameters.

    A key that does not apply at a point has no parameter there, so no two points are the same.
    """
    point, values, names = {}, dict[str, Any](), _names(space)
    while names:
        name, *names = names
        if not space.applies(name, values):
            continue
        entry = space.searched.get(name)
        if entry is None:
            values[name] = space.fixed[name]
            continue
        index, depended_on = 0, name in _depended_on(space)
        while True:
            size = _n_points(space, names, {**values, name: _value_at(entry, index)})
            if not depended_on:  # all values of the key have as many points
                index, number = divmod(number, size)
            if not depended_on or number < size:
                break
            index, number = index + 1, number - size
        values[name] = _value_at(entry, index)
        point[entry.parameter(name)] = entry.to_optuna(values[name])
    return point


def _names(space: SearchSpace) -> list[str]:
    return in_order(space.conditions, [*space.fixed, *space.searched])


def _depended_on(space: SearchSpace) -> set[str]:
    return {key for condition in space.conditions.values() for key in condition.values}


def _n_points(space: SearchSpace, names: list[str], values: Mapping[str, Any]) -> int:
    """Return the number of points for these keys, where those before them have these values."""
    number, depended_on = 1, _depended_on(space)
    for position, name in enumerate(names):
        if not space.applies(name, values):
            continue
        entry = space.searched.get(name)
        if entry is None:
            values = {**values, name: space.fixed[name]}
        elif name in depended_on:
            rest = names[position + 1 :]
            return number * sum(
                _n_points(space, rest, {**values, name: _value_at(entry, index)})
                for index in range(_n_values(name, entry))
            )
        else:
            number *= _n_values(name, entry)
            values = {**values, name: None}
    return number


def _n_values(name: str, entry: Searched) -> int:
    if isinstance(entry, Choices):
        return len(entry.values)
    if entry.log or entry.spacing is None:
        raise SpaceError(name, f"a grid needs choices or a step here, but got {entry}")
    return entry.steps_to(entry.high) + 1


def _value_at(entry: Searched, index: int) -> Any:
    return entry.values[index] if isinstance(entry, Choices) else entry.at_step(index)
