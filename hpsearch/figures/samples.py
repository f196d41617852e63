"""A figure of the sampled values: histograms on scales on which uniform sampling is flat."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import StudyError
from hpsearch.figures.drawing import (
    COLOURS,
    GREY,
    SMALL,
    colour_keys,
    escape_dollars,
    grid_of_panels,
    integer_ticks,
    label_axes,
    legend_beside,
    log_scale,
    new_figure,
)
from hpsearch.space.ranges import Choices, Range
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.records import label_of, own_trials, seeds_of, slot_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from optuna.study import Study

    from hpsearch.settings.figures import FigureSettings
    from hpsearch.space.ranges import Searched

COLUMNS = 3
LEAST_BINS, MOST_BINS = 5, 20


def draw_values(study: Study, settings: FigureSettings) -> Figure:
    """Draw a histogram of the sampled values of each searched key, on the key's own scale.

    A dashed line shows the height that uniform sampling has everywhere. The repeats of a
    configuration count once, because its values were drawn once. Labelled configurations are left
    out, because their values were not sampled. Raises StudyError if nothing was sampled.
    """
    searched = study_settings(study).trial.searched
    sampled = {key: _sampled(study, key, entry) for key, entry in searched.items()}
    sampled = {key: values for key, values in sampled.items() if values}
    if not sampled:
        raise StudyError(
            f"figure '{settings.name}': study '{study.study_name}' has no sampled "
            "values; this kind of figure needs a searched key"
        )
    columns = min(COLUMNS, len(sampled))
    rows = math.ceil(len(sampled) / columns)
    title = settings.title or f"{study.study_name}: sampled values"
    figure = new_figure(0.8 + 2.8 * columns, 0.9 + 2.3 * rows, title)
    panels = grid_of_panels(figure, len(sampled), columns, shared=False)
    counted = "configurations" if seeds_of(study) > 1 else "trials"
    for axes, (key, values) in zip(panels, sampled.items(), strict=True):
        _draw_key(axes, key, searched[key], values, counted)
    legend_beside(figure, colour_keys(["uniform"], [GREY], linestyle="--"))
    return figure


def _sampled(study: Study, key: str, entry: Searched) -> list[Any]:
    """Return the values that the sampler chose, as Optuna stores them: one per configuration."""
    seeds = seeds_of(study)
    trials = {
        slot_of(trial) // seeds: trial.params for trial in own_trials(study) if not label_of(trial)
    }
    parameter = entry.parameter(key)
    return [params[parameter] for params in trials.values() if parameter in params]


def _draw_key(axes: Axes, key: str, entry: Searched, values: Sequence[Any], counted: str) -> None:
    if isinstance(entry, Choices):
        expected = _draw_choices(axes, entry, values)
        label_axes(axes, key, counted)
    else:
        expected = _draw_range(axes, entry, values)
        label_axes(axes, f"1 − {key}" if entry.log == "complement" else key, f"{counted} per bin")
    axes.axhline(expected, color=GREY, linestyle="--", linewidth=1.4)
    axes.grid(False, axis="x")


def _draw_choices(axes: Axes, entry: Choices, values: Sequence[Any]) -> float:
    """Draw a bar for each choice; return the height that uniform sampling gives each."""
    counts, choices = Counter(values), [entry.to_optuna(value) for value in entry.values]
    names = [escape_dollars(choice) for choice in choices]
    places = range(len(names))
    axes.bar(places, [counts[choice] for choice in choices], width=0.8, color=COLOURS[0], alpha=0.6)
    rotated = sum(map(len, names)) > 24
    axes.set_xticks(places, names, fontsize=SMALL, rotation=30 if rotated else 0)
    return len(values) / len(choices)


def _draw_range(axes: Axes, entry: Range, values: Sequence[float]) -> float:
    """Draw a histogram; return the height that uniform sampling gives each bin.

    Whole numbers can make bins unequally wide. Counts are then scaled to bins of the mean width.
    """
    wanted = min(MOST_BINS, max(LEAST_BINS, round(math.sqrt(len(values)))))
    edges, shares = histogram_bins(entry, wanted)
    expected = len(values) / len(shares)
    counts, _ = np.histogram(values, edges)
    heights = counts / (len(shares) * shares)
    axes.bar(
        *(edges[:-1], heights, np.diff(edges)),
        align="edge",
        color=COLOURS[0],
        alpha=0.6,
        edgecolor="white",
        linewidth=0.8,
    )
    axes.set_xlim(edges[0], edges[-1])
    if entry.log:
        log_scale(axes, "x")
    elif isinstance(entry.low, int):
        integer_ticks(axes)
    return expected


def histogram_bins(entry: Range, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the edges of about `number` bins, and the share of uniform samples in each bin.

    Edges are values as Optuna stores them. If the range has whole numbers or steps, edges lie
    halfway between two of them. Shares hold for uniform sampling on the range's own scale.
    """
    low, high = sorted((entry.to_optuna(entry.low), entry.to_optuna(entry.high)))
    step = entry.spacing or 0
    low, high = low - step / 2, high + step / 2
    edges = np.geomspace(low, high, number + 1) if entry.log else np.linspace(low, high, number + 1)
    if step:
        edges = low + step * np.unique(np.round((edges - low) / step))
    edges[[0, -1]] = low, high
    places = np.log(edges) if entry.log else edges
    return edges, np.diff(places) / (places[-1] - places[0])
