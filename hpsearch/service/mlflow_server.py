"""MLflow's server behind the service: started, watched and ended by it."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from hpsearch.errors import TrackingError
from hpsearch.service.roles import MLFLOW
from hpsearch.tracking.address import is_server
from hpsearch.tracking.server import running_server

if TYPE_CHECKING:
    from types import TracebackType

    from hpsearch.workspace import Workspace

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds until it is started again
LASTING = 60.0  # seconds after which the next wait is the first one again
POLL = 0.5
LONGEST_FOLDER = 60  # letters
BEHIND = "http://localhost"  # how MLflow is called by whoever asks it through the socket
HEALTH = f"GET {MLFLOW}/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()

logger = logging.getLogger(__name__)


class MlflowServer:
    """MLflow's server on a tracking store, as a child of this process, for the life of a block.

    It listens on a socket in a folder of this user's: nobody else on this machine gets past the
    tokens of the service. It is started again when it dies, and ends with this process, however
    that ends. `state` is "" while it answers, else a sentence about it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.state = "MLflow's server is starting; try again in a few seconds"
        self.socket = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="mlflow", daemon=True)

    def __enter__(self) -> MlflowServer:
        """Start it, without waiting until it answers."""
        self._folder = tempfile.TemporaryDirectory(prefix="hpsearch-", dir=_short_folder())
        self.socket = f"{self._folder.name}/mlflow"
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it and its workers."""
        self._stopping.set()
        self._thread.join()
        self._folder.cleanup()

    def _keep_running(self) -> None:
        wait, said = FIRST_WAIT, False
        while not self._stopping.is_set():
            started = time.monotonic()
            why = self._run()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > LASTING:
                wait, said = FIRST_WAIT, False
            self.state = f"{why}; it is started again"
            if not said:
                logger.warning("%s", self.state)
                said = True
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _run(self) -> str:
        """Run the server until it ends or is to stop; return a sentence about its end."""
        options = ["--static-prefix", MLFLOW, "--uvicorn-opts", f"--uds {shlex.quote(self.socket)}"]
        stopping = self._stopping.is_set
        try:
            _prepare(self.uri)
            with running_server(self.uri, options, self._answers, should_stop=stopping) as process:
                self.state = ""
                while process.poll() is None and not self._stopping.wait(POLL):
                    pass
                return f"MLflow's server ended with code {process.returncode}"
        except TrackingError as error:
            return str(error)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(self.socket)
                connection.sendall(HEALTH)
                return connection.recv(100).startswith(b"HTTP/1.1 200 ")
            except OSError:
                return False


def _short_folder() -> str | None:
    """Return where to put a socket, whose path has at most 103 letters; None: as usual."""
    return "/tmp" if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER else None


def needs_server(workspace: Workspace) -> bool:
    """Whether the service starts MLflow's server itself: the tracking store is none already."""
    return workspace.tracked and not is_server(workspace.tracking_uri)


def _prepare(uri: str) -> None:
    """Make a store that does not exist yet, in a process of its own; raises TrackingError.

    Two processes that make one at the same time fail.
    """
    made = subprocess.run(
        [sys.executable, "-P", "-m", "hpsearch.tracking.prepare"],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        lines = made.stderr.strip().splitlines()
        raise TrackingError(lines[-1] if lines else f"exit code {made.returncode}")
