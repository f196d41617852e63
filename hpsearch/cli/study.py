"""`hpsearch study`: run a study, or go on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import click

from hpsearch.cli import cli, json_option, storage_option, tracking_option
from hpsearch.cli.duration import DURATION
from hpsearch.cli.figures import check_save, finish_figures, save_options
from hpsearch.cli.report import check_reports, finish_reports
from hpsearch.cli.signals import stop_on_signals
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.settings.names import PrunerName, SamplerName

if TYPE_CHECKING:
    from hpsearch.search.study import Outcome
    from hpsearch.settings.study import StudySettings


@cli.command()
@click.argument("file", default="digits")
@click.option("--sampler", type=click.Choice(get_args(SamplerName)), help="How to choose trials.")
@click.option("--pruner", type=click.Choice(get_args(PrunerName)), help="When to give one up.")
@click.option("--trials", type=click.IntRange(1), help="Trials of the study, or of each round.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of a trial.")
@click.option("--seed", type=click.IntRange(0), help="Seed of the search.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, help="Trials at a time.", show_default=True
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="From coarse to fine: each further round searches around the best so far.",
)
@click.option("--timeout", type=DURATION, help="Stop after so long: 90, 15m, 2h.")
@click.option("--target", type=float, help="Stop when the metric is this good.")
@click.option("--patience", type=click.IntRange(1), help="Stop after so many without a better one.")
@click.option("--name", help="Name of the study.  [default: the file's name and the sampler]")
@click.option("--report", is_flag=True, help="At the end write NAME.html, a page about it all.")
@save_options
@storage_option
@tracking_option
@click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")
@json_option
def study(
    file: str,
    name: str | None,
    epochs: int | None,
    jobs: int,
    rounds: int,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
    report: bool,
    save: str | None,
    force: bool,
    **search: Any,
) -> None:
    """Run the study in FILE, or go on with it if it was started before.

    FILE is a study file, or the name of one that comes with hpsearch, such as digits or mnist: a
    name that is none lists them all. Options override it, and another sampler or pruner leaves the
    file's options for its own aside. Each trial trains a network, prunes it if it does badly, and
    is logged to MLflow.

    The figures that FILE declares are drawn at the end, of several rounds the first one's. With
    --report each round has a page of its own; one that an earlier start has left is overwritten.

    \b
    hpsearch study --sampler random
    hpsearch study my-study.toml --trials 200
    """
    if jobs > 1:
        start_forkserver()  # it imports what workers need while this process does
    import optuna

    from hpsearch.cli.console import note, show_progress
    from hpsearch.search.rounds import run_rounds
    from hpsearch.settings.study import load_settings
    from hpsearch.space.grid import grid_size
    from hpsearch.tracking.tracker import Tracker

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = _override(load_settings(file), epochs, search)
    check_save(settings, save, force=force)
    if report:
        check_reports(settings, name, rounds, force=force)
    if settings.search.sampler == "grid" and settings.trial.searched:
        points = grid_size(settings.trial)
        note("grid: 1 point" if points == 1 else f"grid: {points} points")
    tracker = None if no_tracking else Tracker(tracking_uri)
    with stop_on_signals() as received, show_progress() as on_progress:
        outcomes = run_rounds(
            settings,
            rounds,
            name=name,
            storage=storage,
            tracker=tracker,
            jobs=jobs,
            on_progress=on_progress,
            should_stop=lambda: bool(received),
        )
    (_print_json if as_json else _print_outcomes)(outcomes, settings, tracked=tracker is not None)
    if received:
        raise SystemExit(128 + received[0])
    if save is not None or (settings.figure and tracker is not None):
        for said in finish_figures(outcomes[0].study, save, tracker, force=force):
            note(f"Figures:            {said}")
    if report:
        studies = [outcome.study for outcome in outcomes]
        for said in finish_reports(studies, tracker, storage, force=force):
            note(f"Report:             {said}")
    if outcomes[-1].reason == "given up":
        raise SystemExit(1)


def _override(settings: StudySettings, epochs: int | None, search: dict[str, Any]) -> StudySettings:
    given = {key: value for key, value in search.items() if value is not None}
    trial = {} if epochs is None else {"epochs": epochs}
    return settings.replace(search=given, trial=trial)


def _print_outcomes(outcomes: list[Outcome], settings: StudySettings, *, tracked: bool) -> None:
    from hpsearch.analysis.ranking import best_of_rounds, count_trials
    from hpsearch.cli.console import best_table, note, print_table
    from hpsearch.formatting import format_duration
    from hpsearch.trials.slots import own_trials

    for outcome in outcomes:
        name, counts = outcome.study.study_name, count_trials(own_trials(outcome.study))
        note(f"{name}: {_why(outcome, settings)} ({counts}, {format_duration(outcome.seconds)})")
    rounds = [outcome.study for outcome in outcomes]
    if table := best_table(rounds, 5):
        note("")
        print_table(table)
    name = next((study for study, _ in best_of_rounds(rounds, 1)), rounds[-1]).study_name
    note("")
    if tracked:
        note(f"See every trial:    hpsearch ui {outcomes[0].study.study_name}")
    note(f"More of the best:   hpsearch best {name} --top 20")


def _why(outcome: Outcome, settings: StudySettings) -> str:
    """Say why the study ended, and what would make it go on."""
    search, total = settings.search, outcome.total
    done = f"{len(outcome.slots.done)} of {total} trials"
    match outcome.reason:
        case "interrupted":
            return f"interrupted with {done} done; the same command goes on"
        case "timeout":
            return f"stopped by --timeout with {done} done; the same command goes on"
        case "target":
            return f"stopped by --target {search.target}, reached after {done}"
        case "patience":
            return f"stopped by --patience {search.patience}, without a better trial, after {done}"
        case "nothing completed":
            return f"{done} done, and none ran to its end: there is no best to search around"
        case "given up":
            slots = ", ".join(map(str, outcome.slots.given_up))
            return f"given up after three tries: trial {slots}"
    if outcome.new == 0:
        more = "" if search.sampler == "grid" else f"; --trials {2 * search.trials} goes on"
        done = "its one trial was" if total == 1 else f"all {total} trials were"
        return f"{done} done already{more}"
    return "its one trial is done" if total == 1 else f"all {total} trials are done"


def _print_json(outcomes: list[Outcome], settings: StudySettings, *, tracked: bool) -> None:
    from hpsearch.analysis.description import best_records

    last = outcomes[-1]
    record = {
        "study": last.study.study_name,
        "rounds": [outcome.study.study_name for outcome in outcomes],
        "stopped": last.reason,
        "metric": settings.search.metric,
        "tracked": tracked,
        "done": len(last.slots.done),
        "total": last.total,
        "given_up": last.slots.given_up,
        "best": best_records([outcome.study for outcome in outcomes], 5),
    }
    click.echo(json.dumps(record, indent=2))
