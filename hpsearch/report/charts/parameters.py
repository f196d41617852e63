"""The searched parameters: each against the metric, and all of them as a line for each trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.colors import to_hex

from hpsearch.figures.drawing import COLOURS, colours
from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.charts.base import (
    INK,
    LINE,
    REGION,
    STATES,
    Chart,
    Panels,
    Trace,
    box,
    escaped,
    layout,
    line_trace,
    marker_size,
    marker_style,
    marker_trace,
    plot_axis,
    rounded,
)
from hpsearch.report.charts.history import by_state
from hpsearch.report.facts import Facts, Point
from hpsearch.report.region import Region

SLICES, PARALLEL = "slices", "parallel"
NO_PARAMETERS = "The trials have no parameters."
GROUPS = 8  # shades of completed trials, from the worst to the best
NOT_SET = -0.12  # the share of a trial without the parameter
NEAR = 0.02  # marks closer than this share of the chart's height cover each other
MANY = 0.1  # at this share of covered marks, a chart is crowded


def slice_panels(facts: Facts, region: Region) -> Panels:
    """Return a chart for each parameter, with the trials' values against it."""
    if not facts.axes:
        return Panels(SLICES, "Each parameter", missing=NO_PARAMETERS)
    charts = [
        _slice(facts, axis, region, f"{SLICES}-{number}") for number, axis in enumerate(facts.axes)
    ]
    note = (
        "Each parameter has its own scale. A mark is a trial; pruned trials show their best value."
    )
    if any(is_crowded(facts, axis) for axis in facts.axes):
        note += " Marks that would cover each other are drawn slightly beside their value."
    note += str(facts.view)
    states = by_state(facts.points)
    columns, keys = 4 if len(charts) == 4 else 3, _keys(states, region)
    return Panels(SLICES, "Each parameter", charts, note, columns=columns, keys=keys)


def _keys(states: dict[str, list[Point]], region: Region) -> dict[str, str]:
    keys = {state: state for state in STATES if state in states}
    return keys | region.keys("region")


def _slice(facts: Facts, axis: ParameterAxis, region: Region, name: str) -> Chart:
    traces = []
    have, crowded = 0, is_crowded(facts, axis)
    for state, points in by_state(facts.points).items():
        known = [
            (point, x + (axis.jitter(point.trial) if crowded else 0.0))
            for point in points
            if (x := axis.coordinate(point.trial)) is not None
        ]
        have += len(known)
        traces.append(
            marker_trace(
                rounded(x for _, x in known),
                rounded(point.value for point, _ in known),
                [point.index for point, _ in known],
                marker_style(state, marker_size(len(facts.points)) - 1),
            )
        )
    y = facts.value_axis()
    shapes = [box(interval, None) for interval in region.of(axis)]
    drawn = layout(plot_axis(axis.title, **axis.layout()), y, shapes=shapes)
    total = len(facts.points)
    title = axis.name if have == total else f"{axis.name}: in {have:,} of {total:,} trials"
    return Chart(name, traces, drawn, 260, title)


def is_crowded(facts: Facts, axis: ParameterAxis) -> bool:
    """Whether many marks would cover each other if all were drawn exactly at their values."""
    if not axis.values:
        return False
    shares: dict[float, list[float]] = defaultdict(list)
    for point in facts.points:
        coordinate = axis.coordinate(point.trial)
        if coordinate is not None:
            shares[coordinate].append(facts.share(point.value))
    covered = sum(b - a < NEAR for each in shares.values() for a, b in pairwise(sorted(each)))
    return covered > MANY * len(facts.points)


def parallel_panels(facts: Facts, region: Region) -> Panels:
    """Return a chart with a line for each trial, through all parameters to the metric."""
    heading = "All parameters at once"
    if not facts.axes:
        return Panels(PARALLEL, heading, missing=NO_PARAMETERS)
    traces = [
        _lines(facts, group, {"color": colour, "width": width}, opacity)
        for group, colour, width, opacity in _groups(facts)
    ]
    columns = [(_ticks(axis), axis.title) for axis in facts.axes]
    columns.append((_ticks(facts.scale), f"<b>{facts.scale.title}</b>"))
    names = [title.replace(" (", "<br>(", 1) for _, title in columns]
    x = plot_axis(range=[-0.06, len(columns) - 0.94], tickvals=list(range(len(columns))))
    x |= {"ticktext": names, "showgrid": False, "ticks": "", "side": "top", "showline": False}
    lowest = NOT_SET - 0.06 if _some_lack_a_parameter(facts) else -0.03
    y = {"range": [lowest, 1.04], "visible": False, "fixedrange": True}
    shapes = [*_regions(facts, region), *map(_vertical_line, range(len(columns)))]
    drawn = layout(x, y, shapes=shapes, margin={"l": 90, "r": 56, "t": 48, "b": 8})
    drawn["annotations"] = [
        text for column, (ticks, _) in enumerate(columns) for text in _tick_texts(column, ticks)
    ]
    note = (
        "Each line is a trial, from its parameters to its value on the right. Better trials are "
        "darker; pruned ones are grey."
    )
    if any(axis.values for axis in facts.axes):
        note += " Lines that share a value are drawn slightly apart."
    if facts.view.worst:
        end = "bottom" if facts.maximize else "top"
        note += f" On the right, {facts.view.worst} beyond the axis and drawn at its {end}."
    if _some_lack_a_parameter(facts):
        note += " Lines pass below the axis of a parameter that their trial does not have."
    keys = {"the best": "line-best", "pruned": "line-grey"}
    keys |= region.keys("region")
    return Panels(PARALLEL, heading, [Chart(PARALLEL, traces, drawn, 400)], note, keys=keys)


def _ticks(axis: ParameterAxis) -> list[tuple[float, str]]:
    return [(axis.share(value), text) for value, text in axis.ticks()]


def _groups(facts: Facts) -> list[tuple[list[Point], str, float, float]]:
    """Return groups of trials in drawing order, each with colour, width and opacity."""
    sign = 1 if facts.maximize else -1
    complete = [point for point in facts.points if point.state == "complete"]
    complete.sort(key=lambda point: sign * point.value)
    pruned = [point for point in facts.points if point.state == "pruned"]
    shades = [to_hex(shade) for shade in reversed(colours(GROUPS))]
    faint = max(0.25, min(0.8, 60 / len(facts.points)))
    groups = [(pruned, LINE, 0.7, faint / 2)]
    for number, shade in enumerate(shades):
        start, end = (len(complete) * n // GROUPS for n in (number, number + 1))
        groups.append((complete[start:end], shade, 1.1, faint))
    groups.append(([facts.best], COLOURS[1], 2.5, 1.0))
    return [group for group in groups if group[0]]


def _lines(facts: Facts, points: Sequence[Point], line: dict[str, Any], opacity: float) -> Trace:
    """Return one trace with the lines of several trials."""
    columns = range(len(facts.axes) + 1)
    lines = ((point.index, columns, rounded(_shares(facts, point))) for point in points)
    return line_trace(lines) | {"line": line, "opacity": opacity}


def _shares(facts: Facts, point: Point) -> list[float]:
    """Return the positions of a trial on all axes, the metric's last."""
    shares = []
    for axis in facts.axes:
        coordinate = axis.coordinate(point.trial)
        offset = axis.jitter(point.trial)
        shares.append(NOT_SET if coordinate is None else axis.share(coordinate + offset))
    return [*shares, facts.share(point.value)]


def _vertical_line(column: int) -> dict[str, Any]:
    line = {"color": INK, "width": 1}
    return {"type": "line", "x0": column, "x1": column, "y0": 0, "y1": 1, "line": line}


def _regions(facts: Facts, region: Region) -> list[dict[str, Any]]:
    return [
        box(
            (column - 0.045, column + 0.045),
            tuple(sorted(axis.share(end) for end in interval)),  # type: ignore[arg-type]
            opacity=0.3,
            line={"width": 1, "color": REGION},
        )
        for column, axis in enumerate(facts.axes)
        for interval in region.of(axis)
    ]


def _tick_texts(column: int, ticks: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    """Return the tick texts of an axis, which stand on its left."""
    style = {"showarrow": False, "xanchor": "right", "xshift": -5, "font": {"size": 10}}
    back = {"bgcolor": "rgba(255,255,255,0.75)", "borderpad": 1}
    return [{"x": column, "y": y, "text": escaped(text), **style, **back} for y, text in ticks]


def _some_lack_a_parameter(facts: Facts) -> bool:
    """Whether any drawn trial lacks one of the parameters."""
    return any(axis.parameter not in p.trial.params for p in facts.points for axis in facts.axes)
