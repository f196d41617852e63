"""The figure of a comparison: the best value so far against epochs and against seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from hpsearch.analysis.comparison import Cost
from hpsearch.errors import SettingsError
from hpsearch.figures.drawing import (
    GREY,
    colour_keys,
    colours,
    draw_band,
    label_axes,
    legend_beside,
    new_figure,
    style_axes,
)
from hpsearch.figures.saving import SAVE, check_figure_files, save_figures
from hpsearch.formatting import format_value

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from hpsearch.analysis.comparison import Band, Comparison

NAMES: dict[Cost, str] = {
    "epochs": "epochs spent",
    "seconds": "seconds in which trials ran",
}
BEGINNING = 0.1  # this share of each search may be off the scale: early values are far off


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw a line for each group: a study's best so far, or the median and band of several studies.

    A dot marks the end of each line, because lines often cover each other.
    """
    figure = new_figure(9.0, 3.8, "best so far")
    panels, chosen = figure.subplots(1, 2, sharey=True), colours(len(comparison.groups))
    shown = [comparison.target]
    for axes, cost in zip(panels, get_args(Cost), strict=True):
        for group, colour in zip(comparison.groups, chosen, strict=True):
            band = group.band(cost)
            middle, low, high = band.median.tolist(), band.low.tolist(), band.high.tolist()
            draw_band(style_axes(axes), band.x.tolist(), middle, low, high, colour, step=True)
            axes.plot(band.x[-1], middle[-1], "o", color=colour, markersize=4)
            shown += _after_the_beginning(band)
        axes.axhline(comparison.target, color=GREY, linestyle="--", linewidth=0.8)
        label_axes(axes, NAMES[cost], comparison.metric if cost == "epochs" else "")
        axes.set_xlim(left=0)
    margin = 0.05 * (max(shown) - min(shown)) or 0.01
    panels[0].set_ylim(min(shown) - margin, max(shown) + margin)
    keys = colour_keys([group.label for group in comparison.groups], chosen)
    target = f"target {format_value(comparison.target)}"
    keys += colour_keys([target], [GREY], linestyle="--", linewidth=0.8)
    legend_beside(figure, keys)
    return figure


def save_comparison(
    comparison: Comparison, path: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Draw a comparison, write it to the PNG file `path` and return the path.

    Raises SettingsError if the file cannot be written.
    """
    file = Path(path)
    if file.suffix != ".png":
        raise SettingsError(SAVE, f": '{file}' is no name of a PNG file, which ends in .png")
    check_figure_files(file.parent, [file.stem], force=force)
    return save_figures({file.stem: draw_comparison(comparison)}, file.parent, force=force)[0]


def _after_the_beginning(band: Band) -> list[float]:
    """Return the values that the y axis has to include."""
    start = int(np.searchsorted(band.x, BEGINNING * band.x[-1], side="right")) - 1
    rest = slice(max(0, start), None)
    return [*band.median[rest].tolist(), *band.low[-1:].tolist(), *band.high[-1:].tolist()]
