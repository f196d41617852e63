"""The rows that a scikit-learn estimator is trained on: a table as it is, split as any other data.

The training core reads and encodes data for its network; this module imports nothing of it, because
a study of another model must work beside a user's model.py.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpsearch.errors import DataError
from hpsearch.formatting import counted, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = pd.DataFrame
    Labels = NDArray[Any]

HELD_OUT = 0.2  # share of all rows for the test part, and of the others for validation
BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")  # those of scikit-learn
SEPARATORS = ",;\t|"
HEAD = 64_000  # bytes of a CSV in which its separator is looked for


@dataclass(frozen=True, eq=False)
class Rows:
    """A training and a validation part; the test part stays sealed.

    Features are tables of numbers and, for words, of pandas' type category. Labels are (n,):
    numbers, or the classes.
    """

    name: str
    source: str
    digest: str  # 32 hex digits, of all rows
    x_train: Table
    y_train: Labels
    x_val: Table
    y_val: Labels
    classes: tuple[Any, ...]  # () for a regression
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TestRows:
    """All rows but the sealed ones to train on, and the sealed ones to score."""

    x_train: Table
    y_train: Labels
    x_test: Table
    y_test: Labels


def read_test_rows(
    source: str, *, target: str | None, classes: bool, numbered: bool = False
) -> TestRows:
    """Open the test part of a source; arguments as of `read_rows`. Raises DataError."""
    x, labels, strata, *_ = _sealable(source, target, classes=classes, numbered=numbered)
    rest, test = _parts(source, strata, np.arange(len(x)), HELD_OUT, 0)
    return TestRows(x.iloc[rest], labels[rest], x.iloc[test], labels[test])


def read_rows(
    source: str,
    *,
    target: str | None,
    classes: bool,
    numbered: bool = False,
    limit: int | None = None,
    train_limit: int | None = None,
    split_seed: int = 0,
) -> Rows:
    """Return the training and the validation part of a source.

    source: a name in BUNDLED, openml:NAME, or a .csv or .parquet file. target: the column to
    predict. classes: whether its values are classes; numbered: which become 0, 1, …. limit: only so
    many rows, drawn before the split; train_limit: only so many training rows. Raises DataError.
    """
    x, labels, strata, known, notes, digest = _sealable(
        source, target, classes=classes, numbered=numbered
    )
    parts = partial(_parts, source, strata)
    rows, _ = parts(np.arange(len(x)), HELD_OUT, 0)
    if limit is not None and limit < len(rows):
        rows, _ = parts(rows, len(rows) - limit, split_seed)
    train, val = parts(rows, HELD_OUT, split_seed)
    if train_limit is not None and train_limit < len(train):
        train, _ = parts(train, len(train) - train_limit, split_seed)
    return Rows(
        name=Path(source).stem if source not in BUNDLED else source,
        source=source,
        digest=digest,
        x_train=x.iloc[train],
        y_train=labels[train],
        x_val=x.iloc[val],
        y_val=labels[val],
        classes=known,
        notes=notes,
    )


def _sealable(
    source: str, target: str | None, *, classes: bool, numbered: bool
) -> tuple[Table, Labels, NDArray[np.intp] | None, tuple[Any, ...], tuple[str, ...], str]:
    """Return all features and labels, what to stratify by, the classes, notes and a digest."""
    table, target = _table(source, target)
    table, notes = _without_empty_labels(table, target)
    x, column, digest = _features(table.drop(columns=target)), table[target], _digest(table)
    if not classes:
        return x, _numbers(column, source, target), None, (), notes, digest
    names, strata = np.unique(column.astype(str).to_numpy(), return_inverse=True)
    known = tuple(names.tolist())
    if not numbered:
        return x, column.to_numpy(), strata, known, notes, digest
    if known != tuple(map(str, range(len(known)))):
        notes = (*notes, f"the classes are numbered from 0 on: {', '.join(known)}")
    return x, strata, strata, known, notes, digest


def _parts(
    source: str,
    strata: NDArray[np.intp] | None,
    rows: NDArray[np.intp],
    size: float,
    seed: int,
) -> list[NDArray[np.intp]]:
    """Return `rows` in two parts, the second of `size`, in proportion to the classes."""
    from sklearn.model_selection import train_test_split

    which = None if strata is None else strata[rows]
    try:
        split: list[NDArray[np.intp]] = train_test_split(
            rows, test_size=size, stratify=which, random_state=seed
        )
    except ValueError as error:
        raise DataError(f"data.source: {source}: {error}") from error
    return split


def _table(source: str, target: str | None) -> tuple[Table, str]:
    """Return a source as one table, and the name of its target."""
    if source in BUNDLED or source.startswith("openml:"):
        table, known = _named(source)
        target = target or known
    else:
        table = _read_file(Path(source).expanduser())
    columns = [str(column) for column in table.columns]
    table.columns = pd.Index(columns)
    if target is None:
        raise DataError(
            f"data.target: is missing; it is the column of {source} to predict, one of "
            f"{', '.join(columns[-10:])}"
        )
    if target not in columns:
        raise DataError(f"data.target: {unknown_name(target, columns, f'a column of {source}')}")
    return table, target


def _named(source: str) -> tuple[Table, str | None]:
    """Return a data set of scikit-learn's or of OpenML's, and its own target."""
    from sklearn import datasets

    if source in BUNDLED:
        bunch = getattr(datasets, f"load_{source}")(as_frame=True)
        return bunch.frame, "target"
    try:
        bunch = datasets.fetch_openml(source.removeprefix("openml:"), as_frame=True)
    except (OSError, ValueError) as error:
        raise DataError(f"data.source: {source}: {error}") from error
    return bunch.frame, bunch.target_names[0] if len(bunch.target_names) == 1 else None


def _read_file(path: Path) -> Table:
    readers: dict[str, Callable[[Path], Table]] = {".csv": _read_csv, ".parquet": pd.read_parquet}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(
            f"data.source: {path} is no source of rows for an estimator; use a .csv or .parquet "
            f"file, openml:NAME, or one of {', '.join(BUNDLED)}"
        )
    try:
        return read(path)
    except FileNotFoundError:
        raise DataError(f"data.source: there is no file '{path}'") from None
    except (OSError, ValueError) as error:
        raise DataError(f"data.source: {path} cannot be read: {error}") from error


def _read_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(HEAD)
    try:
        separator = csv.Sniffer().sniff(head.partition("\n")[0], SEPARATORS).delimiter
    except csv.Error:
        separator = ","
    return pd.read_csv(path, sep=separator, encoding="utf-8-sig")


def _without_empty_labels(table: Table, target: str) -> tuple[Table, tuple[str, ...]]:
    empty = table[target].isna()
    if not empty.any():
        return table, ()
    missing = counted(int(empty.sum()), "row")
    return table[~empty], (f"{missing} without a {target} left out",)


def _numbers(labels: pd.Series[Any], source: str, target: str) -> Labels:
    try:
        numbers = pd.to_numeric(labels).to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"data.target: {target} of {source} is no number in every row, as a regressor needs it "
            f"({error})"
        ) from error
    if not np.isfinite(numbers).all():
        raise DataError(f"data.target: {target} of {source} has infinite values")
    return numbers


def _features(table: Table) -> Table:
    """Return the columns as numbers, or as categories where they hold words."""
    if not len(table.columns):
        raise DataError("data.source: has no column besides the target")
    columns = {
        name: column.astype(np.float64)
        if pd.api.types.is_numeric_dtype(column.dtype)
        else column.astype("category")
        for name, column in table.items()
    }
    return pd.DataFrame(columns)


def _digest(table: Table) -> str:
    found = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    found.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return found.hexdigest()[:32]
