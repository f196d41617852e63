"""Calibration and residuals of the first final model, on the test rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.figures.drawing import COLOURS
from hpsearch.report.charts.base import LINE, Chart, Panels, Trace, layout, plot_axis, rounded

if TYPE_CHECKING:
    from hpsearch.evaluation.on_test_rows import Calibration, Residuals
    from hpsearch.evaluation.record import Evaluation

HEIGHT = 320
MARKER = {"color": COLOURS[0], "size": 6, "opacity": 0.6}


def panels_on_test_rows(evaluation: Evaluation) -> list[Panels]:
    """Return the calibration of classes, or the residuals of numbers; [] without test scores."""
    tested = evaluation.tested
    if tested is None:
        return []
    panels = [_residuals(tested.residuals)] if tested.residuals else []
    return [_calibration(tested.calibration)] if tested.calibration else panels


def _calibration(found: Calibration) -> Panels:
    note = (
        f"Test rows by the probability that the model gives to {found.subject}, about as many in "
        "each point, "
        f"with 95 % intervals. Points on the line are calibrated. The mean distance from it, the "
        f"expected calibration error, is {found.error:.4f}."
    )
    predicted = [each.predicted for each in found.bins]
    observed = [each.observed for each in found.bins]
    intervals = [each.interval for each in found.bins]
    error = {
        "type": "data",
        "symmetric": False,
        "array": rounded(high - o for (_, high), o in zip(intervals, observed, strict=True)),
        "arrayminus": rounded(o - low for (low, _), o in zip(intervals, observed, strict=True)),
        "color": COLOURS[0],
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(predicted),
        "y": rounded(observed),
        "error_y": error,
        "marker": MARKER | {"size": 8, "opacity": 1},
        "text": [f"{each.rows} rows" for each in found.bins],
        "hovertemplate": "%{x:.3f} predicted, %{y:.3f} observed, %{text}<extra></extra>",
    }
    axes = [plot_axis(name, range=[-0.02, 1.02]) for name in ("predicted", "observed")]
    chart = Chart("calibration", [_diagonal(0, 1), points], layout(*axes), HEIGHT)
    return Panels("calibration", "Calibration", [chart], note, columns=2)


def _residuals(targets: tuple[Residuals, ...]) -> Panels:
    charts = []
    for number, each in enumerate(targets, start=1):
        errors = [p - t for t, p in zip(each.true, each.predicted, strict=True)]
        ends = min(*each.true, *each.predicted), max(*each.true, *each.predicted)
        name = "" if len(targets) == 1 else f" {each.target}"
        charts += [
            _points(f"predicted-{number}", each, each.true, f"true{name}", _diagonal(*ends)),
            _points(f"residuals-{number}", each, errors, f"predicted − true{name}", _level(ends)),
        ]
    note = (
        "Test rows, evenly spaced by what is predicted if there are many. Points on the lines are "
        "predicted exactly."
    )
    return Panels("residuals", "Residuals", charts, note, columns=2)


def _points(
    name: str, target: Residuals, y: tuple[float, ...] | list[float], title: str, line: Trace
) -> Chart:
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(target.predicted),
        "y": rounded(y),
        "marker": MARKER,
        "hovertemplate": "%{x} predicted, %{y}<extra></extra>",
    }
    return Chart(name, [line, points], layout(plot_axis("predicted"), plot_axis(title)), HEIGHT)


def _diagonal(low: float, high: float) -> Trace:
    return _line([low, high], [low, high])


def _level(ends: tuple[float, float]) -> Trace:
    return _line([*ends], [0.0, 0.0])


def _line(x: list[float], y: list[float]) -> Trace:
    style: dict[str, Any] = {"color": LINE, "dash": "dash", "width": 1}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(x),
        "y": rounded(y),
        "line": style,
        "hoverinfo": "skip",
    }
