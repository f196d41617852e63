"""Tables in memory: written to a file once, so that a study reads them as any other.

The file is named after its rows. Worker processes, a study that is continued tomorrow, and the
command line find it there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.table import check_names, digest_of
from hpsearch.errors import DataError
from hpsearch.files import written_whole

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path("hpsearch-data")  # in the working directory
LABELS = "target"  # what labels without a name are called
DIGITS = 8  # of the digest, in the file's name


@dataclass(frozen=True)
class WrittenTable:
    """A table in a file. targets: the columns with the labels, () where these are not known."""

    source: str
    targets: tuple[str, ...] = ()


def is_in_memory(data: object) -> bool:
    """Return whether `data` is a table, or features and labels, and no path."""
    return not isinstance(data, str) and not hasattr(data, "__fspath__")


def write_table(data: Any, name: str = "table") -> WrittenTable:
    """Write a table to hpsearch-data/NAME-DIGEST.parquet, unless it is there; raise DataError.

    data: a table of pandas, or one that has `to_pandas`, as those of Polars and Arrow; or a pair
    (X, y) of features, a table or (n, d), and labels, (n,) or (n, k). An index is left out. Columns
    of an array are called x0, x1, …, and labels without a name `target`.
    """
    try:
        frame, targets = _frame_of(data)
        frame = _writable(frame)
        path = FOLDER / f"{name}-{digest_of(frame)[:DIGITS]}.parquet"
    except ValueError as error:
        raise DataError(f"data: {error}") from error
    try:
        if not path.exists():
            FOLDER.mkdir(exist_ok=True)
            with written_whole(path) as file, _without_deprecations():
                frame.to_parquet(file, index=False)
    except OSError as error:
        raise DataError(f"data: cannot be written to {path}: {error.strerror}") from error
    return WrittenTable(str(path), targets)


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """Keep quiet about what PyArrow calls of pandas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _frame_of(data: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a copy of the table, and which of its columns are labels."""
    if not isinstance(data, tuple):
        table = _table(data)
        if table is None:
            raise ValueError(
                f"must be a table with columns, or a pair (X, y), but got {type(data).__name__}"
            )
        return _named(table, "x"), ()
    if len(data) != 2:
        raise ValueError(f"must be a table, or a pair (X, y), but got a tuple of {len(data)}")
    x, y = (_features(data[0]), _labels(data[1]))
    if len(x) != len(y):
        raise ValueError(f"X has {len(x):,} rows and y has {len(y):,}; they must have as many")
    for name in y.columns:
        if name in x.columns:
            raise ValueError(f"X and y both have a column {name!r}; rename it, or drop it from X")
    return x.join(y), tuple(y.columns)


def _table(data: Any) -> pd.DataFrame | None:
    """Return a table of pandas, Polars or Arrow as one of pandas, None for anything else."""
    import pandas as pd

    if hasattr(data, "columns") and hasattr(data, "to_pandas"):
        data = data.to_pandas()
    return data if isinstance(data, pd.DataFrame) else None


def _features(x: Any) -> pd.DataFrame:
    import pandas as pd

    table = _table(x)
    if table is not None:
        return _named(table, "x")
    array = _array(x, "X")
    if array.ndim != 2:
        raise ValueError(f"X must have rows and columns, but its shape is {array.shape}")
    return pd.DataFrame(array, columns=[f"x{number}" for number in range(array.shape[1])])


def _labels(y: Any) -> pd.DataFrame:
    import pandas as pd

    table = _table(y)
    if table is not None:
        return _named(table, LABELS)
    values = y.to_pandas() if hasattr(y, "to_pandas") else y
    if isinstance(values, pd.Series):
        name = LABELS if values.name is None else str(values.name)
        return pd.DataFrame({name: values.reset_index(drop=True)})
    array = _array(values, "y")
    if array.ndim == 1:
        return pd.DataFrame({LABELS: array})
    if array.ndim != 2:
        raise ValueError(f"y must have one label a row, or several, but its shape is {array.shape}")
    names = [LABELS] if array.shape[1] == 1 else [f"{LABELS}{n}" for n in range(array.shape[1])]
    return pd.DataFrame(array, columns=names)


def _array(values: Any, what: str) -> np.ndarray[Any, np.dtype[Any]]:
    if hasattr(values, "toarray"):
        raise ValueError(f"{what} is sparse, and a table is not; give {what}.toarray()")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{what} has rows of different lengths") from error


def _named(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Return the table with text as names and without its index; refuse names that occur twice."""
    import pandas as pd

    if table.columns.nlevels > 1:
        raise ValueError("has names of several levels; give each column one name")
    numbered = isinstance(table.columns, pd.RangeIndex)
    names = [f"{prefix}{name}" if numbered else str(name) for name in table.columns]
    named = table.reset_index(drop=True)
    named.columns = pd.Index(check_names(names))
    return named


def _writable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a .parquet file can hold it; raise ValueError, which names all others."""
    import pandas as pd

    if frame.empty:
        raise ValueError("has no rows" if len(frame.columns) else "has no columns")
    columns = {}
    for name, values in frame.items():
        if isinstance(values.dtype, pd.SparseDtype):
            values = pd.Series(np.asarray(values), name=name)
        columns[name] = values.astype(np.float32) if values.dtype == np.float16 else values
    if odd := [*_unwritable(columns)]:
        raise ValueError(
            f"{'column' if len(odd) == 1 else 'columns'} {', '.join(odd)} cannot be kept in a "
            "file; make each of them numbers, or text with astype(str)"
        )
    return pd.DataFrame(columns)


def _unwritable(columns: dict[Any, pd.Series[Any]]) -> Iterator[str]:
    """Yield the columns that a .parquet file cannot hold, with what they hold."""
    import pyarrow  # type: ignore[import-untyped]

    for name, values in columns.items():
        if values.dtype.kind == "c":
            yield f"{name!r} (complex numbers)"
            continue
        try:
            with _without_deprecations():
                pyarrow.Table.from_pandas(values.to_frame())
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            kinds = sorted({type(value).__name__ for value in values.dropna()})
            yield f"{name!r} ({', '.join(kinds)})"
