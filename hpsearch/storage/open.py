"""Opening a storage: a journal file by its path, or a database by its URL.

SQLAlchemy is imported for a database alone: it takes a quarter of the time of a short command.
"""

from __future__ import annotations

import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, get_storage

from hpsearch.errors import Command, StorageError
from hpsearch.files import create_whole
from hpsearch.storage.failures import cause_of, is_locked, is_storage_error, may_pass
from hpsearch.storage.journal import open_journal
from hpsearch.storage.patience import Patience, PatientStorage, in_a_line
from hpsearch.storage.postgres import SCHEME, open_postgres, parse_address

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DEFAULT_STORAGE = "hpsearch.journal"
SQLITE = "sqlite:///"
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
HEARTBEAT_SECONDS = 60
TABLE_TRIES = 5
_MISTYPED = re.compile(
    r"(journal\+)?(postgres|postgresql|mysql|mariadb|sqlite|oracle|mssql)(\+\w+)?:(?!//)", re.I
)
KEPT = "finished trials are kept, and the same command continues"  # after a lost storage


def storage_url(given: str | None = None) -> str:
    """Return the URL of the storage: `given`, else HPSEARCH_STORAGE, else the default file."""
    return given or os.environ.get("HPSEARCH_STORAGE") or DEFAULT_STORAGE


def open_storage(
    url: str, *, create: bool = True, patient: bool = False, study: str | None = None
) -> BaseStorage:
    """Open `url`: a journal file, a journal in PostgreSQL or a database of Optuna's.

    These are a path, `journal+postgresql://…`, and `sqlite:///…` or `postgresql://…`.

    Its operations wait for it while it stumbles, for up to a minute. Opening it waits for a locked
    file alone, and with `patient` for everything that may pass. study: the one that a worker works
    on; it may then do without what is about others, and what is bulky in others' trials.

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
    patience = Patience(redact(url), may_pass if patient else is_locked)
    working = Patience(redact(url))
    if url.startswith(SCHEME):
        address = parse_address(url, redact(url))
        storage: BaseStorage = open_postgres(address, patience, working, create=create, study=study)
    elif "://" in url:
        storage = _open_database(url, patience)
    else:
        storage = open_journal(Path(url), patience, create=create)
    return PatientStorage(storage, working)  # type: ignore[abstract]


def storage_exists(url: str) -> bool:
    """Whether the file of `url` exists; a database server is assumed to."""
    file = Path(url) if "://" not in url else sqlite_file(url)
    return file is None or file.is_file()


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database, None for the address of anything else."""
    if not url.startswith(SQLITE):
        return None
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        database = make_url(url).database
    except (ArgumentError, ValueError):
        return None
    return Path(database) if database else None


def redact(url: str) -> str:
    """Return `url` without its password and query; only the scheme where it cannot be parsed.

    Of a query, the schema stays: a command for another schema would be wrong.
    """
    if _MISTYPED.match(url):
        return f"{url.partition(':')[0]}:/***"
    if "://" not in url:
        return url
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # An @ cuts the password short, and the rest of it reads as part of the host.
    if parsed is None or (parsed.password and "@" in f"{parsed.host}{parsed.database}"):
        return url.partition("://")[0] + "://***"
    if parsed.password is None and not parsed.query:
        return url
    schema = {key: value for key, value in parsed.query.items() if key == "schema"}
    return parsed.set(query=schema).render_as_string(hide_password=True)


@contextmanager
def storage_errors(url: str, *, hint: str = "") -> Iterator[None]:
    """Turn the errors of a storage, such as a full disk or a lost database, into a StorageError.

    hint: what to do about it.
    """
    try:
        yield
    except Exception as error:
        if not (is_storage_error(error) or isinstance(cause_of(error), OSError)):
            raise
        sentence = f"storage '{redact(url)}': {in_a_line(error)}"
        raise StorageError(f"{sentence}; {hint}" if hint else sentence) from error


def _open_database(url: str, patience: Patience) -> BaseStorage:
    if url in IN_MEMORY:
        raise StorageError(f"storage '{url}': a database in memory keeps nothing; name a file")
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        if (file := sqlite_file(url)) and file.parent.is_dir():
            create_whole(file, _make_database)
        return get_storage(patience.call(_open_tables, url))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A ValueError complains about the port, and may quote a misplaced password.
        what = "its port is no number" if isinstance(error, ValueError) else error
        raise StorageError(
            f"storage '{redact(url)}': no database of this kind can be opened ({what}); use "
            f"sqlite:///FILE, {SCHEME}…, postgresql://… with its driver installed, or the path of "
            "a journal"
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
    from sqlalchemy.exc import IntegrityError, ProgrammingError

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
