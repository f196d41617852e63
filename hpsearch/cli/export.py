"""`hpsearch export` and `predict`: the winner, to use."""

from __future__ import annotations

import csv
import json
import re
import sys
from typing import TYPE_CHECKING

import click

from hpsearch.cli import cli, storage_option, tracking_option
from hpsearch.cli.look import find_study
from hpsearch.files import file_name

if TYPE_CHECKING:
    from optuna.study import Study

LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # as str.splitlines has them


@cli.command()
@click.argument("name")
@click.option("--slot", type=click.IntRange(0), help="Another trial than the best one.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["toml", "json", "npz", "mlflow"]),
    required=True,
    help="A study file, a record, or the trained network: a file, or a model in MLflow.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write it.  [default: stdout; of a network NAME.npz]",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@storage_option
@tracking_option
def export(
    name: str,
    slot: int | None,
    kind: str,
    output: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
) -> None:
    """Write the winner of study NAME to a file: the trial that `hpsearch evaluate` has chosen, or
    before that the best one; of repeats, the best one's best.

    As toml it is a study file that trains this trial again; as json the configuration and what is
    known of it. As npz it is a network that predicts from raw rows, with `hpsearch predict` or from
    Python with `model.MLPClassifier.load`: the one that the evaluation has trained on training and
    validation rows; else, or with --slot, the trial's, trained again from its seed up to its best
    epoch and compared with what the trial found.

    As mlflow this network becomes a version of the model NAME in MLflow's registry, with the alias
    "champion", which `mlflow.pyfunc.load_model` finds wherever hpsearch is installed.

    \b
    hpsearch export digits-tpe -f toml > winner.toml
    hpsearch export digits-tpe -f npz
    hpsearch export digits-tpe -f mlflow
    """
    if kind == "mlflow" and (output is not None or force):
        option = "--force" if output is None else "--output"
        raise click.UsageError(f"-f mlflow writes no file, so it takes no {option}")
    if kind != "mlflow" and tracking_uri is not None:
        raise click.UsageError("--tracking-uri goes with -f mlflow")
    from hpsearch.analysis.ranking import better_found
    from hpsearch.cli.console import note
    from hpsearch.evaluation.record import last_evaluation
    from hpsearch.evaluation.wording import overtaken
    from hpsearch.export import files as exporting
    from hpsearch.export.winner import find_winner, winner_record, winning_trial
    from hpsearch.files import check_output

    study = find_study(name, storage)
    trial = winning_trial(study, slot)
    evaluation = last_evaluation(study)
    if slot is None and evaluation is not None and (since := overtaken(study, evaluation)):
        note(since)
    if slot is None and (better := better_found(study, "export", "-f", kind)):
        note(better)
    if kind == "mlflow":
        _register(study, slot, tracking_uri)
        return
    if output is None and kind == "npz":
        output = f"{file_name(name)}.npz"
    if output is not None:
        check_output(exporting.OPTION, output, force=force)
    if kind == "npz" and output is not None:
        exporting.write_network(find_winner(study, slot).network, output, force=force)
        click.echo(output)
        return
    if kind == "toml":
        text = exporting.as_study_file(study, trial)
    else:
        text = json.dumps(winner_record(study, slot), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        exporting.write_text(text, output, force=force)
        click.echo(output)


def _register(study: Study, slot: int | None, tracking_uri: str | None) -> None:
    """Register the network of the winner; print the model's address, and say how to use it."""
    from hpsearch.cli.console import note
    from hpsearch.export.registry import register
    from hpsearch.export.winner import find_winner
    from hpsearch.storage.open import redact
    from hpsearch.tracking.store import TrackingStore
    from hpsearch.tracking.tracker import experiment_name

    store = TrackingStore(tracking_uri)
    store.check(experiment_name(study))  # before anything is trained
    champion = register(store, study, find_winner(study, slot))
    click.echo(champion.uri)
    known = "" if champion.fresh else ", which is this network already"
    if champion.before:
        known = f", the champion instead of {champion.before}"
    where = f", with MLFLOW_TRACKING_URI={redact(tracking_uri)}" if tracking_uri else ""
    use = f'mlflow.pyfunc.load_model("{champion.uri}").predict(rows)'
    note(f"version {champion.version}{known}; in Python{where}: {use}")


@cli.command()
@click.argument("model", metavar="MODEL.npz")
@click.argument("data", metavar="DATA")
@click.option("--proba", is_flag=True, help="Print the probability of every class, as CSV.")
def predict(model: str, data: str, proba: bool) -> None:
    """Print the class of each row of DATA, as a network says that `hpsearch export` has written.

    DATA is a .csv or .parquet file with the columns of training, in any order. Others are ignored,
    the labels among them. Text is encoded as in training; a category unknown there counts as none.
    A class takes one line: a line break in its name is printed as \\n.

    \b
    hpsearch predict digits-tpe.npz new.csv --proba > probabilities.csv
    """
    from hpsearch.cli.console import note
    from hpsearch.export.predict import predict_table

    prediction = predict_table(model, data)
    for sentence in prediction.notes:
        note(sentence)
    if proba:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(prediction.classes)
        rows.writerows(prediction.probabilities)
    else:
        click.echo("\n".join(_on_one_line(str(label)) for label in prediction.labels))


def _on_one_line(name: str) -> str:
    """Return the name of a class with its line breaks as Python writes them."""
    return LINE_BREAK.sub(lambda found: repr(found[0])[1:-1], name)
