"""The search space: what the [trial] table of a study file fixes, and what it searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpsearch.space.conditions import (
    VALUE,
    WHEN,
    Condition,
    check_conditions,
    in_order,
    possible,
    read_condition,
)
from hpsearch.space.keys import FreeKeys
from hpsearch.space.ranges import (
    Choices,
    Keys,
    Range,
    Searched,
    SpaceError,
    Value,
    as_toml,
    read_searched,
    shape_name,
)

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class SearchSpace:
    """A [trial] table: the values that it fixes, what it searches, and which keys it may have.

    conditions: of the keys that apply only where others have certain values.
    """

    fixed: Mapping[str, Value] = field(default_factory=dict)
    searched: Mapping[str, Searched] = field(default_factory=dict)
    keys: Keys = field(default_factory=FreeKeys)
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], keys: Keys) -> SearchSpace:
        """Return the space of a [trial] table; raises SpaceError for what cannot be trained."""
        fixed, searched, conditions = {}, {}, {}
        for key, given in table.items():
            entry = given
            if isinstance(given, Mapping) and WHEN in given:
                conditions[key] = read_condition(key, given[WHEN], table, keys)
                entry = {name: value for name, value in given.items() if name != WHEN}
                entry = entry[VALUE] if [*entry] == [VALUE] else entry
            if isinstance(entry, Mapping):
                searched[key] = read_searched(key, entry, keys)
            else:
                fixed[key] = keys.check(key, entry)
        keys.check_together({**fixed, **searched})
        check_conditions(conditions, fixed, searched)
        return cls(fixed, searched, keys, conditions)

    def suggest(self, trial: BaseTrial, overrides: Mapping[str, Value] | None = None) -> Any:
        """Return a configuration sampled by `trial`; `overrides` replace fixed values."""
        fixed = {**self.fixed, **(overrides or {})}
        if not self.conditions:
            sampled = {name: entry.suggest(trial, name) for name, entry in self.searched.items()}
            return self.keys.build({**fixed, **sampled})
        values: dict[str, Any] = {}
        for name in in_order(self.conditions, [*fixed, *self.searched]):
            if self.applies(name, values):
                searched = self.searched.get(name)
                values[name] = fixed[name] if searched is None else searched.suggest(trial, name)
        return self.keys.build(values)

    def applies(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a key applies in a configuration that has the keys on which it depends."""
        condition = self.conditions.get(name)
        return condition is None or condition.holds(config)

    def described(self, name: str) -> str:
        """Return what the table says of a key, as text: "0.5..0.99 when optimizer is momentum"."""
        entry: Searched | Value = self.searched.get(name) or self.fixed[name]
        text = shape_name(entry) if isinstance(entry, tuple) else str(entry)
        return f"{text} when {self.conditions[name]}" if name in self.conditions else text

    def split(self, entry: Mapping[str, Value]) -> tuple[dict[str, Any], dict[str, Value]]:
        """Return a labelled configuration as Optuna's parameters and overrides of fixed values."""
        parameters: dict[str, Any] = {}
        overrides: dict[str, Value] = {}
        for name, value in entry.items():
            if name in self.searched:
                searched = self.searched[name]
                parameters[searched.parameter(name)] = searched.to_optuna(value)
            else:
                overrides[name] = value
        return parameters, overrides

    def values_of(self, name: str) -> list[Value]:
        """Return the values that a key may have, fixed or chosen; [] if the table lacks it."""
        if name in self.fixed:
            return [self.fixed[name]]
        entry = self.searched.get(name)
        return [*entry.values] if isinstance(entry, Choices) else []

    def check_entry(self, table: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of a labelled configuration; raises SpaceError if they do not fit."""
        entry = {key: self.keys.check(key, value) for key, value in table.items()}
        self.keys.check_entry(entry, self.searched.keys() | self.fixed.keys())
        for key, value in entry.items():
            if key in self.searched and value not in self.searched[key]:
                text = shape_name(value) if isinstance(value, tuple) else value
                raise SpaceError(key, f"{text} is outside the search space: {self.searched[key]}")
        self.keys.check_together({**self.fixed, **self.searched, **entry})
        for key in entry:
            for other in self.conditions[key].values if key in self.conditions else ():
                known = entry.get(other, self.fixed.get(other))
                if known is not None and known not in self.conditions[key].values[other]:
                    raise SpaceError(key, f"applies only when {self.conditions[key]}")
        return entry

    def as_table(self) -> dict[str, Any]:
        """Return the [trial] table that describes this space."""
        table: dict[str, Any] = {name: as_toml(value) for name, value in self.fixed.items()}
        table |= {name: entry.as_table() for name, entry in self.searched.items()}
        for name, condition in self.conditions.items():
            entry = table[name] if name in self.searched else {VALUE: table[name]}
            table[name] = {**entry, WHEN: condition.as_table()}
        return table

    def with_searched(self, searched: Mapping[str, Searched]) -> SearchSpace:
        """Return the space with other ranges and choices; keys that never apply are left out."""
        fixed, searched, conditions = dict(self.fixed), dict(searched), dict(self.conditions)
        while True:
            conditions = possible(conditions, fixed, searched)
            gone = [key for key, each in conditions.items() if not all(each.values.values())]
            if not gone:
                return replace(self, fixed=fixed, searched=searched, conditions=conditions)
            for key in gone:
                del conditions[key]
                fixed.pop(key, None)
                searched.pop(key, None)

    def max_epochs(self) -> int:
        """Return the largest number of epochs that this space allows a trial."""
        match self.searched.get("epochs"):
            case Range(high=high):
                return int(high)
            case Choices(values=values):
                return max(value for value in values if isinstance(value, int))
        return int(self.fixed.get("epochs", self.keys.defaults.get("epochs", 1)))  # type: ignore[arg-type]
