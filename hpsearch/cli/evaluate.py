"""`hpsearch evaluate`: whether the winner is real, and how good it is."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from hpsearch.cli.options import (
    check_jobs,
    cluster_option,
    gpus_option,
    json_option,
    no_tracking_option,
    save_options,
    storage_option,
    tracking_option,
)
from hpsearch.errors import Command, Interrupted, Sentence
from hpsearch.execution.engines.forkserver import start_forkserver
from hpsearch.signals import stop_on_signals

if TYPE_CHECKING:
    from rich.table import Table

    from hpsearch.evaluation.record import Evaluation
    from hpsearch.workspace import EvaluationResult

LONGEST_CLASS, WIDEST_MATRIX = 40, 60  # letters; the figure shows a wider confusion matrix
MOST_CLASSES = 40  # rows of the table: those that are recognized worst


@click.command("evaluate")
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
@click.option("--again", is_flag=True, help="Use the test set even if it has been used before.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings at a time."
)
@gpus_option
@cluster_option
@save_options
@storage_option
@tracking_option
@no_tracking_option
@json_option
def evaluate_command(
    name: str,
    top: int,
    seeds: int,
    again: bool,
    jobs: int,
    gpus: tuple[str, ...],
    cluster: str | None,
    save: str | None,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
) -> None:
    """Train the best of study NAME again, and test the winner once.

    The best configurations are trained over fresh seeds on the same split. That shows how much of
    the search's best value was luck, and which configurations cannot be told apart. The one with
    the best mean is then trained on training and validation rows together, and scored on rows that
    no search has seen. Each use of a test set is logged, over all studies of the storage: the more
    often it is used, the less its scores mean.

    What is trained is kept. The same command continues after an interruption, and a later one with
    more seeds adds to it. A configuration that was trained as often before, or was chosen last, is
    compared too, over all known seeds.

    \b
    hpsearch evaluate digits-tpe --jobs 2
    """
    check_jobs(jobs, cluster)
    if jobs > 1:
        start_forkserver()  # it imports what workers need while this process does
    from hpsearch.cli.console import note, quiet_optuna, show_progress, training_line
    from hpsearch.workspace import Workspace

    quiet_optuna()
    workspace = Workspace(storage, tracking_uri, tracked=not no_tracking)
    with ExitStack() as while_training:
        received = while_training.enter_context(stop_on_signals())

        def print_result(result: EvaluationResult) -> None:
            while_training.close()  # from now on a signal ends the process
            _print_json(result) if as_json else _print_evaluation(result.evaluation)
            _print_notes(result)

        try:
            result = workspace.evaluate(
                name,
                top=top,
                seeds=seeds,
                again=again,
                jobs=jobs,
                gpus=gpus,
                cluster=cluster,
                save=save,
                force=force,
                on_progress=while_training.enter_context(show_progress(training_line)),
                should_stop=lambda: bool(received),
                on_result=print_result,
            )
        except Interrupted as stopped:
            note(f"{name}: interrupted, {stopped}; the same command continues")
            raise SystemExit(128 + received[0]) from None
    for path in result.figures:
        note(str(path))


def _print_json(result: EvaluationResult) -> None:
    from hpsearch.evaluation.record import evaluation_record

    click.echo(json.dumps(evaluation_record(result.evaluation), indent=2))


def _print_notes(result: EvaluationResult) -> None:
    from hpsearch.cli.console import note

    if result.equals:
        more = "configuration has" if result.equals == 1 else "configurations have"
        note(f"{result.equals} more {more} the best value of the search: raise --top to include it")
    if result.better_round:
        command = Command("evaluate", result.better_round)
        note(Sentence(f"{result.better_round} is better: ", command))
    if result.tracked_as:
        note(f"in MLflow: {result.tracked_as}")


def _print_evaluation(evaluation: Evaluation) -> None:
    from hpsearch.cli.console import drawn_table, print_table, say
    from hpsearch.evaluation.tables import (
        baseline_table,
        candidate_table,
        label_table,
        score_table,
    )
    from hpsearch.evaluation.wording import beside_baselines, tested, verdict
    from hpsearch.formatting import capitalized

    say(f"{evaluation.study}: {verdict(evaluation)}\n")
    print_table(drawn_table(candidate_table(evaluation)))
    click.echo()
    if (scores := score_table(evaluation)) is not None:
        say(f"{tested(evaluation)}\n")
        print_table(drawn_table(scores))
    if evaluation.test_scores("network") is not None:
        click.echo()
        print_table(_class_table(evaluation))
        if (more := len(evaluation.class_names) - MOST_CLASSES) > 0:
            click.echo(f"{more} more classes are recognized better; --json has them all")
    if (labels := label_table(evaluation)) is not None:
        click.echo()
        print_table(drawn_table(labels))
    if (beside := baseline_table(evaluation)) is not None:
        click.echo()
        print_table(drawn_table(beside))
        say(f"\n{capitalized(beside_baselines(evaluation))}.")
    for sentence in evaluation.comparison.remarks if evaluation.comparison else ():
        say(f"{capitalized(sentence)}.")
    if evaluation.unscored:
        hint = "; --again uses it once more" if evaluation.may_use_again else ""
        say(f"Not scored on the test set: {evaluation.unscored}{hint}")


def _class_table(evaluation: Evaluation) -> Table:
    """Return the scores of each class, and the confusion matrix if it is not too wide.

    Of very many classes there are those that are recognized worst.
    """
    from hpsearch.cli.console import text_table
    from hpsearch.formatting import shortened

    scores = evaluation.test_scores("network")
    assert scores is not None
    names = [shortened(name, LONGEST_CLASS) for name in evaluation.class_names]
    columns = [f"as {name}" for name in names]
    if sum(map(len, columns)) > WIDEST_MATRIX:
        columns = []
    few = len(names) <= MOST_CLASSES
    rows = []
    for number in range(len(names)) if few else scores.worst[:MOST_CLASSES]:
        name, confused = names[number], scores.confusion[number]
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        counts = (str(count or "·") for count in confused if columns)
        rows.append([name, str(sum(confused)), *(f"{value:.4f}" for value in each), *counts])
    return text_table("class", ["rows", "precision", "recall", "F1", *columns], rows)
