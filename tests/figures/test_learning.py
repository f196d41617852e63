"""Figures of learning curves."""

from statistics import fmean

import numpy as np
import pytest

from hpsearch.analysis.mean_curves import running_mean
from hpsearch.errors import StudyError
from hpsearch.figures.declared import draw
from hpsearch.figures.drawing import COLOURS
from hpsearch.settings.figures import FigureSettings

STDS, NORMS = [0.5, 0.01], ["none", "before"]


def points(line):
    return list(line.get_xdata()), list(line.get_ydata())


def legend(drawn):
    return [text.get_text() for text in drawn.legends[0].get_texts()] if drawn.legends else []


def curves_of(trial, metric="val/accuracy"):
    return trial.user_attrs["curves"][metric]


def test_curves_have_a_line_for_each_configuration_and_metric(grid):
    drawn = draw(grid, FigureSettings(kind="curves"))
    (axes,) = drawn.axes
    lines = axes.get_lines()
    assert len(lines) == 8
    assert {line.get_linestyle() for line in lines[::2]} == {"-"}
    assert {line.get_linestyle() for line in lines[1::2]} == {"--"}
    assert [line.get_color() for line in lines[::2]] == list(COLOURS[:4])
    assert [line.get_color() for line in lines[1::2]] == list(COLOURS[:4])
    first, second = grid.trials[:2]
    means = [fmean(pair) for pair in zip(curves_of(first), curves_of(second), strict=True)]
    assert points(lines[0]) == ([1, 2, 3], means)
    assert len(axes.collections) > 0  # the bands
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "val/accuracy, train/accuracy")
    names = [f"weight_std {std}, batch_norm {norm}" for std in STDS for norm in NORMS]
    assert legend(drawn) == [*names, "val/accuracy", "train/accuracy"]


def test_a_band_reaches_from_the_lowest_to_the_highest(make_trial, make_study):
    trials = [make_trial(0, [0.1, 0.4], value=0.4), make_trial(1, [0.3, 0.4], value=0.4)]
    study = make_study(*trials, definition={"search.seeds": "2"})
    (axes,) = draw(study, FigureSettings(kind="curves", metrics=["val/accuracy"])).axes
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert sorted({y for x, y in corners if x == 1}) == [0.1, 0.3]
    assert {y for x, y in corners if x == 2} == {0.4}


@pytest.mark.parametrize(
    ("seeds", "names"), [(1, ["trial 0", "trial 1"]), (2, ["trials 0 to 1", "trials 2 to 3"])]
)
def test_the_legend_names_the_trials_if_a_label_is_too_long(seeds, names, make_trial, make_study):
    label = "a label of many words " * 4
    trials = [make_trial(slot, [0.5], value=0.5, label=label) for slot in range(2 * seeds)]
    study = make_study(*trials, definition={"search.seeds": str(seeds)})
    assert legend(draw(study, FigureSettings(kind="curves", metrics=("val/loss",)))) == names


def test_smooth_log_title_and_top(grid):
    settings = FigureSettings(
        kind="curves",
        metrics=["train/loss"],
        smooth=2,
        log=True,
        top=1,
        title="It costs $5, not $6",
    )
    drawn = draw(grid, settings)
    (axes,) = drawn.axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "train/loss (mean of 2 epochs)"
    assert drawn.get_suptitle() == r"It costs \$5, not \$6"  # no formula
    (line,) = axes.get_lines()
    pairs = [grid.trials[n : n + 2] for n in range(0, 8, 2)]
    best = max(pairs, key=lambda pair: fmean(trial.value for trial in pair))
    smoothed = [running_mean(curves_of(trial, "train/loss"), 2) for trial in best]
    assert list(line.get_ydata()) == pytest.approx(np.mean(smoothed, axis=0))


def test_the_line_of_a_diverged_configuration_is_shorter(make_trial, make_study):
    study = make_study(
        make_trial(0, [0.1, 0.2], label="diverged"), make_trial(1, [0.5] * 4, value=0.5, label="ok")
    )
    drawn = draw(study, FigureSettings(kind="curves", metrics=["val/accuracy"]))
    assert [points(line)[0] for line in drawn.axes[0].get_lines()] == [[1, 2], [1, 2, 3, 4]]
    assert legend(drawn) == ["diverged", "ok"]


def test_the_axis_says_that_the_study_validates_on_the_test_set(make_trial, make_study):
    study = make_study(make_trial(0, [0.5], value=0.5), definition={"data.validation": "test"})
    drawn = draw(study, FigureSettings(kind="curves"))
    assert drawn.axes[0].get_ylabel() == "val/accuracy (test set), train/accuracy"
    assert "val/accuracy (test set)" in legend(drawn)
    assert (
        draw(study, FigureSettings(kind="means")).axes[0].get_xlabel() == "val/accuracy (test set)"
    )


def test_the_axis_counts_iterations(sampled):
    drawn = draw(sampled, FigureSettings(kind="curves", top=3))
    assert drawn.axes[0].get_xlabel() == "iteration"
    assert {tuple(line.get_xdata()) for line in drawn.axes[0].get_lines()} == {(4,)}
    assert drawn.get_suptitle() == "tiny-random, the best 3 of 41"


def test_panels_by_one_key_and_lines_by_another(grid):
    drawn = draw(grid, FigureSettings(kind="panels", panels="weight_std", lines="batch_norm"))
    assert [axes.get_title() for axes in drawn.axes] == ["0.5", "0.01"]
    assert legend(drawn) == ["batch_norm none", "batch_norm before"]
    assert drawn.axes[0].get_ylim() == drawn.axes[1].get_ylim()
    for std, axes in zip(STDS, drawn.axes, strict=True):
        assert len(axes.get_lines()) == 2
        for norm, line in zip(NORMS, axes.get_lines(), strict=True):
            its = [t for t in grid.trials if t.params == {"weight_std": std, "batch_norm": norm}]
            curves = [curves_of(trial, "train/accuracy") for trial in its]
            assert len(curves) == 2
            assert list(line.get_ydata()) == pytest.approx(np.mean(curves, axis=0))
    assert (drawn.get_supxlabel(), drawn.get_supylabel()) == ("epoch", "train/accuracy")


def test_too_many_panels_are_refused(sampled):
    with pytest.raises(
        StudyError,
        match=r"figure 'panels': dropout has 40 values; a figure has at most 36 panels",
    ):
        draw(sampled, FigureSettings(kind="panels", panels="dropout"))


def test_labels_choose_the_configurations_to_draw(make_trial, make_study):
    trials = [
        make_trial(slot, [0.1, 0.2], value=0.2, label=label)
        for slot, label in enumerate(["plain", "odd", "wide"])
    ]
    study = make_study(*trials)
    drawn = draw(
        study, FigureSettings(kind="curves", labels=("wide", "plain"), metrics=("val/loss",))
    )
    assert legend(drawn) == ["plain", "wide"]
    assert drawn.get_suptitle() == "s"  # they are chosen, not the best
    rows = draw(study, FigureSettings(kind="means", labels=("odd",))).axes[0].get_yticklabels()
    assert [row.get_text() for row in rows] == ["odd"]


@pytest.mark.parametrize("kind", ["curves", "gradients", "means"])
def test_labels_that_have_not_run_yet_are_refused(kind, make_trial, make_study):
    study = make_study(make_trial(0, [0.5], value=0.5, label="plain"))
    sentence = f"figure '{kind}': study 's' has no trial of 'wide' and 'odd' yet"
    with pytest.raises(StudyError, match=sentence):
        draw(study, FigureSettings(kind=kind, labels=("wide", "odd")))


def test_the_best_trials_have_a_panel_each(grid):
    drawn = draw(grid, FigureSettings(kind="best", top=7))
    best = sorted(grid.trials, key=lambda trial: (-trial.value, trial.number))[:7]
    titles = [f"Best-{n} {trial.value:.4g}" for n, trial in enumerate(best, start=1)]
    assert [axes.get_title() for axes in drawn.axes] == titles
    for trial, axes in zip(best, drawn.axes, strict=True):
        solid, dashed = axes.get_lines()
        assert list(solid.get_ydata()) == curves_of(trial)
        assert list(dashed.get_ydata()) == curves_of(trial, "train/accuracy")
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert drawn.axes[0].get_gridspec().ncols == 5
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1
    assert legend(drawn) == ["val/accuracy", "train/accuracy"]
