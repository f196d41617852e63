"""The figure of a comparison."""

from itertools import accumulate

import pytest

from hpsearch.analysis.comparison import Comparison, Entry, Group
from hpsearch.analysis.history import History, Improvement
from hpsearch.errors import SettingsError
from hpsearch.figures.comparison import draw_comparison, save_comparison


def entry(name, *values):
    """A study of trials of one epoch and one second each."""
    best = [*accumulate(values, max)]
    improvements = [
        Improvement(n, float(n), value)
        for n, value in enumerate(best, start=1)
        if value not in best[: n - 1]
    ]
    spent = len(values)
    return Entry(name, {}, (), History(improvements, spent, elapsed=float(spent), trials=spent))


@pytest.fixture
def comparison():
    repeated = Group((entry("s0", 0.1, 0.5), entry("s1", 0.1, 0.6)))
    return Comparison("val/accuracy", True, 0.4, [repeated, Group((entry("$other", 0.4),))], [])


def test_the_figure_has_a_step_line_for_each_group(comparison):
    figure = draw_comparison(comparison)
    epochs, seconds = figure.axes
    assert (epochs.get_xlabel(), epochs.get_ylabel()) == ("epochs spent", "val/accuracy")
    assert seconds.get_xlabel() == "seconds in which trials ran"
    for axes in (epochs, seconds):
        band, end, other, _, target = axes.get_lines()
        assert band.get_drawstyle() == "steps-post"
        assert list(band.get_xdata()) == [1, 2]
        assert list(band.get_ydata()) == pytest.approx([0.1, 0.55])
        assert (list(end.get_xdata()), end.get_marker()) == ([2], "o")
        assert list(other.get_ydata()) == [0.4]
        assert list(target.get_ydata()) == [0.4, 0.4]
        assert len(axes.collections) == 1  # the band
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["s0 (median of 2)", r"\$other", "target 0.4"]


def test_the_figure_is_saved_as_png_alone(comparison, tmp_path):
    path = save_comparison(comparison, tmp_path / "new" / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SettingsError, match=r"a\.jpg' is no name of a PNG file"):
        save_comparison(comparison, tmp_path / "a.jpg")
