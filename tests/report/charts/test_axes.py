"""The axes of searched parameters: scales, ticks, choices and steps."""

import math

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import create_trial

from hpsearch.formatting import without_middle
from hpsearch.report.charts.axes import ParameterAxis, parameter_axes
from hpsearch.report.charts.contours import contour_panels
from hpsearch.report.charts.importance import importances_of
from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.facts import Facts
from hpsearch.report.region import Region, region_of
from hpsearch.space.ranges import Choices, Range


def test_a_range_has_an_axis_on_its_own_scale_in_its_own_units(make_trial):
    trial = make_trial(0, [0.5], params={"learning_rate": 0.1, "one_minus_momentum": 0.1})
    rate, momentum = parameter_axes([trial])
    assert (rate.name, momentum.name) == ("learning_rate", "momentum")
    assert momentum.entry == Range(low=0.5, high=0.99, log="complement")
    assert rate.layout()["type"] == momentum.layout()["type"] == "log"
    assert rate.layout()["ticktext"] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert momentum.layout()["ticktext"] == ["0.99", "0.98", "0.95", "0.9", "0.8", "0.5"]
    assert momentum.layout()["tickvals"] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    left, right = momentum.layout()["range"]
    assert left > math.log10(0.5) > math.log10(0.01) > right  # it grows to the right
    assert momentum.title == "momentum (log of 1 − x)"
    assert momentum.coordinate(trial) == 0.1
    assert momentum.share(0.1) == pytest.approx(math.log(5) / math.log(50))
    assert momentum.at(momentum.share(0.07)) == pytest.approx(0.07)


def test_choices_and_steps_have_ticks_and_a_missing_parameter_has_no_coordinate(make_trial):
    trials = [make_trial(0, [0.5], params={"optimizer": "adam", "width": 30}), make_trial(1, [0.5])]
    optimizer, width = parameter_axes(trials)
    assert optimizer.layout()["ticktext"] == ["sgd", "adam"]
    assert [optimizer.coordinate(trial) for trial in trials] == [1.0, None]
    assert (width.layout()["type"], width.layout()["tickvals"]) == ("linear", [10, 30, 50])
    assert width.values == [10, 30, 50]


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_have_half_a_step_on_either_side_and_so_has_the_region(log, make_study):
    depth = ParameterAxis("n", "n", Range(low=1, high=4, log=log))
    left, right = (10**end if log else end for end in depth.layout()["range"])
    assert left < 0.5 < 4.5 < right
    assert depth.layout()["tickvals"][:2] == [1, 2]
    trials = [
        create_trial(
            value=n,
            params={"n": n % 4 + 1, "x": n % 3 / 2},
            distributions={"n": IntDistribution(1, 4, log=log), "x": FloatDistribution(0, 1)},
        )
        for n in range(12)
    ]
    facts = Facts.of(make_study(*trials), 5)
    kept = Region(now={"n": Range(low=2, high=3, log=log), "x": Range(low=0.0, high=0.5)})
    (chart,) = contour_panels(facts, importances_of(facts), kept).charts
    which = "x" if chart.layout["xaxis"]["title"]["text"].startswith("n") else "y"
    assert chart.traces[0][which] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5])
    (shape,) = chart.layout["shapes"]
    assert (shape[f"{which}0"], shape[f"{which}1"]) == (1.5, 3.5)
    (shape,) = slice_panels(facts, kept).charts[0].layout["shapes"]
    assert (shape["x0"], shape["x1"]) == (1.5, 3.5)


def test_a_long_name_loses_its_middle_and_a_long_choice_loses_its_end():
    axis = ParameterAxis("one_name_that_is_too_long", "x", Choices(("a choice that is too long",)))
    assert axis.title == without_middle(axis.name, 23) == "one_name_th…is_too_long"
    assert axis.ticks() == [(0.0, "a choice that i…")]
    assert without_middle("short", 5) == "short"


def test_an_axis_spans_the_ranges_of_all_trials():
    ranges = [IntDistribution(1, 5), IntDistribution(3, 9)]
    trials = [create_trial(value=0, params={"n": 4}, distributions={"n": each}) for each in ranges]
    (axis,) = parameter_axes(trials)
    assert axis.entry == Range(low=1, high=9)


def test_a_range_of_one_value_has_an_axis():
    axis = ParameterAxis("n", "n", Range(low=2, high=2))
    assert axis.layout()["ticktext"] == ["2"]
    assert axis.share(2) == 0.5


def test_a_long_name_is_shortened_on_axes_and_complete_in_the_caption(make_study):
    name = "the_rate_at_which_it_learns_in_the_beginning"
    trial = create_trial(value=1, params={name: 0.5}, distributions={name: FloatDistribution(0, 1)})
    facts = Facts.of(make_study(trial), 5)
    (chart,) = slice_panels(facts, region_of(facts)).charts
    assert chart.title == name
    assert chart.layout["xaxis"]["title"]["text"] == "the_rate_at…e_beginning"
    (chart,) = parallel_panels(facts, region_of(facts)).charts
    assert chart.layout["xaxis"]["ticktext"][0] == "the_rate_at…e_beginning"
