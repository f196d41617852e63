"""`hpsearch list`, `show` and `best`: what has been found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hpsearch.cli import cli, json_option, storage_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from rich.table import Table


@cli.command(name="list")
@storage_option
@json_option
def list_studies(storage: str | None, as_json: bool) -> None:
    """List the studies in the storage.

    \b
    hpsearch list
    """
    import optuna

    from hpsearch.analysis.description import study_record
    from hpsearch.cli.console import note, print_table
    from hpsearch.evaluation.test_set import is_search
    from hpsearch.storage.open import open_storage, storage_exists, storage_url

    url, studies = storage_url(storage), []
    if storage_exists(url):
        store = open_storage(url)
        names = sorted(optuna.get_all_study_names(store))
        studies = [optuna.load_study(study_name=name, storage=store) for name in names]
        studies = [study for study in studies if is_search(study)]
    records = [study_record(study) for study in studies]
    if as_json:
        click.echo(json.dumps(records, indent=2))
    elif records:
        print_table(_study_table(studies, records))
    else:
        note("no studies yet; hpsearch study starts one")


@cli.command()
@click.argument("name")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many.")
@storage_option
@json_option
def best(name: str, top: int, storage: str | None, as_json: bool) -> None:
    """Show the best trials of study NAME, or its best configurations if it repeats them.

    \b
    hpsearch best digits-random --top 10
    """
    from hpsearch.analysis.description import best_records
    from hpsearch.cli.console import best_table, note, print_table

    study = find_study(name, storage)
    if as_json:
        click.echo(json.dumps(best_records([study], top), indent=2))
    elif table := best_table([study], top):
        print_table(table)
    else:
        note(f"study '{name}' has no completed trial yet")


@cli.command()
@click.argument("name", metavar="NAME[#TRIAL]")
@storage_option
@json_option
def show(name: str, storage: str | None, as_json: bool) -> None:
    """Show study NAME, its file and how it went, or one trial of it with its curves.

    \b
    hpsearch show digits-random
    hpsearch show digits-random#7
    """
    from hpsearch.analysis.description import study_record
    from hpsearch.analysis.ranking import find_trial, trial_record

    name, _, slot = name.partition("#")
    study = find_study(name, storage)
    if slot:
        trial = find_trial(study, slot)
        record = trial_record(trial, curves=True)
    else:
        record = study_record(study)
    if as_json:
        click.echo(json.dumps(record, indent=2))
    elif slot:
        _print_trial(study, trial, record)
    else:
        _print_study(study, record)


def find_study(name: str, storage: str | None) -> Study:
    """Open the search called `name` in the storage that the options name."""
    from hpsearch.storage.catalog import load_search
    from hpsearch.storage.open import open_storage, storage_url

    return load_search(open_storage(storage_url(storage), create=False), name)


def _study_table(studies: list[Study], records: list[dict[str, Any]]) -> Table:
    from hpsearch.analysis.ranking import metric_title
    from hpsearch.cli.console import text_table
    from hpsearch.formatting import format_value

    headings, rows = ("planned", "complete", "pruned", "failed", "epochs", "best", "trial"), []
    for study, record in zip(studies, records, strict=True):
        keys = ("trials", "complete", "pruned", "failed", "epochs", "best", "best_slot")
        cells = ("" if record[key] is None else format_value(record[key]) for key in keys)
        rows.append([record["study"], *cells, metric_title(study)])
    return text_table("study", headings, rows, "metric")


def _print_study(study: Study, record: dict[str, Any]) -> None:
    from hpsearch.analysis.ranking import count_trials, metric_title
    from hpsearch.formatting import format_value
    from hpsearch.trials.slots import own_trials

    counts = count_trials(own_trials(study))
    click.echo(f"# {study.study_name}: {counts}; {record['epochs']:,} epochs trained")
    if record["best"] is not None:
        where = record["best_configuration"] or f"trial {record['best_slot']}"
        spread = "" if record["deviation"] is None else f" ± {record['deviation']:.2g}"
        best = f"best {metric_title(study)} {format_value(record['best'])}{spread}"
        click.echo(f"# {best} in {where}")
    click.echo()
    click.echo(study.user_attrs.get("settings", "# not started by hpsearch study\n"), nl=False)


def _print_trial(study: Study, trial: FrozenTrial, record: dict[str, Any]) -> None:
    from rich.table import Table

    from hpsearch.analysis.ranking import metric_title
    from hpsearch.cli.console import print_table

    best = f"; the best is epoch {record['best_epoch']}" if record["best_epoch"] else ""
    click.echo(f"{_ending(record)}{best}\n")
    for key, value in (record["config"] or record["params"]).items():
        click.echo(f"{key} = {json.dumps(value)}")
    if record["epochs"]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("epoch", *(metric_title(study, name) for name in record["curves"])):
            table.add_column(heading, justify="right")
        columns = [_column(name, values) for name, values in record["curves"].items()]
        for number, row in enumerate(zip(*columns, strict=True), start=1):
            table.add_row(str(number), *row)
        click.echo()
        print_table(table)
    if "traceback" in trial.user_attrs:
        click.echo(f"\n{trial.user_attrs['traceback']}", nl=False)


def _column(metric: str, values: Sequence[float]) -> list[str]:
    from hpsearch.formatting import common_format

    how = common_format(values, metric)
    return [f"{value:{how}}" for value in values]


def _ending(record: dict[str, Any]) -> str:
    """Say how a trial ended and when: pruned at epoch 2."""
    state, reason, epochs = record["state"], record["reason"] or "", record["epochs"]
    if reason.startswith(f"{state} at "):
        return str(reason)
    after = f"after {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    return f"{state} ({reason}) {after}" if reason else f"{state} {after}"
