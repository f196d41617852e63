"""Sentences as the command line prints them: the commands in them can be copied as they are.

A command that is printed gets the options --storage and --tracking-uri that this one was given, if
it takes them.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hpsearch.errors import Command, HpsearchError, Sentence, for_command_line
from hpsearch.formatting import printable

SAME_SECONDS = 15.0
GIVEN = "hpsearch.cli.hints"  # where click keeps the options that printed commands repeat


def keep_for_hints(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Return `value`; the callback of an option that printed commands repeat."""
    if value is not None:
        context.meta.setdefault(GIVEN, {})[option.name] = (option.opts[0], value)
    return value


def command_line(command: Command) -> str:
    """Return `command` with the options that it takes and that the running one was given.

    Passwords become ***.
    """
    context = click.get_current_context(silent=True)
    given = context.meta.get(GIVEN) if context else None
    if context is None or not given:
        return str(command)
    from hpsearch.storage.open import redact

    group = context.find_root().command
    known = group.get_command(context, command.name) if isinstance(group, click.Group) else None
    taken = {option.name for option in known.params} if known else set()
    options = [(name, redact(uri)) for key, (name, uri) in given.items() if key in taken]
    return str(command.with_options(*(word for option in options for word in option)))


def worded(text: object) -> str:
    """Return a sentence or an error as the command line prints it."""
    match text:
        case HpsearchError():
            return for_command_line(text.args, command_line)
        case Sentence():
            return for_command_line(text.parts, command_line)
        case Command():
            return command_line(text)
    return str(text)


@contextmanager
def worded_warnings() -> Iterator[None]:
    """Print what hpsearch logs while the block runs on stderr, worded for the command line."""
    logger, handler = logging.getLogger("hpsearch"), _Warnings()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    """Prints warnings; one that two processes give about the same thing is printed once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        record = copy.copy(record)
        if isinstance(record.args, tuple):
            kinds = (HpsearchError, Sentence, Command)
            record.args = tuple(worded(a) if isinstance(a, kinds) else a for a in record.args)
        text, last = self.format(record), self._printed.get(record.getMessage(), -math.inf)
        self._printed[record.getMessage()] = record.created
        if record.created - last > SAME_SECONDS:
            click.echo(printable(text), err=True)
