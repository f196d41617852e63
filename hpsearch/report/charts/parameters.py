"""The searched values: each against the metric, and all of a trial as one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import to_hex

from hpsearch.figures.drawing import COLOURS, colours
from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.charts.base import (
    INK,
    LINE,
    NAMED,
    REGION,
    STATES,
    Chart,
    Panels,
    Trace,
    axis,
    box,
    escaped,
    layout,
    marks,
    rounded,
    size_for,
)
from hpsearch.report.charts.history import by_state
from hpsearch.report.charts.jitter import is_crowded, jitter
from hpsearch.report.facts import Facts, Point
from hpsearch.report.region import Region

SLICES, PARALLEL = "slices", "parallel"
NOTHING = "Its trials have no parameters."
GROUPS = 8  # of completed trials, from the worst to the best
NOT_SET = -0.12  # the share of a trial that has not the parameter


def slice_panels(facts: Facts, region: Region) -> Panels:
    """Return for each parameter the trials' values against it."""
    if not facts.axes:
        return Panels(SLICES, "Each parameter", missing=NOTHING)
    charts = [
        _slice(facts, along, region, f"{SLICES}-{number}")
        for number, along in enumerate(facts.axes)
    ]
    note = "Each on its own scale. A mark is a trial; a pruned one is at its best value."
    if any(is_crowded(facts, along) for along in facts.axes):
        note += " Where many would cover each other, they are drawn a little beside their value."
    note += str(facts.view)
    states = by_state(facts.points)
    columns, keys = 4 if len(charts) == 4 else 3, _keys(states, region)
    return Panels(SLICES, "Each parameter", charts, note, columns=columns, keys=keys)


def _keys(states: dict[str, list[Point]], region: Region) -> dict[str, str]:
    keys = {state: state for state in STATES if state in states}
    return keys | ({"what narrow would keep": "region"} if region.now else {})


def _slice(facts: Facts, along: ParameterAxis, region: Region, name: str) -> Chart:
    traces = []
    have, crowded = 0, is_crowded(facts, along)
    for state, points in by_state(facts.points).items():
        known = [
            (point, place + (jitter(along, point) if crowded else 0.0))
            for point in points
            if (place := along.coordinate(point.trial)) is not None
        ]
        have += len(known)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded(place for _, place in known),
                "y": rounded(point.value for point, _ in known),
                "customdata": [point.place for point, _ in known],
                "hovertemplate": NAMED,
                "marker": marks(state, size_for(len(facts.points)) - 1),
            }
        )
    y = facts.value_axis()
    shapes = [box(interval, None) for interval in region.of(along)]
    drawn = layout(axis(along.title, **along.layout()), y, shapes=shapes)
    total = len(facts.points)
    title = along.name if have == total else f"{along.name}: in {have:,} of {total:,} trials"
    return Chart(name, traces, drawn, 260, title)


def parallel_panels(facts: Facts, region: Region) -> Panels:
    """Return a line for each trial through its values on all axes, the metric's at the right."""
    heading = "All parameters at once"
    if not facts.axes:
        return Panels(PARALLEL, heading, missing=NOTHING)
    traces = [
        _lines(facts, group, {"color": colour, "width": width}, opacity)
        for group, colour, width, opacity in _groups(facts)
    ]
    columns = [(_ticks(along), along.title) for along in facts.axes]
    columns.append((_ticks(facts.scale), f"<b>{facts.scale.title}</b>"))
    names = [title.replace(" (", "<br>(", 1) for _, title in columns]
    x = axis(range=[-0.06, len(columns) - 0.94], tickvals=list(range(len(columns))))
    x |= {"ticktext": names, "showgrid": False, "ticks": "", "side": "top", "showline": False}
    lowest = NOT_SET - 0.06 if _lacking(facts) else -0.03
    y = {"range": [lowest, 1.04], "visible": False, "fixedrange": True}
    shapes = [*_regions(facts, region), *map(_upright, range(len(columns)))]
    drawn = layout(x, y, shapes=shapes, margin={"l": 90, "r": 56, "t": 48, "b": 8})
    drawn["annotations"] = [
        text for place, (ticks, _) in enumerate(columns) for text in _texts(place, ticks)
    ]
    note = (
        "A line is a trial, from its parameters to its value at the right: completed ones from "
        "light to dark, better ones darker, and pruned ones grey."
    )
    if any(along.values() for along in facts.axes):
        note += " Around a value that many have they lie a little apart."
    if facts.view.worst:
        end = "foot" if facts.maximize else "top"
        note += f" At the right {facts.view.worst} beyond the axis, and drawn at its {end}."
    if _lacking(facts):
        note += " Below an axis runs what has not this parameter."
    keys = {"the best": "line-best", "pruned": "line-grey"}
    keys |= {"what narrow would keep": "region"} if region.now else {}
    return Panels(PARALLEL, heading, [Chart(PARALLEL, traces, drawn, 400)], note, keys=keys)


def _ticks(along: ParameterAxis) -> list[tuple[float, str]]:
    return [(along.share(value), text) for value, text in along.ticks()]


def _groups(facts: Facts) -> list[tuple[list[Point], str, float, float]]:
    """Return the trials in the order they are drawn in, with colour, width and opacity."""
    sign = 1 if facts.maximize else -1
    complete = [point for point in facts.points if point.state == "complete"]
    complete.sort(key=lambda point: sign * point.value)
    pruned = [point for point in facts.points if point.state == "pruned"]
    shades = [to_hex(shade) for shade in reversed(colours(GROUPS))]
    faint = max(0.25, min(0.8, 60 / len(facts.points)))
    found = [(pruned, LINE, 0.7, faint / 2)]
    for number, shade in enumerate(shades):
        start, end = (len(complete) * n // GROUPS for n in (number, number + 1))
        found.append((complete[start:end], shade, 1.1, faint))
    found.append(([facts.best], COLOURS[1], 2.5, 1.0))
    return [group for group in found if group[0]]


def _lines(facts: Facts, points: Sequence[Point], line: dict[str, Any], opacity: float) -> Trace:
    """Return one trace for several trials: lines with a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    customdata: list[int | None] = []
    for point in points:
        shares = []
        for along in facts.axes:
            place = along.coordinate(point.trial)
            beside = jitter(along, point)
            shares.append(NOT_SET if place is None else along.share(place + beside))
        x += [*range(len(shares) + 1), None]
        y += [*rounded([*shares, facts.share(point.value)]), None]
        customdata += [*[point.place] * (len(shares) + 1), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "customdata": customdata,
        "hovertemplate": NAMED,
        "line": line,
        "opacity": opacity,
    }


def _upright(place: int) -> dict[str, Any]:
    line = {"color": INK, "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line}


def _regions(facts: Facts, region: Region) -> list[dict[str, Any]]:
    return [
        box(
            (place - 0.045, place + 0.045),
            tuple(sorted(along.share(end) for end in interval)),  # type: ignore[arg-type]
            opacity=0.3,
            line={"width": 1, "color": REGION},
        )
        for place, along in enumerate(facts.axes)
        for interval in region.of(along)
    ]


def _texts(place: int, ticks: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    """Return the numbers of an axis, at its left; and what is below it where trials lack it."""
    look = {"showarrow": False, "xanchor": "right", "xshift": -5, "font": {"size": 10}}
    back = {"bgcolor": "rgba(255,255,255,0.75)", "borderpad": 1}
    return [{"x": place, "y": y, "text": escaped(text), **look, **back} for y, text in ticks]


def _lacking(facts: Facts) -> bool:
    """Whether a trial that is drawn lacks one of the parameters."""
    return any(along.parameter not in p.trial.params for p in facts.points for along in facts.axes)
