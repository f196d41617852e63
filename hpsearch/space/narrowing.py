"""Coarse to fine: from a space and the best values found in it to a smaller space around them.

Everything is measured on a range's own scale: the logarithm of x where `log = true`, that of 1 − x
where `log = "complement"`, else x itself. A range's width is the distance of its ends there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import partial
from typing import Any, Literal

from hpsearch.errors import SettingsError
from hpsearch.space.ranges import Choices, Range, Searched, SpaceError
from hpsearch.space.space import SearchSpace

MARGIN = 0.1  # what narrowing keeps beside the best values, as a share of the old width

# Shares of the old width.
LEAST_MARGIN = 0.01  # where all the best values are one and no margin is asked for
EDGE = 0.1  # what is that near to an end crowds it
EXTENSION = 0.5  # past an end that is to be widened

HALVINGS = 20  # of the extension, where the whole of it would leave the key's domain
ROUNDING = 0.05  # of the new width: how far an end may move outwards to have few digits

Way = Literal[-1, 1]
LOWER: Way = -1
UPPER: Way = 1


@dataclass(frozen=True)
class Crowded:
    """An end of a range that more than half of the best values are near to."""

    key: str
    way: Way
    end: float
    widened: float | None = None  # where the end is now, if it was to be moved

    def __str__(self) -> str:
        which = "lower" if self.way == LOWER else "upper"
        done = "widen it" if self.widened is None else f"widened to {self.widened}"
        return f"{self.key}'s best values crowd the {which} end {self.end}: {done}"


@dataclass(frozen=True)
class Narrowing:
    """A space, the smaller one around its best values, and the ends that these crowd."""

    before: SearchSpace
    space: SearchSpace
    crowded: tuple[Crowded, ...]


def narrow(
    space: SearchSpace,
    best: Sequence[Mapping[str, Any]],
    *,
    margin: float = MARGIN,
    widen: bool = False,
) -> Narrowing:
    """Shrink what `space` searches to what its best trials used.

    best: the searched values of each of the best trials, by their names in the study file. What
    none of them has stays as it is.

    A range becomes the span of the best values, with a margin of `margin` times the old width on
    either side, inside of the old range and with its scale, step and type; it keeps two different
    ends. Choices keep those that were used. With `widen`, an end that more than half of the best
    values are within a tenth of the width from moves outwards by half the width, or by as much of
    that as the key's domain allows.

    Raises SettingsError for a margin that is none.
    """
    if not 0 <= margin < math.inf:
        raise SettingsError(f"margin: must be a number of at least 0, but got {margin}")
    searched: dict[str, Searched] = {}
    crowded: list[Crowded] = []
    for key, entry in space.searched.items():
        values = [found[key] for found in best if key in found]
        if isinstance(entry, Choices):
            searched[key] = _used(entry, values)
            continue
        values = [min(max(value, entry.low), entry.high) for value in values]
        narrowed = _around(entry, values, margin) if values else entry
        for way in (LOWER, UPPER):
            if not _crowds(entry, values, way):
                continue
            moved = _past_end(entry, way, partial(_accepts, space, key))
            if moved is not None:
                crowded.append(Crowded(key, way, _end(entry, way), moved if widen else None))
                if widen:
                    narrowed = _with_end(narrowed, way, moved)
        searched[key] = narrowed
    return Narrowing(space, replace(space, searched=searched), tuple(crowded))


def _used(entry: Choices, values: Sequence[Any]) -> Choices:
    """Return the choices that `values` name, in their order; all where they name none."""
    names = {entry.to_optuna(tuple(v) if isinstance(v, list) else v) for v in values}
    used = tuple(value for value in entry.values if entry.to_optuna(value) in names)
    return Choices(used) if used else entry


def _around(entry: Range, values: Sequence[float], margin: float) -> Range:
    """Return the part of `entry` that spans `values` and a margin."""
    least, most = min(values), max(values)
    margin = (margin or LEAST_MARGIN if least == most else margin) * _width(entry)
    lower = max(_position(entry, least) - margin, _position(entry, entry.low))
    upper = min(_position(entry, most) + margin, _position(entry, entry.high))
    if entry.spacing:
        return _around_on_grid(entry, lower, upper)
    room = ROUNDING * (upper - lower)
    low = max(entry.low, min(least, _tidy(entry, lower, LOWER, room)))
    high = min(entry.high, max(most, _tidy(entry, upper, UPPER, room)))
    return replace(entry, low=low, high=high) if low < high else entry


def _around_on_grid(entry: Range, lower: float, upper: float) -> Range:
    """Return the steps of `entry` from one position to another; with its neighbours if it is one.

    A margin of less than half a step is none.
    """
    first, last = (entry.steps_to(_value_at(entry, position)) for position in (lower, upper))
    steps = entry.steps_to(entry.high)
    if first == last:
        first, last = max(first - 1, 0), min(last + 1, steps)
    low = entry.low if first == 0 else entry.at_step(first)
    high = entry.high if last == steps else entry.at_step(last)
    return replace(entry, low=low, high=high)


def _crowds(entry: Range, values: Sequence[float], way: Way) -> bool:
    end, near = _position(entry, _end(entry, way)), EDGE * _width(entry)
    return 2 * sum(abs(_position(entry, v) - end) <= near for v in values) > len(values)


def _past_end(entry: Range, way: Way, accepts: Callable[[Range], bool]) -> float | None:
    """Return where an end may move outwards to, None if it cannot."""
    end, extension = _end(entry, way), EXTENSION * _width(entry)
    for _ in range(HALVINGS):
        position = _position(entry, end) + way * extension
        if entry.spacing:
            steps = abs(entry.steps_to(_value_at(entry, position)) - entry.steps_to(end))
            value = entry.at_step(entry.steps_to(end) + way * max(steps, 1))
        else:
            value = _tidy(entry, position, way, extension / 10)
        if (value - end) * way > 0 and accepts(_with_end(entry, way, value)):
            return value
        extension /= 2
    return None


def _accepts(space: SearchSpace, key: str, entry: Range) -> bool:
    """Whether the space could search this range instead: its ends are in the key's domain."""
    try:
        SearchSpace.from_table({**space.as_table(), key: entry.as_table()})
    except SpaceError:
        return False
    return True


def _end(entry: Range, way: Way) -> float:
    return entry.low if way == LOWER else entry.high


def _with_end(entry: Range, way: Way, value: float) -> Range:
    return replace(entry, low=value) if way == LOWER else replace(entry, high=value)


def _width(entry: Range) -> float:
    return _position(entry, entry.high) - _position(entry, entry.low)


def _position(entry: Range, value: float) -> float:
    """Return where a value is on the range's scale, which grows with it."""
    return _scaled(entry, entry.to_optuna(value))


def _scaled(entry: Range, sampled: float) -> float:
    """Return where the value is that Optuna knows as `sampled`: x, or 1 - x."""
    if entry.log == "complement":
        return -math.log(sampled)
    return math.log(sampled) if entry.log else sampled


def _sampled_at(entry: Range, position: float) -> float:
    """Return what Optuna samples at a position: the other way round."""
    if entry.log == "complement":
        return math.exp(-position)
    return math.exp(min(position, 700.0)) if entry.log else position  # e^710 is no number


def _value_at(entry: Range, position: float) -> float:
    return entry.to_optuna(_sampled_at(entry, position))  # 1 - x is its own inverse


def _tidy(entry: Range, position: float, way: Way, room: float) -> float:
    """Return the value with the fewest digits that is past a position by at most `room`.

    On the complement scale it is the distance from 1 that has few digits.
    """
    exact = _sampled_at(entry, position)
    number = Decimal(f"{exact:.12g}")  # 0.1, not 0.10000000000000002
    up = (way == UPPER) is not (entry.log == "complement")
    for digits in range(1, 13):
        context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
        rounded = float(context.plus(number))
        if abs(_scaled(entry, rounded) - position) <= room:
            return entry.to_optuna(rounded)
    return entry.to_optuna(exact)
