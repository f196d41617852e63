"""The panels of learning curves."""

import math

import pytest

from hpsearch.report.charts.history import history_panels
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.facts import Facts


def test_panels_of_a_loss_share_a_logarithmic_axis_which_a_diverged_curve_does_not_stretch(
    make_trial, make_study
):
    losses = [[2.0, 0.5, 0.05], [1.0, 0.3, 0.04], [3.0, 0.9, 0.06], [2.0, 3.0, 1e8]]
    trials = [make_trial(slot, values) for slot, values in enumerate(losses)]
    for trial in trials:
        trial.user_attrs["setup"]["metric"] = "val/loss"
    study = make_study(*trials, direction="minimize", **{"search.metric": "val/loss"})
    panels = learning_panels(Facts.of(study, 5))
    ranges = [chart.layout["yaxis"]["range"] for chart in panels.charts]
    assert len(ranges) == 4
    assert ranges == [ranges[0]] * 4
    assert ranges[0] == pytest.approx([math.log10(0.04), math.log10(3)], abs=0.2)
    assert "the worst values are out of view" in panels.note


def test_panels_are_best_first_with_solid_and_dashed_curves_on_the_same_axes(study):
    facts = Facts.of(study, 3)
    charts = learning_panels(facts).charts
    best = sorted(
        (t for t in study.trials if t.value and t.state.name == "COMPLETE"),
        key=lambda t: (-t.value, t.user_attrs["slot"]),
    )[:3]
    for chart, trial in zip(charts, best, strict=True):
        solid, dashed = chart.traces
        assert (solid["line"]["dash"], dashed["line"]["dash"]) == ("solid", "dash")
        curves = trial.user_attrs["curves"]
        assert solid["y"] == pytest.approx(curves["val/accuracy"], rel=1e-4)
        assert dashed["y"] == pytest.approx(curves["train/accuracy"], rel=1e-4)
        assert facts.hover_texts()[solid["customdata"][0]].startswith(
            f"<b>trial {trial.user_attrs['slot']}"
        )
    assert charts[0].layout["yaxis"] == charts[2].layout["yaxis"]
    assert f"trial {best[0].user_attrs['slot']}" in charts[0].title


def test_short_axes_of_epochs_and_trials_have_a_tick_at_each_whole_number(make_trial, make_study):
    facts = Facts.of(make_study(make_trial(0, [0.5, 0.6])), 5)
    (curves,), (trials, epochs) = learning_panels(facts).charts, history_panels(facts).charts
    assert [chart.layout["xaxis"]["dtick"] for chart in (curves, trials, epochs)] == [1, 1, 1]
    assert curves.layout["xaxis"]["range"] == [0.97, 2.03]
    assert trials.layout["xaxis"]["range"] == [0.5, 1.5]
