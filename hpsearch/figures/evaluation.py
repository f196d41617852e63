"""Figures of an evaluation: the candidates over fresh seeds, and the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.figures.drawing import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    colour_keys,
    escape_dollars,
    label_axes,
    legend_beside,
    new_figure,
    style_axes,
)
from hpsearch.formatting import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpsearch.evaluation.candidates import Candidate
    from hpsearch.evaluation.on_test_rows import Calibration, Residuals
    from hpsearch.evaluation.record import Evaluation
    from hpsearch.evaluation.scores import Scores

EVALUATION_FIGURES = ("evaluation", "confusion", "calibration", "residuals")
MOST_NUMBERED = 30  # with more classes, the figure grows no more and its cells have no numbers
MOST_CANDIDATES = 40  # rows of the figure: the best
LINE: dict[str, Any] = {"color": GREY, "linestyle": "--", "linewidth": 1}
LONGEST_CLASS = 20  # letters of a class name


def draw_evaluation(evaluation: Evaluation) -> dict[str, Figure]:
    """Return the figures by name: with test scores also those of classes, or of numbers."""
    candidates, confusion, calibration, residuals = EVALUATION_FIGURES
    figures = {candidates: draw_candidates(evaluation)}
    scores, found = evaluation.test_scores("network"), evaluation.tested
    if scores is not None:
        figures[confusion] = draw_confusion(evaluation, scores)
    if found is not None and found.calibration is not None:
        figures[calibration] = draw_calibration(evaluation, found.calibration)
    if found is not None and found.residuals:
        figures[residuals] = draw_residuals(evaluation, found.residuals)
    return figures


def draw_candidates(evaluation: Evaluation) -> Figure:
    """Draw a row for each candidate.

    It shows the values over fresh seeds, their mean with its 95 % interval, and the value in the
    search.
    """
    shown = evaluation.candidates[:MOST_CANDIDATES]
    figure = new_figure(
        7.2,
        1.3 + 0.42 * len(shown),
        f"{evaluation.study}: the best, trained again with {evaluation.seeds} fresh seeds",
    )
    axes = style_axes(figure.subplots())
    axes.grid(False, axis="y")
    for row, candidate in enumerate(shown):
        _draw_row(axes, row, candidate)
    titles = [f"trial {candidate.slot}{_verdict(evaluation, candidate)}" for candidate in shown]
    axes.set_yticks(range(len(shown)), titles, fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the best at the top
    label_axes(axes, evaluation.metric, "")
    options = {"linestyle": "", "markersize": 6}
    keys = colour_keys(["mean, 95 %"], COLOURS[:1], marker="|", **options)
    keys += colour_keys(["each seed"], [GREY], marker="o", **options | {"markersize": 4})
    keys += colour_keys([evaluation.in_the_search], COLOURS[1:2], marker="D", **options)
    legend_beside(figure, keys)
    return figure


def _verdict(evaluation: Evaluation, candidate: Candidate) -> str:
    return " (tied)" if candidate in evaluation.tied else ""


def _draw_row(axes: Axes, row: int, candidate: Candidate) -> None:
    axes.plot(candidate.search_value, row, "D", color=COLOURS[1], markersize=6, zorder=4)
    known = candidate.known
    axes.plot(known, [row] * len(known), "o", color=GREY, alpha=0.5, markersize=4, zorder=2)
    if candidate.mean is not None and candidate.interval is not None:
        low, high = candidate.interval
        half = [[candidate.mean - low], [high - candidate.mean]]
        bar = {"color": COLOURS[0], "capsize": 4, "markersize": 16, "elinewidth": 2}
        axes.errorbar(candidate.mean, row, xerr=half, fmt="|", zorder=3, **bar)  # type: ignore[arg-type]


def draw_confusion(evaluation: Evaluation, scores: Scores) -> Figure:
    """Draw the confusion matrix of the test rows, and the F1 score of each class."""
    names = [escape_dollars(shortened(name, LONGEST_CLASS)) for name in evaluation.class_names]
    counts, size = np.array(scores.confusion), max(3.2, 0.36 * min(len(names), MOST_NUMBERED))
    title = f"{_model(evaluation)}: {scores.rows:,} test rows, accuracy {scores.accuracy:.4f}"
    figure = new_figure(size + 3.6, size + 1.0, title)
    matrix, bars = figure.subplots(1, 2, width_ratios=(size, 1.6))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(names) <= MOST_NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            options = {"ha": "center", "va": "center", "fontsize": SMALL}
            matrix.text(column, row, str(count) if count else "", color=colour, **options)
        rotation = 90 if max(map(len, names)) > 3 else 0
        matrix.set_xticks(range(len(names)), names, fontsize=SMALL, rotation=rotation)
        matrix.set_yticks(range(len(names)), names, fontsize=SMALL)
    matrix.set_xlabel("predicted class", fontsize=NORMAL)
    matrix.set_ylabel("true class", fontsize=NORMAL)
    style_axes(bars).barh(range(len(names)), scores.f1, color=COLOURS[0])
    bars.set_yticks([])
    bars.set_ylim(len(names) - 0.5, -0.5)
    bars.set_xlim(0, 1)
    bars.set_xlabel("F1 of the class", fontsize=NORMAL)
    return figure


def draw_calibration(evaluation: Evaluation, found: Calibration) -> Figure:
    """Draw the share of test rows of which a prediction is true, against its probability."""
    title = f"{_model(evaluation)}: calibration error {found.error:.4f}"
    figure = new_figure(4.6, 4.6, title)
    axes = style_axes(figure.subplots())
    axes.plot([0, 1], [0, 1], **LINE)
    intervals = np.array([each.interval for each in found.bins])
    predicted = np.array([each.predicted for each in found.bins])
    observed = np.array([each.observed for each in found.bins])
    half = np.abs(intervals.T - observed)
    axes.errorbar(predicted, observed, yerr=half, fmt="o", color=COLOURS[0], capsize=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    of = shortened(found.subject, 40)
    label_axes(axes, f"probability of {of}", "share of the test rows, 95 %")
    return figure


def draw_residuals(evaluation: Evaluation, targets: Sequence[Residuals]) -> Figure:
    """Draw what is true, and how wrong the prediction is, against the prediction."""
    figure = new_figure(8.4, 3.6 * len(targets) + 0.3, f"{_model(evaluation)}: test rows")
    panels = figure.subplots(len(targets), 2, squeeze=False)
    dots: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.5, "markersize": 4}
    for (left, right), each in zip(panels, targets, strict=True):
        true, predicted = np.array(each.true), np.array(each.predicted)
        ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
        name = shortened(each.target, 40)
        style_axes(left).plot(ends, ends, **LINE)
        left.plot(predicted, true, "o", **dots)
        label_axes(left, f"{name}, predicted", f"{name}, true")
        style_axes(right).plot(ends, [0, 0], **LINE)
        right.plot(predicted, predicted - true, "o", **dots)
        label_axes(right, f"{name}, predicted", "predicted − true")
    return figure


def _model(evaluation: Evaluation) -> str:
    use = evaluation.test_use
    return f"{evaluation.study}, trial {use.slot}" if use else evaluation.study
