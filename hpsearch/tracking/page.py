"""The page of an MLflow experiment: what the study found, and the command that repeats it."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.analysis.configurations import (
    HEADINGS,
    best_configurations,
    best_value,
    configuration_rows,
)
from hpsearch.analysis.ranking import (
    best_of_rounds,
    count_trials,
    metric_title,
    searched_columns,
    searched_values,
)
from hpsearch.errors import TrackingError
from hpsearch.evaluation.wording import in_markdown
from hpsearch.formatting import format_value
from hpsearch.settings.study import space_of
from hpsearch.tracking.projection import run_name
from hpsearch.trials.records import curves_of, epochs_trained, own_trials, seeds_of, study_file

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.analysis.configurations import Configuration
    from hpsearch.tracking.tracker import Tracker


def update_page(rounds: Sequence[Study], tracker: Tracker) -> None:
    """Write the page of these rounds to MLflow.

    A store that does not answer is a warning: the next update writes the page.
    """
    try:
        tracker.describe(rounds[0], describe(*rounds))
    except TrackingError as error:
        logger.warning("%s", error)


def describe(*rounds: Study) -> str:
    """Return the page of a study, or of the rounds of a search, as Markdown."""
    first, metric = rounds[0], metric_title(rounds[0])
    if seeds_of(first) > 1:
        rows = _configuration_rows(best_configurations(first, 20), metric)
    else:
        rows = _trial_rows(best_of_rounds(rounds, 5), metric)
    again = f" --rounds {len(rounds)}" if len(rounds) > 1 else ""
    command = f"hpsearch study study.toml --name {first.study_name}{again}"
    return "\n".join(
        [
            *(line for study in rounds for line in (_markdown_line(study, metric), "")),
            *_searched_line(first),
            *rows,
            "",
            *_evaluated_lines(rounds),
            *_pruned_line(rounds),
            f"To run it again, save this as `study.toml`: `{command}`",
            "",
            "```toml",
            (study_file(first) or "").strip(),
            "```",
            "",
        ]
    )


def _markdown_line(study: Study, metric: str) -> str:
    trials, best = own_trials(study), best_value(study)
    epochs = sum(epochs_trained(trial) for trial in trials)
    found = f"best {metric} **{format_value(best)}**; " if best is not None else ""
    return f"**{study.study_name}**: {found}{count_trials(trials)}; {epochs:,} epochs trained."


def _searched_line(study: Study) -> list[str]:
    """Say what the first round searched; later rounds search around its best trials."""
    searched = space_of(tomllib.loads(study_file(study) or "")).searched.items()
    ranges = ", ".join(f"`{name}` {entry}" for name, entry in searched)
    return [f"Searched: {ranges}.", ""] if ranges else []


def _evaluated_lines(rounds: Sequence[Study]) -> list[str]:
    """Say what evaluations found, with the name of the round if there are several rounds."""
    texts = ((study.study_name, in_markdown(study)) for study in rounds)
    several = len(rounds) > 1
    found = [f"{name}: {text}" if several else text for name, text in texts if text]
    return [line for text in found for line in (text, "")]


def _pruned_line(rounds: Sequence[Study]) -> list[str]:
    if not any(count_trials(own_trials(study)).pruned for study in rounds):
        return []
    return ["A pruned trial ended early: its run's tag `hpsearch.reason` says when and why.", ""]


def _configuration_rows(best: list[Configuration], metric: str) -> list[str]:
    return _table(["configuration", metric, *HEADINGS], configuration_rows(best, metric))


def _trial_rows(best: list[tuple[Study, FrozenTrial]], metric: str) -> list[str]:
    names = searched_columns(trial for _, trial in best)
    rows = []
    for study, trial in best:
        values = searched_values(trial)
        cells = [trial.value, len(curves_of(trial)), *(values.get(name, "") for name in names)]
        rows.append([run_name(study, trial), *map(format_value, cells)])
    return _table(["trial", metric, "epochs", *names], rows)


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows] if rows else []
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)  # labels may have |
    return [f"| {' | '.join(line)} |" for line in escaped]
