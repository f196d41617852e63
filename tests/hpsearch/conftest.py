"""What several tests of the search share: a small study, and an MLflow database to copy."""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before anything imports mlflow
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # a closed port stays closed

import shutil

import pytest
from mlflow import MlflowClient

from hpsearch.settings.study import parse_settings


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory):
    """An MLflow database without an experiment; creating one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow, tmp_path):
    """The URI of an MLflow store of this test's own."""
    return f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"


@pytest.fixture(scope="session")
def make_settings():
    """A function to the settings of a study of tiny trials, with tables to merge into them."""

    def make(*, name="tiny", data=None, search=None, trial=None, **rest):
        table = {
            "name": name,
            "data": {"source": "digits", "limit": 120} | (data or {}),
            "search": {"sampler": "random", "pruner": "none", "trials": 4} | (search or {}),
            "trial": {
                "epochs": 3,
                "hidden_layer_sizes": [8],
                "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
                "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
            }
            | (trial or {}),
        }
        return parse_settings(table | rest, "test")

    return make
