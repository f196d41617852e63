"""Where figures and reports go: PNG files in a folder, and a run of their own in MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.figures.saving import check_figure_files, save_figures
from hpsearch.tracking.projection import ID, KIND, SOURCE, STUDY, round_prefix
from hpsearch.trials.records import experiment_name, study_id

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure
    from mlflow.entities import Run
    from optuna.study import Study

    from hpsearch.tracking.store import TrackingStore

FIGURES_RUN, REPORT_RUN = "figures", "report"  # kind and name of a run


def log_study_figures(store: TrackingStore, study: Study, figures: Mapping[str, Figure]) -> None:
    """Put the figures of `study` into its one run of them; raises TrackingError."""
    _log_of_study(store, study, FIGURES_RUN, as_files(figures))


def log_study_report(store: TrackingStore, study: Study, page: str) -> None:
    """Put the report of `study` into its one run of it; raises TrackingError."""
    _log_of_study(store, study, REPORT_RUN, {f"{REPORT_RUN}.html": page})


def run_title(study: Study, kind: str) -> str:
    """Return what the run of a study's figures, or of its report, is called in its experiment."""
    return f"{round_prefix(study)}{kind}"


def log_figures(store: TrackingStore, experiment: str, figures: Mapping[str, Figure]) -> None:
    """Put figures that are of no study into one run of `experiment`; raises TrackingError."""
    tags = {KIND: FIGURES_RUN, STUDY: experiment}
    _log(store, experiment, FIGURES_RUN, tags, as_files(figures))


def as_files(figures: Mapping[str, Figure]) -> dict[str, Figure | str]:
    """Return figures by the names that their files have."""
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

    Where `save` or `store` is None, that part is left out. Whatever can be checked is checked
    before anything is written. Raises HpsearchError.
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
    tags = {KIND: kind, STUDY: study.study_name, ID: study_id(study)}
    _log(store, experiment_name(study), run_title(study, kind), tags, artifacts)


def _log(
    store: TrackingStore,
    experiment: str,
    name: str,
    tags: Mapping[str, str],
    artifacts: Mapping[str, Figure | str],
) -> None:
    """Log figures and texts by their files' names to the run that bears `tags`."""
    with kept_run(store, experiment, tags, name) as run_id:
        log_files(store, run_id, artifacts)


def log_files(store: TrackingStore, run_id: str, artifacts: Mapping[str, Figure | str]) -> None:
    """Log figures and texts by their files' names."""
    for file, artifact in artifacts.items():
        if isinstance(artifact, str):
            store.client.log_text(run_id, artifact, file)
        else:
            store.client.log_figure(run_id, artifact, file)


@contextmanager
def kept_run(
    store: TrackingStore, experiment: str, tags: Mapping[str, str], name: str
) -> Iterator[str]:
    """Give the id of the run that bears `tags`, which is made if need be, and end it afterwards.

    What the store throws meanwhile becomes a TrackingError, and the run FAILED.
    """
    store.prepare()
    experiment_id = store.open_experiment(experiment)
    with store.errors():
        found = find_runs(store, experiment_id, tags)
        run = found[0] if found else None
        if run is None:
            run = store.client.create_run(experiment_id, tags={**tags, **SOURCE}, run_name=name)
        run_id, status = run.info.run_id, "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        finally:
            end_run(store, run_id, status)
        like_it = {key: tags[key] for key in (KIND, STUDY)}
        for left in find_runs(store, experiment_id, like_it, "RUNNING"):  # by somebody killed
            end_run(store, left.info.run_id, "KILLED")


def find_runs(
    store: TrackingStore, experiment_id: str, tags: Mapping[str, str], status: str = ""
) -> list[Run]:
    """Return the runs that bear `tags`, and are in that status if one is given."""
    which = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    which += [f"attributes.status = '{status}'"] if status else []
    return list(store.client.search_runs([experiment_id], " and ".join(which)))


def end_run(store: TrackingStore, run_id: str, status: str) -> None:
    """End a run now, with MLflow's name of how: FINISHED, FAILED or KILLED."""
    store.client.set_terminated(run_id, status, int(time.time() * 1000))
