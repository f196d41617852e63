"""`hpsearch compare`: studies side by side."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING

import click

from hpsearch.cli.options import json_option, server_option, storage_option
from hpsearch.cli.reading import studies_from

if TYPE_CHECKING:
    from rich.table import Table

    from hpsearch.analysis.comparison import Comparison, Group


@click.command("compare")
@click.argument("names", metavar="NAME NAME …", nargs=-1, required=True)
@click.option(
    "--target",
    type=float,
    help="The value to reach.  [default: the worst of the studies' best, which all reached]",
)
@click.option("--each", is_flag=True, help="A line for each study, repetitions too.")
@click.option("--save", metavar="FILE.png", help="Draw the best so far, and save it there.")
@click.option("--force", is_flag=True, help="With --save: overwrite an existing file.")
@storage_option
@server_option
@json_option
def compare_command(
    names: tuple[str, ...],
    target: float | None,
    each: bool,
    save: str | None,
    force: bool,
    storage: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Compare studies: what each found, and after how many epochs.

    Studies that differ only in seed and split_seed are repetitions, and share a line with their
    medians. All rounds of a study count. The best value is that of any epoch, also of pruned
    trials. The seconds are those in which a trial ran. Notes on stderr name the studies that share
    a line, and what makes lines hard to compare.

    \b
    hpsearch compare digits-random digits-tpe --save compared.png
    """
    from hpsearch.cli.console import note, print_table

    with studies_from(storage, server, *names) as workspace:
        compared = workspace.compare(names, target=target, each=each, save=save, force=force)
    if as_json:
        click.echo(json.dumps(compared.as_record(), indent=2))
    else:
        print_table(_table(compared))
        for group in compared.groups:
            if len(group.entries) > 1:
                note(f"{group.label}: {', '.join(entry.name for entry in group.entries)}")
    for difference in compared.notes:
        note(f"not quite comparable, {difference}")
    if save is not None:
        note(f"figure: {save}")


def _table(compared: Comparison) -> Table:
    from hpsearch.cli.console import text_table
    from hpsearch.formatting import format_value
    from hpsearch.trials.metrics import common_format

    repeated = any(len(group.entries) > 1 for group in compared.groups)
    spread = ["lowest", "highest"] if repeated else []
    until = f"epochs to {format_value(compared.target)}"
    best = f"best {compared.metric}"
    headings = ("trials", "epochs", "seconds running", best, *spread, until, "never")
    best_of = (history.best for group in compared.groups for history in group.histories)
    how = common_format(best_of, compared.metric)
    rows = (
        [group.label, *_row(group, compared.target, how, spread=repeated)]
        for group in compared.groups
    )
    return text_table("study", headings, rows)


def _row(group: Group, target: float, how: str, *, spread: bool) -> list[str]:
    histories = group.histories
    best = [history.best for history in histories]
    epochs, never = group.epochs_until(target)
    return [
        f"{median(history.trials for history in histories):g}",
        f"{median(history.spent for history in histories):.0f}",
        f"{median(history.elapsed for history in histories):.1f}",
        f"{median(best):{how}}",
        *([f"{min(best):{how}}", f"{max(best):{how}}"] if spread else []),
        "never" if epochs is None else f"{epochs:.0f}",
        f"{never} of {len(histories)}",
    ]
