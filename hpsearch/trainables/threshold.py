"""The probability from which a row counts as positive, chosen on validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpsearch.trainables.scoring import Predicted, Truth, scores_of
from model.outputs import Threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CANDIDATES = 1000  # quantiles of the probabilities, where there are more different ones


def best_threshold(metric: str, truth: Truth, p: NDArray[np.float64]) -> Threshold:
    """Return the threshold with the best value of `metric` on rows of two classes.

    metric: a score of labels that is higher if it is better. p: the probabilities (n, 2). A
    threshold lies halfway between two neighboring probabilities; of equally good ones, the one
    nearest to 0.5 is taken.
    """
    known = np.unique(p[:, truth.positive].astype(np.float64))
    if len(known) > MOST_CANDIDATES:
        known = np.unique(np.quantile(known, np.linspace(0, 1, MOST_CANDIDATES)))
    between = (known[1:] + known[:-1]) / 2
    candidates = [Threshold(truth.positive, float(each)) for each in [0.5, *between]]

    def quality(threshold: Threshold) -> tuple[float, float]:
        predicted = Predicted(threshold.decide(p), p)
        value = scores_of([metric], truth, predicted)[metric]
        return value, -abs(threshold.value - 0.5)

    return max(candidates, key=quality)
