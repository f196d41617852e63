"""A Dask cluster under attack: each slot exactly once, and nothing left running in either store."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import dask
import optuna
import pytest
from dask_cluster import started
from mlflow import MlflowClient
from optuna.trial import TrialState

import hpsearch
from hpsearch.errors import HpsearchError, SettingsError, StudyError
from hpsearch.execution.engines.executor import start_of
from hpsearch.execution.engines.slot_task import run_slot
from hpsearch.execution.objective import Objective
from hpsearch.execution.recovery import end_attempts, is_superseded
from hpsearch.execution.worker import WorkerTask
from hpsearch.search.study import run_study
from hpsearch.settings.study import parse_settings
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker
from hpsearch.trials.records import (
    curves_of,
    own_trials,
    process_of,
    slot_of,
    was_interrupted,
    write_current_start,
)

STORAGE = "s.journal"
SECONDS, LONG = {"epochs": 1500}, {"epochs": 100_000}  # of a trial
REPORT = b'"op_code":7,'  # how an entry of a journal begins that reports an epoch


NET = """
import time
from pace import SECONDS

def train(config, *, epochs):
    for epoch in range(epochs):
        time.sleep(SECONDS)
        yield {"val/loss": config["rate"] / (1 + epoch)}
"""


@pytest.fixture(autouse=True)
def folder(working_folder):
    return working_folder


@pytest.fixture
def settings(make_settings):
    return make_settings(search={"trials": 6}, trial={"epochs": 60})


@pytest.fixture
def slow(folder):
    """A study of a model that writes to the storage every tenth of a second."""
    (folder / "net.py").write_text(NET)
    (folder / "pace.py").write_text("SECONDS = 0.1\n")
    return parse_settings(
        {
            "name": "slow",
            "model": {"train": "net.py:train"},
            "search": {
                "sampler": "random", "pruner": "none", "trials": 4, "metric": "val/loss",
            },
            "trial": {"epochs": 25, "rate": {"low": 0.1, "high": 1.0}},
        },
        "slow",
    )  # fmt: skip


def trials_of(name="tiny-random", storage=STORAGE):
    return own_trials(optuna.load_study(storage=open_storage(storage), study_name=name))


def state_of(trials):
    return {slot_of(trial): curves_of(trial).values for trial in trials}


def done(trials):
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def check_whole(count):
    """Each slot is done once, and no trial is running."""
    trials = trials_of()
    assert sorted(map(slot_of, done(trials))) == list(range(count))
    assert not [trial for trial in trials if trial.state is TrialState.RUNNING]
    return trials


class Running:
    """A study in a thread, which tests watch through its progress."""

    def __init__(self, settings, **options):
        self.epochs, self.stop, self.result = {}, threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(settings, options))
        self.thread.start()

    def _run(self, settings, options):
        try:
            self.result = run_study(
                settings,
                storage=STORAGE,
                on_progress=lambda progress: self.epochs.update(progress.running),
                should_stop=self.stop.is_set,
                **options,
            )
        except HpsearchError as error:
            self.result = error

    def wait_for_epochs(self, seconds=60):
        until = time.monotonic() + seconds
        while not any(self.epochs.values()):
            assert self.thread.is_alive(), self.result
            assert time.monotonic() < until
            time.sleep(0.02)

    def ended(self, seconds=90):
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        return self.result


def test_trials_are_bit_for_bit_those_of_one_machine(cluster, settings):
    random = settings.replace(search={"sampler": "random", "pruner": "none"})
    there = run_study(random, storage=STORAGE, cluster=cluster.address)
    here = run_study(random, storage="here.journal")
    assert there.reason == "finished"
    assert state_of(own_trials(there.study)) == state_of(own_trials(here.study))
    assert {process_of(trial).pid for trial in trials_of()} <= {w.pid for w in cluster.workers}


def test_workers_share_a_journal_in_postgresql(cluster, postgres, settings):
    random = settings.replace(search={"sampler": "random", "pruner": "none"})
    url = postgres.url()
    there = run_study(random, storage=url, cluster=cluster.address)
    here = run_study(random, storage="here.journal")
    assert there.reason == "finished"
    trials = own_trials(optuna.load_study(storage=open_storage(url), study_name="tiny-random"))
    assert state_of(trials) == state_of(own_trials(here.study))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_no_password_is_in_a_log_or_in_the_arguments_of_a_process(cluster, postgres, slow):
    url = postgres.url()
    assert "secret" in url
    bad = slow.replace(trial={"epochs": 3}, search={"trials": 2})
    Path("net.py").write_text("def train(config):\n    raise ValueError('unlucky')\n")
    with pytest.raises(StudyError, match="unlucky") as raised:
        run_study(bad, storage=url, cluster=cluster.address)
    logs = (cluster.folder / "log").read_text()
    arguments = [worker.args for worker in [cluster.scheduler, *cluster.workers]]
    assert not [text for text in (logs, str(arguments), str(raised.value)) if "secret" in text]


def test_a_stop_reaches_every_worker_within_two_seconds(cluster, settings):
    running = Running(settings.replace(trial=LONG), cluster=cluster.address)
    running.wait_for_epochs()
    asked = time.monotonic()
    running.stop.set()
    assert running.ended().reason == "interrupted"
    assert time.monotonic() - asked < 5  # two seconds on an idle machine
    assert all(was_interrupted(trial) for trial in trials_of())


def test_the_trial_of_a_killed_worker_is_run_again(own_cluster, settings, mlflow_uri):
    first, _ = own_cluster.add(2)
    running = Running(
        settings.replace(trial=SECONDS, search={"pruner": "none"}),
        cluster=own_cluster.address,
        tracker=Tracker(mlflow_uri),
    )
    running.wait_for_epochs()
    first.kill()
    assert running.ended().reason == "finished"
    trials = check_whole(6)
    lost = [trial for trial in trials if trial.state is TrialState.FAIL]
    assert {process_of(trial).pid for trial in lost} <= {first.pid}
    runs = MlflowClient(mlflow_uri).search_runs(["1"])
    assert "RUNNING" not in {run.info.status for run in runs}
    assert sum(run.info.status == "FINISHED" for run in runs) == 6


def test_a_worker_that_joins_is_used(own_cluster, slow, caplog):
    with caplog.at_level(logging.WARNING, "hpsearch"):
        running = Running(slow, cluster=own_cluster.address)
        until = time.monotonic() + 30
        while "no worker has joined" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.05)
    (first,) = own_cluster.add(1)
    running.wait_for_epochs()
    (second,) = own_cluster.add(1)
    assert running.ended().reason == "finished"
    trials = trials_of("slow-random")
    assert sorted(map(slot_of, trials)) == [0, 1, 2, 3]
    assert {process_of(trial).pid for trial in trials} == {first.pid, second.pid}


def test_a_frozen_worker_that_wakes_up_is_refused(hasty_cluster, slow):
    first, _ = hasty_cluster.add(2)
    running = Running(slow, cluster=hasty_cluster.address)
    running.wait_for_epochs()
    until = time.monotonic() + 60
    while first.pid not in {process_of(trial).pid for trial in trials_of("slow-random")}:
        assert time.monotonic() < until
        time.sleep(0.05)
    first.send_signal(
        signal.SIGSTOP
    )  # between two writes: a frozen writer holds the journal's lock
    assert running.ended(180).reason == "finished"
    before = trials_of("slow-random")
    first.send_signal(signal.SIGCONT)
    time.sleep(2)
    after = trials_of("slow-random")
    assert sorted(map(slot_of, done(after))) == [0, 1, 2, 3]
    assert state_of(done(after)) == state_of(done(before))
    assert {trial.state for trial in after} == {TrialState.COMPLETE, TrialState.FAIL}
    pids = {process_of(trial).pid for trial in after if trial.state is TrialState.FAIL}
    assert pids == {first.pid}


def test_a_dead_scheduler_ends_the_command_and_loses_nothing(own_cluster, settings):
    own_cluster.add(1)
    running = Running(settings.replace(trial=SECONDS), cluster=own_cluster.address)
    running.wait_for_epochs()
    own_cluster.scheduler.kill()
    error = running.ended()
    assert isinstance(error, StudyError)
    assert f"the scheduler {own_cluster.address} is gone" in str(error)
    assert "the same command continues" in str(error)
    assert run_study(settings.replace(trial=SECONDS), storage=STORAGE).reason == "finished"
    check_whole(6)


def test_a_killed_coordinator_is_started_again(cluster, settings, folder):
    settings = settings.replace(trial=SECONDS, search={"pruner": "none"})
    (folder / "settings.pickle").write_bytes(pickle.dumps(settings))
    script = (
        "import pickle\nfrom hpsearch import run_study\n"
        "settings = pickle.load(open('settings.pickle', 'rb'))\n"
        f"run_study(settings, storage={STORAGE!r}, cluster={cluster.address!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (Path(STORAGE).is_file() and REPORT in Path(STORAGE).read_bytes()):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert run_study(settings, storage=STORAGE, cluster=cluster.address).reason == "finished"
    check_whole(6)


def test_another_version_is_one_sentence(cluster, settings, monkeypatch):
    own = hpsearch.__version__
    monkeypatch.setattr(hpsearch, "__version__", "99.0")
    with pytest.raises(StudyError) as raised:
        run_study(settings, storage=STORAGE, cluster=cluster.address)
    sentence = f": has hpsearch {own} instead of 99.0; install the same versions there"
    assert str(raised.value).startswith("a worker on ")
    assert str(raised.value).endswith(sentence)


@pytest.mark.parametrize(
    ("address", "error", "sentence"),
    [
        ("tcp://127.0.0.1:9", StudyError, "no scheduler answers at tcp://127.0.0.1:9; "),
        (
            "tls://127.0.0.1:9",
            SettingsError,
            "needs certificates: set distributed.comm.tls",
        ),
        ("nonsense://x", SettingsError, "'nonsense://x' is not the address of a scheduler"),
    ],
)
def test_what_is_no_cluster_is_one_sentence(settings, address, error, sentence, monkeypatch):
    monkeypatch.setattr("hpsearch.execution.engines.dask.CONNECT_SECONDS", 1)
    with pytest.raises(error) as raised:
        run_study(settings, storage=STORAGE, cluster=address)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def certificates(tmp_path_factory):
    """Dask's configuration of processes that have a certificate, and accept no other."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *(
                "-subj",
                "/CN=hpsearch",
                "-keyout",
                str(folder / "key"),
                "-out",
                str(folder / "cert"),
            ),
        ],
        check=True,
        capture_output=True,
    )
    found = {"ca-file": folder / "cert"}
    for role in ("scheduler", "worker", "client"):
        found |= {f"{role}.cert": folder / "cert", f"{role}.key": folder / "key"}
    return {f"distributed.comm.tls.{name}": str(file) for name, file in found.items()}


def as_environment(configuration):
    """Return a configuration of Dask as the environment of a process."""
    names = {name: name.replace(".", "__").replace("-", "_").upper() for name in configuration}
    return {f"DASK_{names[name]}": value for name, value in configuration.items()}


def test_a_scheduler_with_certificates(certificates, tmp_path_factory, settings):
    environment = as_environment(certificates | {"distributed.comm.default-scheme": "tls"})
    with started(tmp_path_factory.mktemp("cluster"), **environment) as cluster:
        assert cluster.address.startswith("tls://")
        with pytest.raises(SettingsError, match="needs certificates"):
            run_study(settings, storage=STORAGE, cluster=cluster.address)
        with dask.config.set(certificates):
            cluster.add(1, **environment)
            outcome = run_study(settings, storage=STORAGE, cluster=cluster.address)
    assert outcome.reason == "finished"


# A task of an executor ---------------------------------------------------------------------------


@pytest.fixture
def start(settings):
    """A start of a study, for which workers may work."""
    study = optuna.create_study(storage=open_storage(STORAGE), study_name="s", direction="maximize")
    found = start_of(Objective(settings), WorkerTask("s", STORAGE, None))
    write_current_start(study, found.key)
    return found


def test_a_slot_that_is_done_is_not_filled_again(start):
    first, second = run_slot(start, 3), run_slot(start, 3)
    assert first.trial.number == second.trial.number
    assert len(trials_of("s")) == 1


def test_nothing_is_begun_for_a_coordinator_that_stops(start):
    study = optuna.load_study(storage=open_storage(STORAGE), study_name="s")
    write_current_start(study, None)
    outcome = run_slot(start, 0)
    assert (outcome.trial, outcome.error) == (None, None)
    assert not trials_of("s")


def test_an_attempt_ends_those_before_it(start):
    storage = open_storage(STORAGE)
    study = optuna.load_study(storage=storage, study_name="s")
    old = study.ask()
    old.set_user_attr("slot", 2)
    assert run_slot(start, 2).trial.state is TrialState.COMPLETE
    assert storage.get_trial(old._trial_id).state is TrialState.FAIL
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        old.report(0.5, 1)


def test_of_two_attempts_at_once_the_later_one_stays(start):
    storage = open_storage(STORAGE)
    study = optuna.load_study(storage=storage, study_name="s")
    trials = [study.ask() for _ in range(2)]
    for trial in trials:
        trial.set_user_attr("slot", 1)
    assert is_superseded(study, 1, trials[0].number)
    assert not is_superseded(study, 1, trials[1].number)
    assert not end_attempts(storage, study, 1, before=trials[0].number)
    closed = end_attempts(storage, study, 1, before=trials[1].number)
    assert [trial.number for trial in closed] == [trials[0].number]
    del start


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": "another"}, "data.source: digits is not what the study has begun with"),
        ({"model": "another"}, "is not the code of the study; copy it there, or remove it there"),
        ({"versions": {"numpy": "1.0"}}, "has numpy "),
        ({"versions": {"nosuch": "1.0"}}, "has nosuch is missing instead of 1.0; install"),
    ],
)
def test_what_differs_on_a_host_is_one_sentence(start, change, sentence):
    error = run_slot(replace(start, key="another", **change), 0).error
    assert str(error).startswith("a worker on ")
    assert f", in {os.getcwd()}: " in str(error)
    assert sentence in str(error)


def test_code_that_a_host_does_not_have_is_sent_along(slow, tmp_path_factory):
    study = optuna.create_study(storage=open_storage(STORAGE), study_name="s")
    absolute = str(Path(STORAGE).resolve())
    start = start_of(Objective(slow), WorkerTask("s", absolute, None))
    write_current_start(study, start.key)
    assert {*start.code} == {"net.py", "pace.py"}
    assert "distributed" not in start.versions
    (there := tmp_path_factory.mktemp("host") / "start").write_bytes(pickle.dumps(start))
    code = (
        "import pickle; from hpsearch.execution.engines.slot_task import run_slot\n"
        "from dataclasses import replace\n"
        "start = pickle.load(open('start', 'rb'))\n"
        "outcome = run_slot(replace(start, folder='/nowhere'), 2)\n"
        "assert outcome.error is None, outcome.error\n"
        "print(outcome.trial.value)\n"
    )
    there = there.parent
    run = subprocess.run([sys.executable, "-c", code], cwd=there, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (trial,) = trials_of("s")
    assert float(run.stdout) == trial.value
    assert not [*there.glob("*.py")]


def test_no_password_is_shown(start):
    task = replace(start.task, storage="postgresql://me:secret@host/db")
    assert "secret" not in repr(replace(start, task=task))
