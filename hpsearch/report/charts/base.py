"""Charts as data for plotly.js, and their common style."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.figures.drawing import COLOURS

Trace = dict[str, Any]

INK, LINE, GRID = "#222222", "#999999", "#ececec"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
STATES = {
    "complete": COLOURS[0],
    "pruned": COLOURS[4],
    "failed": COLOURS[1],
    "interrupted": "#777777",
    "running": COLOURS[2],
}
REGION = COLOURS[2]  # the region that `narrow` would keep
DIGITS = 5  # significant digits of the numbers in the page
LOG_FROM = 30  # positive values that differ by more than this factor get a logarithmic axis
HOVER_TEXT = "%{text}<extra></extra>"  # page.js fills in the hover text of the trial


@dataclass(frozen=True)
class Chart:
    """One plotly figure: its traces, its layout, its height in pixels and its caption."""

    name: str
    traces: list[Trace]
    layout: dict[str, Any]
    height: int
    title: str = ""

    @property
    def figure(self) -> dict[str, Any]:
        """The traces and the layout, as plotly.js expects them."""
        return {"data": self.traces, "layout": self.layout}


@dataclass(frozen=True)
class Panels:
    """Charts under one heading, or in `missing` a sentence that says why there are none."""

    name: str
    heading: str
    charts: Sequence[Chart] = ()
    note: str = ""
    missing: str = ""
    columns: int = 1
    keys: Mapping[str, str] = field(default_factory=dict)  # the legend: texts and CSS classes


def escaped(text: object) -> str:
    """Return `text` with its HTML escaped, because plotly renders tags such as <b> and <a>."""
    return html.escape(str(text), quote=False)


def rounded(values: Iterable[float]) -> list[float]:
    """Return numbers rounded to DIGITS significant digits, to keep the page small."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def plot_axis(name: str = "", **options: Any) -> dict[str, Any]:
    """Return a plotly axis in the common style."""
    return {
        "title": {"text": name, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": LINE,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": LINE,
        "automargin": True,
        **options,
    }


def whole_axis(name: str, low: int, high: int, *, most: int = 10, **options: Any) -> dict[str, Any]:
    """Return an axis of whole numbers, from a little below `low` to a little above `high`.

    If it spans at most `most`, each whole number has a tick, because plotly would also put some at
    halves.
    """
    room = 0.03 * (high - low) or 0.5
    ticks = {"dtick": 1, "tick0": low} if high - low <= most else {}
    return plot_axis(name, range=[low - room, high + room], **ticks, **options)


def needs_log_axis(values: Sequence[float]) -> bool:
    """Whether values are so far apart that they need a logarithmic axis."""
    return bool(values) and min(values) > 0 and max(values) > LOG_FROM * min(values)


def value_axis(title: str, *, log: bool = False) -> dict[str, Any]:
    """Return the plotly axis of a metric."""
    if not log:
        return plot_axis(escaped(title))
    # With more ticks, plotly labels all nine digits of a decade.
    return plot_axis(escaped(f"{title} (log)"), type="log", nticks=3, exponentformat="e")


def layout(x: Mapping[str, Any], y: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Return a layout with one pair of axes."""
    return {
        "font": {"family": FONT, "size": 12, "color": INK},
        "margin": {"l": 48, "r": 12, "t": 10, "b": 40},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"family": FONT, "size": 12}},
        "showlegend": False,
        "xaxis": dict(x),
        "yaxis": dict(y),
        **options,
    }


def marker_trace(
    x: Sequence[float], y: Sequence[float], indices: Sequence[int], marker: Mapping[str, Any]
) -> Trace:
    """Return a trace with a mark for each trial; `indices` are those of `Facts.trials`."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "customdata": list(indices),
        "hovertemplate": HOVER_TEXT,
        "marker": dict(marker),
    }


def line_trace(lines: Iterable[tuple[int, Sequence[float], Sequence[float]]]) -> Trace:
    """Return one trace with a line for each trial: its index in `Facts.trials`, x and y."""
    x: list[float | None] = []
    y: list[float | None] = []
    indices: list[int | None] = []
    for index, line_x, line_y in lines:  # None makes a gap after each line
        x += [*line_x, None]
        y += [*line_y, None]
        indices += [*[index] * len(line_x), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "customdata": indices,
        "hovertemplate": HOVER_TEXT,
    }


def marker_style(state: str, size: float = 6) -> dict[str, Any]:
    """Return the marker for trials in a state: rings for pruned ones, dots for others."""
    symbol = "circle-open" if state == "pruned" else "circle"
    return {"color": STATES[state], "symbol": symbol, "size": size, "opacity": 0.75}


def marker_size(number: int) -> float:
    """Return the marker size in pixels for a chart with `number` markers."""
    return max(3.0, min(7.0, 7.5 - math.log10(max(number, 1))))


def box(
    x: tuple[float, float] | None, y: tuple[float, float] | None, **options: Any
) -> dict[str, Any]:
    """Return a shaded rectangle; None spans the whole panel in that direction."""
    ends = {"xref": "x" if x else "x domain", "yref": "y" if y else "y domain"}
    (x0, x1), (y0, y1) = x or (0, 1), y or (0, 1)
    style = {"fillcolor": REGION, "opacity": 0.13, "line": {"width": 0}, "layer": "below"}
    return {"type": "rect", **ends, "x0": x0, "x1": x1, "y0": y0, "y1": y1, **style, **options}
