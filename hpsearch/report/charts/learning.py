"""The best trials' learning curves, a panel each (after Saito, 2016, figure 6-24)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.mean_curves import line_of, short_label, steps_per_epoch
from hpsearch.analysis.ranking import best_trials, metric_title
from hpsearch.figures.drawing import COLOURS
from hpsearch.formatting import common_format, format_value
from hpsearch.report.charts.base import WIDE, Chart, Panels, Trace, layout, rounded, whole_axis
from hpsearch.report.facts import Facts, title_of
from hpsearch.report.view import View
from hpsearch.trials.records import curves_of, label_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HEIGHT = 170
LINES = {"val": ("solid", COLOURS[0]), "train": ("dash", COLOURS[1])}
NAME = "learning"


@dataclass(frozen=True)
class _Panel:
    title: str
    trials: Sequence[FrozenTrial]


def learning_panels(facts: Facts) -> Panels:
    """Return a panel for each of the best, all on the same axes; of repeats, a line each."""
    panels = _panels(facts)
    several = facts.seeds > 1
    which = "configurations" if several else "trials"
    heading = f"The best {len(panels)} {which}, best first" if len(panels) > 1 else "The best"
    if not panels:
        missing = "Its trials kept no learning curves: only hpsearch's own objective keeps them."
        return Panels(NAME, "The best trials", missing=missing)
    quantity = facts.metric.partition("/")[2]
    trials = [trial for panel in panels for trial in panel.trials]
    step = "iterations" if steps_per_epoch(trials) else "epochs"
    repeats = " Each of a panel's lines is one repeat." if several else ""
    note = (
        f"{quantity} against {step}, on the same axes everywhere; zooming one zooms all.{repeats}"
    )
    view = _view(quantity, trials)
    if view.beyond:
        note += " At first the worst values are out of sight: double-click to see all."
    layouts = _layout(facts, view, trials)
    places = {trial.number: place for place, trial in enumerate(facts.trials)}
    charts = [
        Chart(f"{NAME}-{number}", _traces(facts, panel, places), layouts, HEIGHT, panel.title)
        for number, panel in enumerate(panels, start=1)
    ]
    keys = {metric_title(facts.study, f"{part}/{quantity}"): _key(part) for part in LINES}
    return Panels(NAME, heading, charts, note, columns=5, keys=keys)


def _panels(facts: Facts) -> list[_Panel]:
    """Return the best of which there is something to draw."""
    found = _best(facts) if facts.has_curves else []
    return [panel for panel in found if any(len(curves_of(trial)) for trial in panel.trials)]


def _best(facts: Facts) -> list[_Panel]:
    if facts.seeds == 1:
        best = best_trials(facts.study, facts.top)
        return [_Panel(_title(number, trial), [trial]) for number, trial in enumerate(best, 1)]
    found, configurations = [], best_configurations(facts.study, facts.top)
    how = common_format((each.mean for each in configurations), facts.metric)
    for number, each in enumerate(configurations, start=1):
        spread = "" if each.deviation is None else f" ± {each.deviation:.2g}"
        name = short_label(facts.study, each)
        found.append(_Panel(f"{number} · {name} · {each.mean:{how}}{spread}", each.trials))
    return found


def _title(number: int, trial: FrozenTrial) -> str:
    label = f" “{label_of(trial)}”" if label_of(trial) else ""
    return f"{number} · {title_of(trial)}{label} · {format_value(trial.value)}"


def _traces(facts: Facts, panel: _Panel, places: dict[int, int]) -> list[Trace]:
    quantity = facts.metric.partition("/")[2]
    found = []
    for trial in panel.trials:
        for part, (dash, colour) in LINES.items():
            metric = f"{part}/{quantity}"
            line = line_of([trial], metric)
            if line.x:
                trace = _trace(line.x, line.mean, dash, colour)
                trace["customdata"] = [places[trial.number]] * len(line.x)
                trace["hovertemplate"] = f"{metric} %{{y}} at %{{x}}<br>%{{text}}<extra></extra>"
                found.append(trace)
    return found


def _trace(x: Sequence[float], y: Sequence[float], dash: str, colour: str) -> Trace:
    mode = "lines" if len(x) > 1 else "markers"  # of one epoch there is no line
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
    """Return from the least to the most of any panel; a diverged loss does not flatten the rest."""
    curves = [curves_of(trial).values[f"{part}/{quantity}"] for trial in trials for part in LINES]
    values = [value for curve in curves for value in curve]
    low, high = min(values), max(values)
    far = quantity == "loss" and high > WIDE * low
    return View.of(values, maximize=False) if far else View(low, high)


def _layout(facts: Facts, view: View, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return the layout that all panels share."""
    last = max(x for trial in trials for x in line_of([trial], facts.metric).x or [1])
    x = whole_axis("", min(1, last), last, most=5, nticks=5)
    y = {"nticks": 5} | view.axis("", facts.metric) | {"title": {"text": ""}}
    found = layout(x, y, margin={"l": 36, "r": 6, "t": 4, "b": 24})
    found["font"] = found["font"] | {"size": 10}
    return found


def _key(part: str) -> str:
    return "solid" if LINES[part][0] == "solid" else "dashed"
