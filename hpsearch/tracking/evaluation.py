"""An evaluation in MLflow: one run with its result, beside the runs of the networks it trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlflow.entities import Metric, RunTag

from hpsearch.analysis.ranking import find_trial
from hpsearch.evaluation.record import evaluation_record, last_evaluation
from hpsearch.evaluation.scores import SCORES
from hpsearch.evaluation.wording import in_markdown
from hpsearch.tracking.artifacts import as_files, kept_run, log_files, run_title
from hpsearch.tracking.projection import ID, KIND, NOTE, SLOT, STUDY, project
from hpsearch.tracking.runs import find_runs
from hpsearch.trials.records import ensure_study_id, experiment_name, metric_of

if TYPE_CHECKING:
    from optuna.study import Study

    from hpsearch.evaluation.record import Evaluation
    from hpsearch.tracking.store import TrackingStore

EVALUATION = "evaluation"  # both the kind and the name of the run
# The keys of the last two are those of version 0.1: runs are found by these tags.
SEEDS, USE, USED = "hpsearch.seeds", "hpsearch.look", "hpsearch.looked"


def log_evaluation(store: TrackingStore, study: Study, evaluation: Evaluation) -> None:
    """Write an evaluation and its figures to its run; raise TrackingError.

    An evaluation with another result gets a run of its own.
    """
    from hpsearch.figures.evaluation import draw_evaluation  # matplotlib takes a second

    use, identity = evaluation.own_use, _identity(study, evaluation)
    text = {USED: use.date if use else evaluation.unscored, NOTE: in_markdown(study)}
    trial = find_trial(study, str(evaluation.chosen.slot))
    trained = project(study.study_name, trial, EVALUATION)
    with kept_run(store, experiment_name(study), identity, run_title(study, EVALUATION)) as run_id:
        tags = [RunTag(key, value) for key, value in text.items()]
        metrics = [Metric(key, value, 0, 0) for key, value in _metrics(study, evaluation).items()]
        store.client.log_batch(run_id, metrics, trained.params, tags, synchronous=True)
        store.log_inputs(run_id, trained.inputs)
        record = json.dumps(evaluation_record(evaluation), indent=2)
        figures = as_files(draw_evaluation(evaluation))
        log_files(store, run_id, {f"{EVALUATION}.json": record, **figures})


def log_missing_evaluation(store: TrackingStore, study: Study) -> int:
    """Write the run of the last evaluation of `study` if it is missing; return 1 if it was, else 0.

    Raises TrackingError.
    """
    evaluation = last_evaluation(study)
    if evaluation is None:
        return 0
    experiment_id = store.open_experiment(experiment_name(study))
    with store.errors():
        known = find_runs(store, experiment_id, _identity(study, evaluation), "FINISHED")
    if known:
        return 0
    log_evaluation(store, study, evaluation)
    return 1


def delete_evaluation(store: TrackingStore, study: Study) -> None:
    """Delete the runs of all evaluations of `study`; raise TrackingError."""
    experiment_id = store.experiment_id(experiment_name(study))
    if experiment_id is not None:
        with store.errors():
            for run in find_runs(
                store, experiment_id, {KIND: EVALUATION, ID: ensure_study_id(study)}
            ):
                store.client.delete_run(run.info.run_id)


def _identity(study: Study, evaluation: Evaluation) -> dict[str, str]:
    """Return the tags that tell the run of this evaluation from the runs of others."""
    use = evaluation.own_use
    return {
        KIND: EVALUATION,
        STUDY: study.study_name,
        ID: ensure_study_id(study),
        SLOT: str(evaluation.chosen.slot),
        SEEDS: str(evaluation.seeds),
        USE: str(use.number) if use else "none",
    }


def _metrics(study: Study, evaluation: Evaluation) -> dict[str, float]:
    """Return the chosen candidate's results over fresh seeds and any on the test set."""
    metric, chosen = metric_of(study), evaluation.chosen
    values = {
        f"{metric}_mean": chosen.mean,
        f"{metric}_deviation": chosen.deviation,
        f"{metric}_luck": chosen.luck,
    }
    prefixes = {"network": "test/", "ensemble": "test/ensemble_"} if evaluation.own_use else {}
    for which, prefix in prefixes.items():
        if scores := evaluation.test_scores(which):
            values |= {f"{prefix}{name}": getattr(scores, name) for name in SCORES}
    if evaluation.own_use:
        values |= evaluation.first_scores
    return {key: value for key, value in values.items() if value is not None}
