"""What an evaluation found, as a report shows it: tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.analysis.tables import Cell, Table, cell, fixed
from hpsearch.evaluation.record import last_evaluation
from hpsearch.evaluation.tables import candidate_table, score_table
from hpsearch.evaluation.wording import overtaken, tested, verdict
from hpsearch.formatting import capitalized

if TYPE_CHECKING:
    from hpsearch.evaluation.scores import Scores
    from hpsearch.report.facts import Facts


@dataclass(frozen=True)
class Evaluated:
    """The candidates over fresh seeds; and where the test set was looked at, the scores there."""

    verdict: str
    candidates: Table
    tested: str
    scores: Table | None = None
    classes: Table | None = None


def evaluated(facts: Facts) -> Evaluated | None:
    """Return what the study's last evaluation found, None if there was none."""
    evaluation = last_evaluation(facts.study)
    if evaluation is None:
        return None
    found, since = verdict(evaluation), overtaken(facts.study, evaluation)
    told = f"{capitalized(found)} {capitalized(since)}." if since else capitalized(found)
    seen = [tested(evaluation)] if evaluation.test_use else []
    seen += [f"no look now: {evaluation.unscored}"] if evaluation.unscored else []
    text = " ".join(f"{capitalized(each)}." for each in seen)
    network = evaluation.test_scores("network")
    classes = None if network is None else _classes(evaluation.class_names, network)
    return Evaluated(told, candidate_table(evaluation), text, score_table(evaluation), classes)


def _classes(names: Sequence[str], scores: Scores) -> Table:
    """Return the scores of each class, and as what its rows were taken, most frequent first."""
    rows = []
    for number, (name, counts) in enumerate(zip(names, scores.confusion, strict=True)):
        wrong = [(count, names[n]) for n, count in enumerate(counts) if n != number and count]
        taken = ", ".join(f"{other} ({count})" for count, other in sorted(wrong, reverse=True)[:5])
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        rows.append([Cell(name), cell(sum(counts)), *map(fixed, each), Cell(taken)])
    return Table(["class", "rows", "precision", "recall", "F1", "wrongly taken for"], rows)
