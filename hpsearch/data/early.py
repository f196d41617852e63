"""Tables as version 0.1 read them, for the studies that it began.

They continue with the same features: complete numbers, and words of the whole table. Errors name
the column and the row (1 is the first row of data), but not the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.cells import as_text, holds_dates, is_number, strangest
from hpsearch.data.columns import Column, early_column, encode
from hpsearch.data.labels import blanks, encode_labels, encode_written
from hpsearch.data.raw import RawData

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 20


def build_raw_data(frame: pd.DataFrame, target: str, *, written: bool = False) -> RawData:
    """Return a table's data, checked: column `target` as labels, all others as features.

    written: whether the labels are words that may spell numbers, as in a .csv file. Classes are
    called as they are written, and those that are numbers are sorted as such.
    """
    features = [name for name in frame.columns if name != target]
    if not features:
        raise ValueError(f"has no column but the target {target!r}; features are needed as well")
    if frame.empty:
        raise ValueError("has column names but no rows")
    what = f"target {target!r}"
    early: tuple[str, ...] = ()
    if written:
        y, class_names, early = encode_written(frame[target], what)
    else:
        y, class_names = encode_labels(frame[target], what)
    columns = tuple(describe_column(name, frame[name]) for name in features)
    x = encode(frame, columns)
    raw = RawData(x, y, columns, class_names, (target,), early_names=early)
    return replace(raw, notes=(*blanks(what, class_names), *_feature_notes(raw)))


def describe_column(name: str, values: pd.Series[Any]) -> Column:
    """Return how a feature column becomes numbers; refuse a column that cannot."""
    if holds_dates(values):
        raise ValueError(f"column {name!r} holds dates; drop it or turn it into numbers")
    if is_number(values):
        return early_column(name, ())
    text = as_text(name, values)
    categories = sorted(set(text))
    if len(categories) > MAX_CATEGORIES:
        row = strangest(text)
        raise ValueError(
            f"column {name!r} is text ({text[row]!r} in row {row + 1}) with {len(categories)} "
            f"different values, and at most {MAX_CATEGORIES} can be encoded; "
            "drop it or turn it into numbers"
        )
    return early_column(name, categories)


def _feature_notes(raw: RawData) -> Iterator[str]:
    """Yield a sentence for each column that may not be what it seems."""
    for column in raw.columns:
        yield from blanks(f"column {column.name!r}", getattr(column, "categories", ()))
    last = len(raw.x) - 1
    for feature in np.flatnonzero(raw.x[last] - raw.x[0] == last) if last > 1 else ():
        if (np.diff(raw.x[:, feature]) == 1).all():
            yield (
                f"column {raw.feature_names[feature]!r} only numbers the rows, and is learned from "
                "like any other; drop it if it is no feature"
            )
