"""A configuration as a user's model gets it: a dictionary that notes which keys are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.formatting import unknown_name
from hpsearch.trainables.errors import ModelError


class Configuration(dict[str, Any]):
    """The values of a trial by key. read: the keys that were asked for, one by one or all."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    @property
    def unread(self) -> list[str]:
        """The keys that nobody has asked for."""
        return [key for key in dict.keys(self) if key not in self.read]

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __missing__(self, key: str) -> Any:
        raise ModelError(f"config: {unknown_name(key, list(super().keys()), 'a key of [trial]')}")

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or `default` if [trial] has no such key."""
        self.read.add(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value."""
        self.read.add(key)
        return super().pop(key, *default)

    def _read_all(self) -> None:
        self.read.update(super().keys())

    def __iter__(self) -> Iterator[str]:
        self._read_all()
        return super().__iter__()

    def keys(self) -> Any:
        """Return the keys; all count as read, as in `Net(**config)`."""
        self._read_all()
        return super().keys()

    def items(self) -> Any:
        """Return the keys and values; all count as read."""
        self._read_all()
        return super().items()

    def values(self) -> Any:
        """Return the values; all count as read."""
        self._read_all()
        return super().values()

    def copy(self) -> dict[str, Any]:
        """Return a plain dictionary; all keys count as read."""
        return dict(self.items())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)
