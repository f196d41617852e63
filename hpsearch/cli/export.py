"""`hpsearch export` and `predict`: using the winner."""

from __future__ import annotations

import csv
import re
import sys
from typing import TYPE_CHECKING, Literal

import click

from hpsearch.cli.options import storage_option, tracking_option
from hpsearch.errors import refuse_shadowed_model
from hpsearch.files import file_name

if TYPE_CHECKING:
    from hpsearch.workspace import ExportFormat, Workspace

LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # those of str.splitlines


@click.command("export")
@click.argument("name")
@click.option("--slot", type=click.IntRange(0), help="Another trial than the winner.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["toml", "json", "npz", "mlflow", "checkpoint"]),
    required=True,
    help="A study file, a record, the trained network (a file, or a model in MLflow), or a "
    "checkpoint.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write it.  [default: stdout; NAME.npz or NAME.checkpoint]",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@storage_option
@tracking_option
def export_command(
    name: str,
    slot: int | None,
    kind: ExportFormat | Literal["mlflow", "checkpoint"],
    output: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
) -> None:
    """Write the winner of study NAME to a file or to MLflow.

    The winner is the trial that `hpsearch evaluate` chose, and before an evaluation the best trial;
    in a study with repeats, the best repeat of the best configuration.

    toml is a study file that trains this trial again, json a record of it. npz is a network that
    predicts from raw rows, with `hpsearch predict` or in Python with `model.MLPClassifier.load`. It
    is the one that the evaluation trained on training and validation rows. Without an evaluation,
    or with --slot, it is the trial's own: trained again from its seed up to its best epoch, and
    compared with what the trial found.

    With mlflow this network becomes a version of the model NAME in MLflow's registry, with the
    alias "champion", which `mlflow.pyfunc.load_model` finds wherever hpsearch is installed.

    checkpoint is what a model of your own saved after its best epoch: a file or a folder.

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
    from hpsearch.cli.console import note, say
    from hpsearch.workspace import Workspace

    workspace = Workspace(storage, tracking_uri)
    if slot is None:
        for sentence in workspace.export_notes(name, "-f", kind):
            note(sentence)
    if kind == "mlflow":
        _register(workspace, name, slot, tracking_uri)
        return
    if kind == "checkpoint":
        output = f"{file_name(name)}.checkpoint" if output is None else output
        checkpoint = workspace.export_checkpoint(name, output, slot=slot, force=force)
        say(output)
        note(f"saved after epoch {checkpoint.epoch}")
        return
    if output is None and kind == "npz":
        output = f"{file_name(name)}.npz"
    exported = workspace.export(name, kind, output, slot=slot, force=force)
    say(exported.decode() if output is None else str(output), nl=output is not None)


def _register(workspace: Workspace, name: str, slot: int | None, tracking_uri: str | None) -> None:
    """Register the winner's network; print the model's address and how to use it."""
    from hpsearch.cli.console import note
    from hpsearch.storage.open import redact

    champion = workspace.register(name, slot=slot)
    click.echo(champion.uri)
    known = "" if champion.fresh else ", which is this network already"
    if champion.before:
        known = f", the champion instead of {champion.before}"
    where = f", with MLFLOW_TRACKING_URI={redact(tracking_uri)}" if tracking_uri else ""
    use = f'mlflow.pyfunc.load_model("{champion.uri}").predict(rows)'
    note(f"version {champion.version}{known}; in Python{where}: {use}")


@click.command("predict")
@click.argument("model", metavar="MODEL.npz")
@click.argument("data", metavar="DATA")
@click.option("--proba", is_flag=True, help="Print the probability of every class, as CSV.")
def predict_command(model: str, data: str, proba: bool) -> None:
    """Print the class of each row of DATA.

    MODEL.npz is a network that `hpsearch export` has written. DATA is a .csv or .parquet file with
    the columns of training, in any order; other columns, such as the labels, are ignored. Text is
    encoded as in training, where an unknown category counts as none. Each class takes one line: a
    line break in its name is printed as \\n.

    \b
    hpsearch predict digits-tpe.npz new.csv --proba > probabilities.csv
    """
    from hpsearch.cli.console import note, say

    refuse_shadowed_model()
    from hpsearch.prediction import predict_table

    prediction = predict_table(model, data)
    for sentence in prediction.notes:
        note(sentence)
    if proba:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(prediction.classes)
        rows.writerows(prediction.probabilities)
    else:
        say("\n".join(_on_one_line(str(label)) for label in prediction.labels))


def _on_one_line(name: str) -> str:
    """Return the name of a class with its line breaks as Python writes them."""
    return LINE_BREAK.sub(lambda found: repr(found[0])[1:-1], name)
