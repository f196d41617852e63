"""`hpsearch report`, and what `hpsearch study --report` does at its end: a page for a browser."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from hpsearch.cli import cli, storage_option, tracking_option
from hpsearch.cli.figures import log_at_end, where_in_mlflow
from hpsearch.cli.look import find_study
from hpsearch.files import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.study import Study

    from hpsearch.settings.study import StudySettings
    from hpsearch.tracking.tracker import Tracker

OPTION = "--report"  # of `hpsearch study`


@cli.command()
@click.argument("name")
@click.option("-o", "--output", metavar="FILE", help="Where to write it.  [default: NAME.html]")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option(
    "--top",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the best to show with their curves.",
)
@storage_option
@tracking_option
@click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")
def report(
    name: str,
    output: str | None,
    force: bool,
    top: int,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
) -> None:
    """Write a page of HTML about study NAME: what it found, how it went, how to do it again.

    It opens from the disk and needs no network. In MLflow it becomes an artifact of the run
    "report" of the study's experiment.

    \b
    hpsearch report digits-random
    hpsearch report digits-random -o for-monday.html --top 50
    """
    started = time.monotonic()
    output = f"{file_name(name)}.html" if output is None else output
    study = find_study(name, storage)

    import optuna

    from hpsearch.analysis.ranking import better_found
    from hpsearch.cli.console import note
    from hpsearch.report.page import check_page, report_page, write_page
    from hpsearch.storage.open import storage_url
    from hpsearch.tracking.artifacts import REPORT, log_study_report
    from hpsearch.tracking.tracker import Tracker, experiment_name

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_page("--output", output, force=force)
    tracker = None if no_tracking else Tracker(tracking_uri)
    if tracker is not None:
        tracker.store.check(experiment_name(study))
    page = report_page(study, top=top, storage=storage_url(storage))
    path = write_page("--output", page, output)
    click.echo(path)
    note(f"{_size(path)} in {time.monotonic() - started:.1f} s")
    if better := better_found(study, "report"):
        note(better)
    if tracker is not None:
        log_study_report(tracker.store, study, page)
        note(where_in_mlflow(study, REPORT))


def check_reports(settings: StudySettings, name: str | None, rounds: int, *, force: bool) -> None:
    """Raise SettingsError if the reports of a study and its rounds could not be written.

    An earlier report of the same study is overwritten, for it tells less.
    """
    from hpsearch.report.page import check_page
    from hpsearch.search.study import study_name

    base = study_name(settings, name)
    for each in [base, *(f"{base}.r{number}" for number in range(2, rounds + 1))]:
        check_page(OPTION, f"{each}.html", force=force, update=each)


def finish_reports(
    studies: Iterable[Study], tracker: Tracker | None, storage: str | None, *, force: bool
) -> list[str]:
    """Write and log a report of each study that has come to an end; return what to say of it.

    A tracking store that is away is a warning. Raises HpsearchError for all else.
    """
    from hpsearch.analysis.ranking import best_trials
    from hpsearch.report.page import check_page, report_page, write_page
    from hpsearch.storage.open import storage_url
    from hpsearch.tracking.artifacts import REPORT, log_study_report

    said = []
    for study in studies:
        name = study.study_name
        if not best_trials(study, 1):
            said.append(f"none of {name}: no trial ran to its end")
            continue
        page = report_page(study, storage=storage_url(storage))
        check_page(OPTION, f"{name}.html", force=force, update=name)  # it may be new
        path = write_page(OPTION, page, f"{name}.html")
        said.append(f"{path} ({_size(path)})")
        if tracker is not None:
            again = f"`hpsearch report {name} --force` puts the report there later"
            log = partial(log_study_report, tracker.store, study, page)
            said += log_at_end(tracker, study, REPORT, log, again)
    return said


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
