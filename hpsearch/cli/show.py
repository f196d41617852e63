"""`hpsearch list`, `show` and `best`: the studies and their results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hpsearch.cli.options import json_option, server_option, storage_option
from hpsearch.cli.reading import studies_from
from hpsearch.errors import Command, Sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from hpsearch.analysis.summaries import StudySummary, TrialSummary


@click.command("list")
@storage_option
@server_option
@json_option
def list_command(storage: str | None, server: str | None, as_json: bool) -> None:
    """List the studies in the storage.

    \b
    hpsearch list
    """
    from hpsearch.cli.console import note, print_table

    with studies_from(storage, server) as workspace:
        studies = workspace.studies()
    if as_json:
        click.echo(json.dumps([study.record() for study in studies], indent=2))
    elif studies:
        print_table(_study_table(studies))
    else:
        note(Sentence("no studies yet; ", Command("study"), " starts one"))


@click.command("best")
@click.argument("name")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many.")
@storage_option
@server_option
@json_option
def best_command(
    name: str, top: int, storage: str | None, server: str | None, as_json: bool
) -> None:
    """Show the best trials of study NAME.

    A study that repeats configurations shows the best of these, with mean and spread.

    \b
    hpsearch best digits-random --top 10
    """
    from hpsearch.cli.console import drawn_table, note, print_table

    with studies_from(storage, server, name) as workspace:
        best = workspace.best(name, top)
    if as_json:
        click.echo(json.dumps(best.records(), indent=2))
        return
    if table := best.table():
        print_table(drawn_table(table))
    if best.no_best:
        note(best.no_best)


@click.command("show")
@click.argument("name", metavar="NAME[#TRIAL]")
@storage_option
@server_option
@json_option
def show_command(name: str, storage: str | None, server: str | None, as_json: bool) -> None:
    """Show study NAME, or one of its trials.

    For a study, that is its file and its result; for a trial, its configuration and its curves.

    \b
    hpsearch show digits-random
    hpsearch show digits-random#7
    """
    name, _, slot = name.partition("#")
    with studies_from(storage, server, name) as workspace:
        if slot:
            trial = workspace.trial(name, slot)
            if as_json:
                click.echo(json.dumps(trial.record, indent=2))
            else:
                _print_trial(trial)
            return
        summary = workspace.summary(name)
        if as_json:
            click.echo(json.dumps(summary.record(), indent=2))
        else:
            _print_study(summary)


def _study_table(studies: list[StudySummary]) -> Table:
    from hpsearch.cli.console import text_table
    from hpsearch.formatting import format_value

    headings, rows = ("planned", "complete", "pruned", "failed", "epochs", "best", "trial"), []
    for study in studies:
        record = study.record()
        keys = ("trials", "complete", "pruned", "failed", "epochs", "best", "best_slot")
        cells = ("" if record[key] is None else format_value(record[key]) for key in keys)
        rows.append([study.name, *cells, study.title])
    return text_table("study", headings, rows, ["metric"])


def _print_study(study: StudySummary) -> None:
    from hpsearch.cli.console import say
    from hpsearch.formatting import format_value

    say(f"# {study.name}: {study.counts}; {study.epochs:,} epochs trained")
    if study.no_best and study.counts.complete:
        say(f"# {study.no_best}")
    elif study.best is not None:
        where = study.best_configuration or f"trial {study.best_slot}"
        spread = "" if study.deviation is None else f" ± {study.deviation:.2g}"
        say(f"# best {study.title} {format_value(study.best)}{spread} in {where}")
    click.echo()
    say(study.file or "# not started by hpsearch study\n", nl=False)


def _print_trial(trial: TrialSummary) -> None:
    from hpsearch.cli.console import print_table, say, text_table

    record = trial.record
    best = f"; the best is epoch {record['best_epoch']}" if record["best_epoch"] else ""
    say(f"{_ending(record)}{best}\n")
    for key, value in (record["config"] or record["params"]).items():
        click.echo(f"{key} = {json.dumps(value)}")
    if record["epochs"]:
        columns = [_column(name, values) for name, values in record["curves"].items()]
        rows = [
            [str(number), *row] for number, row in enumerate(zip(*columns, strict=True), start=1)
        ]
        click.echo()
        print_table(text_table("epoch", trial.titles, rows, numbered=True))
    if trial.traceback:
        say(f"\n{trial.traceback}", nl=False)


def _column(metric: str, values: Sequence[float | None]) -> list[str]:
    """Return a curve as text; an epoch in which the metric was not measured is blank."""
    from hpsearch.trials.metrics import common_format

    how = common_format([value for value in values if value is not None], metric)
    return ["" if value is None else f"{value:{how}}" for value in values]


def _ending(record: dict[str, Any]) -> str:
    """Return how a trial ended and when: pruned at epoch 2."""
    state, reason, epochs = record["state"], record["reason"] or "", record["epochs"]
    if reason.startswith(f"{state} at "):
        return str(reason)
    after = f"after {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    if earlier := record.get("resumed_after"):
        after += f", {earlier} of them by a trial that was killed"
    return f"{state} ({reason}) {after}" if reason else f"{state} {after}"
