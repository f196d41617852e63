"""Baselines: estimators of scikit-learn with their defaults, trained on the rows of a study."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from hpsearch.data.frames import prepare_frame
from hpsearch.data.splitting import read_parts
from hpsearch.data.weights import ClassWeight, training_weights
from hpsearch.trainables.estimator import for_targets, predicted_labels, preparation
from hpsearch.trainables.scoring import Predicted

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSIFIERS = {
    "the majority class": DummyClassifier(strategy="most_frequent"),
    "logistic regression": LogisticRegression(max_iter=1000),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
}
REGRESSORS = {
    "the mean": DummyRegressor(),
    "ridge regression": Ridge(),
    "gradient boosting": HistGradientBoostingRegressor(random_state=0),
}
MOST_CELLS = 3_000_000  # of a table; beyond, training the baselines takes minutes


def baseline_predictions(
    table: Mapping[str, Any], class_weight: ClassWeight | None = None
) -> Iterator[tuple[str, Predicted]]:
    """Yield the name of each baseline, and what it predicts for the test rows of a source.

    table: the arguments of `read_parts`. They are trained on all other rows, with the weights that
    these have. Nothing is yielded for more than MOST_CELLS cells. Raises ValueError as `read_parts`
    does.
    """
    raw, parts = read_parts(**table)
    rest = parts.rest
    prepared = prepare_frame(raw, rest)
    x, x_test = prepared.x_train, prepared.rows(parts.test)
    if x.size > MOST_CELLS:
        return
    y, classes = raw.y[rest], len(raw.class_names)
    if raw.task == "regression" and y.shape[1] == 1:
        y = y[:, 0]
    weights = training_weights(raw, rest, class_weight)
    for name, estimator in (CLASSIFIERS if classes else REGRESSORS).items():
        prepare = preparation(estimator, "standardize")
        inputs, tests = x, x_test
        if prepare is not None:
            inputs, tests = prepare.fit_transform(x), prepare.transform(x_test)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: it is what the defaults give
            fitted = for_targets(estimator, raw).fit(inputs, y, sample_weight=weights)
            if raw.task == "multilabel":
                yield name, predicted_labels(fitted, tests)
            elif classes:
                yield name, _classes(fitted, tests, classes)
            else:
                yield name, Predicted(fitted.predict(tests).reshape(len(tests), -1))


def _classes(fitted: Any, x: Any, classes: int) -> Predicted:
    """Return what a classifier of class indices predicts; it may lack some of the classes."""
    probabilities: NDArray[np.float64] = np.zeros((len(x), classes))
    probabilities[:, fitted.classes_] = fitted.predict_proba(x)
    return Predicted(fitted.predict(x), probabilities)
