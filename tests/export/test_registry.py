"""A study's network as a registered model of MLflow, and its predictions in another process."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hpsearch.errors import StudyError, TrackingError
from hpsearch.export.examples import example_rows
from hpsearch.export.flavor import EXAMPLE_ROWS
from hpsearch.export.network import Winner, network_bytes, retrain, winner_with_network
from hpsearch.export.registry import Champion, register
from hpsearch.export.winner import choose_trial
from hpsearch.prediction import load_model, predict_frame, predict_table
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.storage.open import open_storage
from hpsearch.tracking.store import TrackingStore
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import own_trials, slot_of

NAME, URI = "tiny-random", "models:/tiny-random@champion"

# A program that knows only MLflow, the name, and the address of the store.
FRESH = """
import json, sys
import mlflow, pandas
rows = pandas.read_csv(sys.argv[1], dtype={"code": str})
model = mlflow.pyfunc.load_model("models:/tiny-random@champion")
assert not [name for name in sys.modules if name.partition(".")[0] == "optuna"]
print(json.dumps({
    "labels": list(model.predict(rows)),
    "proba": model.predict(rows, params={"proba": True}).to_dict("list"),
    "example": list(model.predict(model.input_example)),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory of its own, because MLflow writes artifacts to the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("registry"))
        yield Path.cwd()


@pytest.fixture(scope="module")
def table(folder):
    """A table with whole numbers, fractions, words, and words that look like numbers."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    frame = pd.DataFrame(
        {
            "age": 10 * y + rng.integers(9, size=200),
            "<script>alert(1)</script>": y + rng.normal(0, 1, 200),
            "code": np.array(["01", "02", "x"])[(y + (rng.random(200) < 0.3)) % 3],
            "kind": np.array(["ant", "bee", "cat, tame"])[y],
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@pytest.fixture(scope="module")
def store(folder, empty_mlflow):
    path = folder / "mlflow.db"
    path.write_bytes(empty_mlflow.read_bytes())
    return TrackingStore(f"sqlite:///{path}")


def settings_of(table, **rest):
    tables = {
        "name": "tiny",
        "data": {"source": str(table), "target": "kind"},
        "search": {"sampler": "random", "pruner": "none", "trials": 3},
        "trial": {
            "epochs": 4,
            "hidden_layer_sizes": [8],
            "learning_rate": {"low": 1e-2, "high": 1.0, "log": True},
        },
    }
    return parse_settings(tables | rest, "test")


@pytest.fixture(scope="module")
def study(folder, table, store):
    """A tracked study of three trials."""
    tracker = Tracker(store.uri)
    return run_study(settings_of(table), storage=str(folder / "j"), tracker=tracker).study


def export(store, study, slot=None, scores=None, storage="j"):
    winner = winner_with_network(open_storage(str(storage)), study, slot)
    return register(store, study, replace(winner, scores=scores) if scores else winner)


def versions(store, name=NAME):
    found = store.client.search_model_versions(f"name = '{name}'")
    return sorted(int(version.version) for version in found)


@pytest.fixture(scope="module")
def champion(store, study):
    return export(store, study)


def model_runs(store):
    experiment = store.experiment_id(NAME)
    return store.client.search_runs([experiment], "tags.`hpsearch.kind` = 'model'")


def test_it_predicts_the_same_in_a_new_process_as_the_command_does(champion, study, store, table):
    assert champion == Champion(NAME, 1, fresh=True)
    assert champion.uri == URI
    frame = pd.read_csv(table, dtype={"code": str})
    frame["more"] = 1
    frame[["more", "code", "<script>alert(1)</script>", "kind", "age"]].to_csv(
        "shuffled.csv", index=False
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri}
    command = [sys.executable, "-c", FRESH, "shuffled.csv"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    printed = json.loads(run.stdout)

    Path("it.npz").write_bytes(network_bytes(retrain(study, choose_trial(study))))
    expected = predict_table("it.npz", "shuffled.csv")
    assert printed["labels"] == expected.labels.tolist()
    assert set(printed["labels"]) == {"ant", "bee", "cat, tame"}
    assert list(printed["proba"]) == ["ant", "bee", "cat, tame"]
    found = np.array(list(printed["proba"].values())).T
    np.testing.assert_allclose(found, expected.probabilities, rtol=1e-6)
    example = example_rows(settings_of(table).data, EXAMPLE_ROWS)
    assert printed["example"] == predict_frame(load_model("it.npz"), example).labels.tolist()


def test_a_column_of_words_may_have_any_type_that_pandas_gives_it(champion, store, table, folder):
    version = store.client.get_model_version(NAME, str(champion.version))
    run = store.client.get_run(version.run_id)
    model = mlflow.pyfunc.load_model(f"{run.info.artifact_uri}/model")
    rows = pd.read_csv(table, dtype={"code": str})
    rows[rows.code != "x"].to_csv("numbers.csv", index=False)
    read = pd.read_csv("numbers.csv")
    assert read.code.dtype == "int64"
    network = folder / "network.npz"
    network.write_bytes(Path(run.info.artifact_uri, "model/artifacts/network.npz").read_bytes())
    expected = predict_table(network, "numbers.csv").probabilities
    for code in (read.code, read.code.astype("category"), read.code.astype(float)):
        found = model.predict(read.assign(code=code), params={"proba": True})
        np.testing.assert_array_equal(found, expected)
    words = rows.assign(code=rows.code.astype("category"))
    assert model.predict(words).tolist() == model.predict(rows).tolist()
    gap = model.predict(read.assign(code=read.code.where(read.index != 2)), params={"proba": True})
    np.testing.assert_array_equal(gap.to_numpy()[:2], expected[:2])


def test_nothing_in_it_is_pickled(champion, store):
    version = store.client.get_model_version_by_alias(NAME, "champion")
    assert int(version.version) == champion.version
    run = store.client.get_run(version.run_id)
    root = Path(run.info.artifact_uri) / "model"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc.py", "artifacts/network.npz", "input_example.json"} <= files
    assert {Path(file).suffix for file in files} <= {"", ".py", ".npz", ".json", ".yaml", ".txt"}
    assert "python_model" not in (root / "MLmodel").read_text()
    assert load_model(root / "artifacts" / "network.npz").columns[0]["name"] == "age"


def test_a_version_says_where_it_comes_from(champion, study, store):
    version = store.client.get_model_version(NAME, str(champion.version))
    trial = choose_trial(study)
    of_trial = store.client.get_run(version.tags["hpsearch.trial_run"])
    assert of_trial.data.tags["hpsearch.number"] == str(trial.number)
    assert of_trial.data.tags["hpsearch.kind"] == "trial"
    assert version.tags["hpsearch.slot"] == str(slot_of(trial))
    assert version.tags["hpsearch.study"] == NAME
    assert float(version.tags["val/accuracy"]) == trial.value
    assert "test/accuracy" not in version.tags
    assert "Not evaluated yet, so without a test score: `hpsearch evaluate" in version.description
    assert of_trial.info.run_id in version.description
    run = store.client.get_run(version.run_id)
    assert (run.info.run_name, run.info.status) == ("champion", "FINISHED")
    assert run.data.tags["hpsearch.kind"] == "model"
    assert run.data.params == of_trial.data.params
    assert run.inputs.dataset_inputs[0].dataset == of_trial.inputs.dataset_inputs[0].dataset


def test_the_same_network_creates_nothing_and_another_gets_the_alias(champion, study, store):
    runs = len(model_runs(store))
    assert export(store, study) == Champion(NAME, champion.version, fresh=False)
    assert len(model_runs(store)) == runs

    best, before = choose_trial(study), versions(store)
    other = next(slot_of(t) for t in own_trials(study) if slot_of(t) != slot_of(best))
    second = export(store, study, other)
    assert second.fresh
    assert second.before == f"version {champion.version} (trial {slot_of(best)})"
    assert versions(store) == [*before, second.version]
    assert store.client.get_model_version_by_alias(NAME, "champion").version == second.version

    third = export(store, study, scores={"test/accuracy": 0.97})
    version = store.client.get_model_version_by_alias(NAME, "champion")
    assert (version.version, version.tags["test/accuracy"]) == (third.version, "0.97")
    assert "test/accuracy **0.97**" in version.description
    assert store.client.get_run(version.run_id).data.metrics == {"test/accuracy": 0.97}
    assert not export(store, study).fresh  # it keeps the score that is known


@pytest.mark.parametrize("step", ["log_artifacts", "create_model_version"])
def test_nothing_is_registered_if_a_step_fails(study, store, champion, monkeypatch, step):
    def fail(*_, **__):
        raise OSError("no space left")

    before, alias = versions(store), store.client.get_model_version_by_alias(NAME, "champion")
    assert champion.version
    monkeypatch.setattr(MlflowClient, step, fail)
    with pytest.raises(TrackingError, match="no space left"):
        export(store, study, scores={"test/accuracy": 0.5})
    assert versions(store) == before
    found = store.client.get_model_version_by_alias(NAME, "champion")
    assert found.version == alias.version
    assert max(model_runs(store), key=lambda run: run.info.start_time).info.status == "FAILED"


def test_no_first_model_is_created_without_its_files(make_settings, store, tmp_path, monkeypatch):
    study = run_study(
        make_settings(name="first", search={"trials": 1}), storage=str(tmp_path / "j")
    )

    def fail(*_, **__):
        raise MlflowException("away")

    monkeypatch.setattr(MlflowClient, "log_artifacts", fail)
    with pytest.raises(TrackingError, match=r"^tracking store 'sqlite:.*': away$"):
        export(store, study.study, storage=tmp_path / "j")
    assert store.client.search_registered_models("name = 'first-random'") == []
    monkeypatch.undo()
    made = export(store, study.study, storage=tmp_path / "j")  # this study was not tracked
    assert made.version == 1
    assert "hpsearch.trial_run" not in store.client.get_model_version(made.name, "1").tags


def test_a_missing_store_and_a_foreign_study_are_refused(study, store, folder):
    with pytest.raises(TrackingError, match="there is no folder"):
        export(TrackingStore(f"sqlite:///{folder}/no/mlflow.db"), study)
    trial = choose_trial(study)
    foreign = type("Foreign", (), {"user_attrs": {}, "study_name": "foreign"})()
    with pytest.raises(StudyError, match="was not started by hpsearch"):
        register(store, foreign, Winner(trial, retrain(foreign, trial)))


def test_the_model_outlives_the_study(make_settings, store, tmp_path):
    settings = make_settings(name="gone", search={"trials": 1})
    tracker = Tracker(store.uri)
    study = run_study(settings, storage=str(tmp_path / "j"), tracker=tracker).study
    made = export(store, study, storage=tmp_path / "j")
    tracker.delete([study])
    code = (
        "import sys, mlflow; print(*mlflow.pyfunc.load_model(sys.argv[1]).predict(__import__("
        "'sklearn.datasets').datasets.load_digits(as_frame=True).data.astype(int)[:9]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, made.uri],
        env=os.environ | {"MLFLOW_TRACKING_URI": store.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) <= set("0123456789")
    assert len(run.stdout.split()) == 9
