"""The history of the search: trials and the best value so far, against trials and epochs."""

from __future__ import annotations

from itertools import accumulate

from hpsearch.analysis.history import History, sorted_by_end
from hpsearch.report.charts.base import (
    INK,
    STATES,
    Chart,
    Panels,
    Trace,
    layout,
    marker_size,
    marker_style,
    marker_trace,
    rounded,
    whole_axis,
)
from hpsearch.report.facts import Facts, Point
from hpsearch.trials.records import DONE

NAME, HEIGHT = "history", 340


def history_panels(facts: Facts) -> Panels:
    """Return the history against trials, and against epochs if there are learning curves."""
    charts = [_against_trials(facts)]
    note = "Each mark is a trial; the line is the best so far. Pruned trials show their best value."
    note += str(facts.view)
    if facts.has_curves:
        charts.append(_against_epochs(facts))
    else:
        note += " There is no chart against epochs because the trials kept no learning curves."
    keys = {state: state for state in STATES if any(p.state == state for p in facts.points)}
    keys["best so far"] = "line"
    return Panels(NAME, "How the search went", charts, note, columns=2, keys=keys)


def _against_trials(facts: Facts) -> Chart:
    ended = sorted_by_end(trial for trial in facts.trials if trial.state in DONE)
    by_number = {trial.number: number for number, trial in enumerate(ended, start=1)}
    x_by_index = {point.index: by_number[point.trial.number] for point in facts.points}
    best = [*accumulate((point.value for point in facts.points), max if facts.maximize else min)]
    line = best_line([*x_by_index.values(), len(ended)], [*best, best[-1]])
    drawn = layout(whole_axis("trials ended", 1, len(ended)), facts.value_axis())
    return Chart(
        f"{NAME}-trials", [*_markers(facts, x_by_index), line], drawn, HEIGHT, "against trials"
    )


def _against_epochs(facts: Facts) -> Chart:
    history = History.of(facts.trials, facts.metric)
    numbers = (trial.number for trial in sorted_by_end(facts.trials))
    spent = dict(zip(numbers, history.ends, strict=True))
    x_by_index = {point.index: spent[point.trial.number] for point in facts.points}
    x, _, y = zip(*history.improvements, strict=True)
    line = best_line([*x, history.spent], [*y, history.best])
    traces = [*_markers(facts, x_by_index), line]
    drawn = layout(whole_axis("epochs spent", 0, history.spent), facts.value_axis())
    return Chart(f"{NAME}-epochs", traces, drawn, HEIGHT, "against epochs spent")


def _markers(facts: Facts, x_by_index: dict[int, int]) -> list[Trace]:
    """Return a trace for each state, with the trials at their values."""
    return [
        marker_trace(
            [x_by_index[point.index] for point in group],
            rounded(point.value for point in group),
            [point.index for point in group],
            marker_style(state, marker_size(len(facts.points))),
        )
        for state, group in by_state(facts.points).items()
    ]


def by_state(points: list[Point]) -> dict[str, list[Point]]:
    """Return the points by state; complete ones come last, so that they are drawn on top."""
    states = ("pruned", "complete")
    groups = {state: [p for p in points if p.state == state] for state in states}
    return {state: group for state, group in groups.items() if group}


def best_line(x: list[int], y: list[float]) -> Trace:
    """Return the best so far as a step line: a value holds until the next one."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": rounded(y),
        "line": {"color": INK, "width": 1.8, "shape": "hv"},
        "hovertemplate": "best so far %{y} after %{x}<extra></extra>",
    }
