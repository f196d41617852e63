"""The [notify] table of a study file: whom a study tells how it goes, and what."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator

from hpsearch.formatting import duration_of, unknown_name
from hpsearch.settings.table import SettingsTable

Event = Literal["finished", "failed", "best", "stalled"]
EVENTS: tuple[Event, ...] = get_args(Event)


def without_secrets(url: str) -> str:
    """Return what may be shown of the address of a webhook: its path is often the secret."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"
    except ValueError:
        return "***"


def check_webhook(url: str) -> str:
    """Return the address of a webhook; raises ValueError, which does not show it, if it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be an address that begins with https:// or http://, without spaces")
    return url


def _seconds(given: object) -> object:
    seconds = duration_of(given) if isinstance(given, str) else given
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < float(str(seconds)) < float("inf"):
        raise ValueError(f"must be a length of time, such as '30m' or '2h', but got {given!r}")
    return float(str(seconds))


class NotifySettings(SettingsTable):
    """[notify]: what a study tells a webhook.

    webhook: its address; None leaves the one in HPSEARCH_WEBHOOK, if there is one. stalled_after:
    after how many seconds without an epoch or the end of a trial the study counts as stalled.
    """

    webhook: str | None = None
    events: Annotated[tuple[Event, ...], Field(strict=False)] = EVENTS
    stalled_after: Annotated[float, BeforeValidator(_seconds)] = 1800.0

    @field_validator("webhook")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else check_webhook(value)

    @field_validator("events", mode="before")
    @classmethod
    def _known_events(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple):
            raise ValueError(f"must be a list of events, such as ['finished'], but got {values!r}")
        for value in values:
            if value not in EVENTS:
                raise ValueError(unknown_name(value, EVENTS, "an event"))
        return tuple(values)

    def as_table(self) -> dict[str, Any]:
        """Return the table as a study file writes it."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
