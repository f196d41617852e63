"""The search space: the [trial] table of a study file, what is fixed in it and what is searched."""

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
    check_value,
    read_searched,
    shape_name,
)
from model.config import SMALL_BATCH, TrainConfig

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

DEFAULTS: dict[str, Value] = {**vars(TrainConfig()), DEPTH: 1, WIDTH: 100}
"""What a key of the [trial] table is where it is left out."""


@dataclass(frozen=True)
class SearchSpace:
    """The [trial] table: what is fixed, and what is searched."""

    fixed: Mapping[str, Value] = field(default_factory=dict)
    searched: Mapping[str, Searched] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> SearchSpace:
        """Read a [trial] table; raises SpaceError for anything that could not be trained."""
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
        """Sample a configuration; `overrides` replace fixed values."""
        sampled = {name: entry.suggest(trial, name) for name, entry in self.searched.items()}
        return build_config({**self.fixed, **(overrides or {}), **sampled})

    def split(self, entry: Mapping[str, Value]) -> tuple[dict[str, Any], dict[str, Value]]:
        """Split a labelled configuration into Optuna's parameters and overrides of fixed values."""
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
        """Check a labelled configuration against this space; raises SpaceError."""
        entry = {key: check_value(key, value) for key, value in table.items()}
        _check_shape(entry)
        known = self.searched.keys() | self.fixed.keys()
        for key, others in ((SHAPE, (DEPTH, WIDTH)), (DEPTH, (SHAPE,)), (WIDTH, (SHAPE,))):
            if key in entry and known.intersection(others):
                raise SpaceError(key, f"this study gives shapes as {' and '.join(others)} instead")
        for key, value in entry.items():
            if key in self.searched and value not in self.searched[key]:
                text = shape_name(value) if isinstance(value, tuple) else value
                raise SpaceError(
                    key, f"{text} is outside of what is searched, {self.searched[key]}"
                )
        _check_batches({**self.fixed, **self.searched, **entry})
        return entry

    def as_table(self) -> dict[str, Any]:
        """Return the [trial] table this was read from."""
        fixed = {k: list(v) if isinstance(v, tuple) else v for k, v in self.fixed.items()}
        return fixed | {name: entry.as_table() for name, entry in self.searched.items()}

    def max_epochs(self) -> int:
        """Return the most epochs that this space allows a trial."""
        match self.searched.get("epochs"):
            case Range(high=high):
                return int(high)
            case Choices(values=values):
                return max(value for value in values if isinstance(value, int))
        return int(self.fixed.get("epochs", DEFAULTS["epochs"]))  # type: ignore[arg-type]


def build_config(values: Mapping[str, Any]) -> TrainConfig:
    """Return the TrainConfig of `values`, where depth × width may stand for a shape."""
    values = dict(values)
    if DEPTH in values or WIDTH in values:
        depth, width = (values.pop(key, DEFAULTS[key]) for key in (DEPTH, WIDTH))
        values[SHAPE] = (width,) * depth
    return TrainConfig(**values)


def _check_shape(keys: Collection[str]) -> None:
    if SHAPE in keys and (DEPTH in keys or WIDTH in keys):
        raise SpaceError(SHAPE, f"give either the shape or {DEPTH} and {WIDTH}, not both")


def _check_batches(entries: Mapping[str, Value | Searched]) -> None:
    """Refuse batches of one row where they may meet batch normalization."""

    def may_be(key: str, value: Value) -> bool:
        entry = entries.get(key, DEFAULTS[key])
        return value in entry if isinstance(entry, Searched) else value == entry

    normalized = may_be("batch_norm", "before") or may_be("batch_norm", "after")
    if normalized and may_be("batch_size", 1):
        raise SpaceError("batch_size", SMALL_BATCH.removeprefix("batch_size "))
