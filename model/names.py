"""Registries are dicts; this says what is wrong with a name that is not in one."""

from collections.abc import Collection
from difflib import get_close_matches


def unknown_name(name: object, known: Collection[str], what: str) -> str:
    """Return the sentence for `name`, which is not `what` ('an optimizer'), with a near miss."""
    close = get_close_matches(str(name), known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{name!r} is not {what}{hint} ({', '.join(known) or 'there is none'})"
