"""The keys of a [trial] table for the built-in network: the fields of its configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hpsearch.formatting import unknown_name
from hpsearch.space.ranges import (
    CHOICES,
    DEPTH,
    MOST_LAYERS,
    SHAPE,
    WIDTH,
    Searched,
    SpaceError,
    Value,
)
from hpsearch.space.space import SearchSpace
from model.config import CHECKS, FIELD_TYPES, SMALL_BATCH, TrainConfig

KEYS = {**CHECKS, DEPTH: CHECKS["epochs"], WIDTH: CHECKS["epochs"]}
TYPES = {**FIELD_TYPES, DEPTH: int, WIDTH: int}
DEFAULTS: Mapping[str, Value] = MappingProxyType({**vars(TrainConfig()), DEPTH: 1, WIDTH: 100})


@dataclass(frozen=True)
class NetworkKeys:
    """The fields of TrainConfig, whose shape may also be given as depth × width."""

    @property
    def defaults(self) -> Mapping[str, Value]:
        """The values of the keys that a [trial] table leaves out."""
        return DEFAULTS

    def check(self, key: str, value: object) -> Value:
        """Return `value` as TrainConfig holds it under `key`; raises SpaceError."""
        try:
            checked: Value = KEYS[_known(key)](value)
        except SpaceError:
            raise
        except ValueError as error:
            several = isinstance(value, list)
            hint = f"; to search several values, write {CHOICES}" if several else ""
            raise SpaceError(key, f"{error}{hint}") from None
        _check_depth(key, checked)
        return checked

    def kind(self, key: str, low: object, high: object) -> type[int] | type[float] | None:  # noqa: ARG002
        """Return the type of the field if it is a number."""
        kind = TYPES[_known(key)]
        return kind if kind in (int, float) else None

    def check_together(self, entries: Mapping[str, Value | Searched]) -> None:
        """Raise SpaceError for two descriptions of the shape, and for batches of one row that
        could meet batch normalization."""
        _check_shape(entries)
        _check_batches(entries)

    def check_entry(self, entry: Mapping[str, Value], known: Collection[str]) -> None:
        """Raise SpaceError if the entry gives the shape in another way than the table."""
        _check_shape(entry)
        for key, others in ((SHAPE, (DEPTH, WIDTH)), (DEPTH, (SHAPE,)), (WIDTH, (SHAPE,))):
            if key in entry and set(known).intersection(others):
                raise SpaceError(key, f"this study gives shapes as {' and '.join(others)} instead")

    def build(self, values: Mapping[str, Any]) -> TrainConfig:
        """Return the TrainConfig of `values`, which may give a shape as depth × width."""
        values = dict(values)
        if DEPTH in values or WIDTH in values:
            depth, width = (values.pop(key, DEFAULTS[key]) for key in (DEPTH, WIDTH))
            values[SHAPE] = (width,) * depth
        return TrainConfig(**values)

    def as_dict(self, config: TrainConfig) -> dict[str, Any]:
        """Return a configuration as plain data."""
        return config.as_dict()


NETWORK = NetworkKeys()


def network_space(table: Mapping[str, Any]) -> SearchSpace:
    """Return the space of a [trial] table for the built-in network; raises SpaceError."""
    return SearchSpace.from_table(table, NETWORK)


def _known(key: str) -> str:
    """Return `key`; raises SpaceError if the network has no such hyperparameter."""
    if key not in KEYS:
        raise SpaceError(key, unknown_name(key, KEYS, "a training parameter"))
    return key


def _check_depth(key: str, value: Value) -> None:
    """Raise SpaceError for more layers than can be trained."""
    layers = len(value) if isinstance(value, tuple) else value if key == DEPTH else 0
    if isinstance(layers, int) and layers > MOST_LAYERS:
        raise SpaceError(key, f"must be at most {MOST_LAYERS:,} layers, but got {layers:,}")


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
