"""Runs that hold files, and figures that belong to no study."""

import pytest
from matplotlib.figure import Figure

from hpsearch.errors import SettingsError, TrackingError
from hpsearch.tracking.artifacts import kept_run, publish
from hpsearch.tracking.projection import KIND, STUDY
from hpsearch.tracking.runs import find_runs
from hpsearch.tracking.store import TrackingStore

TAGS = {KIND: "report", STUDY: "digits"}


@pytest.fixture
def store(mlflow_uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow writes artifacts to the working directory
    return TrackingStore(mlflow_uri)


def runs(store, status=""):
    return find_runs(store, store.experiment_id("digits"), TAGS, status)


def test_the_same_tags_keep_one_run(store):
    with kept_run(store, "digits", TAGS, "report") as first:
        assert [run.info.run_id for run in runs(store, "RUNNING")] == [first]
    with kept_run(store, "digits", TAGS, "report") as second:
        pass
    assert first == second
    (run,) = runs(store)
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    assert run.info.end_time is not None
    assert run.data.tags["mlflow.source.name"] == "hpsearch"


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError("full"), TrackingError), (KeyError, KeyError)]
)
def test_a_block_that_fails_ends_the_run_as_failed(store, error, raised):
    with pytest.raises(raised), kept_run(store, "digits", TAGS, "report"):
        raise error
    assert [run.info.status for run in runs(store)] == ["FAILED"]


def test_a_run_that_a_killed_process_left_is_ended(store):
    experiment = store.open_experiment("digits")
    left = store.client.create_run(experiment, tags=TAGS).info.run_id
    with kept_run(store, "digits", {**TAGS, "hpsearch.seeds": "3"}, "report") as run:
        pass
    assert {each.info.run_id: each.info.status for each in runs(store)} == {
        left: "KILLED",
        run: "FINISHED",
    }


@pytest.mark.parametrize("name", ["it's", 'a "quoted" name', 'it\'s "both"', "back\\slash", "ü/%"])
def test_a_study_may_have_any_name(store, name):
    tags, other = {KIND: "figures", STUDY: name}, {KIND: "figures", STUDY: f"{name}2"}
    found = []
    for each in (tags, other, tags):
        with kept_run(store, "digits", each, "figures") as run:
            found.append(run)
    assert found[0] == found[2] != found[1]


def test_figures_of_no_study_go_to_a_folder_and_to_a_run(store, tmp_path):
    figures = {"one": Figure(), "two": Figure()}
    paths = publish(figures, "paths", save=tmp_path / "plots", store=store)
    assert [path.name for path in paths] == ["one.png", "two.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    (run,) = store.client.search_runs([store.experiment_id("paths")])
    assert run.info.run_name == "figures"
    files = store.client.list_artifacts(run.info.run_id)
    assert sorted(file.path for file in files) == ["one.png", "two.png"]
    assert publish(figures, "paths") == []


def test_everything_is_checked_before_figures_are_published(store, tmp_path):
    (tmp_path / "one.png").write_text("mine")
    with pytest.raises(SettingsError, match=r"one\.png exists already"):
        publish({"one": Figure()}, "paths", save=tmp_path, store=store)
    assert store.experiment_id("paths") is None
    assert (tmp_path / "one.png").read_text() == "mine"

    away = TrackingStore(f"sqlite:///{tmp_path}/no/mlflow.db")
    with pytest.raises(TrackingError, match="there is no folder"):
        publish({"two": Figure()}, "paths", save=tmp_path, store=away)
    assert not (tmp_path / "two.png").exists()
