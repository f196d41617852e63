"""`hpsearch serve`: the service, with its page and its API."""

from __future__ import annotations

import os
import webbrowser
from contextlib import ExitStack
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
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let those in who have a token; `hpsearch token` makes them.",
)
@click.option("--no-auth", is_flag=True, help="Let everybody in, wherever it listens.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Another name that it is reached by, such as that of a proxy in front of it.",
)
@click.option(
    "--most-studies",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="That wait or run, of one token.",
)
@click.option(
    "--most-trials",
    default=100_000,
    show_default=True,
    type=click.IntRange(1),
    help="Of a submitted study.",
)
@click.option("--url", metavar="URL", help="Its address for others, for links.")
@click.option(
    "--webhook", metavar="URL", help="Tell this address how studies go.  [env: HPSEARCH_WEBHOOK]"
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
    token_file: Path | None,
    no_auth: bool,
    allow_hosts: tuple[str, ...],
    most_studies: int,
    most_trials: int,
    url: str | None,
    webhook: str | None,
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
    hpsearch serve --host 0.0.0.0 --token-file tokens.txt
    """
    check_jobs(jobs, cluster)
    from hpsearch.cli.console import quiet_optuna
    from hpsearch.service.access import Access, check_binding
    from hpsearch.service.app import create_app
    from hpsearch.service.dispatcher import RunPlan
    from hpsearch.service.mlflow_proxy import MlflowProxy
    from hpsearch.service.mlflow_server import MlflowServer, needs_server
    from hpsearch.service.server import address_of, bind, check_notifications, serve
    from hpsearch.service.service import Service
    from hpsearch.service.submission import Allowed
    from hpsearch.service.tokens import Tokens
    from hpsearch.workspace import Workspace

    quiet_optuna()
    tokens = None if token_file is None else Tokens(token_file)
    check_binding(host, tokens, allow_hosts=allow_hosts, no_auth=no_auth)
    if webhook is not None:
        os.environ["HPSEARCH_WEBHOOK"] = webhook  # not in the arguments of the studies' processes
    check_notifications()
    listening = bind(host, port)
    address = address_of(listening)
    workspace = Workspace(
        storage, tracking_uri, tracked=not no_tracking, page=url or address, keep_open=True
    )
    os.environ["HPSEARCH_URL"] = workspace.page

    def show() -> None:
        click.echo(address)
        click.echo("Ctrl-C ends it; what runs goes on at the next start.", err=True)
        if not no_browser:
            webbrowser.open(address)

    plan = RunPlan(studies, jobs, cluster, most_trials, most_studies)
    service = Service(workspace, plan, Allowed(trainables, data))
    with ExitStack() as stack:
        proxy = None
        if needs_server(workspace):
            proxy = MlflowProxy(stack.enter_context(MlflowServer(workspace.tracking_uri)))
        app = create_app(service, tokens=tokens, proxy=proxy)
        serve(Access(app, tokens=tokens, host=host, allow_hosts=allow_hosts), listening, show)
