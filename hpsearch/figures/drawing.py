"""The style of all figures: colours for colour-blind readers, plain axes, legends.

Nothing here changes matplotlib's global settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe & Ito (2008) without its yellow, which is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
Style = Literal["-", "--"]
STYLES: tuple[Style, ...] = ("-", "--")
GREY = "0.45"
DPI = 150
SMALL, NORMAL, LARGE = 8, 9, 11  # points


def colours(number: int) -> list[Any]:
    """Return `number` distinct colours: the palette, or a dark-to-light scale for more."""
    if number <= len(COLOURS):
        return list(COLOURS[:number])
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, number)))


def escape_dollars(text: object) -> str:
    """Return `text` with its dollar signs escaped, so that matplotlib draws no formula."""
    return str(text).replace("$", r"\$")


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure; its size is in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.suptitle(escape_dollars(title), fontsize=LARGE, x=0.01, horizontalalignment="left")
    return figure


def style_axes(axes: Axes) -> Axes:
    """Give `axes` a light grid and no frame, and return them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=SMALL, color=GREY)
    return axes


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes."""
    axes.set_xlabel(escape_dollars(x), fontsize=NORMAL)
    axes.set_ylabel(escape_dollars(y), fontsize=NORMAL)


def integer_ticks(axes: Axes) -> None:
    """Put the ticks of the x axis at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))


def log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with ticks like 0.01 and 200; call it after drawing."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    few = high < 100 * low  # less than two powers of ten need ticks between them
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def grid_of_panels(figure: Figure, number: int, columns: int, *, shared: bool = True) -> list[Axes]:
    """Return `number` panels, row by row.

    shared: all panels have the same scales, and only those at the edge have tick labels.
    """
    rows = math.ceil(number / columns)
    grid = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
    panels = [style_axes(axes) for axes in grid.flat]
    for axes in panels if shared else ():
        axes.label_outer(remove_inner_ticks=True)
    for axes in panels[number:]:
        axes.remove()
    return panels[:number]


def draw_band(
    axes: Axes,
    x: Sequence[float],
    middle: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    colour: Any,
    *,
    style: Style = "-",
    step: bool = False,
) -> None:
    """Draw a mean or a median as a line, and a light band from `low` to `high`.

    step: a value holds until the next one.
    """
    marker = "o" if len(x) == 1 else ""  # one point makes no line
    options: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.4}
    drawstyle = "steps-post" if step else "default"
    axes.plot(x, middle, color=colour, linestyle=style, drawstyle=drawstyle, **options)
    if list(low) != list(high):
        shade: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(x, low, high, step="post" if step else None, **shade)


def style_keys(names: Sequence[str]) -> list[Line2D]:
    """Return the legend entries for line styles, none if there is only one."""
    styles = zip(names, STYLES, strict=False) if len(names) > 1 else ()
    return [Line2D([], [], color=GREY, linestyle=style, label=name) for name, style in styles]


def colour_keys(names: Iterable[str], chosen: Iterable[Any], **options: Any) -> list[Line2D]:
    """Return the legend entries for line colours."""
    return [
        Line2D([], [], color=colour, label=escape_dollars(name), **options)
        for name, colour in zip(names, chosen, strict=True)
    ]


def legend_beside(figure: Figure, keys: Sequence[Line2D]) -> None:
    """Put a legend to the right of all panels, and widen the figure so that it fits."""
    if keys:
        longest = max(len(str(key.get_label())) for key in keys)
        width, height = figure.get_size_inches()
        room = 0.6 + 0.065 * longest
        figure.set_size_inches(width + room, max(height, 0.6 + 0.19 * len(keys)))
        figure.legend(handles=keys, loc="outside right upper", frameon=False, fontsize=SMALL)
