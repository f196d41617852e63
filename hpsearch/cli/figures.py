"""`hpsearch figures`: draw, save, log to MLflow."""

from __future__ import annotations

import click

from hpsearch.cli.options import (
    no_tracking_option,
    save_options,
    storage_option,
    tracking_option,
)


@click.command("figures")
@click.argument("name")
@save_options
@storage_option
@tracking_option
@no_tracking_option
def figures_command(
    name: str,
    save: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
) -> None:
    """Draw the figures of study NAME.

    These are the [[figure]] tables of its file, or the best trials if it has none. They
    become artifacts of the run "figures" of its experiment in MLflow and, with --save, PNG files,
    whose paths are printed.

    \b
    hpsearch figures digits-random --save plots
    """
    if no_tracking and save is None:
        raise click.UsageError("--no-tracking needs --save, a folder for the figures")
    from hpsearch.cli.console import note
    from hpsearch.workspace import Workspace

    workspace = Workspace(storage, tracking_uri, tracked=not no_tracking)
    drawing = workspace.figures(name, save=save, force=force)
    for path in drawing.files:
        click.echo(path)
    if drawing.tracked_as:
        note(f"in MLflow: {drawing.tracked_as}")
