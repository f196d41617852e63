"""When trials ran, and what pruning saved."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise

from optuna.trial import TrialState

from hpsearch.curves import Curves
from hpsearch.history import seconds_passed, span_of
from hpsearch.lines import config_of
from hpsearch.report.charts import (
    NAMED,
    STATES,
    Chart,
    Panels,
    Trace,
    axis,
    counted,
    layout,
    rounded,
    whole_axis,
)
from hpsearch.report.facts import DIVERGED, Facts, Saved, duration, state_of
from hpsearch.slots import reason_of, slot_of

TIMELINE, PRUNING = "timeline", "pruning"
LEAST_HEIGHT, MOST_HEIGHT = 240, 460


def timeline_panels(facts: Facts, now: datetime) -> Panels:
    """Return a row for each trial, from when it began to when it ended; running ones until now."""
    spans = [
        (place, _span(facts, place, now))
        for place, trial in enumerate(facts.trials)
        if trial.datetime_start is not None
    ]
    if not spans:
        missing = "Its trials do not say when they ran."
        return Panels(TIMELINE, "When trials ran", missing=missing)
    passed = seconds_passed([span for _, span in spans])
    states = {place: state_of(facts.trials[place]) for place, _ in spans}
    thick = max(2.0, min(9.0, 300 / len(spans)))
    traces = []
    for state, colour in reversed(STATES.items()):  # complete ones on top
        rows = [(place, span) for place, span in spans if states[place] == state]
        if rows:
            traces.append(_bars(facts, rows, passed, colour, thick))
    y = axis("trial", autorange="reversed", showgrid=False, nticks=8)
    height = max(LEAST_HEIGHT, min(MOST_HEIGHT, 100 + 9 * len(spans)))
    chart = Chart(TIMELINE, traces, layout(axis("seconds, without pauses"), y), height)
    note = (
        "A bar from a trial's start to its end; the steeper they go down, the faster. Pauses in "
        "which no trial ran are left out."
    )
    keys = {state: state for state in STATES if state in states.values()}
    return Panels(TIMELINE, "When trials ran", [chart], note, keys=keys)


def _span(facts: Facts, place: int, now: datetime) -> tuple[datetime, datetime]:
    trial = facts.trials[place]
    if trial.state.is_finished():
        return span_of(trial)
    assert trial.datetime_start is not None
    return trial.datetime_start, max(now, trial.datetime_start)


def _bars(
    facts: Facts,
    rows: list[tuple[int, tuple[datetime, datetime]]],
    passed: dict[datetime, float],
    colour: str,
    thick: float,
) -> Trace:
    """Return one trace for all trials of a state: lines with a gap after each."""
    x: list[float | None] = []
    y: list[int | None] = []
    customdata: list[int | None] = []
    for place, span in rows:
        slot = slot_of(facts.trials[place])
        x += [*rounded(passed[moment] for moment in span), None]
        y += [slot, slot, None]
        customdata += [place, place, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "customdata": customdata,
        "hovertemplate": NAMED,
        "line": {"color": colour, "width": thick},
    }


def pruning_panels(facts: Facts, saved: Saved) -> Panels:
    """Return after how many epochs trials were pruned, and what that saved in words."""
    heading = "What pruning saved"
    if not facts.has_curves:
        return Panels(PRUNING, heading, missing="Its trials do not say how many epochs they ran.")
    if not saved.trials:
        return Panels(PRUNING, heading, missing=f"No trial was pruned.{_diverged(saved)}")
    ends = Counter(
        len(Curves.of(trial))
        for trial in facts.trials
        if trial.state is TrialState.PRUNED and not str(reason_of(trial)).startswith(DIVERGED)
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
