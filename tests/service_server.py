"""A service on a free port, in a thread of the test, and a client of it."""

import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn

from hpsearch.client import Client
from hpsearch.service.app import create_app
from hpsearch.service.dispatcher import RunPlan
from hpsearch.service.server import address_of, bind
from hpsearch.service.service import Service
from hpsearch.service.submission import Allowed
from hpsearch.workspace import Workspace

QUICK = """\
name = "quick"
[data]
source = "iris"
[search]
sampler = "random"
pruner = "none"
trials = 4
[trial]
epochs = 2
hidden_layer_sizes = [8]
learning_rate = { low = 1e-3, high = 1.0, log = true }
"""
ELSEWHERE = """\
name = "elsewhere"
[model]
clients = true
[search]
metric = "val/loss"
sampler = "random"
pruner = "none"
trials = 6
[trial]
epochs = 3
rate = { low = 1e-4, high = 1.0, log = true }
"""
SECONDS = 60.0  # to wait for anything


def until(condition, seconds=SECONDS):
    """Wait until a condition returns something true, and return that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {condition}")


@contextmanager
def served(folder, *, port=0, plan=None, allowed=None, tracked=False):
    """Serve the studies of a folder, and yield a client."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    workspace = Workspace(str(folder / "s.journal"), uri, tracked=tracked, keep_open=True)
    service = Service(workspace, plan or RunPlan(), allowed or Allowed())
    listening = bind("127.0.0.1", port)
    config = uvicorn.Config(create_app(service), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        with Client(address_of(listening)) as client:
            client.service = service
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def start_service(tmp_path, monkeypatch):
    """Serves the studies of a temporary folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(served(tmp_path, **how))


@pytest.fixture
def client(start_service):
    """A client of a service without studies."""
    return start_service()
