"""Turn a table's columns into numbers: labels into class indices, features into floats.

Errors name the column and the row (1 is the first row of data) but not the file: the code that
reads the file adds its name. Pandas and scikit-learn are imported inside the functions, so that
`import model.data` stays fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.cells import (
    alike_but_for_blanks,
    as_text,
    check_complete,
    holds_dates,
    is_number,
    known_words,
    missing,
    numbers_in,
    plain_values,
    strangest,
)
from model.names import unknown_name

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 20
MAX_LISTED = 20  # column names in an error message
FLOAT32_MAX = np.float64(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A feature column: numbers, or text that is one-hot encoded over `categories`."""

    name: str
    categories: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The column's own name, or `name=category` for each category."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)


@dataclass(frozen=True, eq=False)
class RawData:
    """Everything that a source holds, as numbers, before any limit, split or scaling."""

    x: NDArray[Any]  # (n, d), real and finite, in the source's own precision
    y: NDArray[np.intp]  # (n,), indices into class_names
    columns: tuple[Column, ...]
    class_names: tuple[str, ...]
    n_test: int = 0  # the last n_test rows are the source's own test set
    # Class names as version 0.1 read them from a .csv file, "1" for "01": stored digests are of
    # these. Empty where they are the class names.
    early_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # sentences about what may not be meant

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each of the d features."""
        return tuple(name for column in self.columns for name in column.feature_names)


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
    encode_target = _encode_written if written else _encode_read
    y, class_names, early = encode_target(frame[target], what)
    columns = tuple(describe_column(name, frame[name]) for name in features)
    x = encode(frame, columns)
    raw = RawData(x, y, columns, class_names, early_names=early)
    return replace(raw, notes=(*_blanks(what, class_names), *_feature_notes(raw)))


def check_names(names: Sequence[str]) -> None:
    """Refuse a column without a name, and a name that occurs twice."""
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise ValueError(f"column {number} has no name; name it, or drop it if it is an index")
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} columns are named {name!r}; rename them or keep one")


def check_target(target: str | None, names: Sequence[str]) -> str:
    """Return the target; refuse None and a name that is not one of `names`."""
    listed = names if len(names) <= MAX_LISTED else [*names[:MAX_LISTED], "…"]
    if target is None:
        raise ValueError(f"target must name the column of the labels ({', '.join(listed)})")
    if target not in names:
        near = [] if names is listed else get_close_matches(target, names, n=1)
        raise ValueError(unknown_name(target, [*near, *listed], "a column"))
    return target


def encode_labels(labels: ArrayLike, what: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return class indices (n,) and the name of each class, in the sorted order of the labels.

    Classes may be whole numbers, text, bytes, booleans, or up to 20 different fractions. `what`
    names the labels in errors.
    """
    y, names = _find_classes(labels, what)
    _check_several(names, what)
    return y, names


def _encode_read(
    labels: pd.Series[Any], what: str
) -> tuple[NDArray[np.intp], tuple[str, ...], tuple[str, ...]]:
    return (*encode_labels(labels, what), ())


def _encode_written(
    labels: pd.Series[Any], what: str
) -> tuple[NDArray[np.intp], tuple[str, ...], tuple[str, ...]]:
    """Return class indices, class names and early names (see RawData) of the words of a .csv."""
    words = plain_values(labels)
    check_complete(words, what)
    numbers = numbers_in(words)
    if numbers is None or not is_number(numbers):
        return _encode_read(words, what)
    words = words.str.strip()  # a number that is aligned with blanks is the same number
    y, early = _find_classes(numbers, what)
    classes = sorted(set(zip(y.tolist(), words, strict=True)))  # 1 and 01 are two
    names = tuple(word for _, word in classes)
    _check_several(names, what)
    if len(names) == len(early):
        return y, names, early
    index = {pair: number for number, pair in enumerate(classes)}
    pairs = zip(y.tolist(), words, strict=True)
    return np.array([index[pair] for pair in pairs], np.intp), names, ()


def _find_classes(labels: ArrayLike, what: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    import pandas as pd

    values = plain_values(pd.Series(labels))
    check_complete(values, what)
    if holds_dates(values):
        raise ValueError(f"{what} holds dates; it must hold classes")
    if pd.api.types.is_float_dtype(values):
        _check_few_fractions(values.to_numpy(np.float64), what)
    if not is_number(values):
        values = values.map(str)
    classes, y = np.unique(values.to_numpy(), return_inverse=True)
    return y.astype(np.intp), tuple(_class_name(label) for label in classes.tolist())


def _check_several(names: Sequence[str], what: str) -> None:
    if len(names) == 1:
        raise ValueError(f"{what} is {names[0]!r} in every row; at least two classes are needed")


def describe_column(name: str, values: pd.Series[Any]) -> Column:
    """Return how a feature column becomes numbers; refuse a column that cannot."""
    if holds_dates(values):
        raise ValueError(f"column {name!r} holds dates; drop it or turn it into numbers")
    if is_number(values):
        return Column(name)
    text = as_text(name, values)
    categories = sorted(set(text))
    if len(categories) > MAX_CATEGORIES:
        row = strangest(text)
        raise ValueError(
            f"column {name!r} is text ({text[row]!r} in row {row + 1}) with {len(categories)} "
            f"different values, and at most {MAX_CATEGORIES} can be encoded; "
            "drop it or turn it into numbers"
        )
    return Column(name, tuple(categories))


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> NDArray[np.float64]:
    """Return the columns of `frame` as finite features (n, d); an unknown category is all zeros.

    Categories come from the whole table, before any split: they are its vocabulary, not a statistic
    of its rows. Standardizing turns a category that no training row has into zeros.
    """
    blocks = [_encode_column(frame[column.name], column) for column in columns]
    x = np.concatenate(blocks, axis=1)
    check_finite(x, [name for column in columns for name in column.feature_names])
    return x


def check_finite(x: NDArray[Any], names: Sequence[str]) -> None:
    """Refuse x (n, d) if a value is missing, infinite or too large for float32."""
    if x.min() >= -FLOAT32_MAX and x.max() <= FLOAT32_MAX:  # makes no copy of x; false for NaN
        return
    row, column = np.argwhere(~(np.abs(x) <= FLOAT32_MAX))[0]
    if np.isnan(x[row, column]):
        raise ValueError(missing(f"column {names[column]!r}", row + 1))
    raise ValueError(
        f"column {names[column]!r} is {x[row, column]} in row {row + 1}; "
        "features must be finite and within float32"
    )


def _encode_column(values: pd.Series[Any], column: Column) -> NDArray[np.float64]:
    from sklearn.preprocessing import OneHotEncoder

    if not column.categories:
        values = plain_values(values)
        check_complete(values, f"column {column.name!r}")
        if not is_number(values):
            words = list(map(str, values))
            row = strangest(words)
            what = f"must hold numbers, not {words[row]!r} in row {row + 1}"
            raise ValueError(f"column {column.name!r} {what}")
        return values.to_numpy(np.float64)[:, None]
    encoder = OneHotEncoder(
        categories=[list(column.categories)], handle_unknown="ignore", sparse_output=False
    )
    words = known_words(column.name, values, column.categories)
    text = np.array(words, dtype=object)
    one_hot: NDArray[np.float64] = encoder.fit_transform(text[:, None])
    return one_hot


def _feature_notes(raw: RawData) -> Iterator[str]:
    """Yield a sentence for each column that may not be what it seems."""
    for column in raw.columns:
        yield from _blanks(f"column {column.name!r}", column.categories)
    last = len(raw.x) - 1
    for feature in np.flatnonzero(raw.x[last] - raw.x[0] == last) if last > 1 else ():
        if (np.diff(raw.x[:, feature]) == 1).all():
            yield (
                f"column {raw.feature_names[feature]!r} only numbers the rows, and is learned from "
                "like any other; drop it if it is no feature"
            )


def _blanks(what: str, words: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if two of the words differ only in blanks."""
    if pair := next(alike_but_for_blanks(words), None):
        yield (
            f"{what} holds {pair[0]!r} and {pair[1]!r}, which differ only in blanks and count as "
            "two; remove the blanks if they are one"
        )


def _check_few_fractions(values: NDArray[np.float64], what: str) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(f"{what} is infinite in row {infinite.argmax() + 1}; it must hold classes")
    count = len(np.unique(values[values % 1 != 0]))
    if count > MAX_CATEGORIES:
        raise ValueError(
            f"{what} has {count} different fractional values: "
            "this is regression, and hpsearch classifies"
        )


def _class_name(label: object) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
