"""MLflow's own server, started on a tracking store for `hpsearch ui` and for the service."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from hpsearch.errors import Argument, TrackingError
from hpsearch.internals import MLFLOW_SERVER
from hpsearch.storage.open import redact
from hpsearch.tracking import tied

HOST = "127.0.0.1"
START_SECONDS = 180  # a busy machine takes a minute


@dataclass(frozen=True)
class TrackingServer:
    """A running MLflow server that only this machine can reach."""

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Return when the server has ended."""
        self.process.wait()


@contextmanager
def serve_store(uri: str, port: int) -> Iterator[TrackingServer]:
    """Run MLflow's server on the store at `uri` while the block runs; raise TrackingError.

    port: where it listens, if that port is free; else it listens on another.
    """
    port = _free_port(port)
    address = f"http://{HOST}:{port}"

    def answers() -> bool:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1).close()
        except OSError:
            return False
        return True

    with running_server(uri, ["--host", HOST, "--port", str(port)], answers) as process:
        yield TrackingServer(address, process)


@contextmanager
def running_server(
    uri: str,
    options: Sequence[str],
    answers: Callable[[], bool],
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlflow server` with `options` on the store at `uri` while the block runs.

    The block begins when `answers` returns True. should_stop: True gives up waiting for that. The
    server also ends when this process is killed. Raises TrackingError.
    """
    process = _start_server(uri, options)
    try:
        _wait_until(answers, process, uri, should_stop)
        yield process
    finally:
        _stop(process)


def without_password(address: str) -> str:
    """Return an address without user and password: everybody can read a browser's arguments."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _free_port(wanted: int) -> int:
    """Return `wanted` if that port is free, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise TrackingError(f"no port is free on {HOST}; name one with ", Argument("port", "=…"))


def _start_server(uri: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a process group of its own, without its job runner.

    It ends when this process does.
    """
    command = [sys.executable, "-c", MLFLOW_SERVER, *options, "--workers", "1"]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # others could read a password in an argument
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return subprocess.Popen(
        [sys.executable, "-I", tied.__file__, *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until(
    answers: Callable[[], bool],
    process: subprocess.Popen[bytes],
    uri: str,
    should_stop: Callable[[], bool],
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if should_stop():
            raise TrackingError("MLflow's server was stopped before it answered")
        if process.poll() is not None:
            raise TrackingError(
                f"MLflow's server ended with code {process.returncode}; run `mlflow server "
                f"--backend-store-uri {shlex.quote(redact(uri))}` to see why"
            )
        if answers():
            return
        time.sleep(0.2)
    raise TrackingError(f"MLflow's server did not answer within {START_SECONDS} seconds")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            break
    if process.stdin is not None:
        process.stdin.close()
