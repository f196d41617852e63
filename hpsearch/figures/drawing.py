"""How figures look: calm, readable whatever colours somebody sees; nothing global is changed."""

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

# Okabe & Ito (2008), without the yellow that white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
Style = Literal["-", "--"]
STYLES: tuple[Style, ...] = ("-", "--")
GREY = "0.45"
DPI = 150
SMALL, NORMAL, LARGE = 8, 9, 11  # points


def colours(number: int) -> list[Any]:
    """Return so many colours that can be told apart: names, or from dark to light if many."""
    if number <= len(COLOURS):
        return list(COLOURS[:number])
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, number)))


def plain(text: object) -> str:
    """Return a text of the user's in which a dollar is one, and begins no formula."""
    return str(text).replace("$", r"\$")


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of so many inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.suptitle(plain(title), fontsize=LARGE, x=0.01, horizontalalignment="left")
    return figure


def calm(axes: Axes) -> Axes:
    """Take from `axes` what is not about the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=SMALL, color=GREY)
    return axes


def axis_names(axes: Axes, x: str, y: str) -> None:
    """Say what the axes measure."""
    axes.set_xlabel(plain(x), fontsize=NORMAL)
    axes.set_ylabel(plain(y), fontsize=NORMAL)


def whole_numbers(axes: Axes) -> None:
    """Number the x axis by whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))


def log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis on which all is drawn logarithmic, with numbers as a person writes them."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    few = high < 100 * low  # less than two powers of ten: number what is between them as well
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def grid_of_panels(figure: Figure, number: int, columns: int) -> list[Axes]:
    """Return so many panels, row by row, with one scale for all and numbers at the rim alone."""
    rows = math.ceil(number / columns)
    made = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = [calm(axes) for axes in made.flat]
    for axes in panels:
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
    """Draw a mean or a median, and a light band from low to high where these differ.

    With `step` a value holds until the next one.
    """
    marker = "o" if len(x) == 1 else ""  # of one epoch there is no line
    look: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.4}
    drawn = "steps-post" if step else "default"
    axes.plot(x, middle, color=colour, linestyle=style, drawstyle=drawn, **look)
    if list(low) != list(high):
        shade: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(x, low, high, step="post" if step else None, **shade)


def style_keys(names: Sequence[str]) -> list[Line2D]:
    """Return what a legend shows for the styles of lines, where there are several."""
    several = zip(names, STYLES, strict=False) if len(names) > 1 else ()
    return [Line2D([], [], color=GREY, linestyle=style, label=name) for name, style in several]


def colour_keys(names: Iterable[str], chosen: Iterable[Any], **options: Any) -> list[Line2D]:
    """Return what a legend shows for the colours of lines."""
    pairs = zip(names, chosen, strict=True)
    return [Line2D([], [], color=colour, label=plain(name), **options) for name, colour in pairs]


def legend_beside(figure: Figure, keys: Sequence[Line2D]) -> None:
    """Put a legend to the right of all panels, where it covers nothing."""
    if keys:
        longest = max(len(str(key.get_label())) for key in keys)
        width, height = figure.get_size_inches()
        room = 0.6 + 0.065 * longest
        figure.set_size_inches(width + room, max(height, 0.6 + 0.19 * len(keys)))
        figure.legend(handles=keys, loc="outside right upper", frameon=False, fontsize=SMALL)
