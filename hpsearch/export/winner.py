"""The winner of a study: which trial it is, and the network to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from hpsearch.analysis.ranking import find_trial
from hpsearch.evaluation.record import evaluation_record, last_evaluation, overtaken_by
from hpsearch.evaluation.scores import SCORES
from hpsearch.export.files import choose_trial, export_record, retrain
from hpsearch.search.repeats import check_data, evaluation_settings, final_network
from hpsearch.storage.catalog import find_evaluation
from hpsearch.trainables.network import load_data
from hpsearch.trials.curves import METRICS
from hpsearch.trials.records import Repeat, curves_of, own_trials, repeat_of, slot_of, validation_of
from model.classifier import MLPClassifier

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hpsearch.evaluation.record import Evaluation


@dataclass(frozen=True)
class Winner:
    """A trial of a study and its network, which predicts from raw rows.

    scores: of the network on the test set, as {"test/accuracy": 0.97}; empty where it has not
    looked at that, and then `untested` says why.
    """

    trial: FrozenTrial
    network: MLPClassifier
    scores: dict[str, float] = field(default_factory=dict)
    final_epochs: int = 0  # that it learned from validation rows as well; 0: it has not
    untested: str = "No test score"

    @property
    def how(self) -> str:
        """How the network came about: "trained again up to there"."""
        if not self.final_epochs:
            return "trained again up to there"
        rows = "training and validation rows"
        return f"trained by its evaluation on {rows} for {self.final_epochs} epochs"


def find_winner(storage: BaseStorage, study: Study, slot: int | None = None) -> Winner:
    """Return the network that `evaluate` has trained on training and validation rows; before an
    evaluation, or of a certain `slot`, that of the trial, trained again.

    Raises StudyError or DataError.
    """
    evaluation = standing_evaluation(study)
    trial = _winning_trial(study, evaluation, slot)
    final = (
        None if slot is not None or evaluation is None else _final_trial(storage, study, evaluation)
    )
    untested = _untested(study, evaluation, slot)
    if evaluation is None or final is None:
        return Winner(trial, retrain(study, trial), untested=untested)
    seen = evaluation.test_scores("network") if evaluation.is_scored else None
    scores = {f"test/{name}": getattr(seen, name) for name in SCORES} if seen else {}
    return Winner(trial, _final_classifier(study, final), scores, evaluation.epochs, untested)


def winning_trial(study: Study, slot: int | None = None) -> FrozenTrial:
    """Return the trial in `slot`, or the one that an evaluation has chosen, or the best one.

    Raises StudyError.
    """
    evaluation = standing_evaluation(study) if slot is None else None
    return _winning_trial(study, evaluation, slot)


def winner_record(study: Study, slot: int | None = None) -> dict[str, Any]:
    """Return what `export_record` does of the winner, with its evaluation if there is one."""
    evaluation = standing_evaluation(study)
    trial = _winning_trial(study, evaluation, slot)
    record = export_record(study, trial)
    if evaluation is None or evaluation.chosen.slot != slot_of(trial):
        return record
    return record | {"evaluation": evaluation_record(evaluation)}


def standing_evaluation(study: Study) -> Evaluation | None:
    """Return the last evaluation of `study`, None if there was none or the search has found
    something better since.
    """
    evaluation = last_evaluation(study)
    return None if evaluation is None or overtaken_by(study, evaluation) is not None else evaluation


def _winning_trial(study: Study, evaluation: Evaluation | None, slot: int | None) -> FrozenTrial:
    if slot is not None or evaluation is None:
        return choose_trial(study, slot)
    return find_trial(study, str(evaluation.chosen.slot))


def _untested(study: Study, evaluation: Evaluation | None, slot: int | None) -> str:
    """Say why a network has no score on the test set, if it has none."""
    if validation_of(study) == "test":
        return "Validated on the test set: nothing is left to test it on"
    if slot is not None:
        return "Not tested: an evaluation tests the network that it chooses"
    if evaluation is None:
        return f"Not evaluated yet, so without a test score: `hpsearch evaluate {study.study_name}`"
    return f"No test score: {evaluation.unscored}"


def _final_trial(storage: BaseStorage, study: Study, evaluation: Evaluation) -> FrozenTrial | None:
    """Return the trial of the first final network, which is the one that was scored."""
    retrained, epochs = find_evaluation(storage, study), evaluation.epochs
    if retrained is None or not epochs:
        return None
    found = {repeat_of(t): t for t in own_trials(retrained, (TrialState.COMPLETE,))}
    finals = (Repeat(evaluation.chosen.slot, draw, epochs) for draw in range(evaluation.seeds))
    return next((found[final] for final in finals if final in found), None)


def _final_classifier(study: Study, trial: FrozenTrial) -> MLPClassifier:
    settings = evaluation_settings(study)
    data = load_data(settings.data.model_dump())
    check_data(study, data.digest)
    classifier = MLPClassifier.from_network(
        final_network(trial, settings, data), data, random_state=0
    )
    curves = curves_of(trial)
    unknown = [nan] * len(curves)  # there were no validation rows
    classifier.history_ = {METRICS[name]: curves.values.get(name, unknown) for name in METRICS}
    classifier.best_epoch_ = len(curves)
    return classifier
