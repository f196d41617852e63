"""A study as a whole: plain data for programs, Markdown for its experiment's page in MLflow."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.configurations import (
    best_configurations,
    configuration_record,
    seeds_of,
)
from hpsearch.analysis.ranking import (
    best_of_rounds,
    best_trials,
    count_trials,
    metric_of,
    trial_record,
    validation_of,
)
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import own_trials, slot_of

if TYPE_CHECKING:
    from optuna.study import Study


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
