"""What stands in the cells of a column: numbers, dates, words, or nothing.

Errors name the column and the row (1 is the first row of data). Pandas is imported where it is
needed, so that `import model.data` stays fast.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_DATE = re.compile(r"\s*(\d{4}-\d\d?-\d\d?|\d\d?[./]\d\d?[./]\d{2,4})\b")
_PLAIN_TYPES = {str, bool, int, float}
_TRUTHS = {"true": True, "false": False}


def is_number(values: pd.Series[Any]) -> bool:
    """Whether the column holds real numbers, or nothing but true and false."""
    import pandas as pd

    kinds = pd.api.types
    real = kinds.is_numeric_dtype(values) and not kinds.is_complex_dtype(values)
    return real or kinds.is_bool_dtype(values)


def holds_dates(values: pd.Series[Any]) -> bool:
    """Whether these are times, dates, or words that all look like dates."""
    if values.dtype.kind in "mM":
        return True
    words = [] if is_number(values) else list(values.dropna())
    return bool(words) and all(
        isinstance(word, date) or (isinstance(word, str) and _DATE.match(word)) for word in words
    )


def plain_values(values: pd.Series[Any]) -> pd.Series[Any]:
    """Categoricals and bytes as plain values, and blank text as missing."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(np.asarray(values))
    if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
        return values
    plain = (value.decode() if isinstance(value, bytes) else value for value in values)
    blank = (None if isinstance(value, str) and not value.strip() else value for value in plain)
    return pd.Series(list(blank))


def check_complete(values: pd.Series[Any], what: str) -> None:
    """Refuse a column with a missing value; `what` names it."""
    absent = values.isna().to_numpy()
    if absent.any():
        raise ValueError(missing(what, int(absent.argmax()) + 1))


def missing(what: str, row: int) -> str:
    """Say that there is no value in `row`."""
    return f"{what} has no value in row {row} (empty, NA or nan); fill it in or drop the row"


def as_text(name: str, values: pd.Series[Any]) -> list[str]:
    """The values as words, none of them missing; lists, decimals and the like are refused."""
    return [str(value) for value in _words_and_numbers(name, values)]


def known_words(name: str, values: pd.Series[Any], known: Sequence[str]) -> list[str]:
    """The values as words, as in `as_text`, but numbers as `known` spells them.

    Whoever reads a file without saying that a column is text may get 7 for the word 007, and true
    for TRUE. Refuses a number that is more than one of the words.
    """
    spelled = defaultdict(list)
    for word in known:
        spelled[_as_key(_read(word))].append(word)
    words = []
    for row, value in enumerate(_words_and_numbers(name, values), start=1):
        found = [value] if isinstance(value, str) else spelled.get(_as_key(value), [str(value)])
        if len(found) > 1:
            raise ValueError(
                f"column {name!r} holds {value} in row {row}, which may be "
                f"{' or '.join(map(repr, found))}; read it as text"
            )
        words += found
    return words


def strangest(words: Sequence[str]) -> int:
    """The row, from 0, of the first word that is least like a number: no number, no true/false."""
    reads = [_read(word) for word in words]
    strangeness = [2 * isinstance(value, str) + isinstance(value, bool) for value in reads]
    return strangeness.index(max(strangeness))


def _words_and_numbers(name: str, values: pd.Series[Any]) -> list[str | float]:
    values = plain_values(values)
    check_complete(values, f"column {name!r}")
    read = values.tolist()  # of a column of objects still NumPy's own
    plain: list[str | float] = [v.item() if isinstance(v, np.generic) else v for v in read]
    strange = sorted({type(value).__name__ for value in plain if type(value) not in _PLAIN_TYPES})
    if strange:
        raise ValueError(f"column {name!r} holds {strange[0]} values, not numbers or text")
    return plain


def _read(word: str) -> str | float:
    """The number, true or false that a reader of files takes `word` for, or the word itself."""
    if word.lower() in _TRUTHS:
        return _TRUTHS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word.replace("_", "?"))  # 1_000 is a number to Python alone
        except ValueError:
            continue
    return word


def _as_key(value: str | float) -> tuple[bool, str | float]:
    """What tells 1 from true, and not from 1.0."""
    return isinstance(value, bool), value
