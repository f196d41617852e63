"""A figure of what was sampled: histograms on the scales where uniform sampling is flat."""

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
    axis_names,
    calm,
    colour_keys,
    legend_beside,
    log_scale,
    new_figure,
    plain,
    whole_numbers,
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
    """Draw a histogram of what was sampled of each searched key, on the key's own scale.

    A dashed line shows how high uniform sampling is everywhere. Repeats of a configuration count
    once, for its values were drawn once; labelled ones, which nobody sampled, are left out. Raises
    StudyError if nothing was sampled.
    """
    searched = study_settings(study).trial.searched
    sampled = {key: _sampled(study, key, entry) for key, entry in searched.items()}
    sampled = {key: values for key, values in sampled.items() if values}
    if not sampled:
        raise StudyError(f"figure '{settings.name}': study '{study.study_name}' sampled nothing")
    columns = min(COLUMNS, len(sampled))
    rows = math.ceil(len(sampled) / columns)
    title = settings.title or f"{study.study_name}: sampled values"
    figure = new_figure(0.8 + 2.8 * columns, 0.9 + 2.3 * rows, title)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    counted = "configurations" if seeds_of(study) > 1 else "trials"
    for axes, (key, values) in zip(panels, sampled.items(), strict=False):
        _draw_key(calm(axes), key, searched[key], values, counted)
    for axes in panels[len(sampled) :]:
        axes.remove()
    legend_beside(figure, colour_keys(["uniform"], [GREY], linestyle="--"))
    return figure


def _sampled(study: Study, key: str, entry: Searched) -> list[Any]:
    """Return what the sampler chose, as Optuna holds it: one value a slot, or for its repeats."""
    seeds = seeds_of(study)
    trials = {
        slot_of(trial) // seeds: trial.params for trial in own_trials(study) if not label_of(trial)
    }
    parameter = entry.parameter(key)
    return [params[parameter] for params in trials.values() if parameter in params]


def _draw_key(axes: Axes, key: str, entry: Searched, values: Sequence[Any], counted: str) -> None:
    if isinstance(entry, Choices):
        expected = _draw_choices(axes, entry, values)
        axis_names(axes, key, counted)
    else:
        expected = _draw_range(axes, entry, values)
        axis_names(axes, f"1 − {key}" if entry.log == "complement" else key, f"{counted} per bin")
    axes.axhline(expected, color=GREY, linestyle="--", linewidth=1.4)
    axes.grid(False, axis="x")


def _draw_choices(axes: Axes, entry: Choices, values: Sequence[Any]) -> float:
    """Draw a bar for each choice; return what is expected of one."""
    counts, choices = Counter(values), [entry.to_optuna(value) for value in entry.values]
    names = [plain(choice) for choice in choices]
    places = range(len(names))
    axes.bar(places, [counts[choice] for choice in choices], width=0.8, color=COLOURS[0], alpha=0.6)
    turned = sum(map(len, names)) > 24
    axes.set_xticks(places, names, fontsize=SMALL, rotation=30 if turned else 0)
    return len(values) / len(choices)


def _draw_range(axes: Axes, entry: Range, values: Sequence[float]) -> float:
    """Draw a histogram; return what is expected of a bin.

    Where whole numbers make bins of unequal width, heights are those of bins of the mean width.
    """
    wanted = min(MOST_BINS, max(LEAST_BINS, round(math.sqrt(len(values)))))
    edges, shares = bins_of(entry, wanted)
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
        whole_numbers(axes)
    return expected


def bins_of(entry: Range, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the edges of about so many bins, in Optuna's values, and how much uniform sampling on
    the range's scale puts in each of them; they begin and end between two whole numbers or steps.
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
