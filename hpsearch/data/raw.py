"""What a source holds before any split: `RawData` of arrays, and the features of some of its rows.

`data.table` has the same for a table whose columns are not numbers yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Column, Words

if TYPE_CHECKING:
    import pandas as pd

Indices = NDArray[np.intp]


def task_of(class_names: Sequence[str], y: NDArray[Any]) -> str:
    """Return what labels y are for: "classification", "multilabel" or "regression"."""
    if not class_names:
        return "regression"
    return "classification" if y.ndim == 1 else "multilabel"


@dataclass(frozen=True, eq=False)
class Prepared:
    """Features, fitted on training rows.

    x_train: (rows, d), of the training rows. features: returns those of other rows by number.
    notes: sentences about the columns that a person should read.
    """

    columns: tuple[Column, ...]
    x_train: NDArray[Any]
    features: Callable[[Indices], NDArray[Any]]
    notes: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each of the d features."""
        return tuple(name for column in self.columns for name in column.feature_names)


@dataclass(frozen=True, eq=False)
class RawData:
    """Everything that a source of numbers holds.

    y: class indices (n,), several labels (n, k) of 0 and 1, or numbers (n, k). class_names: in the
    order of the indices, those of the labels, or () of numbers. target_names: the columns of y, ()
    if they have no names. words: what 0 and 1 stand for in each of several labels. n_val, n_test:
    how many of the last rows are the source's own validation rows, and its own test set, which
    comes after them. notes: sentences about what may not be meant.
    """

    x: NDArray[Any]  # (n, d), real and finite, in the source's own precision
    y: NDArray[Any]
    columns: tuple[Column, ...]
    class_names: tuple[str, ...]
    target_names: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    n_val: int = 0
    n_test: int = 0
    # Class names as version 0.1 read them from a .csv file, "1" for "01": stored digests are of
    # these. Empty where they are the class names.
    early_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    weights = None  # all rows count alike

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each of the d features."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def task(self) -> str:
        """What the labels are for; see `task_of`."""
        return task_of(self.class_names, self.y)

    @property
    def digest(self) -> str:
        """The SHA-256 of the raw data, shortened to 32 hex digits."""
        class_names = self.early_names or self.class_names
        facts = (self.x.shape, self.x.dtype.str, self.n_test, self.feature_names, class_names)
        digest = hashlib.sha256(repr((*facts, self.words) if self.words else facts).encode())
        digest.update(np.ascontiguousarray(self.x).data)
        digest.update(np.ascontiguousarray(self.y, "<i8" if self.class_names else "<f8").data)
        return digest.hexdigest()[:32]

    def prepare(self, train: Indices) -> Prepared:
        """Return the features as they are."""
        return Prepared(self.columns, self.x[train], self.x.__getitem__)

    def as_read(self, rows: Indices) -> pd.DataFrame:
        """Return rows as their table has them, words in place of one-hot features."""
        import pandas as pd

        values, start = {}, 0
        for column in self.columns:
            end = start + len(column.feature_names)
            block = self.x[rows, start:end]
            if isinstance(column, Words):
                values[column.name] = [column.categories[which] for which in block.argmax(axis=1)]
            else:
                values[column.name] = block[:, 0].tolist()
            start = end
        return pd.DataFrame(values)
