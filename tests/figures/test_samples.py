"""Figures of sampled values."""

import numpy as np
import optuna
import pytest

from hpsearch.figures.declared import draw
from hpsearch.figures.samples import histogram_bins
from hpsearch.settings.figures import FigureSettings
from hpsearch.space.ranges import Range


def test_sampled_values_on_their_own_scales(sampled):
    drawn = draw(sampled, FigureSettings(kind="values"))
    panels = {axes.get_xlabel(): axes for axes in drawn.axes}
    assert list(panels) == [
        *["learning_rate", "1 − momentum", "dropout", "batch_size", "activation"]
    ]
    scales = [axes.get_xscale() for axes in panels.values()]
    assert scales == ["log", "log", "linear", "linear", "linear"]
    # Forty values: the labelled configuration's were not sampled.
    for name, bins in (("learning_rate", 6), ("1 − momentum", 6), ("dropout", 6)):
        heights = [bar.get_height() for bar in panels[name].patches]
        assert len(heights) == bins
        assert sum(heights) == pytest.approx(40)
        assert panels[name].get_lines()[0].get_ydata()[0] == pytest.approx(40 / bins)
    assert [bar.get_height() for bar in panels["batch_size"].patches] == [
        sum(trial.params["batch_size"] == size for trial in sampled.trials[1:])
        for size in range(10, 15)
    ]
    assert panels["1 − momentum"].get_xlim() == pytest.approx((0.01, 0.5))
    counts = [bar.get_height() for bar in panels["activation"].patches]
    chosen = [trial.params["activation"] for trial in sampled.trials[1:]]
    assert counts == [chosen.count("relu"), chosen.count("tanh")]
    assert panels["activation"].get_lines()[0].get_ydata()[0] == 20


def test_repeats_of_a_configuration_count_once(grid):
    stds, norms = draw(grid, FigureSettings(kind="values")).axes
    assert [[bar.get_height() for bar in axes.patches] for axes in (stds, norms)] == [[2, 2]] * 2
    assert [axes.get_ylabel() for axes in (stds, norms)] == ["configurations"] * 2


@pytest.mark.parametrize(
    ("entry", "edges", "shares"),
    [
        (Range(low=0.0, high=1.0), [0, 0.25, 0.5, 0.75, 1], [0.25] * 4),
        (Range(low=1e-4, high=1.0, log=True), [1e-4, 1e-3, 1e-2, 0.1, 1], [0.25] * 4),
        (Range(low=0.9, high=0.99, log="complement"), None, [0.25] * 4),
        (Range(low=1, high=3), [0.5, 1.5, 2.5, 3.5], [1 / 3] * 3),
        (Range(low=0.1, high=0.9, step=0.4), [-0.1, 0.3, 0.7, 1.1], [1 / 3] * 3),
        (Range(low=1, high=10), [0.5, 2.5, 5.5, 8.5, 10.5], [0.2, 0.3, 0.3, 0.2]),
    ],
)
def test_bins_are_even_on_the_scale_of_the_range(entry, edges, shares):
    bins, parts = histogram_bins(entry, 4)
    assert edges is None or bins == pytest.approx(edges)
    assert parts == pytest.approx(shares)


def test_bins_of_whole_numbers_on_a_log_scale_have_their_share_of_samples():
    entry, draws = Range(low=1, high=200, log=True), 4000
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    values = [entry.suggest(study.ask(), "n") for _ in range(draws)]
    edges, shares = histogram_bins(entry, 8)
    counts, _ = np.histogram(values, edges)
    assert counts / draws == pytest.approx(shares, abs=0.03)
