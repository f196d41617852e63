"""Figures of learning curves: by configuration, by searched value, and of the best trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.analysis.configurations import configurations
from hpsearch.analysis.mean_curves import (
    config_value,
    config_values,
    drawn_configurations,
    mean_curve,
    short_label,
    steps_per_epoch,
)
from hpsearch.analysis.ranking import best_trials, metric_title
from hpsearch.errors import StudyError
from hpsearch.figures.drawing import (
    NORMAL,
    SMALL,
    STYLES,
    colour_keys,
    colours,
    draw_band,
    escape_dollars,
    grid_of_panels,
    integer_ticks,
    label_axes,
    legend_beside,
    log_scale,
    new_figure,
    style_axes,
    style_keys,
)
from hpsearch.formatting import format_value, unknown_name
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.metrics import on_training_rows
from hpsearch.trials.records import curves_of, label_of, metric_of, own_trials

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.settings.figures import FigureSettings

BEST_COLUMNS = 5
MOST_PANELS = 36


def draw_curves(study: Study, settings: FigureSettings) -> Figure:
    """Draw the mean over the repeats of each configuration, with a band from lowest to highest."""
    shown, every = drawn_configurations(study, settings), configurations(study)
    cut = len(shown) < len(every) and not settings.labels
    part = f", the best {len(shown)} of {len(every)}" if cut else ""
    figure = new_figure(6.4, 4.4, settings.title or f"{study.study_name}{part}")
    axes, chosen = style_axes(figure.subplots()), colours(len(shown))
    metrics = _metrics(study, settings)
    for each, colour in zip(shown, chosen, strict=True):
        _draw_metrics(axes, each.trials, metrics, settings, colour)
    trials = [trial for each in shown for trial in each.trials]
    _set_scales(axes, settings)
    label_axes(axes, _x_name(trials), _y_name(study, metrics, settings))
    labels = [short_label(study, each) for each in shown]
    legend_beside(figure, [*colour_keys(labels, chosen), *_styles(study, metrics)])
    return figure


def draw_panels(study: Study, settings: FigureSettings) -> Figure:
    """Draw a panel for each value of one searched key, with a line for each value of another.

    A line is the mean over all trials with its two values. Labelled configurations may differ in
    other keys too, so they are left out unless there are no others. Raises StudyError for too many
    panels.
    """
    searched = study_settings(study).trial.searched
    every = [trial for each in configurations(study) for trial in each.trials]
    trials = [trial for trial in every if not label_of(trial)] or every
    key, other = str(settings.panels), settings.lines
    values = config_values(trials, key, searched[key])
    if len(values) > MOST_PANELS:
        raise StudyError(
            f"figure '{settings.name}': {key} has {len(values)} values; a figure has at most "
            f"{MOST_PANELS} panels"
        )
    lines = config_values(trials, other, searched[other]) if other else [None]
    columns, chosen = _columns(len(values)), colours(len(lines))
    metrics = _metrics(study, settings)
    rows = math.ceil(len(values) / columns)
    title = settings.title or f"{study.study_name}: a panel for each {key}"
    figure = new_figure(1.2 + 1.9 * columns, 1.1 + 1.6 * rows, title)
    panels = grid_of_panels(figure, len(values), columns)
    for value, axes in zip(values, panels, strict=True):
        axes.set_title(escape_dollars(format_value(value)), fontsize=SMALL)
        here = [trial for trial in trials if config_value(trial, key) == value]
        for line, colour in zip(lines, chosen, strict=True):
            same = [t for t in here if other is None or config_value(t, other) == line]
            _draw_metrics(axes, same, metrics, settings, colour)
    _set_scales(panels[0], settings)
    _label_figure(figure, study, trials, metrics, settings)
    labels = [f"{other} {format_value(line)}" for line in lines] if other else []
    legend_beside(figure, [*colour_keys(labels, chosen[: len(labels)]), *_styles(study, metrics)])
    return figure


def draw_best(study: Study, settings: FigureSettings) -> Figure:
    """Draw a panel for each of the best trials, best first (after Saito, 2016, figure 6-24)."""
    trials = best_trials(study, settings.top or len(study.trials))
    columns, metrics = min(BEST_COLUMNS, len(trials)), _metrics(study, settings)
    rows = math.ceil(len(trials) / columns)
    title = settings.title or f"{study.study_name}: the best {len(trials)}"
    figure = new_figure(1.2 + 1.7 * columns, 1.1 + 1.5 * rows, title)
    panels, colour = grid_of_panels(figure, len(trials), columns), colours(1)[0]
    for number, (trial, axes) in enumerate(zip(trials, panels, strict=True), start=1):
        axes.set_title(f"Best-{number} {format_value(trial.value)}", fontsize=SMALL)
        _draw_metrics(axes, [trial], metrics, settings, colour)
    _set_scales(panels[0], settings)
    _label_figure(figure, study, trials, metrics, settings)
    legend_beside(figure, _styles(study, metrics))
    return figure


def _metrics(study: Study, settings: FigureSettings) -> Sequence[str]:
    """Return the metrics to draw; raise StudyError for one that no trial has measured."""
    measured = {
        metric: None
        for trial in own_trials(study)
        for metric, values in curves_of(trial).values.items()
        if any(value is not None for value in values)
    }
    for metric in settings.metrics:
        if metric not in measured:
            what = unknown_name(metric, [*measured], f"a metric of study '{study.study_name}'")
            raise StudyError(f"figure '{settings.name}': {what}")
    own, training = metric_of(study), on_training_rows(metric_of(study))
    if settings.kind == "panels":  # the lines are the values of another key
        return settings.metrics or [training if training in measured else own]
    return settings.metrics or [each for each in (own, training) if each in measured]


def _columns(panels: int) -> int:
    return panels if panels <= 3 else math.ceil(math.sqrt(panels))


def _draw_metrics(
    axes: Axes,
    trials: Sequence[FrozenTrial],
    metrics: Sequence[str],
    settings: FigureSettings,
    colour: Any,
) -> None:
    for metric, style in zip(metrics, STYLES, strict=False):
        curve = mean_curve(trials, metric, settings.smooth)
        draw_band(axes, curve.x, curve.mean, curve.low, curve.high, colour, style=style)


def _set_scales(axes: Axes, settings: FigureSettings) -> None:
    """Set the scales of all panels, which they share."""
    if settings.log:
        log_scale(axes, "y")
    integer_ticks(axes)


def _label_figure(
    figure: Figure,
    study: Study,
    trials: Sequence[FrozenTrial],
    metrics: Sequence[str],
    settings: FigureSettings,
) -> None:
    """Label the axes once for all panels."""
    figure.supxlabel(_x_name(trials), fontsize=NORMAL)
    figure.supylabel(escape_dollars(_y_name(study, metrics, settings)), fontsize=NORMAL)


def _x_name(trials: Sequence[FrozenTrial]) -> str:
    return "iteration" if steps_per_epoch(trials) else "epoch"


def _y_name(study: Study, metrics: Sequence[str], settings: FigureSettings) -> str:
    name = ", ".join(metric_title(study, metric) for metric in metrics)
    return f"{name} (mean of {settings.smooth} epochs)" if settings.smooth > 1 else name


def _styles(study: Study, metrics: Sequence[str]) -> list[Any]:
    return style_keys([metric_title(study, metric) for metric in metrics])
