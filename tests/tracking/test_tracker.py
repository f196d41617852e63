"""Trials in MLflow, seen through MLflow's own client on a real store."""

import logging
import pickle
import re
import shutil
import socket
import sqlite3
from collections import Counter

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from hpsearch.errors import TrackingError
from hpsearch.tracking import tracker as tracker_module
from hpsearch.tracking.store import tracking_uri
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import experiment_name

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


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
    """Start a trial that has trained for so many epochs."""
    trial = study.ask()
    trial.set_user_attr("slot", trial.number)
    setup = {"config": {"epochs": epochs, "hidden_layer_sizes": [8]}, "metric": "val/accuracy"}
    trial.set_user_attr("setup", setup | {"seed": 0})
    show_epochs(trial, epochs)
    return trial


def show_epochs(trial, epochs):
    values = [epoch / 1000 for epoch in range(1, epochs + 1)]
    times = [1_700_000_000_000 + 50 * epoch for epoch in range(epochs)]
    trial.set_user_attr("curves", dict.fromkeys(METRICS, values) | {"times": times})


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


def test_uri_is_the_given_one_then_the_environment_then_a_database_here(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri() == "http://host:5000"
    assert Tracker("sqlite:///other.db").store.uri == "sqlite:///other.db"


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
        times = trial.user_attrs["curves"]["times"]
        assert points[name] == [(1, 0.001, times[0]), (2, 0.002, times[1]), (3, 0.003, times[2])]
    assert run.data.metrics["val/accuracy_best"] == 0.003
    assert run.data.metrics["best_epoch"] == run.data.metrics["epochs"] == 3


def test_writing_a_trial_again_changes_nothing(tracker, client, study, mlflow_uri):
    trial = tell(study, ask(study))
    tracker(study, trial)
    (before,) = runs_of(client, study).values()
    points = history(client, before)

    tracker(study, trial)
    Tracker(mlflow_uri)(study, trial)  # another process would look the run up first

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

    show_epochs(trial, 2)
    trial.set_user_attr("reason", "pruned at epoch 2")
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


def test_a_long_reason_does_not_lose_the_run(tracker, client, study):
    trial = ask(study)
    trial.set_user_attr("reason", "ValueError: " + "x" * 20_000)
    tracker(study, tell(study, trial, "FAIL"))
    assert not tracker.lost
    (run,) = runs_of(client, study).values()
    assert run.info.status == "FAILED"
    assert run.data.tags["hpsearch.reason"].startswith("ValueError: xxx")


# Sync


def test_sync_writes_what_is_missing_and_closes_what_was_left_open(tracker, client, study):
    for state in ("COMPLETE", "PRUNED", "FAIL", "COMPLETE"):
        tell(study, ask(study), state)
    left = ask(study)
    living = ask(study)
    tracker(study, study.get_trials()[1])  # is there already
    tracker(study, study.get_trials()[left.number])
    left.set_user_attr("interrupted", True)
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
    tags["hpsearch.study_id"] = study.user_attrs["hpsearch.study_id"]
    experiment = client.get_experiment_by_name(study.study_name)
    client.create_run(experiment.experiment_id, tags=tags, run_name="trial-0000")

    assert tracker.sync(study) == 1
    (run,) = runs_of(client, study).values()
    assert run.info.status == "FINISHED"
    assert len(history(client, run)["train/loss"]) == 3


def test_sync_looks_at_every_page_of_runs(tracker, client, study, monkeypatch):
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
        *(s.user_attrs["hpsearch.study_id"] for s in (study, twin))
    }
    assert len(runs) == 2


def test_deleting_what_was_deleted_already_frees_the_name_too(tracker, client, study):
    old = tracker.store.open_experiment(study.study_name)
    client.delete_experiment(old)
    assert tracker.store.delete(study.study_name) is True
    assert tracker.store.open_experiment(study.study_name) != old


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
    second.set_user_attr(tracker_module.EXPERIMENT, study.study_name)
    for each in (study, second):
        tell(each, ask(each))
        assert tracker.sync(each) == 1
    assert (tracker.sync(study), tracker.sync(second)) == (0, 0)
    experiment = client.get_experiment_by_name("digits-random")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["hpsearch.study"] for run in runs} == {"digits-random", second.study_name}
    assert client.get_experiment_by_name(second.study_name) is None


# The experiment


def test_the_experiment_says_what_it_is(tracker, client, study):
    tracker.describe(study, "**best**: 0.5")
    experiment = client.get_experiment_by_name("digits-random")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.tags["mlflow.note.content"] == "**best**: 0.5"
    tracker.describe(study, "better")
    assert client.get_experiment("1").tags["mlflow.note.content"] == "better"


def test_a_deleted_experiment_is_reported_with_its_remedy(tracker, client, study, mlflow_uri):
    tell(study, ask(study))
    tracker.sync(study)
    number = client.get_experiment_by_name("digits-random").experiment_id
    client.delete_experiment(number)
    remedy = f"'digits-random' was deleted; .*restore --experiment-id {number}.*--name"
    with pytest.raises(TrackingError, match=remedy):
        tracker.store.check("digits-random")
    with pytest.raises(TrackingError, match=remedy):
        Tracker(mlflow_uri).sync(study)

    client.restore_experiment(number)
    tracker.store.check("digits-random")
    assert Tracker(mlflow_uri).sync(study) == 0


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


# The store


def test_prepare_creates_the_database_and_lets_readers_work_beside_a_writer(tmp_path, tracker):
    tracker.store.prepare()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_a_relative_address_is_meant_in_the_folder_of_the_moment(
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


def test_a_store_that_is_away_stops_prepare_but_no_trial(closed_port, study, caplog):
    tracker = Tracker(f"http://user:hush@127.0.0.1:{closed_port}")
    with pytest.raises(TrackingError, match=f"tracking store '.*{closed_port}': ") as caught:
        tracker.store.prepare()
    assert "hush" not in str(caught.value)

    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        for _ in range(3):
            tracker(study, tell(study, ask(study)))
        tracker.describe(study, "not heard")
    assert tracker.lost
    (record,) = [r for r in caplog.records if r.name.startswith("hpsearch")]
    assert "hpsearch sync" in record.getMessage()
    assert "hush" not in record.getMessage()


def test_what_a_lost_store_missed_is_added_by_the_next_sync(tracker, client, study, tmp_path):
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


@pytest.mark.parametrize(
    "content", [b"no database\n" * 500, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database(tmp_path, content):
    path = tmp_path / "broken.db"
    path.write_bytes(content)
    with pytest.raises(TrackingError, match=r"tracking store 'sqlite:///.*broken.db': .*database"):
        Tracker(f"sqlite:///{path}").store.prepare()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nosuch://u:hush@host", "unsupported URI"),
        ("oracle+cx_oracle://u:hush@host/db", "."),
        ("postgresql://u@host:hush/db", "its port is no number"),
        ("./mlruns", "."),
    ],
)
def test_a_store_that_cannot_be_used(tmp_path, monkeypatch, uri, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match=f"^tracking store '.*': .*{message}") as caught:
        Tracker(uri).store.prepare()
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_database_of_another_program_is_refused(tmp_path):
    uri = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(storage=uri)
    with pytest.raises(TrackingError, match=r"tracking store 'sqlite:///.*optuna\.db': "):
        Tracker(uri).store.prepare()


# As a guest in other people's programs


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


def test_who_brings_the_same_data_as_others_at_once_is_heard_again(tracker, client, monkeypatch):
    refused, log_inputs = [], MlflowClient.log_inputs

    def refuse_the_first(self, run_id, inputs):
        if not refused:
            refused.append(run_id)
            raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)
        log_inputs(self, run_id, inputs)

    monkeypatch.setattr(MlflowClient, "log_inputs", refuse_the_first)
    run = client.create_run(client.create_experiment("e"))
    dataset = Dataset("digits", "0123", "code", "{}")
    tracker.store.log_inputs(run.info.run_id, [DatasetInput(dataset)])
    assert refused == [run.info.run_id]
    (found,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert found.dataset.name == "digits"
