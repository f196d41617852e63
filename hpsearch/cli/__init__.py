"""The command line: each command parses, calls one method of the workspace, and prints."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from hpsearch import __version__
from hpsearch.errors import HpsearchError
from hpsearch.execution.engines.forkserver import ENVIRONMENT
from hpsearch.formatting import printable

COMMANDS = {
    "best": ("show", "Show the best trials of study NAME."),
    "check": ("check", "Try the model of the study in FILE for a few epochs."),
    "compact": ("manage", "Make the journal of study NAME smaller, so that it opens faster."),
    "compare": ("compare", "Compare studies: what each found, and after how many epochs."),
    "delete": ("manage", "Delete study NAME with its trials, and its runs in MLflow."),
    "evaluate": ("evaluate", "Train the best of study NAME again, and test the winner once."),
    "export": ("export", "Write the winner of study NAME to a file or to MLflow."),
    "figures": ("figures", "Draw the figures of study NAME."),
    "init": ("init", "Write a study file and a small model to start from."),
    "list": ("show", "List the studies in the storage."),
    "look": ("look", "Show what a study would make of a table; nothing is trained."),
    "narrow": ("narrow", "Print the study file of a search around the best of study NAME."),
    "predict": ("export", "Print the class, or the number, of each row of DATA."),
    "report": ("report", "Write a page of HTML about study NAME."),
    "score": ("export", "Score a network on the labelled rows of DATA."),
    "serve": ("serve", "Start the service: a page and an API for studies, until Ctrl-C."),
    "show": ("show", "Show study NAME, or one of its trials."),
    "stop": ("manage", "Ask whoever runs study NAME to stop, wherever that is."),
    "storage": ("manage", "Copy studies from one storage to another."),
    "study": ("study", "Run the study in FILE, or continue it."),
    "sync": ("manage", "Write the MLflow runs of study NAME that are missing."),
    "token": ("token", "Make a token for a person or a program that uses the service."),
    "ui": ("ui", "Open MLflow's pages on study NAME, or on all studies."),
}
"""Each command's module, and its help in one line; the module is imported when it is used."""


class Commands(click.Group):
    """The commands of COMMANDS; an error of hpsearch ends one with a sentence and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"hpsearch.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        from hpsearch.cli.hints import worded, worded_warnings

        try:
            with worded_warnings():
                return super().invoke(ctx)
        except HpsearchError as error:
            raise click.ClickException(printable(worded(error))) from error
        except ModuleNotFoundError as error:
            if not (package := _needed_package(error)):
                raise
            raise click.ClickException(
                f"this command needs {package}, which is not installed; `pip install hpsearch` "
                "installs everything that hpsearch needs"
            ) from error
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None


def _needed_package(error: ModuleNotFoundError) -> str:
    """Return the package of a missing module if hpsearch depends on it, else ""."""
    from importlib.metadata import PackageNotFoundError, requires

    module = (error.name or "").partition(".")[0]
    package = {"sklearn": "scikit-learn"}.get(module, module)
    needed: list[str] = []
    with suppress(PackageNotFoundError):
        needed = [each for each in requires("hpsearch") or () if "extra ==" not in each]
    return package if package in {re.split(r"[^\w-]", each)[0] for each in needed} else ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpsearch")
def cli() -> None:
    """Search hyperparameters, and see every trial in MLflow.

    \b
    hpsearch study --sampler random     100 trials on the digits that come with it
    hpsearch study my-study.toml        a study of your own
    hpsearch study data.csv --target y  a table of your own
    hpsearch ui                         look at the trials in MLflow
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def main() -> None:
    """Run the command line; the console script."""
    sys.stdout = output = _standard_output()
    try:
        cli(prog_name="hpsearch")
    finally:
        gc.freeze()  # saves a second: at exit the interpreter does not collect every object
        _finish_output(output)


class _Output(io.TextIOWrapper):
    """Standard output, buffered also under PYTHONUNBUFFERED; it remembers why a write failed."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        with self._remembering():
            super().flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


def _standard_output() -> _Output:
    output = sys.stdout
    if output is None:  # it was closed from the start
        return _Output(open(os.devnull, "wb"))
    binary = os.fdopen(output.fileno(), "wb", closefd=False)
    lines = output.isatty()
    # A letter that the encoding of an old terminal or of a log lacks is shown as a code.
    return _Output(binary, output.encoding, "backslashreplace", line_buffering=lines)


def _finish_output(output: _Output) -> None:
    """Exit with 1 if standard output could not take what was printed.

    It prints why, unless the reader has just stopped reading, as in `hpsearch list | head -1`.
    """
    try:
        output.flush()
        if output.error is not None:
            raise output.error
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # the interpreter tries a last time
            os.dup2(nowhere.fileno(), output.fileno())
        if not isinstance(error, BrokenPipeError):
            click.ClickException(f"standard output: {error.strerror}").show()
        raise SystemExit(1) from None
