"""Running the service: its socket, its server, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from hpsearch.errors import Argument, SettingsError
from hpsearch.notifications.notifier import webhooks_of
from hpsearch.service.connections import server_options
from hpsearch.settings.notify import NotifySettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

GRACE_SECONDS = 3  # for open connections, such as those that watch a study
BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises SettingsError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        what = error.strerror or str(error)
        raise SettingsError(
            Argument("port"), f": {host}:{port} cannot be used: {what}; name another one"
        ) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the address for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def serve(app: ASGIApp, listening: socket.socket, on_start: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C or SIGTERM. on_start: called once the app is ready."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **server_options(),
    )
    server = _Server(config, on_start)
    # uvicorn raises again what has ended it; this is the usual end of a service.
    before = {each: signal.signal(each, _ignore) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(*_: object) -> None:
    """Handle a signal by doing nothing."""


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


def check_notifications() -> None:
    """Raise SettingsError for an address or a secret of a webhook that is none."""
    webhooks_of(NotifySettings())
