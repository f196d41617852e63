"""What a person sees: the progress of a study, and tables of trials."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from hpsearch.analysis.configurations import (
    HEADINGS,
    best_configurations,
    configuration_rows,
    seeds_of,
)
from hpsearch.analysis.ranking import (
    best_epoch,
    best_of_rounds,
    label_of,
    metric_title,
    searched_columns,
    searched_values,
)
from hpsearch.formatting import format_duration, format_value
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import Repeat, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.analysis.configurations import Configuration
    from hpsearch.analysis.tables import Table as PlainTable
    from hpsearch.execution.coordinator import OnProgress
    from hpsearch.execution.progress import Progress as StudyProgress

PLAIN_LINES = 10  # how many progress lines a study prints where there is no terminal


def print_table(table: Table) -> None:
    """Print a table to stdout, as wide as it needs to be where that is no terminal."""
    width = None if sys.stdout.isatty() else 200
    Console(width=width).print(table)


def text_table(
    first: str, headings: Iterable[str], rows: Iterable[Iterable[str]], last: str = ""
) -> Table:
    """Return a table of plain text: the first column to the left, the others to the right.

    last: the heading of one more at the left, if there is one.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    if last:
        table.add_column(last)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def drawn_table(table: PlainTable) -> Table:
    """Return a table as `text_table` draws it."""
    rows = ([cell.text for cell in row] for row in table.rows)
    return text_table(table.headings[0], table.headings[1:], rows)


def note(text: str) -> None:
    """Say something beside the data: on stderr."""
    click.echo(text, err=True)


def best_table(rounds: Sequence[Study], top: int) -> Table | None:
    """Return the best trials of a study or its rounds; with repeats, the best configurations."""
    heading = metric_title(rounds[0])
    if seeds_of(rounds[0]) > 1:
        return _configuration_table(best_configurations(rounds[0], top), heading)
    best = best_of_rounds(rounds, top)
    titles = [f"{study.study_name}#{slot_of(trial)}" for study, trial in best]
    return _trial_table([t for _, t in best], heading, titles if len(rounds) > 1 else [])


def _configuration_table(best: Sequence[Configuration], metric: str) -> Table | None:
    rows = configuration_rows(best, metric)
    return text_table("configuration", (metric, *HEADINGS), rows) if best else None


def _trial_table(
    trials: Sequence[FrozenTrial], metric: str, titles: Sequence[str | None]
) -> Table | None:
    """Return the trials as a table, in their order; a title stands in for the slot."""
    names, rows = searched_columns(trials), []
    labelled = any(map(label_of, trials))
    for trial, title in zip_longest(trials, titles):
        values, curves = searched_values(trial), Curves.of(trial)
        cells = [trial.value, best_epoch(trial) or "", len(curves)]
        cells += [values.get(name, "") for name in names]
        cells += [label_of(trial)] if labelled else []
        rows.append([title or str(slot_of(trial)), *map(format_value, cells)])
    headings, last = (metric, "at epoch", "epochs", *names), "label" if labelled else ""
    return text_table("trial", headings, rows, last) if trials else None


def status_line(progress: StudyProgress) -> str:
    """Return how a study is doing, in one line."""
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
    """Return how far an evaluation is, in one line."""
    what = Repeat.of(progress.slots[0]).plural
    return " · ".join([f"{progress.done}/{progress.total} {what}", *_pace(progress)])


def _pace(progress: StudyProgress) -> list[str]:
    """Return what a line says of the speed and of what is left."""
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
    """Draw a live line on stderr if that is a terminal, else print a line now and then.

    describe: what the line says.
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
        if progress is not seen:  # the next round, say
            printed, seen = -1, progress
        tenth = PLAIN_LINES * progress.done // progress.total
        if tenth > printed and (progress.done > progress.started_with or printed < 0):
            printed = tenth
            note(describe(progress))

    return draw
