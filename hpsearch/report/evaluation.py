"""What an evaluation found, as a report shows it: tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.evaluation_record import last_evaluation
from hpsearch.evaluation_text import overtaken, sentence, tested, verdict
from hpsearch.report.tables import Cell, Table, cell
from hpsearch.scores import SCORES, Scores

if TYPE_CHECKING:
    from hpsearch.evaluation_record import Evaluation
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
    told = f"{sentence(found)} {sentence(since)}." if since else sentence(found)
    seen = [tested(evaluation)] if evaluation.look else []
    seen += [f"no look now: {evaluation.unseen}"] if evaluation.unseen else []
    text = " ".join(f"{sentence(each)}." for each in seen)
    network, ensemble = evaluation.test_scores("network"), evaluation.test_scores("ensemble")
    if network is None or ensemble is None:
        return Evaluated(told, _candidates(facts, evaluation), text)
    return Evaluated(
        told,
        _candidates(facts, evaluation),
        text,
        _scores({"one network": network, "ensemble": ensemble}),
        _classes(evaluation.class_names, network),
    )


def _candidates(facts: Facts, evaluation: Evaluation) -> Table:
    headings = ["trial", facts.title, "±", "95 % from", "to", "in the search", "luck", "verdict"]
    labels = any(each.label for each in evaluation.candidates)
    rows = []
    for each in evaluation.candidates:
        low, high = each.interval or (None, None)
        values = [each.mean, each.deviation, low, high, each.found, each.luck]
        numbers = [_fixed(value, evaluation.score_format) for value in values]
        label = [Cell(each.label)] if labels else []
        rows.append([cell(each.slot), *numbers, Cell(evaluation.verdict(each)), *label])
    return Table([*headings, *(["label"] if labels else [])], rows)


def _scores(scored: dict[str, Scores]) -> Table:
    rows = [
        [Cell(name), *(_fixed(getattr(scores, key)) for key in SCORES)]
        + [_fixed(end) for end in scores.accuracy_interval]
        for name, scores in scored.items()
    ]
    return Table(["", *SCORES.values(), "accuracy, 95 % from", "to"], rows)


def _classes(names: Sequence[str], scores: Scores) -> Table:
    """Return the scores of each class, and as what its rows were taken, most frequent first."""
    rows = []
    for number, (name, counts) in enumerate(zip(names, scores.confusion, strict=True)):
        wrong = [(count, names[n]) for n, count in enumerate(counts) if n != number and count]
        taken = ", ".join(f"{other} ({count})" for count, other in sorted(wrong, reverse=True)[:5])
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        rows.append([Cell(name), cell(sum(counts)), *map(_fixed, each), Cell(taken)])
    return Table(["class", "rows", "precision", "recall", "F1", "wrongly taken for"], rows)


def _fixed(value: float | None, how: str = ".4f") -> Cell:
    """Return a score with as many places as those above and below it."""
    return Cell("") if value is None else Cell(f"{value:{how}}", value)
