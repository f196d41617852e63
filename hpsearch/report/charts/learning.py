"""The learning curves of the best trials, one panel each (after Saito, 2016, figure 6-24)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.mean_curves import mean_curve, short_label, steps_per_epoch
from hpsearch.analysis.ranking import best_trials, metric_title
from hpsearch.figures.drawing import COLOURS
from hpsearch.formatting import format_value
from hpsearch.report.charts.base import LOG_FROM, Chart, Panels, Trace, layout, rounded, whole_axis
from hpsearch.report.facts import Facts, trial_title
from hpsearch.report.view import View
from hpsearch.trials.metrics import bounds, common_format
from hpsearch.trials.records import curves_of, label_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HEIGHT = 170
LINES = {"val": ("solid", COLOURS[0]), "train": ("dash", COLOURS[1])}
_KEYS = {"solid": "solid", "dash": "dashed"}
NAME = "learning"


@dataclass(frozen=True)
class _Panel:
    title: str
    trials: Sequence[FrozenTrial]


def learning_panels(facts: Facts) -> Panels:
    """Return a panel for each of the best trials, or configurations with a line for each repeat.

    All panels have the same axes.
    """
    panels = _panels(facts)
    several = facts.seeds > 1
    which = "configurations" if several else "trials"
    heading = f"The best {len(panels)} {which}, best first" if len(panels) > 1 else "The best"
    if not panels:
        missing = "The trials kept no learning curves: they reported nothing on their way."
        return Panels(NAME, "The best trials", missing=missing)
    quantity = _quantity(facts)
    trials = [trial for panel in panels for trial in panel.trials]
    step = "iterations" if steps_per_epoch(trials) else "epochs"
    repeats = " Each line of a panel is one repeat." if several else ""
    note = (
        f"{quantity} against {step}. All panels have the same axes; zooming one zooms all.{repeats}"
    )
    view = _view(quantity, trials)
    if view.beyond:
        note += " At first, the worst values are out of view: double-click to see all."
    layouts = _layout(facts, view, trials)
    indices = {trial.number: index for index, trial in enumerate(facts.trials)}
    charts = [
        Chart(f"{NAME}-{number}", _traces(facts, panel, indices), layouts, HEIGHT, panel.title)
        for number, panel in enumerate(panels, start=1)
    ]
    drawn = {
        metric: line[0]
        for metric, line in _metrics(quantity).items()
        if any(curves_of(trial).of(metric) for trial in trials)
    }
    keys = {metric_title(facts.study, m): _KEYS[dash] for m, dash in drawn.items()}
    return Panels(NAME, heading, charts, note, columns=5, keys=keys)


def _quantity(facts: Facts) -> str:
    """Return what the metric measures: "loss" for val/loss, and all of another name."""
    part, _, quantity = facts.metric.partition("/")
    return quantity if part in LINES else facts.metric


def _metrics(quantity: str) -> dict[str, tuple[str, str]]:
    """Return the metrics of a panel, each with its line: those of both parts, or the only one."""
    of_parts = {f"{part}/{quantity}": line for part, line in LINES.items()}
    return of_parts | {quantity: LINES["val"]}


def _panels(facts: Facts) -> list[_Panel]:
    """Return a panel for each of the best that has a learning curve."""
    best = _best(facts) if facts.has_curves else []
    return [panel for panel in best if any(len(curves_of(trial)) for trial in panel.trials)]


def _best(facts: Facts) -> list[_Panel]:
    if facts.seeds == 1:
        best = best_trials(facts.study, facts.top)
        return [_Panel(_title(number, trial), [trial]) for number, trial in enumerate(best, 1)]
    panels, configurations = [], best_configurations(facts.study, facts.top)
    spec = common_format((each.mean for each in configurations), facts.metric)
    for number, each in enumerate(configurations, start=1):
        spread = "" if each.deviation is None else f" ± {each.deviation:.2g}"
        name = short_label(facts.study, each)
        panels.append(_Panel(f"{number} · {name} · {each.mean:{spec}}{spread}", each.trials))
    return panels


def _title(number: int, trial: FrozenTrial) -> str:
    label = f" “{label_of(trial)}”" if label_of(trial) else ""
    return f"{number} · {trial_title(trial)}{label} · {format_value(trial.value)}"


def _traces(facts: Facts, panel: _Panel, indices: dict[int, int]) -> list[Trace]:
    quantity = _quantity(facts)
    traces = []
    for trial in panel.trials:
        for metric, (dash, colour) in _metrics(quantity).items():
            curve = mean_curve([trial], metric)
            if curve.x:
                trace = _trace(curve.x, curve.mean, dash, colour)
                trace["customdata"] = [indices[trial.number]] * len(curve.x)
                trace["hovertemplate"] = f"{metric} %{{y}} at %{{x}}<br>%{{text}}<extra></extra>"
                traces.append(trace)
    return traces


def _trace(x: Sequence[float], y: Sequence[float], dash: str, colour: str) -> Trace:
    mode = "lines" if len(x) > 1 else "markers"  # one point makes no line
    line = {"color": colour, "dash": dash, "width": 1.6}
    return {
        "type": "scatter",
        "mode": mode,
        "x": list(x),
        "y": rounded(y),
        "line": line,
        "marker": {"color": colour, "symbol": "circle" if dash == "solid" else "circle-open"},
    }


def _view(quantity: str, trials: Sequence[FrozenTrial]) -> View:
    """Return the view that fits all panels, without the values of diverged losses."""
    curves = [curves_of(t).of(metric) for t in trials for metric in _metrics(quantity)]
    values = [value for curve in curves for value in curve if value is not None]
    low, high = min(values), max(values)
    far = bounds(quantity) == (0.0, math.inf) and high > LOG_FROM * low
    return View.of(values, maximize=False) if far else View(low, high)


def _layout(facts: Facts, view: View, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return the layout of all panels, which they share."""
    last = max(x for trial in trials for x in mean_curve([trial], facts.metric).x or [1])
    x = whole_axis("", min(1, last), last, most=5, nticks=5)
    y = {"nticks": 5} | view.axis("", facts.metric) | {"title": {"text": ""}}
    shared = layout(x, y, margin={"l": 36, "r": 6, "t": 4, "b": 24})
    shared["font"] = shared["font"] | {"size": 10}
    return shared
