"""`hpsearch narrow`: the next round's study file."""

from __future__ import annotations

import click

from hpsearch.cli import cli, storage_option
from hpsearch.cli.look import find_study
from hpsearch.space.narrowing import MARGIN


@cli.command()
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
def narrow(name: str, top: int | None, margin: float, widen: bool, storage: str | None) -> None:
    """Print the study file that searches around the best trials of study NAME.

    Each range becomes the span of the best values with a margin, inside of the old range; choices
    keep those that the best used. Its comments show what was and what is. An end that more than
    half of the best values are near to is pointed out: the best may lie beyond it.

    \b
    hpsearch narrow digits-tpe > finer.toml
    hpsearch study finer.toml
    """
    from hpsearch.cli.console import note
    from hpsearch.search.rounds import next_round

    following = next_round(find_study(name, storage), top=top, margin=margin, widen=widen)
    if following.tie:
        note(following.tie)
    for end in following.narrowing.crowded:
        note(str(end))
    click.echo(following.as_file(), nl=False)
