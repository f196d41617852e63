"""Figures of what came of each configuration: its gradients, layer by layer, and its means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from statistics import fmean
from typing import TYPE_CHECKING

from hpsearch.configurations import seeds_of
from hpsearch.curves import Curves
from hpsearch.drawing import (
    COLOURS,
    GREY,
    SMALL,
    axis_names,
    calm,
    colour_keys,
    colours,
    legend_beside,
    new_figure,
    plain,
    whole_numbers,
)
from hpsearch.errors import StudyError
from hpsearch.lines import drawn_configurations
from hpsearch.summary import metric_of, metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study

    from hpsearch.configurations import Configuration
    from hpsearch.figure_settings import FigureSettings


def draw_gradients(study: Study, settings: FigureSettings) -> Figure:
    """Draw the norm of each layer's gradient, input side first, in the first and the last epoch.

    A line is the mean over a configuration's repeats. Raises StudyError without diagnostics.
    """
    shown = drawn_configurations(study, settings.top)
    norms = [_norms(found) for found in shown]
    if not any(norms):
        raise StudyError(
            f"figure '{settings.name}': study '{study.study_name}' kept no gradient norms; a study "
            "keeps them from the start if its [search] says diagnostics = true"
        )
    figure = new_figure(7.6, 3.8, settings.title or f"{study.study_name}: gradients by layer")
    panels, chosen = figure.subplots(1, 2, sharex=True, sharey=True), colours(len(shown))
    panels[0].set_yscale("log", nonpositive="mask")
    for axes, epoch, name in zip(panels, (0, -1), ("first", "last"), strict=True):
        calm(axes).set_title(f"{name} epoch", fontsize=SMALL)
        for trials, colour in zip(norms, chosen, strict=True):
            layers = _mean_by_layer([trial[epoch] for trial in trials])
            axes.plot(range(1, len(layers) + 1), layers, color=colour, marker="o", markersize=4)
    whole_numbers(panels[0])
    figure.supxlabel("layer, from input to output", fontsize=9)
    panels[0].set_ylabel("norm of the gradient ‖dL/dW‖", fontsize=9)
    legend_beside(figure, colour_keys([found.label for found in shown], chosen))
    return figure


def _norms(found: Configuration) -> list[list[list[float]]]:
    """Return the norms of its repeats by epoch and layer, of those that kept any."""
    return [kept for trial in found.trials if (kept := Curves.of(trial).gradient_norms)]


def _mean_by_layer(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return means over repeats, which need not have equally many layers."""
    return [fmean(v for v in layer if v is not None) for layer in zip_longest(*rows)]


def draw_means(study: Study, settings: FigureSettings) -> Figure:
    """Draw a row for each configuration: its repeats as dots, their mean and deviation."""
    shown = drawn_configurations(study, settings.top)
    longest = max(len(found.label) for found in shown)
    title = settings.title or f"{study.study_name}: means over {seeds_of(study)} seeds"
    figure = new_figure(5.2 + 0.07 * longest, 1.1 + 0.27 * len(shown), title)
    axes = calm(figure.subplots())
    axes.grid(False, axis="y")
    for row, found in enumerate(shown):
        _draw_row(axes, row, found)
    axes.set_yticks(range(len(shown)), [plain(found.label) for found in shown], fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first at the top
    axis_names(axes, metric_title(study, metric_of(study)), "")
    return figure


def _draw_row(axes: Axes, row: int, found: Configuration) -> None:
    values, text = found.values, "no repeat ran to its end"
    if values:
        text = f"{found.mean:.4f}"
        if found.deviation is not None:
            text += f" ± {found.deviation:.2g}"
        axes.plot(values, [row] * len(values), "o", color=GREY, alpha=0.5, markersize=3)
        axes.errorbar(
            *(found.mean, row),
            xerr=found.deviation,
            fmt="D",
            color=COLOURS[0],
            markersize=5,
            capsize=3,
        )
    if lost := len(found.trials) - len(values):
        text += f" ({lost} of {len(found.trials)} gave up)" if values else ""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
