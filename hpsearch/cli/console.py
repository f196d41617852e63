"""What a person sees in the terminal: the progress of a study, and tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from hpsearch.cli.hints import worded
from hpsearch.formatting import format_duration, format_value, printable

if TYPE_CHECKING:
    from hpsearch.analysis.tables import Table as PlainTable
    from hpsearch.execution.coordinator import OnProgress
    from hpsearch.execution.progress import Progress as StudyProgress

PLAIN_LINES = 10  # how many progress lines a study prints where there is no terminal


def quiet_optuna() -> None:
    """Show only Optuna's warnings."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def print_table(table: Table) -> None:
    """Print a table to stdout.

    In a terminal that is too narrow, a table of few rows is turned on its side; of another one the
    last columns are left out, and a note says which. No cell is cut.
    """
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    wanted = _width(console, table)
    if wanted <= console.width:
        console.print(table)
        return
    turned = _on_its_side(table)
    if _width(console, turned) <= console.width:
        console.print(turned)
        return
    left_out: list[str] = []
    while len(table.columns) > 2 and _width(console, table) > console.width:
        left_out.insert(0, str(table.columns.pop().header))
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
    note(f"For want of width without {', '.join(left_out)}; a wider terminal or --json has them.")


def _width(console: Console, table: Table) -> int:
    """Return how wide a table is without a line break in a cell."""
    return console.measure(table, options=console.options.update(width=10_000)).maximum


def _on_its_side(table: Table) -> Table:
    """Return a table with the columns as rows."""
    headings, *rows = zip(
        *([column.header, *column.cells] for column in table.columns), strict=True
    )
    first, *others = zip(headings, *rows, strict=True)
    turned = Table(box=None, pad_edge=False, header_style="bold")
    turned.add_column(first[0], style="bold")
    for heading in first[1:]:
        turned.add_column(heading, justify="right")
    for row in others:
        turned.add_row(*row)
    return turned


def text_table(
    first: str,
    headings: Iterable[str],
    rows: Iterable[Iterable[str]],
    text_headings: Sequence[str] = (),
    *,
    numbered: bool = False,
) -> Table:
    """Return a table of plain text.

    The first column is aligned to the left, `headings` to the right and `text_headings`, which come
    last, to the left. numbered: the first column holds numbers.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(printable(first)), justify="right" if numbered else "left")
    for heading in headings:
        table.add_column(Text(printable(heading)), justify="right")
    for heading in text_headings:
        table.add_column(Text(printable(heading)))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def drawn_table(table: PlainTable) -> Table:
    """Return a table as `text_table` draws it."""
    rows = ([cell.text for cell in row] for row in table.rows)
    end = len(table.headings) - table.text_columns
    first, *headings = table.headings[:end]
    return text_table(first, headings, rows, table.headings[end:])


def note(text: str) -> None:
    """Print something that is not data: on stderr."""
    click.echo(printable(worded(text)), err=True)


def say(text: str, *, nl: bool = True) -> None:
    """Print text on stdout that may contain names and labels of a user's."""
    click.echo(printable(text), nl=nl)


def status_line(progress: StudyProgress) -> str:
    """Return the progress of a study in one line."""
    parts = [f"round {progress.round}"] if progress.round else []
    parts.append(f"{progress.done}/{progress.total} trials")
    if progress.pruned:
        parts.append(f"{progress.pruned} pruned")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.best is not None:
        parts.append(f"best {format_value(progress.best)} (trial {progress.best_slot})")
    if progress.max_epochs and progress.running and progress.rate < 0.5:
        slot, epoch = next(iter(progress.running.items()))
        parts.append(f"trial {slot} at epoch {epoch}/{progress.max_epochs}")
    return " · ".join([*parts, *_pace(progress)])


def training_line(progress: StudyProgress) -> str:
    """Return the progress of an evaluation in one line."""
    return " · ".join([f"{progress.done}/{progress.total} {progress.unit}", *_pace(progress)])


def _pace(progress: StudyProgress) -> list[str]:
    """Return the speed and the time left, and whether MLflow is lost."""
    parts = []
    if progress.rate:
        parts.append(_rate(progress.rate))
        parts.append(f"{format_duration((progress.total - progress.done) / progress.rate)} left")
    if progress.untracked:
        parts.append("MLflow lost")
    return parts


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 0.5 else f"{60 * per_second:.1f}/min"


@contextmanager
def show_progress(
    describe: Callable[[StudyProgress], str] = status_line,
) -> Iterator[OnProgress]:
    """Yield a function that shows progress: a live line in a terminal, else a few lines.

    describe: returns the line.
    """
    if sys.stderr.isatty():
        with _live_line(describe) as draw:
            yield draw
    else:
        yield _plain_lines(describe)


@contextmanager
def _live_line(describe: Callable[[StudyProgress], str]) -> Iterator[OnProgress]:
    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("preparing", total=None)

        def draw(progress: StudyProgress) -> None:
            line = describe(progress)
            bar.update(task, total=progress.total, completed=progress.work_done, description=line)

        yield draw


def _plain_lines(describe: Callable[[StudyProgress], str]) -> OnProgress:
    printed, seen = -1, None

    def draw(progress: StudyProgress) -> None:
        nonlocal printed, seen
        if progress is not seen:  # another round or another part of an evaluation
            printed, seen = -1, progress
        tenth = PLAIN_LINES * progress.done // progress.total
        if tenth > printed and (progress.done > progress.started_with or printed < 0):
            printed = tenth
            note(describe(progress))

    return draw
