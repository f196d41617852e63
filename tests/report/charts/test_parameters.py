"""The charts of each parameter, and of all parameters at once."""

import numpy as np
import pytest

from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.facts import Facts
from hpsearch.report.region import Region, region_of


def test_a_line_passes_below_the_axis_of_a_parameter_that_its_trial_lacks(make_trial, make_study):
    trials = [
        make_trial(0, [0.5], params={"width": 10}),
        make_trial(1, [0.6], params={"optimizer": "sgd"}),
    ]
    facts = Facts.of(make_study(*trials), 5)
    panels = parallel_panels(facts, region_of(facts))
    first = next(t for t in panels.charts[0].traces if t["customdata"][0] == 0)
    assert first["y"][1] < 0 <= first["y"][0]
    assert "that their trial does not have" in panels.note
    titles = [chart.title for chart in slice_panels(facts, region_of(facts)).charts]
    assert titles == ["width: in 1 of 2 trials", "optimizer: in 1 of 2 trials"]


@pytest.mark.parametrize(("direction", "end"), [("maximize", "bottom"), ("minimize", "top")])
def test_lines_of_values_out_of_view_stop_at_the_end_of_the_axis_and_the_caption_says_so(
    direction, end, make_trial, make_study
):
    values = [0.9 + n / 1000 for n in range(30)]
    values[0], values[1] = (0.1, 0.2) if direction == "maximize" else (1.9, 1.8)
    params = {"learning_rate": 0.1}
    trials = [make_trial(n, [value], params=params) for n, value in enumerate(values)]
    facts = Facts.of(make_study(*trials, direction=direction), 5)
    panels = parallel_panels(facts, Region())
    at_the_right = [y for trace in panels.charts[0].traces for y in trace["y"][1::3]]
    assert at_the_right.count(0.0 if end == "bottom" else 1.0) == facts.view.beyond + 1
    sentence = (
        f"On the right, the worst {facts.view.beyond} trials are beyond the axis and drawn at"
    )
    assert f"{sentence} its {end}." in panels.note


def x_of_marks(facts, name):
    """The x coordinates of all marks in the chart of a parameter."""
    charts = {chart.title: chart for chart in slice_panels(facts, region_of(facts)).charts}
    return np.array([x for trace in charts[name].traces for x in trace["x"]])


def test_crowded_marks_are_drawn_slightly_beside_their_value(make_trial, make_study):
    params = [{"optimizer": "adam", "width": 30, "learning_rate": 0.1}] * 40
    facts = Facts.of(make_study(*(make_trial(n, [0.5], params=p) for n, p in enumerate(params))), 5)
    for name, value, step in (("optimizer", 1, 1), ("width", 30, 20)):
        beside = (x_of_marks(facts, name) - value) / step
        assert len(set(beside)) == 40
        assert 0.1 < abs(beside).max() <= 0.12
    assert set(x_of_marks(facts, "learning_rate")) == {0.1}
    assert "are drawn slightly beside their value" in slice_panels(facts, Region()).note


def test_marks_that_cover_no_other_are_at_their_values(make_trial, make_study):
    params = [{"optimizer": name, "width": 30} for name in ("adam", "sgd") for _ in range(9)]
    trials = [make_trial(n, [n / 20], params=each) for n, each in enumerate(params)]
    facts = Facts.of(make_study(*trials), 5)
    assert set(x_of_marks(facts, "optimizer")) == {0, 1}
    assert set(x_of_marks(facts, "width")) == {30}
    assert "beside" not in slice_panels(facts, Region()).note


def test_lines_that_share_a_value_are_drawn_apart_and_the_caption_says_so(make_trial, make_study):
    params = [{"width": 30, "learning_rate": 0.1}] * 12
    facts = Facts.of(make_study(*(make_trial(n, [0.5], params=p) for n, p in enumerate(params))), 5)
    panels = parallel_panels(facts, Region())
    lines = [y for trace in panels.charts[0].traces for y in trace["y"] if y is not None]
    widths, rates = np.array(lines[::3]), np.array(lines[1::3])
    assert len(set(widths)) == 12
    assert abs(widths - 0.5).max() <= 0.12 / 3
    assert len(set(rates)) == 1
    assert "Lines that share a value are drawn slightly apart." in panels.note
    dense = Facts.of(make_study(make_trial(0, [0.5], params={"learning_rate": 0.1})), 5)
    assert "apart" not in parallel_panels(dense, Region()).note
