"""The figures that a study file declares, drawn with matplotlib.

The functions that draw them are in `learning`, `outcomes` and `samples`; the other modules of this
package draw for commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hpsearch.analysis.ranking import no_best
from hpsearch.errors import StudyError
from hpsearch.figures.learning import draw_best, draw_curves, draw_panels
from hpsearch.figures.outcomes import draw_gradients, draw_means
from hpsearch.figures.samples import draw_values
from hpsearch.settings.figures import FigureSettings
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.records import study_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.study import Study

Draw = Callable[["Study", FigureSettings], "Figure"]
DRAWERS: dict[str, Draw] = {
    "curves": draw_curves,
    "panels": draw_panels,
    "best": draw_best,
    "gradients": draw_gradients,
    "values": draw_values,
    "means": draw_means,
}
DEFAULT = (FigureSettings(kind="best"),)  # for a study whose file declares none


def figures_of(study: Study) -> tuple[FigureSettings, ...]:
    """Return the settings of the figures that the study file declares, or DEFAULT."""
    declared = study_settings(study).figure if study_file(study) is not None else ()
    return declared or DEFAULT


def draw(study: Study, figure: FigureSettings) -> Figure:
    """Return one figure of `study` as it is now.

    Raises StudyError if no trial is the best, or if the study lacks the data that the figure shows.
    """
    if reason := no_best(study):
        raise StudyError(f"{reason}, so there is nothing to draw")
    return DRAWERS[figure.kind](study, figure)


def draw_figures(study: Study) -> dict[str, Figure]:
    """Return all figures of `study` by their names. Raises StudyError."""
    return {figure.name: draw(study, figure) for figure in figures_of(study)}
