"""When trials ran, and what pruning saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from optuna.trial import TrialState

from hpsearch.analysis.history import running_seconds, span_of
from hpsearch.formatting import counted
from hpsearch.report.charts.base import (
    HOVER_TEXT,
    STATES,
    Chart,
    Panels,
    layout,
    line_trace,
    plot_axis,
    rounded,
    whole_axis,
)
from hpsearch.report.facts import Facts, Savings, diverged, duration, state_of
from hpsearch.trials.records import config_of, curves_of, slot_of

TIMELINE, PRUNING = "timeline", "pruning"
LEAST_HEIGHT, MOST_HEIGHT = 140, 460
MOST_ROWS = 120  # with more trials, those that did not overlap share a row
COMMON = ("complete", "pruned")
DRAWING_ORDER = (*COMMON, "running", "interrupted", "failed")  # the last is on top

Span = tuple[datetime, datetime]


def timeline_panels(facts: Facts, now: datetime) -> Panels:
    """Return a chart with a bar for each trial from its start to its end; running ones end now."""
    spans = {
        index: _span(facts, index, now)
        for index, trial in enumerate(facts.trials)
        if trial.datetime_start is not None
    }
    if not spans:
        missing = "The trials do not record when they ran."
        return Panels(TIMELINE, "When trials ran", missing=missing)
    note = "Each bar runs from a trial's start to its end; "
    if len(spans) <= MOST_ROWS:
        rows, name = {index: slot_of(facts.trials[index]) for index in spans}, "trial"
        note += "the steeper the bars descend, the faster the search."
    else:
        rows, name = assign_rows(spans), "trials at the same time"
        note += "the number of rows is the number of trials that ran at the same time."
    low, high = min(rows.values()), max(rows.values())
    thickness = max(3.0, min(9.0 if name == "trial" else 24.0, 300 / (high - low + 1)))
    passed = running_seconds(list(spans.values()))
    states = {index: state_of(facts.trials[index]) for index in spans}
    traces = []
    for state in (each for each in DRAWING_ORDER if each in states.values()):
        indices = [index for index in spans if states[index] == state]
        bars = (
            (index, rounded(passed[moment] for moment in spans[index]), [rows[index]] * 2)
            for index in indices
        )
        traces.append(line_trace(bars) | _style(state, thickness))
    y = whole_axis(name, low, high, showgrid=False, nticks=8)
    y["range"] = [high + 0.7, low - 0.7]
    height = max(LEAST_HEIGHT, min(MOST_HEIGHT, 80 + round(1.6 * thickness * (high - low + 1))))
    chart = Chart(TIMELINE, traces, layout(plot_axis("seconds, without pauses"), y), height)
    note += " Pauses, in which no trial ran, are left out."
    keys = {state: state for state in STATES if state in states.values()}
    return Panels(TIMELINE, "When trials ran", [chart], note, keys=keys)


def assign_rows(spans: Mapping[int, Span]) -> dict[int, int]:
    """Return a row from 1 for each span: the first one in which the earlier span has ended."""
    rows, ends = dict[int, int](), list[datetime]()
    for index, (start, end) in sorted(spans.items(), key=lambda pair: pair[1]):
        row = next((n for n, free in enumerate(ends) if free <= start), len(ends))
        ends[row : row + 1] = [end]
        rows[index] = row + 1
    return rows


def _span(facts: Facts, index: int, now: datetime) -> Span:
    trial = facts.trials[index]
    if trial.state.is_finished():
        return span_of(trial)
    assert trial.datetime_start is not None
    return trial.datetime_start, max(now, trial.datetime_start)


def _style(state: str, thickness: float) -> dict[str, Any]:
    """Return the style of bars; rare states get edges, so that even short bars are visible."""
    line = {"color": STATES[state], "width": thickness, "simplify": False}
    if state in COMMON:
        return {"mode": "lines", "line": line}
    edge = {"color": STATES[state], "width": 1.5}
    marker = {"symbol": "line-ns-open", "size": thickness, "line": edge}
    return {"mode": "lines+markers", "line": line, "marker": marker}


def pruning_panels(facts: Facts, saved: Savings) -> Panels:
    """Return a chart of the epochs at which trials were pruned, with a sentence on the savings."""
    heading = "What pruning saved"
    if not facts.has_curves:
        return Panels(
            PRUNING, heading, missing="The trials do not record how many epochs they ran."
        )
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
        "hovertemplate": HOVER_TEXT,
    }
    x = whole_axis("epochs until a trial was pruned", 0, planned)
    if len(ends) <= 20:
        x |= {"tickmode": "array", "tickvals": sorted({*ends, planned})}
    most = max(ends.values())
    drawn = layout(x, whole_axis("trials", 0, most) | {"range": [0, 1.06 * most]})
    note = savings_sentence(facts, saved)
    return Panels(PRUNING, heading, [Chart(PRUNING, [bars], drawn, 220)], note)


def savings_sentence(facts: Facts, saved: Savings) -> str:
    """Return a sentence on what pruning saved, and on how that is estimated."""
    whole = facts.epochs + saved.epochs
    pruned = f"{counted(saved.trials, 'trial')} {'was' if saved.trials == 1 else 'were'}"
    stopping = any(config_of(trial).get("early_stopping") for trial in facts.trials)
    less = "; less if early stopping would have ended a trial" if stopping else ""
    return (
        f"{pruned} pruned. Without pruning there would have been "
        f"{counted(saved.epochs, 'more epoch')}, {saved.epochs / whole:.0%} of the {whole:,} that "
        f"the study would have run, and about {duration(saved.seconds)} more training, estimated "
        f"from each trial's own seconds per epoch{less}.{_diverged(saved)}"
    )


def _diverged(saved: Savings) -> str:
    if not saved.diverged:
        return ""
    trials = counted(saved.diverged, "trial")
    return f" {trials} ended early because the loss was not finite (not counted here)."
