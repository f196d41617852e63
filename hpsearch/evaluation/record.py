"""Evaluation: the result of `evaluate`, how it is stored with its study, and the same for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.ranking import find_trial
from hpsearch.evaluation.baselines import Comparison
from hpsearch.evaluation.candidates import Candidate, best_results, configuration_key, is_tied
from hpsearch.evaluation.on_test_rows import OnTestRows
from hpsearch.evaluation.scores import COMPARISON, MODELS, SCORES, TESTED, THRESHOLD, Scores
from hpsearch.evaluation.test_set import LoggedUse
from hpsearch.trials.metrics import common_format
from hpsearch.trials.records import evaluation_table, write_evaluation_table

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class Evaluation:
    """The candidates over fresh seeds, and the test scores of the best one's final networks.

    candidates: best mean first; the first one is chosen.
    repeats: a value in the search is the mean of this many trainings.
    epochs: how long the final networks were trained; 0 if there are none.
    test_use: the use of the test set, with its scores. Where these networks have not used it,
    `unscored` says why, and `test_use` is the last one by other networks of this study, or None.
    """

    study: str
    metric: str
    seeds: int
    candidates: tuple[Candidate, ...]
    class_names: tuple[str, ...]
    repeats: int = 1
    epochs: int = 0
    test_use: LoggedUse | None = None
    unscored: str = ""

    @property
    def chosen(self) -> Candidate:
        """The candidate with the best mean."""
        return self.candidates[0]

    @property
    def searched_best(self) -> Candidate:
        """The candidate that was best in the search, the first of equals."""
        sign = -1 if self.chosen.maximize else 1
        return min(self.candidates, key=lambda c: (sign * c.search_value, c.slot))

    @cached_property
    def tied(self) -> list[Candidate]:
        """The other candidates that cannot be told apart from the chosen one."""
        others = self.candidates[1:]
        return [other for other in others if is_tied(self.chosen, other, len(others))]

    @property
    def score_format(self) -> str:
        """The format of values of the metric."""
        return common_format((each.search_value for each in self.candidates), self.metric)

    @property
    def in_the_search(self) -> str:
        """The heading of values in the search: "in the search", or "in the search, mean of 3"."""
        return "in the search" + (f", mean of {self.repeats}" if self.repeats > 1 else "")

    @property
    def own_use(self) -> LoggedUse | None:
        """The use of the test set by exactly these networks."""
        return None if self.unscored else self.test_use

    @property
    def is_scored(self) -> bool:
        """Whether the first final network has been scored, perhaps with fewer others."""
        use = self.test_use
        return use is not None and (use.slot, use.epochs) == (self.chosen.slot, self.epochs)

    @property
    def may_use_again(self) -> bool:
        """Whether the final networks are unscored only because the test set was used before."""
        return bool(self.unscored and self.epochs)

    def verdict(self, candidate: Candidate) -> str:
        """Return in a word or two how a candidate did; "" if it is the only one."""
        if candidate.diverged:
            return f"diverged in {candidate.diverged} of {len(candidate.values)}"
        if len(self.candidates) == 1:
            return ""
        if candidate is self.chosen:
            return "best"
        return "tied" if candidate in self.tied else "worse"

    def test_scores(self, which: str) -> Scores | None:
        """Return the test scores of the "network" or the "ensemble", None if there are none."""
        if self.test_use is None or which not in (self.test_use.scores or {}):
            return None
        return Scores(**(self.test_use.scores or {})[which])

    @property
    def threshold(self) -> tuple[str, float] | None:
        """The class that counts as positive, and from which probability on; None if not chosen."""
        scores = (self.test_use and self.test_use.scores) or {}
        if THRESHOLD not in scores:
            return None
        positive, value = scores[THRESHOLD]
        return self.class_names[int(positive)], float(value)

    @property
    def tested(self) -> OnTestRows | None:
        """What the final models do on the test rows, None if an earlier version tested them."""
        scores = (self.test_use and self.test_use.scores) or {}
        return OnTestRows.of_plain(scores[TESTED]) if TESTED in scores else None

    @property
    def comparison(self) -> Comparison | None:
        """The first final network beside baselines, None if there is none."""
        scores = (self.test_use and self.test_use.scores) or {}
        return Comparison.of_plain(scores[COMPARISON]) if COMPARISON in scores else None

    @property
    def first_scores(self) -> dict[str, float]:
        """The test scores of the first final model, as {"test/accuracy": 0.97}."""
        scores = {name: values[0] for name, values in self.model_scores.items() if values}
        if (network := self.test_scores("network")) is not None:
            scores |= {f"test/{name}": getattr(network, name) for name in SCORES}
        if self.tested is not None:
            known = {f"test/{each.name}": each.first for each in self.tested.scores}
            scores |= {name: value for name, value in known.items() if value is not None}
        return scores

    @property
    def model_scores(self) -> dict[str, list[float]]:
        """The test scores of numbers, or of a user's own model: by name, one for each draw."""
        scores = (self.test_use and self.test_use.scores) or {}
        return {
            name: [value for value in values if value is not None]
            for name, values in scores.get(MODELS, {}).items()
        }


def keep_evaluation(study: Study, evaluation: Evaluation) -> None:
    """Store an evaluation with the study that it evaluates.

    Some keys are those of version 0.1, which has to read what this version writes and vice versa.
    """
    table = asdict(evaluation)
    table["look"], table["unseen"] = table.pop("test_use"), table.pop("unscored")
    for candidate in table["candidates"]:
        candidate["found"] = candidate.pop("search_value")
    write_evaluation_table(study, table)


def last_evaluation(study: Study) -> Evaluation | None:
    """Return the last evaluation of `study`, None if there is none."""
    table = evaluation_table(study)
    if table is None:
        return None
    table = dict(table)
    use, unscored = table.pop("look"), table.pop("unseen")
    table["candidates"] = tuple(map(_read_candidate, table["candidates"]))
    table["class_names"] = tuple(table["class_names"])
    return Evaluation(**table, test_use=use and LoggedUse(**use), unscored=unscored)


def _read_candidate(table: dict[str, Any]) -> Candidate:
    others = {key: value for key, value in table.items() if key not in ("found", "values")}
    return Candidate(**others, search_value=table["found"], values=tuple(table["values"]))


def overtaken_by(study: Study, evaluation: Evaluation) -> int | None:
    """Return the trial that the search has found since and that beats all candidates, or None."""
    best = best_results(study, 1)[0]
    known = (find_trial(study, str(each.slot)) for each in evaluation.candidates)
    known_keys = map(configuration_key, known)
    return None if configuration_key(best.trial) in known_keys else best.slot


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data: what `--json` prints."""
    best, use = evaluation.searched_best, evaluation.test_use
    return {
        "study": evaluation.study,
        "metric": evaluation.metric,
        "seeds": evaluation.seeds,
        "repeats": evaluation.repeats,
        "chosen": evaluation.chosen.slot,
        "luck": best.luck,
        "candidates": [_candidate_record(evaluation, each) for each in evaluation.candidates],
        "epochs": evaluation.epochs,
        "test": None if use is None else _test_record(evaluation, use),
        "unseen": evaluation.unscored,
    }


def _candidate_record(evaluation: Evaluation, candidate: Candidate) -> dict[str, Any]:
    tied = candidate is evaluation.chosen or candidate in evaluation.tied
    return {
        "slot": candidate.slot,
        "label": candidate.label,
        "params": candidate.params,
        "found": candidate.search_value,
        "mean": candidate.mean,
        "deviation": candidate.deviation,
        "interval": candidate.interval,
        "luck": candidate.luck,
        "tied": tied,
        "diverged": candidate.diverged,
        "values": list(candidate.values),
    }


def _test_record(evaluation: Evaluation, use: LoggedUse) -> dict[str, Any]:
    scores = use.scores or {}
    return {
        "look": use.number,
        "date": use.date,
        "digest": use.digest,
        "slot": use.slot,
        "seeds": use.seeds,
        "epochs": use.epochs,
        "searched_by": use.searched_by,
        "classes": list(evaluation.class_names),
        "network": scores.get("network"),
        "ensemble": scores.get("ensemble"),
        "networks": {name: scores.get("networks", {}).get(name) for name in SCORES},
        **({MODELS: evaluation.model_scores} if evaluation.model_scores else {}),
        **({THRESHOLD: scores[THRESHOLD]} if THRESHOLD in scores else {}),
        **{key: scores[key] for key in (TESTED, COMPARISON) if key in scores},
    }
