"""Connections that say nothing are closed, and the access log keeps secrets."""

import asyncio
import logging
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hpsearch.service import connections
from hpsearch.service.connections import server_options

WHOLE = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PART = b"GET / HTTP/1.1\r\nHost: 127"


def app(seconds=0.0):
    """An application that takes its time."""

    async def answer(_):
        await asyncio.sleep(seconds)
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


@pytest.fixture
def connect(monkeypatch, serve):
    """A function that connects to a service in which a request has to come within 0.3 s."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    options = server_options() | {"timeout_keep_alive": 60, "log_level": "critical"}
    with serve(app(seconds=1.0), **options) as address:

        def connect():
            return socket.create_connection(("127.0.0.1", urlsplit(address).port), timeout=60)

        yield connect


@pytest.mark.parametrize("sent", [b"", PART])
def test_a_connection_on_which_no_request_comes_is_closed(connect, sent):
    with connect() as client:
        client.sendall(sent)
        assert client.recv(1000) == b""


def is_closed(client):
    """Whether the other side has closed a connection; waits a moment for that."""
    client.settimeout(0.05)
    try:
        return client.recv(1000) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_a_request_that_trickles_in_is_cut_off(connect):
    slowly = PART + b"x" * 10_000  # ten minutes of it
    with connect() as client:
        sent = 0
        while not is_closed(client):
            client.sendall(slowly[sent : sent + 1])
            sent += 1
        assert 0 < sent < len(slowly)


def test_an_answer_may_take_longer_and_so_may_the_next_request(connect):
    with connect() as client:
        for _ in range(2):
            client.sendall(WHOLE)
            received = b""
            while not received.endswith(b"done"):
                received += client.recv(1000)
            assert received.startswith(b"HTTP/1.1 200 OK")
        client.sendall(PART)
        assert client.recv(1000) == b""


def test_the_access_log_has_no_query_and_no_secret(serve, caplog):
    secret = "hps_" + "a" * 43
    with serve(app(), log_config=None, **server_options()) as address:
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
        httpx.get(f"{address}/studies?token={secret}")
        httpx.get(f"{address}/studies?a=b", headers={"Authorization": f"Bearer {secret}"})
        httpx.get(f"{address}/studies", headers={"Cookie": f"hpsearch_token={secret}"})
        httpx.post(f"{address}/login", data={"token": secret})
    lines = [each.getMessage() for each in caplog.records if each.name == "uvicorn.access"]
    assert len(lines) == 4
    assert "GET /studies HTTP/1.1" in lines[0]
    assert secret not in "".join(lines)
    assert "?" not in "".join(lines)
