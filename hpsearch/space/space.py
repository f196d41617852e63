"""The search space: what the [trial] table of a study file fixes, and what it searches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpsearch.space.ranges import (
    DEPTH,
    SHAPE,
    WIDTH,
    Choices,
    Range,
    Searched,
    SpaceError,
    Value,
    as_toml,
    check_value,
    read_searched,
    shape_name,
)
from model.config import SMALL_BATCH, TrainConfig

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

DEFAULTS: dict[str, Value] = {**vars(TrainConfig()), DEPTH: 1, WIDTH: 100}
"""The values of the keys that a [trial] table leaves out."""


@dataclass(frozen=True)
class SearchSpace:
    """A [trial] table: the values that it fixes, and what it searches."""

    fixed: Mapping[str, Value] = field(default_factory=dict)
    searched: Mapping[str, Searched] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> SearchSpace:
        """Return the space of a [trial] table; raises SpaceError for what cannot be trained."""
        fixed, searched = {}, {}
        for key, entry in table.items():
            if isinstance(entry, Mapping):
                searched[key] = read_searched(key, entry)
            else:
                fixed[key] = check_value(key, entry)
        _check_shape(table)
        _check_batches({**fixed, **searched})
        return cls(fixed, searched)

    def suggest(
        self, trial: BaseTrial, overrides: Mapping[str, Value] | None = None
    ) -> TrainConfig:
        """Return a configuration sampled by `trial`; `overrides` replace fixed values."""
        sampled = {name: entry.suggest(trial, name) for name, entry in self.searched.items()}
        return build_config({**self.fixed, **(overrides or {}), **sampled})

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
        entry = {key: check_value(key, value) for key, value in table.items()}
        _check_shape(entry)
        known = self.searched.keys() | self.fixed.keys()
        for key, others in ((SHAPE, (DEPTH, WIDTH)), (DEPTH, (SHAPE,)), (WIDTH, (SHAPE,))):
            if key in entry and known.intersection(others):
                raise SpaceError(key, f"this study gives shapes as {' and '.join(others)} instead")
        for key, value in entry.items():
            if key in self.searched and value not in self.searched[key]:
                text = shape_name(value) if isinstance(value, tuple) else value
                raise SpaceError(key, f"{text} is outside the search space: {self.searched[key]}")
        _check_batches({**self.fixed, **self.searched, **entry})
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
        return int(self.fixed.get("epochs", DEFAULTS["epochs"]))  # type: ignore[arg-type]


def build_config(values: Mapping[str, Any]) -> TrainConfig:
    """Return the TrainConfig of `values`, which may give a shape as depth × width."""
    values = dict(values)
    if DEPTH in values or WIDTH in values:
        depth, width = (values.pop(key, DEFAULTS[key]) for key in (DEPTH, WIDTH))
        values[SHAPE] = (width,) * depth
    return TrainConfig(**values)


def _check_shape(keys: Collection[str]) -> None:
    if SHAPE in keys and (DEPTH in keys or WIDTH in keys):
        raise SpaceError(SHAPE, f"give either the shape or {DEPTH} and {WIDTH}, not both")


def _check_batches(entries: Mapping[str, Value | Searched]) -> None:
    """Raise SpaceError if batches of one row could meet batch normalization."""

    def can_be(key: str, value: Value) -> bool:
        entry = entries.get(key, DEFAULTS[key])
        return value in entry if isinstance(entry, Searched) else value == entry

    normalized = can_be("batch_norm", "before") or can_be("batch_norm", "after")
    if normalized and can_be("batch_size", 1):
        raise SpaceError("batch_size", SMALL_BATCH.removeprefix("batch_size "))
