"""The keys of a [trial] table for a user's own model: any."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hpsearch.space.ranges import CHOICES, COMPLEMENT, Searched, SpaceError, Value

EPOCHS = "epochs"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")  # what Optuna, MLflow and a pattern {key} take


@dataclass(frozen=True)
class FreeKeys:
    """Any keys, as a user's own model reads them. Only `epochs` has a meaning: at most so many."""

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Nothing is known of keys that a table leaves out."""
        return MappingProxyType({})

    def check(self, key: str, value: object) -> Value:
        """Return `value`; raises SpaceError for what no configuration can hold."""
        _check_name(key)
        if key == EPOCHS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise SpaceError(key, f"must be a whole number of at least 1, but got {value!r}")
        several = f"; to search several values, write {CHOICES}"
        if isinstance(value, list | tuple):
            if all(_is_plain(each) for each in value):
                return tuple(value)
            raise SpaceError(key, f"must be a list of numbers or texts, but got {value!r}{several}")
        if not _is_plain(value):
            raise SpaceError(key, f"must be a number, text, true or false, but got {value!r}")
        return value  # type: ignore[return-value]

    def kind(self, key: str, low: object, high: object) -> type[int] | type[float] | None:
        """Return int if both ends are whole numbers."""
        _check_name(key)
        ends = (low, high)
        if any(isinstance(end, bool) or not isinstance(end, int | float | None) for end in ends):
            return None
        return float if any(isinstance(end, float) for end in ends) else int

    def check_together(self, entries: Mapping[str, Value | Searched]) -> None:
        """Accept everything."""

    def check_entry(self, entry: Mapping[str, Value], known: Collection[str]) -> None:
        """Accept everything."""

    def build(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values; a list is a list again."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    def as_dict(self, config: Any) -> dict[str, Any]:
        """Return a copy of a configuration, which is plain data."""
        return dict(config)


def _is_plain(value: object) -> bool:
    finite = isinstance(value, float) and math.isfinite(value)
    return finite or isinstance(value, bool | int | str)


def _check_name(key: str) -> None:
    if not NAME.fullmatch(key) or key.startswith(COMPLEMENT):
        raise SpaceError(
            key, "is no name for a key; use letters, digits, '_', '.' and '-', and a letter first"
        )
