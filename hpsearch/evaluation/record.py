"""Evaluation: what an evaluation of a study found, how it is kept, and the same as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.ranking import find_trial
from hpsearch.evaluation.candidates import Candidate, best_found, is_tied
from hpsearch.evaluation.scores import SCORES, Scores
from hpsearch.evaluation.test_set import Look
from hpsearch.formatting import common_format
from hpsearch.trainables.network import trained_config
from hpsearch.trials.slots import EVALUATED

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class Evaluation:
    """The candidates over fresh seeds, and what the final networks of the first one scored.

    candidates: best mean first; the first one is chosen.
    repeats: how many trainings a value in the search is the mean of.
    epochs: how long its final networks were trained, 0 if there are none.
    look: at the test set, with its scores. Where there was none now, `unseen` says why, and it is
    the last one that other networks of this study have had, or None.
    """

    study: str
    metric: str
    seeds: int
    candidates: tuple[Candidate, ...]
    class_names: tuple[str, ...]
    repeats: int = 1
    epochs: int = 0
    look: Look | None = None
    unseen: str = ""

    @property
    def chosen(self) -> Candidate:
        """The candidate with the best mean."""
        return self.candidates[0]

    @property
    def searched_best(self) -> Candidate:
        """The one that was best in the search, the first of equals."""
        sign = -1 if self.chosen.maximize else 1
        return min(self.candidates, key=lambda c: (sign * c.found, c.slot))

    @cached_property
    def tied(self) -> list[Candidate]:
        """Those that cannot be told apart from the chosen one, without it."""
        others = self.candidates[1:]
        return [other for other in others if is_tied(self.chosen, other, len(others))]

    @property
    def score_format(self) -> str:
        """How values of the metric are written."""
        return common_format((each.found for each in self.candidates), self.metric)

    @property
    def in_the_search(self) -> str:
        """What a value in the search is: "in the search", or "in the search, mean of 3"."""
        return "in the search" + (f", mean of {self.repeats}" if self.repeats > 1 else "")

    @property
    def own_look(self) -> Look | None:
        """The look that these very networks have had."""
        return None if self.unseen else self.look

    @property
    def is_scored(self) -> bool:
        """Whether the first final network of the chosen one has looked, be it with fewer others."""
        look = self.look
        return look is not None and (look.slot, look.epochs) == (self.chosen.slot, self.epochs)

    def verdict(self, candidate: Candidate) -> str:
        """Return in a word or two how a candidate did; "" if there is no other."""
        if candidate.diverged:
            return f"diverged in {candidate.diverged} of {len(candidate.values)}"
        if len(self.candidates) == 1:
            return ""
        if candidate is self.chosen:
            return "best"
        return "tied" if candidate in self.tied else "worse"

    def test_scores(self, which: str) -> Scores | None:
        """Return what the "network" or the "ensemble" scored on the test set, if they did."""
        if self.look is None or self.look.scores is None:
            return None
        return Scores(**self.look.scores[which])


def keep_evaluation(study: Study, evaluation: Evaluation) -> None:
    """Keep an evaluation with the study that it is of."""
    study.set_user_attr(EVALUATED, asdict(evaluation))


def last_evaluation(study: Study) -> Evaluation | None:
    """Return the last evaluation of `study`, None if there was none."""
    kept: dict[str, Any] | None = study.user_attrs.get(EVALUATED)
    if kept is None:
        return None
    candidates = (Candidate(**c | {"values": tuple(c["values"])}) for c in kept["candidates"])
    known: dict[str, Any] = {
        "candidates": tuple(candidates),
        "class_names": tuple(kept["class_names"]),
        "look": kept["look"] and Look(**kept["look"]),
    }
    return Evaluation(**kept | known)


def overtaken_by(study: Study, evaluation: Evaluation) -> int | None:
    """Return the trial that the search has found since `evaluation` and that is better than all
    that it knew, None if there is none.
    """
    best = best_found(study, 1)[0]
    known = (find_trial(study, str(each.slot)) for each in evaluation.candidates)
    return None if best.config in [trained_config(trial) for trial in known] else best.slot


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data: what `--json` prints."""
    best, look = evaluation.searched_best, evaluation.look
    return {
        "study": evaluation.study,
        "metric": evaluation.metric,
        "seeds": evaluation.seeds,
        "repeats": evaluation.repeats,
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
        "slot": look.slot,
        "seeds": look.seeds,
        "epochs": look.epochs,
        "searched_by": look.searched_by,
        "classes": list(evaluation.class_names),
        "network": scores.get("network"),
        "ensemble": scores.get("ensemble"),
        "networks": {name: scores.get("networks", {}).get(name) for name in SCORES},
    }
