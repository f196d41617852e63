"""MLflow's SQLite database: created whole by one process, and mended if it is half-made.

MLflow makes its tables by migrations in place, without a lock. Two processes that do this at the
same time, or one that is killed, leave a database that MLflow can never open again.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import Command, TrackingError
from hpsearch.files import create_whole, is_empty, locked_folder
from hpsearch.internals import database_engine

SETTLE_SECONDS = 5.0  # another program that makes the database writes at least this often
CANNOT_OPEN = (MlflowException, SQLAlchemyError, CommandError)
COPY = (
    "_alembic_tmp_"  # Alembic changes a table by a copy of this prefix, and renames it in the end
)
ROWS_OF_A_NEW_ONE = {  # in every other table it has none
    "alembic_version": "1",
    "experiments": "name = 'Default'",
    "workspaces": "name = 'default'",
}


def open_database(file: Path, uri: str) -> MlflowClient:
    """Return MLflow's client for the database in `file`, which is made if it does not exist.

    A half-made one is made again, unless it holds something: then this raises TrackingError. Also
    raises what MLflow raises, OSError, and sqlite3.Error if the file is no database.
    """
    if is_empty(file):
        create_whole(file, _make)
    write_ahead(file)
    try:
        return MlflowClient(tracking_uri=uri)
    except CANNOT_OPEN:
        _wait_while_written(file)
    try:
        return MlflowClient(tracking_uri=uri)
    except CANNOT_OPEN as error:
        if not _is_as_new(file):
            if any(table.startswith(COPY) for table in _tables(file)):
                raise TrackingError(
                    f"tracking store '{uri}': a process was killed while it upgraded this database;"
                    " move the file away, and `",
                    Command("sync", "NAME"),
                    "` writes the runs of a study again",
                ) from error
            raise
    _make_again(file)
    return MlflowClient(tracking_uri=uri)


def write_ahead(file: Path) -> None:
    """Let readers and one writer work at the same time; SQLite stores this in the file.

    Raises sqlite3.Error if the file is no database, at once: MLflow would try for seconds.
    """
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _make(file: Path) -> None:
    """Make a new database for MLflow, and close it."""
    engine = database_engine(MlflowClient(tracking_uri=f"sqlite:///{file}"))
    if engine is not None:
        engine.dispose()
    write_ahead(file)


def _make_again(file: Path) -> None:
    """Copy a new database into `file`, whole or not at all, also while others have it open."""
    with locked_folder(file.absolute().parent), TemporaryDirectory() as folder:
        _make(new := Path(folder, "new.db"))
        with closing(sqlite3.connect(new)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)


def _wait_while_written(file: Path) -> None:
    """Wait while another program writes to the file, which may be making the database."""
    while 0 <= time.time() - file.stat().st_mtime < SETTLE_SECONDS:
        time.sleep(0.2)


def _tables(file: Path) -> dict[str, int]:
    """Return the tables of a database, and how many rows each has that a new one does not have."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found = {}
        for (name,) in names:
            usual = ROWS_OF_A_NEW_ONE.get(name.removeprefix(COPY), "0")
            query = f'SELECT count(*) FROM "{name}" WHERE NOT ({usual})'
            found[name] = connection.execute(query).fetchone()[0]
    return found


def _is_as_new(file: Path) -> bool:
    """Whether a database of MLflow, whole or not, has nothing that a new one does not have."""
    tables = _tables(file)
    return not tables.keys().isdisjoint({"experiments", f"{COPY}experiments"}) and not any(
        tables.values()
    )
