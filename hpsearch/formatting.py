"""How numbers, durations and texts are written for a person to read."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed


def format_value(value: object) -> str:
    """Return a value as text, with four digits if it is a float: 0.9861, 0.00123, 3.86e-07."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def printable(text: str) -> str:
    """Return `text` with control characters as codes: they could change what a terminal shows."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def shortened(text: str, longest: int) -> str:
    """Return `text` cut to at most `longest` characters, with an ellipsis where it was cut."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def format_duration(seconds: float) -> str:
    """Return a duration as a person writes it: 6 s, 1:05 min, 1:02:03 h."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d} h"
    return f"{minutes}:{seconds:02d} min" if minutes else f"{seconds} s"


def duration_of(text: str) -> float | None:
    """Return the seconds of a duration as a person writes it, 90, 90s, 15m or 2h, else None."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    return seconds or None


def unknown_name(name: object, known: Collection[str], what: str) -> str:
    """Return the message that `name` is not `what` ('a metric'), with the closest match.

    `model.names` has the same for the training core, which imports nothing of hpsearch.
    """
    ending = [each for each in known if each.endswith(f"/{name}")]  # val/f1 for f1
    close = ending or get_close_matches(str(name), known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{name!r} is not {what}{hint} ({', '.join(known) or 'there is none'})"


def capitalized(text: str) -> str:
    """Return `text` with a capital at its beginning."""
    return text[0].upper() + text[1:]


def counted(number: int, what: str) -> str:
    """Return a number of things as a person writes it: 1 trial, 2,000 trials."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def joined(names: Sequence[str]) -> str:
    """Return names as a person lists them: a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def without_middle(text: str, longest: int) -> str:
    """Return `text` cut in its middle to `longest` characters at most: names differ at the ends."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
