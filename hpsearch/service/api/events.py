"""Server-Sent Events: a study and its trials as they change, looked up once for all listeners."""

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
SILENT_SECONDS = 15.0  # after so long without news a comment is sent: proxies cut what is silent
MOST_TRIALS = 500  # in one look: a reader that was away for long gets the others in the next ones
MOST_WAITING = 20  # looks that a slow listener may be behind before it is let go
MOST_LISTENERS = 1000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STILL_HERE = ": still here\n\n"

Chunks = asyncio.Queue["str | None"]  # None ends a stream


class Feeds:
    """The streams of all studies that somebody listens to."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._feeds: dict[str, _Feed] = {}

    def stream(self, name: str, request: Request) -> StreamingResponse:
        """Return the events of a study; raises UnknownStudyError.

        With the header Last-Event-ID they begin with what has changed since that event. A browser
        cannot send it with its first request, so the cursor may be `since` as well.
        """
        self.service.study(name)
        last = request.headers.get("last-event-id") or request.query_params.get("since", "")
        cursor = Cursor.parse(last) if last else Cursor()
        if sum(len(feed.listeners) for feed in self._feeds.values()) >= MOST_LISTENERS:
            raise HpsearchError(f"there are {MOST_LISTENERS} listeners already; try again later")
        events = self._events(name, cursor)
        return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)

    async def _events(self, name: str, cursor: Cursor) -> AsyncIterator[str]:
        feed = self._feeds.setdefault(name, _Feed(self.service, name))
        chunks: Chunks = asyncio.Queue(MOST_WAITING)
        feed.join(chunks)  # before this look, so that nothing is missed in between
        try:
            look = await run_in_threadpool(_Look.of, self.service, name, cursor)
            yield look.text
            while look.more:
                look = await run_in_threadpool(_Look.of, self.service, name, look.cursor)
                yield look.text
            while True:
                try:
                    chunk = await asyncio.wait_for(chunks.get(), SILENT_SECONDS)
                except TimeoutError:
                    chunk = STILL_HERE
                if chunk is None:
                    return
                yield chunk
        except UnknownStudyError:
            yield _event("gone", "{}")
        finally:
            feed.leave(chunks)
            if not feed.listeners:
                self._feeds.pop(name, None)


class _Feed:
    """Looks at a study every second while somebody listens, and tells all of them what is new."""

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.name = service, name
        self.listeners: set[Chunks] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, chunks: Chunks) -> None:
        """Put what is new into `chunks` from now on."""
        self.listeners.add(chunks)
        if self._task is None:
            self._task = asyncio.create_task(self._look_again_and_again())

    def leave(self, chunks: Chunks) -> None:
        """Stop doing so."""
        self.listeners.discard(chunks)
        if not self.listeners and self._task is not None:
            self._task.cancel()

    async def _look_again_and_again(self) -> None:
        look: _Look | None = None
        while not self.service.is_ending:
            try:
                cursor = None if look is None else look.cursor
                shown = "" if look is None else look.study
                look = await run_in_threadpool(_Look.of, self.service, self.name, cursor, shown)
            except UnknownStudyError:
                self._tell(_event("gone", "{}"))
                break
            except HpsearchError as error:
                self._tell(_event("problem", json.dumps({"detail": str(error)})))
            else:
                if look.text:
                    self._tell(look.text)
            await asyncio.sleep(POLL_SECONDS)
        self._tell(None)

    def _tell(self, chunk: str | None) -> None:
        for chunks in [*self.listeners]:
            if not chunks.full():
                chunks.put_nowait(chunk)
                continue
            self.listeners.discard(chunks)  # too slow: it begins again with its last event
            while not chunks.empty():
                chunks.get_nowait()
            chunks.put_nowait(None)


class _Look:
    """What is new about a study: as events, with the cursor after them, and the study as sent."""

    def __init__(self, text: str, cursor: Cursor, study: str, *, more: bool) -> None:
        self.text, self.cursor, self.study, self.more = text, cursor, study, more

    @classmethod
    def of(cls, service: Service, name: str, since: Cursor | None = None, shown: str = "") -> _Look:
        """Look once. since: None takes all trials as known. shown: the study as it was sent."""
        trials = own_trials(service.study(name))
        news = [] if since is None else since.changed(trials)
        more = len(news) > MOST_TRIALS
        if more:
            news = news[:MOST_TRIALS]
            trials = [trial for trial in trials if trial.number <= news[-1].number]
        after = Cursor.of(trials)
        record = service.recent_state(name).record()
        del record["settings"]
        study = json.dumps(record)
        events = [_event("trial", json.dumps(trial_view(each)), str(after)) for each in news]
        if study != shown:
            events.append(_event("study", study, str(after)))
        return cls("".join(events), after, study, more=more)


def _event(kind: str, data: str, cursor: str = "") -> str:
    number = f"id: {cursor}\n" if cursor else ""
    return f"event: {kind}\n{number}data: {data}\n\n"
