"""What final models do on the test rows: scores with intervals, calibration and residuals.

All of it is stored as plain data, which has no NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.evaluation.bootstrap import (
    Interval,
    draws_for,
    resampled,
    score_interval,
    share_interval,
)
from hpsearch.trainables.scoring import Predicted, Truth, scores_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

USUAL = (
    *("accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "roc_auc", "log_loss"),
    *("rmse", "mae", "r2"),
)
BINS, ROWS_IN_A_BIN = 10, 20  # of a calibration curve: at most, and at least
MOST_POINTS, MOST_TARGETS = 300, 3  # of the residuals that are kept


@dataclass(frozen=True)
class FinalScore:
    """A score on the test rows.

    first: of the first final model. interval: 95 % of it, over test rows of this kind; None for a
    score that is only kept. each: of all final models; () if not known. together: of their
    ensemble, None if there is none.
    """

    name: str
    first: float | None
    interval: tuple[float | None, ...] | None
    each: tuple[float | None, ...] = ()
    together: float | None = None


@dataclass(frozen=True)
class Bin:
    """Rows of similar probabilities: their mean, and the share of them that it is true of."""

    rows: int
    predicted: float
    observed: float

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the observed share (Wilson, 1927)."""
        return share_interval(round(self.observed * self.rows), self.rows)


@dataclass(frozen=True)
class Calibration:
    """How often what has some probability is true, on the test rows.

    of: the class that the probabilities are of; "" for those of each row's most probable class.
    bins: of about as many rows each, by rising probability. labels: whether a row counts with each
    of its several labels.
    """

    of: str
    bins: tuple[Bin, ...]
    labels: bool = False

    @property
    def subject(self) -> str:
        """What the probabilities are of."""
        if self.labels:
            return "each label"
        return f"class {self.of}" if self.of else "the most probable class"

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |observed − predicted| over all rows.

        Σ_b n_b / n |o_b − p_b| over the bins b (Naeini, Cooper and Hauskrecht, 2015).
        """
        rows = sum(each.rows for each in self.bins)
        return sum(each.rows * abs(each.observed - each.predicted) for each in self.bins) / rows


@dataclass(frozen=True)
class LabelScores:
    """One of several labels: how many test rows have it, and how well it is predicted."""

    name: str
    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Residuals:
    """Some of the test rows of one target: what is true, and what is predicted."""

    target: str
    true: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class OnTestRows:
    """The final models on the test rows.

    calibration: of classes and labels. residuals: of numbers. labels: each of several, by the first
    final model.
    """

    rows: int
    scores: tuple[FinalScore, ...]
    calibration: Calibration | None = None
    residuals: tuple[Residuals, ...] = ()
    labels: tuple[LabelScores, ...] = ()

    @property
    def shown(self) -> list[FinalScore]:
        """The study's own score, and the usual ones."""
        return [score for score in self.scores if score.interval is not None]

    @classmethod
    def of(
        cls,
        metric: str,
        truth: Truth,
        models: Sequence[Predicted],
        together: Predicted | None = None,
        *,
        each: Mapping[str, Sequence[float | None]] | None = None,
        targets: Sequence[str] = (),
    ) -> OnTestRows:
        """Return what the final models do on the test rows.

        metric: the study's own score, which comes first. models: what each of them predicts, the
        first one first. together: what their ensemble predicts. each: scores of all of them by
        name, where not all predictions are known. targets: the names of the numbers.
        """
        scores, first = _scores(metric, truth, models, together, each or {}), models[0]
        if not truth.class_names:
            return cls(len(truth.y), scores, residuals=_residuals(truth, first, targets))
        calibration = None if first.probabilities is None else _calibration(truth, first)
        labels = _labels(truth, first) if truth.multilabel else ()
        return cls(len(truth.y), scores, calibration, labels=labels)

    def as_plain(self) -> dict[str, Any]:
        """Return plain data, as JSON has it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> OnTestRows:
        """Return what `as_plain` has made plain data of."""
        calibration = plain["calibration"]
        return cls(
            plain["rows"],
            tuple(_score_of(each) for each in plain["scores"]),
            calibration
            and Calibration(
                calibration["of"],
                tuple(Bin(**each) for each in calibration["bins"]),
                calibration.get("labels", False),
            ),
            tuple(
                Residuals(each["target"], tuple(each["true"]), tuple(each["predicted"]))
                for each in plain["residuals"]
            ),
            tuple(LabelScores(**each) for each in plain.get("labels", ())),
        )


def _score_of(plain: Mapping[str, Any]) -> FinalScore:
    interval = plain["interval"]
    return FinalScore(
        plain["name"],
        plain["first"],
        None if interval is None else tuple(interval),
        tuple(plain["each"]),
        plain["together"],
    )


def _scores(
    metric: str,
    truth: Truth,
    models: Sequence[Predicted],
    together: Predicted | None,
    others: Mapping[str, Sequence[float | None]],
) -> tuple[FinalScore, ...]:
    """Return all scores; the metric and the usual ones come first and have intervals."""
    first = models[0]
    known = truth.known_scores(probabilities=first.probabilities is not None)
    shown = [metric, *(name for name in USUAL if name in known and name != metric)]
    names = [*shown, *(name for name in known if name not in shown)]
    each = [scores_of(names, truth, model) for model in models]
    ensemble = {} if together is None else scores_of(names, truth, together)
    (drawn,) = resampled(shown, truth, [first], draws_for(len(truth.y))).swapaxes(0, 1)
    intervals = {
        name: score_interval(name, truth, first, values)
        for name, values in zip(shown, drawn, strict=True)
    }
    return tuple(
        FinalScore(
            name,
            _known(each[0][name]),
            tuple(map(_known, intervals[name])) if name in intervals else None,
            tuple(map(_known, others.get(name) or [found[name] for found in each])),
            _known(ensemble.get(name)),
        )
        for name in names
    )


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else float(value)


def _calibration(truth: Truth, model: Predicted) -> Calibration:
    """Return the calibration of a model with probabilities; every row counts alike."""
    p = model.probabilities
    assert p is not None
    if truth.multilabel:
        of, probability, observed = "", p.ravel(), truth.y.ravel() == 1
    elif len(truth.class_names) == 2:
        of, probability = truth.class_names[truth.positive], p[:, truth.positive]
        observed = truth.y == truth.positive
    else:
        of, probability = "", p.max(axis=1)
        observed = truth.y == p.argmax(axis=1)
    number = min(BINS, max(2, len(observed) // ROWS_IN_A_BIN))
    parts = np.array_split(np.argsort(probability, kind="stable"), min(number, len(observed)))
    bins = (
        Bin(len(rows), float(probability[rows].mean()), float(observed[rows].mean()))
        for rows in parts
    )
    return Calibration(of, tuple(bins), truth.multilabel)


def _labels(truth: Truth, model: Predicted) -> tuple[LabelScores, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(truth.y, model.labels, zero_division=0)
    columns = zip(truth.class_names, *(values.tolist() for values in scores), strict=True)
    return tuple(
        LabelScores(name, int(rows), precision, recall, f1)
        for name, precision, recall, f1, rows in columns
    )


def _residuals(truth: Truth, model: Predicted, targets: Sequence[str]) -> tuple[Residuals, ...]:
    """Return at most MOST_POINTS rows of the first targets, evenly spaced by the prediction."""
    found = []
    for column in range(min(truth.y.shape[1], MOST_TARGETS)):
        order = np.argsort(model.labels[:, column], kind="stable")
        rows = order[np.linspace(0, len(order) - 1, min(MOST_POINTS, len(order))).astype(int)]
        name = targets[column] if column < len(targets) else f"target {column + 1}"
        found.append(
            Residuals(name, _short(truth.y[rows, column]), _short(model.labels[rows, column]))
        )
    return tuple(found)


def _short(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
