"""How much each row counts: in training by its own weight and that of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.formatting import unknown_name

if TYPE_CHECKING:
    from hpsearch.data.raw import Indices
    from hpsearch.data.table import Source

BALANCED = "balanced"

ClassWeight = str | Mapping[str, float]


def check_class_weight(class_weight: ClassWeight | None, raw: Source) -> None:
    """Raise ValueError for weights of classes that the labels do not have."""
    if class_weight is None:
        return
    if raw.task != "classification":
        what = (
            "these labels are numbers" if raw.task == "regression" else "there are several labels"
        )
        raise ValueError(f"class_weight is for classes, and {what}")
    for name in class_weight if isinstance(class_weight, Mapping) else ():
        if name not in raw.class_names:
            raise ValueError(f"class_weight: {unknown_name(name, raw.class_names, 'a class')}")


def training_weights(
    raw: Source, rows: Indices, class_weight: ClassWeight | None
) -> NDArray[np.float64] | None:
    """Return how much each of the training `rows` counts (rows,), with mean 1; None if all alike.

    A row counts as its own weight times that of its class. "balanced" gives all classes the same
    weight in all, which without weights of rows is n / (k · rows of the class), as scikit-learn has
    it (King and Zeng, 2001). Classes that a table does not name have the weight 1.
    """
    if class_weight is None and raw.weights is None:
        return None
    weights = np.ones(len(rows)) if raw.weights is None else raw.weights[rows]
    if class_weight == BALANCED:
        totals = np.bincount(raw.y[rows], weights, minlength=len(raw.class_names))
        weights = weights / totals[raw.y[rows]]
    elif isinstance(class_weight, Mapping):
        of_classes = np.array([class_weight.get(name, 1.0) for name in raw.class_names])
        weights = weights * of_classes[raw.y[rows]]
    if not weights.sum() > 0:
        raise ValueError("weights: all training rows have the weight 0")
    mean_one: NDArray[np.float64] = weights / weights.mean()
    return mean_one
