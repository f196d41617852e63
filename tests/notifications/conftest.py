"""A real server that receives messages."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
from dataclasses import dataclass

import pytest

SECRET = b"a secret of more than 24 bytes"


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self):
        return json.loads(self.body)["data"]

    @property
    def is_signed(self):
        """Whether the signature is that of SECRET, as the specification says it."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        digest = hmac.new(SECRET, signed + self.body, hashlib.sha256).digest()
        expected = "v1," + base64.b64encode(digest).decode()
        return self.headers.get("webhook-signature") == expected


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it receives. statuses: its answers, the last one from then on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hooks/s3cret-path"
        self.received, self.statuses = [], [204]
        self.arrived = threading.Condition()
        self.answers = threading.Event()  # not while it is clear
        self.answers.set()

    def wait_for(self, true, seconds=60):
        """Wait until what was received makes a function true; return what was received."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: true(self.received), seconds), self.received
            return [*self.received]

    def events(self):
        return [each.data["event"] for each in self.received]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = self.server
        with server.arrived:
            number = len(server.received)
            server.received.append(Received(self.path, headers, body))
            server.arrived.notify_all()
        server.answers.wait(120)
        self.send_response(server.statuses[min(number, len(server.statuses) - 1)])
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.answers.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def secret(monkeypatch):
    """The secret in the environment."""
    text = f"whsec_{base64.b64encode(SECRET).decode()}"
    monkeypatch.setenv("HPSEARCH_WEBHOOK_SECRET", text)
    return text
