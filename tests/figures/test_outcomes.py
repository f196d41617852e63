"""Figures of gradients by layer and of mean values."""

from statistics import fmean, stdev

import numpy as np
import pytest

from hpsearch.errors import StudyError
from hpsearch.figures.declared import draw
from hpsearch.settings.figures import FigureSettings

STDS, NORMS = [0.5, 0.01], ["none", "before"]


def points(line):
    return list(line.get_xdata()), list(line.get_ydata())


def legend(drawn):
    return [text.get_text() for text in drawn.legends[0].get_texts()] if drawn.legends else []


def test_gradients_by_layer_in_the_first_and_the_last_epoch(grid):
    drawn = draw(grid, FigureSettings(kind="gradients"))
    assert [axes.get_title() for axes in drawn.axes] == ["first epoch", "last epoch"]
    for axes, epoch in zip(drawn.axes, (0, -1), strict=True):
        assert axes.get_yscale() == "log"
        norms = [t.user_attrs["curves"]["gradient_norms"][epoch] for t in grid.trials[:2]]
        x, y = points(axes.get_lines()[0])
        assert x == [1, 2]
        assert y == pytest.approx(np.mean(norms, axis=0))
        assert len(axes.get_lines()) == 4
    assert len(legend(drawn)) == 4


def test_a_study_without_diagnostics_has_no_gradients(sampled):
    with pytest.raises(
        StudyError, match=r"kept no gradient norms; set diagnostics = true in \[search\] before"
    ):
        draw(sampled, FigureSettings(kind="gradients"))


def test_means_have_a_row_for_each_configuration(grid):
    (axes,) = draw(grid, FigureSettings(kind="means")).axes
    names = [f"weight_std {std}, batch_norm {norm}" for std in STDS for norm in NORMS]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first at the top
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    for row, text in enumerate(axes.texts):
        values = [trial.value for trial in grid.trials[2 * row : 2 * row + 2]]
        assert points(dots[row]) == (values, [row, row])
        assert text.get_text() == f"{fmean(values):.4f} ± {stdev(values):.2g}"
    bars = [path for bars in axes.collections for path in bars.get_paths()]
    values = [trial.value for trial in grid.trials[:2]]
    ends = [fmean(values) - stdev(values), fmean(values) + stdev(values)]
    assert list(bars[0].vertices[:, 0]) == pytest.approx(ends)
    assert axes.get_xlabel() == "val/accuracy"


def test_means_say_how_many_repeats_are_missing(make_trial, make_study):
    trials = [make_trial(0, [0.5], value=0.5), make_trial(1, [0.1]), make_trial(2, [])]
    study = make_study(*trials, definition={"search.seeds": "2"})
    (axes,) = draw(study, FigureSettings(kind="means")).axes
    said = [text.get_text() for text in axes.texts]
    assert said == ["0.5000 (1 of 2 repeats)", "no repeat ran to its end"]
