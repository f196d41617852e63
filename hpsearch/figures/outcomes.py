"""Figures of what came of each configuration: its gradients, layer by layer, and its means."""

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
    SMALL,
    axis_names,
    calm,
    colour_keys,
    colours,
    legend_beside,
    log_scale,
    new_figure,
    plain,
    whole_numbers,
)
from hpsearch.formatting import common_format
from hpsearch.trials.records import curves_of, metric_of, seeds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study

    from hpsearch.analysis.configurations import Configuration
    from hpsearch.settings.figures import FigureSettings


def draw_gradients(study: Study, settings: FigureSettings) -> Figure:
    """Draw the norm of each layer's gradient, input side first, in the first and the last epoch.

    A line is the mean over a configuration's repeats. Raises StudyError without diagnostics.
    """
    shown = drawn_configurations(study, settings)
    norms = [_norms(found) for found in shown]
    if not any(norms):
        raise StudyError(
            f"figure '{settings.name}': study '{study.study_name}' kept no gradient norms; a study "
            "keeps them from the start if its [search] says diagnostics = true"
        )
    figure = new_figure(7.6, 3.8, settings.title or f"{study.study_name}: gradients by layer")
    panels, chosen = figure.subplots(1, 2, sharex=True, sharey=True), colours(len(shown))
    for axes, epoch, name in zip(panels, (0, -1), ("first", "last"), strict=True):
        calm(axes).set_title(f"{name} epoch", fontsize=SMALL)
        for trials, colour in zip(norms, chosen, strict=True):
            layers = _mean_by_layer([trial[epoch] for trial in trials])
            axes.plot(range(1, len(layers) + 1), layers, color=colour, marker="o", markersize=4)
    log_scale(panels[0], "y")
    whole_numbers(panels[0])
    figure.supxlabel("layer, from input to output", fontsize=9)
    panels[0].set_ylabel("norm of the gradient ‖dL/dW‖", fontsize=9)
    legend_beside(figure, colour_keys([short_label(study, found) for found in shown], chosen))
    return figure


def _norms(found: Configuration) -> list[list[list[float]]]:
    """Return the norms of its repeats by epoch and layer, of those that kept any."""
    return [kept for trial in found.trials if (kept := curves_of(trial).gradient_norms)]


def _mean_by_layer(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return means over repeats, which need not have equally many layers."""
    return [fmean(v for v in layer if v is not None) for layer in zip_longest(*rows)]


def draw_means(study: Study, settings: FigureSettings) -> Figure:
    """Draw a row for each configuration: its repeats as dots, their mean and deviation."""
    shown, seeds = drawn_configurations(study, settings), seeds_of(study)
    labels = [plain(short_label(study, found)) for found in shown]
    name = f"{study.study_name}: means over {seeds} seeds" if seeds > 1 else study.study_name
    width, height = 5.2 + 0.07 * max(map(len, labels)), 1.1 + 0.27 * len(shown)
    figure = new_figure(width, height, settings.title or name)
    axes = calm(figure.subplots())
    axes.grid(False, axis="y")
    how = common_format((found.mean for found in shown if found.values), metric_of(study))
    for row, found in enumerate(shown):
        _draw_row(axes, row, found, how)
    axes.set_yticks(range(len(shown)), labels, fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first at the top
    axis_names(axes, metric_title(study), "")
    return figure


def _draw_row(axes: Axes, row: int, found: Configuration, how: str) -> None:
    values, text = found.values, "no repeat ran to its end"
    if values:
        text = f"{found.mean:{how}}"
        if found.deviation is not None:
            text += f" ± {found.deviation:.2g}"
        if len(values) < found.seeds:
            text += f" ({found.repeats} repeats)"
        look: dict[str, Any] = {"fmt": "|", "color": COLOURS[0], "markersize": 12, "capsize": 3}
        axes.errorbar(found.mean, row, xerr=found.deviation, **look)
        axes.plot(values, [row] * len(values), "o", color=GREY, alpha=0.6, markersize=3, zorder=3)
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
