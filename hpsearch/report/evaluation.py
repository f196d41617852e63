"""What an evaluation found, as a report shows it: tables and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.report.tables import Cell, Table, cell
from hpsearch.scores import SCORES, Scores
from hpsearch.slots import EVALUATION

if TYPE_CHECKING:
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
    found: dict[str, Any] | None = facts.study.user_attrs.get(EVALUATION)
    if found is None:
        return None
    test = found["test"]
    if test is None:
        text = f"The test set was not looked at: {found['unseen']}."
        return Evaluated(_verdict(found), _candidates(facts, found), text)
    network, ensemble = Scores(**test["network"]), Scores(**test["ensemble"])
    text = (
        f"Look {test['look']} at the {network.rows:,} rows of the test set, on {test['date']}: the "
        f"first of {found['seeds']} networks that learned from training and validation rows "
        f"together for {found['epochs']} epochs, and all of them as an ensemble."
    )
    scores = _scores({"one network": network, "ensemble": ensemble})
    return Evaluated(
        _verdict(found),
        _candidates(facts, found),
        text,
        scores,
        _classes(test["classes"], network),
    )


def _verdict(found: dict[str, Any]) -> str:
    tied = [f"trial {each['slot']}" for each in found["candidates"][1:] if each["tied"]]
    told = f" Cannot be told apart from it: {', '.join(tied)}." if tied else ""
    luck = found["luck"]
    kind = "luck" if luck is not None and luck > 0 else "bad luck"
    share = "" if luck is None else f" Of the search's best value {abs(luck):.4f} was {kind}."
    return (
        f"The best {len(found['candidates'])} trained again over {found['seeds']} fresh seeds on "
        f"the same split: trial {found['chosen']} has the best mean.{told}{share}"
    )


def _candidates(facts: Facts, found: dict[str, Any]) -> Table:
    headings = ["trial", facts.title, "±", "95 % from", "to", "in the search", "luck", "verdict"]
    rows = []
    for each in found["candidates"]:
        low, high = each["interval"] or (None, None)
        numbers = [each["mean"], each["deviation"], low, high, each["found"], each["luck"]]
        verdict = "tied" if each["tied"] else "worse"
        if each["slot"] == found["chosen"]:
            verdict = "best"
        if each["diverged"]:
            verdict = f"diverged in {each['diverged']} of {found['seeds']}"
        rows.append([cell(each["slot"]), *map(_fixed, numbers), Cell(verdict)])
    return Table(headings, rows)


def _scores(scored: dict[str, Scores]) -> Table:
    rows = [
        [Cell(name), *(_fixed(getattr(scores, key)) for key in SCORES)]
        + [_fixed(end) for end in scores.accuracy_interval]
        for name, scores in scored.items()
    ]
    return Table(["", *SCORES.values(), "accuracy, 95 % from", "to"], rows)


def _classes(names: list[str], scores: Scores) -> Table:
    """Return the scores of each class, and as what its rows were taken, most frequent first."""
    rows = []
    for number, (name, counts) in enumerate(zip(names, scores.confusion, strict=True)):
        wrong = [(count, names[n]) for n, count in enumerate(counts) if n != number and count]
        taken = ", ".join(f"{other} ({count})" for count, other in sorted(wrong, reverse=True)[:5])
        each = (scores.precision[number], scores.recall[number], scores.f1[number])
        rows.append([Cell(name), cell(sum(counts)), *map(_fixed, each), Cell(taken)])
    return Table(["class", "rows", "precision", "recall", "F1", "wrongly taken for"], rows)


def _fixed(value: float | None) -> Cell:
    """Return a score with four places, which stand one below the other."""
    return Cell("") if value is None else Cell(f"{value:.4f}", value)
