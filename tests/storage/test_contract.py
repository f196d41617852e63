"""The contract of a storage with hpsearch and Optuna; a new storage is one more URL."""

import signal
import subprocess
import sys
import threading
import time

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState

from hpsearch.errors import StorageError
from hpsearch.storage.catalog import all_searches, rounds_of
from hpsearch.storage.open import open_storage, storage_exists
from hpsearch.trials.records import assigned_slot, write_reason, write_round

STORAGES = {"journal": "{}/s.journal", "sqlite": "sqlite:///{}/s.db", "postgres": ""}
WRITER = """
import sys
import optuna
from hpsearch.storage.open import open_storage
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1]))
print("open", flush=True)
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=int(sys.argv[2]))
"""
CREATOR = """
import sys
import optuna
from hpsearch.storage.open import open_storage
optuna.create_study(study_name=sys.argv[2], storage=open_storage(sys.argv[1]))
"""


@pytest.fixture(params=STORAGES)
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres").url()
    return STORAGES[request.param].format(tmp_path)


class TestTheJournalAsOptunaAsks(StorageTestCase):
    """Optuna tests its own databases; the journal has a lock and a way of writing of its own."""

    @pytest.fixture
    def storage(self, tmp_path):
        return open_storage(str(tmp_path / "s.journal"))


class TestPostgresAsOptunaAsks(StorageTestCase):
    """The journal in PostgreSQL writes some entries later than Optuna appends them."""

    @pytest.fixture
    def storage(self, postgres):
        return open_storage(postgres.url())


def study_of(url):
    return optuna.create_study(
        storage=open_storage(url), study_name="s", direction="maximize", load_if_exists=True
    )


def start_writer(url, trials):
    command = [sys.executable, "-c", WRITER, url, str(trials)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


def test_the_storage_exists_after_its_first_use(url):
    with pytest.raises(StorageError, match="hpsearch study makes"):
        open_storage(url, create=False)
    study_of(url)
    open_storage(url, create=False)
    assert storage_exists(url)


def test_processes_that_open_it_first_at_the_same_time_share_it(url):
    command = [sys.executable, "-c", CREATOR, url]
    creators = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in "abc"]
    errors = [creator.communicate()[1] for creator in creators]
    assert [creator.returncode for creator in creators] == [0, 0, 0], errors
    assert sorted(optuna.get_all_study_names(open_storage(url))) == ["a", "b", "c"]


def test_another_process_reads_what_was_written(url):
    study = study_of(url)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    again = optuna.load_study(study_name="s", storage=open_storage(url))
    assert [(t.value, t.params) for t in again.trials] == [
        (t.value, t.params) for t in study.trials
    ]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_finished_trial_cannot_be_changed(url):
    study, other = study_of(url), study_of(url)
    trial = study.ask()
    other.tell(trial.number, state=TrialState.FAIL)

    def say_something(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            write_reason(trial, "too late")

    with pytest.raises(UpdateFinishedTrialError):
        say_something(10)  # PostgreSQL refuses it a moment later
    assert not other.trials[0].user_attrs
    storage = open_storage(url)
    study_id = storage.get_study_id_from_name("s")
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert [t.state for t in other.trials] == [TrialState.FAIL]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_what_is_said_of_a_running_trial_soon_shows_to_others(url):
    mine, other = study_of(url), study_of(url)
    mine.ask().set_user_attr("slot", 7)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        (running,) = other.get_trials(states=(TrialState.RUNNING,))
        if assigned_slot(running) is not None:
            break
    assert assigned_slot(running) == 7


def test_two_processes_that_write_at_the_same_time_lose_nothing(url):
    study_of(url)
    writers = [start_writer(url, 8) for _ in range(2)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    trials = study_of(url).trials
    assert sorted(trial.number for trial in trials) == list(range(16))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_a_killed_writer_leaves_a_storage_that_works(url):
    study_of(url)
    writer = start_writer(url, 10**6)
    while len(study_of(url).trials) < 5:
        assert writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    study = study_of(url)
    complete = [t for t in study.trials if t.state is TrialState.COMPLETE]
    assert len(complete) >= len(study.trials) - 1
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study_of(url).trials[-1].state is TrialState.COMPLETE


def test_threads_that_open_it_at_the_same_time_share_one_study(url):
    study_of(url)
    numbers, together = [], threading.Barrier(4)

    def add():
        study = study_of(url)
        together.wait()
        study.add_trial(optuna.trial.create_trial(value=1.0))
        numbers.append(len(study.trials))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == len(study_of(url).trials) == 4


def test_rounds_are_found_by_their_records(url):
    first, storage = study_of(url), open_storage(url)
    for name, is_round in [("s.r2", True), ("s.r3", False)]:
        later = storage.create_new_study([StudyDirection.MAXIMIZE], name)
        assert later is not None
        if is_round:
            write_round(optuna.load_study(study_name=name, storage=storage), first, 2)
    assert [study.study_name for study in rounds_of(storage, first)] == ["s", "s.r2"]
    assert [study.study_name for study in all_searches(storage)] == ["s", "s.r2", "s.r3"]
