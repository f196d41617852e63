"""`hpsearch report`: a page for a browser."""

from __future__ import annotations

import time

import click

from hpsearch.cli.options import (
    no_tracking_option,
    server_option,
    storage_option,
    tracking_option,
)
from hpsearch.errors import Command, Sentence
from hpsearch.files import file_name


@click.command("report")
@click.argument("name")
@click.option("-o", "--output", metavar="FILE", help="Where to write it.  [default: NAME.html]")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option(
    "--top",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the best to show with their curves.",
)
@storage_option
@tracking_option
@no_tracking_option
@server_option
def report_command(
    name: str,
    output: str | None,
    force: bool,
    top: int,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    server: str | None,
) -> None:
    """Write a page of HTML about study NAME.

    It shows what the study found, how the search went, and how to run it again. It opens from the
    disk and needs no network. In MLflow it becomes an artifact of the run "report" of the study's
    experiment.

    \b
    hpsearch report digits-random
    hpsearch report digits-random -o for-monday.html --top 50
    """
    from hpsearch.cli.console import note, quiet_optuna
    from hpsearch.workspace import Workspace

    started = time.monotonic()
    quiet_optuna()
    if server is not None:
        if storage or tracking_uri:
            raise click.UsageError("--server has stores of its own; leave --storage out")
        from hpsearch.cli.remote import fetch

        path = f"{file_name(name)}.html" if output is None else output
        fetch(server, name, f"report?top={top}", path, force=force)
        click.echo(path)
        return
    workspace = Workspace(storage, tracking_uri, tracked=not no_tracking)
    report = workspace.report(name, output, top=top, force=force)
    click.echo(report.path)
    note(f"{report.megabytes:.1f} MB in {time.monotonic() - started:.1f} s")
    if report.better_round:
        command = Command("report", report.better_round)
        note(Sentence(f"{report.better_round} is better: ", command))
    if report.tracked_as:
        note(f"in MLflow: {report.tracked_as}")
