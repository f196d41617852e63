"""What is to be predicted: classes as indices, several labels as 0 and 1, or numbers.

Errors name the column and the row (1 is the first row of data), but not the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.data.cells import (
    alike_but_for_blanks,
    as_numbers,
    check_complete,
    holds_dates,
    is_number,
    numbers_in,
    plain_values,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_NUMBERS = 20  # different numbers that may be classes
MOST_LISTED = 5  # targets in an error message
NEEDED_TO_SEAL = 7  # rows of a class, so that each of three parts has one; see `data.splitting`


@dataclass(frozen=True, eq=False)
class Labels:
    """Class indices (n,) with the name of each class, or numbers (n, k) and no classes.

    Several labels are y (n, k) of 0 and 1: class_names are those of the columns, and words what 0
    and 1 stand for in each.
    """

    targets: tuple[str, ...]  # the columns; () if the source has no names
    y: NDArray[Any]
    class_names: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read_labels(frame: pd.DataFrame, targets: Sequence[str], task: str, *, written: bool) -> Labels:
    """Return the labels in the columns `targets` of a table, which are complete.

    task: "classification", "regression", or "auto". written: whether the columns are the text of
    a file, whose words may spell numbers.
    """
    if len(targets) > 1:
        return several_labels(frame[[*targets]], task, "target", written=written)
    target = targets[0]
    return labels_of(frame[target], f"target {target!r}", task, name=target, written=written)


def labels_of(
    values: pd.Series[Any], what: str, task: str, *, name: str = "y", written: bool = False
) -> Labels:
    """Return the labels of one target; see `read_labels`. `what` names it in errors."""
    check_complete(plain_values(values), what)
    note = ""
    if task == "auto":
        spelled = numbers_in(plain_values(values)) if written else None
        task, note = _task_of(values if spelled is None else spelled, what)
    if task == "regression":
        said = tuple(filter(None, [note]))
        return Labels((name,), _numbers(values, what)[:, None], notes=said)
    if written:
        y, class_names, _ = encode_written(values, what)
    else:
        y, class_names = encode_labels(values, what, fractions=True)
    notes = (*([note] if note else []), *blanks(what, class_names))
    return Labels((name,), y, class_names, notes=notes)


def several_labels(columns: pd.DataFrame, task: str, what: str, *, written: bool = False) -> Labels:
    """Return the labels of several targets: numbers, or labels of two values each.

    what: names a column in errors, before its name. See `read_labels`.
    """
    names = tuple(map(str, columns))
    values = {name: plain_values(columns[name]) for name in names}
    if written:
        spelled = {name: numbers_in(each) for name, each in values.items()}
        values |= {name: each for name, each in spelled.items() if each is not None}
    different = {name: each.nunique() for name, each in values.items()}
    odd = [name for name, number in different.items() if number != 2]
    numbers = all(map(is_number, values.values()))
    if task == "regression" or (task == "auto" and odd and numbers):
        found = [_numbers(columns[name], f"{what} {name!r}") for name in names]
        return Labels(names, np.column_stack(found))
    if odd:
        listed = ", ".join(f"{name!r} ({different[name]:,})" for name in odd[:MOST_LISTED])
        more = ", …" if len(odd) > MOST_LISTED else ""
        kinds = "must hold two values each" + (", or all be numbers" if task == "auto" else "")
        raise ValueError(
            f"several targets {kinds}, and these hold another number of values: {listed}{more}; "
            "leave them out, or name one target"
        )
    each = [
        labels_of(columns[name], f"{what} {name!r}", "classification", written=written)
        for name in names
    ]
    words = tuple((one.class_names[0], one.class_names[1]) for one in each)
    y, notes = np.column_stack([one.y for one in each]), []
    if task == "auto" and numbers:
        notes.append(
            f"each of the {len(names)} targets holds two numbers, which are taken for no and yes; "
            'task = "regression" takes them for numbers'
        )
    if (y.sum(axis=1) == 1).all():
        notes.append(
            f"every row has exactly one of the {len(names)} labels; if they are the classes of one "
            "target, write their names into one column and name that"
        )
    return Labels(names, y, names, words, tuple(notes))


def array_labels(labels: NDArray[Any], what: str, task: str) -> Labels:
    """Return the labels of an array (n,), or several (n, k); `what` names it in errors.

    task "auto": whole numbers are classes, and so are up to MOST_NUMBERS different fractions.
    """
    import pandas as pd

    if labels.ndim == 2:
        if labels.shape[1] == 1 and task == "auto":
            task = "regression"
        names = [f"y{number}" for number in range(labels.shape[1])]
        return several_labels(pd.DataFrame(labels, columns=names), task, f"{what}, column")
    if task == "auto":
        real = labels.dtype.kind == "f" and np.isfinite(labels).all()
        fractions = len(np.unique(labels[labels % 1 != 0])) if real else 0
        task = "regression" if fractions > MOST_NUMBERS else "classification"
    return labels_of(pd.Series(labels), what, task)


def _task_of(values: pd.Series[Any], what: str) -> tuple[str, str]:
    """Return what labels are for, and a sentence about it where that is not plain."""
    import pandas as pd

    plain = plain_values(values)
    if not is_number(plain):
        return "classification", ""
    counts = plain.value_counts()
    if len(counts) <= 2 or pd.api.types.is_bool_dtype(plain):
        return "classification", ""
    if len(counts) > MOST_NUMBERS or counts.min() < NEEDED_TO_SEAL:
        few = len(counts) <= MOST_NUMBERS
        why = f"some of them in fewer than {NEEDED_TO_SEAL} rows, " if few else ""
        return "regression", (
            f"{what} holds {len(counts):,} different numbers, {why}so this is a regression; "
            'task = "classification" takes them for classes'
        )
    return "classification", (
        f"{what} holds {len(counts)} different numbers, which are taken for classes; "
        'task = "regression" takes them for numbers'
    )


def _numbers(values: pd.Series[Any], what: str) -> NDArray[np.float64]:
    numbers = as_numbers(values).to_numpy(np.float64)
    absent = np.flatnonzero(~np.isfinite(numbers))
    if len(absent):
        row, cell = absent[0] + 1, values.iloc[absent[0]]
        found = f"is {cell!r} in row {row}" if isinstance(cell, str) else f"is {cell} in row {row}"
        raise ValueError(f"{what} {found}, and a regression needs numbers")
    if (numbers == numbers[0]).all():
        raise ValueError(f"{what} is {numbers[0]:g} in every row; there is nothing to predict")
    return numbers


def encode_labels(
    labels: ArrayLike, what: str, *, fractions: bool = False
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return class indices (n,) and the name of each class, in the sorted order of the labels.

    Classes may be whole numbers, text, bytes, booleans, or fractions: up to 20 different ones, or
    any number with `fractions`. `what` names the labels in errors.
    """
    y, names = _find_classes(labels, what, fractions=fractions)
    _check_several(names, what)
    return y, names


def encode_written(
    labels: pd.Series[Any], what: str
) -> tuple[NDArray[np.intp], tuple[str, ...], tuple[str, ...]]:
    """Return class indices, class names and early names (see RawData) of the words of a .csv."""
    words = plain_values(labels)
    check_complete(words, what)
    numbers = numbers_in(words)
    if numbers is None or not is_number(numbers):
        return (*encode_labels(words, what), ())
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


def blanks(what: str, words: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if two of the words differ only in blanks."""
    if pair := next(alike_but_for_blanks(words), None):
        yield (
            f"{what} holds {pair[0]!r} and {pair[1]!r}, which differ only in blanks and count as "
            "two; remove the blanks if they are one"
        )


def _find_classes(
    labels: ArrayLike, what: str, *, fractions: bool = False
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    import pandas as pd

    values = plain_values(pd.Series(labels))
    check_complete(values, what)
    if holds_dates(values):
        raise ValueError(f"{what} holds dates; it must hold classes")
    if pd.api.types.is_float_dtype(values):
        _check_fractions(
            values.to_numpy(np.float64), what, most=None if fractions else MOST_NUMBERS
        )
    if not is_number(values):
        values = values.map(str)
    classes, y = np.unique(values.to_numpy(), return_inverse=True)
    return y.astype(np.intp), tuple(_class_name(label) for label in classes.tolist())


def _check_several(names: Sequence[str], what: str) -> None:
    if len(names) == 1:
        raise ValueError(f"{what} is {names[0]!r} in every row; at least two classes are needed")


def _check_fractions(values: NDArray[np.float64], what: str, most: int | None) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(f"{what} is infinite in row {infinite.argmax() + 1}; it must hold classes")
    count = len(np.unique(values[values % 1 != 0]))
    if most is not None and count > most:
        raise ValueError(
            f"{what} has {count} different fractional values, which are no classes; "
            'use task = "regression"'
        )


def _class_name(label: object) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
