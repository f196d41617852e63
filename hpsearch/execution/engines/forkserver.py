"""The server process that workers are forked from; it has imported what they need.

This module imports nothing heavy, so a command can start the server first, and both import at the
same time.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any

ENVIRONMENT = {
    # The matrices are small: a second BLAS thread costs more than it saves.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a server prints it for every run that ends
    "MLFLOW_UV_AUTO_DETECT": "false",  # or MLflow stores the uv.lock of the folder with a model
    # Notice after seconds, not minutes, that a tracking server does not answer. A request whose
    # answer got lost must not be repeated blindly, or a trial has two runs: the tracker does that.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
LONGEST_FOLDER = 60  # letters
PRELOADED = [
    "hpsearch.execution.objective",
    "hpsearch.execution.engines.process_worker",
    "hpsearch.tracking.tracker",
    "sklearn.datasets",
    "sklearn.model_selection",
]


def start_forkserver() -> ForkServerContext:
    """Start the server if it is not running yet, and do not wait for it."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    before = dict(os.environ)
    try:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # The server imports from where this process would, but not from the working directory.
        os.environ["PYTHONSAFEPATH"] = "1"
        os.environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        resource_tracker.ensure_running()  # started by the server, it would unblock signals
        with held_signals(), _short_folder():
            forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


@contextmanager
def _short_folder() -> Iterator[None]:
    """Put the server's socket in /tmp if TMPDIR is long: the path has at most 107 letters."""
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def held_signals() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM in processes that start in the block; only the parent handles them.

    A child inherits the blocked signals. This process gets its own when the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def hidden_main() -> Iterator[None]:
    """Keep a child that starts in the block from running the main script again.

    A script without `if __name__ == "__main__"` would start its study once more in every worker.
    """
    main = sys.modules["__main__"].__dict__
    kept: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.update(__file__=None, __spec__=None)
    try:
        yield
    finally:
        del main["__file__"], main["__spec__"]
        main.update(kept)  # a notebook has no file
