"""Charts as plotly.js takes them, and how they look: calm, and told apart by any eye."""

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
REGION = COLOURS[2]  # what `narrow` would keep
DIGITS = 5  # of the numbers that are drawn
WIDE = 30  # from so many times the least value on, values above 0 get a logarithmic axis
NAMED = "%{text}<extra></extra>"  # hover text; the page puts the trial's name and values there


@dataclass(frozen=True)
class Chart:
    """One figure: traces and layout, how many pixels high, and what is written above it."""

    name: str
    traces: list[Trace]
    layout: dict[str, Any]
    height: int
    title: str = ""

    @property
    def figure(self) -> dict[str, Any]:
        """What plotly.js draws."""
        return {"data": self.traces, "layout": self.layout}


@dataclass(frozen=True)
class Panels:
    """Charts side by side under one heading, or in their place a sentence that says why not."""

    name: str
    heading: str
    charts: Sequence[Chart] = ()
    note: str = ""
    missing: str = ""
    columns: int = 1
    keys: Mapping[str, str] = field(default_factory=dict)  # the legend: what, and how it looks


def escaped(text: object) -> str:
    """Return a text of the user's in which no tag is one: plotly knows <b>, <a> and others."""
    return html.escape(str(text), quote=False)


def rounded(values: Iterable[float]) -> list[float]:
    """Return numbers with as many digits as can be seen."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def axis(name: str = "", **options: Any) -> dict[str, Any]:
    """Return an axis as all of them look."""
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

    Up to `most` of them have a tick each, for there plotly would choose halves.
    """
    room = 0.03 * (high - low) or 0.5
    ticks = {"dtick": 1, "tick0": low} if high - low <= most else {}
    return axis(name, range=[low - room, high + room], **ticks, **options)


def far_apart(values: Sequence[float]) -> bool:
    """Whether values need a logarithmic axis to be told apart."""
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)


def value_axis(title: str, *, log: bool = False) -> dict[str, Any]:
    """Return the axis of a metric."""
    if not log:
        return axis(escaped(title))
    # Of more ticks plotly makes all nine digits of a decade.
    return axis(escaped(f"{title} (log)"), type="log", nticks=3, exponentformat="e")


def layout(x: Mapping[str, Any], y: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Return a layout of one pair of axes."""
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


def marks(state: str, size: float = 6) -> dict[str, Any]:
    """Return how trials that ended so are marked: pruned ones are rings."""
    symbol = "circle-open" if state == "pruned" else "circle"
    return {"color": STATES[state], "symbol": symbol, "size": size, "opacity": 0.75}


def size_for(number: int) -> float:
    """Return how large so many marks may be, in pixels."""
    return max(3.0, min(7.0, 7.5 - math.log10(max(number, 1))))


def box(
    x: tuple[float, float] | None, y: tuple[float, float] | None, **options: Any
) -> dict[str, Any]:
    """Return a shaded rectangle; None takes the whole of a panel in that direction."""
    ends = {"xref": "x" if x else "x domain", "yref": "y" if y else "y domain"}
    (x0, x1), (y0, y1) = x or (0, 1), y or (0, 1)
    look = {"fillcolor": REGION, "opacity": 0.13, "line": {"width": 0}, "layer": "below"}
    return {"type": "rect", **ends, "x0": x0, "x1": x1, "y0": y0, "y1": y1, **look, **options}
