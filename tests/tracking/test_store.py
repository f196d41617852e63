"""The tracking store: its errors, its database, and which connections it changes."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from sqlalchemy.exc import OperationalError

from hpsearch.errors import TrackingError
from hpsearch.internals import database_engine
from hpsearch.tracking.store import TrackingStore, tracking_uri

FULL, NORMAL = 2, 1  # values of SQLite's pragma `synchronous`; FULL is its default


@pytest.fixture
def store(mlflow_uri):
    return TrackingStore(mlflow_uri)


def test_the_uri_is_the_given_one_else_the_environments_else_a_database_here(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri() == "http://host:5000"
    assert TrackingStore("sqlite:///other.db").uri == "sqlite:///other.db"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nosuch://u:hush@host", "unsupported URI"),
        ("oracle+cx_oracle://u:hush@host/db", "."),
        ("postgresql://u@host:hush/db", "its port is no number"),
        ("./mlruns", "."),
    ],
)
def test_a_store_that_cannot_be_used(tmp_path, monkeypatch, uri, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match=f"^tracking store '.*': .*{message}") as caught:
        TrackingStore(uri).prepare()
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"no database\n" * 500, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database(tmp_path, content):
    path = tmp_path / "broken.db"
    path.write_bytes(content)
    with pytest.raises(TrackingError, match=r"tracking store 'sqlite:///.*broken.db': .*database"):
        TrackingStore(f"sqlite:///{path}").prepare()
    assert path.read_bytes() == content


# The database


def test_only_prepare_creates_a_database(tmp_path):
    path = tmp_path / "new.db"
    store = TrackingStore(f"sqlite:///{path}")
    store.check("digits-random")
    assert not store.exists()
    assert list(tmp_path.iterdir()) == []
    store.prepare()
    assert store.exists()
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM runs").fetchone() == (0,)


def test_check_refuses_a_missing_folder_and_creates_nothing(tmp_path):
    store = TrackingStore(f"sqlite:///{tmp_path}/no/new.db")
    with pytest.raises(TrackingError, match=rf"there is no folder '{tmp_path}/no'$"):
        store.check("digits-random")
    with pytest.raises(TrackingError, match="there is no folder"):
        store.prepare()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["hpsearch.tracking.store.open_database", "hpsearch.tracking.store.database_engine"],
    ids=["making the client", "changing its engine"],
)
@pytest.mark.parametrize(
    "error",
    [
        MlflowException("away"),
        OperationalError("SELECT 1", {}, sqlite3.OperationalError("away")),
        sqlite3.DatabaseError("away"),
        OSError("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_while_the_client_is_made_becomes_a_tracking_error(
    store, monkeypatch, name, error
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(name, fail)
    for use in (
        lambda: store.client,
        store.prepare,
        lambda: store.check("e"),
        lambda: store.open_experiment("e"),
        lambda: store.experiment_id("e"),
        store.experiment_names,
        lambda: store.delete("e"),
        lambda: store.log_inputs("r", []),
        store.page,
        lambda: store.best_metric("1"),
    ):
        with pytest.raises(TrackingError, match=r"^tracking store 'sqlite:.*': away$"):
            use()


def test_prepare_lets_readers_work_beside_a_writer(tmp_path, store):
    store.prepare()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


# Which connections do not wait for the disk


def synchronous(engine):
    """Return the pragma of a new connection of `engine`."""
    engine.dispose()
    with engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar()


def test_mlflows_own_connections_do_not_wait_for_the_disk(store, mlflow_uri):
    store.prepare()
    engine = database_engine(store.client)
    assert synchronous(engine) == NORMAL
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == NORMAL
    # Another store at the same address shares the engine and registers nothing twice.
    second = TrackingStore(mlflow_uri)
    second.prepare()
    assert database_engine(second.client) is engine
    listeners = [listener.__name__ for listener in engine.pool.dispatch.connect]
    assert listeners.count("_set_synchronous_normal") == 1


def test_connections_from_before_the_store_was_used_do_not_wait_either(store, mlflow_uri):
    engine = database_engine(MlflowClient(mlflow_uri))  # the user's own client
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == FULL
    store.prepare()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == NORMAL


def test_other_engines_keep_their_pragma(store, mlflow_uri, tmp_path):
    uris = (mlflow_uri, f"sqlite:///{tmp_path / 'other.db'}")
    before = [sqlalchemy.create_engine(uri) for uri in uris]
    assert [synchronous(engine) for engine in before] == [FULL, FULL]
    store.prepare()
    store.open_experiment("e")
    assert synchronous(database_engine(store.client)) == NORMAL
    after = [sqlalchemy.create_engine(uri) for uri in uris]
    assert [synchronous(engine) for engine in before + after] == [FULL] * 4
    for engine in before + after:
        engine.dispose()


LISTENERS = """
import pkgutil, importlib
import mlflow, sqlalchemy
from mlflow import MlflowClient
from sqlalchemy.events import ConnectionEvents, PoolEvents

def listeners():
    engine = sqlalchemy.create_engine("sqlite://")
    pairs = [(engine, ConnectionEvents), (engine.pool, PoolEvents)]
    return {
        name: len([*getattr(target.dispatch, name)])
        for target, events in pairs
        for name in vars(events)
        if name[0] != "_" and name != "dispatch"
    }

before = listeners()
import hpsearch
for module in pkgutil.walk_packages(hpsearch.__path__, "hpsearch."):
    if module.name != "hpsearch.__main__":
        importlib.import_module(module.name)
assert "hpsearch.tracking.store" in __import__("sys").modules
assert "connect" in before and "before_cursor_execute" in before
assert listeners() == before, (before, listeners())
"""


def test_importing_hpsearch_registers_no_listener_for_all_engines():
    run = subprocess.run([sys.executable, "-c", LISTENERS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# Experiments and runs


def test_deleting_a_deleted_experiment_frees_its_name_too(store):
    old = store.open_experiment("digits-random")
    store.client.delete_experiment(old)
    assert store.delete("digits-random") is True
    assert store.open_experiment("digits-random") != old


def test_data_that_another_process_logs_at_once_are_logged_at_the_second_try(store, monkeypatch):
    refused, log_inputs = [], MlflowClient.log_inputs

    def refuse_the_first(self, run_id, inputs):
        if not refused:
            refused.append(run_id)
            raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)
        log_inputs(self, run_id, inputs)

    monkeypatch.setattr(MlflowClient, "log_inputs", refuse_the_first)
    run = store.client.create_run(store.client.create_experiment("e"))
    dataset = Dataset("digits", "0123", "code", "{}")
    store.log_inputs(run.info.run_id, [DatasetInput(dataset)])
    assert refused == [run.info.run_id]
    (found,) = store.client.get_run(run.info.run_id).inputs.dataset_inputs
    assert found.dataset.name == "digits"
