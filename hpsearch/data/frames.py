"""A table as estimators take it: numbers with their gaps, words as categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpsearch.data.cells import as_numbers, plain_values
from hpsearch.data.columns import KINDS
from hpsearch.data.kinds import Kind, notes_on, used
from hpsearch.data.raw import Indices, RawData
from hpsearch.data.table import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CATEGORIES = 255  # what a histogram of gradient boosting holds


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """Columns for an estimator, fitted on training rows.

    x_train: of the training rows. rows: returns those of other rows by number.
    """

    x_train: pd.DataFrame
    rows: Callable[[Indices], pd.DataFrame]
    notes: tuple[str, ...] = ()


def prepare_frame(source: Source, train: Indices) -> PreparedFrame:
    """Return the columns as they are fitted on the rows `train`; raises ValueError.

    Numbers stay as they are, missing ones included. Words become categories, which are those of the
    training rows, or means of the target if there are more than MOST_CATEGORIES. Dates and free
    text become numbers, as for the network.
    """
    if isinstance(source, RawData):
        whole = pd.DataFrame(source.x, columns=list(source.feature_names)).astype(np.float64)
        return PreparedFrame(whole.iloc[train], lambda rows: whole.iloc[rows])
    kinds = source.kinds(train)
    frame, y = source.frame.iloc[train], source.y[train]
    fitted = [_fitted(kind, frame[kind.name], y, source.class_names) for kind in used(kinds)]

    def rows_of(rows: Indices) -> pd.DataFrame:
        return _joined([each.apply(source.frame[each.name].iloc[rows]) for each in fitted])

    training = _joined([each.training for each in fitted])
    return PreparedFrame(training, rows_of, notes_on(kinds))


@dataclass(frozen=True, eq=False)
class _Fitted:
    name: str
    training: pd.DataFrame
    apply: Callable[[pd.Series[Any]], pd.DataFrame]


def _fitted(
    kind: Kind, values: pd.Series[Any], y: NDArray[Any], class_names: tuple[str, ...]
) -> _Fitted:
    name = kind.name
    if kind.kind == "numbers":
        return _Fitted(name, _numbers(name, values), lambda cells: _numbers(name, cells))
    if kind.kind in ("words", "means") and kind.values <= MOST_CATEGORIES:
        known = pd.CategoricalDtype(sorted(_text(values).dropna().unique()))
        return _Fitted(name, _words(name, values, known), lambda cells: _words(name, cells, known))
    fit = KINDS["means" if kind.kind == "words" else kind.kind].fitted  # too many for categories
    column, features = fit(name, values, y, class_names)
    names = list(column.feature_names)
    return _Fitted(
        name,
        pd.DataFrame(features, columns=names),
        lambda cells: pd.DataFrame(column.encode(cells), columns=names),
    )


def _numbers(name: str, cells: pd.Series[Any]) -> pd.DataFrame:
    return pd.DataFrame({name: as_numbers(cells)})


def _words(name: str, cells: pd.Series[Any], known: pd.CategoricalDtype) -> pd.DataFrame:
    words = _text(cells)
    return pd.DataFrame({name: words.where(words.isin(known.categories)).astype(known)})


def _text(cells: pd.Series[Any]) -> pd.Series[Any]:
    return plain_values(cells).map(str, na_action="ignore").reset_index(drop=True)


def _joined(columns: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(columns, axis=1)
