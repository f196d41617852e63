"""Contours of the metric over two parameters."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.charts.contours import colour_limits, contour_panels, smoothed
from hpsearch.report.charts.importance import importances_of
from hpsearch.report.facts import Facts, Point
from hpsearch.report.region import Region
from hpsearch.space.ranges import Choices, Range


def test_too_few_trials_for_importances_have_contours_in_the_order_of_the_space(
    make_trial, make_study
):
    trials = [
        make_trial(
            n,
            [0.01 * n],
            params={"width": 10 + 20 * (n % 2), "learning_rate": 0.001 * (n + 1)}
            | {"one_minus_momentum": 0.1 + n / 100, "optimizer": ("sgd", "adam")[n % 2]},
        )
        for n in range(29)
    ]
    facts = Facts.of(make_study(*trials), 5)
    importances = importances_of(facts)
    assert (
        importances.missing
        == "Importances need at least 30 trials with a value; this study has 29."
    )
    panels = contour_panels(facts, importances, Region())
    assert (len(panels.charts), panels.note.partition(",")[0]) == (6, "All parameters")
    pair = [panels.charts[0].layout[each]["title"]["text"] for each in ("xaxis", "yaxis")]
    assert pair == [axis.title for axis in facts.axes[:2]]


def test_contours_show_the_most_important_parameters_or_else_the_first(make_study):
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e"]
    trials = [
        create_trial(
            value=draw[4],
            params=dict(zip(names, draw, strict=True)),
            distributions=dict.fromkeys(names, FloatDistribution(0, 1)),
        )
        for draw in rng.uniform(size=(40, 5)).tolist()
    ]
    for number, which, first in ((29, "4", "a"), (40, "The 4 most important", "e")):
        facts = Facts.of(make_study(*trials[:number]), 5)
        panels = contour_panels(facts, importances_of(facts), Region())
        assert panels.note.startswith(f"{which} of 5 parameters, in pairs.")
        assert panels.charts[0].layout["xaxis"]["title"]["text"] == first


def test_a_surface_is_the_mean_of_nearby_trials_and_empty_without_any():
    x_axis = ParameterAxis("x", "x", Range(low=0.0, high=1.0))
    y_axis = ParameterAxis("c", "c", Choices(("a", "b")))
    trials = [
        create_trial(
            value=value,
            params={"x": x, "c": "a"},
            distributions={
                "x": FloatDistribution(0, 1),
                "c": CategoricalDistribution(["a", "b"]),
            },
        )
        for x, value in [(0.1, 1.0), (0.1, 3.0), (0.12, 50.0)]
    ]
    points = [Point(n, trial, trial.value) for n, trial in enumerate(trials)]
    shares = np.array([0.1, 0.9])
    z = smoothed(points[:2], (x_axis, shares), (y_axis, np.array([0.25, 0.75])), 0.0, 10.0)
    assert z[0, 0] == pytest.approx(2)
    assert np.isnan(z[0, 1])  # far away
    assert np.isnan(z[1]).all()  # another choice
    z = smoothed(points[2:], (x_axis, shares), (y_axis, np.array([0.25, 0.75])), 0.0, 10.0)
    assert z[0, 0] == pytest.approx(10)  # as much as is told apart


def test_dots_spread_within_their_cell(make_trial, make_study):
    names, widths = ("sgd", "adam"), (10, 30, 50)
    params = [{"optimizer": names[n % 2], "width": widths[n // 2 % 3]} for n in range(60)]
    trials = [make_trial(n, [n / 60], params=each) for n, each in enumerate(params)]
    facts = Facts.of(make_study(*trials), 5)
    panels = contour_panels(facts, importances_of(facts), Region())
    (dots,) = (t for t in panels.charts[0].traces[1:] if len(t["x"]) == 60)
    cells = {"optimizer": (0, 1), "width": (10, 20)}
    beside = []
    for key in "xy":
        low, step = cells[panels.charts[0].layout[f"{key}axis"]["title"]["text"]]
        share = (np.array(dots[key]) - low) / step
        beside.append(share - share.round())
        assert 0.2 < abs(beside[-1]).max() <= 0.25
    assert abs(np.corrcoef(beside)[0, 1]) < 0.5  # and not along a diagonal
    assert "If a parameter has few values, dots are spread around each." in panels.note


def test_diverged_losses_stretch_neither_axes_nor_colours(make_study):
    values = [0.2, 0.5, 2.0, 1e9, 1e30]
    trials = [create_trial(value=value) for value in values[:3]]
    for value in values[3:]:
        reason = {"reason": "diverged at epoch 2"}
        pruned = {"state": TrialState.PRUNED, "intermediate_values": {1: value}}
        trials.append(create_trial(**pruned, user_attrs=reason))
    facts = Facts.of(make_study(*trials, direction="minimize"), 5)
    assert (facts.view.high, facts.view.beyond) == (2.0, 2)
    assert colour_limits(facts) == (2.0, 0.2)
