import json
import math
from dataclasses import replace

import pytest

from hpsearch.trials.curves import METRICS, Curves
from model.diagnostics import Diagnostics
from model.training import Epoch

EPOCHS = [
    Epoch(1, 0.1, 2.0, 0.3, 1.9, 0.4),
    Epoch(2, 0.1, 1.0, 0.6, 1.2, 0.7),
    Epoch(3, 0.1, 0.5, 0.8, 1.3, 0.7),
]


@pytest.fixture
def curves():
    grown = Curves()
    assert all(grown.append(epoch) for epoch in EPOCHS)
    return grown


def test_keeps_a_list_for_every_metric(curves):
    assert curves.values == {
        "train/loss": [2.0, 1.0, 0.5],
        "train/accuracy": [0.3, 0.6, 0.8],
        "val/loss": [1.9, 1.2, 1.3],
        "val/accuracy": [0.4, 0.7, 0.7],
    }
    assert len(curves) == 3
    assert curves.times == sorted(curves.times)


def test_the_best_is_the_highest_accuracy_and_the_lowest_loss_the_first_time_it_is_reached(curves):
    assert curves.best("val/accuracy") == (2, 0.7)
    assert curves.best("val/loss") == (2, 1.2)
    assert curves.best("train/loss") == (3, 0.5)
    assert curves.best("train/accuracy") == (3, 0.8)


@pytest.mark.parametrize("attribute", METRICS.values())
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite_and_adds_nothing(curves, attribute, value):
    before = json.dumps(curves.as_attribute())
    assert not curves.append(replace(EPOCHS[0], **{attribute: value}))
    assert json.dumps(curves.as_attribute()) == before
    assert Curves() == Curves.from_attribute({})  # no list is shared


def test_comes_back_from_its_attribute(curves):
    stored = json.loads(json.dumps(curves.as_attribute()))
    assert Curves.from_attribute(stored) == curves
    assert Curves.from_attribute({}) == Curves()


def test_curves_without_validation_have_only_the_training_metrics():
    curves = Curves.without_validation()
    assert curves.append(replace(EPOCHS[0], val_loss=math.nan, val_accuracy=math.nan))
    assert curves.values == {"train/loss": [2.0], "train/accuracy": [0.3]}
    stored = json.loads(json.dumps(curves.as_attribute()))
    assert Curves.from_attribute(stored) == curves


def test_keeps_the_gradient_norms_of_an_epoch_that_has_them(curves):
    assert "gradient_norms" not in curves.as_attribute()
    assert curves.append(replace(EPOCHS[0], diagnostics=Diagnostics((), (0.5, 2.0))))
    assert curves.as_attribute()["gradient_norms"] == [[0.5, 2.0]]
