import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

SCRIPT = Path(__file__).parents[2] / "studies" / "import_objective.py"
OWN = {"momentum": {"momentum", "learning_rate"}, "adam": {"beta1", "learning_rate"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory in which the script has run three trials."""
    path = tmp_path_factory.mktemp("work")
    environment = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--trials", "3"],
        cwd=path,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    (path / "stdout").write_text(run.stdout, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(folder):
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("my-own-study")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])


def test_says_what_it_found(folder, runs):
    best = max(run.data.metrics["val/accuracy_best"] for run in runs)
    said = (folder / "stdout").read_text(encoding="utf-8")
    assert said.startswith(f"best {best:.4f} in trial ")


def test_every_trial_is_a_finished_run(runs):
    assert [run.info.run_name for run in runs] == ["trial-0000", "trial-0001", "trial-0002"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["hpsearch.kind"] for run in runs} == {"trial"}


def test_every_run_has_its_curves_and_the_whole_configuration(folder, runs):
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert [point.step for point in history] == list(range(1, len(history) + 1))
        assert max(point.value for point in history) == run.data.metrics["val/accuracy_best"]
        assert run.data.params["epochs"] == "10"
        assert run.data.params.keys() >= OWN[run.data.params["optimizer"]]


def test_leaves_nothing_but_the_database_behind(folder):
    left = {path.name for path in folder.iterdir()} - {"stdout"}
    assert {name.removesuffix("-shm").removesuffix("-wal") for name in left} == {"mlflow.db"}
