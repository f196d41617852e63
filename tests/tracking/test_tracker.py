"""Trials in MLflow, read with MLflow's own client from a real store."""

import json
import logging
import pickle
import re
import shutil
import socket
import sqlite3
from collections import Counter
from dataclasses import asdict, replace

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from hpsearch.errors import TrackingError
from hpsearch.storage.leases import this_process
from hpsearch.tracking import tracker as tracker_module
from hpsearch.tracking.runs import start_run
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.curves import Curves
from hpsearch.trials.records import (
    DataId,
    ProcessId,
    Setup,
    assigned_attributes,
    curves_of,
    ensure_study_id,
    experiment_name,
    write_curves,
    write_interrupted,
    write_reason,
    write_round,
    write_setup,
)

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
DATA = DataId("digits", "0123456789abcdef", "digits")
THIS_PROCESS = ProcessId("host", 1, 0.0)


@pytest.fixture
def tracker(mlflow_uri):
    return Tracker(mlflow_uri)


@pytest.fixture
def client(mlflow_uri):
    return MlflowClient(mlflow_uri)


@pytest.fixture
def study():
    return optuna.create_study(study_name="digits-random", direction="maximize")


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(study, *, epochs=3):
    """Start a trial, and return it after `epochs` epochs."""
    trial = study.ask()
    for key, value in assigned_attributes(trial.number, THIS_PROCESS).items():
        trial.set_user_attr(key, value)
    config = {"epochs": epochs, "hidden_layer_sizes": [8]}
    write_setup(trial, Setup(config, metric="val/accuracy", seed=0, data=DATA))
    write_epochs(trial, epochs)
    return trial


def write_epochs(trial, epochs):
    values = [epoch / 1000 for epoch in range(1, epochs + 1)]
    times = [1_700_000_000_000 + 50 * epoch for epoch in range(epochs)]
    write_curves(trial, Curves(dict.fromkeys(METRICS, values), times))


def tell(study, trial, state="COMPLETE"):
    value = 0.5 if state == "COMPLETE" else None
    study.tell(trial.number, value, state=optuna.trial.TrialState[state])
    return study.get_trials()[trial.number]


def runs_of(client, study, view=ViewType.ACTIVE_ONLY):
    """Return the runs of the study's experiment by name."""
    experiment = client.get_experiment_by_name(experiment_name(study))
    found = client.search_runs([experiment.experiment_id], run_view_type=view)
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found)
    return runs


def history(client, run):
    """Return every stored point: metric → [(step, value, timestamp), …]."""
    return {
        key: [
            (m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key)
        ]
        for key in run.data.metrics
    }


# Writing


def test_a_finished_trial_is_one_run_with_a_point_per_epoch(tracker, client, study):
    tracker(study, tell(study, ask(study)))

    (run,) = runs_of(client, study).values()
    assert (run.info.run_name, run.info.status) == ("trial-0000", "FINISHED")
    assert run.data.params == {"epochs": "3", "hidden_layer_sizes": "8"}
    assert run.data.tags["hpsearch.kind"] == "trial"
    trial = study.get_trials()[0]
    assert run.info.start_time == int(trial.datetime_start.timestamp() * 1000)
    assert run.info.end_time == int(trial.datetime_complete.timestamp() * 1000)

    points = history(client, run)
    assert points.keys() == {*METRICS, "val/accuracy_best", "best_epoch", "epochs"}
    for name in METRICS:
        times = curves_of(trial).times
        assert points[name] == [(1, 0.001, times[0]), (2, 0.002, times[1]), (3, 0.003, times[2])]
    assert run.data.metrics["val/accuracy_best"] == 0.003
    assert run.data.metrics["best_epoch"] == run.data.metrics["epochs"] == 3


def test_writing_a_trial_again_changes_nothing(tracker, client, study, mlflow_uri):
    trial = tell(study, ask(study))
    tracker(study, trial)
    (before,) = runs_of(client, study).values()
    points = history(client, before)

    tracker(study, trial)
    Tracker(mlflow_uri)(study, trial)  # like another process, which looks the run up first

    (after,) = runs_of(client, study).values()
    assert after.to_dictionary() == before.to_dictionary()
    assert history(client, after) == points


def test_a_running_trial_is_shown_and_later_finished(tracker, client, study):
    trial = ask(study, epochs=1)
    tracker(study, study.get_trials()[0])
    (run,) = runs_of(client, study).values()
    assert (run.info.status, run.info.end_time) == ("RUNNING", None)
    assert run.data.tags["hpsearch.state"] == "running"
    assert [step for step, *_ in history(client, run)["val/loss"]] == [1]

    write_epochs(trial, 2)
    write_reason(trial, "pruned at epoch 2")
    tracker(study, tell(study, trial, "PRUNED"))
    (run,) = runs_of(client, study).values()
    assert run.info.status == "FINISHED"
    assert run.data.tags["hpsearch.state"] == "pruned"
    assert run.data.tags["hpsearch.reason"] == "pruned at epoch 2"
    assert [step for step, *_ in history(client, run)["val/loss"]] == [1, 2]


def test_long_curves_arrive_whole(tracker, client, study):
    tracker(study, tell(study, ask(study, epochs=300)))  # 1,200 points; MLflow takes 1,000 at once
    (run,) = runs_of(client, study).values()
    points = history(client, run)
    for name in METRICS:
        assert [step for step, *_ in points[name]] == list(range(1, 301))
        assert [value for _, value, _ in points[name]] == [n / 1000 for n in range(1, 301)]


def test_a_trial_with_a_long_reason_keeps_its_run(tracker, client, study):
    trial = ask(study)
    write_reason(trial, "ValueError: " + "x" * 20_000)
    tracker(study, tell(study, trial, "FAIL"))
    assert not tracker.lost
    (run,) = runs_of(client, study).values()
    assert run.info.status == "FAILED"
    assert run.data.tags["hpsearch.reason"].startswith("ValueError: xxx")


# Sync


def test_sync_writes_missing_runs_and_ends_unfinished_ones(tracker, client, study):
    for state in ("COMPLETE", "PRUNED", "FAIL", "COMPLETE"):
        tell(study, ask(study), state)
    left = ask(study)
    living = ask(study)
    tracker(study, study.get_trials()[1])  # has its run already
    tracker(study, study.get_trials()[left.number])
    write_interrupted(left)
    tell(study, left, "FAIL")

    assert tracker.sync(study) == 4
    statuses = {name: run.info.status for name, run in runs_of(client, study).items()}
    assert statuses == {
        "trial-0000": "FINISHED",
        "trial-0001": "FINISHED",
        "trial-0002": "FAILED",
        "trial-0003": "FINISHED",
        "trial-0004": "KILLED",
    }
    assert all(
        len(history(client, run)["val/loss"]) == 3 for run in runs_of(client, study).values()
    )
    assert tracker.sync(study) == 0

    tell(study, living)
    assert tracker.sync(study) == 1


def test_sync_finishes_a_run_whose_writer_died_after_creating_it(tracker, client, study):
    tracker.sync(study)
    tell(study, ask(study))
    tags = {"hpsearch.kind": "trial", "hpsearch.number": "0"}
    tags["hpsearch.study_id"] = ensure_study_id(study)
    experiment = client.get_experiment_by_name(study.study_name)
    client.create_run(experiment.experiment_id, tags=tags, run_name="trial-0000")

    assert tracker.sync(study) == 1
    (run,) = runs_of(client, study).values()
    assert run.info.status == "FINISHED"
    assert len(history(client, run)["train/loss"]) == 3


def test_sync_reads_every_page_of_runs(tracker, client, study, monkeypatch):
    for _ in range(5):
        tell(study, ask(study))
    assert tracker.sync(study) == 5
    monkeypatch.setattr(tracker_module, "RUNS_PER_PAGE", 2)
    assert tracker.sync(study) == 0
    assert len(runs_of(client, study)) == 5


def test_a_study_of_the_same_name_is_another_study(tracker, client, study):
    tell(study, ask(study))
    twin = optuna.create_study(study_name=study.study_name, direction="maximize")
    tell(twin, ask(twin))
    assert tracker.sync(study) == 1
    assert Tracker(tracker.store.uri).sync(twin) == 1
    experiment = client.get_experiment_by_name(study.study_name)
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["hpsearch.study_id"] for run in runs} == {
        ensure_study_id(study),
        ensure_study_id(twin),
    }
    assert len(runs) == 2


def test_a_run_that_somebody_deleted_stays_deleted(tracker, client, study):
    for _ in range(2):
        tracker(study, tell(study, ask(study)))
    client.delete_run(runs_of(client, study)["trial-0000"].info.run_id)
    assert tracker.sync(study) == 0
    tracker(study, study.get_trials()[0])
    assert not tracker.lost
    assert [*runs_of(client, study)] == ["trial-0001"]
    assert len(runs_of(client, study, ViewType.ALL)) == 2


def test_runs_of_other_kinds_are_left_alone(tracker, client, study):
    tracker.sync(study)
    experiment = client.get_experiment_by_name(study.study_name)
    client.create_run(experiment.experiment_id, tags={"hpsearch.kind": "report"}, run_name="report")
    tell(study, ask(study))
    assert tracker.sync(study) == 1
    assert runs_of(client, study)["report"].info.status == "RUNNING"


@pytest.mark.parametrize(
    "others", ["digits-random2", "it's", 'a "quoted" name', "back\\slash", "ü/%"]
)
def test_studies_in_one_store_do_not_mix(tracker, client, study, others):
    other = optuna.create_study(study_name=others)
    for each, count in ((study, 2), (other, 3)):
        for _ in range(count):
            tracker(each, tell(each, ask(each)))
    assert not tracker.lost
    assert (len(runs_of(client, study)), len(runs_of(client, other))) == (2, 3)
    assert (tracker.sync(study), tracker.sync(other)) == (0, 0)


def test_studies_may_share_an_experiment(tracker, client, study):
    second = optuna.create_study(study_name="digits-random.r2")
    write_round(second, study, 2)
    for each in (study, second):
        tell(each, ask(each))
        assert tracker.sync(each) == 1
    assert (tracker.sync(study), tracker.sync(second)) == (0, 0)
    experiment = client.get_experiment_by_name("digits-random")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["hpsearch.study"] for run in runs} == {"digits-random", second.study_name}
    assert client.get_experiment_by_name(second.study_name) is None


# The experiment


def test_the_experiment_has_a_kind_and_a_page(tracker, client, study):
    tracker.describe(study, "**best**: 0.5")
    experiment = client.get_experiment_by_name("digits-random")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    mark = f"<!-- study {ensure_study_id(study)} -->\n"
    assert experiment.tags["mlflow.note.content"] == f"{mark}**best**: 0.5"
    tracker.describe(study, "better")
    assert client.get_experiment("1").tags["mlflow.note.content"] == f"{mark}better"


def test_two_studies_of_one_name_share_the_page(tracker, client, study):
    theirs = optuna.create_study(study_name=study.study_name, direction="maximize")
    tracker(study, tell(study, ask(study)))
    other = Tracker(tracker.store.uri)
    other(theirs, tell(theirs, ask(theirs)))

    def note():
        return client.get_experiment_by_name(study.study_name).tags["mlflow.note.content"]

    tracker.describe(study, "ours\n")
    other.describe(theirs, "theirs\n")
    tracker.describe(study, "ours, better\n")
    assert [line for line in note().splitlines() if "<" not in line] == ["ours, better", "theirs"]
    tracker.delete([study])
    assert [line for line in note().splitlines() if "<" not in line] == ["theirs"]


def test_the_page_leaves_out_the_trials_of_another_study_of_that_name(tracker, study):
    tracker(study, tell(study, ask(study)))
    ids = [ensure_study_id(study)]
    assert "study_id" not in tracker.store.page(study.study_name, ids)
    theirs = optuna.create_study(study_name=study.study_name, direction="maximize")
    Tracker(tracker.store.uri)(theirs, tell(theirs, ask(theirs)))
    assert f"study_id%60%20%3D%20%27{ids[0]}%27" in tracker.store.page(study.study_name, ids)
    assert "study_id" not in tracker.store.page(study.study_name)


def test_a_run_with_something_that_mlflow_refuses_is_ended(tracker, client, study, monkeypatch):
    def refuse(*_, **__):
        raise MlflowException("Invalid value", error_code=INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    tracker(study, tell(study, ask(study)))
    (run,) = client.search_runs(["1"])
    assert (run.info.status, tracker.lost) == ("FINISHED", False)
    assert tracker.sync(study) == 0


def test_the_error_for_a_deleted_experiment_names_the_remedy(tracker, client, study, mlflow_uri):
    tell(study, ask(study))
    tracker.sync(study)
    number = client.get_experiment_by_name("digits-random").experiment_id
    client.delete_experiment(number)
    command = (
        f"MLFLOW_TRACKING_URI={mlflow_uri} mlflow experiments restore --experiment-id {number}"
    )
    remedy = f"'digits-random' was deleted; .*`{re.escape(command)}`.* with name=…$"
    with pytest.raises(TrackingError, match=remedy) as refused:
        tracker.store.check("digits-random")
    assert refused.value.for_command_line.endswith(" with --name")
    with pytest.raises(TrackingError, match=remedy):
        Tracker(mlflow_uri).sync(study)

    client.restore_experiment(number)
    tracker.store.check("digits-random")
    assert Tracker(mlflow_uri).sync(study) == 0


def test_an_experiment_that_is_deleted_on_the_way_is_said_once(tracker, client, study, caplog):
    tracker(study, tell(study, ask(study)))
    client.delete_experiment("1")
    for _ in range(3):
        tracker(study, tell(study, ask(study)))
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "mlflow experiments restore --experiment-id 1`" in warning
    client.restore_experiment("1")
    assert tracker.sync(study) == 3


def test_delete_frees_the_name(tracker, client, study):
    tracker(study, tell(study, ask(study)))
    old = client.get_experiment_by_name("digits-random").experiment_id

    assert tracker.store.delete("digits-random") is True
    assert tracker.store.delete("digits-random") is False
    gone = client.get_experiment(old)
    assert gone.lifecycle_stage == "deleted"
    assert re.fullmatch(r"digits-random \(deleted \d{4}-\d\d-\d\d .*\)", gone.name)

    Tracker(tracker.store.uri)(study, study.get_trials()[0])  # a new process has a new tracker
    assert client.get_experiment_by_name("digits-random").experiment_id != old
    assert [*runs_of(client, study)] == ["trial-0000"]
    assert tracker.store.delete("digits-random") is True  # even within the same second


def test_only_the_studys_own_runs_are_deleted(tracker, client, study):
    tracker(study, tell(study, ask(study)))
    theirs = optuna.create_study(study_name=study.study_name, direction="maximize")
    Tracker(tracker.store.uri)(theirs, tell(theirs, ask(theirs)))
    experiment_id = client.get_experiment_by_name(study.study_name).experiment_id
    foreign = client.create_run(experiment_id)

    runs = tracker.tracked_runs([study])
    assert (len(runs.own), runs.others) == (1, 2)
    tracker.delete([study])
    left = client.search_runs([experiment_id])
    assert len(left) == 2
    assert foreign.info.run_id in [run.info.run_id for run in left]
    client.delete_run(foreign.info.run_id)
    tracker.delete([theirs])
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"


@pytest.mark.parametrize("kind", ["figures", "report", "model", "evaluation"])
def test_sync_ends_what_a_killed_process_has_left_running(tracker, client, study, kind):
    tracker(study, tell(study, ask(study)))
    experiment_id = client.get_experiment_by_name(study.study_name).experiment_id
    tags = {"hpsearch.kind": kind, "hpsearch.study_id": ensure_study_id(study)}
    left = client.create_run(experiment_id, tags=tags)
    theirs = client.create_run(experiment_id, tags=tags | {"hpsearch.study_id": "another"})
    assert tracker.sync(study) == 0
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(theirs.info.run_id).info.status == "RUNNING"


def test_what_a_live_process_writes_goes_on_running(tracker, client, study):
    tracker(study, tell(study, ask(study)))
    experiment_id = client.get_experiment_by_name(study.study_name).experiment_id
    tags = {"hpsearch.kind": "model", "hpsearch.study_id": ensure_study_id(study)}
    processes = {
        "RUNNING": [this_process(), replace(this_process(), machine="elsewhere")],
        "KILLED": [replace(this_process(), started=1.5e9)],
    }
    runs = {
        start_run(tracker.store, experiment_id, tags, "model").info.run_id: "RUNNING",
        client.create_run(experiment_id, tags=tags).info.run_id: "KILLED",
    }
    for status, known in processes.items():
        for process in known:
            tag = {"hpsearch.process": json.dumps(asdict(process))}
            runs[client.create_run(experiment_id, tags=tags | tag).info.run_id] = status
    tracker.sync(study)
    assert {run_id: client.get_run(run_id).info.status for run_id in runs} == runs


# Trials of other objectives


def test_a_plain_objective_has_its_reports_and_its_value(tracker, client):
    def objective(trial):
        for step, value in enumerate([3.0, float("nan"), 1.0]):
            trial.report(value, step)
        return trial.suggest_float("x", 2.0, 2.0)

    study = optuna.create_study(study_name="plain")
    study.optimize(objective, n_trials=1, callbacks=[tracker])
    (run,) = client.search_runs([client.get_experiment_by_name("plain").experiment_id])
    history = client.get_metric_history(run.info.run_id, "value")
    assert sorted((point.step, point.value) for point in history) == [(1, 3.0), (3, 1.0)]
    assert run.data.metrics["value_best"] == 2.0
    assert run.data.params == {"x": "2.0"}


def test_a_plain_objective_with_several_values_has_a_metric_for_each(tracker, client):
    study = optuna.create_study(study_name="plain", directions=["minimize", "maximize"])
    study.optimize(lambda _: (1.0, 2.0), n_trials=1, callbacks=[tracker])
    (run,) = client.search_runs([client.get_experiment_by_name("plain").experiment_id])
    assert run.data.metrics == {"value_0": 1.0, "value_1": 2.0}


# A store that fails


def test_a_relative_address_is_in_the_current_working_directory(
    tmp_path, study, empty_mlflow, monkeypatch
):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_mlflow, tmp_path / name / "mlflow.db")
        monkeypatch.chdir(tmp_path / name)
        assert Tracker("sqlite:///mlflow.db").sync(study) == len(study.trials)
        tell(study, ask(study))
    for name, count in [("one", 0), ("two", 1)]:
        assert len(runs_of(MlflowClient(f"sqlite:///{tmp_path / name}/mlflow.db"), study)) == count


def test_a_store_that_does_not_answer_stops_prepare_but_no_trial(closed_port, study, caplog):
    tracker = Tracker(f"http://user:hush@127.0.0.1:{closed_port}")
    with pytest.raises(TrackingError, match=f"tracking store '.*{closed_port}': ") as caught:
        tracker.store.prepare()
    assert "hush" not in str(caught.value)

    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        for _ in range(3):
            tracker(study, tell(study, ask(study)))
        tracker.describe(study, "not written")
    assert tracker.lost
    (record,) = [r for r in caplog.records if r.name.startswith("hpsearch")]
    assert "the trials go on, and their runs are added later" in record.getMessage()
    assert "hush" not in record.getMessage()


def test_the_next_sync_adds_what_a_lost_store_missed(tracker, client, study, tmp_path):
    tracker(study, tell(study, ask(study)))
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE metrics RENAME TO gone")
        for _ in range(2):
            tracker(study, tell(study, ask(study)))
        assert tracker.lost
        with pytest.raises(TrackingError):
            tracker.sync(study)
        database.execute("ALTER TABLE gone RENAME TO metrics")
    database.close()

    assert tracker.sync(study) == 2
    assert not tracker.lost
    runs = runs_of(client, study)
    assert [*sorted(runs)] == ["trial-0000", "trial-0001", "trial-0002"]
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert len(history(client, run)["val/accuracy"]) == 3


@pytest.fixture
def make_away(tracker, monkeypatch):
    """A function that makes a method of MLflow's client fail, after it did its work if `late`."""

    def make_away(method, *, late=False):
        original = getattr(tracker.store.client, method)

        def fail(*arguments, **options):
            if late:
                original(*arguments, **options)
            raise MlflowException("away")

        monkeypatch.setattr(tracker.store.client, method, fail)
        return lambda: monkeypatch.setattr(tracker.store.client, method, original)

    return make_away


@pytest.mark.parametrize("late", [False, True])
def test_a_store_that_comes_back_gets_every_run_once(
    tracker, client, study, make_away, monkeypatch, late
):
    monkeypatch.setattr(tracker_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(tracker_module, "RETRY_SHARE", 0.0)
    tracker(study, tell(study, ask(study)))
    come_back = make_away("create_run", late=late)
    tracker(study, tell(study, ask(study)))
    assert tracker.lost
    come_back()
    tracker(study, tell(study, ask(study)))
    assert not tracker.lost
    runs = client.search_runs([client.get_experiment_by_name(study.study_name).experiment_id])
    assert sorted(run.data.tags["hpsearch.number"] for run in runs) == ["0", "1", "2"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_lost_store_is_left_alone_for_a_while(tracker, study, make_away):
    make_away("create_run")
    tracker(study, tell(study, ask(study)))
    come_back = make_away("log_batch")
    for _ in range(3):  # would fail with another message
        tracker(study, tell(study, ask(study)))
    come_back()
    assert tracker.lost


def test_sync_removes_a_run_too_many(tracker, client, study):
    tracker(study, tell(study, ask(study)))
    (run,) = runs_of(client, study).values()
    tags = run.data.tags | {"mlflow.runName": run.info.run_name}
    double = client.create_run(run.info.experiment_id, tags=tags)  # as a repeated request does
    assert tracker.sync(study) == 0
    (left,) = client.search_runs([run.info.experiment_id])
    assert left.info.run_id == run.info.run_id != double.info.run_id


def test_what_mlflow_would_refuse_is_renamed(tracker, client, study):
    values = {f"layer[{n}]": float(n) for n in range(120)} | {"../up": 1.0, "": 2.0, "a b": 3.0}
    values |= {"layer_0_": 4.0, "x" * 300: 5.0}

    def objective(trial):
        for name, value in values.items():
            trial.suggest_float(name, value, value)
        return 0.0

    study.optimize(objective, n_trials=1, callbacks=[tracker])
    assert not tracker.lost
    (run,) = runs_of(client, study).values()
    params = run.data.params
    assert sorted(map(float, params.values())) == sorted(values.values())
    assert (params["layer_7_"], params["_.._up"], params["a b"]) == ("7.0", "1.0", "3.0")
    assert (params["layer_0_"], params["layer_0__2"], params["x" * 250]) == ("0.0", "4.0", "5.0")


def test_a_run_that_mlflow_refuses_for_ever_is_skipped(tracker, study, monkeypatch, caplog):
    def refuse(*_, **__):
        raise MlflowException("no such thing", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(tracker.store.client, "log_batch", refuse)
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        tracker(study, tell(study, ask(study)))
    assert not tracker.lost
    assert f"the run of trial {study.study_name}#0 is incomplete: " in caplog.text


# As a callback in other programs


def test_mlflows_global_state_is_not_touched(
    tracker, client, study, tmp_path, empty_mlflow, monkeypatch
):
    theirs = tmp_path / "theirs.db"
    theirs.write_bytes(empty_mlflow.read_bytes())
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", before)  # MLflow sets it too: restored with this
    mlflow.set_tracking_uri(f"sqlite:///{theirs}")
    try:
        with mlflow.start_run() as active:
            study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2, callbacks=[tracker])
            assert mlflow.active_run().info.run_id == active.info.run_id
            assert mlflow.get_tracking_uri() == f"sqlite:///{theirs}"
        assert mlflow.get_run(active.info.run_id).data.params == {}
        assert len(mlflow.search_runs(output_format="list")) == 1
    finally:
        mlflow.set_tracking_uri(before)
    assert len(runs_of(client, study)) == 2


def test_a_used_tracker_can_be_pickled(tracker, client, study):
    tracker(study, tell(study, ask(study)))
    copy = pickle.loads(pickle.dumps(tracker))
    assert copy.store.uri == tracker.store.uri
    copy(study, study.get_trials()[0])
    copy(study, tell(study, ask(study)))
    assert sorted(runs_of(client, study)) == ["trial-0000", "trial-0001"]


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_it_is_a_callback_for_any_study(tracker, client, study, n_jobs):
    def objective(trial):
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 4:
            raise ValueError
        return trial.suggest_float("x", 0, 1)

    study.optimize(objective, n_trials=8, callbacks=[tracker], n_jobs=n_jobs, catch=ValueError)

    assert not tracker.lost
    runs = runs_of(client, study)
    assert sorted(runs) == [f"trial-{n:04d}" for n in range(8)]
    assert Counter(run.info.status for run in runs.values()) == {"FINISHED": 7, "FAILED": 1}
    assert runs["trial-0002"].data.params == {"x": str(study.trials[2].params["x"])}


def test_threads_of_a_study_may_be_the_first_to_use_a_store(tmp_path, study):
    tracker = Tracker(f"sqlite:///{tmp_path / 'new.db'}")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=8, callbacks=[tracker], n_jobs=4)
    assert not tracker.lost
    assert len(runs_of(tracker.store.client, study)) == 8
