"""Tables as data: texts, and the numbers behind them. Terminals and pages draw them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpsearch.formatting import format_value
from hpsearch.space.ranges import shape_name


@dataclass(frozen=True)
class Cell:
    """A text, and the number to sort it by where it is one."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Table:
    """Headings and rows."""

    headings: list[str]
    rows: list[list[Cell]]
    text_columns: int = 0  # this many columns at the right hold text, and are aligned to the left

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers alone, and stands at the right."""
        cells = [row[column] for row in self.rows if row[column].text]
        return bool(cells) and all(cell.number is not None for cell in cells)


def cell(value: object) -> Cell:
    """Return a value as a table shows it: nothing for None, a shape as 100-50."""
    if value is None:
        return Cell("")
    if isinstance(value, list | tuple):
        return Cell(shape_name(tuple(value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(format_value(value), float(value) if math.isfinite(value) else None)
    return Cell(format_value(value))


def fixed(value: float | None, how: str = ".4f") -> Cell:
    """Return a score with as many places as those above and below it."""
    return Cell("") if value is None else Cell(f"{value:{how}}", value)
