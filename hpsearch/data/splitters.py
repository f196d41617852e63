"""Ways to hold rows out: at random, by groups, along time, or in the order of the rows.

Each has scikit-learn's splitters underneath, and the same two methods. Rows are numbers of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.raw import Indices

HELD_OUT = 0.2  # share of all rows for the test part, and of the others for validation
ONE_OF = 5  # groups are dealt into so many parts, one of which is held out

Pair = tuple[Indices, Indices]  # rows to keep, and rows to hold out


class Splitter(Protocol):
    """Divides rows into those that are kept and those that are held out."""

    def hold_out(self, rows: Indices, seed: int) -> Pair:
        """Return the rows to keep, and about HELD_OUT of all to hold out; raises ValueError."""

    def folds(self, rows: Indices, number: int, seed: int) -> Iterator[Pair]:
        """Yield the pair of each fold; raises ValueError if there are too few rows."""


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Rows at random. classes: of all rows (n,), which are kept in proportion; None of numbers."""

    classes: Indices | None

    def hold_out(self, rows: Indices, seed: int) -> Pair:
        from sklearn.model_selection import train_test_split

        stratify = None if self.classes is None else self.classes[rows]
        kept, held_out = train_test_split(
            rows, test_size=HELD_OUT, stratify=stratify, random_state=seed
        )
        return kept, held_out

    def folds(self, rows: Indices, number: int, seed: int) -> Iterator[Pair]:
        from sklearn.model_selection import KFold, StratifiedKFold

        kind = KFold if self.classes is None else StratifiedKFold
        y = None if self.classes is None else self.classes[rows]
        for kept, held_out in kind(number, shuffle=True, random_state=seed).split(rows, y):
            yield rows[kept], rows[held_out]


@dataclass(frozen=True, eq=False)
class Grouped:
    """Groups at random: all rows of a group are on the same side.

    groups: the number of the group of each row (n,). classes: of all rows (n,), which are kept in
    proportion as far as the groups allow; None of numbers. column: what has the groups.
    """

    groups: Indices
    classes: Indices | None
    column: str

    def hold_out(self, rows: Indices, seed: int) -> Pair:
        number = min(ONE_OF, len(np.unique(self.groups[rows])))
        return next(self.folds(rows, number, seed))

    def folds(self, rows: Indices, number: int, seed: int) -> Iterator[Pair]:
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        groups = self.groups[rows]
        if (found := len(np.unique(groups))) < max(number, 2):
            raise ValueError(
                f"groups: {len(rows):,} rows have {found} different {self.column!r}, too few for "
                f"{max(number, 2)} folds; leave groups out or take fewer folds"
            )
        kind, y = GroupKFold, None
        if self.classes is not None:
            kind, y = StratifiedGroupKFold, self.classes[rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of rare classes, which are checked later
            pairs = list(kind(number, shuffle=True, random_state=seed).split(rows, y, groups))
        for kept, held_out in pairs:
            yield rows[kept], rows[held_out]


@dataclass(frozen=True, eq=False)
class Chronological:
    """Later rows are held out, and rows of the same time stay together.

    times: of all rows (n,), in any unit. column: what has the times.
    """

    times: NDArray[np.float64]
    column: str

    def hold_out(self, rows: Indices, seed: int) -> Pair:  # noqa: ARG002
        ordered = rows[np.argsort(self.times[rows], kind="stable")]
        (cut,) = self._cuts(ordered, [1 - HELD_OUT])
        return ordered[:cut], ordered[cut:]

    def folds(self, rows: Indices, number: int, seed: int) -> Iterator[Pair]:  # noqa: ARG002
        """Yield rows up to a time and those of the next stretch, as TimeSeriesSplit does."""
        ordered = rows[np.argsort(self.times[rows], kind="stable")]
        starts = self._cuts(ordered, [n / (number + 1) for n in range(1, number + 1)])
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            yield ordered[:start], ordered[start:end]

    def _cuts(self, ordered: Indices, shares: list[float]) -> list[int]:
        """Return the positions nearest to the shares at which the time changes."""
        times = self.times[ordered]
        changes = np.flatnonzero(times[1:] != times[:-1]) + 1
        wanted = [share * len(ordered) for share in shares]
        cuts = [int(changes[np.abs(changes - each).argmin()]) for each in wanted if len(changes)]
        if len(set(cuts)) < len(shares):
            raise ValueError(
                f"time: {len(ordered):,} rows have {len(changes) + 1} different {self.column!r}, "
                f"too few to cut them into {len(shares) + 1} parts"
            )
        return cuts


class Unshuffled:
    """Rows in their order: the last are held out, and folds are blocks."""

    def hold_out(self, rows: Indices, seed: int) -> Pair:  # noqa: ARG002
        from sklearn.model_selection import train_test_split

        kept, held_out = train_test_split(rows, test_size=HELD_OUT, shuffle=False)
        return kept, held_out

    def folds(self, rows: Indices, number: int, seed: int) -> Iterator[Pair]:  # noqa: ARG002
        from sklearn.model_selection import KFold

        for kept, held_out in KFold(number).split(rows):
            yield rows[kept], rows[held_out]
