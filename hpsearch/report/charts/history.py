"""How the search went: each trial's value and the best so far, against trials and epochs."""

from __future__ import annotations

from itertools import accumulate

from hpsearch.analysis.history import History, as_they_ended
from hpsearch.report.charts.base import (
    INK,
    NAMED,
    STATES,
    Chart,
    Panels,
    Trace,
    layout,
    marks,
    rounded,
    size_for,
    whole_axis,
)
from hpsearch.report.facts import Facts, Point
from hpsearch.trials.records import DONE

NAME, HEIGHT = "history", 340


def history_panels(facts: Facts) -> Panels:
    """Return the history against trials, and where there are curves against epochs."""
    charts = [_against_trials(facts)]
    note = "Each mark is a trial, the line is the best so far. A pruned trial is at its best value."
    note += str(facts.view)
    if facts.has_curves:
        charts.append(_against_epochs(facts))
    else:
        note += " Against epochs nothing is drawn: its trials kept no learning curves."
    keys = {state: state for state in STATES if any(p.state == state for p in facts.points)}
    keys["best so far"] = "line"
    return Panels(NAME, "How the search went", charts, note, columns=2, keys=keys)


def _against_trials(facts: Facts) -> Chart:
    ended = as_they_ended(trial for trial in facts.trials if trial.state in DONE)
    by_number = {trial.number: place for place, trial in enumerate(ended, start=1)}
    places = {point.place: by_number[point.trial.number] for point in facts.points}
    best = [*accumulate((point.value for point in facts.points), max if facts.maximize else min)]
    line = best_line([*places.values(), len(ended)], [*best, best[-1]])
    drawn = layout(whole_axis("trials ended", 1, len(ended)), facts.value_axis())
    return Chart(f"{NAME}-trials", [*_marks(facts, places), line], drawn, HEIGHT, "against trials")


def _against_epochs(facts: Facts) -> Chart:
    history = History.of(facts.trials, facts.metric)
    numbers = (trial.number for trial in as_they_ended(facts.trials))
    spent = dict(zip(numbers, history.ends, strict=True))
    places = {point.place: spent[point.trial.number] for point in facts.points}
    x, _, y = zip(*history.improvements, strict=True)
    line = best_line([*x, history.spent], [*y, history.best])
    traces = [*_marks(facts, places), line]
    drawn = layout(whole_axis("epochs spent", 0, history.spent), facts.value_axis())
    return Chart(f"{NAME}-epochs", traces, drawn, HEIGHT, "against epochs spent")


def _marks(facts: Facts, places: dict[int, int]) -> list[Trace]:
    """Return the trials of each state at their place on the x axis."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [places[point.place] for point in group],
            "y": rounded(point.value for point in group),
            "customdata": [point.place for point in group],
            "hovertemplate": NAMED,
            "marker": marks(state, size_for(len(facts.points))),
        }
        for state, group in by_state(facts.points).items()
    ]


def by_state(points: list[Point]) -> dict[str, list[Point]]:
    """Return the points of each state there is; complete ones last, to be on top."""
    states = ("pruned", "complete")
    groups = {state: [p for p in points if p.state == state] for state in states}
    return {state: group for state, group in groups.items() if group}


def best_line(x: list[int], y: list[float]) -> Trace:
    """Return the best so far as a line of steps: a value holds until the next one."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": rounded(y),
        "line": {"color": INK, "width": 1.8, "shape": "hv"},
        "hovertemplate": "best so far %{y} after %{x}<extra></extra>",
    }
