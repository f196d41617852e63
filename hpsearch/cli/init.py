"""`hpsearch init`: a study file and a model of one's own, to start from."""

from __future__ import annotations

import click

from hpsearch.errors import Command, Sentence


@click.command("init")
@click.option(
    "--like",
    default="sklearn",
    show_default=True,
    metavar="NAME",
    help="What trains: sklearn, pytorch, lightning, xgboost or program.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init_command(like: str, force: bool) -> None:
    """Write a study file and a small model to start from.

    Both run at once, and both are yours to change.

    \b
    hpsearch init --like pytorch
    hpsearch study study.toml
    """
    from hpsearch.cli.console import note
    from hpsearch.settings.examples import STUDY_FILE, write_example

    for path in write_example(like, force=force):
        click.echo(path)
    note(Sentence("Run it:   ", Command("study", STUDY_FILE)))
