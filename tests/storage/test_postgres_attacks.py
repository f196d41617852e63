"""The journal in PostgreSQL under attack: nothing is lost, nothing is doubled, and no gap is left.

The workers are processes that share a study: one interpreter imports what they need and forks them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import psycopg
import pytest
from optuna.trial import TrialState

from hpsearch.storage.open import open_storage
from hpsearch.storage.postgres import PostgresJournal
from hpsearch.trials.records import curves_of

pytestmark = pytest.mark.usefixtures("quiet")

WORKERS = """
import json, os, sys, time
import optuna, psycopg
from hpsearch.storage.open import open_storage
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
url, workers, trials, pause = sys.argv[1], *map(float, sys.argv[2:])


def objective(trial):
    trial.set_user_attr("slot", trial.number)
    total = sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(4))
    for epoch in range(20):
        time.sleep(pause)
        trial.report(total / (epoch + 1), epoch)
    trial.set_user_attr("curves", {"loss": [0.5] * 20})
    return total


def work():
    sampler = optuna.samplers.RandomSampler()
    study = optuna.create_study(
        storage=open_storage(url, patient=True),  # as hpsearch's workers do
        study_name="s",
        sampler=sampler,
        load_if_exists=True,
    )
    study.optimize(objective, n_trials=int(trials))


children = []
for _ in range(int(workers)):
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
print(json.dumps(children), flush=True)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(any(codes))
"""


class Workers:
    """Processes that run trials of the study "s"."""

    def __init__(self, url, workers, trials, pause=0.0):
        arguments = [url, str(workers), str(trials), str(pause)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKERS, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pids = json.loads(self.process.stdout.readline())

    @property
    def at_work(self):
        return self.process.poll() is None

    def wait(self):
        errors = self.process.communicate(timeout=120)[1]
        assert self.process.returncode == 0, errors


def study_at(url):
    return optuna.create_study(study_name="s", storage=open_storage(url), load_if_exists=True)


def assert_whole(postgres, url, trials):
    """Each trial has all that was said of it, once, and the entries have no gap."""
    found = study_at(url).trials
    assert [trial.number for trial in found] == [*range(trials)]
    for trial in found:
        assert trial.state is TrialState.COMPLETE
        assert len(trial.params) == 4
        assert sorted(trial.intermediate_values) == [*range(20)]
        assert trial.user_attrs["slot"] == trial.number
        assert trial.user_attrs["curves"] == {"loss": [0.5] * 20}
    table = f"{url.rpartition('schema=')[2]}.hpsearch_journal"
    entries = trials * (1 + 1 + 4 + 20 + 1 + 1)
    ((last, count, writers),) = postgres.execute(
        f"select max(id), count(*), count(distinct (writer, number)) from {table} where op > 3"
    )
    assert count == writers == entries
    ((last, count),) = postgres.execute(f"select max(id), count(*) from {table}")
    assert last == count


def test_eight_writers_and_a_reader_who_watches_them(postgres):
    url = postgres.url()
    study = study_at(url)
    workers, seen = Workers(url, 8, 8), 0
    while workers.at_work:
        numbers = [trial.number for trial in study.get_trials(deepcopy=False)]
        assert numbers == [*range(len(numbers))]
        assert len(numbers) >= seen
        seen = len(numbers)
    workers.wait()
    assert_whole(postgres, url, 64)
    assert study.trials == study_at(url).trials


def test_connections_that_are_cut(postgres):
    url = postgres.url()
    study_at(url)
    workers, cuts = Workers(url, 3, 30, 0.005), 0
    while workers.at_work:
        cuts += len(
            postgres.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'hpsearch' and random() < 0.4"
            )
        )
        time.sleep(0.1)
    workers.wait()
    assert cuts >= 25
    assert_whole(postgres, url, 90)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_or_crashes(postgres, mode):
    url = postgres.url()
    study = study_at(url)
    workers = Workers(url, 4, 10, 0.005)
    for trials in (4, 16, 28):
        while len(study.get_trials(deepcopy=False)) < trials:
            assert workers.at_work, workers.process.communicate()[1]
            time.sleep(0.02)
        postgres.restart(mode)
    workers.wait()
    assert_whole(postgres, url, 40)
    assert study.trials == study_at(url).trials


def test_what_a_crashed_server_has_lost_is_noticed_and_said_again(postgres):
    """The writer of the log on the disk is stopped, as by a busy disk, before the crash."""
    url = postgres.url()
    mine, other, idle = study_at(url), study_at(url), study_at(url)
    trial = mine.ask()
    ((writer,),) = postgres.execute(
        "select pid from pg_stat_activity where backend_type = 'walwriter'"
    )
    os.kill(writer, signal.SIGSTOP)
    try:
        for epoch in range(20):
            trial.report(0.5, epoch)
        mine._storage.storage.journal.flush()
        assert len(other.trials[0].intermediate_values) == 20
        assert len(idle.trials[0].intermediate_values) == 20
        crash = threading.Thread(target=postgres.stop, args=("immediate",))
        crash.start()
        time.sleep(0.5)  # the server has been told, and its writer cannot write any more
    finally:
        os.kill(writer, signal.SIGCONT)
    crash.join()
    postgres.start()
    table = f"{url.rpartition('schema=')[2]}.hpsearch_journal"
    ((left,),) = postgres.execute(f"select count(*) from {table} where op = 7")
    assert left < 20
    assert len(other.trials[0].intermediate_values) == left
    second = other.ask()  # takes the numbers of the rows that were lost
    trial.report(0.25, 20)
    mine.tell(trial, 1.0)
    other.tell(second, 2.0)
    for study in (mine, other, idle, study_at(url)):
        assert [t.value for t in study.trials] == [1.0, 2.0]
        assert study.trials[0].intermediate_values == {**dict.fromkeys(range(20), 0.5), 20: 0.25}


def test_answers_that_are_lost_after_the_commit(postgres, monkeypatch):
    url = postgres.url()
    study, execute, calls, lost = study_at(url), PostgresJournal._execute, 0, 0

    def lose_some(self, statement, parameters):
        nonlocal calls, lost
        result = execute(self, statement, parameters)
        calls += "exchange" in statement
        if "exchange" in statement and calls % 2:
            lost += 1
            self._connection.close()
            raise psycopg.OperationalError("the connection was lost")
        return result

    monkeypatch.setattr(PostgresJournal, "_execute", lose_some)
    monkeypatch.setattr("hpsearch.storage.patience.FIRST_PAUSE", 0.001)
    for number in range(75):
        trial = study.ask()
        trial.report(0.5, 0)
        study.tell(trial, float(number))
    monkeypatch.undo()
    assert lost >= 75
    trials = study_at(url).trials
    assert [trial.value for trial in trials] == [*range(75)]
    assert trials == study.trials
    table = f"{url.rpartition('schema=')[2]}.hpsearch_journal"
    ((last, count),) = postgres.execute(f"select max(id), count(*) from {table}")
    assert last == count == 2 + 75 * 3


def test_a_frozen_writer_does_not_hold_the_others_up(postgres):
    url = postgres.url()
    study = study_at(url)
    longest = 0.0
    workers = Workers(url, 10, 10**6)
    try:
        while len(study.get_trials(deepcopy=False)) < 20:
            time.sleep(0.05)
        for pid in workers.pids:
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            study.set_user_attr("key", pid)
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.05)
    finally:
        for pid in workers.pids:
            os.kill(pid, signal.SIGKILL)
    assert workers.process.wait(timeout=60) == 1
    workers.process.communicate()
    assert longest < 5  # and not the fifteen seconds after which a lock is given up
    assert study_at(url).user_attrs["key"] == workers.pids[-1]


def test_sixteen_processes_make_the_tables_at_once(postgres):
    url = postgres.url()
    workers = Workers(url, 16, 1)
    workers.wait()
    assert_whole(postgres, url, 16)
    assert len(optuna.get_all_study_names(open_storage(url))) == 1


def test_a_server_that_crashes_while_hpsearch_runs_a_study(postgres, tmp_path):
    url = postgres.url()
    command = [str(Path(sys.executable).parent / "hpsearch"), "study", "digits", "--jobs", "2"]
    process = subprocess.Popen(
        [*command, "--no-tracking", "--trials", "16", "--storage", url, "--pruner", "none"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    storage = open_storage(url)
    for finished in (2, 8):
        while ended(storage) < finished:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        postgres.restart("immediate")
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    trials = optuna.load_study(study_name="digits-tpe", storage=open_storage(url)).trials
    assert sorted(trial.user_attrs["slot"] for trial in trials) == [*range(16)]
    for trial in trials:
        assert trial.state is TrialState.COMPLETE
        reported = [value for _, value in sorted(trial.intermediate_values.items())]
        assert reported == curves_of(trial).values["val/accuracy"]


def ended(storage):
    """How many trials of the study of hpsearch have ended."""
    if "digits-tpe" not in optuna.get_all_study_names(storage):
        return 0
    trials = optuna.load_study(study_name="digits-tpe", storage=storage).get_trials(deepcopy=False)
    return sum(trial.state.is_finished() for trial in trials)
