"""`hpsearch ui`: MLflow's own pages, on the store that the studies are tracked in."""

from __future__ import annotations

import signal
import webbrowser

import click

from hpsearch.cli.options import storage_option, tracking_option
from hpsearch.errors import Command, TrackingError


@click.command("ui")
@click.argument("name", required=False)
@storage_option
@tracking_option
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui_command(
    name: str | None,
    storage: str | None,
    tracking_uri: str | None,
    port: int,
    no_browser: bool,
) -> None:
    """Open MLflow's pages on study NAME, or on all studies.

    Starts MLflow's server on the tracking store, for this machine alone, until Ctrl-C.

    \b
    hpsearch ui digits-random
    """
    from hpsearch.tracking.server import serve_store, without_password
    from hpsearch.workspace import Workspace

    workspace = Workspace(storage, tracking_uri)
    store = workspace.tracking_store
    if not store.exists():
        sync = Command("sync", name or "NAME")
        raise TrackingError(
            f"tracking store '{store.uri}' does not exist; a study makes it, and `",
            sync,
            "` writes the runs of one that was not tracked",
        )
    store.prepare()
    page = workspace.tracking_page(name)
    if store.is_server:
        _show(f"{without_password(store.uri).rstrip('/')}/{page}", no_browser)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with serve_store(store.uri, port) as server:
            _show(f"{server.address}/{page}", no_browser)
            click.echo("Ctrl-C ends it.", err=True)
            server.wait()
    except KeyboardInterrupt:
        pass  # the usual end


def _show(address: str, no_browser: bool) -> None:
    click.echo(address)
    if not no_browser:
        webbrowser.open(address)
