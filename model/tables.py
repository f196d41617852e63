"""Readers of .csv, .parquet and .npz files.

An error in a file's content is a ValueError without the file's name, which `model.sources` adds; a
file that cannot be opened raises Python's own OSError.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.arrays import check_memory, first_line, open_arrays
from model.cells import is_number, numbers_in, read_word
from model.columns import (
    Column,
    RawData,
    build_raw_data,
    check_finite,
    check_names,
    check_target,
    encode_labels,
)

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "is empty; a table with column names and rows is needed"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
CELL = 8  # bytes of a number in memory
ROWS_COMPARED = 1000  # with a first line that may be a header
MAX_SHOWN = 60  # characters of a line in an error message
TEST_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_table(path: Path, target: str | None) -> RawData:
    """Return the .csv or .parquet table at `path`, with column `target` as its labels."""
    frame = read_frame(path, needed=[target], text=[target])
    names = list(frame.columns)
    check_names(names)
    return build_raw_data(frame, check_target(target, names), written=_is_csv(path))


def read_frame(
    path: Path, *, needed: Collection[str | None] = (), text: Collection[str | None] = ()
) -> pd.DataFrame:
    """Return the .csv (UTF-8, with a header) or .parquet file, with its names as they are.

    Only an empty cell of a .csv file is missing: NA and None are words. Columns in `text` stay text
    even if they look like numbers there. If the file does not have all `needed` names, an error
    says whether it has no header, or another separator than a comma.
    """
    with path.open("rb") as file:  # raises Python's own OSError, before any library does
        if not file.read(1):
            raise ValueError(EMPTY)
    return _read_csv(path, needed, text) if _is_csv(path) else _read_parquet(path, text)


def read_arrays(path: Path, target: str | None) -> RawData:
    """Return the .npz file's arrays x (n, …) and y (n,), or x_train, y_train, x_test, y_test.

    `target` names another array than y as the labels. All axes of x after the first become one.
    """
    with open_arrays(path) as arrays:
        if "x_train" not in arrays:
            x, y = _pair(arrays, "x", target or "y")
            y_name, n_test = target or "y", 0
        elif target is not None:
            raise ValueError("target cannot be chosen for a file with x_train; leave target out")
        else:
            x, y, n_test = _join(_pair(arrays, *TEST_ARRAYS[:2]), _pair(arrays, *TEST_ARRAYS[2:]))
            y_name = "y_train"
    names = [f"x{number}" for number in range(x.shape[1])]
    check_finite(x, names)
    labels, class_names = encode_labels(y, f"array {y_name!r}")
    return RawData(x, labels, tuple(map(Column, names)), class_names, n_test)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _read_csv(
    path: Path, needed: Collection[str | None], text: Collection[str | None]
) -> pd.DataFrame:
    import pandas as pd

    try:
        if (header := next(_records(path), None)) is None:
            raise ValueError(EMPTY)
        if missing := [name for name in needed if name not in header]:
            _check_layout(path, header, missing[0])
        _check_lengths(path, rows=1)  # pandas would read a longer first row as having an index
        check_memory(_count_lines(path) * len(header) * CELL, "the table")
        numbers = range(len(header))  # pandas would rename a second `a` to `a.1`
        frame = pd.read_csv(
            path,
            encoding="utf-8-sig",
            header=0,
            names=numbers,
            dtype={number: str for number in numbers if header[number] in text},
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
        )
        for number in numbers:
            if header[number] not in text and not is_number(frame[number]):
                frame[number] = _with_huge_integers(frame[number])
        frame.columns = pd.Index(header)
        return frame
    except UnicodeDecodeError as error:
        raise ValueError(_undecodable(path)) from error
    except csv.Error as error:
        raise ValueError(f"is not a readable table ({error})") from error
    except pd.errors.ParserError as error:
        _check_lengths(path)
        raise ValueError(f"is not a readable table ({error})") from error
    except MemoryError as error:
        raise ValueError("is too large for this machine's memory") from error


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        blocks = iter(partial(file.read, 2**20), b"")
        return sum(max(block.count(b"\n"), block.count(b"\r")) for block in blocks) + 1


def _records(path: Path) -> Iterator[list[str]]:
    """Yield the header and the rows of a .csv file, without the blank lines that pandas skips."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from filter(None, csv.reader(file))


def _check_layout(path: Path, header: Sequence[str], missing: str | None) -> None:
    """Refuse a file with another separator than a comma, or with a first line that is no header."""
    line = ",".join(header)
    if line.lower().startswith("sep="):
        raise ValueError(
            f"begins with the line {line!r}, which is for spreadsheets; remove it, and separate "
            "the fields by commas"
        )
    for separator, name in SEPARATORS.items():
        if line.count(separator) >= len(header):
            raise ValueError(
                f"separates its fields by {name} ({line[:MAX_SHOWN]!r}); separate them by commas, "
                "and write decimals with a point"
            )
    if _looks_like_a_row(header, list(islice(_records(path), 1, ROWS_COMPARED))):
        what = "has no header" if missing is None else f"has no column {missing!r}"
        raise ValueError(
            f"{what}: its first line ({line[:MAX_SHOWN]}) looks like a row of data; begin the file "
            "with a header, the line with the names of the columns"
        )


def _looks_like_a_row(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a word of `header` is in its column too, or its numbers name no columns.

    Columns may be called 0, 1, 2 or 2019, 2020.
    """
    values = [read_word(name) for name in header]
    if any(
        isinstance(value, str) and value.strip() and any(row[n : n + 1] == [value] for row in rows)
        for n, value in enumerate(values)
    ):
        return True
    numbers = [value for value in values if not isinstance(value, str)]
    return any(after - before != 1 for before, after in pairwise(numbers)) or any(
        isinstance(number, float) for number in numbers
    )


def _with_huge_integers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return whole numbers beyond 64 bits, which pandas leaves as text or objects, as floats."""
    words = values.map(str, na_action="ignore")
    return values if numbers_in(words) is None else words.map(float)


def _check_lengths(path: Path, rows: int | None = None) -> None:
    """Refuse a row that is longer than the header; check the first `rows` rows, or all."""
    records = _records(path)
    width = len(next(records))
    for row, fields in enumerate(islice(records, rows), start=1):
        if len(fields) > width:
            raise ValueError(f"row {row} has {len(fields)} fields, but the header has {width}")


def _undecodable(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return f"line {number} is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"
    return "is not UTF-8; save the file as UTF-8"


def _read_parquet(path: Path, text: Collection[str | None]) -> pd.DataFrame:
    from pyarrow import parquet  # type: ignore[import-untyped]

    try:
        with parquet.ParquetFile(path) as file:
            check_memory(file.metadata.num_rows * file.metadata.num_columns * CELL, "the table")
            frame: pd.DataFrame = _without_decimals(file.read(), text).to_pandas()
        frame.columns = frame.columns.map(str)
    except Exception as error:  # a damaged file can make pyarrow raise nearly anything
        raise ValueError(f"is not a readable .parquet file ({first_line(error)})") from error
    return frame


def _without_decimals(table: Any, text: Collection[str | None]) -> Any:
    """Return an Arrow table with its decimals as floats, or as written in the columns `text`."""
    import pyarrow as pa

    for number, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            kind = pa.string() if column.name in text else pa.float64()
            table = table.set_column(number, column.name, table.column(number).cast(kind))
    return table


def _pair(
    arrays: Mapping[str, NDArray[Any]], x_name: str, y_name: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the features (n, d) and labels (n,) with these names, shapes and types checked."""
    for name in (x_name, y_name):
        if name not in arrays:
            found = ", ".join(arrays) or "none"
            wanted = f"x and y, or {', '.join(TEST_ARRAYS)}"
            raise ValueError(f"has no array {name!r}; it needs {wanted} (found: {found})")
    x, y = arrays[x_name], arrays[y_name]
    if x.dtype.kind not in "biuf":
        raise ValueError(f"array {x_name!r} must hold numbers, but holds {x.dtype}")
    if y.dtype.kind not in "biufSUmM":
        raise ValueError(f"array {y_name!r} must hold numbers or text, but holds {y.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"array {x_name!r} must have rows and columns, but its shape is {x.shape}")
    if y.shape != (len(x),):
        raise ValueError(
            f"array {y_name!r} must have shape ({len(x)},), one label for each row of {x_name!r}, "
            f"but its shape is {y.shape}"
        )
    return x.reshape(len(x), -1), y


def _join(
    train: tuple[NDArray[Any], NDArray[Any]], test: tuple[NDArray[Any], NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Return the training rows followed by the test rows, and the number of test rows."""
    (x_train, y_train), (x_test, y_test) = train, test
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(
            f"'x_train' has {x_train.shape[1]} columns and 'x_test' has {x_test.shape[1]}; "
            "they must have the same"
        )
    return np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]), len(y_test)
