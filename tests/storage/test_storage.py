"""Storages: which URLs open, which are refused, and a journal that survives killed writers."""

import errno
import fcntl
import json
import os
import sqlite3
import subprocess
import sys

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hpsearch.errors import StorageError
from hpsearch.storage.journal import JournalLock
from hpsearch.storage.open import open_storage, redact, storage_exists, storage_url


@pytest.fixture
def journal(tmp_path):
    """A journal with a study of three complete trials."""
    path = tmp_path / "test.journal"
    study = optuna.create_study(storage=open_storage(str(path)), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return path


def trials_in(storage):
    return optuna.load_study(study_name="s", storage=storage).get_trials()


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


# Where


def test_the_url_is_the_given_one_then_that_of_the_environment_then_a_file(monkeypatch):
    monkeypatch.delenv("HPSEARCH_STORAGE", raising=False)
    assert storage_url() == "hpsearch.journal"
    monkeypatch.setenv("HPSEARCH_STORAGE", "sqlite:///a.db")
    assert storage_url() == "sqlite:///a.db"
    assert storage_url("b.journal") == "b.journal"


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
def test_what_is_written_is_read_again(tmp_path, prefix):
    url = f"{prefix}{tmp_path / 'store'}"
    assert not storage_exists(url)
    with pytest.raises(StorageError, match=r"store' does not exist; hpsearch study makes one"):
        open_storage(url, create=False)
    assert not list(tmp_path.iterdir())

    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)

    assert storage_exists(url)
    found = trials_in(open_storage(url, create=False))
    assert [t.value for t in found] == [t.value for t in study.trials]


def test_trials_in_a_database_have_a_heartbeat(tmp_path):
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 's.db'}"))
    study.optimize(lambda _: 0.0, n_trials=2)
    with sqlite3.connect(tmp_path / "s.db") as database:
        assert database.execute("SELECT COUNT(*) FROM trial_heartbeats").fetchone() == (2,)
    database.close()


# What is refused


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("missing/s.journal", r"storage '.*missing/s.journal': there is no folder '.*missing'"),
        ("", r"storage '.*': Is a directory"),
    ],
)
def test_a_path_that_cannot_be_a_journal_is_refused(tmp_path, url, message):
    with pytest.raises(StorageError, match=message):
        open_storage(f"{tmp_path}/{url}")
    assert not list(tmp_path.iterdir())


def test_a_journal_that_cannot_be_written_is_refused(journal):
    journal.chmod(0o444)
    if os.access(journal, os.W_OK):
        pytest.skip("nothing is unwritable for this user")
    with pytest.raises(StorageError, match="Permission denied"):
        open_storage(str(journal))


@pytest.mark.parametrize("last", [b"", b"\n"], ids=["no newline at the end", "newline at the end"])
@pytest.mark.parametrize(
    "content",
    [
        b"notes\nthat are worth keeping",
        b'{"accuracy": 0.9}',
        b"[1, 2]",
        b"3",
        b"null",
        b"\x00\xff\xfe random \n bytes \x80",
        b'{"op_code":99}\n{"op_code":99}',
        b'{"op_code":"?"}\n3',
    ],
)
def test_a_file_that_is_not_a_journal_is_refused_and_not_changed(tmp_path, content, last):
    path = tmp_path / "precious"
    path.write_bytes(content + last)
    with pytest.raises(StorageError, match="precious': this file is not an Optuna journal"):
        open_storage(str(path))
    if b'{"op_code":' not in content:  # what looks like a journal may lose a torn line
        assert path.read_bytes() == content + last


def test_an_empty_file_is_an_empty_journal(tmp_path):
    (tmp_path / "s.journal").touch()
    assert optuna.get_all_study_names(open_storage(str(tmp_path / "s.journal"))) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://u:hush@host/db", "no database of this kind can be opened .*nosuch"),
        ("oracle+cx_oracle://u:hush@host/db", "no database of this kind.*import.*its driver"),
        ("postgresql://u:hush@host:port/db", "its port is no number"),
        ("postgresql://u@host:hush/db", "its port is no number"),
        ("odd scheme://u:hush@host/db", "no database of this kind"),
        ("sqlite:///:memory:", "keeps nothing; name a file"),
        ("sqlite://", "keeps nothing; name a file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_sentence(url, message):
    with pytest.raises(StorageError, match=message) as caught:
        open_storage(url)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing/s.db", "text.db", ""])
def test_an_sqlite_file_that_cannot_be_opened_is_one_sentence(tmp_path, name):
    (tmp_path / "text.db").write_text("this is no database\n" * 100)
    with pytest.raises(StorageError, match=f"sqlite:///.*{name}': cannot be opened: ") as caught:
        open_storage(f"sqlite:///{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql:/u:pw@h/db", "postgresql+psycopg:u:pw@h", "MySQL:/x"])
def test_a_mistyped_url_is_no_path_and_is_not_shown(url):
    for create in (True, False):
        with pytest.raises(
            StorageError, match=r":/\*\*\*': a database URL needs two slashes"
        ) as error:
            open_storage(url, create=create)
        assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("hpsearch.journal", "hpsearch.journal"),
        ("sqlite:///a/b@c.db", "sqlite:///a/b@c.db"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("postgresql://u:hush@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql+psycopg://u:hu/sh@[::1]:5432/db", "postgresql+psycopg://u:***@[::1]:5432/db"),
        ("mysql://u:h#u?s%40h@host/db", "mysql://u:***@host/db"),
        ("postgresql://host/db?user=u&password=hush", "postgresql://host/db"),
        ("postgresql://u:x@hush@host/db", "postgresql://***"),
        ("postgresql://u:x@hu/sh@host/db", "postgresql://***"),
        ("postgresql://u:hush", "postgresql://***"),
        ("postgresql://u:x@host:hush/db", "postgresql://***"),
        ("odd scheme://u:hush@host", "odd scheme://***"),
    ],
)
def test_no_password_is_shown(url, shown):
    assert redact(url) == shown


# The journal


@pytest.mark.parametrize("tenth", range(10))
def test_a_torn_last_line_is_cut(journal, tenth):
    storage = open_storage(str(journal))
    whole = journal.read_bytes()
    storage.set_study_user_attr(0, "note", "x" * 100)
    line = journal.read_bytes()[len(whole) :]
    journal.write_bytes(whole + line[: 1 + tenth * (len(line) - 2) // 9])

    storage = open_storage(str(journal))
    assert journal.read_bytes() == whole
    study = optuna.load_study(study_name="s", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3

    study.optimize(lambda _: 1.0, n_trials=1)
    for again in (open_storage(str(journal)), JournalStorage(JournalFileBackend(str(journal)))):
        assert [trial.number for trial in trials_in(again)] == [0, 1, 2, 3]


def test_a_line_torn_while_the_journal_is_open_is_cut_by_the_next_writer(journal):
    study = optuna.load_study(study_name="s", storage=open_storage(str(journal)))
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    study.optimize(lambda _: 1.0, n_trials=1)
    assert len(trials_in(open_storage(str(journal)))) == 4


@pytest.mark.parametrize("start", [b"{", b'{"op_co', b'{"op_code":0,"wor'])
def test_a_torn_first_line_leaves_an_empty_journal(tmp_path, start):
    path = tmp_path / "s.journal"
    path.write_bytes(start)
    assert optuna.get_all_study_names(open_storage(str(path))) == []
    assert path.read_bytes() == b""


def test_garbage_between_lines_is_refused(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:4], b"garbage\n", *lines[4:]])
    journal.write_bytes(damaged)
    for create in (True, False):
        with pytest.raises(
            StorageError, match=r"line 5 is damaged; `head -n 4 .* the 4 lines before"
        ):
            open_storage(str(journal), create=create)
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("line", [b"garbage\n", b"[" * 100_000 + b"\n", b'{"op_code":4,"wor\n'])
def test_a_damaged_last_line_is_named_before_another_one_follows(journal, line):
    number = len(journal.read_bytes().splitlines()) + 1
    with journal.open("ab") as file:
        file.write(line)
    with pytest.raises(StorageError, match=f"line {number} is damaged") as error:
        open_storage(str(journal))
    command = str(error.value).split("`")[1]
    subprocess.run(["bash", "-c", command], cwd=journal.parent, check=True)
    mended = str(journal.with_name("mended.journal"))
    optuna.load_study(study_name="s", storage=open_storage(mended)).optimize(
        lambda _: 1.0, n_trials=1
    )
    assert len(trials_in(open_storage(mended))) == 4


def test_a_reader_needs_no_right_to_write_and_changes_nothing(journal, monkeypatch):
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"wor')  # another process is writing this
    whole = journal.read_bytes()

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(JournalLock, "acquire", refuse)
    assert len(trials_in(open_storage(str(journal), create=False))) == 3
    assert journal.read_bytes() == whole
    with pytest.raises(StorageError, match="Permission denied"):
        open_storage(str(journal))


def test_a_lock_file_that_optuna_left_behind_is_ignored(journal):
    left = journal.with_name(journal.name + ".lock")
    left.symlink_to(journal)
    optuna.load_study(study_name="s", storage=open_storage(str(journal))).set_user_attr("a", 1)
    assert left.is_symlink()  # Optuna would have waited, and then removed it
    assert optuna.load_study(study_name="s", storage=open_storage(str(journal))).user_attrs == {
        "a": 1
    }


HOLD_LOCK = """
import sys
from hpsearch.storage.journal import JournalLock
JournalLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_excludes_other_processes_until_its_holder_is_killed(journal):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder, journal.open("rb") as file:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
        holder.wait()
        lock = JournalLock(journal)
        assert lock.acquire() is True
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.release()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()  # once more is no harm


APPEND = """
import sys, optuna
from hpsearch.storage.open import open_storage
study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1]))
for value in range(60):
    study.tell(study.ask(), value)
"""


def test_two_writers_lose_nothing(journal):
    writers = [run_python(APPEND, journal) for _ in range(2)]
    for writer in writers:
        with writer:
            assert writer.wait() == 0
    trials = trials_in(open_storage(str(journal)))
    assert [trial.number for trial in trials] == list(range(3 + 2 * 60))
    assert sorted(trial.value for trial in trials[3:]) == sorted([*range(60), *range(60)])
    for line in journal.read_text().splitlines():
        json.loads(line)
