"""Figures that show no study: paths of optimizers, and activations by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.figures.drawing import (
    COLOURS,
    GREY,
    SMALL,
    escape_dollars,
    label_axes,
    new_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from model.diagnostics import Histogram
    from model.layers import Array

Points = Sequence[tuple[float, float]]
Surface = Callable[["Array", "Array"], "Array"]
FINENESS = 200  # points of a contour plot in each direction


def draw_paths(
    paths: Mapping[str, Points],
    f: Surface,
    *,
    title: str = "",
    x: tuple[float, float] = (-10, 10),
    y: tuple[float, float] = (-10, 10),
    levels: int | Sequence[float] = 12,
) -> Figure:
    """Draw a panel for each path, over the contours of f(x, y) in the ranges `x` and `y`.

    f: takes two arrays and returns one, all of the same shape. levels: the heights of the contours,
    or how many to draw.
    """
    columns = math.ceil(math.sqrt(len(paths)))
    rows = math.ceil(len(paths) / columns)
    figure = new_figure(0.6 + 3.2 * columns, 0.8 + 2.8 * rows, title)
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    grid = np.meshgrid(np.linspace(*x, FINENESS), np.linspace(*y, FINENESS))
    heights = f(*grid)
    for axes, (name, points) in zip(panels, paths.items(), strict=False):
        style_axes(axes).grid(False)
        axes.contour(*grid, heights, levels=levels, colors=GREY, linewidths=0.5, alpha=0.6)
        _draw_path(axes, points)
        axes.set_title(escape_dollars(name), fontsize=SMALL)
        axes.set(xlim=x, ylim=y)
        label_axes(axes, "x", "y")
        axes.label_outer()
    for axes in panels[len(paths) :]:
        axes.remove()
    return figure


def _draw_path(axes: Axes, points: Points) -> None:
    """Draw a path from a ring at its start to a square at its end."""
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, "o-", color=COLOURS[1], markersize=3, linewidth=1.2)
    axes.plot(xs[0], ys[0], "o", color=COLOURS[1], markerfacecolor="white", markersize=7)
    axes.plot(xs[-1], ys[-1], "s", color=COLOURS[0], markersize=6)


def draw_histograms(rows: Mapping[str, Sequence[Histogram]], *, title: str = "") -> Figure:
    """Draw a row for each setting, with a histogram for each layer from input to output.

    The panels of a row share their x axis. Each shows the mean and deviation of its values.
    """
    columns = max(len(layers) for layers in rows.values())
    figure = new_figure(0.8 + 1.9 * columns, 0.9 + 1.7 * len(rows), title)
    grid = figure.subplots(len(rows), columns, sharex="row", squeeze=False)
    for number, axes in enumerate(grid[0], start=1):
        axes.set_title(f"layer {number}", fontsize=SMALL)
    for panels, (name, layers) in zip(grid, rows.items(), strict=True):
        for axes, layer in zip(panels, layers, strict=False):
            _draw_histogram(style_axes(axes), layer)
        for axes in panels[len(layers) :]:
            axes.remove()
        panels[0].set_ylabel(escape_dollars(name), fontsize=SMALL)
    figure.supxlabel("activation", fontsize=SMALL + 1)
    return figure


def _draw_histogram(axes: Axes, layer: Histogram) -> None:
    """Draw a histogram with its outline: a bar of nearly equal values is too thin to see."""
    axes.stairs(layer.counts, layer.edges, fill=True, color=COLOURS[0], alpha=0.6)
    axes.stairs(layer.counts, layer.edges, color=COLOURS[0], linewidth=0.9)
    axes.set_yticks([])
    axes.set_ylim(0, 1.35 * float(layer.counts.max() or 1))  # room for the text
    axes.grid(False)
    text = f"{layer.mean:.3g} ± {layer.std:.3g}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=7)
