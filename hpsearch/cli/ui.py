"""`hpsearch ui`: MLflow's own pages, on the store that the studies are tracked in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import click

from hpsearch.cli import cli, tracking_option
from hpsearch.errors import TrackingError

if TYPE_CHECKING:
    from hpsearch.tracking.store import TrackingStore

VIEW = "workflowType=machine_learning"  # else MLflow may open on its pages for language models
HOST = "127.0.0.1"
START_SECONDS = 60


@cli.command()
@click.argument("name", required=False)
@tracking_option
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui(name: str | None, tracking_uri: str | None, port: int, no_browser: bool) -> None:
    """Look at the trials of study NAME, or at all studies, in the MLflow UI.

    Starts MLflow's server on the tracking store, for this machine alone, until Ctrl-C.

    \b
    hpsearch ui digits-random
    """
    from hpsearch.tracking.store import TrackingStore

    store = TrackingStore(tracking_uri)
    if not store.exists():
        raise TrackingError(f"tracking store '{store.uri}' does not exist; a study makes it")
    store.prepare()
    names = [name] if name else store.experiment_names()
    page = _page(store, names[0]) if len(names) == 1 else f"#/experiments?{VIEW}"
    if store.uri.startswith(("http://", "https://")):
        _show(f"{store.uri.rstrip('/')}/{page}", no_browser)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    port = _free_port(port)
    server = _start_server(store.uri, port)
    try:
        _wait_until_it_answers(server, port)
        _show(f"http://{HOST}:{port}/{page}", no_browser)
        click.echo("Ctrl-C ends it.", err=True)
        server.wait()
    except KeyboardInterrupt:
        pass  # how it is meant to end
    finally:
        _stop(server)


def _page(store: TrackingStore, name: str) -> str:
    """Return the page with the curves of a study's trials, the best first, for MLflow shows ten.

    Runs of another kind, as its figures are, appear as the filter in the search box is cleared.
    """
    from hpsearch.search.rounds import NUMBERED
    from hpsearch.tracking.projection import TRIALS

    experiment = store.experiment_id(name)
    if experiment is None and (numbered := NUMBERED.fullmatch(name)):
        experiment = store.experiment_id(numbered[1])  # a later round is in that of the first
    if experiment is None:
        raise TrackingError(f"MLflow has no experiment '{name}'; hpsearch list shows the studies")
    metric = store.best_metric(experiment)
    order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": str("loss" in metric).lower()}
    parts = {"compareRunsMode": "CHART", "searchFilter": TRIALS, **(order if metric else {})}
    query = urlencode(parts, quote_via=quote)
    return f"#/experiments/{experiment}/runs?{VIEW}&{query}"


def _show(address: str, no_browser: bool) -> None:
    click.echo(address)
    if not no_browser:
        webbrowser.open(address)


def _free_port(wanted: int) -> int:
    """Return `wanted` if it can be bound, else a port that can."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise TrackingError(f"no port is free on {HOST}; name one with --port")


def _start_server(uri: str, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a process group of its own, without its job runner."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # not an argument: others could read a password there
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return subprocess.Popen(
        [*command, "--workers", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise TrackingError(
                f"MLflow's server ended with code {server.returncode}; `mlflow server` says why"
            )
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1).close()
            return
        time.sleep(0.2)
    raise TrackingError(f"MLflow's server did not answer within {START_SECONDS} seconds")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
            return
