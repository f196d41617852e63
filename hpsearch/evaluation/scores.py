"""Scores of predicted classes against the true ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.evaluation.bootstrap import Interval, share_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro-F1"}
"""Score → how a column of them is headed."""
COMPARISON = "comparison"  # the key of the network beside baselines
TESTED = "tested"  # the key of the scores with intervals, calibration and residuals
THRESHOLD = "threshold"  # the key of the class that counts as positive, and from where on
MODELS = "models"  # the key of the scores of a user's own model, by name and for each draw


@dataclass(frozen=True)
class Scores:
    """How predictions of k classes did, as scikit-learn has these scores; plain data."""

    accuracy: float
    balanced_accuracy: float  # the mean recall of the classes among the labels
    macro_f1: float  # the mean of their F1
    confusion: list[list[int]]  # (k, k): rows of the true class, predicted as
    precision: list[float]  # (k,)
    recall: list[float]
    f1: list[float]

    @property
    def rows(self) -> int:
        """Rows that were predicted."""
        return sum(map(sum, self.confusion))

    @property
    def worst(self) -> list[int]:
        """The numbers of the classes by their F1, the lowest first."""
        return sorted(range(len(self.f1)), key=lambda number: self.f1[number])

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy on other rows of this kind (Wilson, 1927)."""
        right = sum(row[number] for number, row in enumerate(self.confusion))
        return share_interval(right, self.rows)


def score(labels: NDArray[np.intp], predicted: NDArray[np.intp], classes: int) -> Scores:
    """Score predicted class indices (n,) against the true ones (n,)."""
    from sklearn.metrics import (
        accuracy_score,
        confusion_matrix,
        f1_score,
        precision_recall_fscore_support,
    )

    known = range(classes)
    options: dict[str, Any] = {"labels": list(known), "zero_division": 0}
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, **options)
    return Scores(
        accuracy=float(accuracy_score(labels, predicted)),
        balanced_accuracy=float(np.mean(recall[np.isin(known, labels)])),
        macro_f1=float(f1_score(labels, predicted, average="macro", **options)),
        confusion=confusion_matrix(labels, predicted, labels=list(known)).tolist(),
        precision=precision.tolist(),
        recall=recall.tolist(),
        f1=f1.tolist(),
    )
