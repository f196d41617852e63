"""Server-Sent Events: a study and its trials as they change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from hpsearch.errors import HpsearchError, UnknownStudyError
from hpsearch.service.api.trials import trial_view
from hpsearch.service.cursor import Cursor
from hpsearch.trials.records import own_trials

if TYPE_CHECKING:
    from fastapi import Request

    from hpsearch.service.service import Service

POLL_SECONDS = 1.0
SILENT_POLLS = 15  # after so many without news a comment is sent: proxies cut what is silent
MOST_TRIALS = 200  # in one look: a reader that was away for long gets the rest next time
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event_stream(service: Service, name: str, request: Request) -> StreamingResponse:
    """Return the stream of a study's events; raises UnknownStudyError.

    A browser cannot send a header with its first request, so the cursor may be `since` as well.
    """
    service.study(name)
    last = request.headers.get("last-event-id") or request.query_params.get("since", "")
    cursor = Cursor.parse(last) if last else Cursor()
    events = _events(service, name, request, cursor)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _events(
    service: Service, name: str, request: Request, cursor: Cursor
) -> AsyncIterator[str]:
    shown, silent = "", 0
    while not service.is_ending and not await request.is_disconnected():
        try:
            events, cursor, shown = await run_in_threadpool(_look, service, name, cursor, shown)
        except UnknownStudyError:
            yield _event("gone", "{}")
            return
        except HpsearchError as error:
            yield _event("problem", json.dumps({"detail": str(error)}))
            return
        for event in events:
            yield event
        silent = 0 if events else silent + 1
        if silent >= SILENT_POLLS:
            silent = 0
            yield ": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)


def _look(service: Service, name: str, cursor: Cursor, shown: str) -> tuple[list[str], Cursor, str]:
    """Return the events since the last look, the cursor after them, and the study as sent."""
    trials = own_trials(service.study(name))
    news = cursor.changed(trials)
    if len(news) > MOST_TRIALS:
        news = news[:MOST_TRIALS]
        known = news[-1].number + 1
        trials = [trial for trial in trials if trial.number < known]
    after = Cursor.of(trials)
    events = [_event("trial", json.dumps(trial_view(each)), str(after)) for each in news]
    record = service.recent_state(name).record()
    record.pop("settings")
    now = json.dumps(record)
    if now != shown:
        events.append(_event("study", now, str(after)))
    return events, after, now


def _event(kind: str, data: str, cursor: str = "") -> str:
    number = f"id: {cursor}\n" if cursor else ""
    return f"event: {kind}\n{number}data: {data}\n\n"
