"""What a trial looks like in MLflow: a pure function from a frozen trial to a run's contents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, Metric, Param
from optuna.trial import TrialState

from hpsearch.space.ranges import shape_name
from hpsearch.trials.curves import Curves
from hpsearch.trials.slots import DONE, reason_of, slot_of, was_interrupted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST = "_best"  # ends the name of the metric that a trial is judged by
KIND, STUDY, NUMBER = "hpsearch.kind", "hpsearch.study", "hpsearch.number"
SLOT, DRAW = "hpsearch.slot", "hpsearch.draw"
TRIALS = f"tags.`{KIND}` = 'trial'"  # which runs of an experiment are trials
NOTE = "mlflow.note.content"  # what a person reads on a page, as Markdown
SOURCE = {"mlflow.source.name": "hpsearch", "mlflow.source.type": "LOCAL"}


@dataclass(frozen=True)
class Projection:
    """One MLflow run; times in ms since 1970, `end` is None while the trial runs."""

    name: str
    tags: dict[str, str]
    params: list[Param]
    metrics: list[Metric]
    inputs: list[DatasetInput]
    start: int
    end: int | None
    status: str


def project(
    study_name: str, trial: FrozenTrial, name: str, tags: Mapping[str, object] | None = None
) -> Projection:
    """Return the run of `trial`, called `name`; `tags` are said besides or instead of the usual.

    Trials of other objectives have no curves.
    """
    start = _milliseconds(trial, "datetime_start")
    end = _milliseconds(trial, "datetime_complete") if trial.state.is_finished() else None
    setup = trial.user_attrs.get("setup", {})
    return Projection(
        name=name,
        tags=_tags(study_name, trial, setup, tags or {}),
        params=[Param(key, str(value)) for key, value in _params(trial, setup).items()],
        metrics=_metrics(trial, setup.get("metric"), end),
        inputs=_inputs(setup.get("data")),
        start=start or 0,
        end=end,
        status=_status(trial),
    )


def _milliseconds(trial: FrozenTrial, moment: str) -> int | None:
    time = getattr(trial, moment)
    return None if time is None else int(time.timestamp() * 1000)


def _status(trial: FrozenTrial) -> str:
    """A pruned trial is finished: one marked KILLED looks like a failure in the UI."""
    if trial.state in DONE:
        return "FINISHED"
    if trial.state is TrialState.FAIL:
        return "KILLED" if was_interrupted(trial) else "FAILED"
    return "RUNNING"


def _tags(
    study_name: str, trial: FrozenTrial, setup: dict[str, Any], more: Mapping[str, object]
) -> dict[str, str]:
    tags: dict[str, object] = {
        KIND: "trial",
        STUDY: study_name,
        NUMBER: trial.number,
        SLOT: slot_of(trial),
        "hpsearch.state": trial.state.name.lower(),
        "hpsearch.seed": setup.get("seed"),
        "hpsearch.label": setup.get("label"),
        "hpsearch.validation": setup.get("validation"),  # "test": on the official test set
        "hpsearch.reason": reason_of(trial),
        **SOURCE,
        **more,
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def _params(trial: FrozenTrial, setup: dict[str, Any]) -> dict[str, Any]:
    config = setup.get("config", trial.params)
    return {
        key: shape_name(tuple(value)) if isinstance(value, list) else value
        for key, value in config.items()
    }


def _metrics(trial: FrozenTrial, metric: str | None, end: int | None) -> list[Metric]:
    curves = Curves.of(trial)
    points = [
        Metric(name, value, time, epoch)
        for name, values in curves.values.items()
        for epoch, (value, time) in enumerate(zip(values, curves.times, strict=True), start=1)
    ]
    if end is not None and len(curves) and metric in curves.values:
        # At step 0, for the UI draws a bar a run for a metric that has only that one.
        best_epoch, best = curves.best(metric)
        ends = {f"{metric}{BEST}": best, "best_epoch": best_epoch, "epochs": len(curves)}
        points += [Metric(name, value, end, 0) for name, value in ends.items()]
    return points


def _inputs(data: dict[str, str] | None) -> list[DatasetInput]:
    if data is None:
        return []
    source = json.dumps({"source": data["source"], "digest": data["digest"]})
    # Eight digits, as MLflow's own data sets have them, leave room in the table of runs.
    return [DatasetInput(Dataset(data["name"], data["digest"][:8], "hpsearch", source))]
