"""Runs that hold files: the figures, the report or the evaluation of a study, one run each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.figures.saving import check_figure_files, save_figures
from hpsearch.tracking.projection import ID, KIND, STUDY, round_prefix
from hpsearch.tracking.runs import end_run, end_runs_left, find_runs, start_run
from hpsearch.trials.records import ensure_study_id, experiment_name

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure
    from optuna.study import Study

    from hpsearch.tracking.store import TrackingStore

FIGURES_RUN, REPORT_RUN = "figures", "report"  # both the kind and the name of the run


def log_study_figures(store: TrackingStore, study: Study, figures: Mapping[str, Figure]) -> None:
    """Log the figures of `study` to its run for figures; raise TrackingError."""
    _log_of_study(store, study, FIGURES_RUN, as_files(figures))


def log_study_report(store: TrackingStore, study: Study, page: str) -> None:
    """Log the report of `study` to its run for reports; raise TrackingError."""
    _log_of_study(store, study, REPORT_RUN, {f"{REPORT_RUN}.html": page})


def run_title(study: Study, kind: str) -> str:
    """Return the name of a study's run of this kind: figures, r2-figures."""
    return f"{round_prefix(study)}{kind}"


def log_figures(store: TrackingStore, experiment: str, figures: Mapping[str, Figure]) -> None:
    """Log figures that belong to no study to one run of `experiment`; raise TrackingError."""
    tags = {KIND: FIGURES_RUN, STUDY: experiment}
    _log(store, experiment, FIGURES_RUN, tags, as_files(figures))


def as_files(figures: Mapping[str, Figure]) -> dict[str, Figure | str]:
    """Return the figures by the names of their files."""
    return {f"{name}.png": figure for name, figure in figures.items()}


def publish(
    figures: Mapping[str, Figure],
    experiment: str,
    *,
    save: str | os.PathLike[str] | None = None,
    force: bool = False,
    store: TrackingStore | None = None,
) -> list[Path]:
    """Save figures that belong to no study, and log them to MLflow; return the paths.

    save: the folder for PNG files, None for no files. store: None logs nothing. Everything that can
    be checked is checked before anything is written. Raises HpsearchError.
    """
    if save is not None:
        check_figure_files(save, figures, force=force)
    if store is not None:
        store.check(experiment)
    paths = [] if save is None else save_figures(figures, save, force=force)
    if store is not None:
        log_figures(store, experiment, figures)
    return paths


def _log_of_study(
    store: TrackingStore, study: Study, kind: str, artifacts: Mapping[str, Figure | str]
) -> None:
    tags = {KIND: kind, STUDY: study.study_name, ID: ensure_study_id(study)}
    _log(store, experiment_name(study), run_title(study, kind), tags, artifacts)


def _log(
    store: TrackingStore,
    experiment: str,
    name: str,
    tags: Mapping[str, str],
    artifacts: Mapping[str, Figure | str],
) -> None:
    """Log figures and texts, by their file names, to the run that has these tags."""
    with kept_run(store, experiment, tags, name) as run_id:
        log_files(store, run_id, artifacts)


def log_files(store: TrackingStore, run_id: str, artifacts: Mapping[str, Figure | str]) -> None:
    """Log figures and texts, by their file names, to a run."""
    for file, artifact in artifacts.items():
        if isinstance(artifact, str):
            store.client.log_text(run_id, artifact, file)
        else:
            store.client.log_figure(run_id, artifact, file)


@contextmanager
def kept_run(
    store: TrackingStore, experiment: str, tags: Mapping[str, str], name: str
) -> Iterator[str]:
    """Provide the id of the run that has these tags, creating it if there is none; end it after.

    An exception in the block ends the run as FAILED, and one of MLflow's becomes a TrackingError.
    """
    store.prepare()
    experiment_id = store.open_experiment(experiment)
    with store.errors():
        found = find_runs(store, experiment_id, tags)
        run = found[0] if found else None
        if run is None:
            run = start_run(store, experiment_id, tags, name)
        run_id, status = run.info.run_id, "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        finally:
            end_run(store, run_id, status)
        end_runs_left(store, experiment_id, {KIND: tags[KIND], STUDY: tags[STUDY]})
