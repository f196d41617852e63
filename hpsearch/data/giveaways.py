"""Columns that give the target away: one split on such a column predicts nearly every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEARLY_ALL = 0.98  # the balanced accuracy, or the share of the variance that is explained
MOST_ROWS, MOST_FEATURES = 5_000, 500  # that are looked at
MOST_LEAVES = 8  # of a split of numbers, or of many classes


def giveaways(
    x: NDArray[Any], names: Sequence[str], y: NDArray[Any], class_names: Sequence[str]
) -> Iterator[str]:
    """Yield a sentence for each feature that predicts nearly all training rows by itself.

    That is by one split, or of numbers also by a line.

    x: (n, d), finite. names: of the features. y: class indices (n,), or several labels or numbers
    (n, k), any of which may be given away. A split has as many ends as there are classes.
    """
    if len(x) > MOST_ROWS:
        rows = np.random.default_rng(0).permutation(len(x))[:MOST_ROWS]
        x, y = x[rows], y[rows]
    for feature, name in enumerate(names[:MOST_FEATURES]):
        share = _predicted(x[:, [feature]], y, class_names)
        if share >= NEARLY_ALL:
            yield (
                f"column {name!r} alone predicts {share:.1%} of the target; if it is not known "
                "where the model will be used, leave it out with drop"
            )


def _explained(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the share of the variance of y that a line through x explains."""
    if (x == x[0]).all() or (y == y[0]).all():
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _predicted(x: NDArray[Any], y: NDArray[Any], class_names: Sequence[str]) -> float:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if not class_names:
        tree = DecisionTreeRegressor(max_leaf_nodes=MOST_LEAVES, random_state=0)
        return max(max(float(tree.fit(x, t).score(x, t)), _explained(x[:, 0], t)) for t in y.T)
    leaves = min(max(2, len(class_names)), MOST_LEAVES) if y.ndim == 1 else 2
    split = DecisionTreeClassifier(max_leaf_nodes=leaves, class_weight="balanced", random_state=0)
    labels = [y] if y.ndim == 1 else y.T
    return max(float(balanced_accuracy_score(t, split.fit(x, t).predict(x))) for t in labels)
