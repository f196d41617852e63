"""What tests of the service share: a client of an ASGI application, and a server that runs one."""

import asyncio
import contextlib
import threading
import time

import httpx
import pytest
import uvicorn


@pytest.fixture
def ask():
    """A function that sends one request to an application, without a network."""

    def ask(app, method, path, *, client=("127.0.0.1", 1), base="http://127.0.0.1:8000", **rest):
        async def send():
            transport = httpx.ASGITransport(app, client=client)
            async with httpx.AsyncClient(transport=transport, base_url=base) as http:
                return await http.request(method, path, **rest)

        return asyncio.run(send())

    return ask


@contextlib.contextmanager
def serving(app, **options):
    """Run an application on a free port of this machine; yields its address, or that of `uds`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="on", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    where = server.servers[0].sockets[0].getsockname()
    try:
        yield where if "uds" in options else f"http://127.0.0.1:{where[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def serve():
    """A context manager that runs an application on a free port."""
    return serving
