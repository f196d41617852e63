"""Ctrl-C and SIGTERM: the first one asks to stop, the second one ends the process at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Yield a list that gets the first SIGINT or SIGTERM; a second one ends the process."""
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)

    before = {number: signal.signal(number, receive) for number in NAMED_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
