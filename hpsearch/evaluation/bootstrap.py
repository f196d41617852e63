"""Intervals of scores: how far chance moves them on other rows of this kind."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.trainables.scoring import Predicted, Truth, scores_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
Interval = tuple[float, float]
DRAWS = 1000  # of the test rows (Efron's bootstrap, percentile intervals)
FEWER_DRAWS, MANY_ROWS = 200, 2000  # with more rows, a draw takes long and differs little


def draws_for(rows: int) -> int:
    """Return how often so many rows are drawn."""
    return DRAWS if rows <= MANY_ROWS else FEWER_DRAWS


def resampled(
    names: Sequence[str], truth: Truth, models: Sequence[Predicted], draws: int = DRAWS
) -> NDArray[np.float64]:
    """Return scores (names, models, draws) on test rows drawn with replacement.

    All models see the same rows, so that their differences are paired.
    """
    rng, n = np.random.default_rng(0), len(truth.y)
    found = np.empty((len(names), len(models), draws))
    for draw in range(draws):
        rows = rng.integers(0, n, n)
        drawn = truth.of(rows)
        for number, model in enumerate(models):
            scores = scores_of(names, drawn, model.of(rows))
            found[:, number, draw] = [scores[name] for name in names]
    return found


def share_interval(hits: int, rows: int) -> Interval:
    """Return the 95 % interval of the share p = hits / rows on other rows (Wilson, 1927).

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), with n rows and the normal quantile z.
    """
    p, z = hits / rows, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle, half = p + z**2 / (2 * rows), z * sqrt(p * (1 - p) / rows + (z / (2 * rows)) ** 2)
    low, high = ((middle + sign * half) / (1 + z**2 / rows) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def score_interval(
    name: str, truth: Truth, model: Predicted, drawn: NDArray[np.float64]
) -> Interval:
    """Return the 95 % interval of a score: Wilson's of an accuracy, else of its drawn values."""
    if name == "accuracy" and truth.weights is None:
        right = model.labels == truth.y
        hits = right.all(axis=1) if truth.multilabel else right
        return share_interval(int(hits.sum()), len(truth.y))
    return interval_of(drawn)


def interval_of(values: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of drawn values; those that a draw does not have are left out."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)
