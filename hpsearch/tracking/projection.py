"""How hpsearch's runs are tagged, named and found in MLflow, and what the run of a trial contains.

The run of a trial is computed from the frozen trial: nothing here reads or writes MLflow.
"""

from __future__ import annotations

import itertools
import json
import math
import posixpath
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from mlflow.entities import Dataset, DatasetInput, Metric, Param
from optuna.trial import TrialState

from hpsearch.space.ranges import shape_name
from hpsearch.trials.records import (
    DONE,
    VALUE,
    config_of,
    curves_of,
    ensure_study_id,
    evaluation_of,
    label_of,
    reason_of,
    repeat_of,
    resumed_after,
    round_number,
    setup_of,
    slot_of,
    was_interrupted,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.trials.records import DataId, Setup

NAME_LENGTH, VALUE_LENGTH = 250, 5_000  # MLflow's limits for keys and, of tags, for values
BEST = "_best"  # the end of the name of the metric that ranks trials
KIND, STUDY, NUMBER = "hpsearch.kind", "hpsearch.study", "hpsearch.number"
ID = "hpsearch.study_id"
PROCESS = "hpsearch.process"  # who writes a run that is none of a trial
SLOT, DRAW = "hpsearch.slot", "hpsearch.draw"
PAGE = "hpsearch.page"
CHECKPOINT = "hpsearch.checkpoint_epoch"  # of the checkpoint among the run's artifacts
NOTE = "mlflow.note.content"  # Markdown that MLflow shows on the page of a run or an experiment
SOURCE = {"mlflow.source.name": "hpsearch", "mlflow.source.type": "LOCAL"}

OF_TRIALS = ("trial", "repeat", "final")  # the kinds of runs that a coordinator looks after
TRIALS_FILTER = f"tags.`{KIND}` = 'trial'"  # MLflow's filter for the runs of trials


def runs_filter(study: Study) -> str:
    """Return MLflow's filter for all runs of `study`, those of trials and those of other kinds."""
    return f"tags.`{ID}` = '{ensure_study_id(study)}'"


def run_name(study: Study, trial: FrozenTrial) -> str:
    """Return the name of a trial's run: trial-0007, r2-trial-0007, repeat-0007-03."""
    repeat = repeat_of(trial) if evaluation_of(study) is not None else None
    name = f"trial-{slot_of(trial):04d}" if repeat is None else repeat.name
    return f"{round_prefix(study)}{name}"


def round_prefix(study: Study) -> str:
    """Return what the names of a later round's runs begin with: "r2-"; "" for a first round."""
    number = round_number(study)
    return f"r{number}-" if number else ""


@dataclass(frozen=True)
class Projection:
    """The contents of an MLflow run; times in ms since 1970, `end` is None while the trial runs."""

    name: str
    tags: dict[str, str]
    params: list[Param]
    metrics: list[Metric]
    inputs: list[DatasetInput]
    start: int
    end: int | None
    status: str


def project_trial(study: Study, trial: FrozenTrial, page: str = "") -> Projection:
    """Return the run of a trial of `study`; in an evaluation, tags say what the trial repeats.

    page: the address of the service that shows the trial too.
    """
    search, tags = evaluation_of(study), dict[str, object]()
    if page and search is None:
        tags[PAGE] = f"{page}/studies/{quote(study.study_name)}/trials/{slot_of(trial)}"
    repeat = repeat_of(trial) if search is not None else None
    if search is not None and repeat is not None:
        tags |= {KIND: repeat.kind, STUDY: search.name, SLOT: repeat.trial, DRAW: repeat.draw}
    return project(study.study_name, trial, run_name(study, trial), tags)


def project(
    study_name: str, trial: FrozenTrial, name: str, tags: Mapping[str, object] | None = None
) -> Projection:
    """Return the run of `trial`, called `name`; `tags` are added to its own or replace them.

    The run of another objective's trial has what it reported and its value as metrics.
    """
    start = _milliseconds(trial, "datetime_start")
    end = _milliseconds(trial, "datetime_complete") if trial.state.is_finished() else None
    setup = setup_of(trial)
    return Projection(
        name=name,
        tags=_tags(study_name, trial, setup, tags or {}),
        params=[Param(key, value) for key, value in _params(trial).items()],
        metrics=_metrics(trial, setup, end),
        inputs=_inputs(setup.data if setup else None),
        start=start or 0,
        end=end,
        status=_status(trial),
    )


def _milliseconds(trial: FrozenTrial, moment: str) -> int | None:
    time = getattr(trial, moment)
    return None if time is None else int(time.timestamp() * 1000)


def _status(trial: FrozenTrial) -> str:
    """Return MLflow's status; a pruned trial is FINISHED, because KILLED looks like a failure."""
    if trial.state in DONE:
        return "FINISHED"
    if trial.state is TrialState.FAIL:
        return "KILLED" if was_interrupted(trial) else "FAILED"
    return "RUNNING"


def _tags(
    study_name: str, trial: FrozenTrial, setup: Setup | None, more: Mapping[str, object]
) -> dict[str, str]:
    tags: dict[str, object] = {
        KIND: "trial",
        STUDY: study_name,
        NUMBER: trial.number,
        SLOT: slot_of(trial),
        "hpsearch.state": trial.state.name.lower(),
        "hpsearch.seed": setup.seed if setup else None,
        "hpsearch.label": label_of(trial) or None,
        "hpsearch.validation": "test" if setup and setup.validation == "test" else None,
        "hpsearch.reason": reason_of(trial),
        "hpsearch.resumed_after": resumed_after(trial) or None,
        **SOURCE,
        **more,
    }
    return {key: str(value)[:VALUE_LENGTH] for key, value in tags.items() if value is not None}


def _params(trial: FrozenTrial) -> dict[str, str]:
    """Return the parameters as MLflow takes them; another objective may call them anything."""
    found: dict[str, str] = {}
    for key, value in (config_of(trial) or trial.params).items():
        text = shape_name(tuple(value)) if isinstance(value, list) else str(value)
        found[_allowed_name(str(key), found)] = text[:VALUE_LENGTH]
    return found


def _allowed_name(name: str, taken: Container[str]) -> str:
    """Return `name` as MLflow allows it, and not one of those taken.

    MLflow allows letters, digits and `_-. :/` in up to 250 characters, and reads slashes as those
    of a path.
    """
    allowed = re.sub(r"[^\w\-. :/]", "_", name)[:NAME_LENGTH]
    if posixpath.normpath(allowed) != allowed or allowed.startswith((".", "/")):
        allowed = "_" + allowed.replace("/", "_")[: NAME_LENGTH - 1]
    if allowed not in taken:
        return allowed
    return next(
        other
        for number in itertools.count(2)
        if (other := f"{allowed[: NAME_LENGTH - 10]}_{number}") not in taken
    )


def _metrics(trial: FrozenTrial, setup: Setup | None, end: int | None) -> list[Metric]:
    curves = curves_of(trial)
    points = [
        Metric(name, value, time, epoch)
        for name, values in curves.values.items()
        for epoch, (value, time) in enumerate(zip(values, curves.times, strict=True), start=1)
        if value is not None
    ]
    if setup is None and end is not None:
        values = trial.values or []
        several = [f"{VALUE}_{number}" for number in range(len(values))]
        names = several if len(values) > 1 else [f"{VALUE}{BEST}"]
        finite = ((name, v) for name, v in zip(names, values, strict=False) if math.isfinite(v))
        points += [Metric(name, value, end, 0) for name, value in finite]
    found = setup.judged(curves) if setup else None
    if end is not None and setup is not None and found is not None:
        # At step 0: MLflow draws one bar per run for a metric whose only step is 0.
        metric, (best_epoch, best) = setup.metric, found
        ends = {f"{metric}{BEST}": best, "best_epoch": best_epoch, "epochs": len(curves)}
        points += [Metric(name, value, end, 0) for name, value in ends.items()]
    return points


def _inputs(data: DataId | None) -> list[DatasetInput]:
    if data is None:
        return []
    source = json.dumps({"source": data.source, "digest": data.digest})
    # Eight digits, as MLflow's own data sets have, leave room in the table of runs.
    return [DatasetInput(Dataset(data.name, data.digest[:8], "hpsearch", source))]
