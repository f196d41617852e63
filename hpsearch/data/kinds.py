"""What the columns of a table are taken for, as their training rows have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.cells import (
    as_numbers,
    as_text,
    holds_dates,
    is_number,
    plain_values,
)
from hpsearch.data.labels import blanks
from hpsearch.data.options import TableOptions
from hpsearch.formatting import counted, joined

if TYPE_CHECKING:
    import pandas as pd

TOLERATED = 0.05  # share of the cells that are no numbers in a column of numbers
TEXT_WORDS = 5  # words in a cell of free text, on average
LIKE_WORDS = 3  # words in a cell that may be text if it is asked for
GROUPED = re.compile(r"\s*-?\d{1,3}([,'\u00a0 ]\d{3})+(\.\d+)?\s*")  # 1,234,567.8
COMMA = re.compile(r"\s*-?\d+,\d+\s*")  # 3,14
IDENTIFIER = re.compile(  # the names of columns that name the rows
    r"(^|[\W_])(id|ids|key|number|no|nr|index)$"
    r"|^(row|rows|rownames|obs|case|sample|record|column \d+)$|^unnamed",
    re.IGNORECASE,
)
USED = ("numbers", "words", "means", "dates", "text")


@dataclass(frozen=True)
class Kind:
    """What a column is taken for.

    kind: one in USED, or why it is left out: "dropped", "id", "groups", "weight", "empty",
    "constant", "row number", "all different". missing: its empty cells. values: how many different
    ones it has. odd: its cells that are no numbers, in a column of numbers. note: a sentence about
    it, or "".
    """

    name: str
    kind: str
    missing: int = 0
    values: int = 0
    odd: int = 0
    note: str = ""

    @property
    def used(self) -> bool:
        """Whether features are made of it."""
        return self.kind in USED


def kinds_of(frame: pd.DataFrame, options: TableOptions) -> list[Kind]:
    """Return what each column is taken for.

    frame: training rows, with the numbers of the rows in the table as its index. Raises ValueError,
    which names all columns of free text at once.
    """
    found = [_kind_of(str(name), frame[name], options) for name in frame.columns]
    texts = [kind.name for kind in found if kind.kind == "text"]
    if texts and options.text == "refuse":
        names = joined([*map(repr, texts)])
        hold, them, their = ("hold", "them", "their") if len(texts) > 1 else ("holds", "it", "its")
        listed = ", ".join(f'"{name}"' for name in texts)
        raise ValueError(
            f'column{"s" * (len(texts) > 1)} {names} {hold} free text; text = "tfidf" makes '
            f"features of {their} words, and drop = [{listed}] leaves {them} out"
        )
    return found


def _kind_of(name: str, values: pd.Series[Any], options: TableOptions) -> Kind:
    if name in options.left_out:
        return Kind(name, options.role_of(name))
    plain = plain_values(values)
    missing, different = int(plain.isna().sum()), _distinct(name, plain)
    facts: dict[str, Any] = {"missing": missing, "values": different}
    if missing == len(plain):
        return Kind(name, "empty", **facts)
    if different == 1 and not missing:
        return Kind(name, "constant", **facts)
    if is_number(values) or is_number(plain) or values.dtype.kind == "m":
        return _numbers(name, values, facts)
    if holds_dates(plain):
        return Kind(name, "dates", **facts)
    return _words(name, plain, facts, options)


def _numbers(name: str, values: pd.Series[Any], facts: dict[str, Any]) -> Kind:
    numbers = as_numbers(values).to_numpy(np.float64)
    offsets = numbers - values.index.to_numpy(np.float64)
    note = ""
    if len(numbers) > 2 and (offsets == offsets[0]).all():
        if IDENTIFIER.search(name):
            return Kind(name, "row number", **facts)
        note = (
            f"column {name!r} only numbers the rows, and is learned from like any other; leave it "
            f'out with id = ["{name}"] if it is no feature'
        )
    whole = facts["values"] == len(numbers) and not (numbers % 1).any()
    if whole and not note and IDENTIFIER.search(name):
        note = (
            f"column {name!r} is a different whole number in every row; if it only names the rows, "
            f'id = ["{name}"] leaves it out'
        )
    return Kind(name, "numbers", **facts, note=note)


def _words(name: str, words: pd.Series[Any], facts: dict[str, Any], options: TableOptions) -> Kind:
    present = words.dropna()
    odd = int(as_numbers(present).isna().sum())
    if odd <= TOLERATED * len(present):
        return Kind(name, "numbers", **facts, odd=odd, note=_odd_cells(name, present, odd))
    text = present.map(str)
    if facts["values"] > options.max_categories:
        length = text.str.count(r"\S+").mean()
        if length >= (TEXT_WORDS if options.text == "refuse" else LIKE_WORDS):
            return Kind(name, "text", **facts)
        if facts["values"] == len(text):
            return Kind(name, "all different", **facts)
    notes = [*_spelled_numbers(name, text), *blanks(f"column {name!r}", sorted(set(text)))]
    kind = "words" if facts["values"] <= options.max_categories else "means"
    return Kind(name, kind, **facts, note="; ".join(notes))


def _distinct(name: str, values: pd.Series[Any]) -> int:
    try:
        return int(values.nunique())
    except TypeError:  # lists, which have no hash
        as_text(name, values.dropna())
        raise


def _odd_cells(name: str, present: pd.Series[Any], odd: int) -> str:
    if not odd:
        return ""
    first = present[as_numbers(present).isna().to_numpy()].iloc[0]
    return (
        f"column {name!r} holds numbers, and {first!r} "
        f"{'is' if odd == 1 else f'and {odd - 1} more are'} taken for empty"
    )


def _spelled_numbers(name: str, text: pd.Series[Any]) -> Iterator[str]:
    """Yield a sentence if the words are numbers with a decimal comma or separated thousands."""
    for pattern, key, how in (
        (COMMA, 'decimal = ","', "a decimal comma"),
        (GROUPED, 'thousands = ","', "separated thousands"),
    ):
        if text.map(lambda word, p=pattern: bool(p.fullmatch(word))).mean() > 1 - TOLERATED:
            yield (
                f"column {name!r} seems to hold numbers with {how} ({text.iloc[0]!r}), which count "
                f"as words; {key} reads them"
            )
            return


def used(kinds: Sequence[Kind]) -> list[Kind]:
    """Return the columns that become features; raises ValueError if none does."""
    found = [kind for kind in kinds if kind.used]
    if not found:
        raise ValueError("has no column left for features; see `hpsearch look`")
    return found


def notes_on(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Return sentences about the columns that a person should read."""
    return tuple(filter(None, [left_out(kinds), *(kind.note for kind in kinds)]))


def left_out(kinds: Sequence[Kind]) -> str:
    """Return a sentence about the columns that are left out without being asked, "" if none is."""
    named = {
        "row number": "only numbers the rows",
        "all different": "is different in every row",
        "empty": "is empty",
    }
    said = [f"{kind.name!r} {named[kind.kind]}" for kind in kinds if kind.kind in named]
    if not said:
        return ""
    what = "column" if len(said) == 1 else counted(len(said), "column")
    return f"{what} left out: {', '.join(said)}"
