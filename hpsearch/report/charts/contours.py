"""How the metric lies over two parameters at a time, for the most important of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from hpsearch.figures.drawing import COLOURS, colours
from hpsearch.formatting import counted
from hpsearch.report.charts.axes import ParameterAxis
from hpsearch.report.charts.base import (
    NAMED,
    REGION,
    Chart,
    Panels,
    Trace,
    axis,
    box,
    layout,
    rounded,
)
from hpsearch.report.charts.history import by_state
from hpsearch.report.charts.importance import Importances
from hpsearch.report.charts.jitter import INSIDE, UP, jitter
from hpsearch.report.facts import Facts, Point
from hpsearch.report.region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME, HEADING = "contours", "Two parameters at a time"
MOST_PARAMETERS = 4  # and so 6 pairs
LEAST_TRIALS = 10  # a surface over fewer shows nothing
LEVELS = 10  # contours, about
FINENESS = 30  # places along a range
BANDWIDTH = 0.07  # of the kernel, as a share of a range
LEAST_WEIGHT = 0.2  # of the trials near a place, so that something is drawn there
WORST = 0.1  # this share of the trials is all of the lightest colour


def contour_panels(facts: Facts, importances: Importances, region: Region) -> Panels:
    """Return the metric over each pair of the most important parameters."""
    chosen = most_important(facts, importances)
    if len(chosen) < 2:
        return Panels(NAME, HEADING, missing="It takes two parameters that had different values.")
    if len(facts.points) < LEAST_TRIALS:
        few = f"{counted(len(facts.points), 'trial')} with a value: too few"
        return Panels(NAME, HEADING, missing=f"{few}, it takes {LEAST_TRIALS}.")
    ends = colour_ends(facts)
    charts = [
        _contour(facts, pair, region, ends, f"{NAME}-{number}")
        for number, pair in enumerate(combinations(chosen, 2))
    ]
    note = (
        f"{_which(facts, chosen, importances)}, in pairs. Colour is the mean {facts.title} of the "
        "trials nearby, darker is better; where no trial is near, nothing is drawn. The star is "
        "the best trial."
    )
    if any(along.values() for along in chosen):
        note += " Where a parameter has few values, dots are spread within each."
    keys = {"trial": "dot"} | ({"what narrow would keep": "box"} if region.now else {})
    return Panels(NAME, HEADING, charts, note, columns=3, keys=keys)


def _which(facts: Facts, chosen: Sequence[ParameterAxis], importances: Importances) -> str:
    if len(chosen) == len(facts.axes):
        return "All parameters"
    which = f"The {len(chosen)} most important" if importances.shares else f"{len(chosen)}"
    return f"{which} of {len(facts.axes)} parameters"


def most_important(facts: Facts, importances: Importances) -> list[ParameterAxis]:
    """Return the parameters to draw: by importance, or where that is unknown in their order."""
    varied = [a for a in facts.axes if len({a.coordinate(p.trial) for p in facts.points}) > 1]
    ranks = {parameter: rank for rank, parameter in enumerate(importances.shares)}
    return sorted(varied, key=lambda a: ranks.get(a.parameter, len(ranks)))[:MOST_PARAMETERS]


def colour_ends(facts: Facts) -> tuple[float, float]:
    """Return the values of the lightest and the darkest colour: what is worst is not told apart."""
    values = [point.value for point in facts.points]
    worst = float(np.quantile(values, WORST if facts.maximize else 1 - WORST))
    worst = min(max(worst, facts.view.low), facts.view.high)
    best = max(values) if facts.maximize else min(values)
    return (worst, best) if worst != best else (worst - (1 if facts.maximize else -1), best)


def _contour(
    facts: Facts,
    pair: tuple[ParameterAxis, ParameterAxis],
    region: Region,
    ends: tuple[float, float],
    name: str,
) -> Chart:
    along, up = pair
    shapes = [
        box(
            left_right,
            low_high,
            opacity=1,
            fillcolor="rgba(0,0,0,0)",
            layer="above",
            line=_dashed(),
        )
        for left_right, low_high in product(region.of(along), region.of(up))
    ]
    margin = {"l": 48, "r": 8, "t": 10, "b": 40}
    drawn = layout(
        axis(along.title, **along.layout()),
        axis(up.title, **up.layout()),
        shapes=shapes,
        margin=margin,
    )
    traces = [_surface(facts, along, up, ends)]
    for state, points in by_state(facts.points).items():
        traces.append(_dots(along, up, points, {"symbol": "circle", "size": 3, **_dot(state)}))
    star = {"symbol": "star", "size": 13, "color": COLOURS[1]}
    star |= {"line": {"color": "white", "width": 1}}
    traces.append(_dots(along, up, [facts.best], star))
    return Chart(name, traces, drawn, 300)


def _dashed() -> dict[str, Any]:
    return {"color": REGION, "width": 2, "dash": "dash"}


def _dot(state: str) -> dict[str, Any]:
    return {"color": "black", "opacity": 0.45 if state == "complete" else 0.2}


def _surface(
    facts: Facts, along: ParameterAxis, up: ParameterAxis, ends: tuple[float, float]
) -> Trace:
    """Return contours over two dense ranges, and cells where one of them has few values."""
    x, y = places(along), places(up)
    low, high = sorted(ends)
    z = smoothed(facts.points, (along, x), (up, y), low, high)
    shades = [to_hex(shade) for shade in reversed(colours(8))]
    shades = shades if facts.maximize else shades[::-1]
    levels = MaxNLocator(LEVELS).tick_values(low, high)
    size = float(levels[1] - levels[0])
    bar = {"thickness": 8, "outlinewidth": 0, "tick0": float(levels[0]), "dtick": 2 * size}
    found: Trace = {
        "z": [[None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in z],
        "zmin": low,
        "zmax": high,
        "colorscale": [[n / 7, shade] for n, shade in enumerate(shades)],
        "colorbar": bar,
        "hoverinfo": "skip",
        "opacity": 0.75,
    }
    if along.values() or up.values():
        return found | {"type": "heatmap", "x": _edges(along, x), "y": _edges(up, y)}
    steps = {"start": float(levels[0]), "end": float(levels[-1]), "size": size}
    line = {"width": 0.5, "color": "white"}
    found |= {"type": "contour", "autocontour": False, "contours": steps, "line": line}
    return found | {"x": [along.at(share) for share in x], "y": [up.at(share) for share in y]}


def places(along: ParameterAxis) -> NDArray[np.float64]:
    """Return the places of the surface along an axis, as shares."""
    if values := along.values():
        return np.array([along.share(value) for value in values])
    return np.linspace(0, 1, FINENESS)


def _edges(along: ParameterAxis, at: NDArray[np.float64]) -> list[float]:
    """Return where the cells of these places begin and end, as coordinates: halfway."""
    if values := along.values():
        return [values[0] - along.half, *(value + along.half for value in values)]
    middles = (at[:-1] + at[1:]) / 2
    first, last = 2 * at[0] - middles[0], 2 * at[-1] - middles[-1]
    return [along.at(float(share)) for share in (first, *middles, last)]


def smoothed(
    points: Sequence[Point],
    along: tuple[ParameterAxis, NDArray[np.float64]],
    up: tuple[ParameterAxis, NDArray[np.float64]],
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """Return the weighted mean of the values at each place, row by row; NaN where no trial is near.

    A value counts as one from `low` to `high`. Weights are Gaussian in shares of a range; where it
    has few values, as choices do, these have nothing to do with each other.
    """
    both = [p for p in points if all(a.coordinate(p.trial) is not None for a, _ in (along, up))]
    values = np.clip([point.value for point in both], low, high)
    columns, rows = (_weights(each, at, both) for each, at in (along, up))
    weight = rows.T @ columns
    total = (rows * values[:, None]).T @ columns
    means: NDArray[np.float64] = np.full(weight.shape, np.nan)
    np.divide(total, weight, out=means, where=weight >= LEAST_WEIGHT)
    return means


def _weights(
    along: ParameterAxis, at: NDArray[np.float64], points: Sequence[Point]
) -> NDArray[np.float64]:
    """Return how near each point is to each place: (points, places)."""
    shares = np.array([along.share(along.coordinate(point.trial) or 0.0) for point in points])
    distances = np.abs(shares[:, None] - at)
    if along.values():
        return np.asarray(distances == distances.min(axis=1, keepdims=True), np.float64)
    return np.asarray(np.exp(-((distances / BANDWIDTH) ** 2) / 2), np.float64)


def _dots(
    along: ParameterAxis, up: ParameterAxis, points: Sequence[Point], marker: dict[str, Any]
) -> Trace:
    known = [
        (point, x + jitter(along, point, INSIDE), y + jitter(up, point, INSIDE, UP))
        for point in points
        if (x := along.coordinate(point.trial)) is not None
        and (y := up.coordinate(point.trial)) is not None
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(x for _, x, _ in known),
        "y": rounded(y for _, _, y in known),
        "customdata": [point.place for point, _, _ in known],
        "hovertemplate": NAMED,
        "marker": marker,
    }
