"""`kill -9` of the whole process group at chosen moments, then the same command again."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from hpsearch.search.study import run_study
from hpsearch.settings.study import load_settings
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import is_failed_try

# More than two workers can finish before the last of the MOMENTS: to each of these, three a worker.
TRIALS = 63
STUDY = f"""
[data]
source = "iris"

[search]
sampler = "random"
pruner = "none"
trials = {TRIALS}

[trial]
epochs = 4
batch_size = 16
hidden_units = {{ low = 5, high = 30 }}
learning_rate = {{ low = 1e-3, high = 0.1, log = true }}
"""
# Each after a trial or two of its start: a slot that died three times would be given up.
MOMENTS = [
    "model.network:Network.backward:75",  # in training
    "optuna.trial:Trial.report:9",  # before an epoch is reported
    "hpsearch.storage.journal:JournalFile.append_logs:43",  # before a write to the journal
    "hpsearch.storage.journal:half a line:27",  # in the middle of it
    "os:fsync:5",  # after it, before the disk has it
    "hpsearch.tracking.tracker:Tracker.__call__:3",  # Optuna has the trial, MLflow nothing of it
    "mlflow:MlflowClient.log_inputs:3",  # an empty run
    "mlflow:MlflowClient.log_batch:3",  # a run with its data set
    "mlflow:MlflowClient.set_terminated:3",  # a run with its curves, not ended
    "hpsearch.execution.objective:Objective.__call__:3",  # between trials
]
HERE = Path(__file__).parent


def start(folder, moment, jobs, *options, storage="hpsearch.journal"):
    """Start the command; return its exit code."""
    environment = os.environ | {
        "KILL_AT": moment, "PYTHONPATH": str(HERE), "HPSEARCH_STORAGE": storage,
    }  # fmt: skip
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, HERE / "kill_at.py", "study", "small.toml", f"--jobs={jobs}", *options],
        cwd=folder,
        env=environment,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def finished(folder):
    """Return what the storage has of each finished trial, by its number."""
    storage = open_storage(str(folder / "hpsearch.journal"))
    if "small-random" not in optuna.get_all_study_names(storage):
        return {}
    trials = optuna.load_study(storage=storage, study_name="small-random").get_trials()
    return {trial.number: trial for trial in trials if trial.state.is_finished()}


def by_slot(trials):
    return {
        trial.user_attrs["slot"]: (trial.params, trial.user_attrs["curves"] | {"times": None})
        for trial in trials
        if trial.state is TrialState.COMPLETE
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_lost_or_repeated(tmp_path, empty_mlflow, jobs):
    (tmp_path / "small.toml").write_text(STUDY)
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    before = {}
    for moment in MOMENTS:
        assert start(tmp_path, moment, jobs) == -signal.SIGKILL, moment
        after = finished(tmp_path)
        assert {number: after[number] for number in before} == before
        before = after

    settings = load_settings(tmp_path / "small.toml")
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}")
    storage = str(tmp_path / "hpsearch.journal")
    outcome = run_study(settings, storage=storage, tracker=tracker, jobs=jobs)
    assert outcome.reason == "finished"
    after = finished(tmp_path)
    assert {number: after[number] for number in before} == before

    trials = outcome.study.get_trials()
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert sorted(trial.user_attrs["slot"] for trial in complete) == list(range(TRIALS))
    failed = [trial for trial in trials if trial.state is not TrialState.COMPLETE]
    assert {trial.state for trial in failed} == {TrialState.FAIL}
    assert {trial.user_attrs["reason"] for trial in failed} == {"process died"}

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("small-random").experiment_id])
    assert sorted(int(run.data.tags["hpsearch.number"]) for run in runs) == list(range(len(trials)))
    for run in runs:
        trial = trials[int(run.data.tags["hpsearch.number"])]
        done = trial.state is TrialState.COMPLETE
        assert run.info.status == ("FINISHED" if done else "FAILED")
        points = client.get_metric_history(run.info.run_id, "val/loss")
        assert [p.value for p in points] == trial.user_attrs.get("curves", {}).get("val/loss", [])

    whole = run_study(settings, storage=str(tmp_path / "whole.journal")).study
    assert by_slot(complete) == by_slot(whole.get_trials())


@pytest.mark.parametrize("kind", ["journal", "database", "journal in PostgreSQL"])
def test_a_trial_says_from_its_creation_on_whose_it_is(tmp_path, request, kind):
    (tmp_path / "small.toml").write_text(STUDY)
    url = {"journal": str(tmp_path / "s.journal"), "database": f"sqlite:///{tmp_path / 's.db'}"}
    url = url.get(kind) or request.getfixturevalue("postgres").url()
    moment = "optuna.trial:Trial.__init__:2"  # the storage has the trial, and no word of it yet
    assert start(tmp_path, moment, 1, "--no-tracking", storage=url) == -signal.SIGKILL
    study = optuna.load_study(storage=open_storage(url), study_name="small-random")
    first, second = study.get_trials()
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.RUNNING)
    assert second.user_attrs == {"slot": 1, "process": first.user_attrs["process"]}

    settings = load_settings(tmp_path / "small.toml").replace(search={"trials": 3})
    trials = run_study(settings, storage=url).study.get_trials()
    assert [(trial.user_attrs["slot"], trial.state) for trial in trials] == [
        (0, TrialState.COMPLETE),
        (1, TrialState.FAIL),
        (1, TrialState.COMPLETE),
        (2, TrialState.COMPLETE),
    ]
    assert not is_failed_try(trials[1])  # the death of a coordinator
