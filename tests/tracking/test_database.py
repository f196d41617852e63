"""The birth of MLflow's database: whole or not at all, by whichever process comes first."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest

from hpsearch.errors import TrackingError
from hpsearch.tracking import database
from hpsearch.tracking.store import TrackingStore

PREPARE = (
    "import sys; from hpsearch.tracking.store import TrackingStore as S; S(sys.argv[1]).prepare()"
)


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    monkeypatch.setattr(database, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new.db"


@pytest.fixture
def store(file):
    return TrackingStore(f"sqlite:///{file}")


def start(store):
    return subprocess.Popen([sys.executable, "-c", PREPARE, store.uri], stderr=subprocess.PIPE)


def execute(file, *statements):
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def test_processes_that_start_together_make_one_database(file, store):
    processes = [start(store) for _ in range(3)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert store.experiment_names() == []
    assert {path.name.removeprefix("new.db") for path in file.parent.iterdir()} <= {
        "",
        "-wal",
        "-shm",
    }


def test_a_process_that_is_killed_while_it_makes_the_database_leaves_none(file, store):
    process = start(store)
    while not (made := list(file.parent.glob(".new.db.new-*"))):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert made[0].exists()
    assert not file.exists()
    store.prepare()
    assert [path for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "damage",
    [
        ["CREATE TABLE _alembic_tmp_runs (x)", "DROP TABLE tags"],
        ["ALTER TABLE experiments RENAME TO _alembic_tmp_experiments"],
        ["UPDATE alembic_version SET version_num = '451aebb31d03'"],
        ["DELETE FROM alembic_version", "DROP TABLE metrics"],
    ],
    ids=["a copy is left", "a copy is all there is", "an old version", "no version"],
)
def test_a_half_made_database_is_made_again(file, store, empty_mlflow, damage):
    file.write_bytes(empty_mlflow.read_bytes())
    execute(file, *damage)
    store.prepare()
    assert store.open_experiment("a study") == "1"
    assert execute(file, "SELECT count(*) FROM tags") == [(0,)]


@pytest.mark.filterwarnings("ignore:Unnamed CHECK constraint")
def test_a_half_upgraded_database_with_runs_is_left_alone(file, store, empty_mlflow):
    file.write_bytes(empty_mlflow.read_bytes())
    execute(
        file,
        "CREATE TABLE _alembic_tmp_runs (x)",
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
        "DROP TABLE tags",
        "INSERT INTO registered_models (name) VALUES ('somebody''s')",
    )
    before = file.read_bytes()
    with pytest.raises(TrackingError, match=r"was killed while it upgraded.* `hpsearch sync NAME`"):
        store.prepare()
    assert execute(file, "SELECT name FROM registered_models") == [("somebody's",)]
    assert len(file.read_bytes()) == len(before)


def test_the_database_of_another_program_is_refused_and_kept(file, store):
    optuna.create_study(storage=store.uri, study_name="theirs")
    with pytest.raises(TrackingError, match=r"tracking store 'sqlite:///.*new\.db': "):
        store.prepare()
    assert execute(file, "SELECT study_name FROM studies") == [("theirs",)]


def test_an_empty_file_becomes_a_database(file, store):
    file.touch()
    store.prepare()
    assert os.stat(file).st_size > 0
    assert store.experiment_names() == []
