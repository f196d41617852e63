"""Evaluation: the best trials are trained again over fresh seeds, then tested once."""

import json
from dataclasses import replace
from statistics import median_low
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

import hpsearch.search.evaluate
import hpsearch.tracking.artifacts
import hpsearch.tracking.evaluation
from hpsearch.analysis.ranking import best_epoch, best_trials, better_round, find_trial
from hpsearch.data.loading import load_dataset, load_test_rows, with_validation_rows
from hpsearch.errors import DataError, Interrupted, StudyError
from hpsearch.evaluation.candidates import Candidate, count_equals
from hpsearch.evaluation.record import (
    Evaluation,
    evaluation_record,
    last_evaluation,
    overtaken_by,
)
from hpsearch.evaluation.test_set import log_deleted_search, uses_of
from hpsearch.evaluation.wording import verdict
from hpsearch.export.network import winner_with_network
from hpsearch.export.winner import winner_record, winning_trial
from hpsearch.figures.evaluation import draw_evaluation
from hpsearch.report.page import report_page
from hpsearch.search.evaluate import class_scores, evaluate
from hpsearch.search.repeats import evaluation_settings
from hpsearch.search.study import run_study
from hpsearch.storage.catalog import evaluation_name, find_evaluation, load_study, study_settings
from hpsearch.storage.leases import this_process
from hpsearch.storage.open import open_storage, storage_url
from hpsearch.tracking.evaluation import log_evaluation, log_missing_evaluation
from hpsearch.tracking.page import describe
from hpsearch.tracking.tracker import Tracker
from hpsearch.trainables.network import NetworkModel, learning_rates
from hpsearch.trials.records import Repeat, curves_of, own_trials, repeat_of, slot_of
from model import MLPClassifier, TrainConfig, load_test_set

NAME = "tiny-random"


@pytest.fixture
def search(make_settings, tmp_path, monkeypatch):
    """A function that runs the small search; the journal lies in the working directory."""
    monkeypatch.chdir(tmp_path)

    def run(**tables):
        return run_study(make_settings(**tables)).study

    return run


def storage():
    """The storage of the working directory."""
    return open_storage(storage_url())


def held(study):
    """The study that evaluates `study`."""
    return find_evaluation(storage(), study)


def done(study):
    """The trials of the evaluation, by what they repeat."""
    return {repeat_of(trial): trial for trial in own_trials(held(study))}


def data_of(settings):
    return load_dataset(**settings.data.arguments())


def retrained(settings, data, config, draw):
    """An untrained network of one draw, and its epochs."""
    search = settings.search
    maximize = search.direction == "maximize"
    model = NetworkModel(data, seed=search.seed, metric=search.metric, maximize=maximize)
    return model.start_training(config, draw)


def test_repeats_are_trainings_of_the_same_configuration_with_other_draws(search):
    study = search()
    found = evaluate(NAME, top=2, seeds=3)
    best = best_trials(study, 2)
    assert {each.slot for each in found.candidates} == {slot_of(trial) for trial in best}
    settings, trials = evaluation_settings(study), done(study)
    assert settings.search.seed != 0
    data = data_of(settings)
    for candidate in found.candidates:
        trial = find_trial(study, str(candidate.slot))
        assert candidate.search_value == trial.value
        config = TrainConfig(**trial.user_attrs["setup"]["config"])
        for draw, value in enumerate(candidate.values):
            repeat = trials[Repeat(candidate.slot, draw)]
            assert repeat.user_attrs["setup"]["config"] == config.as_dict()
            _, epochs = retrained(settings, data, config, draw)
            assert value == max(epoch.val_accuracy for epoch in epochs)
            assert curves_of(repeat).values != curves_of(trial).values
    assert found.chosen.mean == max(each.mean for each in found.candidates)


def test_all_candidates_have_the_same_draws(search):
    """Two configurations that train the same have the same values, draw by draw."""
    entries = [{"label": name, "learning_rate": 0.1, "momentum": 0.9} for name in "ab"]
    entries[1]["beta1"] = 0.8  # which SGD with momentum does not read
    search(enqueue=entries, search={"trials": 2})
    found = evaluate(NAME, top=2, seeds=3)
    one, other = found.candidates
    assert one.values == other.values
    assert len(set(one.values)) > 1
    assert found.tied == [other]
    assert {one.label, other.label} == {"a", "b"}


def test_final_networks_learn_from_all_rows_for_the_median_best_epoch(search):
    study = search(
        trial={"epochs": 6, "schedule": "plateau", "plateau_patience": 1, "dropout": 0.1}
    )
    found = evaluate(NAME, top=1, seeds=4)
    trials, slot = done(study), found.chosen.slot
    repeats = [trials[Repeat(slot, draw)] for draw in range(4)]
    assert found.epochs == median_low(best_epoch(trial) for trial in repeats)
    typical = next(trial for trial in repeats if best_epoch(trial) == found.epochs)
    settings = evaluation_settings(study)
    data = with_validation_rows(data_of(settings))
    whole = data_of(settings)
    assert len(data.x_train) == len(whole.x_train) + len(whole.x_val)
    assert len(data.x_val) == 0
    config = TrainConfig(**repeats[0].user_attrs["setup"]["config"])
    _, epochs = retrained(settings, whole, config, repeat_of(typical).draw)
    rates = learning_rates(config, curves_of(typical).values["val/loss"])
    assert rates == [epoch.learning_rate for epoch in epochs]
    for draw in range(4):
        final = trials[Repeat(slot, draw, found.epochs)]
        curves = curves_of(final)
        assert len(curves) == found.epochs
        assert curves.values.keys() == {"train/loss", "train/accuracy"}
        assert final.value == curves.values["train/accuracy"][-1]


def test_with_a_constant_rate_a_final_network_is_that_of_plain_training(search):
    study = search()
    found = evaluate(NAME, top=1, seeds=2)
    settings = evaluation_settings(study)
    data = with_validation_rows(data_of(settings))
    trial = find_trial(study, str(found.chosen.slot))
    config = TrainConfig(**trial.user_attrs["setup"]["config"])
    network, epochs = retrained(settings, data, config, 0)
    for _, _ in zip(range(found.epochs), epochs, strict=False):
        pass
    exported = winner_with_network(storage(), study).network.network_
    assert np.array_equal(exported.params, network.params)


def test_the_test_set_is_scored_alone_and_as_an_ensemble(search, monkeypatch):
    study = search()
    seen = []

    def opening(**options):
        seen.append(options)
        # The use is logged before the test set is opened.
        (use,) = uses_of(storage(), data_of(evaluation_settings(study)).digest)
        assert use.scores is None
        return load_test_rows(**options)

    monkeypatch.setattr("hpsearch.data.loading.load_test_rows", opening)
    found = evaluate(NAME, top=2, seeds=3)
    assert len(seen) == 1
    x, y, _ = load_test_rows("digits", limit=120)
    finals = [winner_with_network(storage(), study).network.network_]
    alone = found.test_scores("network")
    predicted = finals[0].predict_proba(x).argmax(axis=1)
    assert alone.accuracy == accuracy_score(y, predicted)
    assert alone.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    assert alone.macro_f1 == pytest.approx(f1_score(y, predicted, average="macro"))
    assert alone.rows == len(y)
    assert np.trace(alone.confusion) == (predicted == y).sum()
    assert np.sum(alone.confusion, axis=1).tolist() == np.bincount(y).tolist()
    low, high = alone.accuracy_interval
    assert low < alone.accuracy < high
    test = evaluation_record(found)["test"]
    assert test["networks"]["accuracy"][0] == alone.accuracy
    assert len(test["networks"]["macro_f1"]) == 3
    assert 0 <= found.test_scores("ensemble").accuracy <= 1
    evaluate(NAME, top=2, seeds=3)
    assert len(seen) == 1  # the scores are known


def test_an_ensemble_is_the_mean_of_probabilities():
    probabilities = [
        np.array(rows) for rows in ([[0.6, 0.4], [0.1, 0.9]], [[0.1, 0.9], [0.4, 0.6]])
    ]
    scores = class_scores(np.array([1, 1]), probabilities)
    assert scores["network"]["accuracy"] == 0.5
    assert scores["ensemble"]["accuracy"] == 1
    assert scores["networks"]["accuracy"] == [0.5, 1.0]


def test_uses_are_counted_over_studies(search, make_settings):
    study = search()
    assert evaluate(NAME, top=1, seeds=2).test_use.number == 1
    run_study(make_settings(), name="other")
    other = evaluate("other", top=1, seeds=2)
    assert other.test_use is None
    assert f"by study '{NAME}'" in other.unscored
    assert other.epochs > 0  # there is a network, though it is not scored
    assert evaluate("other", top=1, seeds=2, again=True).test_use.number == 2
    assert evaluation_record(evaluate("other", top=1, seeds=2))["test"]["look"] == 2
    assert last_evaluation(study).test_use.number == 1


def test_more_seeds_add_to_the_earlier_repeats(search):
    study = search()
    first = evaluate(NAME, top=2, seeds=2)
    numbers = {repeat: trial.number for repeat, trial in done(study).items()}
    more = evaluate(NAME, top=2, seeds=4)
    assert {repeat: done(study)[repeat].number for repeat in numbers} == numbers
    by_slot = {each.slot: each.values for each in more.candidates}
    assert all(by_slot[each.slot][:2] == each.values for each in first.candidates)
    assert more.own_use is None  # these are other networks
    assert more.test_use == first.test_use
    assert "has been used once, last on" in more.unscored
    assert last_evaluation(study) == more
    assert evaluation_record(more)["test"]["seeds"] == 2


def test_asking_for_less_does_not_make_a_lucky_configuration_win(search):
    study = search()
    wide = evaluate(NAME, top=3, seeds=3)
    before, luckiest = done(study), slot_of(best_trials(study, 1)[0])
    assert wide.chosen.slot != luckiest  # else this shows nothing
    narrow = evaluate(NAME, top=1, seeds=3)
    assert narrow.candidates == wide.candidates
    assert done(study).keys() == before.keys()
    fewer = evaluate(NAME, top=1, seeds=2)
    assert (fewer.candidates, fewer.test_use) == (wide.candidates, wide.test_use)
    more = evaluate(NAME, top=1, seeds=4)
    assert {each.slot for each in more.candidates} == {luckiest, fewer.chosen.slot}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_costs_nothing_that_was_trained(search, jobs):
    study = search()
    calls = []
    for stop_at in (3, 8, 12):  # the last among the final networks

        def should_stop(stop_at=stop_at):
            calls.append(None)
            finished = held(study) and sum(t.state.is_finished() for t in held(study).trials)
            return bool(finished and finished >= stop_at)

        with pytest.raises(Interrupted, match=r"of .* (trainings|final networks) are done"):
            evaluate(NAME, top=2, seeds=5, jobs=jobs, should_stop=should_stop)
    kept = {repeat: t.number for repeat, t in done(study).items() if t.state is TrialState.COMPLETE}
    resumed = evaluate(NAME, top=2, seeds=5, jobs=jobs)
    assert {repeat: done(study)[repeat].number for repeat in kept} == kept
    complete = [t for t in own_trials(held(study)) if t.state is TrialState.COMPLETE]
    assert len(complete) == len({repeat_of(t) for t in complete}) == 15
    optuna.delete_study(study_name=evaluation_name(study), storage=storage())
    fresh = evaluate(NAME, top=2, seeds=5)
    assert fresh.candidates == resumed.candidates
    assert fresh.test_use == resumed.test_use  # by the very same networks: no further use


def test_a_candidate_that_diverges_is_reported_and_not_chosen(search):
    entries = [
        {"label": "steady", "learning_rate": 0.05, "momentum": 0.5},
        {"label": "wild", "learning_rate": 0.1, "momentum": 0.5},
    ]
    study = search(enqueue=entries, search={"trials": 2})
    wild = next(t for t in study.trials if t.user_attrs["setup"]["label"] == "wild")
    setup = wild.user_attrs["setup"]
    setup["config"]["learning_rate"] = 1e9  # as if it had been lucky there
    study.add_trial(
        optuna.trial.create_trial(
            value=0.99, user_attrs={**wild.user_attrs, "slot": 7, "setup": setup}
        )
    )
    found = evaluate(NAME, top=2, seeds=2)
    assert found.searched_best.slot == 7
    assert found.candidates[-1].diverged == 2
    assert found.chosen.slot != 7
    assert found.tied == []
    assert evaluation_record(found)["luck"] is None
    draw_evaluation(found)


def test_equal_configurations_are_one_candidate(search):
    entries = [{"label": name, "learning_rate": 0.1, "momentum": 0.9} for name in "abc"]
    search(enqueue=entries, search={"trials": 4})
    assert len(evaluate(NAME, top=5, seeds=2).candidates) == 2


def test_a_search_with_seeds_is_evaluated_by_its_means(search):
    study = search(search={"seeds": 2, "trials": 3})
    found = evaluate(NAME, top=2, seeds=2)
    for candidate in found.candidates:
        assert candidate.slot % 2 == 0
        values = [find_trial(study, str(candidate.slot + n)).value for n in range(2)]
        assert candidate.search_value == pytest.approx(np.mean(values))
    first = f"the mean of 2 repeats, the first of them trial {found.searched_best.slot}"
    assert f"({first})" in verdict(found)
    assert evaluation_record(found)["repeats"] == 2
    assert last_evaluation(study).in_the_search == "in the search, mean of 2"


def test_a_search_that_validates_on_the_test_set_is_not_scored_on_it(
    search, small_mnist, monkeypatch
):
    monkeypatch.setenv("HPSEARCH_DATA", str(small_mnist))
    study = search(data={"source": "mnist", "limit": None, "validation": "test"})
    found = evaluate(NAME, top=2, seeds=2)
    assert found.metric == "val/accuracy (test set)"
    assert (found.test_use, found.epochs) == (None, 0)
    assert "not unseen" in found.unscored
    assert winning_trial(study).state is TrialState.COMPLETE
    assert winner_with_network(storage(), study).untested.startswith("Validated on the test set")


def test_a_search_that_cannot_be_evaluated_is_refused_before_anything_is_created(
    search, make_settings, tmp_path
):
    search()
    names = {*optuna.get_all_study_names(storage())}
    with pytest.raises(StudyError, match="is not a study in this storage"):
        evaluate("tiny-randon")
    optuna.create_study(study_name="foreign", storage=storage())
    with pytest.raises(StudyError, match="was not started by hpsearch"):
        evaluate("foreign")
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(60)))
    csv = {"source": "t.csv", "target": "y", "limit": None}
    run_study(make_settings(data=csv), name="table")
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(70)))
    with pytest.raises(DataError, match=r"t.csv has changed since 'table' was run"):
        evaluate("table")
    run_study(make_settings(), name=f"{NAME}.evaluation")
    with pytest.raises(StudyError, match=r"that the evaluation of 'tiny-random' needs, but"):
        evaluate(NAME)
    left = {*optuna.get_all_study_names(storage())} - names
    assert left == {"foreign", "table", f"{NAME}.evaluation"}


def test_an_evaluation_is_not_evaluated(search):
    search()
    evaluate(NAME, top=1, seeds=2)
    with pytest.raises(StudyError, match="is the evaluation of 'tiny-random'; name that instead"):
        evaluate(f"{NAME}.evaluation")


def test_repeats_final_networks_and_the_evaluation_are_runs_of_different_kinds(search, mlflow_uri):
    tracker = Tracker(mlflow_uri)
    study = search()
    tracker.sync(study)
    found = evaluate(NAME, top=2, seeds=2, tracker=tracker)
    log_evaluation(tracker.store, study, found)  # once more, into the same run
    client = MlflowClient(mlflow_uri)
    runs = client.search_runs(["1"])
    kinds = [run.data.tags["hpsearch.kind"] for run in runs]
    expected = {"trial": 4, "repeat": 4, "final": 2, "evaluation": 1}
    assert {kind: kinds.count(kind) for kind in kinds} == expected
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_name = {run.info.run_name: run.data for run in runs}
    repeat = by_name[f"repeat-{found.chosen.slot:04d}-01"]
    assert repeat.tags["hpsearch.study"] == NAME
    assert repeat.tags["hpsearch.slot"] == str(found.chosen.slot)
    assert repeat.tags["hpsearch.draw"] == "1"
    assert repeat.metrics["val/accuracy_best"] == found.chosen.values[1]
    final = by_name[f"final-{found.chosen.slot:04d}-00"]
    assert final.metrics.keys() == {"train/loss", "train/accuracy"}
    run = by_name["evaluation"]
    assert run.metrics["val/accuracy_mean"] == pytest.approx(found.chosen.mean)
    assert run.metrics["test/accuracy"] == found.test_scores("network").accuracy
    assert run.metrics["test/ensemble_macro_f1"] == found.test_scores("ensemble").macro_f1
    assert (run.tags["hpsearch.look"], run.tags["hpsearch.looked"]) == ("1", found.test_use.date)
    (used,) = next(r.inputs.dataset_inputs for r in runs if r.info.run_name == "evaluation")
    assert used.dataset.name == "digits"
    assert run.params == by_name[f"repeat-{found.chosen.slot:04d}-00"].params
    assert run.tags["mlflow.note.content"].startswith("**Evaluated** over 2 fresh seeds: ")
    run_id = next(r.info.run_id for r in runs if r.info.run_name == "evaluation")
    artifacts = {file.path for file in client.list_artifacts(run_id)}
    figures = {f"{name}.png" for name in ("evaluation", "confusion", "calibration")}
    assert artifacts == {"evaluation.json", *figures}
    assert tracker.sync(study) == tracker.sync(held(study)) == 0


def test_a_run_that_a_killed_process_left_open_is_ended_by_the_next(
    search, mlflow_uri, monkeypatch
):
    tracker = Tracker(mlflow_uri)
    study = search()
    with monkeypatch.context() as patch:
        patch.setattr(hpsearch.tracking.evaluation, "log_files", Mock(side_effect=SystemExit))
        patch.setattr(hpsearch.tracking.artifacts, "end_run", Mock())  # as if by kill -9
        gone = replace(this_process(), started=1.5e9)
        patch.setattr("hpsearch.tracking.runs.this_process", lambda: gone)
        with pytest.raises(SystemExit):
            log_evaluation(tracker.store, study, evaluate(NAME, top=1, seeds=2))
    client = MlflowClient(mlflow_uri)
    assert [run.info.status for run in client.search_runs(["1"])] == ["RUNNING"]
    evaluate(NAME, top=1, seeds=3)
    assert log_missing_evaluation(tracker.store, study) == 1
    statuses = sorted(run.info.status for run in client.search_runs(["1"]))
    assert statuses == ["FINISHED", "KILLED"]
    assert log_missing_evaluation(tracker.store, study) == 0


def test_export_writes_the_network_that_was_evaluated(search, tmp_path):
    study = search()
    before = winning_trial(study)
    assert winner_with_network(storage(), study).untested.startswith(
        "Not evaluated yet, so without a test score"
    )
    assert before == best_trials(study, 1)[0]
    found = evaluate(NAME, top=4, seeds=2)
    winner = winner_with_network(storage(), study)
    assert slot_of(winner.trial) == slot_of(winning_trial(study)) == found.chosen.slot
    of_labels = {
        f"test/{name}": getattr(found.test_scores("network"), name)
        for name in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    assert winner.scores == pytest.approx(
        of_labels | {f"test/{score.name}": score.first for score in found.tested.scores}
    )
    assert "test/roc_auc" in winner.scores
    assert winner.how == (
        f"trained by its evaluation on training and validation rows for {found.epochs} epochs"
    )
    winner.network.save(tmp_path / "w.npz")
    x, _ = load_test_set("digits", limit=120, scale="none")
    loaded = MLPClassifier.load(tmp_path / "w.npz")
    assert np.array_equal(loaded.predict(x), winner.network.predict(x))
    assert loaded.best_epoch_ == found.epochs
    record = json.loads(json.dumps(winner_record(study)))
    assert record["evaluation"]["chosen"] == record["slot"] == found.chosen.slot
    other = next(each.slot for each in found.candidates[1:])
    alone = winner_with_network(storage(), study, other)
    assert (slot_of(alone.trial), alone.scores, alone.final_epochs) == (other, {}, 0)
    assert alone.untested == "Not tested: an evaluation tests the network that it chooses"
    assert "evaluation" not in winner_record(study, other)


def test_the_report_shows_the_evaluation(search):
    study = search(data={"source": "iris", "limit": None})
    assert 'id="evaluation"' not in report_page(study)
    found = evaluate(NAME, top=2, seeds=3)
    page = report_page(study)
    assert "mean of 3" in page
    assert "ensemble of 3" in page
    for table in ("candidates-table", "scores-table", "classes-table"):
        assert f'id="{table}"' in page
    accuracy, row = found.test_scores("network").accuracy, found.chosen
    assert f'data-n="{accuracy}">{accuracy:.4f}</td>' in page
    assert f'data-n="{row.mean}">{row.mean:.4f}</td>' in page
    assert "Test set of 30 rows, first use, on " in page
    evaluate(NAME, top=1, seeds=4)
    page = report_page(study)
    assert f"first use, on {found.test_use.date}, by 3 networks of trial {row.slot}." in page
    assert "Not scored on the test set: the test set of these data has been used once, last" in page
    assert f'data-n="{accuracy}">{accuracy:.4f}</td>' in page  # what was seen stays


def test_studies_with_long_names_have_separate_evaluations(search, make_settings):
    search()
    names = ["n" * 99 + letter for letter in "ab"]
    for name in names:
        run_study(make_settings(), name=name)
        evaluate(name, top=1, seeds=2)
    evaluations = [evaluation_name(load_study(storage(), name)) for name in names]
    assert [len(name) for name in evaluations] == [100, 100]
    assert len({*evaluations}) == 2


def test_the_first_of_equal_trials_is_the_best_of_the_search(search):
    """Not the one that does best over fresh seeds: its luck would be chosen to be small."""
    study = search()
    for trial in best_trials(study)[:2]:
        trial = optuna.trial.create_trial(
            value=1.0, user_attrs={**trial.user_attrs, "slot": 10 + slot_of(trial)}
        )
        study.add_trial(trial)
    found = evaluate(NAME, top=2, seeds=2)
    assert [each.search_value for each in found.candidates] == [1.0, 1.0]
    assert found.searched_best.slot == min(each.slot for each in found.candidates)
    assert found.searched_best.slot == slot_of(best_trials(study, 1)[0])


def test_a_score_stays_with_its_network(search):
    study = search()
    first = evaluate(NAME, top=1, seeds=3)
    scores = winner_with_network(storage(), study).scores
    assert scores["test/accuracy"] == first.test_scores("network").accuracy
    more = evaluate(NAME, top=1, seeds=4)
    assert more.own_use is None
    same = (more.chosen.slot, more.epochs) == (first.chosen.slot, first.epochs)
    assert more.is_scored == same
    assert winner_with_network(storage(), study).scores == (scores if same else {})
    assert replace(more, epochs=first.epochs).is_scored
    assert not replace(more, epochs=99).is_scored


def test_a_better_later_trial_overtakes_the_evaluation(search):
    study = search(search={"trials": 2})
    found = evaluate(NAME, top=2, seeds=2)
    assert overtaken_by(study, found) is None
    assert slot_of(winning_trial(study)) == found.chosen.slot
    better = best_trials(study, 1)[0]
    setup = better.user_attrs["setup"] | {
        "config": better.user_attrs["setup"]["config"] | {"weight_decay": 1e-4}
    }
    study.add_trial(
        optuna.trial.create_trial(
            value=1.0, user_attrs={**better.user_attrs, "slot": 2, "setup": setup}
        )
    )
    assert overtaken_by(study, last_evaluation(study)) == 2
    assert slot_of(winning_trial(study)) == 2
    assert "evaluation" not in winner_record(study)
    said = f"rial 2 is better and has not been evaluated: hpsearch evaluate {NAME}."
    assert said in report_page(study)
    assert said in describe(study)


def test_a_luckier_draw_of_an_evaluated_configuration_overtakes_nothing(search):
    study = search(search={"trials": 2})
    found = evaluate(NAME, top=2, seeds=2)
    twin = best_trials(study, 1)[0]
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={**twin.user_attrs, "slot": 2}))
    assert overtaken_by(study, last_evaluation(study)) is None
    assert slot_of(winning_trial(study)) == found.chosen.slot
    # What was trained of it is not trained again, and the twin is no further configuration.
    again, before = evaluate(NAME, top=1, seeds=2), done(study)
    slots = {each.slot for each in again.candidates}
    assert slots == {each.slot for each in found.candidates}
    assert (again.searched_best.slot, again.searched_best.search_value) == (slot_of(twin), 1.0)
    assert (again.test_use, again.unscored) == (found.test_use, "")
    assert done(study).keys() == before.keys()
    assert count_equals(study, slots) == 0
    assert count_equals(study, {0, 1} - {slot_of(twin)}) == 1


def test_a_better_round_is_named(search, make_settings):
    first = search()
    second = run_study(make_settings(), name=f"{NAME}.r2", earlier=[first]).study
    for study, value, better in [(second, 2.0, second), (first, 3.0, first)]:
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"slot": 99}))
        for each in (first, second):
            assert better_round([first, second], each) == (
                "" if each is better else better.study_name
            )
    second.add_trial(optuna.trial.create_trial(value=3.0, user_attrs={"slot": 0}))
    assert (
        better_round([first, second], first) == better_round([first, second], second) == ""
    )  # they are equally good


def test_a_search_that_validates_on_the_test_set_has_used_it(
    search, make_settings, small_mnist, monkeypatch
):
    monkeypatch.setenv("HPSEARCH_DATA", str(small_mnist))
    data = {"source": "mnist", "limit": None}
    study = search(data=data)
    run_study(make_settings(data=data | {"validation": "test"}), name="cheat")
    found = evaluate(NAME, top=1, seeds=2)
    assert found.test_use is None
    assert found.unscored == "study 'cheat' has validated on the test set of these data"
    assert found.may_use_again
    log_deleted_search(storage(), load_study(storage(), "cheat"))
    optuna.delete_study(study_name="cheat", storage=storage())
    assert "study 'cheat' has validated" in evaluate(NAME, top=1, seeds=2).unscored
    found = evaluate(NAME, top=1, seeds=2, again=True)
    assert found.test_use.title == "first use, after the search 'cheat' validated on it"
    assert find_evaluation(storage(), study) is not None


def test_small_losses_are_printed_with_enough_digits(search):
    search(search={"metric": "val/loss"})
    found = evaluate(NAME, top=1, seeds=2)
    small = replace(found.chosen, search_value=1.5e-5, values=(2e-5, 4e-5))
    said = verdict(replace(found, candidates=(small,)))
    assert "val/loss 1.5e-05 " in said
    assert "is 3e-05 over 2 fresh seeds: no luck" not in said
    assert said.endswith("is 3e-05 over 2 fresh seeds: 1.5e-05 was luck.")


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ((0.8, 0.8), ": no luck"),
        ((0.9, 0.9), ": no luck, it is 0.1 better"),
        ((0.7, 0.7), ": 0.1 was luck"),
        ((None, None), "every repeat diverged"),
    ],
)
def test_luck_in_words(values, end):
    candidate = Candidate(3, "", {}, 0.8, values, maximize=True)
    alone = Evaluation("s", "val/accuracy", 2, (candidate,), ())
    assert verdict(alone).endswith(f"{end}.")
    assert alone.verdict(candidate) in ("", "diverged in 2 of 2")
    if candidate.known:
        other = Candidate(4, "", {}, 0.7, (0.1, 0.6), maximize=True)
        two = replace(alone, candidates=(candidate, other))
        assert verdict(two).endswith(f"{end}. Still the best; cannot be told apart from it: 4.")
        assert two.verdict(candidate) == "best"


def test_the_page_of_the_experiment_shows_the_evaluation(search, mlflow_uri):
    tracker = Tracker(mlflow_uri)
    study = search()
    tracker.sync(study)
    found = evaluate(NAME, top=2, seeds=3, tracker=tracker)
    note = MlflowClient(mlflow_uri).get_experiment("1").tags["mlflow.note.content"]
    assert f"**Evaluated** over 3 fresh seeds: trial {found.chosen.slot} " in note
    accuracy = found.test_scores("network").accuracy
    assert f"(first use, {found.test_use.date}): accuracy **{accuracy:.4f}**" in note
    assert note.endswith(f"-->\n{describe(load_study(storage(), NAME))}")
    evaluate(NAME, top=1, seeds=4, tracker=tracker)
    note = MlflowClient(mlflow_uri).get_experiment("1").tags["mlflow.note.content"]
    assert f"by 3 networks of trial {found.test_use.slot}): accuracy **{accuracy:.4f}**" in note
    run_study(study_settings(study), name=NAME, tracker=tracker)
    note = MlflowClient(mlflow_uri).get_experiment("1").tags["mlflow.note.content"]
    assert "**Evaluated**" in note  # also after the next start of the search
