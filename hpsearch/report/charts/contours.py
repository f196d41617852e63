"""The metric over two parameters at a time, for the most important parameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from hpsearch.figures.drawing import COLOURS, colours
from hpsearch.report.charts.axes import SPREAD_Y, ParameterAxis
from hpsearch.report.charts.base import (
    REGION,
    Chart,
    Panels,
    Trace,
    box,
    layout,
    marker_trace,
    plot_axis,
    rounded,
)
from hpsearch.report.charts.history import by_state
from hpsearch.report.charts.importance import Importances
from hpsearch.report.facts import Facts, Point
from hpsearch.report.region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME, HEADING = "contours", "Two parameters at a time"
MOST_PARAMETERS = 4  # which make 6 pairs
LEAST_TRIALS = 10  # with fewer, a surface means nothing
LEVELS = 10  # approximate number of contours
FINENESS = 30  # grid points along a dense range
DOT_JITTER = 0.5  # width in steps: dots spread over half of their cell
BANDWIDTH = 0.07  # of the kernel, as a share of a range
LEAST_WEIGHT = 0.2  # a grid point with less weight of trials nearby stays empty
WORST = 0.1  # the worst trials, this share of them, all have the lightest colour


def contour_panels(facts: Facts, importances: Importances, region: Region) -> Panels:
    """Return the metric over each pair of the most important parameters."""
    chosen = most_important(facts, importances)
    if len(chosen) < 2:
        return Panels(NAME, HEADING, missing="Contours need two parameters with different values.")
    if len(facts.points) < LEAST_TRIALS:
        needed = f"Contours need at least {LEAST_TRIALS} trials with a value"
        return Panels(NAME, HEADING, missing=f"{needed}; this study has {len(facts.points)}.")
    limits = colour_limits(facts)
    charts = [
        _contour(facts, pair, region, limits, f"{NAME}-{number}")
        for number, pair in enumerate(combinations(chosen, 2))
    ]
    note = (
        f"{_subject(facts, chosen, importances)}, in pairs. The colour is the mean "
        f"{facts.title} of nearby trials; darker is better. Areas without trials stay empty. "
        "The star is the best trial."
    )
    if any(each.values for each in chosen):
        note += " If a parameter has few values, dots are spread around each."
    keys = {"trial": "dot"} | region.keys("box")
    return Panels(NAME, HEADING, charts, note, columns=3, keys=keys)


def _subject(facts: Facts, chosen: Sequence[ParameterAxis], importances: Importances) -> str:
    if len(chosen) == len(facts.axes):
        return "All parameters"
    number = f"The {len(chosen)} most important" if importances.shares else f"{len(chosen)}"
    return f"{number} of {len(facts.axes)} parameters"


def most_important(facts: Facts, importances: Importances) -> list[ParameterAxis]:
    """Return the axes to draw: the most important ones, or the first ones if that is unknown."""
    varied = [axis for axis in facts.axes if facts.varies(axis)]
    ranks = {parameter: rank for rank, parameter in enumerate(importances.shares)}
    return sorted(varied, key=lambda a: ranks.get(a.parameter, len(ranks)))[:MOST_PARAMETERS]


def colour_limits(facts: Facts) -> tuple[float, float]:
    """Return the values of the lightest and the darkest colour; all the worst trials look alike."""
    values = [point.value for point in facts.points]
    worst = float(np.quantile(values, WORST if facts.maximize else 1 - WORST))
    worst = min(max(worst, facts.view.low), facts.view.high)
    best = max(values) if facts.maximize else min(values)
    return (worst, best) if worst != best else (worst - (1 if facts.maximize else -1), best)


def _contour(
    facts: Facts,
    pair: tuple[ParameterAxis, ParameterAxis],
    region: Region,
    limits: tuple[float, float],
    name: str,
) -> Chart:
    x_axis, y_axis = pair
    shapes = [
        box(
            left_right,
            low_high,
            opacity=1,
            fillcolor="rgba(0,0,0,0)",
            layer="above",
            line=_dashed(),
        )
        for left_right, low_high in product(region.of(x_axis), region.of(y_axis))
    ]
    margin = {"l": 48, "r": 8, "t": 10, "b": 40}
    drawn = layout(
        plot_axis(x_axis.title, **x_axis.layout()),
        plot_axis(y_axis.title, **y_axis.layout()),
        shapes=shapes,
        margin=margin,
    )
    traces = [_surface(facts, x_axis, y_axis, limits)]
    for state, points in by_state(facts.points).items():
        traces.append(_dots(x_axis, y_axis, points, {"symbol": "circle", "size": 3, **_dot(state)}))
    star = {"symbol": "star", "size": 13, "color": COLOURS[1]}
    star |= {"line": {"color": "white", "width": 1}}
    traces.append(_dots(x_axis, y_axis, [facts.best], star))
    return Chart(name, traces, drawn, 300)


def _dashed() -> dict[str, Any]:
    return {"color": REGION, "width": 2, "dash": "dash"}


def _dot(state: str) -> dict[str, Any]:
    return {"color": "black", "opacity": 0.45 if state == "complete" else 0.2}


def _surface(
    facts: Facts, x_axis: ParameterAxis, y_axis: ParameterAxis, limits: tuple[float, float]
) -> Trace:
    """Return contours over two dense ranges, or cells if either axis has few values."""
    x, y = grid_shares(x_axis), grid_shares(y_axis)
    low, high = sorted(limits)
    z = smoothed(facts.points, (x_axis, x), (y_axis, y), low, high)
    shades = [to_hex(shade) for shade in reversed(colours(8))]
    shades = shades if facts.maximize else shades[::-1]
    levels = MaxNLocator(LEVELS).tick_values(low, high)
    size = float(levels[1] - levels[0])
    bar = {"thickness": 8, "outlinewidth": 0, "tick0": float(levels[0]), "dtick": 2 * size}
    surface: Trace = {
        "z": [[None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in z],
        "zmin": low,
        "zmax": high,
        "colorscale": [[n / 7, shade] for n, shade in enumerate(shades)],
        "colorbar": bar,
        "hoverinfo": "skip",
        "opacity": 0.75,
    }
    if x_axis.values or y_axis.values:
        return surface | {"type": "heatmap", "x": _edges(x_axis, x), "y": _edges(y_axis, y)}
    steps = {"start": float(levels[0]), "end": float(levels[-1]), "size": size}
    line = {"width": 0.5, "color": "white"}
    surface |= {"type": "contour", "autocontour": False, "contours": steps, "line": line}
    return surface | {
        "x": [x_axis.at(share) for share in x],
        "y": [y_axis.at(share) for share in y],
    }


def grid_shares(axis: ParameterAxis) -> NDArray[np.float64]:
    """Return the grid points of the surface along an axis, as shares."""
    if values := axis.values:
        return np.array([axis.share(value) for value in values])
    return np.linspace(0, 1, FINENESS)


def _edges(axis: ParameterAxis, at: NDArray[np.float64]) -> list[float]:
    """Return the edges of the cells around grid points, halfway between them, as coordinates."""
    if values := axis.values:
        return [values[0] - axis.half, *(value + axis.half for value in values)]
    middles = (at[:-1] + at[1:]) / 2
    first, last = 2 * at[0] - middles[0], 2 * at[-1] - middles[-1]
    return [axis.at(float(share)) for share in (first, *middles, last)]


def smoothed(
    points: Sequence[Point],
    x: tuple[ParameterAxis, NDArray[np.float64]],
    y: tuple[ParameterAxis, NDArray[np.float64]],
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """Return the weighted mean of the values at each grid point, row by row; NaN without trials.

    x, y: an axis, and the shares of its grid points. Values are clipped to `low` and `high`.
    Weights are Gaussian in the distance between shares. On an axis with few values, such as
    choices, a trial only counts at its own value.
    """
    both = [
        point
        for point in points
        if all(axis.coordinate(point.trial) is not None for axis, _ in (x, y))
    ]
    values = np.clip([point.value for point in both], low, high)
    columns, rows = (_weights(axis, shares, both) for axis, shares in (x, y))
    weight = rows.T @ columns
    total = (rows * values[:, None]).T @ columns
    means: NDArray[np.float64] = np.full(weight.shape, np.nan)
    np.divide(total, weight, out=means, where=weight >= LEAST_WEIGHT)
    return means


def _weights(
    axis: ParameterAxis, at: NDArray[np.float64], points: Sequence[Point]
) -> NDArray[np.float64]:
    """Return the weight of each point at each grid point: (points, grid points)."""
    shares = np.array([axis.share(axis.coordinate(point.trial) or 0.0) for point in points])
    distances = np.abs(shares[:, None] - at)
    if axis.values:
        return np.asarray(distances == distances.min(axis=1, keepdims=True), np.float64)
    return np.asarray(np.exp(-((distances / BANDWIDTH) ** 2) / 2), np.float64)


def _dots(
    x_axis: ParameterAxis, y_axis: ParameterAxis, points: Sequence[Point], marker: dict[str, Any]
) -> Trace:
    known = [
        (
            point,
            x + x_axis.jitter(point.trial, DOT_JITTER),
            y + y_axis.jitter(point.trial, DOT_JITTER, SPREAD_Y),
        )
        for point in points
        if (x := x_axis.coordinate(point.trial)) is not None
        and (y := y_axis.coordinate(point.trial)) is not None
    ]
    return marker_trace(
        rounded(x for _, x, _ in known),
        rounded(y for _, _, y in known),
        [point.index for point, _, _ in known],
        marker,
    )
