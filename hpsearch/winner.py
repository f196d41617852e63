"""The winner of a study: which trial it is, and the network to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from hpsearch.curves import METRICS, Curves
from hpsearch.evaluation_study import check_data, evaluation_settings, find_evaluation
from hpsearch.export import choose_trial, export_record, retrain
from hpsearch.objective import load_data
from hpsearch.repeating import final_network
from hpsearch.scores import SCORES
from hpsearch.slots import EVALUATION, Repeat, own_trials, slot_of
from hpsearch.summary import find_trial
from model.classifier import MLPClassifier

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Winner:
    """A trial of a study and its network, which predicts from raw rows.

    scores: of the network on the test set, as {"test/accuracy": 0.97}; empty where it has not
    looked at that.
    """

    trial: FrozenTrial
    network: MLPClassifier
    scores: dict[str, float] = field(default_factory=dict)
    final_epochs: int = 0  # that it learned from validation rows as well; 0: it has not

    @property
    def how(self) -> str:
        """How the network came about: "trained again up to there"."""
        if not self.final_epochs:
            return "trained again up to there"
        rows = "training and validation rows"
        return f"trained by its evaluation on {rows} for {self.final_epochs} epochs"


def find_winner(study: Study, slot: int | None = None) -> Winner:
    """Return the network that `evaluate` has trained on training and validation rows; before an
    evaluation, or of a certain `slot`, that of the trial, trained again.

    Raises StudyError or DataError.
    """
    result, trial = evaluation_result(study), winning_trial(study, slot)
    final = None if slot is not None or result is None else _final_trial(study, result)
    if result is None or final is None:
        return Winner(trial, retrain(study, trial))
    test = result["test"]
    scores = {f"test/{name}": test["network"][name] for name in SCORES} if test else {}
    return Winner(trial, _final_classifier(study, final), scores, result["epochs"])


def winning_trial(study: Study, slot: int | None = None) -> FrozenTrial:
    """Return the trial in `slot`, or the one that an evaluation has chosen, or the best one.

    Raises StudyError.
    """
    result = evaluation_result(study) if slot is None else None
    return choose_trial(study, slot) if result is None else find_trial(study, str(result["chosen"]))


def winner_record(study: Study, slot: int | None = None) -> dict[str, Any]:
    """Return what `export_record` does of the winner, with its evaluation if there is one."""
    trial, result = winning_trial(study, slot), evaluation_result(study)
    evaluated = result is not None and result["chosen"] == slot_of(trial)
    return export_record(study, trial) | ({"evaluation": result} if evaluated else {})


def evaluation_result(study: Study) -> dict[str, Any] | None:
    """Return what the last evaluation of `study` found, None if there was none."""
    return study.user_attrs.get(EVALUATION)


def _final_trial(study: Study, result: dict[str, Any]) -> FrozenTrial | None:
    """Return the first of the final networks' trials, which is the one that was scored."""
    evaluation = find_evaluation(study._storage, study)
    if evaluation is None or not result["epochs"]:
        return None
    finals = {Repeat(result["chosen"], n, result["epochs"]).slot for n in range(result["seeds"])}
    complete = own_trials(evaluation, (TrialState.COMPLETE,))
    return min((t for t in complete if slot_of(t) in finals), key=slot_of, default=None)


def _final_classifier(study: Study, trial: FrozenTrial) -> MLPClassifier:
    settings = evaluation_settings(study)
    data = load_data(settings)
    check_data(study, data.digest)
    classifier = MLPClassifier.from_network(
        final_network(trial, settings, data), data, random_state=0
    )
    curves = Curves.of(trial)
    unknown = [nan] * len(curves)  # there were no validation rows
    classifier.history_ = {METRICS[name]: curves.values.get(name, unknown) for name in METRICS}
    classifier.best_epoch_ = len(curves)
    return classifier
