"""What a report says of a study: its numbers, its axes, its tables, and what it cannot say."""

import json
import math
import re
from datetime import datetime, timedelta
from itertools import accumulate

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.history import History
from hpsearch.errors import StudyError
from hpsearch.formatting import without_middle
from hpsearch.report.charts.axes import ParameterAxis, parameter_axes
from hpsearch.report.charts.base import STATES, escaped
from hpsearch.report.charts.contours import colour_ends, contour_panels, most_important, smoothed
from hpsearch.report.charts.history import history_panels
from hpsearch.report.charts.importance import importance_panels, importances_of
from hpsearch.report.charts.learning import learning_panels
from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.charts.trials import pruning_panels, sentence, side_by_side, timeline_panels
from hpsearch.report.facts import Facts, Point, saved_by_pruning
from hpsearch.report.page import report_page
from hpsearch.report.region import Region, region_of
from hpsearch.report.reproduction import again_of
from hpsearch.report.tables import best_table, trials_table
from hpsearch.report.view import View
from hpsearch.search.rounds import next_round, run_rounds
from hpsearch.search.study import run_study
from hpsearch.space.ranges import Choices, Range
from hpsearch.storage.open import open_storage

START = datetime(2026, 1, 1, 12)
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "one_minus_momentum": FloatDistribution(0.01, 0.5, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "width": IntDistribution(10, 50, step=20),
}


@pytest.fixture(scope="module")
def study(make_settings, tmp_path_factory):
    """Thirty trials of three epochs, most of them pruned, the first one labelled."""
    settings = make_settings(
        search={"trials": 30, "pruner": "median", "pruner_options": {"n_startup_trials": 8}},
        trial={"activation": {"choices": ["relu", "tanh"]}},
        enqueue=[{"label": "known", "learning_rate": 0.1}],
    )
    return run_study(settings, storage=str(tmp_path_factory.mktemp("report") / "j")).study


def a_trial(slot, values, *, state=TrialState.COMPLETE, params=None, seconds=1.0, **attributes):
    """A trial that planned ten epochs of `seconds`, and began when the one before it ended."""
    begin = START + timedelta(seconds=100 * slot)
    params = params or {}
    times = [
        int((begin + timedelta(seconds=seconds * (n + 1))).timestamp() * 1000)
        for n in range(len(values))
    ]
    curves = dict.fromkeys(("train/loss", "train/accuracy", "val/loss", "val/accuracy"), values)
    setup = {"config": {"epochs": 10, "momentum": 0.9}, "metric": "val/accuracy"}
    trial = create_trial(
        state=state,
        value=max(values) if state is TrialState.COMPLETE else None,
        params=params,
        distributions={name: SPACE[name] for name in params},
        user_attrs={"slot": slot, "setup": setup, "curves": curves | {"times": times}} | attributes,
    )
    trial.datetime_start = begin
    trial.datetime_complete = begin + timedelta(seconds=seconds * len(values))
    return trial


def a_study(*trials, direction="maximize", **definition):
    study = optuna.create_study(study_name="s", direction=direction)
    study.set_user_attr("definition", {"search.metric": "val/accuracy"} | definition)
    study.add_trials(trials)
    return study


def numbers_of(page, name):
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    return json.loads(text)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<script")[0]))


# Axes


def test_a_range_has_an_axis_on_its_own_scale_in_its_own_units():
    trial = a_trial(0, [0.5], params={"learning_rate": 0.1, "one_minus_momentum": 0.1})
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


def test_choices_and_steps_have_their_values_and_a_missing_one_has_no_place():
    trials = [a_trial(0, [0.5], params={"optimizer": "adam", "width": 30}), a_trial(1, [0.5])]
    optimizer, width = parameter_axes(trials)
    assert optimizer.layout()["ticktext"] == ["sgd", "adam"]
    assert [optimizer.coordinate(trial) for trial in trials] == [1.0, None]
    assert (width.layout()["type"], width.layout()["tickvals"]) == ("linear", [10, 30, 50])
    assert width.values() == [10, 30, 50]


@pytest.mark.parametrize("log", [False, True])
def test_a_whole_number_has_as_much_room_as_any_and_the_region_takes_all_of_it(log):
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
    facts = Facts.of(a_study(*trials), 5)
    kept = Region(now={"n": Range(low=2, high=3, log=log), "x": Range(low=0.0, high=0.5)})
    (chart,) = contour_panels(facts, importances_of(facts), kept).charts
    along = "x" if chart.layout["xaxis"]["title"]["text"].startswith("n") else "y"
    assert chart.traces[0][along] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5])
    (shape,) = chart.layout["shapes"]
    assert (shape[f"{along}0"], shape[f"{along}1"]) == (1.5, 3.5)
    (shape,) = slice_panels(facts, kept).charts[0].layout["shapes"]
    assert (shape["x0"], shape["x1"]) == (1.5, 3.5)


def test_a_long_name_loses_its_middle_and_a_long_choice_its_end():
    along = ParameterAxis("one_name_that_is_too_long", "x", Choices(("a choice that is too long",)))
    assert along.title == without_middle(along.name, 23) == "one_name_th…is_too_long"
    assert along.ticks() == [(0.0, "a choice that i…")]
    assert without_middle("short", 5) == "short"


def test_an_axis_spans_what_all_trials_searched():
    ranges = [IntDistribution(1, 5), IntDistribution(3, 9)]
    trials = [create_trial(value=0, params={"n": 4}, distributions={"n": each}) for each in ranges]
    (along,) = parameter_axes(trials)
    assert along.entry == Range(low=1, high=9)


def test_an_axis_of_one_value_is_one_too():
    along = ParameterAxis("n", "n", Range(low=2, high=2))
    assert along.layout()["ticktext"] == ["2"]
    assert along.share(2) == 0.5


def test_a_long_name_keeps_its_ends_on_an_axis_and_all_of_it_above():
    name = "the_rate_at_which_it_learns_in_the_beginning"
    trial = create_trial(value=1, params={name: 0.5}, distributions={name: FloatDistribution(0, 1)})
    facts = Facts.of(a_study(trial), 5)
    (chart,) = slice_panels(facts, region_of(facts)).charts
    assert chart.title == name
    assert chart.layout["xaxis"]["title"]["text"] == "the_rate_at…e_beginning"
    (chart,) = parallel_panels(facts, region_of(facts)).charts
    assert chart.layout["xaxis"]["ticktext"][0] == "the_rate_at…e_beginning"


# The region of narrow


def test_what_narrow_says_of_ties_is_told(make_settings, tmp_path):
    rows = "".join(f"{10 * (-1) ** n},{'ab'[n % 2]}\n" for n in range(100))
    (tmp_path / "easy.csv").write_text(f"x,y\n{rows}")
    settings = make_settings(
        data={"source": str(tmp_path / "easy.csv"), "target": "y", "limit": None},
        search={"trials": 8, "pruner": "none"},
        trial={"epochs": 20},
    )
    study = run_study(settings, storage=str(tmp_path / "j")).study
    assert next_round(study).tied == 3
    said = "3 more have val/accuracy 1 too: hpsearch narrow tiny-random --top 8 takes all"
    assert said in report_page(study)


def test_the_region_is_that_of_narrow(study):
    facts, narrowed = Facts.of(study, 5), next_round(study).narrowing.space.searched
    region = region_of(facts)
    charts = {c.name: c for c in slice_panels(facts, region).charts}
    for number, along in enumerate(facts.axes):
        shapes = charts[f"slices-{number}"].layout["shapes"]
        found = [(shape["x0"], shape["x1"]) for shape in shapes]
        entry = narrowed[along.name]
        if isinstance(entry, Choices):
            kept = [["relu", "tanh"].index(value) for value in entry.values]
            assert found == [(n - 0.5, n + 0.5) for n in kept]
        else:
            low, high = entry.low, entry.high
            complement = along.name == "momentum"
            assert found[0] == pytest.approx((1 - low, 1 - high) if complement else (low, high))
    rows = {key: (before, then) for key, before, then in region.rows()}
    assert rows["momentum"][1] == str(narrowed["momentum"])
    assert f"<td>{narrowed['momentum']}</td>" in report_page(study)


def test_where_nothing_can_be_narrowed_the_page_says_why():
    facts = Facts.of(a_study(a_trial(0, [0.5], params={"width": 10})), 5)
    region = region_of(facts)
    assert "was not started by hpsearch" in region.missing
    assert slice_panels(facts, region).charts[0].layout["shapes"] == []
    assert "There is no region to draw: study &#39;s&#39; was not started" in report_page(
        facts.study
    )


# The search


def test_the_history_is_that_of_the_study(study):
    by_trials, by_epochs = history_panels(Facts.of(study, 5)).charts
    history = History.of(study.trials, "val/accuracy")
    line = by_epochs.traces[-1]
    assert line["x"] == [*(each.epochs for each in history.improvements), history.spent]
    assert line["y"][-1] == pytest.approx(study.best_value, rel=1e-4)
    marked = sum(len(trace["x"]) for trace in by_trials.traces[:-1])
    assert marked == len(study.trials)
    assert by_trials.traces[-1]["y"] == sorted(by_trials.traces[-1]["y"])
    assert {trace["marker"]["symbol"] for trace in by_trials.traces[:-1]} == {
        "circle",
        "circle-open",
    }


def test_marks_stand_on_the_best_so_far_or_under_it_where_trials_ran_side_by_side():
    trials = [a_trial(0, [0.1, 0.2, 0.9], seconds=60.0), a_trial(1, [0.5, 0.6], seconds=9.0)]
    _, by_epochs = history_panels(Facts.of(a_study(*trials), 5)).charts
    marked, line = by_epochs.traces
    assert dict(zip(marked["x"], marked["y"], strict=True)) == {3: 0.6, 5: 0.9}
    assert (line["x"], line["y"]) == ([1, 2, 3, 5, 5], [0.1, 0.5, 0.6, 0.9, 0.9])


def test_a_pruned_trial_is_at_its_best_value():
    study = a_study(a_trial(0, [0.5]), a_trial(1, [0.2, 0.4, 0.3], state=TrialState.PRUNED))
    assert [point.value for point in Facts.of(study, 5).points] == [0.5, 0.4]


def test_far_values_are_out_of_sight_at_first_and_the_note_says_so():
    values = [0.1, *np.linspace(0.9, 1, 19)]
    view = View.of(values, maximize=True)
    assert view.low > 0.89
    assert view.beyond == sum(value < view.low for value in values) > 0
    assert view.axis("", "val/accuracy")["range"][0] > 0.85
    assert f"the worst {view.beyond} trials are out of sight" in str(view)
    assert View.of(list(np.linspace(0, 1, 20)), maximize=True).beyond == 0
    assert View.of([0.1, 5.0, 900.0], maximize=False).log
    diverged = View.of([*np.linspace(0.1, 2, 19), 1e8], maximize=False)
    assert (diverged.log, diverged.high, diverged.beyond) == (True, pytest.approx(1.9, abs=0.01), 2)


def test_diverged_losses_stretch_neither_axes_nor_colours():
    values = [0.2, 0.5, 2.0, 1e9, 1e30]
    trials = [create_trial(value=value) for value in values]
    for trial in trials[3:]:
        trial.set_user_attr("reason", "diverged at epoch 2")
    facts = Facts.of(a_study(*trials, direction="minimize"), 5)
    assert (facts.view.high, facts.view.beyond) == (2.0, 2)
    assert colour_ends(facts) == (2.0, 0.2)


@pytest.mark.parametrize(
    ("metric", "value", "low", "high"),
    [("val/accuracy", 0.96, 0.9, 1.01), ("val/loss", 0.0, -0.01, 0.1), ("value", -3.0, -3.2, -2.8)],
)
def test_one_value_has_a_little_of_the_axis_around_it(metric, value, low, high):
    left, right = View.of([value], maximize=True).axis("", metric)["range"]
    assert low < left < value < right < high


def test_counts_have_whole_ticks_where_they_are_few():
    facts = Facts.of(a_study(a_trial(0, [0.5, 0.6])), 5)
    (curves,), (trials, epochs) = learning_panels(facts).charts, history_panels(facts).charts
    assert [chart.layout["xaxis"]["dtick"] for chart in (curves, trials, epochs)] == [1, 1, 1]
    assert curves.layout["xaxis"]["range"] == [0.97, 2.03]
    assert trials.layout["xaxis"]["range"] == [0.5, 1.5]


def test_both_histories_have_the_same_axis_of_values():
    facts = Facts.of(a_study(a_trial(0, [0.1, 0.8]), a_trial(1, [0.2, 0.9])), 5)
    by_trials, by_epochs = (chart.layout["yaxis"] for chart in history_panels(facts).charts)
    assert by_trials["range"] == by_epochs["range"] == pytest.approx([0.794, 0.906])


def test_panels_of_a_loss_share_a_logarithmic_axis_that_a_diverged_curve_does_not_stretch():
    losses = [[2.0, 0.5, 0.05], [1.0, 0.3, 0.04], [3.0, 0.9, 0.06], [2.0, 3.0, 1e8]]
    trials = [a_trial(slot, values) for slot, values in enumerate(losses)]
    for trial in trials:
        trial.user_attrs["setup"]["metric"] = "val/loss"
    study = a_study(*trials, direction="minimize", **{"search.metric": "val/loss"})
    panels = learning_panels(Facts.of(study, 5))
    ranges = [chart.layout["yaxis"]["range"] for chart in panels.charts]
    assert len(ranges) == 4
    assert ranges == [ranges[0]] * 4
    assert ranges[0] == pytest.approx([math.log10(0.04), math.log10(3)], abs=0.2)
    assert "the worst values are out of sight" in panels.note


def test_learning_curves_are_best_first_solid_and_dashed_on_the_same_axes(study):
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
        assert facts.names()[solid["customdata"][0]].startswith(
            f"<b>trial {trial.user_attrs['slot']}"
        )
    assert charts[0].layout["yaxis"] == charts[2].layout["yaxis"]
    assert f"trial {best[0].user_attrs['slot']}" in charts[0].title


# Parameters


def test_what_makes_the_difference_is_the_most_important():
    rng = np.random.default_rng(0)
    draws = rng.uniform(size=(40, 2))
    trials = [
        a_trial(
            n, [y], params={"learning_rate": 10 ** (-4 * x), "width": int(10 + 20 * (z // 0.34))}
        )
        for n, ((x, z), y) in enumerate(zip(draws, 1 - draws[:, 0], strict=True))
    ]
    facts = Facts.of(a_study(*trials), 5)
    importances = importances_of(facts)
    assert [*importances.shares] == ["learning_rate", "width"]
    assert sum(importances.shares.values()) == pytest.approx(1)
    assert importances == importances_of(facts)
    assert [along.name for along in most_important(facts, importances)] == [
        "learning_rate",
        "width",
    ]


def test_the_note_says_how_few_the_best_tenth_are():
    for number, words in ((30, "The best tenth are 3 trials here"), (100, "")):
        trials = [a_trial(n, [0.01 * n], params={"width": 10 + n % 3 * 20}) for n in range(number)]
        facts = Facts.of(a_study(*trials), 5)
        note = importance_panels(facts, importances_of(facts)).note
        assert words in note
        assert ("The best tenth" in note) is bool(words)


def test_few_trials_have_no_importances_but_contours_in_the_order_of_the_space():
    trials = [
        a_trial(
            n,
            [0.01 * n],
            params={"width": 10 + 20 * (n % 2), "learning_rate": 0.001 * (n + 1)}
            | {"one_minus_momentum": 0.1 + n / 100, "optimizer": ("sgd", "adam")[n % 2]},
        )
        for n in range(29)
    ]
    facts = Facts.of(a_study(*trials), 5)
    importances = importances_of(facts)
    assert importances.missing == "29 trials with a value: too few to tell, it takes 30."
    panels = contour_panels(facts, importances, Region())
    assert (len(panels.charts), panels.note.partition(",")[0]) == (6, "All parameters")
    pair = [panels.charts[0].layout[each]["title"]["text"] for each in ("xaxis", "yaxis")]
    assert pair == [along.title for along in facts.axes[:2]]


def test_contours_are_of_the_most_important_where_these_are_known_or_else_of_the_first():
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
        facts = Facts.of(a_study(*trials[:number]), 5)
        panels = contour_panels(facts, importances_of(facts), Region())
        assert panels.note.startswith(f"{which} of 5 parameters, in pairs.")
        assert panels.charts[0].layout["xaxis"]["title"]["text"] == first


@pytest.mark.parametrize(
    ("direction", "better", "sentence"),
    [
        ("maximize", 0, "All trials are equally good."),
        ("minimize", 1, "All but 1 trial are equally good."),
        ("maximize", 2, "All but 2 trials are equally good."),
        ("maximize", 3, ""),
    ],
)
def test_equally_good_trials_have_no_importances(direction, better, sentence):
    sign = 1 if direction == "maximize" else -1
    trials = [
        create_trial(
            value=sign * max(0, n - 29 + better),
            params={"x": n / 30},
            distributions={"x": FloatDistribution(0, 1)},
        )
        for n in range(30)
    ]
    found = importances_of(Facts.of(a_study(*trials, direction=direction), 5))
    assert found.missing == sentence
    assert found.best == (0 if sentence else 3)


def test_a_parameter_that_a_single_trial_has_is_no_warning():
    trials = [
        a_trial(
            n,
            [0.01 * n],
            params={"width": 10 + 20 * (n % 2)} | ({"learning_rate": 0.1} if n == 7 else {}),
        )
        for n in range(30)
    ]
    assert importances_of(Facts.of(a_study(*trials), 5)).shares["learning_rate"] == 0


def test_a_parameter_of_one_value_has_no_importance():
    equal = [a_trial(n, [0.1 * n], params={"width": 10}) for n in range(12)]
    facts = Facts.of(a_study(*equal), 5)
    assert importances_of(facts).missing == "No parameter had different values."
    assert contour_panels(facts, importances_of(facts), region_of(facts)).missing


def test_a_surface_is_the_mean_of_trials_nearby_and_empty_where_there_are_none():
    along = ParameterAxis("x", "x", Range(low=0.0, high=1.0))
    up = ParameterAxis("c", "c", Choices(("a", "b")))
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
    places = np.array([0.1, 0.9])
    z = smoothed(points[:2], (along, places), (up, np.array([0.25, 0.75])), 0.0, 10.0)
    assert z[0, 0] == pytest.approx(2)
    assert np.isnan(z[0, 1])  # far away
    assert np.isnan(z[1]).all()  # another choice
    z = smoothed(points[2:], (along, places), (up, np.array([0.25, 0.75])), 0.0, 10.0)
    assert z[0, 0] == pytest.approx(10)  # as much as is told apart


def test_lines_run_below_the_axis_that_a_trial_lacks():
    trials = [
        a_trial(0, [0.5], params={"width": 10}),
        a_trial(1, [0.6], params={"optimizer": "sgd"}),
    ]
    facts = Facts.of(a_study(*trials), 5)
    panels = parallel_panels(facts, region_of(facts))
    first = next(t for t in panels.charts[0].traces if t["customdata"][0] == 0)
    assert first["y"][1] < 0 <= first["y"][0]
    assert "has not this parameter" in panels.note
    titles = [chart.title for chart in slice_panels(facts, region_of(facts)).charts]
    assert titles == ["width: in 1 of 2 trials", "optimizer: in 1 of 2 trials"]


@pytest.mark.parametrize(("direction", "end"), [("maximize", "foot"), ("minimize", "top")])
def test_lines_of_values_that_are_out_of_sight_end_at_the_axis_end_and_the_caption_says_so(
    direction, end
):
    values = [0.9 + n / 1000 for n in range(30)]
    values[0], values[1] = (0.1, 0.2) if direction == "maximize" else (1.9, 1.8)
    params = {"learning_rate": 0.1}
    trials = [a_trial(n, [value], params=params) for n, value in enumerate(values)]
    facts = Facts.of(a_study(*trials, direction=direction), 5)
    panels = parallel_panels(facts, Region())
    at_the_right = [y for trace in panels.charts[0].traces for y in trace["y"][1::3]]
    assert at_the_right.count(0.0 if end == "foot" else 1.0) == facts.view.beyond + 1
    said = f"At the right the worst {facts.view.beyond} trials are beyond the axis, and drawn at"
    assert f"{said} its {end}." in panels.note


def places_of(facts, name):
    """Where the slice of a parameter has its marks: left to right, and their distance."""
    charts = {chart.title: chart for chart in slice_panels(facts, region_of(facts)).charts}
    return np.array([x for trace in charts[name].traces for x in trace["x"]])


def test_marks_of_few_values_lie_around_them_where_many_would_cover_each_other():
    params = [{"optimizer": "adam", "width": 30, "learning_rate": 0.1}] * 40
    facts = Facts.of(a_study(*(a_trial(n, [0.5], params=p) for n, p in enumerate(params))), 5)
    for name, value, step in (("optimizer", 1, 1), ("width", 30, 20)):
        beside = (places_of(facts, name) - value) / step
        assert len(set(beside)) == 40
        assert 0.1 < abs(beside).max() <= 0.12
    assert set(places_of(facts, "learning_rate")) == {0.1}
    assert "they are drawn a little beside their value" in slice_panels(facts, Region()).note


def test_marks_that_cover_no_other_are_at_their_values():
    params = [{"optimizer": name, "width": 30} for name in ("adam", "sgd") for _ in range(9)]
    trials = [a_trial(n, [n / 20], params=each) for n, each in enumerate(params)]
    facts = Facts.of(a_study(*trials), 5)
    assert set(places_of(facts, "optimizer")) == {0, 1}
    assert set(places_of(facts, "width")) == {30}
    assert "beside" not in slice_panels(facts, Region()).note


def test_lines_lie_apart_around_few_values_and_the_caption_says_so():
    params = [{"width": 30, "learning_rate": 0.1}] * 12
    facts = Facts.of(a_study(*(a_trial(n, [0.5], params=p) for n, p in enumerate(params))), 5)
    panels = parallel_panels(facts, Region())
    lines = [y for trace in panels.charts[0].traces for y in trace["y"] if y is not None]
    widths, rates = np.array(lines[::3]), np.array(lines[1::3])
    assert len(set(widths)) == 12
    assert abs(widths - 0.5).max() <= 0.12 / 3
    assert len(set(rates)) == 1
    assert "Around a value that many have they lie a little apart." in panels.note
    dense = Facts.of(a_study(a_trial(0, [0.5], params={"learning_rate": 0.1})), 5)
    assert "apart" not in parallel_panels(dense, Region()).note


def test_dots_spread_over_a_whole_cell_and_stay_in_it():
    names, widths = ("sgd", "adam"), (10, 30, 50)
    params = [{"optimizer": names[n % 2], "width": widths[n // 2 % 3]} for n in range(60)]
    trials = [a_trial(n, [n / 60], params=each) for n, each in enumerate(params)]
    facts = Facts.of(a_study(*trials), 5)
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
    assert "Where a parameter has few values, dots are spread within each." in panels.note


# Time and pruning


def test_what_pruning_saved_is_what_was_not_run_at_each_trials_pace():
    trials = [
        a_trial(0, [0.5] * 10),
        a_trial(1, [0.1] * 4, state=TrialState.PRUNED, seconds=2.0),
        a_trial(2, [0.1], state=TrialState.PRUNED, seconds=3.0),
        a_trial(3, [0.1] * 2, state=TrialState.PRUNED, reason="diverged at epoch 3"),
        a_trial(4, [0.1] * 2, state=TrialState.FAIL),
    ]
    facts = Facts.of(a_study(*trials), 5)
    saved = saved_by_pruning(facts.trials)
    assert (saved.trials, saved.epochs, saved.diverged) == (2, 6 + 9, 1)
    assert saved.seconds == pytest.approx(6 * 2 + 9 * 3)
    said = sentence(facts, saved)
    assert "15 more epochs, 44% of the 34" in said
    assert "about 39 s more of training: an estimate" in said
    assert "1 trial ended early because the loss was not finite" in said
    (chart,) = pruning_panels(facts, saved).charts
    assert (chart.traces[0]["x"], chart.traces[0]["y"]) == ([1, 4], [1, 1])


def test_the_timeline_has_a_trace_for_each_state_and_leaves_out_pauses():
    trials = [
        a_trial(0, [0.5] * 10),
        a_trial(1, [0.1] * 4, state=TrialState.PRUNED),
        a_trial(2, [0.1] * 2, state=TrialState.FAIL),
    ]
    facts = Facts.of(a_study(*trials), 5)
    (chart,) = timeline_panels(facts, START).charts
    spans = {trace["y"][0]: trace["x"] for trace in chart.traces}
    assert spans == {0: [0, 10, None], 1: [10, 14, None], 2: [14, 16, None]}
    assert len({trace["line"]["color"] for trace in chart.traces}) == 3


def test_many_trials_are_in_as_many_rows_as_ran_at_a_time_and_failures_on_top():
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    trials = [a_trial(slot, [0.5] * 150, state=states[slot % 3]) for slot in range(150)]
    (chart,) = timeline_panels(Facts.of(a_study(*trials), 5), START).charts
    colours = [trace["line"]["color"] for trace in chart.traces]
    assert colours == [STATES["complete"], STATES["pruned"], STATES["failed"]]
    assert {row for trace in chart.traces for row in trace["y"]} == {1, 2, None}
    assert not any(trace["line"]["simplify"] for trace in chart.traces)
    times = [START + timedelta(seconds=n) for n in range(5)]
    spans = {7: (times[0], times[3]), 8: (times[1], times[2]), 9: (times[2], times[4])}
    assert side_by_side(spans) == {7: 1, 8: 2, 9: 2}


# Tables


def test_the_tables_have_the_trials_best_first(study):
    facts = Facts.of(study, 4)
    best, every = best_table(facts), trials_table(facts)
    values = [row[best.headings.index("val/accuracy")].number for row in best.rows]
    complete = sorted((t.value for t in study.trials if t.state.name == "COMPLETE"), reverse=True)
    assert values == complete[:4]
    assert {"learning_rate", "momentum", "activation"} < set(best.headings)
    assert len(every.rows) == 30
    states = [row[every.headings.index("state")].text for row in every.rows]
    assert states == sorted(states)
    assert "known" in [row[every.headings.index("label")].text for row in every.rows]
    # Further to the right it would be out of sight where there are many parameters.
    assert every.headings.index("why it ended") == every.headings.index("state") + 1
    assert "why it ended" not in best.headings
    numeric = {name: every.numeric(column) for column, name in enumerate(every.headings)}
    assert numeric["trial"]
    assert numeric["momentum"]
    assert not numeric["activation"]
    assert not numeric["state"]


# The page


def test_the_headline_is_the_studys(study):
    page = report_page(study)
    states = [trial.state.name for trial in study.trials]
    said = text_of(page)
    assert f"{study.best_value:.4g} best val/accuracy in trial" in said
    counts = f"{states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned"
    assert states.count("PRUNED") > 3
    assert f"30 trials {counts}" in said
    epochs = sum(len(trial.user_attrs["curves"]["times"]) for trial in study.trials)
    assert f"{epochs} epochs trained" in said
    assert f"{(90 - epochs) / 90:.0%} saved by pruning {90 - epochs} epochs" in said


def test_the_page_says_how_to_do_it_again(study):
    page = report_page(study, storage="postgresql://me:secret@host/db")
    (command,) = re.findall('<pre id="command">(.*)</pre>', page)
    assert command == "hpsearch study study.toml --name tiny-random --storage hpsearch.journal"
    assert "With several --jobs" in page
    assert "exactly the same: the pruner median goes by the trials" in page
    assert "--storage" not in again_of(study, "hpsearch.journal").command
    assert f"optuna {optuna.__version__}" in page
    assert study.user_attrs["definition"]["data.digest"] in page
    assert "learning_rate = {low = 0.001, high = 1.0, log = true}" in page
    assert "secret" not in page
    assert "postgresql://me:***@host/db" in page


def test_every_chart_is_one_that_plotly_takes_and_has_its_place(study):
    page = report_page(study)
    figures = numbers_of(page, "figures")
    complete = sum(trial.state is TrialState.COMPLETE for trial in study.trials)
    # history, importances, all at once, slices, pairs of three, timeline, pruning
    assert len(figures) == complete + 2 + 1 + 1 + 3 + 3 + 1 + 1
    for figure in figures:
        go.Figure({"data": figure["data"], "layout": figure["layout"]})  # raises for what it is not
        assert page.count(f'id="chart-{figure["name"]}"') == 1
    assert page.count('class="chart"') == len(figures)


def test_plotly_is_there_once_and_nothing_comes_from_a_network(study):
    page = report_page(study)
    assert page.count("* plotly.js v") == 1
    assert not re.findall(r"<(?:script|link|img)[^>]*\b(?:src|href)=[\"'](?!data:,)", page)
    assert "@import" not in page.split("</style>")[0]


def test_names_from_data_are_shown_and_not_run():
    evil = "</script><script>window.hacked=1</script><!--\u2028"
    distribution = CategoricalDistribution([evil, "<b>bold</b>"])
    trials = [
        create_trial(value=n, params={evil: choice}, distributions={evil: distribution})
        for n, choice in enumerate([evil, "<b>bold</b>"])
    ]
    study = optuna.create_study(study_name="<i>s</i>")
    study.add_trials(trials)
    page = report_page(study)
    assert "<script>window" not in page
    assert "<i>s</i>" not in page
    assert "\u2028" not in page.split('id="figures"')[1].split("</script>")[0]
    assert "&lt;script&gt;window.hacked=1" in page
    assert escaped("<b>bold</b>") in numbers_of(page, "names")[1]
    slices = (f for f in numbers_of(page, "figures") if f["name"] == "slices-0")
    ticks = next(slices)["layout"]["xaxis"]["ticktext"]
    assert not any("<" in tick for tick in ticks)


def test_headings_break_after_underscores_and_run_nothing():
    evil = "<b>learning_rate/x"
    trial = create_trial(value=1, params={evil: 1.0}, distributions={evil: FloatDistribution(0, 2)})
    study = optuna.create_study()
    study.add_trial(trial)
    page = report_page(study)
    assert page.count("&lt;b&gt;learning_<wbr>rate/<wbr>x") == 2  # the best, and all
    assert "<b>learning" not in page.split("<script")[0]


def test_one_of_a_thing_is_said_as_one(make_settings, tmp_path):
    study = run_study(make_settings(search={"trials": 1}), storage=str(tmp_path / "j")).study
    said = text_of(report_page(study))
    assert "1 trial. A click on a heading" in said
    assert "around the best completed trial;" in said
    assert "1 trials" not in said
    trial = a_trial(1, [0.1] * 9, state=TrialState.PRUNED)
    facts = Facts.of(a_study(a_trial(0, [0.5] * 10), trial), 5)
    saved = saved_by_pruning(facts.trials)
    assert "there would have been 1 more epoch, 5%" in sentence(facts, saved)
    (chart,) = pruning_panels(facts, saved).charts
    assert chart.traces[0]["text"] == ["1 trial pruned after 9 epochs"]


def test_somebody_elses_study_has_a_page_that_says_what_it_lacks():
    study = optuna.create_study(study_name="mine")

    def objective(trial):
        x = trial.suggest_float("x", -1, 1)
        trial.report(x * x, 1)
        if x > 0.8:
            raise optuna.TrialPruned
        return x * x + (trial.suggest_int("n", 1, 3) if x > 0 else 0)

    study.sampler = optuna.samplers.RandomSampler(seed=0)
    study.optimize(objective, 20)
    said = text_of(report_page(study))
    assert "Its trials kept no learning curves" in said
    assert "was not started by hpsearch, so there is no study file" in said
    assert re.search(r"n: in \d+ of 20 trials", said)
    assert "best value in trial" in said


def test_repeats_are_reported_as_configurations(make_settings, tmp_path):
    settings = make_settings(
        search={"trials": 2, "seeds": 3},
        enqueue=[
            {"label": "slow", "learning_rate": 0.001},
            {"label": "fast", "learning_rate": 0.5},
        ],
    )
    study = run_study(settings, storage=str(tmp_path / "j")).study
    facts = Facts.of(study, 5)
    table = best_table(facts)
    assert table.headings[:6] == [
        "configuration",
        "val/accuracy",
        "±",
        "lowest",
        "highest",
        "repeats",
    ]
    assert "learning_rate" in table.headings
    fast = [trial.value for trial in study.trials[3:]]
    assert [cell.text for cell in table.rows[0][:2]] == ["fast", f"{np.mean(fast):.4f}"]
    assert table.rows[0][3].text == f"{min(fast):.4f}"
    charts = learning_panels(facts).charts
    assert [len(chart.traces) for chart in charts] == [6, 6]
    assert f"{np.mean(fast):.4f} ± {np.std(fast, ddof=1):.2g} best val/accuracy in fast" in text_of(
        report_page(study)
    )


def test_a_later_round_is_reported_without_what_it_was_given(make_settings, tmp_path):
    settings = make_settings(search={"trials": 6})
    first, second = (o.study for o in run_rounds(settings, 2, storage=str(tmp_path / "j")))
    assert len(second.trials) > 6
    said = text_of(report_page(second))
    assert "6 trials 6 complete" in said
    assert f"2 of the search {first.study_name}: it began with trials" in said


def test_a_later_round_is_done_again_from_the_file_of_the_first(make_settings, tmp_path):
    store = str(tmp_path / "j")
    rounds = run_rounds(make_settings(), 2, storage=store)
    first, second = (outcome.study for outcome in rounds)
    again = again_of(second, "")
    assert again.file == first.user_attrs["settings"]
    assert again.file != second.user_attrs["settings"]
    assert again.command == "hpsearch study study.toml --name tiny-random --rounds 2"
    run_study(make_settings(search={"trials": 6}), storage=store)  # the first one goes on
    assert again_of(second, "").command == f"{again.command} --trials 4"
    optuna.delete_study(study_name="tiny-random", storage=open_storage(store))
    for _ in range(2):
        said = text_of(report_page(second))
        assert "round 2 of the search tiny-random" in said
        assert "cannot be done again" in said
        assert "study.toml" not in said
        run_study(make_settings(), storage=store)  # another of that name


def test_a_data_file_goes_beside_the_study_file():
    study = a_study(a_trial(0, [0.5]))
    settings = '[data]\nsource = "{}mine.csv"\n[trial]\nepochs = 1\n'
    study.set_user_attr("settings", settings.format(""))
    assert again_of(study, "").beside == "mine.csv"
    assert "put the data there as mine.csv" in text_of(report_page(study))
    study.set_user_attr("settings", settings.format("/data/"))
    assert not again_of(study, "").beside


def test_the_official_test_set_is_named():
    page = report_page(a_study(a_trial(0, [0.5]), **{"data.validation": "test"}))
    assert "best val/accuracy (test set)" in text_of(page)


def test_a_study_in_which_some_trials_have_no_curves_is_reported_too():
    study = a_study(a_trial(0, [0.5, 0.6]), create_trial(value=0.9))
    facts = Facts.of(study, 5)
    assert [chart.title for chart in learning_panels(facts).charts] == ["2 · trial 0 · 0.6"]
    assert "0.9 best val/accuracy in trial 1" in text_of(report_page(study))


def test_the_name_of_a_better_round_is_no_tag():
    study = a_study(a_trial(0, [0.5]))
    evil = optuna.create_study(study_name="<i>", storage=study._storage, direction="maximize")
    evil.add_trial(a_trial(0, [0.4]))
    later = optuna.create_study(study_name="<i>.r2", storage=study._storage, direction="maximize")
    later.set_user_attr("experiment", "<i>")
    later.add_trial(a_trial(0, [0.6]))
    page = report_page(evil)
    assert "<p>&lt;i&gt;.r2 has found better: hpsearch report &#39;&lt;i&gt;.r2&#39;</p>" in page
    assert "has found better" not in report_page(later)


def test_early_stopping_would_have_saved_some_of_it():
    trial = a_trial(1, [0.1], state=TrialState.PRUNED)
    trial.user_attrs["setup"]["config"]["early_stopping"] = 3
    facts = Facts.of(a_study(a_trial(0, [0.5] * 10), trial), 5)
    said = sentence(facts, saved_by_pruning(facts.trials))
    assert said.startswith("1 trial was pruned.")
    assert "less where early stopping would have ended a trial" in said


def test_running_trials_are_counted():
    study = a_study(a_trial(0, [0.5]))
    study.ask()
    assert "1 trial is running : this is not its end" in text_of(report_page(study))


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_page_is_of_one_moment_however_long_it_takes(seeds, monkeypatch):
    study = a_study(*(a_trial(slot, [0.5]) for slot in range(4)), **{"search.seeds": seeds})
    saved_by = saved_by_pruning

    def meanwhile(trials):
        study.add_trials([a_trial(4, [0.9]), a_trial(5, [0.9])])
        return saved_by(trials)

    monkeypatch.setattr("hpsearch.report.page.saved_by_pruning", meanwhile)
    said = text_of(report_page(study))
    assert len(study.trials) == 6
    assert "4 trials 4 complete" in said
    assert "0.9" not in said


def test_there_is_nothing_to_report_of_no_completed_trial_or_several_objectives():
    with pytest.raises(StudyError, match="study 's' has no completed trial yet, so there is noth"):
        report_page(a_study(a_trial(0, [0.5], state=TrialState.PRUNED)))
    several = optuna.create_study(study_name="two", directions=["minimize", "maximize"])
    with pytest.raises(StudyError, match="study 'two' has 2 objectives; a report is of one"):
        report_page(several)


def test_best_so_far_against_trials_is_a_running_best():
    values = [0.3, 0.5, 0.4, 0.7]
    facts = Facts.of(a_study(*(a_trial(n, [v]) for n, v in enumerate(values))), 5)
    line = history_panels(facts).charts[0].traces[-1]
    assert line["x"] == [1, 2, 3, 4, 4]
    assert line["y"] == [*accumulate([*values, 0.0], max)]


def test_a_trial_that_diverged_before_it_had_a_value_has_its_place_in_the_history():
    ends = [([0.3], TrialState.COMPLETE), ([], TrialState.PRUNED), ([0.5], TrialState.COMPLETE)]
    trials = [a_trial(slot, values, state=state) for slot, (values, state) in enumerate(ends)]
    interrupted = a_trial(3, [0.9], state=TrialState.FAIL)
    chart = history_panels(Facts.of(a_study(*trials, interrupted), 5)).charts[0]
    marked, line = chart.traces
    assert marked["x"] == [1, 3]
    assert (line["x"], line["y"]) == ([1, 3, 3], [0.3, 0.5, 0.5])
