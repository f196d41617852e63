"""The command line: click commands that parse, call and print; the work is done elsewhere."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

from hpsearch import __version__
from hpsearch.errors import HpsearchError, refuse_shadowed_model
from hpsearch.execution.engines.forkserver import ENVIRONMENT

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """A group whose commands end with one line and exit code 1 when hpsearch raises its error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HpsearchError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpsearch")
def cli() -> None:
    """Search hyperparameters, and see every trial in MLflow.

    \b
    hpsearch study --sampler random     100 trials on the digits that come with it
    hpsearch study my-study.toml        a study of your own
    hpsearch ui                         look at the trials in MLflow
    """
    refuse_shadowed_model()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def storage_option(command: Command) -> Command:
    """Add --storage to a command."""
    return click.option(
        "--storage",
        metavar="URL",
        help="Where studies are kept: a journal file, or sqlite:///… or postgresql://…  "
        "[env: HPSEARCH_STORAGE; default: hpsearch.journal]",
    )(command)


def tracking_option(command: Command) -> Command:
    """Add --tracking-uri to a command."""
    return click.option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's tracking store.  [env: MLFLOW_TRACKING_URI; default: sqlite:///mlflow.db]",
    )(command)


def json_option(command: Command) -> Command:
    """Add --json to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")(
        command
    )


def main() -> None:
    """Run the command line; the console script."""
    sys.stdout = _standard_output()
    try:
        cli(prog_name="hpsearch")
    finally:
        gc.freeze()  # saves a second: the interpreter does not go through all that ends with it
        _finish_output()


def _standard_output() -> TextIO:
    """Return what to print to; it has a buffer, also under PYTHONUNBUFFERED."""
    output = sys.stdout
    if output is None:  # it was closed from the start
        return open(os.devnull, "w")
    if not getattr(output, "write_through", False):
        return output
    return open(output.fileno(), "w", encoding=output.encoding, errors=output.errors, closefd=False)


def _finish_output() -> None:
    """Exit with 1 if standard output does not take what was printed.

    That is said in a sentence, but not where nobody reads on, as in `hpsearch list | head -1`.
    """
    try:
        sys.stdout.flush()  # what could not be written is still in its buffer, and fails again
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # for the interpreter tries a last time
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            click.ClickException(f"standard output: {error.strerror}").show()
        raise SystemExit(1) from None
