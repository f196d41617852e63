"""The winner of a study: which trial it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from hpsearch.analysis.configurations import best_configurations
from hpsearch.analysis.ranking import best_trials, find_trial, no_best, rank
from hpsearch.errors import StudyError
from hpsearch.evaluation.record import evaluation_record, last_evaluation, overtaken_by
from hpsearch.export.files import export_record
from hpsearch.storage.catalog import study_settings
from hpsearch.trials.records import (
    seeds_of,
    slot_of,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.evaluation.record import Evaluation


def winning_trial(study: Study, slot: int | None = None) -> FrozenTrial:
    """Return the trial in `slot`; without a slot, the one that an evaluation chose, else the best.

    Raises StudyError.
    """
    evaluation = standing_evaluation(study) if slot is None else None
    return trial_of_winner(study, evaluation, slot)


def choose_trial(study: Study, slot: int | None = None) -> FrozenTrial:
    """Return the trial in `slot`, which must be complete; without a slot, the best one.

    If the study repeats its configurations, that is the best repeat of the best configuration.
    Raises StudyError.
    """
    if slot is not None:
        trial = find_trial(study, str(slot))
        if trial.state is not TrialState.COMPLETE:
            state = {TrialState.FAIL: "failed", TrialState.PRUNED: "was pruned"}
            what = state.get(trial.state, "is still running")
            raise StudyError(
                f"{trial_title(study, trial)} {what}; only a completed trial can be exported"
            )
        return trial
    if seeds_of(study) > 1:
        complete = [
            trial
            for configuration in best_configurations(study, 1)
            for trial in configuration.trials
            if trial.state is TrialState.COMPLETE
        ]
        found = rank(complete, study.direction)
    else:
        found = best_trials(study, 1)
    if not found:
        raise StudyError(no_best(study))
    return found[0]


def winner_record(study: Study, slot: int | None = None) -> dict[str, Any]:
    """Return the winner as plain data, with the evaluation that chose it; raise StudyError."""
    evaluation = standing_evaluation(study)
    trial = trial_of_winner(study, evaluation, slot)
    record = export_record(study, trial)
    if evaluation is None or evaluation.chosen.slot != slot_of(trial):
        return record
    return record | {"evaluation": evaluation_record(evaluation)}


def check_has_network(study: Study) -> None:
    """Raise StudyError if the study trains a user's own model, of which hpsearch has no copy."""
    model = study_settings(study).model
    if model is not None:
        raise StudyError(
            f"study '{study.study_name}' trains a model of its own, {model.name}; of its "
            "winner the configuration can be exported, as toml or json"
        )


def standing_evaluation(study: Study) -> Evaluation | None:
    """Return the last evaluation of `study`, None if there is none or it is out of date.

    It is out of date once the search has found a better trial. Raises StudyError.
    """
    evaluation = last_evaluation(study)
    return None if evaluation is None or overtaken_by(study, evaluation) is not None else evaluation


def trial_of_winner(study: Study, evaluation: Evaluation | None, slot: int | None) -> FrozenTrial:
    if slot is not None or evaluation is None:
        return choose_trial(study, slot)
    return find_trial(study, str(evaluation.chosen.slot))


def trial_title(study: Study, trial: FrozenTrial) -> str:
    return f"trial {slot_of(trial)} of study '{study.study_name}'"
