"""Encode rows of another table for a network that was trained on one, by column names.

Errors name the column and the row (1 is the first row of data).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cells import plain_values
from hpsearch.data.columns import Column, encode, from_plain
from hpsearch.data.table import check_names
from hpsearch.formatting import counted

if TYPE_CHECKING:
    import pandas as pd


def features_of(x: Any, columns: Sequence[Any]) -> Any:
    """Return the features (n, d) of a pandas, Polars or Arrow table, and anything else unchanged.

    columns: as `as_plain` writes them. A table is also returned unchanged if its columns have
    numbers and no names, or if `columns` is empty. Warns of unknown categories; raises
    ValueError as `encode_rows` does.
    """
    if not columns or not hasattr(x, "columns"):
        return x
    frame = x.to_pandas() if hasattr(x, "to_pandas") else x
    if not any(isinstance(name, str | tuple) for name in frame.columns):
        return x
    known = from_plain(columns)
    try:
        features = encode_rows(frame, known)
    except ValueError as error:
        encoded = len(frame.columns) == sum(len(column.feature_names) for column in known)
        hint = "; pass features that are already encoded as an array" if encoded else ""
        raise ValueError(f"X: {error}{hint}") from error
    for sentence in unknown_categories(frame, known):
        warnings.warn(f"X: {sentence}", stacklevel=2)
    return features


def encode_rows(frame: pd.DataFrame, columns: Sequence[Column]) -> NDArray[np.float64]:
    """Return the encoded `columns` of a table, which may be in any order and among others.

    Raises ValueError, also if a column is missing or occurs twice, and if there are no rows.
    """
    if frame.columns.nlevels > 1:
        raise ValueError("has names of several levels, and the network was trained on plain ones")
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(f"has no column {missing[0]!r}{more}, which the network was trained on")
    known = {column.name for column in columns}
    check_names([name for name in frame.columns if name in known])
    if frame.empty:
        raise ValueError("has column names but no rows")
    return encode(frame, columns)


def unknown_categories(frame: pd.DataFrame, columns: Sequence[Column]) -> Iterator[str]:
    """Yield a sentence for each column of `frame` with a cell that training did not know."""
    for column in columns:
        yield from _gaps(frame[column.name], column)
        if found := column.unknown(frame[column.name]):
            row, word = found
            yield (
                f"column {column.name!r} holds {word!r} in row {row + 1}, which training did "
                "not know; it counts as none of the categories that it knew"
            )


def _gaps(values: pd.Series[Any], column: Column) -> Iterator[str]:
    """Yield a sentence if cells are empty, or no numbers, where training had values everywhere."""
    import pandas as pd

    absent = column.absent_rows(values)
    if not len(absent):
        return
    cell = plain_values(values).iloc[absent[0]]
    what = "is empty" if pd.isna(cell) else f"holds {str(cell)!r}"
    more = f" and {counted(len(absent) - 1, 'more row')}" if len(absent) > 1 else ""
    yield (
        f"column {column.name!r} {what} in row {absent[0] + 1}{more}, where training had a value "
        f"in every row; it counts as {column.instead}"
    )
