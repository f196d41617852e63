"""Evaluation: what an evaluation of a study found, and the same as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpsearch.looks import Look
from hpsearch.scores import SCORES, Scores
from hpsearch.verdict import Candidate, is_tied


@dataclass(frozen=True)
class Evaluation:
    """The candidates over fresh seeds, and what the final networks of the first one scored.

    candidates: best mean first; the first one is chosen.
    epochs: how long its final networks were trained, 0 if there are none.
    look: at the test set, with its scores; None where there was none, and `unseen` says why.
    """

    study: str
    metric: str
    seeds: int
    candidates: tuple[Candidate, ...]
    class_names: tuple[str, ...]
    epochs: int = 0
    look: Look | None = None
    unseen: str = ""

    @property
    def chosen(self) -> Candidate:
        """The candidate with the best mean."""
        return self.candidates[0]

    @property
    def searched_best(self) -> Candidate:
        """The one that was best in the search."""
        sign = 1 if self.chosen.maximize else -1
        return max(self.candidates, key=lambda c: sign * c.found)

    @property
    def tied(self) -> list[Candidate]:
        """Those that cannot be told apart from the chosen one, without it."""
        return [other for other in self.candidates[1:] if is_tied(self.chosen, other)]

    def test_scores(self, which: str) -> Scores | None:
        """Return what the "network" or the "ensemble" scored on the test set, if they did."""
        if self.look is None or self.look.scores is None:
            return None
        return Scores(**self.look.scores[which])


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data: what `--json` prints."""
    best, look = evaluation.searched_best, evaluation.look
    return {
        "study": evaluation.study,
        "metric": evaluation.metric,
        "seeds": evaluation.seeds,
        "chosen": evaluation.chosen.slot,
        "luck": best.luck,
        "candidates": [_candidate(evaluation, each) for each in evaluation.candidates],
        "epochs": evaluation.epochs,
        "test": None if look is None else _test(evaluation, look),
        "unseen": evaluation.unseen,
    }


def _candidate(evaluation: Evaluation, candidate: Candidate) -> dict[str, Any]:
    tied = candidate is evaluation.chosen or candidate in evaluation.tied
    return {
        "slot": candidate.slot,
        "label": candidate.label,
        "params": candidate.params,
        "found": candidate.found,
        "mean": candidate.mean,
        "deviation": candidate.deviation,
        "interval": candidate.interval,
        "luck": candidate.luck,
        "tied": tied,
        "diverged": candidate.diverged,
        "values": list(candidate.values),
    }


def _test(evaluation: Evaluation, look: Look) -> dict[str, Any]:
    scores = look.scores or {}
    return {
        "look": look.number,
        "date": look.date,
        "digest": look.digest,
        "classes": list(evaluation.class_names),
        "network": scores.get("network"),
        "ensemble": scores.get("ensemble"),
        "networks": {name: scores.get("networks", {}).get(name) for name in SCORES},
    }
