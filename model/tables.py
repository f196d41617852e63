"""Readers of .csv, .parquet and .npz files.

An error in a file's content is a ValueError without the file's name, which `model.sources` adds; a
file that cannot be opened raises Python's own OSError.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
TEST_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_table(path: Path, target: str | None) -> RawData:
    """Return the .csv or .parquet table at `path`, with column `target` as its labels."""
    frame = read_frame(path)
    return build_raw_data(frame, check_target(target, list(frame.columns)))


def read_frame(path: Path, text: Collection[str] = ()) -> pd.DataFrame:
    """Return the .csv (UTF-8, with a header) or .parquet file, whose column names must differ.

    Columns in `text` stay text even if they look like numbers in a .csv file.
    """
    with path.open("rb") as file:  # raises Python's own OSError, before any library does
        if not file.read(1):
            raise ValueError(EMPTY)
    return _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_parquet(path)


def read_arrays(path: Path, target: str | None) -> RawData:
    """Return the .npz file's arrays x (n, …) and y (n,), or x_train, y_train, x_test, y_test.

    `target` names another array than y as the labels. All axes of x after the first become one.
    """
    arrays = _load_arrays(path)
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


def _read_csv(path: Path, text: Collection[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        if (header := next(_records(path), None)) is None:
            raise ValueError(EMPTY)
        check_names(header)  # pandas would rename a second `a` to `a.1`
        _check_lengths(path, rows=1)  # pandas would read a longer first row as having an index
        types = dict.fromkeys(text, str)
        return pd.read_csv(path, encoding="utf-8-sig", low_memory=False, dtype=types)
    except UnicodeDecodeError as error:
        raise ValueError(_undecodable(path)) from error
    except csv.Error as error:
        raise ValueError(f"is not a readable table ({error})") from error
    except pd.errors.ParserError as error:
        _check_lengths(path)
        raise ValueError(f"is not a readable table ({error})") from error


def _records(path: Path) -> Iterator[list[str]]:
    """Yield the header and the rows of a .csv file, without the blank lines that pandas skips."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from filter(None, csv.reader(file))


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


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        with parquet.ParquetFile(path) as file:
            frame: pd.DataFrame = file.read().to_pandas()
    except (ArrowException, ValueError, OSError) as error:
        raise ValueError(f"is not a readable .parquet file ({_first_line(error)})") from error
    frame.columns = frame.columns.map(str)
    check_names(list(frame.columns))
    return frame


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError("is not a readable .npz file; write one with np.savez") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("holds a single array; write x and y with np.savez")
        return {name: _load_array(archive, name) for name in archive.files}


def _load_array(archive: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return archive[name]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"array {name!r} is damaged ({_first_line(error)})") from error
    except ValueError as error:
        raise ValueError(
            f"array {name!r} holds Python objects, which are not loaded; save numbers or text"
        ) from error


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


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
