"""The search space: what the [trial] table of a study file fixes, and what it searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    """A [trial] table: the values that it fixes, what it searches, and which keys it may have."""

    fixed: Mapping[str, Value] = field(default_factory=dict)
    searched: Mapping[str, Searched] = field(default_factory=dict)
    keys: Keys = field(default_factory=FreeKeys)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], keys: Keys) -> SearchSpace:
        """Return the space of a [trial] table; raises SpaceError for what cannot be trained."""
        fixed, searched = {}, {}
        for key, entry in table.items():
            if isinstance(entry, Mapping):
                searched[key] = read_searched(key, entry, keys)
            else:
                fixed[key] = keys.check(key, entry)
        keys.check_together({**fixed, **searched})
        return cls(fixed, searched, keys)

    def suggest(self, trial: BaseTrial, overrides: Mapping[str, Value] | None = None) -> Any:
        """Return a configuration sampled by `trial`; `overrides` replace fixed values."""
        sampled = {name: entry.suggest(trial, name) for name, entry in self.searched.items()}
        return self.keys.build({**self.fixed, **(overrides or {}), **sampled})

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

    def check_entry(self, table: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of a labelled configuration; raises SpaceError if they do not fit."""
        entry = {key: self.keys.check(key, value) for key, value in table.items()}
        self.keys.check_entry(entry, self.searched.keys() | self.fixed.keys())
        for key, value in entry.items():
            if key in self.searched and value not in self.searched[key]:
                text = shape_name(value) if isinstance(value, tuple) else value
                raise SpaceError(key, f"{text} is outside the search space: {self.searched[key]}")
        self.keys.check_together({**self.fixed, **self.searched, **entry})
        return entry

    def as_table(self) -> dict[str, Any]:
        """Return the [trial] table that describes this space."""
        fixed = {name: as_toml(value) for name, value in self.fixed.items()}
        return fixed | {name: entry.as_table() for name, entry in self.searched.items()}

    def max_epochs(self) -> int:
        """Return the largest number of epochs that this space allows a trial."""
        match self.searched.get("epochs"):
            case Range(high=high):
                return int(high)
            case Choices(values=values):
                return max(value for value in values if isinstance(value, int))
        return int(self.fixed.get("epochs", self.keys.defaults.get("epochs", 1)))  # type: ignore[arg-type]
