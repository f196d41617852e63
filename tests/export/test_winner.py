"""Which trial is exported, and that its network is exactly the one that it trained."""

import math

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from hpsearch.analysis.ranking import best_epoch, best_trials, find_trial
from hpsearch.data.loading import load_dataset
from hpsearch.data.splitting import read_parts
from hpsearch.errors import DataError, StudyError
from hpsearch.evaluation.record import Evaluation
from hpsearch.execution.objective import load_network
from hpsearch.export.files import single_trial
from hpsearch.export.network import network_bytes, retrain, winner_with_network
from hpsearch.export.winner import choose_trial, winning_trial
from hpsearch.prediction import load_model, predict_table
from hpsearch.search.evaluate import evaluate
from hpsearch.search.study import run_study
from hpsearch.storage.catalog import find_evaluation, study_settings
from hpsearch.storage.open import open_storage
from hpsearch.trainables.network import trained_config
from hpsearch.trials.records import curves_of, own_trials, repeat_of, slot_of
from hpsearch.workspace import Workspace
from model import MLPClassifier, Network
from model.training import CURVES


def test_the_best_trial_wins(study, storage):
    trial = choose_trial(study)
    assert trial == best_trials(study, 1)[0] == winning_trial(study)
    winner = winner_with_network(open_storage(storage), study)
    assert (winner.trial, winner.scores, winner.final_epochs) == (trial, {}, 0)
    assert winner.how == "trained again up to that epoch"


def test_scores_of_other_networks_on_the_test_rows_are_not_the_winners(
    make_settings, tmp_path, monkeypatch
):
    storage = str(tmp_path / "j.journal")
    study = run_study(make_settings(search={"trials": 1}), storage=storage).study
    evaluate(study.study_name, storage=storage, top=1, seeds=2)
    store = open_storage(storage)
    tested = winner_with_network(store, study).network.test_scores_
    assert {"test/accuracy", "test/mcc", "test/log_loss"} <= tested.keys()
    # As if the test set had been used by final networks of another candidate.
    monkeypatch.setattr(Evaluation, "is_scored", False)
    assert winner_with_network(store, study).network.test_scores_ == {}


def test_of_repeats_the_best_repeat_of_the_best_configuration_wins(make_settings, tmp_path):
    enqueue = [{"label": "bad", "learning_rate": 1e-3}, {"label": "good", "learning_rate": 0.1}]
    search = {"sampler": "random", "trials": 2, "seeds": 3}
    settings = make_settings(search=search, enqueue=enqueue)
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    trial = choose_trial(study)
    assert slot_of(trial) >= 3
    assert trial.value == max(t.value for t in study.get_trials() if slot_of(t) >= 3)
    assert single_trial(study, trial).search.first_draw == slot_of(trial) % 3
    again = run_study(single_trial(study, trial), storage=str(tmp_path / "again.journal")).study
    assert again.best_value == trial.value
    assert retrain(study, trial).history_["val_accuracy"][-1] == trial.value


def test_a_trial_that_is_not_complete_is_refused(make_settings, tmp_path):
    settings = make_settings(search={"trials": 1})
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    trial = study.ask()
    trial.set_user_attr("slot", 1)
    with pytest.raises(StudyError, match=r"trial 1 of .* is still running; only a completed"):
        choose_trial(study, 1)
    study.tell(trial, state=TrialState.PRUNED)
    with pytest.raises(StudyError, match=r"trial 1 of study 'tiny-random' was pruned; only"):
        choose_trial(study, 1)
    with pytest.raises(StudyError, match="has no trial 2"):
        choose_trial(study, 2)
    assert choose_trial(study, 0) == find_trial(study, "0")


@pytest.mark.parametrize("slot", range(4))
def test_the_network_is_the_trials_and_predicts_from_raw_rows(study, table, tmp_path, slot):
    trial, path = choose_trial(study, slot), tmp_path / "it.npz"
    path.write_bytes(network_bytes(retrain(study, trial)))
    data = load_dataset(**study_settings(study).data.arguments())
    raw, parts = read_parts(str(table), target="kind")
    rows = parts.val
    pd.read_csv(table, dtype=str).iloc[rows].to_csv(tmp_path / "val.csv", index=False)

    prediction = predict_table(path, tmp_path / "val.csv")
    right = np.array(raw.class_names)[raw.y[rows]]
    assert np.mean(prediction.labels == right) == trial.value
    saved = load_model(path)
    np.testing.assert_array_equal(prediction.probabilities, saved.network.predict_proba(data.x_val))
    assert saved.columns == data.columns
    assert (
        saved.curves["val_accuracy"]
        == (trial.user_attrs["curves"]["val/accuracy"][: best_epoch(trial)])
    )
    assert MLPClassifier.load(path).best_epoch_ == best_epoch(trial)


def test_training_stops_at_the_best_epoch_on_the_way(study):
    trial, settings = choose_trial(study), study_settings(study)
    network, epochs = load_network(settings).start_training(trained_config(trial), slot_of(trial))
    states = [network.state.copy() for _ in epochs]
    np.testing.assert_array_equal(
        retrain(study, trial).network_.state, states[best_epoch(trial) - 1]
    )


def test_two_exports_are_the_same_file(study):
    one, other = (network_bytes(retrain(study, choose_trial(study))) for _ in range(2))
    assert one == other


def test_a_final_network_has_every_curve_and_nan_where_none_was_kept(make_settings, tmp_path):
    storage = str(tmp_path / "j.journal")
    study = run_study(make_settings(search={"trials": 2}), storage=storage).study
    found = Workspace(storage, tracked=False).evaluate("tiny-random", top=1, seeds=1).evaluation
    store = open_storage(storage)
    winner = winner_with_network(store, study)
    assert winner.final_epochs == found.epochs > 0
    history = winner.network.history_
    assert history.keys() == set(CURVES)
    assert {len(values) for values in history.values()} == {found.epochs}
    unknown = ("learning_rate", "val_loss", "val_accuracy")  # there were no validation rows
    assert all(math.isnan(value) for name in unknown for value in history[name])
    trials = own_trials(find_evaluation(store, study))
    (final,) = (trial for trial in trials if repeat_of(trial).epochs)
    curves = curves_of(final).values
    assert history["train_loss"] == curves["train/loss"]
    assert history["train_accuracy"] == curves["train/accuracy"]


def test_changed_data_are_refused(make_settings, table, tmp_path):
    path = tmp_path / "moving.csv"
    path.write_text(table.read_text())
    data = {"source": str(path), "target": "kind"}
    settings = make_settings(data=data, search={"trials": 1})
    study = run_study(settings, storage=str(tmp_path / "j.journal")).study
    path.write_text(table.read_text() + "1700000000,1,red,01,ant\n")
    with pytest.raises(DataError, match=r"moving.csv has changed since trial 0 of study 'tiny-r"):
        retrain(study, choose_trial(study))


def test_another_value_is_refused(study, monkeypatch):
    monkeypatch.setattr(Network, "evaluate", lambda *_, **__: (1.0, 0.5))
    sentence = r"^trial \d of study 'tiny-random' had val/accuracy 0\.\d+ at epoch \d, but .* 0\.5;"
    with pytest.raises(StudyError, match=sentence):
        retrain(study, choose_trial(study))
