"""`hpsearch look`: what a table is taken for, before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from hpsearch.cli.options import json_option, table_options

if TYPE_CHECKING:
    from hpsearch.analysis.tables import Table
    from hpsearch.search.look import Look, Target

MOST_CLASSES = 12  # that are listed
KINDS = {
    "means": "words, as means of the target",
    "dates": "dates",
    "text": "free text",
    "id": "id: left out",
    "groups": "groups: left out",
    "weight": "weights: left out",
    "dropped": "left out",
    "empty": "empty: left out",
    "constant": "one value: left out",
    "row number": "row number: left out",
    "all different": "all different: left out",
}


@click.command("look")
@click.argument("file")
@table_options
@json_option
def look_command(
    file: str,
    target: tuple[str, ...],
    drop: tuple[str, ...],
    ids: tuple[str, ...],
    text: str | None,
    groups: str | None,
    time: str | None,
    weight: str | None,
    as_json: bool,
) -> None:
    """Show what a study would make of a table; nothing is trained.

    FILE is a table, such as a .csv file, or a study file. The output says what each column is taken
    for, what is left out, how many rows each class and each part has, and what looks wrong.

    \b
    hpsearch look houses.csv --target price
    """
    from hpsearch.cli.console import drawn_table, note, print_table, say
    from hpsearch.workspace import Workspace

    look = Workspace().look(
        file, target, drop=drop, id=ids, text=text, groups=groups, time=time, weight=weight
    )
    if as_json:
        click.echo(json.dumps(look.record(), indent=2))
        return
    say(f"{look.source}: {look.rows:,} rows, {look.features} features, {look.task}")
    for each in look.targets:
        say(_described(each))
    say(f"rows:   {_parts(look)}")
    if look.columns:
        say("")
        print_table(drawn_table(_columns(look)))
    for sentence in look.notes:
        note(sentence)


def _parts(look: Look) -> str:
    parts = ", ".join(f"{rows:,} {part}" for part, rows in look.parts.items())
    return parts if look.folds == 1 else f"{parts}; the first of {look.folds} folds"


def _described(target: Target) -> str:
    if not target.classes:
        numbers = f"{target.low:g} to {target.high:g}, median {target.middle:g}"
        return f"target: {target.name}, {numbers}"
    total = sum(target.classes.values())
    shown = [*target.classes.items()][:MOST_CLASSES]
    parts = [f"{name} {rows:,} ({rows / total:.1%})" for name, rows in shown]
    more = len(target.classes) - len(shown)
    return f"target: {target.name}: {', '.join(parts)}{f', and {more} more' if more else ''}"


def _columns(look: Look) -> Table:
    from hpsearch.analysis.tables import Cell, Table, cell

    rows = [
        [
            Cell(kind.name),
            Cell(KINDS.get(kind.kind, kind.kind)),
            cell(look.widths.get(kind.name, 0)),
            Cell(f"{kind.values:,}" if kind.values else ""),
            Cell(f"{kind.missing:,}" if kind.missing else ""),
        ]
        for kind in look.columns
    ]
    return Table(["column", "taken for", "features", "values", "missing"], rows)
