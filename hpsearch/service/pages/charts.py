"""The charts of a study as data: learning curves while they grow, and those of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from optuna.trial import TrialState

from hpsearch.analysis.history import History
from hpsearch.analysis.ranking import best_trials, metric_title, no_best
from hpsearch.analysis.tables import Cell, Table, cell
from hpsearch.figures.comparison import BEGINNING, NAMES
from hpsearch.figures.drawing import colours
from hpsearch.formatting import capitalized, format_value
from hpsearch.report.charts.base import (
    STATES,
    Chart,
    Panels,
    Trace,
    escaped,
    layout,
    needs_log_axis,
    plot_axis,
    rounded,
    value_axis,
    whole_axis,
)
from hpsearch.report.charts.history import best_line
from hpsearch.report.charts.learning import LINES
from hpsearch.report.charts.parameters import parallel_panels, slice_panels
from hpsearch.report.charts.trials import pruning_panels
from hpsearch.report.evaluation import evaluation_section
from hpsearch.report.facts import Facts, duration, saved_by_pruning, trial_title
from hpsearch.report.region import region_of
from hpsearch.report.view import View
from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    curves_of,
    label_of,
    metric_of,
    own_trials,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.analysis.comparison import Comparison

Data = dict[str, Any]
BEST_CURVES, RUNNING_CURVES = 5, 12
MOST_POINTS = 400  # of a curve
BEST, NEWEST = 500, 1_500  # trials in the report's charts; those of the report show all
HEIGHT = 300
OUT_OF_VIEW = "At first, the worst values are out of view: double-click to see all."
BEST_COLOUR, GOOD_COLOUR = STATES["failed"], STATES["complete"]  # as in the report's charts


def curves_now(trial: FrozenTrial, metric: str) -> Curves:
    """Return a trial's curves, that of the metric with the epochs that it has only reported yet."""
    curves = curves_of(trial)
    reported = trial.intermediate_values
    if trial.state is not TrialState.RUNNING or len(reported) <= len(curves.of(metric)):
        return curves
    values = [_finite(reported.get(epoch)) for epoch in range(1, max(reported) + 1)]
    return Curves({**curves.values, metric: values}, curves.times)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# The growing charts -------------------------------------------------------------------------------


def history_of(study: Study) -> History:
    """Return the history of a study's trials that have ended."""
    return History.of(own_trials(study), metric_of(study))


def curve_panels(study: Study) -> Panels:
    """Return a chart with the curves of the best trials and of those that run."""
    heading, metric = "Learning curves", metric_of(study)
    running = own_trials(study, (TrialState.RUNNING,))[-RUNNING_CURVES:]
    best = best_trials(study, BEST_CURVES)
    lines = [
        *((each, _line(STATES["running"], 1.4)) for each in running),
        *((each, _line(GOOD_COLOUR, 1.2, 0.55)) for each in reversed(best[1:])),
        *((each, _line(BEST_COLOUR, 2.4)) for each in best[:1]),
    ]
    traces = [trace for each, style in lines if (trace := _curve(each, metric, style))]
    if not traces:
        return Panels("live", heading, missing="No trial has ended its first epoch yet.")
    values = [value for trace in traces for value in trace["y"]]
    view = View.of(values, maximize=study.directions[0].name == "MAXIMIZE")
    last = max(trace["x"][-1] for trace in traces)
    y = view.axis(metric_title(study), metric)
    chart = Chart("live", traces, layout(whole_axis("epochs", 1, max(2, last)), y), HEIGHT)
    keys = {"the best": "line-best"} if best else {}
    keys |= {f"the next {len(best) - 1}": "line-good"} if len(best) > 1 else {}
    keys |= {"running": "line-running"} if running else {}
    note = OUT_OF_VIEW if view.beyond else ""
    return Panels("live", heading, [chart], note, keys=keys)


def _line(colour: str, width: float, opacity: float = 1.0) -> Trace:
    return {"line": {"color": colour, "width": width}, "opacity": opacity}


def _curve(trial: FrozenTrial, metric: str, style: Trace) -> Trace | None:
    values = curves_now(trial, metric).of(metric)
    known = [(epoch, value) for epoch, value in enumerate(values, 1) if value is not None]
    if not known:
        return None
    x, y = zip(*thinned(known, MOST_POINTS), strict=True)
    return {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "markers",
        "x": list(x),
        "y": rounded(y),
        "text": escaped(f"{titled(trial)}: {metric}"),
        "hovertemplate": "%{text} %{y} at epoch %{x}<extra></extra>",
        "marker": {"color": style["line"]["color"], "size": 6},
        **style,
    }


def titled(trial: FrozenTrial) -> str:
    """Return the title of a trial, with its label if it has one."""
    label = label_of(trial)
    return f"{trial_title(trial)} “{label}”" if label else trial_title(trial)


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """Return at most `most` of the points, evenly chosen, always with the first and the last."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(n * step)] for n in range(most)]


def history_panel(study: Study, history: History) -> Panels:
    """Return a chart of the best so far against epochs, of the trials that have ended."""
    heading = "Best so far"
    if not history.improvements:
        return Panels("so-far", heading, missing="No trial has ended yet.")
    x, _, y = zip(*history.improvements, strict=True)
    view = View.of(y, maximize=history.maximize)
    line = best_line([*x, history.spent], [*y, history.best])
    line["line"] = line["line"] | {"color": GOOD_COLOUR}
    drawn = layout(
        whole_axis("epochs spent", 0, history.spent),
        view.axis(metric_title(study), metric_of(study)),
    )
    keys = {"of the trials that have ended": "line-good"}
    return Panels("so-far", heading, [Chart("so-far", [line], drawn, HEIGHT)], keys=keys)


# The report's charts ------------------------------------------------------------------------------


def report_data(study: Study) -> Data:
    """Return the report's charts of the parameters, of pruning, and of the evaluation.

    Of very many trials, the best and the newest are drawn, and a note says so.
    """
    if reason := no_best(study):
        return {"panels": [], "note": f"{capitalized(reason)}.", "hover": [], "evaluation": None}
    everything = Facts.of(study, top=1)
    facts = Facts(everything.study, drawn_trials(everything), top=1)
    region = region_of(facts)
    panels = [
        parallel_panels(facts, region),
        slice_panels(facts, region),
        pruning_panels(everything, saved_by_pruning(everything.trials)),
    ]
    total, drawn = len(everything.trials), len(facts.trials)
    note = (
        f"Drawn are {drawn:,} of {total:,} trials: the best and the newest. The report has all."
        if drawn < total
        else ""
    )
    return {
        "panels": [panels_data(each) for each in panels],
        "note": note,
        "hover": facts.hover_texts(),
        "evaluation": evaluation_data(everything),
    }


def drawn_trials(facts: Facts) -> list[FrozenTrial]:
    """Return all trials, or of very many the best and the newest, in their order."""
    if len(facts.trials) <= BEST + NEWEST:
        return [*facts.trials]
    chosen = {each.number for each in best_trials(facts.study, BEST)}
    chosen |= {each.number for each in facts.trials[-NEWEST:]}
    return [each for each in facts.trials if each.number in chosen]


def evaluation_data(facts: Facts) -> Data | None:
    """Return the report's section on the last evaluation, None if there is none."""
    section = evaluation_section(facts)
    if section is None:
        return None
    classes = section.classes
    scored = f"Scores of the first one, by {classes.headings[0]}:" if classes else ""
    parts = [
        ("", section.verdict, section.candidates),
        ("The test set", section.tested, section.scores),
        ("", scored, classes),
        ("Beside baselines" if section.baselines else "", section.beside, section.baselines),
        *(("", remark, None) for remark in section.remarks),
    ]
    return {
        "parts": [
            {"heading": heading, "text": text, "table": table and table_data(table)}
            for heading, text, table in parts
            if text or table
        ],
        "panels": [panels_data(each) for each in section.panels],
    }


def panels_data(panels: Panels) -> Data:
    """Return charts under a heading as plain data."""
    charts = [
        {"name": each.name, "title": each.title, "height": each.height, **each.figure}
        for each in panels.charts
    ]
    return {
        "name": panels.name,
        "heading": panels.heading,
        "note": panels.note,
        "missing": panels.missing,
        "columns": panels.columns,
        "keys": dict(panels.keys),
        "charts": charts,
    }


def table_data(table: Table) -> Data:
    """Return a table as plain data."""
    columns = range(len(table.headings))
    return {
        "headings": table.headings,
        "numeric": [table.numeric(column) for column in columns],
        "rows": [[each.text for each in row] for row in table.rows],
    }


# One trial, and several studies -------------------------------------------------------------------


def trial_panels(study: Study, trial: FrozenTrial) -> Panels:
    """Return a chart for each quantity of a trial: its curves on training and validation rows."""
    heading, curves = "Learning curves", curves_now(trial, metric_of(study))
    quantities: dict[str, dict[str, str]] = {}
    for metric, values in curves.values.items():
        part, _, quantity = metric.partition("/")
        if any(value is not None for value in values):
            name, part = (quantity, part) if part in LINES else (metric, "val")
            quantities.setdefault(name, {})[part] = metric
    if not quantities:
        return Panels("trial", heading, missing="This trial has ended no epoch yet.")
    charts = [
        _quantity(study, curves, name, metrics, f"trial-{number}")
        for number, (name, metrics) in enumerate(quantities.items())
    ]
    parts = {part for metrics in quantities.values() for part in metrics}
    keys = {"training": "dashed"} if "train" in parts else {}
    keys |= {"validation": "solid"} if len(parts) > 1 else {}
    return Panels("trial", heading, charts, columns=2, keys=keys)


def _quantity(
    study: Study, curves: Curves, name: str, metrics: Mapping[str, str], chart: str
) -> Chart:
    traces, values = list[Trace](), list[float]()
    for part, (dash, colour) in LINES.items():
        if (metric := metrics.get(part)) is None:
            continue
        known = [(n, value) for n, value in enumerate(curves.of(metric), 1) if value is not None]
        x, y = zip(*thinned(known, MOST_POINTS), strict=True)
        values += y
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(x) > 1 else "markers",
                "x": list(x),
                "y": rounded(y),
                "line": {"color": colour, "dash": dash, "width": 1.8},
                "text": escaped(metric_title(study, metric)),
                "hovertemplate": "%{text} %{y} at epoch %{x}<extra></extra>",
            }
        )
    last = max(trace["x"][-1] for trace in traces)
    y_axis = value_axis(name, log=needs_log_axis(values))
    return Chart(chart, traces, layout(whole_axis("epochs", 1, max(2, last)), y_axis), 260, name)


def comparison_panels(comparison: Comparison) -> Panels:
    """Return the best so far of each study, against epochs and against seconds."""
    shades = [to_hex(each) for each in colours(len(comparison.groups))]
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}
    y = value_axis(comparison.metric) | {"range": _compared(comparison)}
    charts = []
    for cost, name in NAMES.items():
        traces = []
        for group, shade in zip(comparison.groups, shades, strict=True):
            band, label = group.band(cost), escaped(group.label)
            line = best_line(band.x.tolist(), band.median.tolist())
            line |= {"line": line["line"] | {"color": shade}, "name": label, "text": label}
            line["hovertemplate"] = "%{text}: %{y} after %{x}<extra></extra>"
            traces.append(line)
        drawn = layout(plot_axis(name, rangemode="tozero"), y, showlegend=True, legend=legend)
        charts.append(Chart(f"compare-{cost}", traces, drawn, 340))
    return Panels("compare", "Best so far", charts, columns=2)


def _compared(comparison: Comparison) -> list[float]:
    """Return the range of values to show: early ones of a study may be far off."""
    shown = [comparison.target]
    for group in comparison.groups:
        band = group.band("epochs")
        early = int(np.searchsorted(band.x, BEGINNING * band.x[-1], side="right")) - 1
        shown += band.median[max(0, early) :].tolist()
    room = 0.05 * (max(shown) - min(shown)) or 0.01
    return [min(shown) - room, max(shown) + room]


def comparison_table(comparison: Comparison) -> Table:
    """Return what each study found, and after how many epochs it reached the target."""
    rows = []
    for group in comparison.groups:
        entry = group.entries[0]
        epochs, never = group.epochs_until(comparison.target)
        rows.append(
            [
                cell(entry.name),
                cell(entry.history.best),
                cell(entry.history.trials),
                cell(entry.history.spent),
                Cell(duration(entry.history.elapsed), entry.history.elapsed),
                Cell("never") if never else cell(epochs),
            ]
        )
    target = f"epochs until {format_value(comparison.target)}"
    return Table(["study", f"best {comparison.metric}", "trials", "epochs", "time", target], rows)
