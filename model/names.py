"""The error message for a name that is not in a registry (registries are dicts)."""

from collections.abc import Collection
from difflib import get_close_matches


def unknown_name(name: object, known: Collection[str], what: str) -> str:
    """Return the message that `name` is not `what` ('an optimizer'), with the closest match."""
    close = get_close_matches(str(name), known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{name!r} is not {what}{hint} ({', '.join(known) or 'there is none'})"
