"""Worker processes: the trials are the same for any number of them, and if some die."""

import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from hpsearch.errors import StorageError, StudyError
from hpsearch.execution.coordinator import Coordinator, RunOptions, Work
from hpsearch.execution.engines.processes import MAX_DEATHS, ProcessEngine
from hpsearch.execution.objective import Objective
from hpsearch.execution.worker import WorkerTask
from hpsearch.search.study import run_study
from hpsearch.storage.leases import Lease
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker

TOO_WIDE = {"label": "too wide", "hidden_layer_sizes": [10**13]}  # no memory holds its weights


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return "test.journal"  # relative: workers have to be where this process is now


def by_slot(study):
    done = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    found = {
        trial.user_attrs["slot"]: (trial.params, trial.user_attrs["curves"] | {"times": None})
        for trial in done
    }
    assert len(found) == len(done)
    return found


def workers_of(study):
    return {trial.user_attrs["process"]["pid"] for trial in study.get_trials()}


def test_slots_parameters_and_curves_are_the_same_with_any_number_of_jobs(journal, make_settings):
    settings = make_settings(search={"trials": 12})
    studies = [
        run_study(settings, name=f"with-{jobs}", storage=journal, jobs=jobs).study
        for jobs in (1, 2, 4)
    ]
    assert by_slot(studies[0]).keys() == set(range(12))
    assert by_slot(studies[0]) == by_slot(studies[1]) == by_slot(studies[2])
    assert workers_of(studies[0]) == {os.getpid()}
    assert os.getpid() not in workers_of(studies[1])
    assert not any(map(psutil.pid_exists, workers_of(studies[1]) | workers_of(studies[2])))


def test_every_trial_is_tracked_once(journal, make_settings, mlflow_uri):
    settings = make_settings(search={"trials": 7})
    study = run_study(settings, storage=journal, tracker=Tracker(mlflow_uri), jobs=2).study
    runs = MlflowClient(mlflow_uri).search_runs(["1"])
    assert sorted(run.info.run_name for run in runs) == [f"trial-{n:04d}" for n in range(7)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(study.trials) == 7


@pytest.mark.parametrize("kills", [1, MAX_DEATHS + 1])
def test_a_killed_worker_costs_one_trial_and_is_replaced(journal, make_settings, mlflow_uri, kills):
    killed, slots = [], set()  # a slot whose trial dies three times is given up

    def kill_one(progress):
        if len(killed) < min(kills, progress.done) and any(progress.running.values()):
            (study,) = optuna.get_all_study_summaries(open_storage(journal))
            trials = optuna.load_study(study_name=study.study_name, storage=open_storage(journal))
            for trial in trials.get_trials(states=(TrialState.RUNNING,)):
                pid = trial.user_attrs.get("process", {}).get("pid")
                slot = trial.user_attrs.get("slot")
                if pid and pid not in killed and slot is not None and slot not in slots:
                    killed.append(pid)
                    slots.add(slot)
                    os.kill(pid, signal.SIGKILL)
                    break

    settings = make_settings(search={"trials": 9}, trial={"epochs": 300, "batch_size": 16})
    outcome = run_study(
        settings, storage=journal, tracker=Tracker(mlflow_uri), jobs=2, on_progress=kill_one
    )
    assert outcome.reason == "finished"
    assert len(killed) == kills
    assert by_slot(outcome.study).keys() == set(range(9))
    failed = outcome.study.get_trials(states=(TrialState.FAIL,))
    assert {trial.user_attrs["reason"] for trial in failed} <= {"process died"}
    assert {trial.user_attrs["process"]["pid"] for trial in failed} <= set(killed)
    assert len(workers_of(outcome.study)) <= 2 + kills
    runs = MlflowClient(mlflow_uri).search_runs(["1"])
    states = {run.data.tags["hpsearch.number"]: run.info.status for run in runs}
    assert len(runs) == len(outcome.study.trials) == 9 + len(failed)
    found = [number for number, state in states.items() if state == "FAILED"]
    assert sorted(found, key=int) == [str(trial.number) for trial in failed]


@pytest.fixture
def make_run(journal, make_settings):
    """A function to a coordinator, and to a function that has two workers fill its slots."""

    def make(objective=Objective, storage=journal, tracker=None, trials=4):
        settings, store = make_settings(search={"trials": trials}), open_storage(journal)
        study = optuna.create_study(storage=store, study_name="s", direction="maximize")
        work = Work(settings=settings, slots=range(trials))
        options = RunOptions(storage=storage, tracker=tracker)
        lease = Lease(store, study)
        lease.acquire()
        coordinator = Coordinator(store, lease, work, options)
        task = WorkerTask("s", storage, tracker)
        return coordinator, partial(ProcessEngine(2).run, coordinator, objective(settings), task)

    return make


class Fatal(Objective):
    """Kills the process that its recipe is sent to."""

    @property
    def recipe(self):
        return partial(os.kill, ThisProcess(), signal.SIGKILL)


class ThisProcess:
    """Unpickles as the id of the process that it is sent to."""

    def __reduce__(self):
        return os.getpid, ()


def test_workers_that_die_at_once_end_the_study(make_run):
    coordinator, run = make_run(objective=Fatal)
    died = []
    coordinator.worker_died = lambda pid, slot: died.append((pid, slot))
    with pytest.raises(
        StudyError,
        match=f"{MAX_DEATHS} worker processes in a row died .* of SIGKILL .out of memory",
    ):
        run()
    assert [slot for _, slot in died] == [None] * MAX_DEATHS


def test_an_error_in_a_worker_ends_the_study(make_run):
    _, run = make_run(storage="nowhere/s.journal")
    with pytest.raises(StorageError, match="there is no folder 'nowhere'"):
        run()


def test_a_warning_of_several_workers_is_logged_once(make_run, caplog):
    coordinator, run = make_run(tracker=Tracker("http://127.0.0.1:9"))
    with caplog.at_level(logging.WARNING):
        run()
    (warning,) = [r.getMessage() for r in caplog.records if r.name.startswith("hpsearch")]
    assert warning.endswith("the trials go on, and their runs are added later")
    assert by_slot(coordinator.study).keys() == set(range(4))


def test_a_failed_trial_ends_the_study_and_interrupts_the_others(journal, make_settings):
    settings = make_settings(
        search={"trials": 9}, trial={"epochs": 10**6}, enqueue=[{"label": "fine"}, TOO_WIDE]
    )
    with pytest.raises(StudyError, match="trial tiny-random#1 failed: "):
        run_study(settings, storage=journal, jobs=2)
    study = optuna.load_study(study_name="tiny-random", storage=open_storage(journal))
    assert all(trial.state is TrialState.FAIL for trial in study.trials)
    assert any(trial.user_attrs.get("interrupted") for trial in study.trials)
    assert not any(map(psutil.pid_exists, workers_of(study)))


def test_a_stop_interrupts_every_worker_at_its_next_epoch(journal, make_settings):
    asked = []

    def should_stop():
        asked.append(time.monotonic())
        return time.monotonic() - asked[0] > 3

    settings = make_settings(trial={"epochs": 10**6})
    outcome = run_study(settings, storage=journal, jobs=2, should_stop=should_stop)
    assert outcome.reason == "interrupted"
    assert [trial.user_attrs["interrupted"] for trial in outcome.study.trials] == [True, True]
    assert not any(map(psutil.pid_exists, workers_of(outcome.study)))


SCRIPT = """
from hpsearch import load_settings, run_study
settings = load_settings("digits").replace(  # a rate at which no trial diverges, and so ends
    data={"limit": 120}, search={"trials": TRIALS}, trial={"epochs": EPOCHS, "learning_rate": 0.01})
print("started", flush=True)
print(len(run_study(settings, storage="s.journal", jobs=2).study.trials))
"""


def script(folder, **values):
    text = SCRIPT
    for name, value in values.items():
        text = text.replace(name, str(value))
    (folder / "script.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_needs_no_guard(tmp_path):
    out, err = script(tmp_path, TRIALS=5, EPOCHS=3).communicate()
    assert out.split() == ["started", "5"], err


def test_workers_end_when_their_coordinator_is_killed(tmp_path):
    process = script(tmp_path, TRIALS=5, EPOCHS=10**6)
    path = tmp_path / "s.journal"
    running = []
    while len(running) < 2 or not all("process" in trial.user_attrs for trial in running):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
        if path.exists() and optuna.get_all_study_names(storage := open_storage(str(path))):
            running = optuna.load_study(study_name="digits-tpe", storage=storage).get_trials()
    pids = [trial.user_attrs["process"]["pid"] for trial in running]
    assert all(map(psutil.pid_exists, pids))
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs([psutil.Process(p) for p in pids if psutil.pid_exists(p)], 10)
    assert not alive, gone
    study = optuna.load_study(study_name="digits-tpe", storage=open_storage(str(path)))
    interrupted = [trial.user_attrs.get("interrupted") for trial in study.trials]
    assert interrupted == [True, True], study.trials


def test_a_long_folder_for_temporary_files_is_no_obstacle(tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    command = [sys.executable, "-m", "hpsearch", "study", "digits", "--no-tracking", "--jobs", "2"]
    done = subprocess.run(
        [*command, "--trials", "2", "--epochs", "1"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
