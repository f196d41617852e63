"""Recognize what the cells of a column hold: numbers, dates, words, or nothing.

Errors name the column and the row (1 is the first row of data). Pandas is imported inside the
functions, so that importing this module stays fast.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_DATE = re.compile(r"\s*(\d{4}-\d\d?-\d\d?|\d\d?[./]\d\d?[./]\d{2,4})(?!\d)")
_ONLY_PYTHON = re.compile(r"_|[^\x00-\x7f]|nan", re.IGNORECASE)  # 1_000, ٣ and nan are words
_PLAIN_TYPES = {str, bool, int, float}
_BOOLEANS = {"true": True, "false": False}


def is_number(values: pd.Series[Any]) -> bool:
    """Return whether the column holds real numbers, or only true and false."""
    import pandas as pd

    kinds = pd.api.types
    real = kinds.is_numeric_dtype(values) and not kinds.is_complex_dtype(values)
    return real or kinds.is_bool_dtype(values)


def holds_dates(values: pd.Series[Any]) -> bool:
    """Return whether the column holds times, dates, or only words that look like dates."""
    if values.dtype.kind in "mM":
        return True
    words = [] if is_number(values) else list(values.dropna())
    return bool(words) and all(
        isinstance(word, date) or (isinstance(word, str) and _DATE.match(word)) for word in words
    )


def plain_values(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return categoricals and bytes as plain values, and blank text as missing."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(np.asarray(values))
    if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
        return values
    plain = (value.decode() if isinstance(value, bytes) else value for value in values)
    blank = (None if isinstance(value, str) and not value.strip() else value for value in plain)
    return pd.Series(list(blank))


def as_numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the cells as float64, true and false as 1 and 0; NaN for all that is no number."""
    import pandas as pd

    values = plain_values(values)
    if values.dtype.kind == "m":  # spans of time, in seconds
        values = values.dt.total_seconds()
    if is_number(values):
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan))
    read = {word: _number_of(word) for word in values.dropna().unique()}
    return pd.Series([read.get(word, np.nan) for word in values], dtype=np.float64)


def _number_of(cell: object) -> float:
    if isinstance(cell, str):
        cell = read_word(cell.strip())
    if isinstance(cell, str) or not isinstance(cell, Real):
        return np.nan
    try:
        return float(cell)
    except OverflowError:
        return np.inf


def as_dates(
    values: pd.Series[Any], *, day_first: bool | None = None
) -> tuple[pd.Series[Any], bool]:
    """Return the cells as times without a zone (UTC), NaT where there is none, and `day_first`.

    day_first: whether 1/2/2024 is a day in February; None: as fits most of the cells, and a day in
    February where points separate the numbers.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.dt.tz_convert("UTC").dt.tz_localize(None).reset_index(drop=True), False
    if values.dtype.kind == "M":
        return values.reset_index(drop=True), False
    words = plain_values(values).map(str, na_action="ignore").reset_index(drop=True)

    def read(day_first: bool) -> pd.Series[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a format that is not the order given
            found = pd.to_datetime(
                words, errors="coerce", format="mixed", dayfirst=day_first, utc=True
            )
        return found.dt.tz_localize(None)

    if day_first is not None:
        return read(day_first), day_first
    points = words.str.match(r"\s*\d\d?\.\d\d?\.", na=False).any()
    # pandas reads 31/1/2024 either way, so a second number above 12 decides.
    seconds = words.str.extract(r"^\s*(\d\d?)[./](\d\d?)[./]").astype(float).max()
    day_first = bool(points or seconds[0] > 12)
    return read(day_first), day_first


def numbers_in(words: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return the numbers, or true and false, that the words of a .csv column spell.

    None if a word is missing or spells neither, or if words of both kinds occur. Whole numbers
    beyond 64 bits are Python's own.
    """
    import pandas as pd

    read: dict[str, str | float] = {}
    for word in words.unique():
        read[word] = read_word(word) if isinstance(word, str) else ""
        if isinstance(read[word], str):
            return None
    if len({isinstance(value, bool) for value in read.values()}) > 1:
        return None
    return pd.Series([read[word] for word in words])


def alike_but_for_blanks(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of different words that only blanks at their ends tell apart."""
    first: dict[str, str] = {}
    for word in words:
        if (known := first.setdefault(word.strip(), word)) != word:
            yield known, word


def check_complete(values: pd.Series[Any], what: str) -> None:
    """Refuse a column that has a missing value; `what` names the column in the error."""
    absent = values.isna().to_numpy()
    if absent.any():
        raise ValueError(missing(what, int(absent.argmax()) + 1))


def missing(what: str, row: int) -> str:
    """Return the error message for a missing value in `row`."""
    return f"{what} has no value in row {row} (empty or nan); fill it in or drop the row"


def as_text(name: str, values: pd.Series[Any]) -> list[str]:
    """Return the values as words; refuse missing values, lists, decimals and the like."""
    return [str(value) for value in _words_and_numbers(name, values)]


def known_words(
    name: str, values: pd.Series[Any], known: Sequence[str], *, complete: bool = True
) -> list[str | None]:
    """Return the values as words, like `as_text`, but with numbers spelled as in `known`.

    A reader that does not know that a column is text may return 7 for the word 007, and true for
    TRUE. A number that may stand for several of the words is refused. complete: whether a missing
    value is refused; it is None otherwise.
    """
    spelled = defaultdict(list)
    for word in known:
        spelled[_as_key(read_word(word))].append(word)
    words: list[str | None] = []
    for row, value in enumerate(_words_and_numbers(name, values, complete=complete), start=1):
        if value is None or value != value:
            words.append(None)
            continue
        found = [value] if isinstance(value, str) else spelled.get(_as_key(value), [str(value)])
        if len(found) > 1:
            raise ValueError(
                f"column {name!r} holds {value} in row {row}, which may be "
                f"{' or '.join(map(repr, found))}; read it as text"
            )
        words += found
    return words


def strangest(words: Sequence[str]) -> int:
    """Return the row, from 0, of the first word that looks least like a number.

    Words that are not numbers come first, then true and false, then numbers.
    """
    reads = [read_word(word) for word in words]
    strangeness = [2 * isinstance(value, str) + isinstance(value, bool) for value in reads]
    return strangeness.index(max(strangeness))


def _words_and_numbers(
    name: str, values: pd.Series[Any], *, complete: bool = True
) -> list[str | float]:
    values = plain_values(values)
    if complete:
        check_complete(values, f"column {name!r}")
    else:
        values = values.astype(object).where(values.notna(), np.nan)
    read = values.tolist()  # an object column may hold NumPy scalars
    plain: list[str | float] = [v.item() if isinstance(v, np.generic) else v for v in read]
    strange = sorted({type(value).__name__ for value in plain if type(value) not in _PLAIN_TYPES})
    if strange:
        raise ValueError(f"column {name!r} holds {strange[0]} values, not numbers or text")
    return plain


def read_word(word: str) -> str | float:
    """Return the number or the boolean that a file reader takes `word` for, or `word` itself."""
    if word.lower() in _BOOLEANS:
        return _BOOLEANS[word.lower()]
    if _ONLY_PYTHON.search(word):
        return word
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:  # also a whole number of more than 4,300 digits
            continue
    return word


def _as_key(value: str | float) -> tuple[bool, str | float]:
    """Return a dictionary key that differs for 1 and true, but not for 1 and 1.0."""
    return isinstance(value, bool), value
