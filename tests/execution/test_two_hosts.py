"""Two hosts of the same name, whose clocks differ: one at a time runs a study."""

import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest
from hosts import host
from optuna.trial import TrialState

from hpsearch.storage.open import open_storage
from hpsearch.trials.records import process_of, slot_of

START = """
import sys
import threading
import time
from hpsearch import load_settings, run_study
from hpsearch.errors import HpsearchError
from hpsearch.storage import leases

time.sleep = threading.Event().wait  # libfaketime refuses how Python sleeps
leases.RENEW_SECONDS, leases.WATCH_SECONDS, leases.POLL_SECONDS = 0.1, float(sys.argv[2]), 0.05
try:
    print(run_study(load_settings("s.toml"), name="s", storage=sys.argv[1]).reason)
except HpsearchError as error:
    print(error)
"""
NET = """
import time
from pathlib import Path

def train(config, *, epochs):
    for _ in range(epochs):
        yield config["x"]
        while not Path("go").exists():
            time.sleep(0.02)
"""
STUDY = """
name = "s"
[model]
train = "net.py:train"
[search]
metric = "val/loss"
sampler = "random"
pruner = "none"
trials = 3
[trial]
epochs = 3
x = { low = 0.0, high = 1.0 }
"""
CLOCKS = ["+400s", "-400s"]


@pytest.fixture
def url(working_folder, postgres):
    for name, text in {"start.py": START, "net.py": NET, "s.toml": STUDY}.items():
        (working_folder / name).write_text(text)
    return postgres.url()


@pytest.fixture
def start(url):
    """A function that starts the study on another host of the name "twin".

    watch: the seconds after which a lease that is not renewed has no holder.
    """
    started = []

    def begin(clock="", watch=60):
        command = [*host("twin", clock=clock), sys.executable, "start.py", url, str(watch)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def trials_in(url):
    storage = open_storage(url)
    if not optuna.get_all_study_names(storage):
        return []
    return optuna.load_study(study_name="s", storage=storage).get_trials()


def wait_for_epochs(url, trials):
    """Wait until the study has this many trials, and the last has reported an epoch."""
    until = time.monotonic() + 90
    while len(found := trials_in(url)) < trials or not found[-1].intermediate_values:
        assert time.monotonic() < until
        time.sleep(0.05)


def check_whole(trials):
    done = [slot_of(trial) for trial in trials if trial.state is TrialState.COMPLETE]
    assert sorted(done) == [0, 1, 2]
    assert TrialState.RUNNING not in {trial.state for trial in trials}


def test_a_host_of_the_same_name_is_refused_whatever_its_clock_says(url, start):
    first = start()
    wait_for_epochs(url, 1)
    others = [start(clock) for clock in ["", *CLOCKS]]
    for other in others:
        sentence, _ = other.communicate(timeout=90)
        assert "study 's' is being run by process " in sentence
    Path("go").touch()
    assert first.communicate(timeout=90)[0] == "finished\n"
    trials = trials_in(url)
    check_whole(trials)
    assert len(trials) == 3


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_host_that_was_paused_finds_that_another_has_taken_over(url, start, clock):
    first = start()
    wait_for_epochs(url, 1)
    paused = psutil.Process(first.pid).children(recursive=True)
    for process in paused:
        process.suspend()
    second = start(clock, watch=1)
    wait_for_epochs(url, 2)
    for process in paused:
        process.resume()
    time.sleep(0.5)
    Path("go").touch()
    sentence, _ = first.communicate(timeout=90)
    assert sentence.startswith("study 's' was taken over by process ")
    assert second.communicate(timeout=90)[0] == "finished\n"
    trials = trials_in(url)
    check_whole(trials)
    assert [trial.state for trial in trials] == [TrialState.FAIL, *[TrialState.COMPLETE] * 3]
    assert len({process_of(trial) for trial in trials}) == 2
    assert len({process_of(trial) for trial in trials[1:]}) == 1
