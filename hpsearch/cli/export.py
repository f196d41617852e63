"""`hpsearch export`, `predict` and `score`: using the winner."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hpsearch.cli.options import json_option, server_option, storage_option, tracking_option
from hpsearch.errors import Argument, refuse_shadowed_model
from hpsearch.files import file_name

if TYPE_CHECKING:
    from hpsearch.prediction import Scores
    from hpsearch.workspace import ExportFormat, Workspace

OUTPUT = Argument("output")
LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # those of str.splitlines


@click.command("export")
@click.argument("name")
@click.option("--slot", type=click.IntRange(0), help="Another trial than the winner.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["toml", "json", "npz", "onnx", "mlflow", "checkpoint"]),
    required=True,
    help="A study file, a record, the trained network (a file of one of two kinds, or a model in "
    "MLflow), or a checkpoint.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write it.  [default: stdout; NAME.npz, NAME.onnx or NAME.checkpoint]",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@storage_option
@tracking_option
@server_option
def export_command(
    name: str,
    slot: int | None,
    kind: ExportFormat | Literal["mlflow", "checkpoint"],
    output: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
    server: str | None,
) -> None:
    """Write the winner of study NAME to a file or to MLflow.

    The winner is the trial that `hpsearch evaluate` chose, and before an evaluation the best trial;
    in a study with repeats, the best repeat of the best configuration.

    toml is a study file that trains this trial again, json a record of it. npz is a network that
    predicts from raw rows, with `hpsearch predict` or in Python with `model.MLPClassifier.load`. It
    is the one that the evaluation trained on training and validation rows. Without an evaluation,
    or with --slot, it is the trial's own: trained again from its seed up to its best epoch, and
    compared with what the trial found.

    onnx is the same network, with what each column becomes, for programs that run ONNX models.

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

    if output is None and kind in ("npz", "onnx"):
        output = f"{file_name(name)}.{kind}"
    if server is not None:
        if kind in ("mlflow", "checkpoint") or storage:
            raise click.UsageError("--server gives toml, json, npz and onnx, from its own storage")
        from hpsearch.cli.remote import fetch

        wanted = f"export?format={kind}" + ("" if slot is None else f"&slot={slot}")
        content = fetch(server, name, wanted, output, force=force)
        say(content.decode() if output is None else output, nl=output is not None)
        return
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
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of DATA to carry along.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a CSV file.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def predict_command(
    model: str,
    data: str,
    proba: bool,
    keep: tuple[str, ...],
    output: Path | None,
    force: bool,
) -> None:
    """Print the class, or the number, of each row of DATA.

    MODEL.npz is a network that `hpsearch export` has written. DATA is a table (.csv, .tsv, the same
    with .gz, .parquet or .xlsx) with the columns of training, in any order; other columns, such as
    the labels, are ignored. Words are encoded as in training, where an unknown one counts as none.

    Each class takes one line: a line break in its name is printed as \\n. With --proba, --keep or
    -o, or where there are several targets, there is a table with a header, as CSV.

    \b
    hpsearch predict churn-tpe.npz new.csv -o predicted.csv --keep customer_id
    """
    from hpsearch.cli.console import note, say

    refuse_shadowed_model()
    from hpsearch.files import check_output, write_file
    from hpsearch.prediction import predict_table

    if force and output is None:
        raise click.UsageError("--force goes with --output")
    if output is not None:
        check_output(OUTPUT, output, force=force)
    prediction = predict_table(model, data, keep=keep)
    for sentence in prediction.notes:
        note(sentence)
    if not (proba or keep or output is not None or prediction.labels.ndim > 1):
        say("\n".join(_on_one_line(str(label)) for label in prediction.labels))
        return
    text = prediction.frame(proba=proba).to_csv(index=False, lineterminator="\n")
    if output is None:
        sys.stdout.write(text)
        return
    say(str(write_file(OUTPUT, output, text.encode())))


@click.command("score")
@click.argument("model", metavar="MODEL.npz")
@click.argument("data", metavar="DATA")
@click.option("--metric", help="The score that --max-drop is about.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    help="Exit with 1 if it is worse by more.",
)
@click.option("--positive", metavar="CLASS", help="Of two classes the positive one.")
@json_option
def score_command(
    model: str,
    data: str,
    metric: str | None,
    max_drop: float | None,
    positive: str | None,
    as_json: bool,
) -> None:
    """Score a network on the labelled rows of DATA.

    MODEL.npz is a network that `hpsearch export` has written. DATA is a table with the columns of
    training and the labels. The scores stand beside those on the network's own test rows, if an
    evaluation found some, with what they would be on other rows of this kind (95 %). A drop above
    0 is worse, also of an error.

    \b
    hpsearch score churn-tpe.npz this-week.csv --metric accuracy --max-drop 0.02
    """
    from hpsearch.cli.console import note

    refuse_shadowed_model()
    from hpsearch.prediction import score_table

    if (metric is None) != (max_drop is None):
        raise click.UsageError("--metric and --max-drop go together")
    found = score_table(model, data, positive=positive)
    for sentence in found.notes:
        note(sentence)
    drop = None if metric is None else found.drop(metric)
    if metric is not None and drop is None:
        raise click.BadParameter(
            f"{metric!r} has no score on test rows to compare with; known: "
            f"{', '.join(found.drops) or 'none'}",
            param_hint="--metric",
        )
    if as_json:
        click.echo(json.dumps(found.as_plain() | {"drop": drop}, indent=2))
    else:
        _print_scores(found)
    if metric is not None and drop is not None and max_drop is not None and drop > max_drop:
        chance = "; it may be chance, as the interval says" if found.may_be_chance(metric) else ""
        note(f"{metric} is worse by {drop:.4g}, which is more than {max_drop:g}{chance}")
        raise SystemExit(1)


def _print_scores(found: Scores) -> None:
    from hpsearch.cli.console import print_table, say, text_table
    from hpsearch.formatting import counted
    from hpsearch.trials.metrics import common_format

    formats = {
        name: common_format([value, found.before.get(name, value)], name)
        for name, value in found.now.items()
    }
    columns = {
        "now": [f"{value:{formats[name]}}" for name, value in found.now.items()],
        "95 % interval": [
            " to ".join(f"{end:{how}}" for end in found.intervals.get(name, ()))
            for name, how in formats.items()
        ],
    }
    for heading, values, sign in (
        ("on its test rows", found.before, ""),
        ("drop", found.drops, "+"),
    ):
        columns[heading] = [
            f"{values[name]:{sign}{how}}" if name in values else "" for name, how in formats.items()
        ]
    columns = {heading: cells for heading, cells in columns.items() if any(cells)}
    say(f"{counted(found.rows, 'labelled row')}\n")
    print_table(text_table("", columns, zip(formats, *columns.values(), strict=True)))


def _on_one_line(name: str) -> str:
    """Return the name of a class with its line breaks as Python writes them."""
    return LINE_BREAK.sub(lambda found: repr(found[0])[1:-1], name)
