"""The figure of a comparison: the best so far, against epochs and against seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hpsearch.comparison import Spent
from hpsearch.drawing import (
    GREY,
    axis_names,
    calm,
    colour_keys,
    colours,
    legend_beside,
    new_figure,
)
from hpsearch.summary import format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpsearch.comparison import Band, Comparison

NAMES: dict[Spent, str] = {
    "epochs": "epochs spent",
    "seconds": "seconds in which trials ran",
}
BEGINNING = 0.1  # the share of each search that the scale need not show: first guesses are far off


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw a line for each group: the study's best so far, or the median and a band of several."""
    figure = new_figure(9.0, 3.8, "best so far")
    panels, chosen = figure.subplots(1, 2, sharey=True), colours(len(comparison.groups))
    seen = [comparison.target]
    for axes, spent in zip(panels, get_args(Spent), strict=True):
        for group, colour in zip(comparison.groups, chosen, strict=True):
            band = group.band(spent)
            _draw_band(calm(axes), band, colour)
            seen += _after_the_beginning(band)
        axes.axhline(comparison.target, color=GREY, linestyle="--", linewidth=0.8)
        axis_names(axes, NAMES[spent], comparison.metric if spent == "epochs" else "")
        axes.set_xlim(left=0)
    margin = 0.05 * (max(seen) - min(seen)) or 0.01
    panels[0].set_ylim(min(seen) - margin, max(seen) + margin)
    keys = colour_keys([group.label for group in comparison.groups], chosen)
    target = f"target {format_value(comparison.target)}"
    keys += colour_keys([target], [GREY], linestyle="--", linewidth=0.8)
    legend_beside(figure, keys)
    return figure


def _draw_band(axes: Axes, band: Band, colour: Any) -> None:
    """Draw a median, and a light band from the lowest to the highest where these differ."""
    marker = "o" if len(band.x) == 1 else ""  # of one epoch there is no line
    look: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.4}
    axes.step(band.x, band.median, where="post", color=colour, **look)
    if not np.array_equal(band.low, band.high):
        shade: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(band.x, band.low, band.high, step="post", **shade)


def _after_the_beginning(band: Band) -> list[float]:
    """Return the values that the scale has to show."""
    begun = int(np.searchsorted(band.x, BEGINNING * band.x[-1], side="right")) - 1
    shown = slice(max(0, begun), None)
    return [*band.median[shown].tolist(), *band.low[-1:].tolist(), *band.high[-1:].tolist()]
