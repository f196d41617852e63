"""How a table is read: the keys of [data] about its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.formatting import unknown_name

TASKS, TEXTS, READINGS = ("auto", "classification", "regression"), ("refuse", "tfidf"), (1, 2)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What a table's columns are, as far as its reader says; raises ValueError.

    target: the column to predict, or several. task: a name in TASKS. drop: columns to leave out;
    id: those that only name the rows. text: what becomes of free text, a name in TEXTS.
    max_categories: words with more different values become means of the target. decimal and
    thousands: how a text file writes numbers. groups: the column whose equal values stay in one
    part. time: the column that says which rows are later. weight: the column of how much each row
    counts. more: files with further rows. validation, test: files with the validation and the test
    rows. All of them have the same columns. reading: 1 reads a table as version 0.1 did.
    """

    target: str | Sequence[str] | None = None
    task: str = "auto"
    drop: Sequence[str] = ()
    id: Sequence[str] = ()
    text: str = "refuse"
    max_categories: int = 20
    decimal: str = "."
    thousands: str | None = None
    groups: str | None = None
    time: str | None = None
    weight: str | None = None
    more: Sequence[str] = ()
    validation: str | None = None
    test: str | None = None
    reading: int = 2

    def __post_init__(self) -> None:
        for name, known in (("task", TASKS), ("text", TEXTS)):
            if getattr(self, name) not in known:
                raise ValueError(unknown_name(getattr(self, name), known, f"a {name}"))
        if self.reading not in READINGS:
            raise ValueError(f"reading must be 1 or 2, but got {self.reading!r}")
        if self.max_categories < 2:
            raise ValueError(f"max_categories must be at least 2, but got {self.max_categories}")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal cannot both be {self.decimal!r}")

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict; () if none is named."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that are no features, as the options say."""
        roles = (self.groups, self.weight)
        return (*self.drop, *self.id, *(name for name in roles if name is not None))

    def role_of(self, name: str) -> str:
        """Return why a column is left out: "groups", "weight", "dropped" or "id"."""
        if name in (self.groups, self.weight):
            return "groups" if name == self.groups else "weight"
        return "dropped" if name in self.drop else "id"
