"""A full disk on one host of a cluster: a sentence names both, and each slot is done once."""

import logging
import os
from pathlib import Path

import numpy as np
import optuna
import pytest
from dask_cluster import PATIENCE
from hosts import host
from optuna.trial import TrialState

from hpsearch.errors import DataError, StorageError, StudyError
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.storage.open import open_storage
from hpsearch.trials.records import own_trials, process_of, slot_of

STORAGE = "s.journal"
TRIALS = 6
NET = """
from pathlib import Path
import time

def train(config, *, epochs):
    for epoch in range(epochs):
        time.sleep(float(Path("pace").read_text()))
        {wrote}
        yield {{"val/loss": config["rate"]}}, lambda path: path.write_bytes(bytes(100_000))
"""


@pytest.fixture(autouse=True)
def folder(working_folder):
    return working_folder


@pytest.fixture
def full_host(cluster):
    """A function that adds a worker of a host "full" to the cluster, until the test ends."""
    added = []

    def add(within, **environment):
        added.extend(cluster.add(1, within=within, **environment))
        return added[-1]

    yield add
    for worker in added:
        cluster.remove(worker)


def own_model(wrote="", pace=0.5):
    """Return a study whose trials take a while: the full host is to have its share of them."""
    Path("net.py").write_text(NET.format(wrote=wrote))
    Path("pace").write_text(str(pace))
    table = {
        "name": "own",
        "model": {"train": "net.py:train", "checkpoint_seconds": 1e-9},
        "search": {
            "sampler": "random", "pruner": "none", "trials": TRIALS, "metric": "val/loss",
        },
        "trial": {"epochs": 30, "rate": {"low": 0.1, "high": 1.0}},
    }  # fmt: skip
    return parse_settings(table, "own")


def run(settings, cluster):
    return run_study(settings, name="s", storage=STORAGE, cluster=cluster.address)


def go_on_without(worker, settings, cluster):
    """Start the study again, in a hurry, when the full host has left."""
    assert TrialState.RUNNING not in {trial.state for trial in trials_in_storage()}
    cluster.remove(worker)
    Path("pace").write_text("0")
    assert run(settings, cluster).reason == "finished"
    check_whole()


def check_whole():
    trials = trials_in_storage()
    done = [slot_of(trial) for trial in trials if trial.state is TrialState.COMPLETE]
    assert sorted(done) == list(range(TRIALS))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    return trials


def trials_in_storage():
    return own_trials(optuna.load_study(storage=open_storage(STORAGE), study_name="s"))


def test_a_checkpoint_is_missed_and_nothing_else(cluster, full_host, folder, caplog):
    (disk := folder / "s.checkpoints").mkdir()
    full_host(host("full", full=disk))
    with caplog.at_level(logging.WARNING, "hpsearch"):
        assert run(own_model(pace=0.02), cluster).reason == "finished"
    sentence = (
        f"a worker on full, in {folder}: s.checkpoints/s: a checkpoint cannot be written: "
        "No space left on device"
    )
    assert caplog.messages.count(sentence) == 1  # of many epochs
    assert "full" in {process_of(trial).host for trial in check_whole()}


def test_a_model_that_has_filled_the_disk_ends_the_study_and_is_not_to_blame(
    cluster, full_host, folder
):
    (disk := folder / "disk").mkdir()
    worker = full_host(host("full", full=disk))
    settings = own_model('Path("disk/log").write_bytes(bytes(100_000))')
    with pytest.raises(StudyError, match=r"trial s#\d failed on full: OSError: .* No space left"):
        run(settings, cluster)
    go_on_without(worker, settings, cluster)


def test_a_table_at_a_url_that_cannot_be_kept(cluster, full_host, folder, make_settings):
    (disk := folder / "cache").mkdir()
    table = np.random.default_rng(0).normal(size=(600, 4))
    names = ",".join(["a", "b", "c", "y"])
    np.savetxt("far.csv", table, header=names, comments="", delimiter=",")
    source = f"file://{folder}/far.csv"
    worker = full_host(host("full", full=disk), HPSEARCH_CACHE=str(disk))
    settings = make_settings(
        data={"source": source, "target": "y"}, search={"trials": TRIALS, "metric": "val/rmse"}
    )
    with pytest.raises(DataError) as raised:
        run(settings, cluster)
    assert str(raised.value).startswith(f"a worker on full, in {folder}: data: ")
    assert str(raised.value).endswith(
        f"{source} cannot be kept in {disk}: No space left on device; HPSEARCH_CACHE names another "
        "folder"
    )
    go_on_without(worker, settings, cluster)


def test_a_journal_that_takes_no_more_from_one_host(cluster, full_host, folder):
    limited = ["prlimit", "--fsize=8000", "--"]
    worker = full_host([*host("full"), *limited], **{PATIENCE: "1"})
    settings = own_model()
    with pytest.raises(StorageError) as raised:
        run(settings, cluster)
    sentence = f"a worker on full, in {folder}: storage '{STORAGE}': File too large; "
    assert str(raised.value).startswith(sentence)
    go_on_without(worker, settings, cluster)
    assert os.path.getsize(STORAGE) > 8000
