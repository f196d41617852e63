"""Opening a storage: a journal file by its path, or a database by its URL."""

from __future__ import annotations

import errno
import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)

from hpsearch.errors import Command, StorageError
from hpsearch.files import create_whole
from hpsearch.storage.journal import open_journal

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DEFAULT_STORAGE = "hpsearch.journal"
SQLITE = "sqlite:///"
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
HEARTBEAT_SECONDS = 60
TABLE_TRIES = 5
_MISTYPED = re.compile(
    r"(postgres|postgresql|mysql|mariadb|sqlite|oracle|mssql)(\+\w+)?:(?!//)", re.I
)
STORAGE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
KEPT = "finished trials are kept, and the same command continues"  # after a lost storage


def storage_url(given: str | None = None) -> str:
    """Return the URL of the storage: `given`, else HPSEARCH_STORAGE, else the default file."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_storage(url: str, *, create: bool = True) -> BaseStorage:
    """Open `url`: a database (`sqlite:///…`, `postgresql://…`) or the path of a journal file.

    Raises StorageError, which never shows a password; without `create` also where the file does not
    exist.
    """
    if _MISTYPED.match(url):
        raise StorageError(
            f"storage '{redact(url)}': a database URL needs two slashes after the colon: postgresql://…"
        )
    if not create and not storage_exists(url):
        raise StorageError(
            f"storage '{redact(url)}' does not exist; ", Command("study"), " makes one"
        )
    return _open_database(url) if "://" in url else open_journal(Path(url), create=create)


def storage_exists(url: str) -> bool:
    """Whether the file of `url` exists; a database server is assumed to."""
    file = Path(url) if "://" not in url else sqlite_file(url)
    return file is None or file.is_file()


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database, None for the address of anything else."""
    try:
        database = make_url(url).database if url.startswith(SQLITE) else None
    except (ArgumentError, ValueError):
        return None
    return Path(database) if database else None


def redact(url: str) -> str:
    """Return `url` without its password and query; only the scheme where it cannot be parsed."""
    if _MISTYPED.match(url):
        return f"{url.partition(':')[0]}:/***"
    if "://" not in url:
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # An @ cuts the password short, and the rest of it reads as part of the host.
    if parsed is None or (parsed.password and "@" in f"{parsed.host}{parsed.database}"):
        return url.partition("://")[0] + "://***"
    if parsed.password is None and not parsed.query:
        return url
    return parsed.set(query={}).render_as_string(hide_password=True)


@contextmanager
def storage_errors(url: str, *, hint: str = "") -> Iterator[None]:
    """Turn the errors of a storage, such as a full disk or a lost database, into a StorageError.

    hint: what to do about it.
    """
    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError, AssertionError) as error:
        cause = _cause(error)
        if not isinstance(cause, (OSError, SQLAlchemyError)):
            raise
        what = getattr(cause, "strerror", None) or getattr(cause, "orig", None) or cause
        sentence = f"storage '{redact(url)}': {' '.join(str(what).split())}"
        raise StorageError(f"{sentence}; {hint}" if hint else sentence) from error


def is_storage_error(error: BaseException) -> bool:
    """Whether an exception is one of a storage: a full disk, a lost database."""
    cause = _cause(error)
    if isinstance(cause, OSError):
        return cause.errno in STORAGE_ERRNOS
    return isinstance(cause, SQLAlchemyError)


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the storage's own error, which Optuna wraps."""
    if isinstance(error, AssertionError):  # Optuna wrongly assumes that the trial is finished
        error = error.__context__
    return error.__cause__ if isinstance(error, StorageInternalError) else error


def _open_database(url: str) -> BaseStorage:
    if url in IN_MEMORY:
        raise StorageError(f"storage '{url}': a database in memory keeps nothing; name a file")
    try:
        if (file := sqlite_file(url)) and file.parent.is_dir():
            create_whole(file, _make_database)
        return _open_tables(url)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A ValueError complains about the port, and may quote a misplaced password.
        what = "its port is no number" if isinstance(error, ValueError) else error
        raise StorageError(
            f"storage '{redact(url)}': no database of this kind can be opened ({what}); use "
            "sqlite:///FILE, postgresql://… with its driver installed, or the path of a journal"
        ) from None
    except OSError as error:
        raise StorageError(f"storage '{redact(url)}': {error.strerror}") from None
    except (SQLAlchemyError, RuntimeError) as error:
        what = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"storage '{redact(url)}': cannot be opened: {what}") from None


def _make_database(file: Path) -> None:
    """Make a new SQLite database with Optuna's tables, and close it."""
    storage = RDBStorage(f"{SQLITE}{file}")
    storage.remove_session()
    storage.engine.dispose()


def _open_tables(url: str) -> RDBStorage:
    """Return the storage in a database; make its tables if it has none.

    When several processes make the tables of a database server at the same time, all but one are
    refused. They find the tables when they try again.
    """
    for tries_left in reversed(range(TABLE_TRIES)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are experimental
                return RDBStorage(url, heartbeat_interval=HEARTBEAT_SECONDS)
        except (IntegrityError, ProgrammingError):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.1, 1.0))
    raise AssertionError("the last try returns or raises")
