"""Options that several commands share, and lengths of time as an option's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hpsearch.cli.hints import keep_for_hints
from hpsearch.formatting import duration_of

Command = TypeVar("Command", bound=Callable[..., Any])


def storage_option(command: Command) -> Command:
    """Add --storage to a command."""
    return click.option(
        "--storage",
        metavar="URL",
        callback=keep_for_hints,
        help="Where studies are kept: a journal file, journal+postgresql://…, sqlite:///… or "
        "postgresql://…  "
        "[env: HPSEARCH_STORAGE; default: hpsearch.journal]",
    )(command)


def server_option(command: Command) -> Command:
    """Add --server to a command."""
    return click.option(
        "--server",
        metavar="URL",
        callback=keep_for_hints,
        help="Through a service, such as http://host:8000, with the token in HPSEARCH_TOKEN.",
    )(command)


def tracking_option(command: Command) -> Command:
    """Add --tracking-uri to a command."""
    return click.option(
        "--tracking-uri",
        metavar="URI",
        callback=keep_for_hints,
        help="MLflow's tracking store.  [env: MLFLOW_TRACKING_URI; default: sqlite:///mlflow.db]",
    )(command)


def no_tracking_option(command: Command) -> Command:
    """Add --no-tracking to a command."""
    return click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")(command)


def _devices(_context: click.Context, _option: click.Parameter, given: str) -> tuple[str, ...]:
    return tuple(device for part in given.split(",") if (device := part.strip()))


def gpus_option(command: Command) -> Command:
    """Add --gpus to a command."""
    return click.option(
        "--gpus",
        default="",
        metavar="0,1",
        callback=_devices,
        help="The GPUs that are divided among the worker processes.",
    )(command)


def cluster_option(command: Command) -> Command:
    """Add --cluster to a command."""
    return click.option(
        "--cluster",
        metavar="ADDRESS",
        help="A Dask scheduler, such as tcp://host:8786, on whose workers trials run instead.",
    )(command)


def check_jobs(jobs: int, cluster: str | None) -> None:
    """Raise UsageError where a cluster decides how many trials run at a time."""
    if cluster is not None and jobs > 1:
        raise click.UsageError("--cluster runs a trial on each of its workers; leave --jobs out")


def json_option(command: Command) -> Command:
    """Add --json to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")(
        command
    )


def save_options(command: Command) -> Command:
    """Add --save and --force to a command."""
    force = click.option("--force", is_flag=True, help="Overwrite existing files.")
    save = click.option("--save", metavar="DIR", help="Save the figures there, as PNG files.")
    return save(force(command))


def table_options(command: Command) -> Command:
    """Add the options that say what the columns of a table are."""
    target = click.option(
        "--target", multiple=True, metavar="COLUMN", help="The column to predict."
    )
    return target(column_options(command))


def column_options(command: Command) -> Command:
    """Add the options about columns that are not features as they are."""
    drop = click.option("--drop", multiple=True, metavar="COLUMN", help="A column to leave out.")
    ids = click.option("--id", "ids", multiple=True, metavar="COLUMN", help="A column of names.")
    text = click.option(
        "--text", type=click.Choice(["refuse", "tfidf"]), help="What becomes of free text."
    )
    groups = click.option(
        "--groups", metavar="COLUMN", help="A column whose equal values stay in one part."
    )
    time = click.option(
        "--time", metavar="COLUMN", help="A column of times: later rows are validated on."
    )
    weight = click.option(
        "--weight", metavar="COLUMN", help="A column of how much each row counts."
    )
    return drop(ids(text(groups(time(weight(command))))))


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        seconds = duration_of(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a length of time; use 90, 90s, 15m or 2h", param, ctx)
        return seconds


DURATION = _Duration()
"""A length of time in seconds: 90, 90s, 15m, 2h."""
