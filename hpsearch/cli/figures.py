"""`hpsearch figures`, and what `hpsearch study` does at its end: draw, save, log to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from hpsearch.cli import Command, cli, storage_option, tracking_option
from hpsearch.cli.look import find_study
from hpsearch.errors import StudyError, TrackingError

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.settings.study import StudySettings
    from hpsearch.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


def save_options(command: Command) -> Command:
    """Add --save and --force to a command."""
    force = click.option("--force", is_flag=True, help="Overwrite files that are there.")
    save = click.option("--save", metavar="DIR", help="Save the figures there, as PNG files.")
    return save(force(command))


@cli.command()
@click.argument("name")
@save_options
@storage_option
@tracking_option
@click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")
def figures(
    name: str,
    save: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
) -> None:
    """Draw the figures of study NAME: those of its file's [[figure]] tables, or the best trials.

    They become artifacts of the run "figures" of its experiment in MLflow and, with --save, PNG
    files, whose paths are printed.

    \b
    hpsearch figures digits-random --save plots
    """
    if no_tracking and save is None:
        raise click.UsageError("with --no-tracking, --save says where the figures are to go")
    from hpsearch.figures.declared import draw_figures
    from hpsearch.figures.saving import check_files, save_figures
    from hpsearch.tracking.artifacts import FIGURES, log_study_figures
    from hpsearch.tracking.tracker import Tracker, experiment_name

    study = find_study(name, storage)
    drawn = draw_figures(study)
    tracker = None if no_tracking else Tracker(tracking_uri)
    if save is not None:
        check_files(save, drawn, force=force)
    if tracker is not None:
        tracker.store.check(experiment_name(study))
    if save is not None:
        for path in save_figures(drawn, save, force=force):
            click.echo(path)
    if tracker is not None:
        log_study_figures(tracker.store, study, drawn)
        click.echo(where_in_mlflow(study, FIGURES), err=True)


def check_save(settings: StudySettings, save: str | None, *, force: bool) -> None:
    """Raise SettingsError if the figures of a study could not be saved at its end."""
    if save is not None:
        from hpsearch.figures.declared import DEFAULT
        from hpsearch.figures.saving import check_files

        check_files(save, [each.name for each in settings.figure or DEFAULT], force=force)


def finish_figures(
    study: Study, save: str | None, tracker: Tracker | None, *, force: bool
) -> list[str]:
    """Draw, save and log the figures of a study that has come to an end; return what to say of it.

    A figure that cannot be drawn and a tracking store that is away are warnings, for the others'
    sake. Raises HpsearchError for all else.
    """
    from hpsearch.analysis.ranking import best_trials
    from hpsearch.figures.declared import draw, figures_of
    from hpsearch.figures.saving import save_figures
    from hpsearch.tracking.artifacts import FIGURES, log_study_figures

    if not best_trials(study, 1):
        return ["none: no trial ran to its end"]
    drawn, said = {}, []
    for figure in figures_of(study):
        try:
            drawn[figure.name] = draw(study, figure)
        except StudyError as error:
            logger.warning("%s", error)
    if save is not None:
        said += [str(path) for path in save_figures(drawn, save, force=force)]
    if tracker is not None:
        again = f"`hpsearch figures {study.study_name}` puts the figures there later"
        log = partial(log_study_figures, tracker.store, study, drawn)
        said += log_at_end(tracker, study, FIGURES, log, again)
    return said


def log_at_end(
    tracker: Tracker, study: Study, kind: str, log: Callable[[], None], again: str
) -> list[str]:
    """Log what a study has at its end; return where that is.

    A tracking store that is away is a warning, which says what does it `again`.
    """
    try:
        if tracker.lost:
            raise TrackingError("the tracking store was lost")
        log()
        return [where_in_mlflow(study, kind)]
    except TrackingError as error:
        logger.warning("%s; %s", error, again)
        return []


def where_in_mlflow(study: Study, kind: str) -> str:
    """Say which run of which experiment holds the study's figures, or its report."""
    from hpsearch.tracking.artifacts import run_title
    from hpsearch.tracking.tracker import experiment_name

    return f"in MLflow: experiment {experiment_name(study)}, run {run_title(study, kind)}"
