"""MLflow's own server, started on a tracking store for `hpsearch ui`."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpsearch.errors import Argument, TrackingError
from hpsearch.storage.open import redact

HOST = "127.0.0.1"
START_SECONDS = 60


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
    process = _start_server(uri, port)
    try:
        _wait_until_it_answers(process, port, uri)
        yield TrackingServer(f"http://{HOST}:{port}", process)
    finally:
        _stop(process)


def _free_port(wanted: int) -> int:
    """Return `wanted` if that port is free, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise TrackingError(f"no port is free on {HOST}; name one with ", Argument("port", "=…"))


def _start_server(uri: str, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a process group of its own, without its job runner."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # others could read a password in an argument
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return subprocess.Popen(
        [*command, "--workers", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, uri: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TrackingError(
                f"MLflow's server ended with code {process.returncode}; run `mlflow server "
                f"--backend-store-uri {shlex.quote(redact(uri))}` to see why"
            )
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1).close()
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
            return
