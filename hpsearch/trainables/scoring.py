"""The metrics that people decide by, with scikit-learn's names and values.

They are computed after every epoch, where scikit-learn's checks of its arguments would take longer
than the epoch of a small network; the tests compare them with scikit-learn's functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan, sqrt
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import SettingsError
from hpsearch.formatting import unknown_name

Probabilities = NDArray[Any]
Counts = NDArray[Any]  # of rows, whole numbers; or sums of their weights


@dataclass(frozen=True, eq=False)
class Truth:
    """What predictions are scored against.

    y: class indices (n,), several labels (n, k) of 0 and 1, or numbers (n, k). class_names: of the
    classes or the labels, () of numbers. positive: the class that counts as positive where there
    are two. weights: how much each row counts (n,); None: all alike.
    """

    y: NDArray[Any]
    class_names: Sequence[str] = ()
    positive: int = 1
    weights: NDArray[Any] | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a row has several labels."""
        return bool(self.class_names) and self.y.ndim == 2

    def known_scores(self, *, probabilities: bool = True) -> list[str]:
        """Return the names of the metrics that a model of these labels has."""
        return known_scores(
            self.class_names, multilabel=self.multilabel, probabilities=probabilities
        )

    def of(self, rows: NDArray[np.intp]) -> Truth:
        """Return the same of some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Truth(self.y[rows], self.class_names, self.positive, weights)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions: class indices (n,) or several labels (n, k), and probabilities (n, k) where a
    model has them; or numbers (n, k)."""

    labels: NDArray[Any]
    probabilities: Probabilities | None = None

    def of(self, rows: NDArray[np.intp]) -> Predicted:
        """Return the same of some of the rows."""
        p = self.probabilities
        return Predicted(self.labels[rows], None if p is None else p[rows])


class Scored:
    """Predictions beside the truth, with what several metrics need."""

    def __init__(self, truth: Truth, predicted: Predicted) -> None:
        self.truth, self.predicted = truth, predicted

    @cached_property
    def confusion(self) -> NDArray[np.float64]:
        """How many rows of each class (rows) are predicted as each class (columns).

        Where rows have weights, it is the sum of these.
        """
        k = len(self.truth.class_names)
        pairs = np.bincount(
            self.truth.y * k + self.predicted.labels, self.truth.weights, minlength=k * k
        )
        return pairs.reshape(k, k).astype(np.float64)

    @cached_property
    def binary(self) -> tuple[float, float, float]:
        """The true positives, the false positives and the false negatives."""
        c, positive = self.confusion, self.truth.positive
        true = float(c[positive, positive])
        return true, float(c[:, positive].sum()) - true, float(c[positive].sum()) - true

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The probability of each class or label (n, k)."""
        assert self.predicted.probabilities is not None  # `known_scores` leaves out what needs them
        return self.predicted.probabilities

    @cached_property
    def columns(self) -> list[tuple[NDArray[np.bool_], NDArray[Any]]]:
        """Which rows are of a class, and its probabilities: of the positive one, or of each.

        Of several labels, which rows have a label, and its probabilities.
        """
        p, y = self.probabilities, self.truth.y
        if self.truth.multilabel:
            return [*zip(y.T == 1, p.T, strict=True)]
        two = p.shape[1] == 2
        classes = [self.truth.positive] if two else range(p.shape[1])
        return [(y == number, p[:, number]) for number in classes]

    @cached_property
    def steps(self) -> list[tuple[Counts, Counts]]:
        """For each of `columns`, with the threshold falling from probability to probability: how
        many rows are above it, and how many of these are of the class."""
        return [_steps(positives, p, self.truth.weights) for positives, p in self.columns]

    @cached_property
    def of_labels(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """How many rows have each label (k,), are predicted to have it, and both."""
        y, found = self.truth.y, self.predicted.labels
        weights = np.ones(len(y)) if self.truth.weights is None else self.truth.weights
        return weights @ y, weights @ found, weights @ (y * found)

    def mean(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the mean over the rows of values (n,) or (n, k), in proportion to the weights."""
        mean: NDArray[Any] = np.average(values, axis=0, weights=self.truth.weights)
        return mean

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """What is predicted minus the numbers (n, k)."""
        errors: NDArray[np.float64] = self.predicted.labels - self.truth.y
        return errors


Scorer = Callable[[Scored], float]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _accuracy(scored: Scored) -> float:
    return float(scored.confusion.trace() / scored.confusion.sum())


def _balanced_accuracy(scored: Scored) -> float:
    """The mean recall of the classes that have rows."""
    rows = scored.confusion.sum(axis=1)
    present = rows > 0
    return float((scored.confusion.diagonal()[present] / rows[present]).mean())


def _f1(scored: Scored) -> float:
    true, false_positive, false_negative = scored.binary
    return _ratio(2 * true, 2 * true + false_positive + false_negative)


def _f1_macro(scored: Scored) -> float:
    """The mean F1 of the classes that have rows or predictions."""
    c = scored.confusion
    both = c.sum(axis=0) + c.sum(axis=1)
    present = both > 0
    return float((2 * c.diagonal()[present] / both[present]).mean())


def _precision(scored: Scored) -> float:
    true, false_positive, _ = scored.binary
    return _ratio(true, true + false_positive)


def _recall(scored: Scored) -> float:
    true, _, false_negative = scored.binary
    return _ratio(true, true + false_negative)


def _mcc(scored: Scored) -> float:
    """Matthews' correlation coefficient, for several classes as Gorodkin (2004) has it."""
    c = scored.confusion
    true, found, n = c.sum(axis=1), c.sum(axis=0), c.sum()
    covariance = c.trace() * n - true.dot(found)
    spread = (n * n - true.dot(true)) * (n * n - found.dot(found))
    return _ratio(float(covariance), sqrt(spread))


def _steps(
    positives: NDArray[np.bool_], p: NDArray[Any], weights: NDArray[Any] | None
) -> tuple[Counts, Counts]:
    order = np.argsort(-p)
    falling = p[order]
    last = np.flatnonzero(falling[1:] != falling[:-1])
    ends = np.append(last, len(p) - 1)
    if weights is None:
        return ends + 1, positives[order].cumsum()[ends]
    ordered = weights[order].astype(np.float64)
    return ordered.cumsum()[ends], (ordered * positives[order]).cumsum()[ends]


def _gains(counts: Counts) -> Counts:
    """Return what is added in each step of rising counts."""
    gains = counts.copy()
    gains[1:] -= counts[:-1]
    return gains


def _roc_auc(scored: Scored) -> float:
    """The area under the ROC curve; of more than two classes the mean over one against the rest.

    That is the share of pairs of a positive and a negative row that are in order; ties count half.
    """
    areas = [_area(*steps) for steps in scored.steps]
    known = [area for area in areas if not isnan(area)]
    return fmean(known) if known else nan


def _area(found: Counts, true: Counts) -> float:
    false = found - true
    pairs = float(true[-1]) * float(false[-1])
    if not pairs > 0:
        return nan
    in_order = (true - 0.5 * _gains(true)).dot(_gains(false))
    return float(in_order) / pairs


def _average_precision(scored: Scored) -> float:
    """The area under the precision-recall curve, in steps; of several classes their mean."""
    return fmean(_precision_area(*steps) for steps in scored.steps)


def _precision_area(found: Counts, true: Counts) -> float:
    precision = true / np.where(found > 0, found, 1)  # the first rows may have the weight 0
    return _ratio(float(_gains(true).dot(precision)), float(true[-1]))


def _log_loss(scored: Scored) -> float:
    p, y = scored.probabilities, scored.truth.y
    of_the_class = p[np.arange(len(y)), y].astype(np.float64)
    return -float(scored.mean(np.log(np.maximum(of_the_class, np.finfo(p.dtype).eps))))


def _brier(scored: Scored) -> float:
    """The mean of (p − t)² of the positive class; of several classes of their sum (Brier, 1950)."""
    return sum(float(scored.mean(np.square(p - positives))) for positives, p in scored.columns)


def _rmse(scored: Scored) -> float:
    return float(np.sqrt(scored.mean(np.square(scored.errors))).mean())


def _mae(scored: Scored) -> float:
    return float(scored.mean(np.abs(scored.errors)).mean())


def _r2(scored: Scored) -> float:
    """The share of the variance that is explained; numbers that are all the same have 0 or 1."""
    y = scored.truth.y
    left, whole = scored.mean(np.square(scored.errors)), scored.mean(np.square(y - scored.mean(y)))
    same = np.where(left > 0, 0.0, 1.0)
    return float(np.where(whole > 0, 1 - left / np.where(whole > 0, whole, 1), same).mean())


def _mape(scored: Scored) -> float:
    sizes = np.maximum(np.abs(scored.truth.y), np.finfo(np.float64).eps)
    return float(scored.mean(np.abs(scored.errors) / sizes).mean())


def _all_right(scored: Scored) -> float:
    """The share of rows of which all labels are right."""
    return float(scored.mean((scored.predicted.labels == scored.truth.y).all(axis=1)))


def _hamming_loss(scored: Scored) -> float:
    """The share of labels that are wrong."""
    return float(scored.mean(scored.predicted.labels != scored.truth.y).mean())


def _f1_of_labels(scored: Scored) -> float:
    """The mean F1 of the labels, 0 of one that no row has and none is predicted to have."""
    true, found, both = scored.of_labels
    return fmean(map(_ratio, (2 * both).tolist(), (true + found).tolist()))


def _f1_micro(scored: Scored) -> float:
    """The F1 of all labels together."""
    true, found, both = (float(rows.sum()) for rows in scored.of_labels)
    return _ratio(2 * both, true + found)


OF_CLASSES: dict[str, Scorer] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "precision": _precision,
    "recall": _recall,
    "mcc": _mcc,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
}
"""Metric of classes → its function."""

OF_LABELS: dict[str, Scorer] = {
    "accuracy": _all_right,
    "f1_macro": _f1_of_labels,
    "f1_micro": _f1_micro,
    "hamming_loss": _hamming_loss,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
}
"""Metric of several labels → its function; without f1_micro and accuracy it is a mean of them."""

OF_NUMBERS: dict[str, Scorer] = {"rmse": _rmse, "mae": _mae, "r2": _r2, "mape": _mape}
"""Metric of numbers → its function; of several targets it is the mean over them."""

ALIASES = {"loss": "log_loss", "auc": "roc_auc"}  # what an estimator's study may call them
TWO_CLASSES = ("f1", "precision", "recall")  # f1_macro is for more
OF_ONE_CLASS = (*TWO_CLASSES, "average_precision")  # of two, they depend on the positive one
OF_PROBABILITIES = ("roc_auc", "average_precision", "log_loss", "brier")


def known_scores(
    class_names: Sequence[str], *, multilabel: bool = False, probabilities: bool = True
) -> list[str]:
    """Return the names of the metrics that a model of these classes has; of numbers without any.

    multilabel: whether these are several labels.
    """
    if not class_names:
        return [*OF_NUMBERS]
    if multilabel:
        return [name for name in OF_LABELS if probabilities or name not in OF_PROBABILITIES]
    return [
        name
        for name in OF_CLASSES
        if (len(class_names) == 2 or name not in TWO_CLASSES)
        and (probabilities or name not in OF_PROBABILITIES)
    ]


def scores_of(names: Collection[str], truth: Truth, predicted: Predicted) -> dict[str, float]:
    """Return the named scores of predictions."""
    scorers = OF_CLASSES if truth.class_names else OF_NUMBERS
    if truth.multilabel:
        scorers = OF_LABELS
    known = predicted.labels if predicted.probabilities is None else predicted.probabilities
    if not np.isfinite(known).all():  # the training has diverged
        return dict.fromkeys(names, nan)
    scored = Scored(truth, predicted)
    return {name: scorers[name](scored) for name in names}


def check_metrics(metric: str, others: Sequence[str], known: Sequence[str], what: str) -> None:
    """Raise SettingsError if a metric of [search] is not one of `known`; see `check_metric`."""
    check_metric("search.metric", metric, known, what)
    for other in others:
        check_metric("search.metrics", other, known, what)


def check_metric(key: str, metric: str, known: Sequence[str], what: str) -> None:
    """Raise SettingsError if a metric is not one of `known`; `what` says whose these are."""
    if metric in known:
        return
    part, _, name = metric.partition("/")
    if name in TWO_CLASSES and f"{part}/f1_macro" in known:
        raise SettingsError(
            f"{key}: {metric} is for two classes; use {part}/f1_macro or {part}/balanced_accuracy"
        )
    raise SettingsError(f"{key}: {unknown_name(metric, known, f'a metric of {what}')}")


def check_threshold(
    threshold: str | float | None, class_names: Sequence[str], *, multilabel: bool = False
) -> None:
    """Raise SettingsError for a threshold where there are not two classes."""
    if threshold is not None:
        _check_two("search.threshold", class_names, multilabel=multilabel)


def _check_two(key: str, class_names: Sequence[str], *, multilabel: bool) -> None:
    if len(class_names) == 2 and not multilabel:
        return
    what = f"there are {len(class_names)}" if class_names else "these labels are numbers"
    if multilabel:
        what = "there are several labels"
    raise SettingsError(f"{key}: is for two classes, and {what}; leave it out")


def positive_class(
    class_names: Sequence[str], named: str | None, *, multilabel: bool = False
) -> int:
    """Return the number of the positive class: the one that is named, else the second.

    Raises SettingsError.
    """
    if named is None:
        return 1
    _check_two("data.positive", class_names, multilabel=multilabel)
    if named not in class_names:
        raise SettingsError(
            f"data.positive: {unknown_name(named, class_names, 'a class of these data')}"
        )
    return [*class_names].index(named)
