"""Mean curves, and the values that trials have for a searched key."""

from statistics import fmean

import pytest
from optuna.trial import create_trial

from hpsearch.analysis.mean_curves import config_values, mean_curve, running_mean
from hpsearch.space.ranges import Choices, Range


def trial_with(values, config=None):
    curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), values)
    setup = {"config": config or {}}
    return create_trial(value=0.5, user_attrs={"setup": setup, "curves": curves})


def test_a_point_is_the_mean_of_the_trials_that_got_that_far():
    trials = [trial_with([0.1, 0.3, 0.8]), trial_with([0.5])]
    curve = mean_curve(trials, "val/accuracy")
    assert curve.x == [1, 2, 3]
    assert curve.mean == [fmean([0.1, 0.5]), 0.3, 0.8]
    assert (curve.low, curve.high) == ([0.1, 0.3, 0.8], [0.5, 0.3, 0.8])


def test_x_counts_iterations_if_an_epoch_is_a_number_of_batches():
    trials = [trial_with([0.1, 0.3], {"steps_per_epoch": 100})]
    assert mean_curve(trials, "val/loss").x == [100, 200]


def test_a_running_mean_takes_the_last_values():
    assert running_mean([1.0, 2.0, 6.0, 7.0], 3) == [1.0, 1.5, 3.0, 5.0]
    assert running_mean([0.1, 0.2, 0.3], 1) == [0.1, 0.2, 0.3]
    assert running_mean([], 5) == []


def test_choices_keep_the_order_of_the_file_and_numbers_of_a_range_ascend():
    trials = [trial_with([], {"dropout": d}) for d in (0.2, 0.1, 0.3, 0.1)]
    assert config_values(trials, "dropout", Choices((0.3, 0.1, 0.2, 0.9))) == [0.3, 0.1, 0.2]
    assert config_values(trials, "dropout", Range(low=0.0, high=0.5)) == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("key", "sizes", "value"),
    [("hidden_layers", [5, 5], 2), ("hidden_units", [7], 7), ("hidden_layer_sizes", [9, 4], "9-4")],
)
def test_a_shape_is_a_value(key, sizes, value):
    trial = trial_with([], {"hidden_layer_sizes": sizes})
    searched = Choices(((9, 4), (3,))) if key == "hidden_layer_sizes" else Range(low=1, high=9)
    assert config_values([trial], key, searched) == [value]
