"""[[enqueue]]: labelled configurations that take the first slots of a study."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from hpsearch.space.ranges import SpaceError, Value
from hpsearch.space.space import SearchSpace


class Labelled(BaseModel):
    """One [[enqueue]] entry: a configuration that takes the slot of its position."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    label: str
    values: Mapping[str, Value]


def read_entry(space: SearchSpace, number: int, entry: object) -> Labelled:
    """Check entry `number` against the space; raises ValueError naming it and its key."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"enqueue[{number}]: must be a table, but got {entry!r}")
    label = entry.get("label", f"configuration {number}")
    if not isinstance(label, str):
        raise ValueError(f"enqueue[{number}].label: must be text, but got {label!r}")
    try:
        values = space.check_entry({k: v for k, v in entry.items() if k != "label"})
    except SpaceError as error:
        raise ValueError(f"enqueue[{number}].{error}") from None
    return Labelled(label=label, values=values)
