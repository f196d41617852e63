"""The evaluation section of a report: sentences and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.analysis.tables import Cell, Table, cell, fixed
from hpsearch.evaluation.record import last_evaluation
from hpsearch.evaluation.tables import baseline_table, candidate_table, label_table, score_table
from hpsearch.evaluation.wording import beside_baselines, overtaken, tested, verdict
from hpsearch.formatting import capitalized
from hpsearch.report.charts.base import Panels
from hpsearch.report.charts.on_test_rows import panels_on_test_rows

if TYPE_CHECKING:
    from hpsearch.evaluation.record import Evaluation
    from hpsearch.evaluation.scores import Scores
    from hpsearch.report.facts import Facts

MOST_CLASSES = 200  # rows of the table


@dataclass(frozen=True)
class EvaluationSection:
    """The candidates over fresh seeds, and their test scores if the test set was used."""

    verdict: str
    candidates: Table
    tested: str
    scores: Table | None = None
    classes: Table | None = None
    baselines: Table | None = None
    beside: str = ""
    remarks: tuple[str, ...] = ()
    panels: Sequence[Panels] = ()


def evaluation_section(facts: Facts) -> EvaluationSection | None:
    """Return the section on the study's last evaluation, None if there is none."""
    evaluation = last_evaluation(facts.study)
    if evaluation is None:
        return None
    summary, since = capitalized(verdict(evaluation)), overtaken(facts.study, evaluation)
    network, found = evaluation.test_scores("network"), evaluation.comparison
    return EvaluationSection(
        verdict=f"{summary} {capitalized(since)}." if since else summary,
        candidates=candidate_table(evaluation),
        tested=_tested(evaluation),
        scores=score_table(evaluation),
        classes=label_table(evaluation)
        if network is None
        else class_table(evaluation.class_names, network),
        baselines=baseline_table(evaluation),
        beside=_sentence(beside_baselines(evaluation)),
        remarks=tuple(_sentence(each) for each in found.remarks) if found else (),
        panels=panels_on_test_rows(evaluation),
    )


def _sentence(text: str) -> str:
    return f"{capitalized(text)}." if text else ""


def _tested(evaluation: Evaluation) -> str:
    """Return sentences on the use of the test set, and on why these networks have not used it."""
    sentences = [tested(evaluation)] if evaluation.test_use else []
    if evaluation.unscored:
        sentences.append(f"not scored on the test set: {evaluation.unscored}")
    return " ".join(f"{capitalized(each)}." for each in sentences)


def class_table(names: Sequence[str], scores: Scores) -> Table:
    """Return the scores of each class, and the classes it is mistaken for, most frequent first.

    Of very many classes there are those that are recognized worst.
    """
    rows = []
    few = len(names) <= MOST_CLASSES
    for number in range(len(names)) if few else scores.worst[:MOST_CLASSES]:
        name, counts = names[number], scores.confusion[number]
        wrong = [(count, names[n]) for n, count in enumerate(counts) if n != number and count]
        mistakes = ", ".join(
            f"{other} ({count})" for count, other in sorted(wrong, reverse=True)[:5]
        )
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        rows.append([Cell(name), cell(sum(counts)), *map(fixed, each), Cell(mistakes)])
    return Table(["class", "rows", "precision", "recall", "F1", "mistaken for"], rows)
