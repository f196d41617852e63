import json
import math

import pytest

from hpsearch.trials.curves import Curves
from hpsearch.trials.metrics import METRICS, known_direction

EPOCHS = [
    {"train/loss": 2.0, "train/accuracy": 0.3, "val/loss": 1.9, "val/accuracy": 0.4},
    {"train/loss": 1.0, "train/accuracy": 0.6, "val/loss": 1.2, "val/accuracy": 0.7},
    {"train/loss": 0.5, "train/accuracy": 0.8, "val/loss": 1.3, "val/accuracy": 0.7},
]


@pytest.fixture
def curves():
    grown = Curves()
    assert all(grown.append(epoch, "val/accuracy") for epoch in EPOCHS)
    return grown


def test_keeps_a_list_for_every_metric(curves):
    assert curves.values == {name: [epoch[name] for epoch in EPOCHS] for name in METRICS}
    assert len(curves) == 3
    assert curves.times == sorted(curves.times)


def test_the_best_is_the_highest_or_lowest_value_the_first_time_it_is_reached(curves):
    assert curves.best("val/accuracy", maximize=True) == (2, 0.7)
    assert curves.best("val/loss", maximize=False) == (2, 1.2)
    assert curves.best("train/loss", maximize=False) == (3, 0.5)
    assert curves.best("val/auc", maximize=True) is None


@pytest.mark.parametrize("metric", ["train/loss", "val/loss", "val/accuracy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_a_loss_or_the_metric_that_is_not_finite_and_adds_nothing(curves, metric, value):
    before = json.dumps(curves.as_attribute())
    assert not curves.append(EPOCHS[0] | {metric: value}, "val/accuracy")
    assert json.dumps(curves.as_attribute()) == before
    assert Curves() == Curves.from_attribute({})  # no list is shared


def test_what_is_not_measured_in_an_epoch_is_a_gap():
    curves = Curves()
    assert curves.append({"train/rmse": 3.0}, "val/rmse")
    assert curves.append({"train/rmse": 2.0, "val/rmse": 2.5, "val/auc": math.nan}, "val/rmse")
    assert curves.append({"val/rmse": None, "val/auc": 0.7}, "val/rmse")
    assert curves.values == {
        "train/rmse": [3.0, 2.0, None],
        "val/rmse": [None, 2.5, None],
        "val/auc": [None, None, 0.7],
    }
    assert curves.best("val/rmse", maximize=False) == (2, 2.5)
    assert Curves.from_attribute(json.loads(json.dumps(curves.as_attribute()))) == curves


def test_comes_back_from_its_attribute(curves):
    stored = json.loads(json.dumps(curves.as_attribute()))
    assert Curves.from_attribute(stored) == curves
    assert Curves.from_attribute({}) == Curves()


def test_keeps_the_gradient_norms_of_an_epoch_that_has_them(curves):
    assert "gradient_norms" not in curves.as_attribute()
    assert curves.append(EPOCHS[0], "val/accuracy", (0.5, 2.0))
    assert curves.as_attribute()["gradient_norms"] == [[0.5, 2.0]]


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val/accuracy", "maximize"),
        ("val/macro_f1", "maximize"),
        ("AUC", "maximize"),
        ("val/loss", "minimize"),
        ("test/RMSE", "minimize"),
        ("val/steps", None),
        ("glossy", None),
    ],
)
def test_the_direction_follows_from_the_last_word_of_the_name(metric, direction):
    assert known_direction(metric) == direction
