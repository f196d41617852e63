"""`hpsearch narrow`: the next round's study file."""

from __future__ import annotations

import click

from hpsearch.cli.options import server_option, storage_option
from hpsearch.cli.reading import studies_from
from hpsearch.space.narrowing import MARGIN


@click.command("narrow")
@click.argument("name")
@click.option(
    "--top",
    type=click.IntRange(1),
    help="How many of the best completed trials to search around.  "
    "[default: a tenth of them, at least 5]",
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=MARGIN,
    show_default=True,
    help="What a range keeps on either side of the best values, as a share of its old width on "
    "its own scale. A round makes no range narrower than that.",
)
@click.option("--widen", is_flag=True, help="Move ends that the best values crowd outwards.")
@storage_option
@server_option
def narrow_command(
    name: str,
    top: int | None,
    margin: float,
    widen: bool,
    storage: str | None,
    server: str | None,
) -> None:
    """Print the study file of a search around the best of study NAME.

    Each range becomes the span of the best values with a margin, inside the old range; choices keep
    those that the best trials used. The file's comments show each range before and now. Where more
    than half of the best values lie near an end of a range, a note on stderr names it: even better
    values may lie beyond it.

    \b
    hpsearch narrow digits-tpe > finer.toml
    hpsearch study finer.toml
    """
    from hpsearch.cli.console import note

    with studies_from(storage, server, name) as workspace:
        following = workspace.narrow(name, top=top, margin=margin, widen=widen)
    if following.tie:
        note(following.tie)
    for end in following.narrowing.crowded:
        note(str(end))
    click.echo(following.as_file(), nl=False)
