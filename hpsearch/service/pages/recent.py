"""What is costly to make, remembered for a moment, however many browsers ask for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
MOST = 64  # keys
SHARE = 5  # a value is kept this many times as long as it took to make


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = float("-inf")
    version: object = None
    value: Any = None


class Recent(Generic[Key, Value]):
    """Calls `function(key)` at most once every `seconds` for each key; others get the last value.

    What takes long is called less often. What it raises is raised for whoever asked, and not
    remembered.
    """

    def __init__(self, seconds: float, function: Callable[[Key], Value]) -> None:
        self.seconds, self.function = seconds, function
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: Key, version: object = None) -> Value:
        """Return the value of a key. version: while this is the same, the value is too."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > MOST:
                self._entries.popitem(last=False)
        with entry.lock:  # the others wait for the first one
            began = time.monotonic()
            if began >= entry.until and (version is None or version != entry.version):
                entry.value, entry.version = self.function(key), version
                ended = time.monotonic()
                entry.until = ended + max(self.seconds, SHARE * (ended - began))
            value: Value = entry.value
            return value
