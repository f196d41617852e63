"""An evaluation in sentences, for people: plain ones, and Markdown for MLflow's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.evaluation.record import last_evaluation, overtaken_by
from hpsearch.formatting import format_value, sentence

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.evaluation.record import Evaluation


def verdict(evaluation: Evaluation) -> str:
    """Say what became of the search's best over fresh seeds, and what is as good."""
    best, chosen, tied = evaluation.searched_best, evaluation.chosen, evaluation.tied
    if chosen.mean is None:
        return "every repeat diverged."
    which, parts = f"trial {best.slot}", []
    if evaluation.repeats > 1:
        which = f"the mean of {evaluation.repeats} repeats from {which} on"
    if best.mean is not None:
        mean, luck = f"{best.mean:{evaluation.score_format}}", _luck(evaluation)
        parts.append(
            f"the search's best {evaluation.metric} {format_value(best.found)} ({which}) "
            f"is {mean} over {evaluation.seeds} fresh seeds: {luck}"
        )
    if len(evaluation.candidates) == 1:
        return f"{parts[0]}."
    first = "still the best" if chosen is best else f"trial {chosen.slot} is better on average"
    others = ", ".join(str(other.slot) for other in tied)
    told = f"; cannot be told apart from it: {others}" if tied else ""
    return ". ".join([*parts, f"{first if not parts else sentence(first)}{told}."])


def _luck(evaluation: Evaluation) -> str:
    luck = evaluation.searched_best.luck or 0.0
    if luck > 0:
        return f"{luck:.2g} was luck"
    return f"no luck, {-luck:.2g} better" if luck < 0 else "no luck of the seed"


def tested(evaluation: Evaluation) -> str:
    """Say who looked at the test set and when, and why nobody did now; "" if nobody ever did."""
    look, scores = evaluation.look, evaluation.test_scores("network")
    if look is None or scores is None:
        return ""
    return f"Test set of {scores.rows:,} rows, {look.title}, on {look.date}{_whose(evaluation)}"


def _whose(evaluation: Evaluation) -> str:
    """Say whose look it was, if it was not the evaluation's own."""
    look = evaluation.look
    if look is None or evaluation.own_look:
        return ""
    return f", by {look.seeds} networks of trial {look.slot}"


def overtaken(study: Study, evaluation: Evaluation) -> str:
    """Say whether the search has found something better since, "" if it has not."""
    slot = overtaken_by(study, evaluation)
    if slot is None:
        return ""
    again = f"hpsearch evaluate {study.study_name}"
    return f"trial {slot} has been found since, and is not evaluated: {again}"


def in_markdown(study: Study) -> str:
    """Say in Markdown what the last evaluation of `study` found, "" if there was none."""
    evaluation = last_evaluation(study)
    if evaluation is None:
        return ""
    first, look, tied = evaluation.chosen, evaluation.look, evaluation.tied
    text = f"**Evaluated** over {evaluation.seeds} fresh seeds: trial {first.slot}"
    if first.mean is not None and first.deviation is not None:
        text += f" {first.mean:{evaluation.score_format}} ± {first.deviation:.2g}"
    text += f" ({evaluation.in_the_search}: {format_value(first.found)})"
    text += f", tied with {', '.join(str(other.slot) for other in tied)}" if tied else ""
    alone, together = (evaluation.test_scores(which) for which in ("network", "ensemble"))
    if look is not None and alone is not None and together is not None:
        text += (
            f". On the test set ({look.title}, {look.date}{_whose(evaluation)}): accuracy "
            f"**{alone.accuracy:.4f}**, as an ensemble {together.accuracy:.4f}"
        )
    since = overtaken(study, evaluation)
    return f"{text}.{f' {sentence(since)}.' if since else ''}"
