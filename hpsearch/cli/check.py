"""`hpsearch check`: what a model of one's own keeps of the protocol."""

from __future__ import annotations

import click


@click.command("check")
@click.argument("file")
@click.option(
    "--epochs", type=click.IntRange(1), default=3, show_default=True, help="Epochs to train."
)
def check_command(file: str, epochs: int) -> None:
    """Try the model of the study in FILE for a few epochs.

    It is trained twice with the same seed, then killed and continued from its checkpoint, and what
    breaks a study or differs is said, with the milliseconds that an epoch takes. Nothing is stored.

    \b
    ok    all is well
    note  worth knowing
    fail  breaks a study; the exit code is 1

    \b
    hpsearch check study.toml
    """
    from hpsearch.cli.console import say
    from hpsearch.settings.study import load_settings
    from hpsearch.workspace import Workspace

    failed = False
    for finding in Workspace().check(load_settings(file), epochs=epochs):
        say(f"{finding.level:<5} {finding.text}")
        failed = failed or finding.level == "fail"
    if failed:
        raise SystemExit(1)
