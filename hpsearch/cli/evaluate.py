"""`hpsearch evaluate`: whether the winner is real, and how good it is."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import click

from hpsearch.cli import cli, json_option, storage_option, tracking_option
from hpsearch.cli.figures import save_options, where_in_mlflow
from hpsearch.cli.look import find_study
from hpsearch.cli.signals import stop_on_signals
from hpsearch.forkserver import start_forkserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from hpsearch.evaluation_record import Evaluation
    from hpsearch.verdict import Candidate, Interval

logger = logging.getLogger(__name__)
SHOWN_CLASSES = 12  # a confusion matrix of more is left to the figure


@cli.command()
@click.argument("name")
@click.option(
    "--top", type=click.IntRange(1), default=5, show_default=True, help="How many of the best."
)
@click.option(
    "--seeds",
    type=click.IntRange(2, 1000),
    default=10,
    show_default=True,
    help="Trainings of each.",
)
@click.option("--again", is_flag=True, help="Look at the test set though it was looked at before.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings at a time."
)
@save_options
@storage_option
@tracking_option
@click.option("--no-tracking", is_flag=True, help="Leave MLflow alone.")
@json_option
def evaluate(
    name: str,
    top: int,
    seeds: int,
    again: bool,
    jobs: int,
    save: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
) -> None:
    """Train the best of study NAME again, and score the winner on the test set, once.

    The best configurations are trained over fresh seeds, on the same split: so much of what the
    search found is real, and these cannot be told apart. The one with the best mean is then trained
    on training and validation rows together, and looks at the rows that no search has seen. Such
    looks are counted, over all studies of the storage, for they wear the test set out.

    What is trained is kept: the same command goes on after an interruption, and a later one with
    more seeds adds to it.

    \b
    hpsearch evaluate digits-tpe --jobs 2
    """
    if jobs > 1:
        start_forkserver()
    import optuna

    from hpsearch.cli.console import note, show_progress, training_line
    from hpsearch.errors import Interrupted, TrackingError
    from hpsearch.evaluation import evaluate as evaluating
    from hpsearch.evaluation_figures import FIGURES, draw_evaluation
    from hpsearch.evaluation_record import evaluation_record
    from hpsearch.evaluation_run import log_evaluation
    from hpsearch.publishing import check_files, save_figures
    from hpsearch.slots import EVALUATION
    from hpsearch.tracking import Tracker

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if save is not None:
        check_files(save, FIGURES, force=force)
    tracker = None if no_tracking else Tracker(tracking_uri)
    with stop_on_signals() as received, show_progress(training_line) as on_progress:
        try:
            evaluation = evaluating(
                name,
                top=top,
                seeds=seeds,
                again=again,
                storage=storage,
                tracker=tracker,
                jobs=jobs,
                on_progress=on_progress,
                should_stop=lambda: bool(received),
            )
        except Interrupted as stopped:
            note(f"{name}: interrupted, {stopped}; the same command goes on")
            raise SystemExit(128 + received[0]) from None
    if as_json:
        click.echo(json.dumps(evaluation_record(evaluation), indent=2))
    else:
        _print_evaluation(evaluation)
    figures = draw_evaluation(evaluation)
    if save is not None:
        for path in save_figures(figures, save, force=force):
            note(str(path))
    if tracker is not None:
        study = find_study(name, storage)
        try:
            log_evaluation(tracker.store, study, evaluation, figures)
            note(where_in_mlflow(study, EVALUATION))
        except TrackingError as error:
            logger.warning("%s; the same command puts the evaluation there later", error)


def _print_evaluation(evaluation: Evaluation) -> None:
    from hpsearch.cli.console import print_table

    click.echo(f"{evaluation.study}: {_verdict(evaluation)}\n")
    print_table(_candidate_table(evaluation))
    click.echo()
    network = evaluation.test_scores("network")
    if network is None or evaluation.look is None:
        click.echo(f"No look at the test set: {evaluation.unseen}")
        return
    look, rows = evaluation.look, network.rows
    which = "the first look" if look.number == 1 else f"look {look.number}: it is worn"
    click.echo(f"Test set of {rows:,} rows, {which}, on {look.date}\n")
    print_table(_score_table(evaluation))
    click.echo()
    print_table(_class_table(evaluation))


def _verdict(evaluation: Evaluation) -> str:
    """Say in a sentence or two what came out."""
    from hpsearch.summary import format_value

    best, chosen, tied = evaluation.searched_best, evaluation.chosen, evaluation.tied
    parts = []
    if best.mean is not None and best.luck is not None:
        luck = f"{abs(best.luck):.2g} was {'luck' if best.luck > 0 else 'bad luck'}"
        parts.append(
            f"the search's best {evaluation.metric} {format_value(best.found)} (trial {best.slot}) "
            f"is {best.mean:.4f} over {evaluation.seeds} fresh seeds: {luck}"
        )
    first = "still the best" if chosen is best else f"trial {chosen.slot} is better on average"
    others = ", ".join(str(other.slot) for other in tied)
    told = f"; cannot be told apart from it: {others}" if tied else ""
    return ". ".join([*parts, f"{first[0].upper()}{first[1:]}{told}."])


def _candidate_table(evaluation: Evaluation) -> Table:
    from hpsearch.summary import format_value

    names = list(dict.fromkeys(key for each in evaluation.candidates for key in each.params))
    headings = [evaluation.metric, "±", "95 % interval", "in the search", "luck", "verdict", *names]
    rows = []
    for candidate in evaluation.candidates:
        values = (candidate.params.get(key, "") for key in names)
        rows.append(
            [str(candidate.slot), *_spread(evaluation, candidate), *map(format_value, values)]
        )
    return _table("trial", headings, rows)


def _spread(evaluation: Evaluation, candidate: Candidate) -> list[str]:
    if candidate is evaluation.chosen:
        verdict = "best"
    else:
        verdict = "tied" if candidate in evaluation.tied else "worse"
    if candidate.diverged:
        verdict = f"diverged in {candidate.diverged} of {len(candidate.values)}"
    numbers = [_number(candidate.mean), _number(candidate.deviation, ".2g")]
    numbers += [_interval(candidate.interval), _number(candidate.found)]
    return [*numbers, _number(candidate.luck, "+.4f"), verdict]


def _score_table(evaluation: Evaluation) -> Table:
    from statistics import fmean, stdev

    from hpsearch.scores import SCORES

    assert evaluation.look is not None
    networks = (evaluation.look.scores or {})["networks"]
    rows, number = [], len(networks["accuracy"])
    for title, which in (("one network", "network"), (f"ensemble of {number}", "ensemble")):
        scores = evaluation.test_scores(which)
        assert scores is not None
        cells = [_number(getattr(scores, name)) for name in SCORES]
        rows.append([title, *cells, _interval(scores.accuracy_interval)])
    if number > 1:
        each = (networks[name] for name in SCORES)
        means = [f"{fmean(values):.4f} ± {stdev(values):.2g}" for values in each]
        rows.insert(1, [f"mean of {number}", *means, ""])
    return _table("", [*SCORES.values(), "95 % interval of the accuracy"], rows)


def _class_table(evaluation: Evaluation) -> Table:
    """Return the scores of each class, and the confusion matrix if it is not too wide."""
    scores, names = evaluation.test_scores("network"), evaluation.class_names
    assert scores is not None
    matrix = len(names) <= SHOWN_CLASSES
    headings = ["rows", "precision", "recall", "F1", *(f"as {n}" for n in names if matrix)]
    rows = []
    for number, name in enumerate(names):
        confused = scores.confusion[number]
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        cells = [str(sum(confused)), *map(_number, each)]
        rows.append([name, *cells, *(str(count or "·") for count in confused if matrix)])
    return _table("class", headings, rows)


def _table(first: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _number(value: float | None, how: str = ".4f") -> str:
    return "" if value is None else f"{value:{how}}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
