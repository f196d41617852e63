"""Figures as artifacts of MLflow runs."""

import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient

from hpsearch.errors import TrackingError
from hpsearch.figures.declared import draw, draw_figures
from hpsearch.search.rounds import run_rounds
from hpsearch.search.study import run_study
from hpsearch.settings.figures import FigureSettings
from hpsearch.tracking.artifacts import log_figures, log_study_figures, publish
from hpsearch.tracking.store import TrackingStore
from hpsearch.tracking.tracker import Tracker

PNG = b"\x89PNG\r\n"


def artifacts(client, run):
    return sorted(each.path for each in client.list_artifacts(run.info.run_id))


def runs_in(client, name):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def test_a_study_has_one_run_for_its_figures(mlflow_uri, tmp_path, monkeypatch, figure_settings):
    monkeypatch.chdir(tmp_path)
    tracker, client = Tracker(mlflow_uri), MlflowClient(mlflow_uri)
    settings = figure_settings(search={"trials": 2, "sampler": "random"})
    study = run_study(settings, storage="j", tracker=tracker).study
    for drawn in (draw_figures(study), {"means": draw(study, FigureSettings(kind="means"))}):
        log_study_figures(tracker.store, study, drawn)
    runs = runs_in(client, "tiny-random")
    (run,) = [run for run in runs if run.data.tags["hpsearch.kind"] == "figures"]
    assert len(runs) == 3
    assert artifacts(client, run) == ["best.png", "means.png"]
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("figures", "FINISHED", {})
    assert run.data.tags["hpsearch.study"] == "tiny-random"
    assert run.data.tags["hpsearch.study_id"] == study.user_attrs["hpsearch.study_id"]
    path = client.download_artifacts(run.info.run_id, "best.png", str(tmp_path))
    with open(path, "rb") as file:
        assert file.read(6) == PNG
    assert Tracker(mlflow_uri).sync(study) == 0  # it is no trial


def test_each_round_has_a_run_which_is_deleted_with_the_round(
    mlflow_uri, tmp_path, monkeypatch, figure_settings
):
    monkeypatch.chdir(tmp_path)
    tracker, client = Tracker(mlflow_uri), MlflowClient(mlflow_uri)
    rate = {"learning_rate": {"low": 0.01, "high": 0.5}}
    settings = figure_settings(
        {"kind": "values"}, search={"trials": 2, "sampler": "random"}, trial=rate
    )
    rounds = [o.study for o in run_rounds(settings, 2, storage="j", tracker=tracker)]
    for study in rounds:
        log_study_figures(tracker.store, study, draw_figures(study))
    names = {run.info.run_name for run in runs_in(client, "tiny-random")}
    assert {"figures", "r2-figures"} < names
    tracker.delete([rounds[1]])
    left = {run.info.run_name for run in runs_in(client, "tiny-random")}
    assert left == {"figures", "trial-0000", "trial-0001"}


def test_figures_without_a_study_have_one_run_in_their_experiment(
    mlflow_uri, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    store, client = TrackingStore(mlflow_uri), MlflowClient(mlflow_uri)
    log_figures(store, "mine", {"one": Figure()})
    publish({"two": Figure()}, "mine", save="plots", store=store)
    (run,) = runs_in(client, "mine")
    assert artifacts(client, run) == ["one.png", "two.png"]
    assert (run.info.run_name, run.info.status) == ("figures", "FINISHED")
    assert (tmp_path / "plots" / "two.png").exists()


def test_nothing_is_saved_if_the_tracking_store_cannot_be_reached(tmp_path):
    store = TrackingStore(f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    with pytest.raises(TrackingError, match="there is no folder"):
        publish({"one": Figure()}, "mine", save=tmp_path / "plots", store=store)
    assert list(tmp_path.iterdir()) == []
