"""What lies below /mlflow: requests are passed on to MLflow's server, streamed both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import quote

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from hpsearch.service.mlflow_server import BEHIND, MlflowServer
from hpsearch.service.problems import problem
from hpsearch.service.roles import MLFLOW

Headers = Iterable[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# MLflow does not get to see who signs in here. It checks Host and Origin against its own address;
# the service has checked both against its own before.
KEPT_BACK = frozenset(
    {b"authorization", b"cookie", b"host", b"origin", b"referer", b"forwarded", b"expect"}
)
# MLflow's assistant runs programs for whoever is on this machine, where all requests come from
# that are passed on. Its pages only ask how it is set up.
ASSISTANT, SETUP = "assistant", frozenset({"config", "providers"})
TIMEOUT = httpx.Timeout(10, read=300, write=300)  # seconds; MLflow may search or store for long
POOL = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class MlflowProxy:
    """An ASGI application that answers what lies below /mlflow through MLflow's server.

    Access was checked before. Close it with `aclose`, in the event loop that it ran in.
    """

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=self.server.socket, limits=POOL)
        # What a client does not ask for is not asked for in its name.
        plain = {"Accept-Encoding": "identity"}
        return httpx.AsyncClient(transport=transport, timeout=TIMEOUT, headers=plain)

    async def aclose(self) -> None:
        """Close the connections to MLflow's server."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        path = scope["path"]
        if path == MLFLOW:  # its pages name their scripts relative to a folder
            await RedirectResponse(f"{MLFLOW}/")(scope, receive, send)
        elif _kept_from(request.method, path.split("/")):
            detail = "this part of MLflow is not served here"
            await problem(404, detail, instance=path)(scope, receive, send)
        elif self.server.state:
            await _unavailable(self.server.state, request)(scope, receive, send)
        else:
            await self._forward(request, send)

    async def _forward(self, request: Request, send: Send) -> None:
        started = False

        async def answering(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with self._client.stream(
                request.method,
                _url(request),
                headers=_passed_on(request),
                content=request.stream() if _has_body(request) else None,
            ) as answer:
                response = StreamingResponse(answer.aiter_raw(), answer.status_code)
                response.raw_headers = [*_answered(answer.headers.raw)]
                await response(request.scope, request.receive, answering)
        except ClientDisconnect:
            return  # nobody is there to get an answer
        except httpx.RequestError:
            if started:
                raise  # the server cuts the connection: the client sees that something is missing
            detail = "MLflow's server does not answer; try again in a few seconds"
            await _unavailable(detail, request)(request.scope, request.receive, send)


def _kept_from(method: str, words: list[str]) -> bool:
    """Whether a request is not passed on: it leaves /mlflow, or is for MLflow's assistant."""
    asks = method == "GET" and words[-1] in SETUP
    return ".." in words or (ASSISTANT in words and not asks)


def _unavailable(detail: str, request: Request) -> Response:
    return problem(503, detail, instance=request.scope["path"], headers={"Retry-After": "5"})


def _url(request: Request) -> httpx.URL:
    """Return where MLflow's server has what is asked for; the path stays as it was written."""
    path: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    query: bytes = request.scope["query_string"]
    return httpx.URL(BEHIND).copy_with(raw_path=path + b"?" + query if query else path)


def _has_body(request: Request) -> bool:
    size = request.headers.get("content-length", "0")
    return size != "0" or "transfer-encoding" in request.headers


def _passed_on(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request that MLflow gets to see."""
    kept = [
        (name, value)
        for name, value in request.headers.raw
        if name not in HOP_BY_HOP | KEPT_BACK and not name.startswith(b"x-forwarded-")
    ]
    client = request.client.host.encode() if request.client else b"unknown"
    return [*kept, (b"x-forwarded-for", client)]


def _answered(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers of MLflow's answer as the client gets them."""
    for name, value in headers:
        match name.lower():
            case b"location":
                yield b"location", value.removeprefix(BEHIND.encode())
            case lower if lower not in HOP_BY_HOP | {b"date", b"server"}:  # the service's own
                yield lower, value
