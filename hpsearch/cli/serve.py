"""`hpsearch serve`: the service, with its page and its API."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from hpsearch.cli.options import (
    check_jobs,
    cluster_option,
    no_tracking_option,
    storage_option,
    tracking_option,
)

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--studies", default=1, show_default=True, type=click.IntRange(1), help="Studies at a time."
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="The most trials of a study at a time.",
)
@cluster_option
@click.option(
    "--data", type=FOLDER, metavar="DIR", help="The tables that submitted studies may name."
)
@click.option(
    "--trainables", type=FOLDER, metavar="DIR", help="The models that submitted studies may name."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@storage_option
@tracking_option
@no_tracking_option
def serve_command(
    host: str,
    port: int,
    studies: int,
    jobs: int,
    cluster: str | None,
    data: Path | None,
    trainables: Path | None,
    no_browser: bool,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
) -> None:
    """Start the service: a page and an API for studies, until Ctrl-C.

    Studies that are submitted wait in a queue, and run one after the other. What is wanted of a
    study is kept with it in the storage, so that the next start goes on where this one ends.

    \b
    hpsearch serve
    hpsearch serve --studies 2 --jobs 4 --data tables
    """
    check_jobs(jobs, cluster)
    from hpsearch.service.app import create_app
    from hpsearch.service.dispatcher import RunPlan
    from hpsearch.service.server import address_of, bind, serve
    from hpsearch.service.service import Service
    from hpsearch.service.submission import Allowed
    from hpsearch.workspace import Workspace

    listening = bind(host, port)
    address = address_of(listening)
    workspace = Workspace(
        storage, tracking_uri, tracked=not no_tracking, page=address, keep_open=True
    )

    def show() -> None:
        click.echo(address)
        click.echo("Ctrl-C ends it; what runs goes on at the next start.", err=True)
        if not no_browser:
            webbrowser.open(address)

    plan = RunPlan(at_once=studies, jobs=jobs, cluster=cluster)
    service = Service(workspace, plan, Allowed(trainables, data))
    serve(create_app(service), listening, show)
