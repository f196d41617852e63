"""Figures that show no study."""

import numpy as np

from hpsearch.figures.illustrations import draw_histograms, draw_paths
from model.diagnostics import Histogram


def points(line):
    return list(line.get_xdata()), list(line.get_ydata())


def test_paths_over_contours():
    paths = {"straight": [(-7, 2), (0, 0)], "none": [(1, 1)], "third $": [(0, 0), (1, 2), (3, 4)]}
    drawn = draw_paths(paths, lambda x, y: x**2 / 20 + y**2, title="f", levels=[1, 2, 4])
    assert [axes.get_title() for axes in drawn.axes] == ["straight", "none", r"third \$"]
    for axes, path in zip(drawn.axes, paths.values(), strict=True):
        assert list(zip(*points(axes.get_lines()[0]), strict=True)) == path
        (contours,) = axes.collections
        assert list(contours.levels) == [1, 2, 4]
        assert (axes.get_xlim(), axes.get_ylim()) == ((-10, 10), (-10, 10))
    (ends,) = (axes.get_lines()[-1] for axes in drawn.axes[:1])
    assert points(ends) == ([0], [0])


def test_histograms_in_a_row_for_each_setting():
    layers = [Histogram.of(np.linspace(0, top, 100)) for top in (1, 0.001, 1e-9)]
    drawn = draw_histograms({"wide": layers, "narrow": layers[:2]}, title="ReLU")
    assert len(drawn.axes) == 5
    assert [axes.get_title() for axes in drawn.axes[:3]] == ["layer 1", "layer 2", "layer 3"]
    assert [drawn.axes[n].get_ylabel() for n in (0, 3)] == ["wide", "narrow"]
    assert len({axes.get_xlim() for axes in drawn.axes[:3]}) == 1
    assert drawn.axes[0].texts[0].get_text() == "0.5 ± 0.292"
    assert list(drawn.axes[1].patches[0].get_data().values) == list(layers[1].counts)
