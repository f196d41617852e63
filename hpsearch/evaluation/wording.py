"""An evaluation in sentences, for people: plain ones, and Markdown for MLflow's pages."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from hpsearch.errors import Command, Sentence
from hpsearch.evaluation.record import last_evaluation, overtaken_by
from hpsearch.formatting import capitalized, format_value, joined
from hpsearch.trials.metrics import common_format

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.evaluation.record import Evaluation


DUST = 1e-12  # a difference by rounding


def verdict(evaluation: Evaluation) -> str:
    """Say how good the search's best is over fresh seeds, and which candidates are as good."""
    best, chosen, tied = evaluation.searched_best, evaluation.chosen, evaluation.tied
    if chosen.mean is None:
        return "every repeat diverged."
    which, parts = f"trial {best.slot}", []
    if evaluation.repeats > 1:
        which = f"the mean of {evaluation.repeats} repeats, the first of them {which}"
    if best.mean is not None:
        mean, luck = f"{best.mean:{evaluation.score_format}}", _luck(evaluation)
        parts.append(
            f"the search's best {evaluation.metric} {format_value(best.search_value)} ({which}) "
            f"is {mean} over {evaluation.seeds} fresh seeds: {luck}"
        )
    if len(evaluation.candidates) == 1:
        return f"{parts[0]}."
    first = "still the best" if chosen is best else f"trial {chosen.slot} is better on average"
    others = ", ".join(str(other.slot) for other in tied)
    ties = f"; cannot be told apart from it: {others}" if tied else ""
    return ". ".join([*parts, f"{first if not parts else capitalized(first)}{ties}."])


def _luck(evaluation: Evaluation) -> str:
    luck = evaluation.searched_best.luck or 0.0
    if abs(luck) < DUST:
        return "no luck"
    if luck > 0:
        return f"{luck:.2g} was luck"
    return f"no luck, it is {-luck:.2g} better"


def tested(evaluation: Evaluation) -> str:
    """Say which test set was used, how often and by whom; "" if no use has scores."""
    use, scores = evaluation.test_use, evaluation.test_scores("network")
    found = evaluation.tested
    if use is not None and found is None and evaluation.model_scores:
        return f"Test rows of the model, {use.title}, on {use.date}{_by(evaluation)}"
    if use is None or (scores is None and found is None):
        return ""
    rows = found.rows if found is not None else scores.rows if scores is not None else 0
    text = f"Test set of {rows:,} rows, {use.title}, on {use.date}{_by(evaluation)}"
    if evaluation.threshold is None:
        return text
    name, value = evaluation.threshold
    return f"{text}; {name!r} from a probability of {value:.3g} on"


def beside_baselines(evaluation: Evaluation) -> str:
    """Say whether the model is better than the baselines, "" if there are none."""
    found = evaluation.comparison
    if found is None or not found.baselines:
        return ""
    words = {"better": "better than", "tied": "tied with", "worse": "worse than"}
    parts = [
        f"{word} {joined(names)}"
        for verdict, word in words.items()
        if (names := found.with_verdict(verdict))
    ]
    return f"on these rows {found.subject} is {', '.join(parts)} by {found.metric}"


def _by(evaluation: Evaluation) -> str:
    """Say which networks used the test set, if not the evaluation's own."""
    use = evaluation.test_use
    if use is None or evaluation.own_use:
        return ""
    return f", by {use.seeds} networks of trial {use.slot}"


def overtaken(study: Study, evaluation: Evaluation) -> str:
    """Say that the search has found something better since, "" if it has not."""
    slot = overtaken_by(study, evaluation)
    if slot is None:
        return ""
    command = Command("evaluate", study.study_name)
    return Sentence(f"trial {slot} is better and has not been evaluated: ", command)


def in_markdown(study: Study) -> str:
    """Return the last evaluation of `study` as a Markdown sentence, "" if there is none."""
    evaluation = last_evaluation(study)
    if evaluation is None:
        return ""
    first, use, tied = evaluation.chosen, evaluation.test_use, evaluation.tied
    text = f"**Evaluated** over {evaluation.seeds} fresh seeds: trial {first.slot}"
    if first.mean is not None and first.deviation is not None:
        text += f" {first.mean:{evaluation.score_format}} ± {first.deviation:.2g}"
    text += f" ({evaluation.in_the_search}: {format_value(first.search_value)})"
    text += f", tied with {', '.join(str(other.slot) for other in tied)}" if tied else ""
    alone, together = (evaluation.test_scores(which) for which in ("network", "ensemble"))
    first_score = evaluation.tested and evaluation.tested.scores[0]
    if use is not None and first_score and first_score.first is not None:
        text += f". On the test set ({use.title}, {use.date}{_by(evaluation)}): {first_score.name}"
        how = common_format([first_score.first], first_score.name)
        text += f" **{first_score.first:{how}}**"
        if first_score.together is not None:
            text += f", as an ensemble {first_score.together:{how}}"
    elif use is not None and alone is not None and together is not None:
        text += (
            f". On the test set ({use.title}, {use.date}{_by(evaluation)}): accuracy "
            f"**{alone.accuracy:.4f}**, as an ensemble {together.accuracy:.4f}"
        )
    elif use is not None and evaluation.model_scores:
        found = ", ".join(
            f"{name} **{format_value(fmean(values))}**"
            for name, values in evaluation.model_scores.items()
        )
        text += f". On the test rows ({use.title}, {use.date}{_by(evaluation)}): {found}"
    since = overtaken(study, evaluation)
    return f"{text}.{f' {capitalized(since)}.' if since else ''}"
