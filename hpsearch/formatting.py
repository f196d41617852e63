"""TODO."""

from __future__ import annotations

import math
from collections.abc import Iterable


def format_value(value: object) -> str:
    """Return a number as a person reads it: 0.9861, 0.00123, 3.86e-07."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shortened(text: str, longest: int) -> str:
    """Return a text of at most so many letters, the last one an ellipsis where it was cut."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def common_format(values: Iterable[float], metric: str) -> str:
    """Return how values of a metric are written one below the other: as suits the smallest.

    Accuracies are alike everywhere. `metric` may be its title.
    """
    smallest = min((abs(value) for value in values if value), default=1.0)
    if "accuracy" in metric or smallest >= 0.01:
        return ".4f"
    return f".{2 - math.floor(math.log10(smallest))}f" if smallest >= 1e-4 else ".4g"


def format_duration(seconds: float) -> str:
    """Return seconds as a person says them: 6 s, 1:05 min, 1:02:03 h."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d} h"
    return f"{minutes}:{seconds:02d} min" if minutes else f"{seconds} s"


def sentence(text: str) -> str:
    """Begin a text with a capital."""
    return text[0].upper() + text[1:]


def counted(number: int, what: str) -> str:
    """Return a number of things as a person says it: 1 trial, 2,000 trials."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def without_middle(text: str, longest: int) -> str:
    """Return a text of at most so many letters, without its middle: names differ at the ends."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
