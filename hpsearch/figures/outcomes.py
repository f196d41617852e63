"""Figures of each configuration's outcome: gradient norms by layer, and mean values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.mean_curves import drawn_configurations, short_label
from hpsearch.analysis.ranking import metric_title
from hpsearch.errors import StudyError
from hpsearch.figures.drawing import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    colour_keys,
    colours,
    escape_dollars,
    integer_ticks,
    label_axes,
    legend_beside,
    log_scale,
    new_figure,
    style_axes,
)
from hpsearch.trials.metrics import common_format
from hpsearch.trials.records import curves_of, metric_of, seeds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study

    from hpsearch.analysis.configurations import Configuration
    from hpsearch.settings.figures import FigureSettings


def draw_gradients(study: Study, settings: FigureSettings) -> Figure:
    """Draw the gradient norm of each layer, from input to output, in the first and the last epoch.

    A line is the mean over a configuration's repeats. Raises StudyError if the study kept no norms.
    """
    shown = drawn_configurations(study, settings)
    norms = [_norms(each) for each in shown]
    if not any(norms):
        raise StudyError(
            f"figure '{settings.name}': study '{study.study_name}' kept no gradient norms; set "
            "diagnostics = true in [search] before a study starts"
        )
    figure = new_figure(7.6, 3.8, settings.title or f"{study.study_name}: gradients by layer")
    panels, chosen = figure.subplots(1, 2, sharex=True, sharey=True), colours(len(shown))
    for axes, epoch, name in zip(panels, (0, -1), ("first", "last"), strict=True):
        style_axes(axes).set_title(f"{name} epoch", fontsize=SMALL)
        for trials, colour in zip(norms, chosen, strict=True):
            layers = _mean_by_layer([trial[epoch] for trial in trials])
            axes.plot(range(1, len(layers) + 1), layers, color=colour, marker="o", markersize=4)
    log_scale(panels[0], "y")
    integer_ticks(panels[0])
    figure.supxlabel("layer, from input to output", fontsize=NORMAL)
    panels[0].set_ylabel("norm of the gradient ‖dL/dW‖", fontsize=NORMAL)
    legend_beside(figure, colour_keys([short_label(study, each) for each in shown], chosen))
    return figure


def _norms(configuration: Configuration) -> list[list[list[float]]]:
    """Return the norms by epoch and layer, for each repeat that kept any."""
    trials = configuration.trials
    return [norms for trial in trials if (norms := curves_of(trial).gradient_norms)]


def _mean_by_layer(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of each layer over repeats, which may differ in their number of layers."""
    return [fmean(v for v in layer if v is not None) for layer in zip_longest(*rows)]


def draw_means(study: Study, settings: FigureSettings) -> Figure:
    """Draw a row for each configuration: its repeats as dots, with their mean and deviation."""
    shown, seeds = drawn_configurations(study, settings), seeds_of(study)
    labels = [escape_dollars(short_label(study, each)) for each in shown]
    name = f"{study.study_name}: means over {seeds} seeds" if seeds > 1 else study.study_name
    width, height = 5.2 + 0.07 * max(map(len, labels)), 1.1 + 0.27 * len(shown)
    figure = new_figure(width, height, settings.title or name)
    axes = style_axes(figure.subplots())
    axes.grid(False, axis="y")
    spec = common_format((each.mean for each in shown if each.values), metric_of(study))
    for row, each in enumerate(shown):
        _draw_row(axes, row, each, spec)
    axes.set_yticks(range(len(shown)), labels, fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first at the top
    label_axes(axes, metric_title(study), "")
    return figure


def _draw_row(axes: Axes, row: int, configuration: Configuration, spec: str) -> None:
    values, text = configuration.values, "no repeat ran to its end"
    if values:
        text = f"{configuration.mean:{spec}}"
        if configuration.deviation is not None:
            text += f" ± {configuration.deviation:.2g}"
        if len(values) < configuration.seeds:
            text += f" ({configuration.repeats} repeats)"
        bar: dict[str, Any] = {"fmt": "|", "color": COLOURS[0], "markersize": 12, "capsize": 3}
        axes.errorbar(configuration.mean, row, xerr=configuration.deviation, **bar)
        axes.plot(values, [row] * len(values), "o", color=GREY, alpha=0.6, markersize=3, zorder=3)
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
