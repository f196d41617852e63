"""`hpsearch serve` as a command: who gets in, MLflow's pages, and where it listens."""

import subprocess
import sys

import httpx
import pytest
from mlflow import MlflowClient
from service_server import ELSEWHERE, QUICK, until

from hpsearch.client import API, Client
from hpsearch.errors import ConflictError, ServiceError, SettingsError
from hpsearch.service.tokens import add_token


def command(*options):
    return [sys.executable, "-m", "hpsearch", "serve", "--no-browser", *options]


@pytest.fixture
def start(tmp_path):
    """Starts `hpsearch serve` with options, and returns its address."""
    started = []

    def start(*options):
        process = subprocess.Popen(
            command("--port", "0", *options), cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process.stdout.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def test_tokens_have_roles(start, tmp_path):
    file = tmp_path / "tokens.txt"
    tokens = {role: add_token(file, role, role) for role in ("read", "run", "admin")}
    limits = ("--most-studies", "1", "--most-trials", "50")
    address = start("--no-tracking", "--token-file", str(file), *limits)
    assert httpx.get(f"{address}{API}/studies").status_code == 401
    assert httpx.get(f"{address}/health").status_code == 200
    with Client(address, tokens["read"], patience=0) as client:
        assert client.studies() == []
        with pytest.raises(ServiceError, match="'read' has the role read, and this needs run"):
            client.submit(QUICK)
    with Client(address, tokens["run"], patience=0) as client:
        study = client.submit(ELSEWHERE, name="q")
        assert study.state()["by"] == "run"
        with pytest.raises(ConflictError, match="'run' may have 1 studies that wait or run"):
            client.submit(QUICK)
        with pytest.raises(SettingsError, match="at most 50 of a study"):
            client.submit(QUICK.replace("trials = 4", "trials = 51"))
        with pytest.raises(ServiceError, match="this needs admin"):
            study.delete()
    with Client(address, tokens["admin"], patience=0) as client:
        client.study("q").delete()
        until(lambda: not client.studies())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "--host: others can reach 0.0.0.0, so the service needs tokens"),
        (["--webhook", "nowhere"], "HPSEARCH_WEBHOOK: "),
        (
            ["--cluster", "tcp://x:1", "--jobs", "2"],
            "--cluster runs a trial on each of its workers",
        ),
        (["--token-file", "none"], "File 'none' does not exist"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(tmp_path, options, sentence):
    run = subprocess.run(
        command(*options), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode in (1, 2)
    assert sentence in run.stderr
    assert [*tmp_path.iterdir()] == []


def test_trials_are_in_mlflow_under_the_same_address(start):
    address = start()
    with Client(address) as client:
        study = client.submit(QUICK, name="q")
        until(lambda: study.state()["state"] == "finished")
    until(lambda: httpx.get(f"{address}/mlflow/").status_code == 200, 120)
    mlflow = MlflowClient(f"{address}/mlflow")
    experiment = mlflow.get_experiment_by_name("q")
    runs = mlflow.search_runs([experiment.experiment_id])
    trial = httpx.get(f"{address}{API}/studies/q/trials/2/mlflow", follow_redirects=False)
    run_id = next(r.info.run_id for r in runs if r.info.run_name == "trial-0002")
    assert f"/runs/{run_id}?" in trial.headers["location"]
    study = httpx.get(f"{address}{API}/studies/q/mlflow", follow_redirects=False)
    assert study.headers["location"].startswith(
        f"/mlflow/#/experiments/{experiment.experiment_id}/runs"
    )
    links = {run.data.tags["hpsearch.page"] for run in runs}
    assert links == {f"{address}/studies/q/trials/{slot}" for slot in range(4)}
