"""A study as a whole: plain data for programs, Markdown for its experiment's page in MLflow."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import (
    HEADINGS,
    best_configurations,
    best_value,
    configuration_record,
    configuration_rows,
    seeds_of,
)
from hpsearch.analysis.ranking import (
    best_of_rounds,
    best_trials,
    count_trials,
    format_value,
    metric_of,
    metric_title,
    searched_columns,
    searched_values,
    trial_record,
    validation_of,
)
from hpsearch.evaluation.wording import in_markdown
from hpsearch.space.space import SearchSpace
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import own_trials, run_name, slot_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.analysis.configurations import Configuration


def study_record(study: Study) -> dict[str, Any]:
    """Return a study as plain data: what `--json` prints."""
    trials, best = own_trials(study), best_trials(study, 1)
    counts, settings = count_trials(trials), tomllib.loads(study.user_attrs.get("settings", ""))
    total = settings.get("search", {}).get("trials")
    repeated = best_configurations(study, 1) if seeds_of(study) > 1 else []
    return {
        "study": study.study_name,
        "metric": metric_of(study),
        "validation": validation_of(study),
        "trials": None if total is None else total * seeds_of(study),
        "complete": counts.complete,
        "pruned": counts.pruned,
        "failed": counts.failed,
        "running": counts.running,
        "epochs": sum(len(Curves.of(trial)) for trial in trials),
        "seeds": seeds_of(study),
        "best": repeated[0].mean if repeated else best[0].value if best else None,
        "deviation": repeated[0].deviation if repeated else None,
        "best_configuration": repeated[0].label if repeated else None,
        "best_slot": slot_of(best[0]) if best and not repeated else None,
        "settings": settings,
    }


def best_records(rounds: Sequence[Study], top: int) -> list[dict[str, Any]]:
    """Return the best trials, or of a study with repeats the best configurations, as plain data."""
    if seeds_of(rounds[0]) > 1:
        return [configuration_record(found) for found in best_configurations(rounds[0], top)]
    return [
        {"study": study.study_name} | trial_record(trial)
        for study, trial in best_of_rounds(rounds, top)
    ]


def describe(*rounds: Study) -> str:
    """Return a study, or the rounds of one, as Markdown, for the experiment's page in MLflow."""
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
            f"To do it again, save this as `study.toml`: `{command}`",
            "",
            "```toml",
            first.user_attrs.get("settings", "").strip(),
            "```",
            "",
        ]
    )


def _markdown_line(study: Study, metric: str) -> str:
    trials, best = own_trials(study), best_value(study)
    epochs = sum(len(Curves.of(trial)) for trial in trials)
    found = f"best {metric} **{format_value(best)}**; " if best is not None else ""
    return f"**{study.study_name}**: {found}{count_trials(trials)}; {epochs:,} epochs trained."


def _searched_line(study: Study) -> list[str]:
    """Say what the study searched; a later round's ranges lie around an earlier one's best."""
    table = tomllib.loads(study.user_attrs.get("settings", "")).get("trial", {})
    searched = SearchSpace.from_table(table).searched.items()
    ranges = ", ".join(f"`{name}` {entry}" for name, entry in searched)
    return [f"Searched: {ranges}.", ""] if ranges else []


def _evaluated_lines(rounds: Sequence[Study]) -> list[str]:
    """Say what evaluations found, of several rounds with the name of each."""
    found = ((study.study_name, in_markdown(study)) for study in rounds)
    names = len(rounds) > 1
    told = [f"{name}: {text}" if names else text for name, text in found if text]
    return [line for text in told for line in (text, "")]


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
        cells = [trial.value, len(Curves.of(trial)), *(values.get(name, "") for name in names)]
        rows.append([run_name(study, trial), *map(format_value, cells)])
    return _table(["trial", metric, "epochs", *names], rows)


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows] if rows else []
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)  # of a label, say
    return [f"| {' | '.join(line)} |" for line in escaped]
