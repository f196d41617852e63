"""Prediction: the classes that an exported network predicts for the rows of a table.

Registered models import this module by its name, so it stays where it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from model.checkpoint import Checkpoint
from model.columns import Column
from model.rows import encode_rows, unknown_categories
from model.sources import check_local
from model.tables import read_frame

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet")
MAX_NAMED = 5  # columns that a note names


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities (n, k) of the k classes for the n rows of a table.

    `notes` are sentences about columns that were ignored and categories that are unknown.
    """

    classes: NDArray[Any]
    probabilities: NDArray[np.float32]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[Any]:
        """The most probable class (n,) of each row."""
        labels: NDArray[Any] = self.classes[self.probabilities.argmax(axis=1)]
        return labels


def predict_table(model: str | os.PathLike[str], table: str | os.PathLike[str]) -> Prediction:
    """Return the prediction of an exported network for a .csv or .parquet table; raise DataError.

    Columns are found by name, in any order, and encoded as in training. A category that training
    did not have is encoded as none of the known ones.
    """
    saved, path = load_model(model), Path(table)
    _check_local(table)
    try:
        prediction = predict_frame(saved, _read(path, saved.columns))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    notes = tuple(f"{path}: {sentence}" for sentence in prediction.notes)
    return replace(prediction, notes=notes)


def predict_frame(saved: Checkpoint, frame: pd.DataFrame) -> Prediction:
    """Return the prediction for each row of `frame`; raise DataError, which names no file."""
    try:
        x = encode_rows(frame, saved.columns)
    except ValueError as error:
        raise DataError(str(error)) from error
    # Scale in the precision of the table, as in training, before the values become float32.
    probabilities = saved.network.predict_proba(saved.scaler(x))
    notes = (*_ignored(frame, saved.columns), *unknown_categories(frame, saved.columns, x))
    return Prediction(saved.classes, probabilities, notes)


def load_model(path: str | os.PathLike[str]) -> Checkpoint:
    """Return a saved network with the columns it was trained on; raise DataError."""
    _check_local(path)
    try:
        saved = Checkpoint.load(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        hint = "; `hpsearch export NAME -f npz` writes one" if missing else ""
        raise DataError(f"{path}: cannot be read: {error.strerror}{hint}") from error
    except ValueError as error:
        raise DataError(str(error)) from error
    if sum(len(column.feature_names) for column in saved.columns) != saved.network.n_inputs:
        raise DataError(
            f"{path}: does not say which columns it was trained on; use a file that "
            "`hpsearch export NAME -f npz` wrote"
        )
    return saved


def _check_local(path: str | os.PathLike[str]) -> None:
    try:
        check_local(os.fspath(path))
    except ValueError as error:
        raise DataError(str(error)) from error


def _read(path: Path, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the table in a file; columns that training had as text stay text. Raise DataError."""
    if path.suffix.lower() not in TABLES:
        raise DataError(f"is not a table; use a {' or '.join(TABLES)} file")
    try:
        return read_frame(
            path,
            needed=[column.name for column in columns],
            text=[column.name for column in columns if column.categories],
        )
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(str(error)) from error


def _ignored(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Return a note about the columns that are not features, [] if there are none."""
    known = {column.name for column in columns}
    others = [name for name in frame.columns if name not in known]
    if not others:
        return []
    more = ", …" if len(others) > MAX_NAMED else ""
    names = ", ".join(map(repr, others[:MAX_NAMED])) + more
    return [f"ignored what the network was not trained on: {names}"]
