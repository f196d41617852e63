"""`hpsearch study`: run a study, or continue it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, get_args

import click

from hpsearch.cli.options import (
    DURATION,
    check_jobs,
    cluster_option,
    column_options,
    gpus_option,
    json_option,
    no_tracking_option,
    save_options,
    server_option,
    storage_option,
    tracking_option,
)
from hpsearch.errors import Command, Sentence
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.settings.names import PrunerName, SamplerName
from hpsearch.signals import stop_on_signals

if TYPE_CHECKING:
    from pathlib import Path

    from hpsearch.settings.study import StudySettings
    from hpsearch.workspace import RunResult


@click.command("study")
@click.argument("file", default="digits")
@click.option(
    "--sampler", type=click.Choice(get_args(SamplerName)), help="How to choose configurations."
)
@click.option(
    "--pruner", type=click.Choice(get_args(PrunerName)), help="When to stop a trial early."
)
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
@click.option("--timeout", type=DURATION, help="Stop after this time: 90, 15m, 2h.")
@click.option(
    "--target",
    multiple=True,
    metavar="VALUE|COLUMN",
    help="Stop when the metric is this good; of a table, the column to predict.",
)
@column_options
@click.option("--metric", help="What to search for.")
@click.option(
    "--patience", type=click.IntRange(1), help="Stop after this many trials without a better one."
)
@click.option("--name", help="Name of the study.  [default: the file's name and the sampler]")
@click.option("--report", is_flag=True, help="At the end write NAME.html, a page about the study.")
@click.option("--retry-failed", is_flag=True, help="Retry trials that have failed three times.")
@gpus_option
@cluster_option
@server_option
@save_options
@storage_option
@tracking_option
@no_tracking_option
@json_option
def study_command(
    file: str,
    name: str | None,
    epochs: int | None,
    jobs: int,
    gpus: tuple[str, ...],
    cluster: str | None,
    server: str | None,
    rounds: int,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
    report: bool,
    save: str | None,
    force: bool,
    retry_failed: bool,
    target: tuple[str, ...],
    drop: tuple[str, ...],
    ids: tuple[str, ...],
    text: str | None,
    groups: str | None,
    time: str | None,
    weight: str | None,
    **search: Any,
) -> None:
    """Run the study in FILE, or continue it.

    FILE is a study file, or the name of one that comes with hpsearch, such as digits or mnist; an
    unknown name lists them all. It may also be a table, such as a .csv file, with the column to
    predict as --target: the command then prints the study file that fits it, and runs that.

    Options override the file. With another sampler or pruner, the
    options that the file has for its sampler or pruner are ignored. Each trial trains a network,
    stops early if it does badly, and is logged to MLflow.

    The figures that FILE declares are drawn at the end; of several rounds, those of the first. With
    --report each round gets a page, which replaces the page of an earlier start.

    With --server a service runs it, and this command shows how far it is; Ctrl-C ends only the
    command.

    \b
    hpsearch study --sampler random
    hpsearch study my-study.toml --trials 200
    hpsearch study houses.csv --target price
    """
    check_jobs(jobs, cluster)
    if jobs > 1:
        start_forkserver()  # it imports what workers need while this process does
    from hpsearch.cli.console import note, quiet_optuna, show_progress
    from hpsearch.data.files import is_table
    from hpsearch.settings.study import load_settings
    from hpsearch.space.grid import grid_size
    from hpsearch.workspace import Workspace

    quiet_optuna()
    workspace = Workspace(storage, tracking_uri, tracked=not no_tracking)
    if is_table(file):
        settings = workspace.table_study(
            file,
            target,
            drop=drop,
            id=ids,
            text=text,
            groups=groups,
            time=time,
            weight=weight,
            metric=search.pop("metric"),
        )
    elif drop or ids or text or groups or time or weight:
        raise click.UsageError(
            "--drop, --id, --text, --groups, --time and --weight go with a table, not with a study "
            "file"
        )
    else:
        settings, search["target"] = load_settings(file), _stop_value(target)
    settings = _override(settings, epochs, search)
    if is_table(file):
        note(settings.to_toml())
    if server is not None:
        here = [rounds > 1, gpus, cluster, save, report, storage, tracking_uri, no_tracking]
        if any(here) or retry_failed:
            raise click.UsageError(
                "with --server the service decides where a study runs and what it keeps; only "
                "options about the study itself, --name and --jobs go with it"
            )
        from hpsearch.cli.remote import run_there

        run_there(server, settings, name=name, jobs=jobs, as_json=as_json)
        return
    if settings.search.sampler == "grid" and settings.trial.searched:
        points = grid_size(settings.trial)
        note("grid: 1 point" if points == 1 else f"grid: {points} points")
    with ExitStack() as while_running:
        received = while_running.enter_context(stop_on_signals())

        def print_result(result: RunResult) -> None:
            while_running.close()  # from now on a signal ends the process
            if as_json:
                _print_json(result, settings, tracked=workspace.tracked)
            else:
                _print_result(result, tracked=workspace.tracked)
            if received:
                raise SystemExit(128 + received[0])

        result = workspace.run(
            settings,
            name=name,
            rounds=rounds,
            jobs=jobs,
            gpus=gpus,
            cluster=cluster,
            save=save,
            report=report,
            force=force,
            retry_failed=retry_failed,
            on_progress=while_running.enter_context(show_progress()),
            should_stop=lambda: bool(received),
            on_result=print_result,
        )
    _print_files(result)
    if result.last.reason == "given up" or _nothing_completed(result):
        raise SystemExit(1)


def _stop_value(given: tuple[str, ...]) -> float | None:
    """Return the value at which the study stops."""
    if not given:
        return None
    try:
        (text,) = given
        return float(text)
    except ValueError:
        raise click.BadParameter(
            "for a study file it is the value at which the study stops; only of a table, such as a "
            ".csv file, it names a column",
            param_hint="--target",
        ) from None


def _override(settings: StudySettings, epochs: int | None, search: dict[str, Any]) -> StudySettings:
    given = {key: value for key, value in search.items() if value is not None}
    trial = {} if epochs is None else {"epochs": epochs}
    return settings.replace(search=given, trial=trial)


def _print_result(result: RunResult, *, tracked: bool) -> None:
    from hpsearch.cli.console import drawn_table, note, print_table
    from hpsearch.formatting import format_duration

    for outcome in result.outcomes:
        how = f" ({outcome.counts}, {format_duration(outcome.seconds)})"
        note(Sentence(f"{outcome.study.study_name}: ", *outcome.sentence.parts, how))
    if table := result.best.table():
        note("")
        print_table(drawn_table(table))
    note("")
    if _nothing_completed(result):
        _print_remedy(result)
    if tracked:
        ui = Command("ui", result.outcomes[0].study.study_name)
        note(Sentence("See every trial:    ", ui))
    if not _nothing_completed(result):
        best = Command("best", result.best_round, "--top", "20")
        note(Sentence("More of the best:   ", best))


def _nothing_completed(result: RunResult) -> bool:
    """Return whether all trials have ended and none ran to its end."""
    ended = result.last.reason in ("finished", "given up", "nothing completed", "patience")
    return ended and not any(outcome.counts.complete for outcome in result.outcomes)


def _print_remedy(result: RunResult) -> None:
    """Say what usually helps where no trial ran to its end."""
    from hpsearch.cli.console import note

    if any(outcome.counts.diverged for outcome in result.outcomes):
        note(
            "No trial ran to its end: the losses became infinite. Try lower learning rates, and "
            'scaled features (scale = "standardize" in [data]).'
        )
    else:
        show = Command("show", f"{result.last.study.study_name}#0")
        note(Sentence("No trial ran to its end; `", show, "` shows the first trial."))


def _print_files(result: RunResult) -> None:
    """Print where the figures and the reports are."""
    from hpsearch.cli.console import note

    for heading, drawings in [("Figures", [result.figures]), ("Report", result.reports)]:
        for drawing in filter(None, drawings):
            texts = [
                _with_size(path) if heading == "Report" else str(path) for path in drawing.files
            ]
            texts += [f"none: {drawing.missing}"] if drawing.missing else []
            texts += [f"in MLflow: {drawing.tracked_as}"] if drawing.tracked_as else []
            for text in texts:
                note(f"{f'{heading}:':20}{text}")


def _with_size(path: Path) -> str:
    return f"{path} ({path.stat().st_size / 1e6:.1f} MB)"


def _print_json(result: RunResult, settings: StudySettings, *, tracked: bool) -> None:
    last = result.last
    record = {
        "study": last.study.study_name,
        "rounds": [outcome.study.study_name for outcome in result.outcomes],
        "stopped": last.reason,
        "metric": settings.search.metric,
        "tracked": tracked,
        "done": len(last.slots.done),
        "total": last.total,
        "given_up": last.slots.given_up,
        "best": result.best.records(),
    }
    click.echo(json.dumps(record, indent=2))
