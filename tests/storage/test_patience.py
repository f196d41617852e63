"""Storages that stumble are waited for, and what does not pass is said at once."""

import errno
import fcntl
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import optuna
import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from hpsearch.errors import StorageError
from hpsearch.storage import journal, patience
from hpsearch.storage.failures import may_pass
from hpsearch.storage.journal import JournalFile
from hpsearch.storage.open import open_storage, storage_errors
from hpsearch.storage.patience import Patience

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(journal, "LOCK_SECONDS", 0.1)


class Stumbling:
    """An operation that fails a number of times, and then returns its argument."""

    def __init__(self, error, failures):
        self.error, self.left, self.calls = error, failures, 0

    def __call__(self, value=None):
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return value


def test_an_operation_is_tried_until_it_succeeds(caplog):
    operation = Stumbling(FULL, 4)
    assert Patience("s.journal").call(operation, 7) == 7
    assert operation.calls == 5
    assert [record.getMessage() for record in caplog.records] == [
        "storage 's.journal': No space left on device; trying again for up to 3 s",
        "storage 's.journal': is back",
    ]


def test_a_short_stumble_is_not_worth_a_word(caplog):
    Patience("s").call(Stumbling(FULL, 1))
    assert not caplog.records


def test_after_a_minute_each_operation_is_tried_once_until_there_is_calm(monkeypatch):
    waiting, operation = Patience("s"), Stumbling(FULL, 1000)
    began = time.monotonic()
    with pytest.raises(OSError, match="No space"):
        waiting.call(operation)
    assert 3.0 < time.monotonic() - began < 10
    again = Stumbling(FULL, 1)
    with pytest.raises(OSError, match="No space"):
        waiting.call(again)
    assert again.calls == 1
    waiting.call(again)
    with pytest.raises(OSError, match="No space"):
        waiting.call(Stumbling(FULL, 2))
    monkeypatch.setattr(patience, "CALM_SECONDS", 0.1)
    time.sleep(0.2)
    waiting.call(Stumbling(FULL, 2))  # a new minute


def test_a_disk_that_takes_a_short_entry_now_and_then_is_full(caplog):
    waiting, began = Patience("s"), time.monotonic()

    def write_on():
        while time.monotonic() - began < 30:
            waiting.call(Stumbling(FULL, 3))

    with pytest.raises(OSError, match="No space"):
        write_on()
    assert time.monotonic() - began < 10
    assert len(caplog.records) == 2  # it stumbles, and is back


class SqlError(Exception):
    def __init__(self, sqlstate=None):
        super().__init__("message")
        self.sqlstate = sqlstate


def wrapped(original):
    """Return an error of a driver as SQLAlchemy and Optuna wrap it."""
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = OperationalError("SELECT 1", {}, original)
    return error


def sqlite_error(code):
    error = sqlite3.OperationalError("message")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (FULL, True),
        (OSError(errno.EDQUOT, ""), True),
        (OSError(errno.EIO, ""), True),
        (OSError(errno.EROFS, ""), False),
        (PermissionError(errno.EACCES, ""), False),
        (wrapped(SqlError(None)), True),  # the connection is lost
        (wrapped(SqlError("57P01")), True),  # an administrator ended it
        (wrapped(SqlError("57P03")), True),  # the server is starting
        (wrapped(SqlError("53100")), True),  # its disk is full
        (wrapped(SqlError("40P01")), True),  # a deadlock
        (wrapped(SqlError("28P01")), False),  # a wrong password
        (wrapped(SqlError("42P01")), False),  # no such table
        (wrapped(sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT)), True),
        (wrapped(sqlite_error(sqlite3.SQLITE_FULL)), True),
        (wrapped(sqlite_error(sqlite3.SQLITE_READONLY)), False),
        (wrapped(sqlite_error(sqlite3.SQLITE_ERROR)), False),  # no such table
        (psycopg.OperationalError("the connection is lost"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.UndefinedTable(), False),
        (ValueError("anything else"), False),
    ],
)
def test_what_may_pass(error, passes):
    assert may_pass(error) is passes


def test_what_does_not_pass_is_raised_at_once():
    operation = Stumbling(PermissionError(errno.EACCES, "Permission denied"), 1)
    with pytest.raises(PermissionError):
        Patience("s").call(operation)
    assert operation.calls == 1


def optimize(storage, trials=1):
    study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return study


def test_a_disk_that_is_full_for_a_moment_stops_no_study(tmp_path, monkeypatch):
    storage = open_storage(str(tmp_path / "s.journal"))
    append, left = JournalFile.append_logs, 3

    def append_some_of_it(self, logs):
        nonlocal left
        if left > 0:
            left -= 1
            with self.path.open("ab") as file:
                file.write(b'{"op_code":4,"wo')
            raise FULL
        append(self, logs)

    monkeypatch.setattr(JournalFile, "append_logs", append_some_of_it)
    assert len(optimize(storage).trials) == 1
    assert left == 0
    assert len(optimize(open_storage(str(tmp_path / "s.journal"))).trials) == 2


def test_a_journal_that_may_not_be_written_any_more_is_one_sentence(tmp_path, monkeypatch):
    path = str(tmp_path / "s.journal")
    storage, end = open_storage(path), JournalStorage.set_trial_state_values
    refused = PermissionError(errno.EPERM, "Operation not permitted", path)

    def refuse(self, trial_id, state, values=None):
        if state is TrialState.COMPLETE:
            raise refused
        return end(self, trial_id, state, values)

    monkeypatch.setattr(JournalStorage, "set_trial_state_values", refuse)
    with pytest.raises(StorageError, match="Operation not permitted"), storage_errors(path):
        optimize(storage)


@pytest.mark.parametrize("kind", [JournalStorage, RDBStorage])
def test_an_end_whose_answer_was_lost_is_an_end(tmp_path, monkeypatch, kind):
    name = "s.journal" if kind is JournalStorage else f"sqlite:///{tmp_path / 's.db'}"
    monkeypatch.chdir(tmp_path)
    storage, set_values, lost = open_storage(name), kind.set_trial_state_values, []

    def answer_late(self, trial_id, state, values=None):
        result = set_values(self, trial_id, state, values)
        if not lost:
            lost.append(state)
            raise FULL
        return result

    monkeypatch.setattr(kind, "set_trial_state_values", answer_late)
    (trial,) = optimize(storage).trials
    assert (trial.state, lost) == (TrialState.COMPLETE, [TrialState.COMPLETE])


@pytest.mark.parametrize("kind", [JournalStorage, RDBStorage])
def test_a_trial_whose_creation_was_not_confirmed_is_created_once(tmp_path, monkeypatch, kind):
    name = "s.journal" if kind is JournalStorage else f"sqlite:///{tmp_path / 's.db'}"
    monkeypatch.chdir(tmp_path)
    storage, lost = open_storage(name), []
    study = optuna.create_study(storage=storage, study_name="s")
    creation = "create_new_trial" if kind is JournalStorage else "_create_new_trial"
    create = getattr(kind, creation)

    def answer_late(self, study_id, template_trial=None):
        result = create(self, study_id, template_trial)
        if not lost:
            lost.append(result)
            raise FULL
        return result

    monkeypatch.setattr(kind, creation, answer_late)
    study_id = storage.get_study_id_from_name("s")
    template = create_trial(state=TrialState.RUNNING, user_attrs={"slot": 3, "process": [0.1]})
    first = storage.create_new_trial(study_id, template)
    assert (len(lost), len(study.trials)) == (1, 1)
    storage.set_trial_intermediate_value(first, 1, 0.5)  # it is in use: the next one is another
    lost.clear()
    assert storage.create_new_trial(study_id, template) != first
    assert (len(lost), len(study.trials)) == (1, 2)


def test_a_locked_database_is_waited_for(tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 's.db'}?timeout=0.1"
    storage = open_storage(url)
    optimize(storage)
    lock = sqlite3.connect(tmp_path / "s.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.0, lock.execute, ["ROLLBACK"]).start()
    assert len(optimize(storage).trials) == 2
    assert "database is locked; trying again" in caplog.text
    lock.close()


def test_a_database_that_stays_locked_is_one_sentence(tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}?timeout=0.1"
    storage = open_storage(url)
    lock = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="database is locked"), storage_errors(url):
        optimize(storage)
    with pytest.raises(StorageError, match="database is locked"):
        open_storage(url)
    lock.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_missed_heartbeat_is_no_failure(tmp_path, monkeypatch):
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}")
    beats = Stumbling(wrapped(SqlError(None)), 1000)
    monkeypatch.setattr(RDBStorage, "record_heartbeat", lambda *_: beats())
    assert len(optimize(storage).trials) == 1
    assert beats.calls == 1


HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def stopped(tmp_path):
    """A stopped process that holds the lock of a journal, and the journal's path."""
    path = tmp_path / "s.journal"
    open_storage(str(path))
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        process.send_signal(signal.SIGSTOP)
        yield process, str(path)
        process.kill()


def test_a_stopped_process_that_holds_the_lock_is_said(stopped):
    _, path = stopped
    with pytest.raises(StorageError, match="another process holds its lock"):
        open_storage(path)
    assert open_storage(path, create=False)  # readers need no lock


def test_a_lock_that_is_released_in_time_is_waited_for(stopped, caplog):
    process, path = stopped
    threading.Timer(1.0, process.kill).start()
    with caplog.at_level(logging.WARNING):
        assert len(optimize(open_storage(path)).trials) == 1
    assert "another process holds its lock; trying again for up to 3 s" in caplog.text


def test_the_lock_of_a_journal_is_free_after_use(tmp_path):
    path = tmp_path / "s.journal"
    optimize(open_storage(str(path)))
    file = os.open(path, os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)
