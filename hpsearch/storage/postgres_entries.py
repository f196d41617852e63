"""The entries of a journal as a table of PostgreSQL holds them."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from hpsearch.internals import CREATE_TRIAL


def as_text(value: Any) -> str:
    """Return JSON, in which a zero and what is no Unicode are escaped."""
    return json.dumps(value, separators=(",", ":"))


def entry_of(text: str | None, details: str | None, study: int | None) -> dict[str, Any]:
    """Return an entry of the table, with the attributes that are kept apart from it.

    text: None for one that creates a trial of another `study`, of which only its place matters.
    """
    if text is None:
        return {"op_code": CREATE_TRIAL, "worker_id": "", "study_id": study, "datetime_start": None}
    entry: dict[str, Any] = from_json(text)
    if details is not None:
        entry["user_attrs"] |= from_json(details)
    return entry
