"""Tables as data: texts, and the numbers to sort by. The terminal and the report render them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.analysis.ranking import searched_columns, searched_values
from hpsearch.formatting import format_value
from hpsearch.space.ranges import shape_name
from hpsearch.trials.records import label_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Column = tuple[str, Sequence[object]]  # a heading, and a value for each row


@dataclass(frozen=True)
class Cell:
    """A text, and the number to sort by if the text stands for one."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Table:
    """Headings and rows."""

    headings: list[str]
    rows: list[list[Cell]]
    text_columns: int = 0  # how many of the last columns hold text and are left-aligned

    @classmethod
    def of(cls, columns: Iterable[Column], text_columns: int = 0) -> Table:
        """Return a table of columns of equal length; several may have the same heading."""
        headings, values = zip(*columns, strict=True)
        rows = [[cell(value) for value in row] for row in zip(*values, strict=True)]
        return cls(list(headings), rows, text_columns)

    def as_text(self) -> str:
        """Return the table as lines of text: the first column and text to the left."""
        lines = [self.headings, *([cell.text for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = {0, *range(len(widths) - self.text_columns, len(widths))}
        rows = (
            (f"{text:{'<' if n in left else '>'}{widths[n]}}" for n, text in enumerate(line))
            for line in lines
        )
        return "\n".join("  ".join(row).rstrip() for row in rows)

    def numeric(self, column: int) -> bool:
        """Whether a column holds only numbers, and so is right-aligned."""
        cells = [row[column] for row in self.rows if row[column].text]
        return bool(cells) and all(cell.number is not None for cell in cells)


def cell(value: object) -> Cell:
    """Return a value as a table shows it: empty for None, a shape as 100-50."""
    if value is None:
        return Cell("")
    if isinstance(value, list | tuple):
        return Cell(shape_name(tuple(value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(format_value(value), float(value) if math.isfinite(value) else None)
    return Cell(format_value(value))


def parameter_columns(trials: Sequence[FrozenTrial]) -> list[Column]:
    """Return a column for each parameter that any of the trials sampled, except epochs."""
    sampled = [searched_values(trial) for trial in trials]
    for values in sampled:  # a choice may be None, which is not the same as a missing parameter
        values.update({name: str(value) for name, value in values.items() if value is None})
    names = searched_columns(trials)
    return [(name, [values.get(name) for values in sampled]) for name in names]


def label_column(trials: Sequence[FrozenTrial]) -> list[Column]:
    """Return a column of labels, or no column if no trial has one."""
    labels = [label_of(trial) for trial in trials]
    return [("label", labels)] if any(labels) else []


def fixed(value: float | None, spec: str = ".4f") -> Cell:
    """Return a score with a fixed number of decimals, so that a column of them lines up."""
    return Cell("") if value is None else Cell(f"{value:{spec}}", value)
