"""MLflow's server as a child process: where it listens, and what happens if it fails."""

import socket
import subprocess
import sys
import urllib.request

import pytest

from hpsearch.errors import TrackingError
from hpsearch.tracking import server
from hpsearch.tracking.server import serve_store

ANSWERS = """
import http.server, sys
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""


@pytest.fixture
def run_instead(monkeypatch):
    """A function that replaces MLflow's server by a Python program, which gets the port."""
    started = []

    def run_instead(program):
        def start(_uri, options):
            command = [sys.executable, "-c", program, options[options.index("--port") + 1]]
            started.append(
                subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
            )
            return started[-1]

        monkeypatch.setattr(server, "_start_server", start)
        return started

    return run_instead


def test_it_answers_while_the_block_runs_and_ends_with_it(run_instead):
    started = run_instead(ANSWERS)
    with serve_store("sqlite:///mlflow.db", 0) as running:
        assert running.address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{running.address}/health") as answer:
            assert answer.status == 200
        assert running.process.poll() is None
    assert started[0].poll() is not None


def test_it_listens_on_another_port_if_the_wanted_one_is_taken(run_instead):
    run_instead(ANSWERS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serve_store("sqlite:///mlflow.db", port) as running:
            assert not running.address.endswith(f":{port}")


def test_a_server_that_ends_is_an_error(run_instead):
    run_instead("raise SystemExit(3)")
    command = "mlflow server --backend-store-uri sqlite:///mlflow.db"
    sentence = f"^MLflow's server ended with code 3; run `{command}` to see why$"
    with (
        pytest.raises(TrackingError, match=sentence),
        serve_store("sqlite:///mlflow.db", 0),
    ):
        pytest.fail("served")


def test_a_server_that_does_not_answer_is_an_error_and_is_ended(run_instead, monkeypatch):
    started = run_instead("import time; time.sleep(60)")
    monkeypatch.setattr(server, "START_SECONDS", 1)
    with (
        pytest.raises(TrackingError, match="did not answer within 1 seconds"),
        serve_store("sqlite:///mlflow.db", 0),
    ):
        pytest.fail("served")
    assert started[0].poll() is not None
