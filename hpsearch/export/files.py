"""What `export` writes about a trial: a study file, a record or a network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import tomlkit

from hpsearch.analysis.ranking import best_epoch, trial_record
from hpsearch.formatting import format_value
from hpsearch.search.study import study_name
from hpsearch.settings.names import with_suffix
from hpsearch.settings.study import StudySettings
from hpsearch.storage.catalog import single_trial_settings, study_settings
from hpsearch.trials.records import config_of, data_of, metric_of, slot_of, study_file

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def export_record(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial with its data, seed and draw as plain data; raise StudyError."""
    if study_file(study) is None:
        return {"study": study.study_name, "metric": metric_of(study)} | trial_record(trial)
    settings, data = study_settings(study), data_of(trial)
    if data is None:
        trained = {"model": None if settings.model is None else settings.model.as_table()}
    else:
        trained = {"data": {**asdict(data), **settings.data.as_table()}}
    return {
        "study": study.study_name,
        "metric": settings.search.metric,
        **trained,
        "seed": settings.search.seed,
        "draw": settings.search.draw(slot_of(trial)),
    } | trial_record(trial)


def single_trial(study: Study, trial: FrozenTrial) -> StudySettings:
    """Return the settings of a study whose only trial repeats `trial` bit for bit.

    Its slot 0 gets the draw of weights and batches that the trial had. Raises StudyError.
    """
    search = study_settings(study).search
    return single_trial_settings(
        study,
        name=with_suffix(study.study_name, f".trial-{slot_of(trial)}"),
        trial=config_of(trial),
        seed=search.seed,
        first_draw=search.draw(slot_of(trial)),
    )


def as_study_file(study: Study, trial: FrozenTrial) -> str:
    """Return the study file of `single_trial`, with comments that explain it; raise StudyError.

    Of a study that hpsearch did not start, only the parameters are known.
    """
    if study_file(study) is None:
        value = format_value(trial.value)
        heading = f"# Trial {slot_of(trial)} of {study.study_name}: value {value}"
        return f"{heading}\n\n{tomlkit.dumps({'trial': trial.params})}"
    settings = single_trial(study, trial)
    result = f"{settings.search.metric} {format_value(trial.value)} at epoch {best_epoch(trial)}"
    comments = [
        f"Trial {slot_of(trial)} of {study.study_name}: {result}",
        "",
        f"hpsearch study FILE trains it again as {study_name(settings)}: the same configuration",
        "and, because of seed and first_draw, the same weights and batches.",
    ]
    lines = [f"# {line}".rstrip() for line in comments]
    return "\n".join([*lines, "", settings.to_toml()])
