"""Coarse to fine: shrink a space to the region around the best values found in it.

Distances are measured on a range's own scale: log x if `log = true`, log(1 − x) if
`log = "complement"`, and x itself otherwise. The width of a range is the distance between its ends
on that scale.
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

MARGIN = 0.1  # kept on either side of the best values, as a share of the old width

# Shares of the old width.
LEAST_MARGIN = 0.01  # if all best values are equal and the margin is 0
EDGE = 0.1  # a value within this distance of an end crowds it
EXTENSION = 0.5  # how far widening moves an end

HALVINGS = 20  # how often to halve an extension that leaves the key's domain
ROUNDING = 0.05  # share of the new width that an end may move outwards to have few digits

Side = Literal[-1, 1]
LOWER: Side = -1
UPPER: Side = 1


@dataclass(frozen=True)
class CrowdedEnd:
    """An end of a range, with more than half of the best values close to it."""

    key: str
    side: Side
    end: float
    widened: float | None = None  # the new end, if widening was asked for

    def __str__(self) -> str:
        which = "lower" if self.side == LOWER else "upper"
        done = "widen it" if self.widened is None else f"widened to {self.widened}"
        return f"{self.key}'s best values crowd the {which} end {self.end}: {done}"


@dataclass(frozen=True)
class Narrowing:
    """A space, the smaller space around its best values, and the ends that those values crowd."""

    before: SearchSpace
    space: SearchSpace
    crowded: tuple[CrowdedEnd, ...]


def narrow(
    space: SearchSpace,
    best: Sequence[Mapping[str, Any]],
    *,
    margin: float = MARGIN,
    widen: bool = False,
) -> Narrowing:
    """Return `space` shrunk to the values that its best trials used.

    best: for each of the best trials, its searched values by their names in the study file. A key
    that no trial has stays as it is.

    A range shrinks to the span of the best values plus `margin` times the old width on either
    side. It stays inside the old range, keeps its scale, step and type, and never shrinks to a
    single value. Choices keep the values that were used. With `widen`, an end moves outwards if
    more than half of the best values are within a tenth of the width from it: by half the width,
    or by less if the key's domain ends before that.

    Raises SettingsError if `margin` is negative or not finite.
    """
    if not 0 <= margin < math.inf:
        raise SettingsError(f"margin: must be a number of at least 0, but got {margin}")
    searched: dict[str, Searched] = {}
    crowded: list[CrowdedEnd] = []
    for key, entry in space.searched.items():
        values = [found[key] for found in best if key in found]
        if isinstance(entry, Choices):
            searched[key] = _used(entry, values)
            continue
        values = [min(max(value, entry.low), entry.high) for value in values]
        narrowed = _around(entry, values, margin) if values else entry
        for side in (LOWER, UPPER):
            if not _crowds(entry, values, side):
                continue
            moved = _widened_end(entry, side, partial(_accepts, space, key))
            if moved is not None:
                crowded.append(CrowdedEnd(key, side, _end(entry, side), moved if widen else None))
                if widen:
                    narrowed = _with_end(narrowed, side, moved)
        searched[key] = narrowed
    return Narrowing(space, space.with_searched(searched), tuple(crowded))


def _used(entry: Choices, values: Sequence[Any]) -> Choices:
    """Return the choices that occur in `values`, in the old order; all of them if none does."""
    names = {entry.to_optuna(tuple(v) if isinstance(v, list) else v) for v in values}
    used = tuple(value for value in entry.values if entry.to_optuna(value) in names)
    return Choices(used) if used else entry


def _around(entry: Range, values: Sequence[float], margin: float) -> Range:
    """Return the part of `entry` that spans `values` plus the margin."""
    least, most = min(values), max(values)
    margin = (margin or LEAST_MARGIN if least == most else margin) * _width(entry)
    lower = max(_position(entry, least) - margin, _position(entry, entry.low))
    upper = min(_position(entry, most) + margin, _position(entry, entry.high))
    if entry.spacing:
        return _around_on_grid(entry, lower, upper)
    room = ROUNDING * (upper - lower)
    low = max(entry.low, min(least, _rounded_outwards(entry, lower, LOWER, room)))
    high = min(entry.high, max(most, _rounded_outwards(entry, upper, UPPER, room)))
    return replace(entry, low=low, high=high) if low < high else entry


def _around_on_grid(entry: Range, lower: float, upper: float) -> Range:
    """Return the part of `entry` between two positions, each rounded to the nearest step.

    Rounding drops a margin of less than half a step. If both positions round to the same step, the
    part includes its neighbours.
    """
    first, last = (entry.steps_to(_value_at(entry, position)) for position in (lower, upper))
    steps = entry.steps_to(entry.high)
    if first == last:
        first, last = max(first - 1, 0), min(last + 1, steps)
    low = entry.low if first == 0 else entry.at_step(first)
    high = entry.high if last == steps else entry.at_step(last)
    return replace(entry, low=low, high=high)


def _crowds(entry: Range, values: Sequence[float], side: Side) -> bool:
    """Return whether more than half of `values` are close to the end."""
    end, near = _position(entry, _end(entry, side)), EDGE * _width(entry)
    return 2 * sum(abs(_position(entry, v) - end) <= near for v in values) > len(values)


def _widened_end(entry: Range, side: Side, accepts: Callable[[Range], bool]) -> float | None:
    """Return the end after widening, None if it cannot move outwards."""
    end, extension = _end(entry, side), EXTENSION * _width(entry)
    for _ in range(HALVINGS):
        position = _position(entry, end) + side * extension
        if entry.spacing:
            steps = abs(entry.steps_to(_value_at(entry, position)) - entry.steps_to(end))
            value = entry.at_step(entry.steps_to(end) + side * max(steps, 1))
        else:
            value = _rounded_outwards(entry, position, side, extension / 10)
        if (value - end) * side > 0 and accepts(_with_end(entry, side, value)):
            return value
        extension /= 2
    return None


def _accepts(space: SearchSpace, key: str, entry: Range) -> bool:
    """Return whether `key` may be searched in this range: its ends are in the key's domain."""
    try:
        SearchSpace.from_table({**space.as_table(), key: entry.as_table()}, space.keys)
    except SpaceError:
        return False
    return True


def _end(entry: Range, side: Side) -> float:
    return entry.low if side == LOWER else entry.high


def _with_end(entry: Range, side: Side, value: float) -> Range:
    return replace(entry, low=value) if side == LOWER else replace(entry, high=value)


def _width(entry: Range) -> float:
    return _position(entry, entry.high) - _position(entry, entry.low)


def _position(entry: Range, value: float) -> float:
    """Return the position of a value on the range's scale; it grows with the value."""
    return _scaled(entry, entry.to_optuna(value))


def _scaled(entry: Range, sampled: float) -> float:
    """Return the position of the value that Optuna samples as `sampled`: x, or 1 - x."""
    if entry.log == "complement":
        return -math.log(sampled)
    return math.log(sampled) if entry.log else sampled


def _sampled_at(entry: Range, position: float) -> float:
    """Return what Optuna samples at a position; the inverse of `_scaled`."""
    if entry.log == "complement":
        return math.exp(-position)
    return math.exp(min(position, 700.0)) if entry.log else position  # e^710 overflows


def _value_at(entry: Range, position: float) -> float:
    return entry.to_optuna(_sampled_at(entry, position))  # 1 - x is its own inverse


def _rounded_outwards(entry: Range, position: float, side: Side, room: float) -> float:
    """Return the value with the fewest digits that lies beyond a position by at most `room`.

    On the complement scale, the distance from 1 has few digits instead of the value.
    """
    exact = _sampled_at(entry, position)
    number = Decimal(f"{exact:.12g}")  # 0.1, not 0.10000000000000002
    up = (side == UPPER) is not (entry.log == "complement")
    for digits in range(1, 13):
        context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
        rounded = float(context.plus(number))
        if abs(_scaled(entry, rounded) - position) <= room:
            return entry.to_optuna(rounded)
    return entry.to_optuna(exact)
