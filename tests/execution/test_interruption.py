"""`hpsearch study` in processes that are really interrupted and really killed."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hpsearch.search.study import run_study
from hpsearch.settings.study import load_settings
from hpsearch.trials.records import leases_of

TRIALS, EPOCHS = 4, 150
STUDY = f"""
[data]
source = "digits"
limit = 900

[search]
sampler = "random"
pruner = "none"
trials = {TRIALS}

[trial]
epochs = {EPOCHS}
batch_size = 32
hidden_units = {{ low = 20, high = 60 }}
learning_rate = {{ low = 1e-3, high = 1.0, log = true }}
"""


class Folder:
    """A working directory in which `hpsearch study slow.toml` is started again and again."""

    def __init__(self, path):
        self.path = path
        self.processes = []
        (path / "slow.toml").write_text(STUDY)

    def start(self, *options, shell="exec", group=False):
        """Start the command by way of a shell, which may set limits before it becomes it.

        group: whether it leads a process group, as a command that is typed does.
        """
        named = ("HPSEARCH_STORAGE", "MLFLOW_TRACKING_URI")
        command = [sys.executable, "-m", "hpsearch", "study", "slow.toml", *options]
        process = subprocess.Popen(
            ["sh", "-c", f'{shell} "$@"', "sh", *command],
            cwd=self.path,
            env={key: value for key, value in os.environ.items() if key not in named},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=group,
        )
        self.processes.append(process)
        return process

    def study(self):
        """Return the study as Optuna alone reads it, without a lock; None if there is none."""
        journal = self.path / "hpsearch.journal"
        if not journal.exists():
            return None
        storage = JournalStorage(JournalFileBackend(str(journal)))
        if not optuna.get_all_study_names(storage):
            return None
        return optuna.load_study(study_name="slow-random", storage=storage)

    def trials(self):
        """Return the trials of the study."""
        study = self.study()
        return study.get_trials() if study else []

    def journal_is_locked(self):
        with (self.path / "hpsearch.journal").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def states(self):
        return Counter(trial.state.name for trial in self.trials())

    def runs(self):
        """Return the runs in MLflow by the number of their trial."""
        client = MlflowClient(f"sqlite:///{self.path / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("slow-random")
        runs = client.search_runs([experiment.experiment_id])
        return {int(run.data.tags["hpsearch.number"]): run for run in runs}


@pytest.fixture
def folder(tmp_path, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    folder = Folder(tmp_path)
    yield folder
    for process in folder.processes:  # what a failed test has left
        with process:
            process.kill()


@pytest.fixture
def stopped(folder):
    """A process that is paused in the middle of a trial, after at least one other trial.

    It holds no lock, so that other processes can go on.
    """
    process = folder.start()
    while not _is_amid_a_trial(folder.trials()) or folder.journal_is_locked():
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        ended = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert ended.si_code == os.CLD_STOPPED, process.communicate()[1]
    return process


def _is_amid_a_trial(trials):
    *finished, last = trials or [None]
    if not finished or last.state is not TrialState.RUNNING:
        return False
    return 2 <= len(last.intermediate_values) <= EPOCHS - 20


def go_on(process, *signals):
    """Send signals to a paused process and let it continue; return exit code and stderr."""
    for number in (*signals, signal.SIGCONT):
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def by_slot(trials):
    """Return parameters and curves of the complete trials."""
    return {
        trial.user_attrs["slot"]: (trial.params, trial.user_attrs["curves"] | {"times": None})
        for trial in trials
        if trial.state is TrialState.COMPLETE
    }


def complete(folder):
    """Start the same command again; check that it ends with the exact total in both stores."""
    process = folder.start()
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    trials = folder.trials()
    assert folder.states() == {"COMPLETE": TRIALS, "FAIL": 1}
    assert by_slot(trials).keys() == set(range(TRIALS))

    runs = folder.runs()
    assert runs.keys() == {trial.number for trial in trials}
    for trial in trials:
        finished = trial.state is TrialState.COMPLETE
        assert (runs[trial.number].info.status == "FINISHED") is finished
    return trials


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_closes_both_stores_and_the_same_command_continues(folder, stopped, number, code):
    before = folder.trials()
    returncode, stderr = go_on(stopped, number)
    assert returncode == code
    assert "Traceback" not in stderr

    *finished, interrupted = folder.trials()
    assert [trial.value for trial in finished] == [trial.value for trial in before[:-1]]
    assert interrupted.state is TrialState.FAIL
    assert interrupted.user_attrs["interrupted"] is True
    assert len(interrupted.user_attrs["curves"]["times"]) < EPOCHS
    runs = folder.runs()
    assert runs.pop(interrupted.number).info.status == "KILLED"
    assert {number: run.info.status for number, run in runs.items()} == {
        trial.number: "FINISHED" for trial in finished
    }

    complete(folder)


def test_a_second_signal_ends_the_process_at_once(folder, stopped):
    before = folder.trials()
    returncode, stderr = go_on(stopped, signal.SIGINT, signal.SIGTERM)
    assert returncode in (130, 143)
    assert "Traceback" not in stderr
    after = folder.trials()
    assert len(after) == len(before)
    assert after[-1].state is TrialState.RUNNING


def test_a_killed_study_ends_with_the_results_of_an_uninterrupted_one(folder, stopped, tmp_path):
    killed = folder.trials()[-1].number
    assert go_on(stopped, signal.SIGKILL)[0] == -signal.SIGKILL
    assert folder.states()["RUNNING"] == 1

    trials = complete(folder)
    assert trials[killed].state is TrialState.FAIL
    assert trials[killed].user_attrs["reason"] == "process died"
    run = folder.runs()[killed]
    assert (run.info.status, run.data.tags["hpsearch.reason"]) == ("FAILED", "process died")

    settings = load_settings(tmp_path / "slow.toml")
    whole = run_study(settings, storage=str(tmp_path / "whole.journal")).study
    assert by_slot(trials) == by_slot(whole.trials)


def test_a_full_disk_is_a_one_line_error_and_keeps_finished_trials(folder, tmp_path):
    process = folder.start("--no-tracking", shell="ulimit -f 100; exec")  # blocks of 512 bytes
    _, stderr = process.communicate()
    assert process.returncode == 1
    last = stderr.splitlines()[-1]
    assert last.startswith(
        "Error: storage 'hpsearch.journal': File too large; finished trials are kept"
    )
    assert "Traceback" not in stderr
    before = folder.states()
    assert before["COMPLETE"] >= 1
    assert before["COMPLETE"] < TRIALS

    settings = load_settings(tmp_path / "slow.toml")
    outcome = run_study(settings, storage=str(tmp_path / "hpsearch.journal"))
    assert (outcome.reason, outcome.new) == ("finished", TRIALS - before["COMPLETE"])
    assert by_slot(folder.trials()).keys() == set(range(TRIALS))


def children(process):
    """Return the processes that a process started, with the workers of its server."""
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("everybody", [True, False], ids=["group", "parent"])
def test_a_signal_ends_every_worker_and_closes_both_stores(folder, number, code, everybody):
    process = folder.start("--jobs", "4", "--epochs", "100000", group=True)
    while folder.states()["RUNNING"] < 4:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    started = children(process)
    sent = time.monotonic()
    (os.killpg if everybody else os.kill)(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    seconds = time.monotonic() - sent
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert seconds < 10  # two, where nothing else is at work

    assert folder.states() == {"FAIL": 4}
    assert [trial.user_attrs["interrupted"] for trial in folder.trials()] == [True] * 4
    runs = folder.runs()
    assert runs.keys() == {trial.number for trial in folder.trials()}
    assert {run.info.status for run in runs.values()} == {"KILLED"}, stderr
    _, alive = psutil.wait_procs(started, 5)
    assert not alive


def test_a_second_start_names_the_process_that_runs_the_study(folder, stopped):
    before = folder.trials()
    second = folder.start("--jobs", "2")
    _, stderr = second.communicate(timeout=60)
    assert second.returncode == 1
    (lease,) = leases_of(folder.study()).values()
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.since))
    assert stderr == (
        f"Error: study 'slow-random' is being run by process {stopped.pid} on {lease.process.host} "
        f"since {since}; stop that first\n"
    )
    assert len(folder.trials()) == len(before)
