"""What final models do on test rows: intervals, calibration, residuals, and how all is kept."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score, root_mean_squared_error

from hpsearch.evaluation.baselines import remarks
from hpsearch.evaluation.on_test_rows import MOST_POINTS, OnTestRows
from hpsearch.report.charts.on_test_rows import panels_on_test_rows
from hpsearch.trainables.scoring import Predicted, Truth

NAMES = ("no", "yes")


def draw(n=400, seed=0):
    """Classes and the probabilities by which they were drawn: these are calibrated."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=n)
    y = (rng.uniform(size=n) < p).astype(int)
    return Truth(y, NAMES), np.column_stack([1 - p, p])


def predicted(p):
    return Predicted(p.argmax(axis=1), p)


def test_the_studys_own_score_comes_first_and_all_have_the_values_of_scikit_learn():
    truth, p = draw()
    _, other = draw(seed=1)
    found = OnTestRows.of("roc_auc", truth, [predicted(p), predicted(other)], predicted(p + other))
    by_name = {score.name: score for score in found.scores}
    assert found.rows == 400
    assert [score.name for score in found.shown] == [
        "roc_auc",
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "log_loss",
    ]
    assert by_name["roc_auc"].first == pytest.approx(roc_auc_score(truth.y, p[:, 1]))
    assert by_name["roc_auc"].each[1] == pytest.approx(roc_auc_score(truth.y, other[:, 1]))
    assert by_name["roc_auc"].together == pytest.approx(roc_auc_score(truth.y, (p + other)[:, 1]))
    assert by_name["f1"].first == pytest.approx(f1_score(truth.y, p.argmax(axis=1)))
    assert by_name["f1"].interval is None


def test_intervals_contain_the_score_and_narrow_with_the_rows():
    widths = []
    for n in (100, 1600):
        truth, p = draw(n)
        found = OnTestRows.of("roc_auc", truth, [predicted(p)])
        for score in found.shown:
            low, high = score.interval
            assert low < score.first < high
        low, high = found.scores[0].interval
        widths.append(high - low)
    assert widths[1] < 0.4 * widths[0]


def test_the_interval_of_an_accuracy_is_wilsons_unless_rows_have_weights():
    truth, p = draw()
    (accuracy,) = OnTestRows.of("accuracy", truth, [predicted(p)]).scores[:1]
    right = int((p.argmax(axis=1) == truth.y).sum())
    wilson = stats.binomtest(right, 400).proportion_ci(0.95, method="wilson")
    assert accuracy.interval == pytest.approx((wilson.low, wilson.high))
    weighted = Truth(truth.y, NAMES, weights=np.ones(400))
    (other,) = OnTestRows.of("accuracy", weighted, [predicted(p)]).scores[:1]
    assert other.interval != accuracy.interval
    assert other.interval == pytest.approx(accuracy.interval, abs=0.01)


def test_probabilities_that_are_true_are_calibrated_and_others_are_not():
    truth, p = draw(4000)
    sharp = np.clip(3 * (p - 0.5) + 0.5, 0.01, 0.99)
    of_true, of_sharp = (
        OnTestRows.of("accuracy", truth, [predicted(q)]).calibration.error for q in (p, sharp)
    )
    assert of_true < 0.04
    assert of_sharp > 0.1


def test_the_calibration_error_is_the_weighted_distance_of_the_bins():
    truth, p = draw(1000)
    found = OnTestRows.of("accuracy", truth, [predicted(p)]).calibration
    assert found.of == "yes"
    order = np.argsort(p[:, 1])
    parts = np.array_split(order, 10)
    distances = [abs(truth.y[rows].mean() - p[rows, 1].mean()) for rows in parts]
    assert found.error == pytest.approx(np.mean(distances))
    assert [each.rows for each in found.bins] == [100] * 10
    for each in found.bins:
        low, high = each.interval
        assert low <= each.observed <= high


def test_of_several_classes_the_probability_of_the_most_probable_one_is_judged():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 600)
    y = np.array([rng.choice(3, p=row) for row in p])
    found = OnTestRows.of("accuracy", Truth(y, ("a", "b", "c")), [predicted(p)]).calibration
    assert found.of == ""
    observed = sum(each.rows * each.observed for each in found.bins) / 600
    assert observed == pytest.approx((p.argmax(axis=1) == y).mean())
    assert found.error < 0.06


def test_without_probabilities_there_is_no_calibration():
    truth, p = draw()
    found = OnTestRows.of("accuracy", truth, [Predicted(p.argmax(axis=1))])
    assert found.calibration is None
    assert "roc_auc" not in {score.name for score in found.scores}


def test_residuals_are_rows_of_the_first_targets():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1000, 4))
    near = y + rng.normal(0, 0.1, y.shape)
    found = OnTestRows.of("rmse", Truth(y), [Predicted(near)], targets=("a", "b", "c", "d"))
    assert [each.target for each in found.residuals] == ["a", "b", "c"]
    first = found.residuals[0]
    assert len(first.true) == len(first.predicted) == MOST_POINTS
    assert [*first.predicted] == sorted(first.predicted)
    assert first.predicted[0] == pytest.approx(near[:, 0].min(), rel=1e-5)
    assert np.abs(np.subtract(first.true, first.predicted)).max() < 0.6
    assert found.scores[0].first == pytest.approx(root_mean_squared_error(y, near))


@pytest.mark.parametrize("numbers", [False, True])
def test_what_is_kept_is_plain_and_comes_back(numbers):
    if numbers:
        y = np.random.default_rng(0).normal(size=(50, 1))
        found = OnTestRows.of("rmse", Truth(y), [Predicted(y + 0.1)] * 2, targets=("t",))
    else:
        truth, p = draw(60)
        found = OnTestRows.of("accuracy", truth, [predicted(p)] * 2, predicted(p))
    text = json.dumps(found.as_plain(), allow_nan=False)
    assert OnTestRows.of_plain(json.loads(text)) == found


def test_scores_of_others_are_taken_where_their_predictions_are_not_known():
    truth, p = draw(60)
    found = OnTestRows.of("accuracy", truth, [predicted(p)], each={"accuracy": [0.5, None, 0.6]})
    assert found.scores[0].each == (0.5, None, 0.6)
    assert len(found.scores[1].each) == 1


def test_charts_are_drawn_from_it():
    class Evaluation:
        tested = None

    assert panels_on_test_rows(Evaluation()) == []
    truth, p = draw(200)
    Evaluation.tested = OnTestRows.of("accuracy", truth, [predicted(p)])
    (panels,) = panels_on_test_rows(Evaluation())
    assert [chart.name for chart in panels.charts] == ["calibration"]
    assert len(panels.charts[0].traces[1]["x"]) == 10
    y = np.random.default_rng(0).normal(size=(50, 2))
    Evaluation.tested = OnTestRows.of("rmse", Truth(y), [Predicted(y + 0.1)])
    (panels,) = panels_on_test_rows(Evaluation())
    assert [chart.name for chart in panels.charts] == [
        "predicted-1",
        "residuals-1",
        "predicted-2",
        "residuals-2",
    ]


def test_errors_that_grow_with_the_prediction_are_pointed_out():
    rng = np.random.default_rng(0)
    y = rng.uniform(1, 100, (200, 1))

    def said(found, truth=y):
        return remarks(
            "rmse", Truth(truth), Predicted(found), validated=None, validation_rows=50, error=1.0
        )

    (sentence,) = said(y * np.exp(rng.normal(0, 0.2, y.shape)))
    assert sentence.startswith("errors grow with what is predicted (rank correlation 0.")
    assert sentence.endswith("its logarithm may be easier to predict")
    assert said(y + rng.normal(size=y.shape)) == []
    below = y - 50  # some are negative, and have no logarithm
    (sentence,) = said(below + y * rng.normal(0, 0.1, y.shape), below)
    assert "logarithm" not in sentence
