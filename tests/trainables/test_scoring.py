"""The metrics have scikit-learn's values."""

import numpy as np
import pytest
from sklearn import metrics

from hpsearch.errors import SettingsError
from hpsearch.trainables.scoring import (
    OF_CLASSES,
    OF_LABELS,
    OF_NUMBERS,
    Predicted,
    Truth,
    check_metric,
    check_threshold,
    known_scores,
    positive_class,
    scores_of,
)
from hpsearch.trials.metrics import (
    SCORES_OF_CLASSES,
    SCORES_OF_LABELS,
    SCORES_OF_NUMBERS,
    known_direction,
)


def binary(y, found, p, weights=None):
    """scikit-learn's scores of two classes, of which the second is positive."""
    w = {"sample_weight": weights}
    return {
        "accuracy": metrics.accuracy_score(y, found, **w),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, found, **w),
        "f1": metrics.f1_score(y, found, zero_division=0, **w),
        "f1_macro": metrics.f1_score(y, found, average="macro", zero_division=0, **w),
        "precision": metrics.precision_score(y, found, zero_division=0, **w),
        "recall": metrics.recall_score(y, found, zero_division=0, **w),
        "mcc": metrics.matthews_corrcoef(y, found, **w),
        "roc_auc": metrics.roc_auc_score(y, p[:, 1], **w),
        "average_precision": metrics.average_precision_score(y, p[:, 1], **w),
        "log_loss": metrics.log_loss(y, p, **w),
        "brier": metrics.brier_score_loss(y, p[:, 1], **w),
    }


def several(y, found, p, weights=None):
    """scikit-learn's scores of several classes."""
    one_hot, w = np.eye(p.shape[1])[y], {"sample_weight": weights}
    return {
        "accuracy": metrics.accuracy_score(y, found, **w),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, found, **w),
        "f1_macro": metrics.f1_score(y, found, average="macro", zero_division=0, **w),
        "mcc": metrics.matthews_corrcoef(y, found, **w),
        "roc_auc": metrics.roc_auc_score(y, p, multi_class="ovr", **w),
        "average_precision": metrics.average_precision_score(one_hot, p, **w),
        "log_loss": metrics.log_loss(y, p, **w),
        "brier": np.average(np.square(p - one_hot).sum(axis=1), weights=weights),
    }


def labels(y, found, p, weights=None):
    """scikit-learn's scores of several labels."""
    w = {"sample_weight": weights}
    return {
        "accuracy": metrics.accuracy_score(y, found, **w),
        "f1_macro": metrics.f1_score(y, found, average="macro", zero_division=0, **w),
        "f1_micro": metrics.f1_score(y, found, average="micro", zero_division=0, **w),
        "hamming_loss": metrics.hamming_loss(y, found, **w),
        "roc_auc": metrics.roc_auc_score(y, p, **w),
        "average_precision": metrics.average_precision_score(y, p, **w),
    }


def draw(n, k, seed, digits=None):
    """Return classes and probabilities of them; with `digits`, many of these are equal."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    y[:k] = range(k)
    p = rng.dirichlet(np.ones(k), n) + 0.4 * np.eye(k)[y]
    p /= p.sum(axis=1, keepdims=True)
    if digits is not None:
        p = rng.multinomial(10**digits, p) / 10**digits
    return y, p


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [None, 1])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k", "theirs"), [(2, binary), (3, several), (7, several)])
def test_classes_are_scored_as_by_scikit_learn(k, theirs, seed, digits, weighted):
    y, p = draw(200, k, seed, digits)
    found, names = p.argmax(axis=1), tuple("abcdefg"[:k])
    weights = np.random.default_rng(seed).exponential(size=200) if weighted else None
    truth = Truth(y, names, weights=weights)
    ours = scores_of(known_scores(names), truth, Predicted(found, p))
    assert ours == pytest.approx(theirs(y, found, p, weights), rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 5])
def test_labels_are_scored_as_by_scikit_learn(k, weighted):
    rng = np.random.default_rng(k)
    y, names = rng.integers(0, 2, (80, k)), tuple("abcde"[:k])
    p = np.round(np.clip(rng.random((80, k)) + 0.3 * (y - 0.5), 0, 1), 1)
    found = (p > 0.5).astype(int)
    found[:, 0] = 0  # one is never predicted
    weights = rng.exponential(size=80) if weighted else None
    known = known_scores(names, multilabel=True)
    ours = scores_of(known, Truth(y, names, weights=weights), Predicted(found, p))
    assert ours == pytest.approx(labels(y, found, p, weights), rel=1e-9)


@pytest.mark.parametrize("k", [2, 4])
def test_a_weight_of_three_counts_as_three_rows_and_of_zero_as_none(k):
    y, p = draw(120, k, 3, digits=1)
    weights = np.random.default_rng(0).integers(0, 4, 120)
    weights[np.argsort(-p[:, 1])[:3]] = 0  # also the rows that come first
    names, rows = tuple("abcd"[:k]), np.repeat(np.arange(120), weights)
    once = scores_of(
        known_scores(names), Truth(y, names, weights=weights), Predicted(p.argmax(axis=1), p)
    )
    times = scores_of(
        known_scores(names), Truth(y[rows], names), Predicted(p[rows].argmax(axis=1), p[rows])
    )
    assert once == pytest.approx(times, rel=1e-9)


def test_a_class_that_is_never_predicted_and_one_without_rows():
    y, names = np.array([0, 0, 1, 1, 1]), ("a", "b", "c")
    for found in (np.zeros(5, int), np.array([0, 2, 1, 1, 2])):
        ours = scores_of(
            known_scores(names, probabilities=False), Truth(y, names), Predicted(found)
        )
        with pytest.warns(match="y_pred contains classes") if 2 in found else np.errstate():
            balanced = metrics.balanced_accuracy_score(y, found)
        assert ours == {
            "accuracy": metrics.accuracy_score(y, found),
            "balanced_accuracy": balanced,
            "f1_macro": pytest.approx(metrics.f1_score(y, found, average="macro", zero_division=0)),
            "mcc": pytest.approx(metrics.matthews_corrcoef(y, found)),
        }


def test_the_positive_class_may_be_the_first():
    y, p = draw(100, 2, 0)
    truth = Truth(y, ("bad", "good"), positive=positive_class(("bad", "good"), "bad"))
    ours = scores_of(["f1", "recall", "roc_auc", "brier"], truth, Predicted(p.argmax(axis=1), p))
    theirs = binary(1 - y, 1 - p.argmax(axis=1), p[:, ::-1])
    assert ours == pytest.approx({name: theirs[name] for name in ours})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_numbers_are_scored_as_by_scikit_learn(k, weighted):
    rng = np.random.default_rng(k)
    weights = rng.exponential(size=50) if weighted else None
    y = rng.normal(size=(50, k))
    y[:, 0] += 3
    found = y + rng.normal(size=(50, k))
    theirs = {
        "rmse": metrics.root_mean_squared_error(y, found, sample_weight=weights),
        "mae": metrics.mean_absolute_error(y, found, sample_weight=weights),
        "r2": metrics.r2_score(y, found, sample_weight=weights),
        "mape": metrics.mean_absolute_percentage_error(y, found, sample_weight=weights),
    }
    ours = scores_of(known_scores(()), Truth(y, weights=weights), Predicted(found))
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_numbers_that_are_all_the_same(error):
    y = np.full((4, 1), 2.0)
    ours = scores_of(["r2"], Truth(y), Predicted(y + error))
    assert ours["r2"] == metrics.r2_score(y, y + error)


def test_predictions_that_are_not_finite_have_no_score():
    found = scores_of(["rmse"], Truth(np.ones((2, 1))), Predicted(np.array([[1.0], [np.nan]])))
    assert np.isnan(found["rmse"])


def test_every_score_is_known_everywhere():
    assert tuple(OF_CLASSES) == SCORES_OF_CLASSES
    assert tuple(OF_NUMBERS) == SCORES_OF_NUMBERS
    assert {*OF_LABELS} - {*OF_CLASSES} == {*SCORES_OF_LABELS}
    every = (*OF_CLASSES, *OF_LABELS, *OF_NUMBERS)
    lower = {name for name in every if known_direction(name) == "minimize"}
    assert lower == {"log_loss", "brier", "hamming_loss", "rmse", "mae", "mape"}


def test_a_score_of_two_classes_names_the_ones_for_more():
    known = [f"val/{name}" for name in known_scores(("a", "b", "c"))]
    with pytest.raises(SettingsError, match=r"val/f1 is for two classes; use val/f1_macro or"):
        check_metric("search.metric", "val/f1", known, "these classes")
    with pytest.raises(SettingsError, match=r"'val/auc' is not a metric of these classes"):
        check_metric("search.metric", "val/auc", known, "these classes")


def test_a_threshold_and_a_positive_class_are_for_one_target():
    sentence = "is for two classes, and there are several labels; leave it out"
    with pytest.raises(SettingsError, match=f"search.threshold: {sentence}"):
        check_threshold(0.4, ("a", "b"), multilabel=True)
    with pytest.raises(SettingsError, match=f"data.positive: {sentence}"):
        positive_class(("a", "b"), "a", multilabel=True)


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (("a", "b"), r"data.positive: 'c' is not a class of these data \(a, b\)"),
        (("a", "b", "d"), "data.positive: is for two classes, and there are 3; leave it out"),
    ],
)
def test_a_wrong_positive_class_is_refused(classes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        positive_class(classes, "c")
