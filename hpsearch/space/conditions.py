"""Conditions: keys of a [trial] table that apply only where other keys have certain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hpsearch.formatting import unknown_name
from hpsearch.space.ranges import Keys, Range, Searched, SpaceError, Value, as_toml, shape_name

WHEN, VALUE = "when", "value"
EXAMPLE = 'when = { optimizer = ["momentum", "nesterov"] }'


@dataclass(frozen=True)
class Condition:
    """Holds where each of the keys has one of its values."""

    values: Mapping[str, tuple[Value, ...]]

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether it holds in a configuration; a key that does not apply has no value."""
        return all(key in config and config[key] in values for key, values in self.values.items())

    def as_table(self) -> dict[str, Any]:
        """Return the condition as a study file writes it."""
        return {
            key: as_toml(values[0]) if len(values) == 1 else [as_toml(value) for value in values]
            for key, values in self.values.items()
        }

    def __str__(self) -> str:
        return " and ".join(
            f"{key} is {' or '.join(map(_text, values))}" for key, values in self.values.items()
        )


def read_condition(key: str, when: object, table: Mapping[str, Any], keys: Keys) -> Condition:
    """Return the condition of `key`; raises SpaceError for a key that `table` does not have."""
    if not isinstance(when, Mapping) or not when:
        raise SpaceError(key, f"when must be a table, such as {EXAMPLE}, but got {when!r}")
    values = {}
    for other, given in when.items():
        if other == key or other not in table:
            known = [name for name in table if name != key]
            raise SpaceError(key, f"when: {unknown_name(other, known, 'another key of [trial]')}")
        listed = given if isinstance(given, list) else [given]
        if not listed:
            raise SpaceError(key, f"when: {other} has no value; name one or several")
        try:
            values[other] = tuple(keys.check(other, value) for value in listed)
        except SpaceError as error:
            raise SpaceError(key, f"when: {error}") from None
    return Condition(values)


def check_conditions(
    conditions: Mapping[str, Condition],
    fixed: Mapping[str, Value],
    searched: Mapping[str, Searched],
) -> None:
    """Raise SpaceError for a condition that never holds, and for keys that depend on each other."""
    for key, condition in conditions.items():
        for other, values in condition.values.items():
            for value in values:
                if not _can_be(other, value, fixed, searched):
                    place = searched.get(other, fixed.get(other))
                    raise SpaceError(
                        key, f"when: {other} is never {_text(value)}; it is {_described(place)}"
                    )
    try:
        TopologicalSorter({key: [*each.values] for key, each in conditions.items()}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise SpaceError(error.args[1][0], f"when: these depend on each other: {circle}") from None


def in_order(conditions: Mapping[str, Condition], names: list[str]) -> list[str]:
    """Return `names` such that each comes after those that it depends on, else as they are."""
    done: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in done:
            for other in conditions[name].values if name in conditions else ():
                add(other)
            done[name] = None

    for name in names:
        add(name)
    return [*done]


def possible(
    conditions: Mapping[str, Condition],
    fixed: Mapping[str, Value],
    searched: Mapping[str, Searched],
) -> dict[str, Condition]:
    """Return the conditions without the values that their keys no longer have.

    A condition that can no longer hold is empty of values for that key.
    """
    return {
        name: Condition(
            {
                key: tuple(value for value in values if _can_be(key, value, fixed, searched))
                for key, values in condition.values.items()
            }
        )
        for name, condition in conditions.items()
    }


def _can_be(
    key: str, value: Value, fixed: Mapping[str, Value], searched: Mapping[str, Searched]
) -> bool:
    return value in searched[key] if key in searched else fixed.get(key) == value


def _text(value: Value) -> str:
    return shape_name(value) if isinstance(value, tuple) else str(value)


def _described(entry: Searched | Value | None) -> str:
    if isinstance(entry, Range):
        return f"searched from {entry}"
    return _text(entry) if isinstance(entry, bool | int | float | str | tuple) else str(entry)
