"""Encode rows of another table for a network that was trained on one, by column names.

Errors name the column and the row (1 is the first row of data).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.cells import plain_values
from model.columns import Column, check_names, encode

if TYPE_CHECKING:
    import pandas as pd


def features_of(x: Any, columns: Sequence[Column]) -> Any:
    """Return the features (n, d) of a pandas, Polars or Arrow table, and anything else unchanged.

    A table is also returned unchanged if its columns have numbers and no names, or if `columns` is
    empty. Warns of unknown categories; raises ValueError as `encode_rows` does.
    """
    if not columns or not hasattr(x, "columns"):
        return x
    frame = x.to_pandas() if hasattr(x, "to_pandas") else x
    if not any(isinstance(name, str | tuple) for name in frame.columns):
        return x
    try:
        features = encode_rows(frame, columns)
    except ValueError as error:
        encoded = len(frame.columns) == sum(len(column.feature_names) for column in columns)
        hint = "; pass features that are already encoded as an array" if encoded else ""
        raise ValueError(f"X: {error}{hint}") from error
    for sentence in unknown_categories(frame, columns, features):
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


def unknown_categories(
    frame: pd.DataFrame, columns: Sequence[Column], x: NDArray[np.float64]
) -> Iterator[str]:
    """Yield a sentence for each column of `frame` (encoded as `x`) with an unknown category."""
    start = 0
    for column in columns:
        end = start + len(column.feature_names)
        if column.categories and len(rows := np.flatnonzero(~x[:, start:end].any(axis=1))):
            value = str(plain_values(frame[column.name]).iloc[rows[0]])
            yield (
                f"column {column.name!r} holds {value!r} in row {rows[0] + 1}, which training did "
                "not know; it counts as none of the categories that it knew"
            )
        start = end
