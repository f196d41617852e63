"""A table as people have it: what its columns are, and the features of its rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cells import (
    as_dates,
    as_numbers,
    check_complete,
    holds_dates,
    plain_values,
)
from hpsearch.data.columns import KINDS, check_finite, encode
from hpsearch.data.kinds import Kind, kinds_of, notes_on, used
from hpsearch.data.labels import read_labels
from hpsearch.data.options import TableOptions
from hpsearch.data.raw import Indices, Prepared, RawData, task_of
from hpsearch.formatting import counted, unknown_name

if TYPE_CHECKING:
    import pandas as pd

MAX_LISTED = 20  # column names in an error message


@dataclass(frozen=True, eq=False)
class TableData:
    """A table without its targets, and what is to be predicted; see `RawData`.

    frame: the columns as they were read, with the numbers of the rows as its index. groups: the
    number of each row's group (n,), times: when each row was (n,), weights: how much each row
    counts (n,); None where no column says it.
    """

    frame: pd.DataFrame
    y: NDArray[Any]
    class_names: tuple[str, ...]
    target_names: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    options: TableOptions
    digest: str
    n_val: int = 0
    n_test: int = 0
    groups: Indices | None = None
    times: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """What the labels are for; see `task_of`."""
        return task_of(self.class_names, self.y)

    def kinds(self, train: Indices) -> list[Kind]:
        """Return what each column is taken for, as the rows `train` have it."""
        return kinds_of(self.frame.iloc[train], self.options)

    def prepare(self, train: Indices) -> Prepared:
        """Return the features as they are fitted on the rows `train`; raises ValueError."""
        kinds, frame, y = self.kinds(train), self.frame.iloc[train], self.y[train]
        fitted = [
            KINDS[kind.kind].fitted(kind.name, frame[kind.name], y, self.class_names)
            for kind in used(kinds)
        ]
        columns = [column for column, _ in fitted]
        x_train = np.concatenate([block for _, block in fitted], axis=1)
        check_finite(x_train, [name for column in columns for name in column.feature_names])
        return Prepared(
            tuple(columns),
            x_train,
            lambda rows: encode(self.frame.iloc[rows], columns),
            notes_on(kinds),
        )

    def as_read(self, rows: Indices) -> pd.DataFrame:
        """Return rows of the columns that become features, as they were read."""
        used = [kind.name for kind in self.kinds(np.arange(len(self.frame))) if kind.used]
        return self.frame.loc[rows, used]


Source = RawData | TableData


def build_table(
    frame: pd.DataFrame,
    options: TableOptions,
    *,
    written: bool = False,
    n_val: int = 0,
    n_test: int = 0,
) -> TableData:
    """Return a table's data, checked; raises ValueError.

    written: whether the targets are the text of a file. n_val, n_test: how many of the last rows
    are validation rows of their own, and a test set of their own.
    """
    import pandas as pd

    frame.columns = pd.Index(check_names([str(name) for name in frame.columns]))
    names = list(frame.columns)
    targets = [check_column(name, names) for name in options.targets or (None,)]
    roles = [*options.left_out, *([] if options.time is None else [options.time])]
    for name in roles:
        check_column(name, names)
    if both := set(targets).intersection(roles):
        raise ValueError(f"column {min(both)!r} is the target, and can be nothing else")
    features = [name for name in names if name not in targets]
    if not features:
        raise ValueError(
            f"has no column but the target {targets[0]!r}; features are needed as well"
        )
    if frame.empty:
        raise ValueError("has column names but no rows")
    frame, kept, notes = _with_labels(frame, targets)
    end = len(kept) - n_test
    n_val, n_test = int(kept[end - n_val : end].sum()), int(kept[end:].sum())
    labels = read_labels(frame, targets, options.task, written=written)
    return TableData(
        frame=frame[features],
        y=labels.y,
        class_names=labels.class_names,
        target_names=labels.targets,
        words=labels.words,
        options=options,
        digest=digest_of(frame),
        n_val=n_val,
        n_test=n_test,
        groups=None if options.groups is None else _numbered(frame[options.groups]),
        times=None if options.time is None else _times(frame[options.time]),
        weights=None if options.weight is None else weights_of(frame[options.weight]),
        notes=(*notes, *labels.notes),
    )


def check_names(names: Sequence[str]) -> list[str]:
    """Return the names, with one for each column that has none; refuse one that occurs twice."""
    given = [name if name.strip() else f"column {n}" for n, name in enumerate(names, start=1)]
    for name, count in Counter(given).items():
        if count > 1:
            raise ValueError(f"{count} columns are named {name!r}; rename them or keep one")
    return given


def check_column(name: str | None, names: Sequence[str]) -> str:
    """Return the name of a column; refuse None and a name that is not one of `names`."""
    listed = names if len(names) <= MAX_LISTED else [*names[:MAX_LISTED], "…"]
    if name is None:
        raise ValueError(f"target must name the column of the labels ({', '.join(listed)})")
    if name not in names:
        near = [] if names is listed else get_close_matches(name, names, n=1)
        raise ValueError(unknown_name(name, [*near, *listed], "a column"))
    return name


def _with_labels(
    frame: pd.DataFrame, targets: Sequence[str]
) -> tuple[pd.DataFrame, NDArray[np.bool_], list[str]]:
    """Return the rows that have all labels, a mask (n,) of them, and a note if some have none."""
    kept = np.ones(len(frame), bool)
    for name in targets:
        kept &= plain_values(frame[name]).notna().to_numpy()
    if not kept.any():
        raise ValueError(f"target {targets[0]!r} is empty in every row")
    left = len(kept) - int(kept.sum())
    note = f"{counted(left, 'row')} without a value of {' or '.join(map(repr, targets))} left out"
    return frame[kept].reset_index(drop=True), kept, [note] if left else []


def _numbered(values: pd.Series[Any]) -> Indices:
    """Return a number for each group (n,), equal where the cells are; raises ValueError."""
    import pandas as pd

    plain = plain_values(values)
    check_complete(plain, f"groups: column {values.name!r}")
    return pd.factorize(plain)[0].astype(np.intp)


def _times(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Return when each row was (n,), from dates or numbers; raises ValueError."""
    what = f"time: column {values.name!r}"
    if holds_dates(plain_values(values)):
        dates, _ = as_dates(values)
        check_complete(dates, what)
        return dates.to_numpy("datetime64[us]").astype(np.float64)
    numbers = as_numbers(values)
    odd = (numbers.isna() & plain_values(values).notna().to_numpy()).to_numpy()
    if odd.any():
        row = int(odd.argmax())
        cell = str(values.iloc[row])
        raise ValueError(f"{what} holds {cell!r} in row {row + 1}, which is no date and no number")
    check_complete(numbers, what)
    return numbers.to_numpy(np.float64)


def weights_of(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Return how much each row counts (n,), from a column of numbers; raises ValueError."""
    import pandas as pd

    weights = as_numbers(values).to_numpy(np.float64)
    wrong = ~((weights >= 0) & np.isfinite(weights))
    if wrong.any():
        row = int(wrong.argmax())
        cell = plain_values(values).iloc[row]
        what = "is empty" if pd.isna(cell) else f"holds {str(cell)!r}"
        raise ValueError(
            f"weight: column {values.name!r} {what} in row {row + 1}, and a weight is a number of "
            "at least 0"
        )
    return weights


def digest_of(table: pd.DataFrame) -> str:
    """Return the SHA-256 of a table as it was read, shortened to 32 hex digits."""
    import pandas as pd

    found = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    found.update(pd.util.hash_pandas_object(_hashable(table), index=False).to_numpy().tobytes())
    return found.hexdigest()[:32]


def _hashable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with cells such as lists, which have no hash, as text."""
    odd = {
        name: column.map(repr)
        for name, column in table.items()
        if column.dtype == object and not column.map(type).isin([str, float, int, bool]).all()
    }
    return table.assign(**{str(name): column for name, column in odd.items()}) if odd else table
