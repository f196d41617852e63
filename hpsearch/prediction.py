"""Prediction: what an exported network predicts for the rows of a table.

Registered models import this module by its name, so it stays where it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cells import known_words
from hpsearch.data.columns import Column, from_plain
from hpsearch.data.files import TABLES, ReadTable, read_frame, suffix_of
from hpsearch.data.labels import labels_of
from hpsearch.data.remote import is_url
from hpsearch.data.rows import encode_rows, unknown_categories
from hpsearch.data.table import check_column, weights_of
from hpsearch.errors import DataError
from hpsearch.evaluation.bootstrap import draws_for, resampled, score_interval
from hpsearch.formatting import counted
from hpsearch.trainables.scoring import (
    OF_ONE_CLASS,
    Predicted,
    Truth,
    positive_class,
    scores_of,
)
from hpsearch.trials.metrics import higher_is_better
from model.checkpoint import Checkpoint
from model.outputs import Threshold, decided

if TYPE_CHECKING:
    import pandas as pd

MAX_NAMED = 5  # columns that a note names
FEW_ROWS = 100  # below which a note says how uncertain scores are
MOST_CELLS = 20_000  # rows × classes of which intervals are found in a second


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network predicts for the n rows of a table.

    classes: the names of the k classes or labels, or None for numbers. outputs: the probability of
    each class or label (n, k), or the numbers (n, k) in their own units. words: of several labels,
    what stands for no and yes in each. targets: what is predicted; the columns of the
    table that the network was trained on, or "prediction". kept: columns of the table itself.
    threshold: of two classes, from which probability on one of them is predicted. notes: sentences
    about columns that were ignored and words that are unknown.
    """

    classes: NDArray[Any] | None
    outputs: NDArray[Any]
    targets: tuple[str, ...]
    kept: pd.DataFrame
    words: tuple[tuple[str, str], ...] = ()
    threshold: Threshold | None = None
    notes: tuple[str, ...] = ()

    @property
    def probabilities(self) -> NDArray[Any]:
        """The probability of each class or label (n, k); raises DataError for numbers."""
        if self.classes is None:
            raise DataError("the network predicts numbers, which have no probabilities")
        return self.outputs

    @property
    def decided(self) -> NDArray[np.intp]:
        """The number of the class (n,) of each row, or which labels it has (n, k) as 0 and 1."""
        return decided(self.outputs, self.threshold, multilabel=bool(self.words))

    @property
    def labels(self) -> NDArray[Any]:
        """The class (n,) of each row, the most probable one or as the threshold says.

        Of several labels, the word of each (n, k). Of numbers, these: (n,) of one target, (n, k) of
        several.
        """
        if self.classes is None:
            return self.outputs[:, 0] if self.outputs.shape[1] == 1 else self.outputs
        if self.words:
            no, yes = (np.array(words) for words in zip(*self.words, strict=True))
            return np.where(self.decided == 1, yes, no)
        labels: NDArray[Any] = self.classes[self.decided]
        return labels

    def frame(self, *, proba: bool = False) -> pd.DataFrame:
        """Return the kept columns and the labels, or with `proba` the probabilities."""
        import pandas as pd

        if proba:
            found = pd.DataFrame(self.probabilities, columns=self.classes)
        else:
            found = pd.DataFrame(self.labels.reshape(len(self.outputs), -1))
            found.columns = pd.Index([*self.targets])
        return pd.concat([self.kept.reset_index(drop=True), found], axis=1)


def predict_table(
    model: str | os.PathLike[str], table: str | os.PathLike[str], *, keep: Sequence[str] = ()
) -> Prediction:
    """Return the prediction of an exported network for a file with a table; raise DataError.

    Columns are found by name, in any order, and encoded as in training. A category that training
    did not have is encoded as none of the known ones. keep: columns to carry along, such as an id.
    """
    saved, path = load_model(model), Path(table)
    _check_local(table)
    try:
        rows = _read(path, from_plain(saved.columns), keep)
        prediction = predict_frame(saved, rows.frame, keep=keep)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    notes = (*rows.notes, *prediction.notes)
    return replace(prediction, notes=tuple(f"{path}: {sentence}" for sentence in notes))


def predict_frame(
    saved: Checkpoint, frame: pd.DataFrame, *, keep: Sequence[str] = ()
) -> Prediction:
    """Return the prediction for each row of `frame`; raise DataError, which names no file."""
    columns = from_plain(saved.columns)
    try:
        for name in keep:
            check_column(name, [*map(str, frame.columns)])
        x = encode_rows(frame, columns)
    except ValueError as error:
        raise DataError(str(error)) from error
    numbers = saved.network.loss.regression
    # Scale in the precision of the table, as in training, before the values become float32.
    outputs = saved.network.predict(saved.scaler(x))
    notes = (*_ignored(frame, columns, keep), *unknown_categories(frame, columns))
    return Prediction(
        classes=None if numbers else saved.classes,
        outputs=saved.target_scaler.inverse(outputs) if numbers else outputs,
        targets=saved.target_names or ("prediction",),
        kept=frame[[*keep]],
        words=saved.words,
        threshold=saved.threshold,
        notes=notes,
    )


@dataclass(frozen=True)
class Scores:
    """How an exported network does on labelled rows, and how it did on its own test rows.

    now: scores by name, NaN of one that these rows do not have. before: the same, as far as they
    are known. intervals: of those that are known from before, 95 % over rows of this kind; {} for
    very many rows, where chance matters little. notes: as of a prediction.
    """

    rows: int
    now: Mapping[str, float]
    before: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def drops(self) -> dict[str, float]:
        """By how much each score that is known from before is worse now, in its own units."""
        signs = {name: 1 if higher_is_better(name) else -1 for name in self.now}
        return {
            name: signs[name] * (self.before[name] - value)
            for name, value in self.now.items()
            if name in self.before
        }

    def drop(self, metric: str) -> float | None:
        """Return by how much a score is worse now, None if it is not known from before.

        Raises DataError if these rows do not have the score, such as roc_auc of a single class.
        """
        drop = self.drops.get(metric)
        if drop is not None and isnan(drop):
            raise DataError(f"{metric} cannot be computed on these rows; use rows of all classes")
        return drop

    def may_be_chance(self, metric: str) -> bool:
        """Return whether other rows of this kind may well score as the test rows did."""
        low, high = self.intervals.get(metric, (nan, nan))
        return low <= self.before.get(metric, nan) <= high

    def as_plain(self) -> dict[str, Any]:
        """Return the scores as plain data for JSON, which has no NaN."""
        return {
            "rows": self.rows,
            "now": _known(self.now),
            "test_rows": dict(self.before),
            "intervals": dict(self.intervals),
            "drops": _known(self.drops),
        }


def score_table(
    model: str | os.PathLike[str], table: str | os.PathLike[str], *, positive: str | None = None
) -> Scores:
    """Return how an exported network does on a table with labels; raise DataError.

    Rows without a label are left out, and others count as the column says that was the weight of
    the rows in the study. positive: of two classes the one that some scores are about; None: the
    one of the network's own test scores.
    """
    saved, path = load_model(model), Path(table)
    _check_local(table)
    if not saved.target_names:
        raise DataError(f"{model}: does not say which column it predicts; export it again")
    try:
        weight: str | None = saved.notes.get("weight")
        rows = _read(path, from_plain(saved.columns), saved.target_names)
        frame = rows.frame
        names = [*map(str, frame.columns)]
        for name in saved.target_names:
            check_column(name, names)
        frame = frame.dropna(subset=[*saved.target_names]).reset_index(drop=True)
        if frame.empty:
            raise DataError("has no row with a label")
        weights = [weight] if weight is not None and weight in names else []
        prediction = predict_frame(saved, frame, keep=[*saved.target_names, *weights])
        truth = _truth(saved, frame, positive)
        if weights:
            truth = replace(truth, weights=weights_of(frame[weights[0]]))
    except (DataError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    numbers = prediction.classes is None
    predicted = Predicted(prediction.outputs)
    if not numbers:
        predicted = Predicted(prediction.decided, prediction.outputs)
    now = scores_of(truth.known_scores(), truth, predicted)
    before = _test_scores(saved, truth)
    intervals = _intervals([name for name in now if name in before], truth, predicted)
    notes = [*rows.notes, *prediction.notes]
    if weight is not None and not weights:
        notes.append(f"has no column {weight!r}, which says how much a row counts; all count alike")
    if intervals and len(frame) < FEW_ROWS:
        notes.append(
            f"{counted(len(frame), 'labelled row')}, so few that chance alone moves a score within "
            "its interval"
        )
    return Scores(
        rows=len(frame),
        now=now,
        before=before,
        intervals=intervals,
        notes=tuple(f"{path}: {note}" for note in notes),
    )


def _known(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if isnan(value) else value for name, value in scores.items()}


def _test_scores(saved: Checkpoint, truth: Truth) -> dict[str, float]:
    """Return the network's scores on its own test rows, without those about another class."""
    scores = saved.notes.get("test_scores", {})
    found = {name.removeprefix("test/"): value for name, value in scores.items()}
    if truth.class_names and not truth.multilabel:
        own = positive_class(truth.class_names, saved.notes.get("positive"))
        if truth.positive != own:
            return {name: value for name, value in found.items() if name not in OF_ONE_CLASS}
    return found


def _intervals(
    metrics: Sequence[str], truth: Truth, predicted: Predicted
) -> dict[str, tuple[float, float]]:
    if len(truth.y) * max(1, len(truth.class_names)) > MOST_CELLS:
        return {}
    drawn = resampled(metrics, truth, [predicted], draws_for(len(truth.y)))[:, 0]
    return {
        name: score_interval(name, truth, predicted, values)
        for name, values in zip(metrics, drawn, strict=True)
        if not np.isnan(values).all()
    }


def _truth(saved: Checkpoint, frame: pd.DataFrame, positive: str | None) -> Truth:
    """Return the labels of a table as the network knows them; raise DataError or ValueError."""
    if saved.network.loss.regression:
        columns = [labels_of(frame[name], name, "regression").y for name in saved.target_names]
        return Truth(np.column_stack(columns))
    classes = [str(name) for name in saved.classes.tolist()]
    if saved.words:
        positive_class(classes, positive, multilabel=True)  # refuses one that is named
        pairs = zip(saved.target_names, saved.words, strict=True)
        return Truth(np.column_stack([_places(frame, *pair) for pair in pairs]), classes)
    positive = saved.notes.get("positive") if positive is None else positive
    y = _places(frame, saved.target_names[0], classes)
    return Truth(y, classes, positive_class(classes, positive))


def _places(frame: pd.DataFrame, target: str, classes: Sequence[str]) -> NDArray[np.intp]:
    """Return the number of each row's class (n,) in the column of the labels; raise DataError."""
    place = {name: number for number, name in enumerate(classes)}
    words = [str(word).strip() for word in known_words(target, frame[target], classes)]
    unknown = [word for word in dict.fromkeys(words) if word not in place]
    if unknown:
        raise DataError(
            f"column {target!r} holds {unknown[0]!r}, which is none of the classes "
            f"({', '.join(classes)})"
        )
    return np.array([place[word] for word in words], np.intp)


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
    columns = from_plain(saved.columns)
    if sum(len(column.feature_names) for column in columns) != saved.network.n_inputs:
        raise DataError(
            f"{path}: does not say which columns it was trained on; use a file that "
            "`hpsearch export NAME -f npz` wrote"
        )
    return saved


def _check_local(path: str | os.PathLike[str]) -> None:
    if is_url(place := os.fspath(path)):
        raise DataError(
            f"{place}: is a URL, and only local files are read; download the file and give its path"
        )


def _read(path: Path, columns: Sequence[Column], keep: Sequence[str]) -> ReadTable:
    """Return the table in a file; columns that training had as text stay text. Raise DataError."""
    if suffix_of(path) not in TABLES:
        known = f"{', '.join(TABLES[:-1])} or {TABLES[-1]}"
        raise DataError(f"is not a table; use a {known} file")
    try:
        return read_frame(
            path,
            needed=[column.name for column in columns],
            text=[*(column.name for column in columns if column.is_text), *keep],
            early=all(column.is_early for column in columns),
        )
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(str(error)) from error


def _ignored(frame: pd.DataFrame, columns: Sequence[Column], keep: Sequence[str]) -> list[str]:
    """Return a note about the columns that are not features, [] if there are none."""
    known = {*(column.name for column in columns), *keep}
    others = [name for name in frame.columns if name not in known]
    if not others:
        return []
    more = ", …" if len(others) > MAX_NAMED else ""
    names = ", ".join(map(repr, others[:MAX_NAMED])) + more
    return [f"ignored what the network was not trained on: {names}"]
