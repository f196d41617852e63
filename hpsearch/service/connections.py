"""Connections to the service: how uvicorn is set up, and what it does with silent ones."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 30.0  # that a client gets to send the line and the headers of a request


class PromptProtocol(H11Protocol):
    """uvicorn's HTTP, which closes a connection on which a request begins and does not get on.

    uvicorn itself waits for ever for the headers of a request, so that a client that opens
    connections and sends nothing would keep all others out.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take data; wait for the rest of a request whose headers are not complete."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _WithoutQueries(logging.Filter):
    """Takes the query out of the lines of uvicorn's access log: it may hold a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, *rest = record.args
            record.args = (client, method, str(path).partition("?")[0], *rest)
        return True


def server_options() -> dict[str, Any]:
    """Return what uvicorn needs besides the application and the address.

    A connection at rest is closed after 5 s, and one whose request does not get on after 30 s.
    Headers are at most 64 kB. At most 1,000 connections are open at a time; others get a 503. The
    access log has no queries.
    """
    log = logging.getLogger("uvicorn.access")
    if not any(isinstance(each, _WithoutQueries) for each in log.filters):
        log.addFilter(_WithoutQueries())
    return {
        "http": PromptProtocol,
        "timeout_keep_alive": 5,
        "h11_max_incomplete_event_size": 65_536,
        "limit_concurrency": 1000,
        "server_header": False,
    }
