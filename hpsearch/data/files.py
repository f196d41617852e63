"""Readers of tables: .csv, .tsv, the same with .gz, .parquet and .xlsx files.

An error in a file's content is a ValueError without the file's name, which `data.sources` adds; a
file that cannot be opened raises Python's own OSError.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import psutil

from hpsearch.data.cells import is_number, numbers_in, read_word

if TYPE_CHECKING:
    import pandas as pd

TEXT_FILES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABLES = (*TEXT_FILES, ".parquet", ".xlsx")
EMPTY = "is empty; a table with column names and rows is needed"
SEPARATORS = ",;\t|"
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "?")  # of a label
MISSING_FEATURES = (  # pandas' own, and the sign of the UCI repository
    *MISSING,
    *("#N/A", "#NA", "-NaN", "-nan", "<NA>", "NULL", "None", "null", "1.#IND", "1.#QNAN"),
)
CELL = 8  # bytes of a number in memory
ROWS_COMPARED = 1000  # with a first line that may be a header
ROWS_SNIFFED = 20  # to find the separator
MAX_SHOWN = 60  # characters of a line in an error message
BLOCK = 2**20  # bytes


@dataclass(frozen=True, eq=False)
class ReadTable:
    """A table as its file has it.

    written: whether it is a text file, so that labels are read as words that may spell numbers.
    notes: sentences about the file that a person should read.
    """

    frame: pd.DataFrame
    written: bool
    notes: tuple[str, ...] = ()


def suffix_of(path: str | Path) -> str:
    """Return the end of a file's name that says what it is, in lower case: .csv, .csv.gz."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else (suffixes or [""])[-1]


def is_table(source: str) -> bool:
    """Return whether a source is a table, whose columns have to become numbers."""
    return source.startswith("openml:") or suffix_of(source) in TABLES


def read_frame(
    path: Path,
    *,
    needed: Collection[str | None] = (),
    labels: Collection[str | None] = (),
    text: Collection[str | None] = (),
    decimal: str = ".",
    thousands: str | None = None,
    early: bool = False,
) -> ReadTable:
    """Return a table, with its names as they are.

    labels: columns that stay text in a text file, where None is a word. text: others that stay
    text even if they look like numbers. If the file does not have all `needed` names, an error
    says whether it has no header. early: as version 0.1, to which only an empty cell of a .csv
    file is missing.
    """
    with path.open("rb") as file:  # raises Python's own OSError, before any library does
        if not file.read(1):
            raise ValueError(EMPTY)
    match suffix_of(path):
        case ".parquet":
            return ReadTable(_read_parquet(path, {*labels, *text}), written=False)
        case ".xlsx":
            return _read_excel(path)
    try:
        layout = _layout_of(path)
        frame = _read_text(path, layout, needed, labels, text, decimal, thousands, early=early)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"is not a complete gzip file ({error})") from error
    return ReadTable(frame, written=True, notes=layout.notes)


@dataclass(frozen=True)
class _Layout:
    """How a text file is written. skip: how many lines come before the header."""

    encoding: str
    separator: str
    skip: int = 0
    notes: tuple[str, ...] = ()


def _open_bytes(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _layout_of(path: Path) -> _Layout:
    encoding, notes = _encoding_of(path)
    with io.TextIOWrapper(_open_bytes(path), encoding, newline="") as file:
        lines = list(islice(filter(str.strip, file), ROWS_SNIFFED))
    if not lines:
        raise ValueError(EMPTY)
    first = lines[0].strip()
    if first.lower().startswith("sep=") and len(first) == 5:  # a line for spreadsheets
        return _Layout(encoding, first[4], 1, notes)
    if suffix_of(path).startswith(".tsv"):
        return _Layout(encoding, "\t", 0, notes)
    return _Layout(encoding, max(SEPARATORS, key=partial(_fit_of, lines)), 0, notes)


def _fit_of(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """Return how well a separator fits: the share of rows as long as the header, and its length."""
    try:
        header, *rows = csv.reader(lines, delimiter=separator)
    except csv.Error:
        return 0.0, 0
    if len(header) == 1:
        return 0.0, 0
    alike = sum(len(row) == len(header) for row in rows)
    return (alike / len(rows) if rows else 1.0), len(header)


def _encoding_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the encoding of a text file, and a sentence if it is not UTF-8."""
    with _open_bytes(path) as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    decode, line = codecs.getincrementaldecoder("utf-8")().decode, 1
    with _open_bytes(path) as file:
        for block in iter(partial(file.read, BLOCK), b""):
            if b"\0" in block:
                raise ValueError("holds bytes that are no text, so it is no table of text")
            try:
                decode(block)
            except UnicodeDecodeError as error:
                line += block[: error.start].count(b"\n")
                byte = block[error.start]
                return "cp1252" if _is_windows(path) else "latin-1", (
                    f"line {line} is not UTF-8 (byte 0x{byte:02x}), so the file is read as "
                    "Latin-1; save it as UTF-8 if its letters look wrong",
                )
            line += block.count(b"\n")
    return "utf-8-sig", ()


def _is_windows(path: Path) -> bool:
    """Return whether all bytes are characters of Windows' Latin-1."""
    decode = codecs.getincrementaldecoder("cp1252")().decode
    with _open_bytes(path) as file:
        try:
            for block in iter(partial(file.read, BLOCK), b""):
                decode(block)
        except UnicodeDecodeError:
            return False
    return True


def _read_text(
    path: Path,
    layout: _Layout,
    needed: Collection[str | None],
    labels: Collection[str | None],
    text: Collection[str | None],
    decimal: str,
    thousands: str | None,
    *,
    early: bool,
) -> pd.DataFrame:
    import pandas as pd

    try:
        if (header := next(_records(path, layout), None)) is None:
            raise ValueError(EMPTY)
        if missing := [name for name in needed if name not in header]:
            _check_header(path, layout, header, missing[0])
        _check_lengths(path, layout, rows=1)  # pandas would take a longer first row for an index
        check_memory(_count_lines(path) * len(header) * CELL, "the table")
        numbers = range(len(header))  # pandas would rename a second `a` to `a.1`
        empty: dict[int, Sequence[str]] = {
            n: MISSING if header[n] in labels else MISSING_FEATURES for n in numbers
        }
        frame = pd.read_csv(
            path,
            encoding=layout.encoding,
            sep=layout.separator,
            skiprows=layout.skip,
            header=0,
            names=numbers,
            dtype={n: str for n in numbers if header[n] in text or header[n] in labels},
            decimal=decimal,
            thousands=thousands,
            keep_default_na=False,
            na_values=cast("Any", [""] if early else empty),
            low_memory=False,
        )
        for number in numbers:
            words = header[number] in text or header[number] in labels
            if not words and not is_number(frame[number]):
                frame[number] = _with_huge_integers(frame[number])
        frame.columns = pd.Index(header)
        return frame
    except csv.Error as error:
        raise ValueError(f"is not a readable table ({error})") from error
    except pd.errors.ParserError as error:
        _check_lengths(path, layout)
        raise ValueError(f"is not a readable table ({error})") from error
    except MemoryError as error:
        raise ValueError("is too large for this machine's memory") from error


def _count_lines(path: Path) -> int:
    with _open_bytes(path) as file:
        blocks = iter(partial(file.read, BLOCK), b"")
        return sum(max(block.count(b"\n"), block.count(b"\r")) for block in blocks) + 1


def _records(path: Path, layout: _Layout) -> Iterator[list[str]]:
    """Yield the header and the rows of a text file, without the blank lines that pandas skips."""
    with io.TextIOWrapper(_open_bytes(path), layout.encoding, newline="") as file:
        records = csv.reader(file, delimiter=layout.separator)
        yield from islice(filter(None, records), layout.skip, None)


def _check_header(path: Path, layout: _Layout, header: Sequence[str], missing: str | None) -> None:
    """Refuse a file whose first line is no header."""
    if _looks_like_a_row(header, list(islice(_records(path, layout), 1, ROWS_COMPARED))):
        what = "has no header" if missing is None else f"has no column {missing!r}"
        line = layout.separator.join(header)
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


def _check_lengths(path: Path, layout: _Layout, rows: int | None = None) -> None:
    """Refuse a row that is longer than the header; check the first `rows` rows, or all."""
    records = _records(path, layout)
    width = len(next(records))
    for row, fields in enumerate(islice(records, rows), start=1):
        if len(fields) > width:
            raise ValueError(f"row {row} has {len(fields)} fields, but the header has {width}")


def _read_excel(path: Path) -> ReadTable:
    import pandas as pd

    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            frame = pd.read_excel(book)
    except ImportError as error:
        raise ValueError("an .xlsx file needs openpyxl: pip install 'hpsearch[xlsx]'") from error
    except Exception as error:  # a damaged file can make openpyxl raise nearly anything
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"is not a readable .xlsx file ({why})") from error
    notes: tuple[str, ...] = ()
    if len(sheets) > 1:
        notes = (f"only the first of its {len(sheets)} sheets is read, {sheets[0]!r}",)
    frame.columns = frame.columns.map(str)
    return ReadTable(frame, written=False, notes=notes)


def _read_parquet(path: Path, text: Collection[str | None]) -> pd.DataFrame:
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]
    except ImportError as error:  # where hpsearch is installed without what only training needs
        raise ValueError("a .parquet file needs pyarrow: pip install pyarrow") from error
    try:
        with parquet.ParquetFile(path) as file:
            check_memory(file.metadata.num_rows * file.metadata.num_columns * CELL, "the table")
            frame: pd.DataFrame = _without_decimals(file.read(), text).to_pandas()
        frame.columns = frame.columns.map(str)
    except Exception as error:  # a damaged file can make pyarrow raise nearly anything
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"is not a readable .parquet file ({why})") from error
    return frame


def _without_decimals(table: Any, text: Collection[str | None]) -> Any:
    """Return an Arrow table with its decimals as floats, or as written in the columns `text`."""
    import pyarrow as pa

    for number, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            kind = pa.string() if column.name in text else pa.float64()
            table = table.set_column(number, column.name, table.column(number).cast(kind))
    return table


def check_memory(size: int, what: str) -> None:
    """Refuse `size` bytes if the machine has not as many free; `model.arrays` has the same."""
    free = psutil.virtual_memory().available
    if size > free:
        raise ValueError(
            f"{what} needs {size / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        )
