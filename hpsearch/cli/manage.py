"""`hpsearch compact`, `delete`, `stop`, `storage` and `sync`: keep the stores in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpsearch.cli.options import (
    no_tracking_option,
    server_option,
    storage_option,
    tracking_option,
)

if TYPE_CHECKING:
    from hpsearch.workspace import Deletion


@click.command("compact")
@click.argument("name")
@storage_option
def compact_command(name: str, storage: str | None) -> None:
    """Make the journal of study NAME smaller, so that it opens faster.

    It keeps one entry for each finished trial, with all that was said of it. The study may run at
    the same time. A journal in PostgreSQL does this by itself when a study has ended.

    \b
    hpsearch compact digits-random
    """
    from hpsearch.workspace import Workspace

    compacted = Workspace(storage).compact(name)
    click.echo(f"{name}: of {compacted.before} entries {compacted.after} are left", err=True)


@click.command("delete")
@click.argument("name")
@storage_option
@tracking_option
@no_tracking_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(
    name: str, storage: str | None, tracking_uri: str | None, no_tracking: bool, yes: bool
) -> None:
    """Delete study NAME with its trials, and its runs in MLflow.

    Its rounds and its evaluation are deleted too. A model that `hpsearch export -f mlflow` has
    registered stays: it may be in use.

    \b
    hpsearch delete digits-random
    """
    from hpsearch.formatting import counted
    from hpsearch.workspace import Workspace

    def confirm(deletion: Deletion) -> None:
        if not yes:
            names = " and ".join(f"'{each}'" for each in deletion.studies)
            runs = (
                "" if deletion.runs is None else f" and {counted(deletion.runs, 'run')} in MLflow"
            )
            others = counted(deletion.others, "other run")
            stay = f" ({others} in the same experiment will stay)" if deletion.others else ""
            trials = counted(deletion.trials, "trial")
            question = f"Delete study {names} with {trials}{runs}{stay}?"
            click.confirm(question, abort=True, err=True)

    workspace = Workspace(storage, tracking_uri, tracked=not no_tracking)
    for deleted in workspace.delete(name, confirm=confirm):
        click.echo(f"deleted {deleted}", err=True)


@click.command("stop")
@click.argument("name")
@storage_option
@server_option
def stop_command(name: str, storage: str | None, server: str | None) -> None:
    """Ask whoever runs study NAME to stop, wherever that is.

    Its trials stop after their current epochs; what has been trained is kept. The command that ran
    it goes on with it; a service does so when it is told to.

    \b
    hpsearch stop digits-random
    """
    if server is None:
        from hpsearch.workspace import Workspace

        Workspace(storage).stop(name)
    else:
        from hpsearch.client import Client

        with Client(server, patience=0) as client:
            client.study(name).stop()
    click.echo(f"{name}: asked to stop", err=True)


@click.group("storage")
def storage_command() -> None:
    """Copy studies from one storage to another.

    \b
    hpsearch storage copy hpsearch.journal sqlite:///studies.db
    """


@storage_command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def copy_command(source: str, target: str, names: tuple[str, ...]) -> None:
    """Copy the studies called NAME, or all, from one storage to another of any kind.

    Their rounds and evaluations are copied too. A study that TO has already is refused. Checkpoints
    and MLflow's runs stay where they are.

    \b
    hpsearch storage copy hpsearch.journal sqlite:///studies.db
    """
    from hpsearch.formatting import counted
    from hpsearch.workspace import Workspace

    for name, trials in Workspace(source).copy(target, names).items():
        click.echo(f"copied {name} with {counted(trials, 'trial')}", err=True)


@click.command("sync")
@click.argument("name")
@storage_option
@tracking_option
def sync_command(name: str, storage: str | None, tracking_uri: str | None) -> None:
    """Write the MLflow runs of study NAME that are missing.

    Those of its rounds and of its evaluation are written too. Every start of a study does this by
    itself; it helps after the tracking store was away.

    \b
    hpsearch sync digits-random
    """
    from hpsearch.workspace import Workspace

    written = Workspace(storage, tracking_uri).sync(name)
    click.echo(f"{name}: {written} runs written", err=True)
