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
from hpsearch.execution.engines.forkserver import start_forkserver

if TYPE_CHECKING:
    from rich.table import Table

    from hpsearch.evaluation.record import Evaluation

logger = logging.getLogger(__name__)
LONGEST_CLASS, WIDEST_MATRIX = 40, 60  # letters; a wider confusion matrix is left to the figure


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
    more seeds adds to it. Whatever was trained as often before, or chosen last, is compared too,
    over all the seeds that are known.

    \b
    hpsearch evaluate digits-tpe --jobs 2
    """
    if jobs > 1:
        start_forkserver()
    import optuna

    from hpsearch.analysis.ranking import better_found
    from hpsearch.cli.console import note, show_progress, training_line
    from hpsearch.errors import Interrupted, TrackingError
    from hpsearch.evaluation.candidates import equals_of_best
    from hpsearch.evaluation.record import evaluation_record
    from hpsearch.figures.evaluation import FIGURES, draw_evaluation
    from hpsearch.figures.saving import check_files, save_figures
    from hpsearch.search.evaluation import evaluate as evaluating
    from hpsearch.tracking.evaluations import EVALUATION, log_evaluation
    from hpsearch.tracking.tracker import Tracker

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
    study = find_study(name, storage)
    if equals := equals_of_best(study, {each.slot for each in evaluation.candidates}):
        more = "configuration has" if equals == 1 else "configurations have"
        note(f"{equals} more {more} the best value of the search: a greater --top evaluates more")
    if better := better_found(study, "evaluate"):
        note(better)
    figures = draw_evaluation(evaluation)
    if save is not None:
        for path in save_figures(figures, save, force=force):
            note(str(path))
    if tracker is not None:
        try:
            log_evaluation(tracker.store, study, evaluation, figures)
            note(where_in_mlflow(study, EVALUATION))
        except TrackingError as error:
            logger.warning("%s; the same command puts the evaluation there later", error)


def _print_evaluation(evaluation: Evaluation) -> None:
    from hpsearch.cli.console import drawn_table, print_table
    from hpsearch.evaluation.tables import candidate_table, score_table
    from hpsearch.evaluation.wording import tested, verdict

    click.echo(f"{evaluation.study}: {verdict(evaluation)}\n")
    print_table(drawn_table(candidate_table(evaluation)))
    click.echo()
    if (scores := score_table(evaluation)) is not None:
        click.echo(f"{tested(evaluation)}\n")
        print_table(drawn_table(scores))
        click.echo()
        print_table(_class_table(evaluation))
    if evaluation.unseen:
        further = "further " if evaluation.look is not None else ""
        click.echo(f"No {further}look at the test set: {evaluation.unseen}")


def _class_table(evaluation: Evaluation) -> Table:
    """Return the scores of each class, and the confusion matrix if it is not too wide."""
    from hpsearch.cli.console import text_table
    from hpsearch.formatting import shortened

    scores = evaluation.test_scores("network")
    assert scores is not None
    names = [shortened(name, LONGEST_CLASS) for name in evaluation.class_names]
    columns = [f"as {name}" for name in names]
    if sum(map(len, columns)) > WIDEST_MATRIX:
        columns = []
    rows = []
    for number, name in enumerate(names):
        confused = scores.confusion[number]
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        counts = (str(count or "·") for count in confused if columns)
        rows.append([name, str(sum(confused)), *(f"{value:.4f}" for value in each), *counts])
    return text_table("class", ["rows", "precision", "recall", "F1", *columns], rows)
