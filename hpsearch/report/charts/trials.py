"""When trials ran, and what pruning saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from optuna.trial import TrialState

from hpsearch.analysis.history import seconds_passed, span_of
from hpsearch.formatting import counted
from hpsearch.report.charts.base import (
    NAMED,
    STATES,
    Chart,
    Panels,
    Trace,
    axis,
    layout,
    rounded,
    whole_axis,
)
from hpsearch.report.facts import Facts, Saved, diverged, duration, state_of
from hpsearch.trials.records import config_of, curves_of, slot_of

TIMELINE, PRUNING = "timeline", "pruning"
LEAST_HEIGHT, MOST_HEIGHT = 140, 460
MOST_ROWS = 120  # trials; more of them are drawn in as many rows as ran at a time
COMMON = ("complete", "pruned")
ON_TOP = (*COMMON, "running", "interrupted", "failed")  # the last is above the rest

Span = tuple[datetime, datetime]


def timeline_panels(facts: Facts, now: datetime) -> Panels:
    """Return a bar for each trial, from when it began to when it ended; running ones until now."""
    spans = {
        place: _span(facts, place, now)
        for place, trial in enumerate(facts.trials)
        if trial.datetime_start is not None
    }
    if not spans:
        missing = "Its trials do not say when they ran."
        return Panels(TIMELINE, "When trials ran", missing=missing)
    note = "A bar from a trial's start to its end; "
    if len(spans) <= MOST_ROWS:
        rows, name = {place: slot_of(facts.trials[place]) for place in spans}, "trial"
        note += "the steeper they go down, the faster."
    else:
        rows, name = side_by_side(spans), "at a time"
        note += "the more rows there are, the more ran at a time."
    low, high = min(rows.values()), max(rows.values())
    thick = max(3.0, min(9.0 if name == "trial" else 24.0, 300 / (high - low + 1)))
    passed = seconds_passed(list(spans.values()))
    states = {place: state_of(facts.trials[place]) for place in spans}
    traces = []
    for state in (each for each in ON_TOP if each in states.values()):
        places = [place for place in spans if states[place] == state]
        traces.append(_bars(places, spans, rows, passed) | _look(state, thick))
    y = whole_axis(name, low, high, showgrid=False, nticks=8)
    y["range"] = [high + 0.7, low - 0.7]
    height = max(LEAST_HEIGHT, min(MOST_HEIGHT, 80 + round(1.6 * thick * (high - low + 1))))
    chart = Chart(TIMELINE, traces, layout(axis("seconds, without pauses"), y), height)
    note += " Pauses in which no trial ran are left out."
    keys = {state: state for state in STATES if state in states.values()}
    return Panels(TIMELINE, "When trials ran", [chart], note, keys=keys)


def side_by_side(spans: Mapping[int, Span]) -> dict[int, int]:
    """Return for each span the first row, from 1, in which none is before its end."""
    rows, ends = dict[int, int](), list[datetime]()
    for place, (start, end) in sorted(spans.items(), key=lambda pair: pair[1]):
        row = next((n for n, free in enumerate(ends) if free <= start), len(ends))
        ends[row : row + 1] = [end]
        rows[place] = row + 1
    return rows


def _span(facts: Facts, place: int, now: datetime) -> Span:
    trial = facts.trials[place]
    if trial.state.is_finished():
        return span_of(trial)
    assert trial.datetime_start is not None
    return trial.datetime_start, max(now, trial.datetime_start)


def _look(state: str, thick: float) -> dict[str, Any]:
    """Return how bars look: those that are few have edges, to be seen if they are short."""
    line = {"color": STATES[state], "width": thick, "simplify": False}
    if state in COMMON:
        return {"mode": "lines", "line": line}
    edge = {"color": STATES[state], "width": 1.5}
    marker = {"symbol": "line-ns-open", "size": thick, "line": edge}
    return {"mode": "lines+markers", "line": line, "marker": marker}


def _bars(
    places: Sequence[int],
    spans: Mapping[int, Span],
    rows: Mapping[int, int],
    passed: Mapping[datetime, float],
) -> Trace:
    """Return one trace for several trials: lines with a gap after each."""
    x: list[float | None] = []
    y: list[int | None] = []
    customdata: list[int | None] = []
    for place in places:
        x += [*rounded(passed[moment] for moment in spans[place]), None]
        y += [rows[place], rows[place], None]
        customdata += [place, place, None]
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "customdata": customdata,
        "hovertemplate": NAMED,
    }


def pruning_panels(facts: Facts, saved: Saved) -> Panels:
    """Return after how many epochs trials were pruned, and what that saved in words."""
    heading = "What pruning saved"
    if not facts.has_curves:
        return Panels(PRUNING, heading, missing="Its trials do not say how many epochs they ran.")
    if not saved.trials:
        return Panels(PRUNING, heading, missing=f"No trial was pruned.{_diverged(saved)}")
    ends = Counter(
        len(curves_of(trial))
        for trial in facts.trials
        if trial.state is TrialState.PRUNED and not diverged(trial)
    )
    planned = max(int(config_of(trial).get("epochs", 0)) for trial in facts.trials)
    planned = max(planned, *ends)
    nearest = min((later - each for each, later in pairwise(sorted(ends))), default=planned)
    bars = {
        "type": "bar",
        "x": sorted(ends),
        "y": [ends[epochs] for epochs in sorted(ends)],
        "width": 0.75 * min(nearest, max(1, planned / 40)),
        "marker": {"color": STATES["pruned"]},
        "text": [
            f"{counted(ends[epochs], 'trial')} pruned after {counted(epochs, 'epoch')}"
            for epochs in sorted(ends)
        ],
        "textposition": "none",
        "hovertemplate": NAMED,
    }
    x = whole_axis("epochs until a trial was pruned", 0, planned)
    if len(ends) <= 20:
        x |= {"tickmode": "array", "tickvals": sorted({*ends, planned})}
    most = max(ends.values())
    drawn = layout(x, whole_axis("trials", 0, most) | {"range": [0, 1.06 * most]})
    note = sentence(facts, saved)
    return Panels(PRUNING, heading, [Chart(PRUNING, [bars], drawn, 220)], note)


def sentence(facts: Facts, saved: Saved) -> str:
    """Say what pruning saved, and how that is known."""
    whole = facts.epochs + saved.epochs
    pruned = f"{counted(saved.trials, 'trial')} {'was' if saved.trials == 1 else 'were'}"
    stopping = any(config_of(trial).get("early_stopping") for trial in facts.trials)
    less = "; less where early stopping would have ended a trial" if stopping else ""
    return (
        f"{pruned} pruned. To the end there would have been {counted(saved.epochs, 'more epoch')}, "
        f"{saved.epochs / whole:.0%} of the {whole:,} that the study would have had, "
        f"and about {duration(saved.seconds)} more of training: an estimate, "
        f"from each trial's own seconds per epoch{less}.{_diverged(saved)}"
    )


def _diverged(saved: Saved) -> str:
    if not saved.diverged:
        return ""
    trials = counted(saved.diverged, "trial")
    return f" {trials} ended early because the loss was not finite; that is not counted."
